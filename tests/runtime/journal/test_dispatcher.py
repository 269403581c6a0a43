"""Both dispatchers, the embedded one on SQLite and PgQueuer on PostgreSQL, held to the same promises."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from runtime.journal.clock import SteadyClock
from runtime.journal.dispatcher import FARTHEST, Embedded
from runtime.journal.entries import Attempt, Subscription, Work
from runtime.journal.journal import Journal
from runtime.journal.space import disk_usage
from runtime.journal.storage.sqlite import SQLite
from tests.doubles.events import new
from tests.doubles.postgres import Server

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
WORKER = ROOT / "tests" / "doubles" / "journal_worker.py"
#: Seconds that anything may take here.
PATIENCE = 20.0


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    server: Server = request.getfixturevalue("postgres")
    return await server.empty()


@pytest.fixture
async def journal(url: str) -> AsyncIterator[Journal]:
    async with await Journal.open(url) as opened:
        opened.dispatcher.pause = 0.2
        yield opened


@contextlib.asynccontextmanager
async def running(journal: Journal, **handlers: Callable[[str], Awaitable[None]]) -> AsyncIterator[asyncio.Task[Any]]:
    """The dispatcher at work, until the block ends."""
    task = asyncio.create_task(journal.dispatcher.run(handlers))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


async def until(holds: Callable[[], object], patience: float = PATIENCE) -> None:
    """Waits until it holds."""
    async with asyncio.timeout(patience):
        while not holds():
            await asyncio.sleep(0.01)


async def test_each_unit_is_handed_out_once_whatever_happens_at_the_same_time(journal: Journal) -> None:
    seen: Counter[str] = Counter()
    recorded = []

    async def handle(id: str) -> None:
        seen[id] += 1
        await asyncio.sleep(0)
        await journal.record_attempt(id, None, state="delivered")
        recorded.append(id)

    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new(str(number)) for number in range(100)])
    async with running(journal, delivery=handle):
        await journal.append([new(str(number)) for number in range(100, 150)])
        await until(lambda: len(recorded) == 150)
    assert set(seen.values()) == {1}
    assert await journal.deliveries(state="pending") == []


async def test_nothing_is_handed_out_before_it_is_due_and_everything_soon_after(journal: Journal) -> None:
    handled: dict[str, float] = {}

    async def handle(id: str) -> None:
        handled[id] = journal.now()
        await journal.unschedule("poll", [id])

    async with running(journal, poll=handle):
        begin = journal.now()
        await journal.schedule([Work("poll", "later", begin + 1.5), Work("poll", "now", begin)])
        await until(lambda: len(handled) == 2)
    assert handled["later"] >= begin + 1.5
    assert list(handled) == ["now", "later"]


async def test_only_kinds_with_a_handler_are_handed_out(journal: Journal) -> None:
    handled = []

    async def handle(id: str) -> None:
        handled.append(id)
        await journal.unschedule("run", [id])

    await journal.schedule([Work("poll", "poll", 0), Work("run", "run", 0)])
    async with running(journal, run=handle):
        await until(lambda: handled)
        await asyncio.sleep(0.3)
    assert handled == ["run"]


async def test_a_handler_decides_when_its_unit_is_due_again(journal: Journal) -> None:
    times = []

    async def handle(id: str) -> None:
        times.append(journal.now())
        await journal.append([], then=[Work("poll", id, times[-1] + 0.5)])

    async with running(journal, poll=handle):
        await journal.schedule([Work("poll", "p", 0)])
        await until(lambda: len(times) == 3)
    assert all(later - earlier >= 0.5 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("fails", [True, False], ids=["a handler that fails", "a handler that records nothing"])
async def test_what_was_not_done_is_handed_out_again(journal: Journal, fails: bool) -> None:
    tries = 0

    async def handle(id: str) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            await journal.unschedule("poll", [id])
        elif fails:
            raise ZeroDivisionError

    async with running(journal, poll=handle):
        await journal.schedule([Work("poll", "p", 0)])
        await until(lambda: tries == 3)
        await asyncio.sleep(0.5)
    assert tries == 3


async def test_S2_a_lane_that_is_stuck_holds_up_no_other(journal: Journal) -> None:
    stuck, quick = set(), []
    release = asyncio.Event()

    async def handle(id: str) -> None:
        if id.startswith("slow"):
            stuck.add(id)
            await release.wait()
        else:
            quick.append(id)
        await journal.unschedule("poll", [id])

    slow = [Work("poll", f"slow-{number}", 0, "slow") for number in range(200)]
    await journal.schedule([*slow, *(Work("poll", f"quick-{number}", 1, "quick") for number in range(40))])
    async with running(journal, poll=handle):
        await until(lambda: len(quick) == 40)
        # Two fetches may be under way when a lane reaches its limit.
        assert len(stuck) <= 16 + 2 * 32
        release.set()
        await until(lambda: len(stuck) == 200)


async def test_work_of_a_transaction_that_failed_is_not_there(journal: Journal) -> None:
    handled = []

    async def handle(id: str) -> None:
        handled.append(id)
        await journal.unschedule("poll", [id])

    async with running(journal, poll=handle):
        with pytest.raises(AttributeError):
            await journal.append([new("1"), None], then=[Work("poll", "bad", 0)])  # type: ignore[list-item]
        await journal.append([new("1")], then=[Work("poll", "good", 0)])
        await until(lambda: handled)
    assert handled == ["good"]


async def test_what_was_at_work_when_a_dispatcher_stopped_is_handed_out_by_the_next(journal: Journal) -> None:
    handled: list[str] = []

    async def hang(id: str) -> None:
        handled.append(id)
        await asyncio.Event().wait()

    async def handle(id: str) -> None:
        handled.append(id)
        await journal.unschedule("poll", [id])

    await journal.schedule([Work("poll", "p", 0)])
    async with running(journal, poll=hang):
        await until(lambda: handled)
    async with running(journal, poll=handle):
        await until(lambda: len(handled) == 2)


async def test_a_unit_that_is_put_in_line_again_while_it_is_at_work_is_given_to_nobody_else(journal: Journal) -> None:
    at_work = most = handled = 0

    async def handle(id: str) -> None:
        nonlocal at_work, most, handled
        at_work += 1
        most = max(most, at_work)
        await journal.schedule([Work("poll", id, journal.now() - 1)], replace=True)
        await asyncio.sleep(0.7)
        await journal.unschedule("poll", [id])
        at_work -= 1
        handled += 1

    async with running(journal, poll=handle):
        await journal.schedule([Work("poll", "p", 0)])
        await until(lambda: handled)
        await asyncio.sleep(1.5)
    assert (most, handled) == (1, 1)


async def test_K5_the_work_of_a_killed_process_is_taken_over_within_10_seconds(url: str) -> None:
    handled = []
    async with await Journal.open(url) as journal:
        await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
        await journal.append([new(str(number)) for number in range(5)])
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        WORKER,
        url,
        "hold",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert worker.stdout is not None
    for _ in range(5):
        assert await worker.stdout.readline()
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    killed = time.monotonic()
    async with await Journal.open(url) as journal:

        async def handle(id: str) -> None:
            await journal.record_attempt(id, Attempt(journal.now(), 0.0, 200), state="delivered")
            handled.append(id)

        async with running(journal, delivery=handle):
            await until(lambda: len(handled) == 5)
            assert time.monotonic() - killed < 10
        # What was begun and not finished counts for nothing.
        assert [each.attempts for each in await journal.deliveries()] == [1] * 5


# Several processes on one PostgreSQL


async def take(source: AsyncIterator[Any], count: int) -> AsyncIterator[Any]:
    """The first so many."""
    async with contextlib.aclosing(source):  # type: ignore[type-var]
        async for each in source:
            yield each
            count -= 1
            if not count:
                return


async def test_each_poll_fires_once_in_the_whole_cluster(postgres: Server) -> None:
    url = await postgres.empty()
    fired: Counter[str] = Counter()
    async with contextlib.AsyncExitStack() as stack:
        journals = [await stack.enter_async_context(await Journal.open(url)) for _ in range(3)]
        polls = [Work("poll", f"poll-{number}", 0) for number in range(60)]
        for journal in journals:

            async def handle(id: str, journal: Journal = journal) -> None:
                fired[id] += 1
                await asyncio.sleep(0.01)
                await journal.append([], then=[Work("poll", id, journal.now() + 3600)])

            # Each process schedules all of them when it starts.
            await journal.schedule(polls)
            await stack.enter_async_context(running(journal, poll=handle))
        await until(lambda: len(fired) == 60)
        await asyncio.sleep(1)
    assert set(fired.values()) == {1}


async def test_a_restart_of_the_database_is_survived(postgres: Server) -> None:
    url = await postgres.empty()
    handled = []
    async with await Journal.open(url) as journal:

        async def handle(id: str) -> None:
            handled.append(id)
            await journal.unschedule("poll", [id])

        async with running(journal, poll=handle):
            await journal.schedule([Work("poll", "before", 0)])
            await until(lambda: handled)
            await asyncio.to_thread(postgres.restart)
            await journal.schedule([Work("poll", "after", 0)])
            await until(lambda: "after" in handled)


async def test_events_of_several_processes_have_numbers_in_the_order_of_their_commits(postgres: Server) -> None:
    url = await postgres.empty()
    async with contextlib.AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(await Journal.open(url)) for _ in range(2)]
        tailed: list[int] = []

        async def follow() -> None:
            tailed.extend([each.seq async for each in take(one.tail(0), 100)])

        following = asyncio.create_task(follow())
        await asyncio.gather(
            *(
                journal.append([new(f"{name}-{number}")])
                for number in range(50)
                for name, journal in (("a", one), ("b", other))
            )
        )
        await following
        assert tailed == list(range(1, 101))


async def test_a_subscription_made_in_one_process_counts_in_the_others(postgres: Server) -> None:
    url = await postgres.empty()
    async with await Journal.open(url) as one, await Journal.open(url) as other:
        await other.append([new("before")])
        await one.add_subscription(Subscription("sub_1", "https://example.com/"))
        await other.append([new("after")])
        assert len(await one.deliveries()) == 1


# The embedded one, which nobody else's clock corrects


@pytest.mark.parametrize("step", [3600.0, 3 * 86400.0])
async def test_C1_a_clock_that_went_back_while_nobody_was_there_holds_nothing_up(tmp_path: Path, step: float) -> None:
    before = time.time() + step
    handled = []
    async with await Journal.open(f"sqlite:///{tmp_path}/journal.db", clock=lambda: before) as journal:
        await journal.append([new("1")], then=[Work("poll", "soon", before + 0.2), Work("poll", "late", before + 3600)])
    async with await Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:

        async def handle(id: str) -> None:
            handled.append(id)
            await journal.unschedule("poll", [id])

        async with running(journal, poll=handle):
            await until(lambda: handled, 5)
    assert handled == ["soon"]


async def test_C1_nothing_is_due_later_than_anything_may_be(tmp_path: Path) -> None:
    now = 1_800_000_000.0
    handled = []
    async with await Journal.open(f"sqlite:///{tmp_path}/journal.db", clock=lambda: now) as journal:

        async def handle(id: str) -> None:
            handled.append(id)
            await journal.unschedule("poll", [id])

        await journal.schedule([Work("poll", "p", now + 40 * 86400)])
        async with running(journal, poll=handle):
            await asyncio.sleep(0.1)
        assert handled == []
        now += FARTHEST + 1
        async with running(journal, poll=handle):
            await until(lambda: handled)


async def test_C1_a_step_of_the_wall_clock_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteadyClock()
    before = clock()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= clock() - before < 5


class SlowReads(SQLite):
    """A database whose answers are old by the time they come."""

    async def read(self, run: Callable[[Connection], Any]) -> Any:
        answer = await super().read(run)
        await asyncio.sleep(0.2)
        return answer


async def test_what_was_done_while_it_was_being_looked_for_is_not_handed_out_again(tmp_path: Path) -> None:
    database = SlowReads(tmp_path / "journal.db")
    seen: Counter[str] = Counter()
    async with Journal(database, Embedded(database, time.time), time.time, time.time, disk_usage) as journal:

        async def handle(id: str) -> None:
            seen[id] += 1
            # Some end while others are looked for.
            await asyncio.sleep(0.05 * (int(id[1:]) % 3))
            await journal.unschedule("poll", [id])

        await journal.schedule([Work("poll", f"p{number}", number) for number in range(30)])
        async with running(journal, poll=handle):
            await until(lambda: len(seen) == 30)
            await asyncio.sleep(0.5)
    assert set(seen.values()) == {1}


async def test_K14_what_is_at_work_at_the_end_may_finish_within_the_grace_and_is_cut_off_beyond_it(
    journal: Journal,
) -> None:
    go_on, begun, finished, cut = asyncio.Event(), set[str](), [], []

    async def handle(id: str) -> None:
        begun.add(id)
        try:
            await (go_on.wait() if id == "quick" else asyncio.Event().wait())
        except asyncio.CancelledError:
            cut.append(id)
            raise
        finished.append(id)
        await journal.unschedule("poll", [id])

    await journal.schedule([Work("poll", id, 0.0) for id in ("quick", "slow")])
    task = asyncio.create_task(journal.dispatcher.run({"poll": handle}, grace=0.5))
    await until(lambda: begun == {"quick", "slow"})
    task.cancel()
    await journal.schedule([Work("poll", "late", 0.0)])
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([task], timeout=PATIENCE)
    assert task.cancelled()
    assert (begun, finished, cut) == ({"quick", "slow"}, ["quick"], ["slow"])
    handed_out: list[str] = []

    async def handle_rest(id: str) -> None:
        handed_out.append(id)
        await journal.unschedule("poll", [id])

    async with running(journal, poll=handle_rest):
        await until(lambda: len(handed_out) == 2)
    assert sorted(handed_out) == ["late", "slow"]
