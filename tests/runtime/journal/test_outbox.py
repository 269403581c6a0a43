"""Deliveries on their way: read with their events, rescheduled after an outage, given up with their endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from runtime.journal.entries import Attempt, Filter, Subscription
from runtime.journal.journal import Journal
from runtime.journal.outbox import Outbox
from tests.doubles.clock import Clock
from tests.doubles.journals import in_line, new

pytestmark = pytest.mark.anyio


async def test_deliveries_that_are_requested_at_once_are_read_together_with_their_events(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new(f"m{number}") for number in range(3)])
    ids = [delivery.id for delivery in await journal.deliveries()]
    outbox, reads = Outbox(journal), 0
    read = journal.read

    async def count(run: Callable[[Connection], Any]) -> Any:
        nonlocal reads
        reads += 1
        return await read(run)

    monkeypatch.setattr(journal, "read", count)
    found = await asyncio.gather(*(outbox.find(id) for id in [*ids, "dlv_absent"]))
    assert found[-1] is None
    assert [each.delivery.id for each in found if each is not None] == ids
    assert {each.stored.dedupe for each in found if each is not None} == {"m0", "m1", "m2"}
    assert all(each.subscription is not None for each in found if each is not None)
    assert reads <= 2


async def test_what_waits_is_due_now_at_the_rate_of_the_subscription(journal: Journal, clock: Clock) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/", rate=2.0))
    await journal.append([new(f"m{number}") for number in range(4)])
    attempt = Attempt(clock.now, 0.1, 500, "failed")
    for delivery in await journal.deliveries():
        await journal.record_attempt(delivery.id, attempt, state="pending", due=clock.now + 9000)
    (subscription,) = await journal.subscriptions()
    await Outbox(journal).hasten(subscription)
    due = sorted(delivery.due or 0.0 for delivery in await journal.deliveries())
    assert [each - clock.now for each in due] == [0.0, 0.5, 1.0, 1.5]


async def test_a_disabled_endpoint_receives_nothing_more_and_its_deliveries_are_dead(journal: Journal) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.add_subscription(Subscription("sub_2", "https://example.org/", Filter("", ("a/b",))))
    await journal.append([new("m1"), new("m2")])
    outbox = Outbox(journal)
    await outbox.remember("sub_1", {"failing_since": 7})
    await outbox.disable("sub_1", "answered 410")
    assert {(each.state, each.reason) for each in await journal.deliveries()} == {
        ("dead", "the subscription was disabled: answered 410")
    }
    assert await in_line(journal) == []
    states = {each.id: (each.state, dict(each.memory)) for each in await journal.subscriptions()}
    assert states == {"sub_1": ("disabled", {"failing_since": 7}), "sub_2": ("enabled", {})}
