"""The short forms of the soaks: kills at each point, power cuts, and what a file system or another process does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError

from connector.errors import JournalUnavailable
from runtime.journal.dispatcher import Embedded, _find_due
from runtime.journal.entries import Attempt, Subscription, Work
from runtime.journal.journal import Journal
from runtime.journal.space import disk_usage
from runtime.journal.storage.migrate import migrate
from runtime.journal.storage.sqlite import SQLite
from tests.doubles.events import new
from tests.doubles.postgres import Server

ROOT = Path(__file__).parent.parent.parent


def soak(name: str, *options: str) -> Any:
    """What a soak reports; it has to end well."""
    done = subprocess.run(
        [sys.executable, f"tests/soak/{name}", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_K1_to_K10_a_kill_at_any_point_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    verdict = soak("kills.py", "--kills", "1", "--events", "2000", "--folder", str(tmp_path))
    # It goes on until there are events enough, and then a point may be met once more.
    assert verdict["kills"].keys() == {f"K{number}" for number in range(1, 11)}
    assert min(verdict["kills"].values()) >= 1
    assert verdict["acknowledged"] >= 2000
    assert (verdict["lost"], verdict["twice_in_the_journal"], verdict["deliveries_absent"]) == (0, 0, 0)


def test_F1_a_power_cut_loses_nothing_that_was_acknowledged_and_would_without_the_flush() -> None:
    verdict = soak("power.py", "--cuts", "25", "--control", "6")
    assert (verdict["FULL"]["cuts"], verdict["FULL"]["lost"]) == (25, 0)
    assert verdict["FULL"]["acknowledged"] > 0
    assert verdict["NORMAL"]["lost"] > 0


def test_F2_on_a_disk_whose_writes_and_flushes_fail_nothing_is_acknowledged_in_vain_and_nothing_doubled() -> None:
    verdict = soak("disk_errors.py", "--runs", "2")
    assert verdict["acknowledged"] == 240
    assert verdict["refused"] > 0
    assert [verdict[each] for each in ("lost", "twice", "deliveries_absent", "damaged")] == [0, 0, 0, 0]


class Tidy(SQLite):
    """A database whose log is copied into it after a few pages."""

    checkpoint_pages = 30


@pytest.mark.anyio
async def test_F3_the_log_is_copied_into_the_database_and_begins_anew(tmp_path: Path) -> None:
    async with over(Tidy(tmp_path / "journal.db")) as journal:
        for number in range(400):
            await journal.append([new(str(number))])
        # Each append writes three pages, some five million bytes in all, had the log not begun anew.
        assert (tmp_path / "journal.db-wal").stat().st_size < 1_000_000
        assert len(await journal.events(limit=1000)) == 400
    assert sqlite3.connect(tmp_path / "journal.db").execute("SELECT count(*) FROM events").fetchone() == (400,)


class Failing(SQLite):
    """A database whose commits fail as often as is wanted."""

    failures = 0

    def _connect(self, name: str) -> Any:
        outer = self

        class Connection(sqlite3.Connection):
            def commit(self) -> None:
                if self.in_transaction and outer.failures > 0:
                    outer.failures -= 1
                    raise sqlite3.OperationalError("disk I/O error")
                super().commit()

        return sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False, factory=Connection)


def over(database: SQLite) -> Journal:
    return Journal(database, Embedded(database, time.time), time.time, time.time, disk_usage)


@pytest.mark.anyio
async def test_F2_what_a_failed_commit_held_is_not_acknowledged_and_the_database_is_opened_anew(tmp_path: Path) -> None:
    database = Failing(tmp_path / "journal.db")
    async with over(database) as journal:
        await journal.append([new("before")])
        first = await database.transact(lambda connection: id(connection.connection.driver_connection))
        database.failures = 1
        with pytest.raises(JournalUnavailable, match="disk I/O error"):
            await journal.append([new("failed")])
        second = await database.transact(lambda connection: id(connection.connection.driver_connection))
        assert first != second
        assert (await journal.append([new("failed")]))[0].created
        assert [each.dedupe for each in await journal.events()] == ["before", "failed"]


@pytest.mark.anyio
async def test_F2_of_many_appends_under_failures_none_is_acknowledged_in_vain(tmp_path: Path) -> None:
    database = Failing(tmp_path / "journal.db")
    acknowledged, refused = set(), 0
    async with over(database) as journal:

        async def send(sender: int) -> None:
            nonlocal refused
            for number in range(30):
                key = f"{sender}-{number}"
                database.failures += number % 7 == 0
                try:
                    await journal.append([new(key)])
                except JournalUnavailable:
                    refused += 1
                else:
                    acknowledged.add(key)

        await asyncio.gather(*(send(sender) for sender in range(8)))
        kept = {each.dedupe for each in await journal.events(limit=1000)}
        assert refused > 0
        assert acknowledged <= kept
        assert await journal.check() == []


class FailingReads(SQLite):
    """A database that cannot be read as often as is wanted."""

    failures = 0

    async def read(self, run: Callable[[Any], Any]) -> Any:
        if self.failures > 0:
            self.failures -= 1
            raise OperationalError("SELECT", {}, sqlite3.OperationalError("disk I/O error"))
        return await super().read(run)


@pytest.mark.anyio
async def test_F2_work_is_handed_out_again_once_the_database_can_be_read(tmp_path: Path) -> None:
    database = FailingReads(tmp_path / "journal.db")
    handled: list[str] = []
    async with over(database) as journal:
        journal.dispatcher.pause = 0.01
        news = asyncio.Event()

        async def handle(id: str) -> None:
            handled.append(id)
            await journal.unschedule("poll", [id])
            news.set()

        # At its start and while it runs.
        database.failures = 2
        running = asyncio.create_task(journal.dispatcher.run({"poll": handle}))
        for id in ("first", "second"):
            await journal.schedule([Work("poll", id, 0)])
            await asyncio.wait_for(news.wait(), 10)
            news.clear()
            database.failures = 3
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
    assert handled == ["first", "second"]


@pytest.mark.anyio
async def test_F4_another_process_that_locks_the_file_is_waited_for_and_then_events_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with await Journal.open(f"sqlite:///{path}") as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(journal.append([new("1")]))
        await asyncio.sleep(0.2)
        other.execute("COMMIT")
        assert (await waiting)[0].created
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(JournalUnavailable, match="locked"):
            await journal.append([new("2")])
        assert time.monotonic() - began >= 4.5
        assert len(await journal.events()) == 1
        other.close()
        await journal.append([new("2")])


def kill_within(path: Path, statement: str, act: Callable[[Journal], Any]) -> None:
    """Has another process open the journal and act, and kills it right after a statement that begins so."""
    child = os.fork()
    if child == 0:

        def executed(_: Any, cursor: Any, text: str, *rest: Any) -> None:
            if text.strip().startswith(statement):
                os.kill(os.getpid(), signal.SIGKILL)

        async def run() -> None:
            event.listen(Engine, "after_cursor_execute", executed)
            async with await Journal.open(f"sqlite:///{path}") as journal:
                await act(journal)

        asyncio.run(run())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the statement never came"


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE runs", "CREATE TABLE alembic_version", "INSERT INTO alembic_version"]
)
def test_K13_a_kill_while_the_tables_are_made_leaves_all_or_none(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "journal.db"
    kill_within(path, statement, lambda journal: journal.health())
    left = sqlite3.connect(path)
    assert left.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    left.close()

    async def go_on() -> None:
        async with await Journal.open(f"sqlite:///{path}") as journal:
            await journal.append([new("1")])

    asyncio.run(go_on())


@pytest.mark.parametrize(
    "statement", ["DROP INDEX events_once", "CREATE INDEX events_by_trigger", "UPDATE alembic_version"]
)
def test_K13_a_kill_while_tables_are_brought_to_this_version_leaves_the_old_or_the_new(
    tmp_path: Path, statement: str
) -> None:
    path = tmp_path / "journal.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrate(connection, "x", to="0001")
    engine.dispose()
    kill_within(path, statement, lambda journal: journal.health())
    left = sqlite3.connect(path)
    assert left.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    indexes = {name for (name,) in left.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert indexes & {"events_once", "events_by_trigger"} == {"events_once"}
    left.close()

    async def go_on() -> list[str]:
        async with await Journal.open(f"sqlite:///{path}") as journal:
            assert journal.database.migrated_from == "0001"
            await journal.append([new("1")])
            return await journal.check()

    assert asyncio.run(go_on()) == []


@pytest.mark.parametrize("statement", ["DELETE FROM attempts", "DELETE FROM deliveries", "DELETE FROM events"])
def test_K13_a_kill_while_old_events_are_removed_leaves_whole_ones(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "journal.db"

    async def fill() -> None:
        async with await Journal.open(f"sqlite:///{path}") as journal:
            await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
            await journal.append([new(str(number)) for number in range(700)])
            made = await journal.deliveries(limit=1000)
            taken = Attempt(0.0, 0.1, 200)
            await asyncio.gather(*(journal.record_attempt(each.id, taken, state="delivered") for each in made))

    async def look() -> tuple[int, int, list[str]]:
        async with await Journal.open(f"sqlite:///{path}") as journal:
            counts = len(await journal.events(limit=1000)), len(await journal.deliveries(limit=1000))
            return *counts, await journal.check()

    asyncio.run(fill())
    kill_within(path, statement, lambda journal: journal.retain(events=0))
    assert asyncio.run(look()) == (700, 700, [])


def test_K13_a_kill_while_the_log_is_put_into_the_database_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def act(journal: Journal) -> None:
        await journal.append([new(str(number)) for number in range(500)])
        await journal.database.transact(lambda connection: connection.execute(text("SELECT 'now'")))

    async def look() -> tuple[int, list[str]]:
        async with await Journal.open(f"sqlite:///{path}") as journal:
            return len(await journal.events(limit=1000)), await journal.check()

    kill_within(path, "SELECT 'now'", act)
    assert path.with_name("journal.db-wal").stat().st_size > 0
    assert asyncio.run(look()) == (500, [])


@pytest.mark.anyio
async def test_L1_with_200000_units_that_are_due_a_look_reads_an_index_and_the_first_is_at_work_at_once(
    tmp_path: Path,
) -> None:
    """The soak `backlog.py` has a million of them, and ten million events."""
    fill = """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
        INSERT INTO work SELECT 'poll', 'p' || i, 'lane-' || (i % 50), 1000.0 + i FROM n
    """
    path = tmp_path / "journal.db"
    async with over(SQLite(path)) as journal:
        await journal.database.transact(lambda connection: connection.execute(text(fill)))
    async with over(SQLite(path)) as journal:
        began, handed = time.monotonic(), asyncio.Event()

        async def handle(_: str) -> None:
            handed.set()
            await asyncio.Event().wait()

        running = asyncio.create_task(journal.dispatcher.run({"poll": handle}))
        await asyncio.wait_for(handed.wait(), 10)
        assert time.monotonic() - began < 2
        running.cancel()
        await asyncio.wait([running])
        statements: list[str] = []

        def look(connection: Connection) -> None:
            # What SQLite itself is asked, values included.
            driver: Any = connection.connection.driver_connection
            driver.set_trace_callback(statements.append)
            _find_due(connection, [(("poll", "lane-7"), 16, 16)], time.time())
            driver.set_trace_callback(None)

        await journal.database.read(look)
    (statement,) = [each for each in statements if each.startswith("SELECT")]
    with contextlib.closing(sqlite3.connect(path)) as other:
        plan = [row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert [line.split(" ")[0] for line in plan] == ["SEARCH"], plan


def test_L2_few_file_handles_and_little_memory_are_enough(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        async def run() -> int:
            done = 0
            async with await Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
                await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
                await asyncio.gather(*(journal.append([new(str(number))]) for number in range(2000)))

                async def handle(id: str) -> None:
                    nonlocal done
                    await journal.record_attempt(id, Attempt(0.0, 0.1, 200), state="delivered")
                    done += 1

                working = asyncio.create_task(journal.dispatcher.run({"delivery": handle}, concurrency=500))
                async with asyncio.timeout(60):
                    while done < 2000:
                        await asyncio.sleep(0.01)
                working.cancel()
            return done

        done = asyncio.run(run())
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used
        # KiB on Linux.
        os._exit(0 if done == 2000 and grown < 100 * 1024 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_three_workers_on_a_postgresql_of_which_one_is_killed_deliver_everything(postgres: Server) -> None:
    url = asyncio.run(postgres.empty())
    verdict = soak("cluster.py", "--deliveries", "240", "--kills", "1", "--url", url)
    assert (verdict["kills"], verdict["not_delivered"], verdict["damage"]) == (1, 0, [])
    assert 1 <= verdict["handed_out_again"] <= verdict["at_hand_when_killed"]


def test_workers_that_share_a_postgresql_are_killed_and_everything_arrives() -> None:
    verdict = soak("workers.py", "--events", "200", "--kills", "1")
    assert verdict["deliveries"] == {"delivered": 200}
    assert verdict["kills"] == 1
