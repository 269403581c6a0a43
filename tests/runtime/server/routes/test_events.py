"""Streams of events: where they begin, what they send, and when they end."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from connector.describe.samples import sample_message
from connector.events.mapping import make_event
from runtime.config.catalog import Catalog
from runtime.journal.entries import Filter
from runtime.journal.journal import Journal
from runtime.server.routes import events
from runtime.server.routes.events import event_stream, find_start
from tests.doubles.jobs import FAILED, new
from tests.doubles.journals import SUCCEEDED
from tests.doubles.served import Served, is_problem

pytestmark = pytest.mark.anyio
CATALOG = Catalog()
MISTRAL = CATALOG.get("mistral-ai")
NOW = datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC)


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


async def read_messages(server: Served, count: int, **more: Any) -> list[tuple[str, str, Any]]:
    """The first messages of the stream of events: id, event, data."""
    found: list[tuple[str, str, Any]] = []
    message: dict[str, str] = {}
    async with server.client.stream("GET", server.url + "/api/events/stream", **more) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                message[name] = value
            elif message.get("data"):
                found.append((message["id"], message["event"], json.loads(message["data"])))
                message = {}
                if len(found) == count:
                    break
    return found


async def test_events_are_listed_shown_streamed_and_resumed(server: Served) -> None:
    for number in range(3):
        await server.send({"id": f"t-{number}"}, id=f"m-{number}")
    get = server.client.get
    listed = (await get(server.url + "/api/events?limit=2")).json()
    assert ([each["seq"] for each in listed["events"]], listed["next"]) == ([1, 2], 2)
    listed = (await get(server.url + "/api/events?after=2&trigger=things/made&connection=demo")).json()
    assert ([each["subject"] for each in listed["events"]], listed["next"]) == (["t-2"], None)
    newest = (await get(server.url + "/api/events?newest_first=true&limit=1")).json()
    assert newest["events"][0]["seq"] == 3
    one = (await get(server.url + f"/api/events/{newest['events'][0]['id']}")).json()
    assert (one["specversion"], one["type"], one["source"], one["raw"]) == (
        "1.0",
        "things/made",
        "/demo/default",
        '{"id": "t-2"}',
    )
    streamed = await read_messages(server, 3, params={"after": 0})
    assert [(id, event, data["subject"]) for id, event, data in streamed] == [
        ("1", "things/made", "t-0"), ("2", "things/made", "t-1"), ("3", "things/made", "t-2"),
    ]  # fmt: skip
    resumed = await read_messages(server, 1, headers={"last-event-id": "2"})
    assert [id for id, _, _ in resumed] == ["3"]
    by_id = await read_messages(server, 1, headers={"last-event-id": streamed[1][2]["id"]})
    assert [id for id, _, _ in by_id] == ["3"]


async def test_a_stream_gives_what_comes_while_it_is_open(server: Served) -> None:
    await server.send({"id": "before"}, id="m-0")
    reading = asyncio.create_task(read_messages(server, 1, params={"trigger": "things/made"}))
    for number in range(1, 1000):
        await server.send({"id": "after"}, id=f"m-{number}")
        if reading.done():
            break
        await asyncio.sleep(0.02)
    ((_, _, data),) = reading.result()
    assert data["subject"] == "after"


async def test_a_sample_event_looks_like_a_real_one_and_is_replayed_like_one(server: Served) -> None:
    body = {"connection": "mistral-ai", "trigger": "batch-jobs/batch_job.succeeded"}
    answer = await server.client.post(server.url + "/api/events/send-test", json=body)
    made = answer.json()
    assert (answer.status_code, made["type"], made["origin"]) == (200, body["trigger"], "test")
    assert made["data"]["status"] == "SUCCESS"
    replayed = await server.client.post(server.url + f"/api/events/{made['id']}/replay")
    assert (replayed.status_code, replayed.json()) == (200, {"deliveries": 0})
    unknown = await server.client.post(server.url + "/api/events/send-test", json=body | {"trigger": "batch-jobs/x"})
    assert (unknown.status_code, is_problem(unknown)) == (404, True)


async def test_every_trigger_that_is_shipped_has_a_sample(server: Served) -> None:
    for webhook in server.lifespan.caller.catalog.get("mistral-ai").webhooks:
        body = {"connection": "mistral-ai", "trigger": webhook.id}
        answer = await server.client.post(server.url + "/api/events/send-test", json=body)
        assert (answer.status_code, answer.json()["type"]) == (200, webhook.id)
        assert any(value is not None for value in answer.json()["data"].values())
