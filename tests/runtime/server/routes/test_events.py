"""Streams of events: where they begin, what they send, and when they end."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import AsyncIterator

import pytest

from connector.describe.samples import sample_message
from connector.events.mapping import make_event
from connector.messages import Event
from runtime.config.catalog import Catalog
from runtime.journal.entries import Filter, NewEvent
from runtime.journal.journal import Journal
from runtime.server.routes import events
from runtime.server.routes.events import event_stream, find_start

pytestmark = pytest.mark.anyio
CATALOG = Catalog()
MISTRAL = CATALOG.get("mistral-ai")
NOW = datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC)
SUCCEEDED = "batch-jobs/batch_job.succeeded"
FAILED = "batch-jobs/batch_job.failed"


def new(name: str, trigger: str = SUCCEEDED, connection: str = "mistral-ai") -> NewEvent:
    event = Event("", "/mistral-ai/default", trigger, name, "2026-11-22T12:00:00Z", {"name": name})
    return NewEvent(connection, event, name, origin="poll")


def silent(journal: Journal) -> AsyncIterator[bytes]:
    return event_stream(journal, 0, stopping=asyncio.Event())


async def read(stream: AsyncIterator[bytes], count: int) -> list[dict[str, str]]:
    """So many messages of a stream of server-sent events."""
    messages: list[dict[str, str]] = []
    async with asyncio.timeout(20), contextlib.aclosing(stream) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            lines = [line.split(": ", 1) for line in piece.decode().splitlines() if line and not line.startswith(":")]
            messages += [dict(lines)] if lines else []
            if len(messages) == count:
                break
    return messages


async def test_a_stream_goes_on_after_the_last_event_that_its_reader_saw() -> None:
    async with await Journal.open("sqlite://") as journal:
        await journal.append([new(str(number)) for number in range(150)])
        first = await read(event_stream(journal, 0, stopping=asyncio.Event()), 120)
        rest = await read(
            event_stream(journal, await find_start(journal, first[-1]["id"]), stopping=asyncio.Event()), 30
        )
    assert [each["id"] for each in first + rest] == [str(number + 1) for number in range(150)]
    said = json.loads(rest[-1]["data"])
    assert (rest[-1]["event"], said["data"], said["sequence"]) == (SUCCEEDED, {"name": "149"}, f"{150:020d}")


@pytest.mark.parametrize("last", ["", "evt_1", "-1", "٣", "9" * 40])
async def test_a_stream_without_a_place_to_go_on_from_begins_with_what_is_new(last: str) -> None:
    async with await Journal.open("sqlite://") as journal:
        await journal.append([new("old")])
        start, wanted = await find_start(journal, last), Filter(triggers=(FAILED,))
        reading = read(event_stream(journal, start, wanted=wanted, stopping=asyncio.Event()), 1)
        await journal.append([new("unwanted"), new("fresh", FAILED)])
        assert [json.loads(each["data"])["data"]["name"] for each in await reading] == ["fresh"]


async def test_a_silent_stream_says_that_it_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE", 0.01)
    async with await Journal.open("sqlite://") as journal, contextlib.aclosing(silent(journal)) as stream:
        assert [await anext(stream), await anext(stream), await anext(stream)] == [b": events\n\n", b":\n\n", b":\n\n"]


async def test_a_stream_that_waits_ends_when_the_server_stops() -> None:
    stopping = asyncio.Event()
    async with await Journal.open("sqlite://") as journal, asyncio.timeout(20):
        stream = event_stream(journal, 0, stopping=stopping)
        assert await anext(stream) == b": events\n\n"
        waiting = asyncio.ensure_future(anext(stream, b"ended"))
        await asyncio.sleep(0)
        stopping.set()
        assert await waiting == b"ended"


async def test_a_stream_begins_after_an_event_by_id_or_after_a_number() -> None:
    async with await Journal.open("sqlite://") as journal:
        kept = await journal.append([new("one"), new("two")])
        assert await find_start(journal, kept[0].event_id) == 1
        assert await find_start(journal, "", 1) == 1
        assert await find_start(journal, "", 2**62) == 2**62
        assert await find_start(journal, "") == 2


@pytest.mark.parametrize("trigger", [webhook.id for webhook in MISTRAL.webhooks])
def test_a_sample_has_the_shape_of_a_real_event(trigger: str) -> None:
    webhook = next(each for each in MISTRAL.webhooks if each.id == trigger)
    for examples in (CATALOG.examples("mistral-ai"), {}):
        event = make_event(webhook, sample_message(webhook, examples), id="sample", connection="default", now=NOW)
        assert (event.type, event.source, event.time) == (trigger, "/mistral-ai/default", "2026-11-26T00:00:00Z")
        assert list(event.data) == [each.name for each in webhook.payload]
        if webhook.poll is not None and webhook.poll.states:
            assert event.data["status"] in webhook.poll.states
