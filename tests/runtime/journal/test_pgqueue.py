"""The dispatcher on PostgreSQL when parts of it fail: what it listens on, what it locks with, what several start."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, cast

import asyncpg
import pytest
from pgqueuer.errors import FailingListenerError

from runtime.journal.entries import Work
from runtime.journal.journal import Journal
from runtime.journal.pgqueue import PgQueue, _Worker
from tests.doubles.postgres import Server

pytestmark = pytest.mark.anyio


async def until(holds: Any, patience: float = 20.0) -> None:
    async with asyncio.timeout(patience):
        while not holds():
            await asyncio.sleep(0.01)


async def cut(url: str, query: str) -> int:
    """Ends the connections whose last query begins so, as a firewall or an operator would; gives how many."""
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE $1 AND pid <> pg_backend_pid()",
            query + "%",
        )
    finally:
        await connection.close()
    return len(found)


async def test_a_worker_whose_listener_was_cut_begins_anew_and_does_what_it_had_at_work(postgres: Server) -> None:
    url = await postgres.empty()
    handled: Counter[str] = Counter()
    release = asyncio.Event()
    async with await Journal.open(url) as journal:
        assert isinstance(journal.dispatcher, PgQueue)
        journal.dispatcher.probe = 0.2

        async def handle(id: str) -> None:
            handled[id] += 1
            if id == "hangs" and handled[id] == 1:
                await release.wait()
            await journal.unschedule("poll", [id])

        running = asyncio.create_task(journal.dispatcher.run({"poll": handle}))
        await journal.schedule([Work("poll", "hangs", 0)])
        await until(lambda: handled["hangs"])
        assert await cut(url, "LISTEN") == 1
        # It does not wait for what is at work: that is handed out once more.
        await until(lambda: handled["hangs"] == 2)
        await journal.schedule([Work("poll", "after", 0)])
        await until(lambda: handled["after"])
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
    assert handled == {"hangs": 2, "after": 1}


class Manager:
    """PgQueuer's, as far as it tells whether notices come back."""

    def __init__(self, lost: list[bool]) -> None:
        self._lost = iter(lost)
        self.shutdown = asyncio.Event()

    async def listener_healthy(self, _: Any) -> None:
        if next(self._lost):
            raise FailingListenerError


async def test_a_notice_that_is_lost_is_no_failure_and_three_in_a_row_are() -> None:
    """PgQueuer sends the first one while it begins to listen, so on a busy machine nobody may hear it."""
    manager: Any = Manager([True, False, True, True, False, True, True, True])
    worker = _Worker(manager, cast("Any", None), {}, time.time, pause=0.0, probe=0.0)
    with pytest.raises(FailingListenerError):
        await worker._probe_listener()  # noqa: SLF001 - all else of a worker needs a database
    with pytest.raises(StopIteration):
        next(manager._lost)  # noqa: SLF001 - all of them were asked for


async def test_processes_that_start_at_once_on_an_empty_database_make_its_tables_once(postgres: Server) -> None:
    url = await postgres.create("many")
    journals = await asyncio.gather(*(Journal.open(url) for _ in range(6)))
    try:
        await asyncio.gather(*(each.schedule([Work("poll", "p", 1e10)]) for each in journals))
        assert {(await each.health()).ready for each in journals} == {True}
        assert [await each.check() for each in journals] == [[]] * 6
    finally:
        for each in journals:
            await each.close()


async def test_a_unit_that_is_at_work_in_another_process_is_left_to_it(postgres: Server) -> None:
    """A job may come twice, as after a heartbeat that was late; the advisory lock decides who does the work."""
    url = await postgres.empty()
    handled: list[str] = []
    other = await asyncpg.connect(url)
    try:
        # As the other process does, while it is at work.
        await other.execute("SELECT pg_advisory_lock(hashtextextended('poll/p', 7264114))")
        async with await Journal.open(url) as journal:

            async def handle(id: str) -> None:
                handled.append(id)
                await journal.unschedule("poll", [id])

            running = asyncio.create_task(journal.dispatcher.run({"poll": handle}))
            await journal.schedule([Work("poll", "p", 0)])
            # Its carrier came, and was put off.
            async with asyncio.timeout(20):
                while not await other.fetch("SELECT FROM pgqueuer WHERE attempts > 0 AND execute_after > created"):
                    await asyncio.sleep(0.01)
            assert handled == []
            await other.close()
            await until(lambda: handled)
            running.cancel()
            await asyncio.wait([running])
    finally:
        await other.close()
    assert handled == ["p"]
