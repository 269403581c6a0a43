"""Appending: what collapses, what conflicts, and what is committed together."""

from __future__ import annotations

import asyncio

import pytest

from runtime.journal.entries import (
    Checkpoint,
    Filter,
    Sightings,
    Subscription,
    Work,
)
from runtime.journal.journal import Journal
from tests.doubles.clock import Clock
from tests.doubles.journals import SUCCEEDED, in_line, new

pytestmark = pytest.mark.anyio


async def test_T63_W1_the_same_event_is_kept_once_in_whatever_way_it_comes_again(journal: Journal) -> None:
    first = await journal.append([new(), new()])
    again = await asyncio.gather(*(journal.append([new()]) for _ in range(100)))
    assert [each.created for each in first] == [True, False]
    assert {answer.event_id for answers in again for answer in answers} == {first[0].event_id}
    assert not any(answer.created for answers in again for answer in answers)
    assert len(await journal.events()) == 1


async def test_T64_the_same_id_with_another_body_is_a_conflict(journal: Journal) -> None:
    await journal.append([new(raw=b"one")])
    (same,) = await journal.append([new(raw=b"one")])
    (other,) = await journal.append([new(raw=b"two")])
    assert (same.conflict, other.created, other.conflict) == (False, False, True)
    assert (await journal.events())[0].raw == b"one"


async def test_T64_the_same_body_under_another_id_trigger_or_connection_is_another_event(journal: Journal) -> None:
    others = [new(), new("m2"), new(trigger="batch-jobs/batch_job.created"), new(connection="mistral-ai:team-b")]
    assert [each.created for each in await journal.append(others)] == [True] * 4


async def test_T74_what_has_nothing_to_tell_it_apart_is_never_collapsed(journal: Journal) -> None:
    assert [each.created for each in await journal.append([new(None), new(None)])] == [True, True]
    assert [each.dedupe for each in await journal.events()] == [None, None]


async def test_C1_order_is_that_of_arrival_whatever_the_clock_says(journal: Journal, clock: Clock) -> None:
    for step in (3600.0, -7200.0, -3 * 86400.0):
        await journal.append([new(str(step))])
        clock.now += step
    assert [each.dedupe for each in await journal.events()] == ["3600.0", "-7200.0", "-259200.0"]


async def test_checkpoint_sightings_work_and_events_are_one_commit(journal: Journal, clock: Clock) -> None:
    checkpoint = Checkpoint("poll-1", {"cursor": "c"}, clock.now)
    poll = Work("poll", "poll-1", clock.now + 60)
    seen = Sightings("poll-1", {"job-1": "SUCCESS", "job-2": "\ud800"})
    await journal.append([new()], checkpoint=checkpoint, sightings=seen, then=[poll])
    assert await journal.checkpoint("poll-1") == checkpoint
    assert await journal.checkpoint("poll-2") is None
    known = await journal.sightings("poll-1", ["job-1", "job-2", "job-3"])
    assert {key: each.state for key, each in known.items()} == seen.states
    assert await in_line(journal) == [("poll", "poll-1")]


async def test_K10_if_one_part_of_an_append_fails_nothing_of_it_is_kept(journal: Journal, clock: Clock) -> None:
    good = asyncio.create_task(journal.append([new("good")]))
    unwritable = Checkpoint("poll-1", float, clock.now)
    with pytest.raises(Exception, match="not JSON serializable"):
        await journal.append([new("bad")], checkpoint=unwritable, then=[Work("poll", "p", 0)])
    # What shared the transaction with it is tried again without it.
    assert (await good)[0].created
    assert [each.dedupe for each in await journal.events()] == ["good"]
    assert await in_line(journal) == []


async def test_an_event_has_a_delivery_for_each_subscription_that_wants_it(journal: Journal) -> None:
    wants = {
        "sub_all": Filter(),
        "sub_connector": Filter("mistral-ai", (SUCCEEDED,)),
        "sub_connection": Filter("mistral-ai:team-b"),
        "sub_trigger": Filter(triggers=("files/file.deleted",)),
        "sub_field": Filter(where={"status": ("FAILED", "SUCCESS")}),
        "sub_other_field": Filter(where={"status": ("FAILED",)}),
        "sub_no_field": Filter(where={"absent": (None,)}),
    }
    for id, wanted in wants.items():
        await journal.add_subscription(Subscription(id, "https://example.com/", wanted))
    await journal.append([new()])
    made = {each.subscription for each in await journal.deliveries()}
    assert made == {"sub_all", "sub_connector", "sub_field"}
    assert len(await in_line(journal)) == 3
    await journal.append([new()])
    assert len(await journal.deliveries()) == 3


async def test_a_subscription_gets_what_comes_while_it_is_enabled(journal: Journal) -> None:
    await journal.append([new("before")])
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new("enabled")])
    changed = await journal.change_subscription("sub_1", state="disabled", reason="gone", memory={"since": 1})
    await journal.append([new("disabled")])
    assert await journal.subscription("sub_1") == changed
    assert (changed.state, changed.reason, changed.memory) == ("disabled", "gone", {"since": 1})
    assert [each.id for each in await journal.subscriptions()] == ["sub_1"]
    (delivery,) = await journal.deliveries()
    assert (await journal.event(delivery.event_id)).dedupe == "enabled"
