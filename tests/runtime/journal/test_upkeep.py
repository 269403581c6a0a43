"""Retention, backup and check of a journal, and their commands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text

from connector.errors import ConfigurationError
from runtime.journal.entries import Attempt, Run, Subscription
from runtime.journal.journal import Journal
from tests.doubles.clock import Clock
from tests.doubles.events import new
from tests.doubles.postgres import Server

pytestmark = pytest.mark.anyio
DAY = 86400.0


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[Journal]:
    async with await Journal.open(f"sqlite:///{tmp_path}/journal.db", clock=clock) as opened:
        yield opened


async def kept(journal: Journal) -> list[str | None]:
    return [each.dedupe for each in await journal.events(limit=10_000)]


async def test_what_is_too_old_is_removed_with_all_that_came_of_it(journal: Journal, clock: Clock) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new("old"), new("waiting"), new("running")])
    await journal.audit("subscription.add", "sub_1")
    old, waiting, running = await journal.deliveries()
    for each in (old, running):
        await journal.record_attempt(each.id, Attempt(clock.now, 0.1, 200), state="delivered")
    await journal.save_run(Run("run_1", "download", running.event_id, "pending", due=clock.now))
    await journal.save_run(Run("run_2", "download", old.event_id, "done"))
    clock.now += 31 * DAY
    await journal.append([new("young")])
    removed = await journal.retain(days=30)
    assert (removed.events, removed.deliveries) == (1, 1)
    assert await kept(journal) == ["waiting", "running", "young"]
    assert await journal.attempts(old.id) == []
    assert [each.id for each in await journal.runs()] == ["run_1"]
    assert await journal.audits() == []
    assert (await journal.delivery(waiting.id)).state == "pending"
    await journal.record_attempt(waiting.id, None, state="dead")
    assert (await journal.retain(days=30)).events == 1
    assert await journal.check() == []


async def test_only_the_newest_are_kept_however_many_steps_that_takes(journal: Journal) -> None:
    await journal.append([new(str(number)) for number in range(1700)])
    assert (await journal.retain(events=100)).events == 1600
    assert await kept(journal) == [str(number) for number in range(1600, 1700)]
    assert (await journal.retain(events=100)).events == 0
    assert (await journal.retain()).events == 0
    # Numbers are never given out twice.
    assert (await journal.append([new("next")]))[0].seq == 1701


async def test_a_backup_is_a_journal_of_one_moment(journal: Journal, tmp_path: Path) -> None:
    await journal.append([new("1")])
    size = await journal.back_up(tmp_path / "copy.db")
    await journal.append([new("2")])
    async with await Journal.open(f"sqlite:///{tmp_path}/copy.db") as copy:
        assert await kept(copy) == ["1"]
        assert await copy.check() == []
    status = await anyio.Path(tmp_path / "copy.db").stat()
    assert status.st_mode & 0o777 == 0o600
    assert size > 0
    with pytest.raises(ConfigurationError, match="exists"):
        await journal.back_up(tmp_path / "copy.db")
    with pytest.raises(ConfigurationError, match=r"no such file|cannot|not written"):
        await journal.back_up(tmp_path / "nowhere" / "copy.db")
    assert await kept(journal) == ["1", "2"]


async def test_a_postgresql_is_backed_up_with_its_own_tools(postgres: Server, tmp_path: Path) -> None:
    async with await Journal.open(await postgres.empty()) as journal:
        await journal.append([new("1")])
        assert await journal.check() == []
        assert (await journal.retain(events=1)).events == 0
        with pytest.raises(ConfigurationError, match="in PostgreSQL"):
            await journal.back_up(tmp_path / "copy.db")


async def test_a_check_finds_what_must_never_be(journal: Journal) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new("1"), new("2")])
    for statement in ("DELETE FROM work", "DELETE FROM events WHERE seq = 1", "UPDATE counters SET events = 0"):
        await journal.database.transact(lambda connection, statement=statement: connection.execute(text(statement)))
    assert await journal.check() == [
        "event 2 has a number beyond the last one, 0",
        "1 deliveries have lost their event",
        "2 deliveries are pending but not queued",
    ]


async def test_F5_a_check_finds_a_damaged_page(tmp_path: Path) -> None:
    path = anyio.Path(tmp_path / "journal.db")
    async with await Journal.open(f"sqlite:///{path}") as journal:
        await journal.append([new(str(number)) for number in range(1000)])
    data = bytearray(await path.read_bytes())
    data[-40960:-20480] = bytes(20480)
    await path.write_bytes(bytes(data))
    async with await Journal.open(f"sqlite:///{path}", read_only=True) as journal:
        assert (await journal.check())[0].startswith(("the file is damaged", "the journal cannot be used"))


# The commands
