"""A worker process for tests: one line on stdout for each unit that it is handed, one with a minus when it is recorded.

    journal_worker.py URL hold       records nothing of what it is handed
    journal_worker.py URL            records all, until a line on stdin tells it to hold; it says `holding` then

It ends when its stdin does, so that none is left behind; one that holds from the start reads nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys

from runtime.journal.entries import Attempt
from runtime.journal.journal import Journal


class Worker:
    def __init__(self, *, holds: bool) -> None:
        self._holds = holds

    async def work(self, url: str) -> None:
        async with await Journal.open(url) as journal:

            async def handle(id: str) -> None:
                say(id)
                if self._holds:
                    await asyncio.Event().wait()
                await journal.record_attempt(id, Attempt(journal.now(), 0.0, 200), state="delivered")
                say(f"-{id}")

            if not self._holds:
                asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._told)
            await journal.dispatcher.run({"delivery": handle})

    def _told(self) -> None:
        if not os.read(sys.stdin.fileno(), 100):
            os._exit(0)
        self._holds = True
        say("holding")


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - whoever started it reads it


asyncio.run(Worker(holds="hold" in sys.argv[2:]).work(sys.argv[1]))
