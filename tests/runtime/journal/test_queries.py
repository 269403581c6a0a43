"""Reading the journal: by place, connection, trigger and time."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from connector.messages import Event
from runtime.journal.entries import (
    StoredEvent,
    event_id,
)
from runtime.journal.journal import Journal
from tests.doubles.clock import Clock
from tests.doubles.journals import SUCCEEDED, new

pytestmark = pytest.mark.anyio


async def test_an_event_comes_back_as_it_was_kept(journal: Journal, clock: Clock) -> None:
    given = new(raw=b'{"id": "job-1"}', content_type="application/json", origin="poll", hops=2)
    (appended,) = await journal.append([given])
    id = event_id("mistral-ai", SUCCEEDED, "m1")
    assert (appended.event_id, appended.seq, appended.created, appended.conflict) == (id, 1, True, False)
    event = Event(
        id=id,
        source="/mistral-ai/default",
        type=SUCCEEDED,
        subject="job-1",
        time="2026-11-22T12:00:00Z",
        data=given.event.data,
    )
    kept = StoredEvent(1, "mistral-ai", event, "poll", "m1", clock.now, given.raw, "application/json", 2)
    assert await journal.event(id) == kept
    assert await journal.events() == [kept]


async def test_what_no_database_takes_is_kept_all_the_same(journal: Journal) -> None:
    hostile = "\ud800\0\u202e'\"--"
    (appended,) = await journal.append([new(hostile, subject=hostile, data={hostile: [hostile, 1e300]}, raw=b"\xff\0")])
    kept = await journal.event(appended.event_id)
    assert (kept.event.subject, kept.event.data, kept.raw) == (hostile, {hostile: [hostile, 1e300]}, b"\xff\0")
    assert (await journal.append([new(hostile)]))[0].created is False


async def test_events_are_found_by_place_connection_trigger_and_time(journal: Journal, clock: Clock) -> None:
    await journal.append([new("1"), new("2", connection="other")])
    clock.now += 10
    await journal.append([new("3", trigger="files/file.deleted"), new("4")])

    async def found(**wanted: Any) -> list[int]:
        return [each.seq for each in await journal.events(**wanted)]

    assert await found() == [1, 2, 3, 4]
    assert await found(after=1, limit=2) == [2, 3]
    assert await found(newest_first=True, limit=3) == [4, 3, 2]
    assert await found(newest_first=True, after=3) == [2, 1]
    assert await found(connection="mistral-ai", trigger=SUCCEEDED) == [1, 4]
    assert await found(since=clock.now) == [3, 4]
    assert await found(until=clock.now) == [1, 2]


async def test_events_of_a_trigger_are_read_in_their_order_from_an_index() -> None:
    async with await Journal.open("sqlite://") as journal:
        plan = await journal.read(
            lambda connection: connection.execute(
                text(
                    "EXPLAIN QUERY PLAN SELECT seq FROM events"
                    " WHERE connection = 'a' AND trigger = 'b' AND seq > 5 ORDER BY seq LIMIT 100"
                )
            ).fetchall()
        )
    assert [row[3] for row in plan] == [
        "SEARCH events USING COVERING INDEX events_by_trigger (connection=? AND trigger=? AND seq>?)"
    ]
