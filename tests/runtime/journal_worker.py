"""A worker process for tests: `journal_worker.py URL hang|record`, one line on stdout for each unit it is handed."""

from __future__ import annotations

import asyncio
import sys

from runtime.entries import Attempt
from runtime.journal import Journal


async def work(url: str, *, hang: bool) -> None:
    async with await Journal.open(url) as journal:

        async def handle(id: str) -> None:
            print(id, flush=True)  # noqa: T201 - whoever started it reads it
            if hang:
                await asyncio.Event().wait()
            await journal.record_attempt(id, Attempt(journal.now(), 0.0, 200), state="delivered")

        await journal.dispatcher.run({"delivery": handle})


asyncio.run(work(sys.argv[1], hang=sys.argv[2] == "hang"))
