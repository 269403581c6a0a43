"""The journal on SQLite and on PostgreSQL: what is kept, what collapses, what is in line, and what is refused."""

from __future__ import annotations

import asyncio

import pytest

from connector.errors import NotInJournal
from runtime.journal.entries import (
    Run,
    Subscription,
    Work,
)
from runtime.journal.journal import Journal
from tests.doubles.clock import Clock
from tests.doubles.journals import in_line, new

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", ["event", "subscription", "delivery", "run"])
async def test_what_is_not_there_is_said_to_be_not_there(journal: Journal, kind: str) -> None:
    with pytest.raises(NotInJournal, match=f"no {kind} 'x'") as raised:
        await getattr(journal, kind)("x")
    assert (raised.value.kind, raised.value.id) == (kind, "x")


async def test_an_automation_runs_from_the_commit_of_its_event(journal: Journal, clock: Clock) -> None:
    journal.planners.append(lambda stored: [Run("run_1", "download", stored.event.id, "pending")])
    (appended,) = await journal.append([new()])
    run = await journal.run("run_1")
    assert (run.event_id, run.due, run.created) == (appended.event_id, clock.now, clock.now)
    assert await in_line(journal) == [("run", "run_1")]
    later = Run("run_1", "download", run.event_id, "pending", 1, {"answer": 1}, due=clock.now + 5, created=run.created)
    await journal.save_run(later, then=[Work("poll", "p", 0)])
    assert [(each.step, each.context) for each in await journal.runs(automation="download")] == [(1, {"answer": 1})]
    await journal.save_run(Run("run_1", "download", run.event_id, "done", 2))
    assert await in_line(journal) == [("poll", "p")]
    assert await journal.runs(state="pending") == []
    await journal.save_run(Run("run_2", "download", run.event_id, "failed", reason="refused"))
    assert [each.id for each in await journal.runs(event=run.event_id)] == ["run_2", "run_1"]


async def test_work_is_scheduled_once_and_taken_out_again(journal: Journal) -> None:
    await journal.schedule([Work("poll", "a", 10), Work("poll", "b", 20)])
    await journal.schedule([Work("poll", "b", 5)])
    assert await in_line(journal) == [("poll", "a"), ("poll", "b")]
    await journal.schedule([Work("poll", "b", 5)], replace=True)
    assert await in_line(journal) == [("poll", "b"), ("poll", "a")]
    await journal.unschedule("poll", ["b"])
    assert await in_line(journal) == [("poll", "a")]


async def test_a_tail_gives_what_is_there_and_then_what_comes(journal: Journal) -> None:
    await journal.append([new("1"), new("2")])
    tail = journal.tail(1)
    assert (await anext(tail)).seq == 2
    waiting = asyncio.create_task(anext(tail))
    await asyncio.sleep(0)
    await journal.append([new("3")])
    assert (await waiting).seq == 3
    await tail.aclose()


async def test_what_was_done_is_noted(journal: Journal, clock: Clock) -> None:
    await journal.audit("subscription.add", "sub_1", {"url": "https://example.com/"})
    await journal.audit("subscription.remove", "sub_1")
    newest, oldest = await journal.audits()
    assert (newest.action, newest.detail) == ("subscription.remove", {})
    assert (oldest.at, oldest.target, oldest.detail) == (clock.now, "sub_1", {"url": "https://example.com/"})


async def test_health_says_what_waits_and_for_how_long(journal: Journal, clock: Clock) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new("1"), new("2"), new("3")])
    first, second, _ = await journal.deliveries()
    await journal.record_attempt(first.id, None, state="delivered")
    await journal.record_attempt(second.id, None, state="dead")
    clock.now += 30
    health = await journal.health()
    assert (health.ready, health.events, health.pending, health.oldest_pending, health.dead) == (True, 3, 1, 30.0, 1)


# Files
