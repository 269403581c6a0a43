"""F3: a journal on a disk that fills up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from connector.errors import JournalUnavailable
from runtime.journal.entries import Attempt, Subscription
from runtime.journal.journal import Journal
from runtime.journal.space import BALLAST, Space
from tests.doubles.events import new

pytestmark = pytest.mark.anyio
GIB = 1 << 30


class Disk:
    """A disk whose figures are set by hand."""

    def __init__(self, total: int = 100 * GIB, free: int = 50 * GIB) -> None:
        self.total = total
        self.free = free

    def __call__(self, folder: Path) -> tuple[int, int]:
        return self.total, self.free


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def journal(tmp_path: Path, disk: Disk) -> AsyncIterator[Journal]:
    async with await Journal.open(f"sqlite:///{tmp_path}/journal.db", usage=disk) as opened:
        assert opened.space is not None
        opened.space.pause = 0.0
        yield opened


@pytest.mark.parametrize(
    ("total", "free", "full"),
    [(10 * GIB, GIB, False), (10 * GIB, GIB // 2 - 1, True), (1000 * GIB, GIB, False), (1000 * GIB, GIB - 1, True)],
)
def test_F3_five_per_cent_are_left_free_and_no_more_than_a_gibibyte(
    tmp_path: Path, total: int, free: int, full: bool
) -> None:
    disk = Disk()
    space = Space(tmp_path / "journal.db", disk)
    space.demand()
    disk.total, disk.free = total, free
    assert bool(space.problem()) is full
    # Without its reserve it wants that much more.
    disk.free = min(total // 20, GIB) + BALLAST
    assert space.release()
    assert not space.problem()
    disk.free -= 1
    assert space.problem()


async def test_F3_before_the_disk_is_full_events_are_refused_and_everything_else_goes_on(
    journal: Journal, disk: Disk
) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new("1")])
    disk.free = 0
    with pytest.raises(JournalUnavailable, match=r"takes no more: the disk is full: 0 MiB are free") as raised:
        await journal.append([new("2")])
    assert raised.value.retry_after == 30.0
    health = await journal.health()
    assert (health.ready, health.pending) == (False, 1)
    (delivery,) = await journal.deliveries()
    await journal.record_attempt(delivery.id, Attempt(0.0, 0.1, 200), state="delivered")
    assert (await journal.retain(events=0)).events == 1
    disk.free = 50 * GIB
    assert (await journal.append([new("2")]))[0].created
    assert (await journal.health()).ready


async def test_F3_on_a_full_disk_the_ballast_lets_outcomes_be_kept(journal: Journal, tmp_path: Path) -> None:
    ballast = tmp_path / "journal.db.ballast"
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new(str(number)) for number in range(200)])
    assert ballast.stat().st_size == BALLAST

    def fill(connection: Connection) -> None:
        # SQLite says the same at a number of pages as when the disk is full; a connection made anew has no such number.
        pages = connection.scalar(text("PRAGMA page_count"))
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))

    (delivery, *_) = await journal.deliveries()
    await journal.database.transact(fill)
    await journal.record_attempt(delivery.id, Attempt(0.0, 0.1, 500, "x" * 100_000), state="dead")
    assert not ballast.exists()
    assert (await journal.delivery(delivery.id)).state == "dead"
    await journal.database.transact(fill)
    with pytest.raises(JournalUnavailable, match="full"):
        await journal.record_attempt(delivery.id, Attempt(0.0, 0.1, 500, "x" * 100_000), state="dead")
    assert await journal.check() == []
    await journal.append([new("next")])
    assert ballast.exists()
