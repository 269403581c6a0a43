"""Deliveries in a transaction: recorded, ordered, replayed, given up."""

from __future__ import annotations

import pytest

from connector.errors import NotInJournal
from runtime.journal.entries import (
    Attempt,
    Filter,
    Subscription,
    event_id,
)
from runtime.journal.journal import Journal
from tests.doubles.clock import Clock
from tests.doubles.journals import SUCCEEDED, in_line, new

pytestmark = pytest.mark.anyio


async def test_a_removed_subscription_leaves_its_deliveries_dead_with_a_reason(journal: Journal) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new()])
    await journal.remove_subscription("sub_1")
    (delivery,) = await journal.deliveries()
    assert (delivery.state, delivery.due, delivery.reason) == ("dead", None, "the subscription was removed")
    assert await in_line(journal) == []
    assert await journal.subscriptions() == []


async def test_nothing_is_removed_or_recorded_that_is_not_there(journal: Journal) -> None:
    with pytest.raises(NotInJournal):
        await journal.remove_subscription("x")
    with pytest.raises(NotInJournal):
        await journal.record_attempt("x", None, state="dead")


async def test_K8_an_attempt_its_outcome_and_what_is_next_are_one_commit(journal: Journal, clock: Clock) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new()])
    (made,) = await journal.deliveries()
    failed = Attempt(clock.now, 0.5, 503, "overloaded")
    await journal.record_attempt(made.id, failed, state="pending", due=clock.now + 5, reason="503")
    after = await journal.delivery(made.id)
    assert (after.state, after.attempts, after.due, after.reason) == ("pending", 1, clock.now + 5, "503")
    assert await in_line(journal) == [("delivery", made.id)]
    await journal.record_attempt(made.id, None, state="pending", due=clock.now + 9, reason="paused")
    taken = Attempt(clock.now, 0.1, 200)
    await journal.record_attempt(made.id, taken, state="delivered")
    after = await journal.delivery(made.id)
    assert (after.state, after.attempts, after.due, after.reason) == ("delivered", 2, None, "")
    assert await journal.attempts(made.id) == [failed, taken]
    assert await in_line(journal) == []


async def test_of_an_ordered_subscription_only_the_oldest_of_each_key_is_in_line(journal: Journal) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/", ordered=True))
    await journal.append([new("a1", subject="a"), new("a2", subject="a"), new("b1", subject="b")])
    await journal.append([new("a3", subject="a")])
    a1, a2, b1, a3 = [each.id for each in await journal.deliveries()]
    assert {id for _, id in await in_line(journal)} == {a1, b1}
    await journal.record_attempt(a1, None, state="delivered")
    assert {id for _, id in await in_line(journal)} == {a2, b1}
    await journal.record_attempt(a2, None, state="dead", reason="410")
    await journal.record_attempt(b1, None, state="delivered")
    assert {id for _, id in await in_line(journal)} == {a3}
    await journal.record_attempt(a3, None, state="delivered")
    assert await journal.redeliver(subscription="sub_1", connection="mistral-ai") == 4
    assert {id for _, id in await in_line(journal)} == {a1, b1}


async def test_a_replay_takes_one_a_range_or_what_fits(journal: Journal, clock: Clock) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.add_subscription(Subscription("sub_2", "https://example.com/"))
    appended = await journal.append([new("1"), new("2")])
    for each in await journal.deliveries():
        dead = each.event_id == appended[0].event_id
        await journal.record_attempt(each.id, Attempt(clock.now, 1.0, 500), state="dead" if dead else "delivered")
    assert await journal.redeliver(state="dead", subscription="sub_1") == 1
    (again,) = await journal.deliveries(state="pending")
    assert (again.subscription, again.attempts, again.due) == ("sub_1", 0, clock.now)
    assert await in_line(journal) == [("delivery", again.id)]
    assert await journal.redeliver(events=[appended[1].event_id]) == 2
    assert await journal.redeliver(until=clock.now) == 0
    assert await journal.redeliver(since=clock.now) == 4
    assert await journal.redeliver(events=[]) == 0


async def test_a_replay_to_one_subscription_brings_it_what_came_before_it(journal: Journal) -> None:
    await journal.append([new("1"), new("2", trigger="files/file.deleted")])
    await journal.add_subscription(Subscription("sub_1", "https://example.com/", Filter(triggers=(SUCCEEDED,))))
    assert await journal.redeliver(subscription="sub_1") == 1
    assert [each.event_id for each in await journal.deliveries()] == [event_id("mistral-ai", SUCCEEDED, "1")]
    with pytest.raises(NotInJournal):
        await journal.redeliver(subscription="sub_2")


async def test_a_replay_goes_through_any_number_of_events(journal: Journal) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    appended = await journal.append([new(str(number)) for number in range(1201)])
    assert await journal.redeliver() == 1201
    assert await journal.redeliver(events=[each.event_id for each in appended]) == 1201
