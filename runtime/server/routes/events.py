"""The routes of events: listed, followed, shown, replayed, and made as samples."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Body, Query, Request

from connector.describe.samples import sample_message
from connector.errors import NotInJournal, RequestRefused, did_you_mean
from connector.events.mapping import make_event
from runtime import documents
from runtime.config.connections import ConnectionName
from runtime.journal.entries import Filter, NewEvent, StoredEvent
from runtime.journal.journal import Journal
from runtime.server.routing import After, ConnectionBody, Find, JsonResponse, Limit, find_connector, stream_response

#: Seconds of silence after which a stream sends a comment (HTML Standard, server-sent events).
KEEP_ALIVE: Final = 15.0
Since = Annotated[float | None, Query(description="Received from then on, in seconds since the epoch.")]
Until = Annotated[float | None, Query(description="Received before then.")]


def add_routes(router: APIRouter, services: Find) -> None:
    """Adds the routes of events."""

    @router.get("/events", tags=["events"])
    async def list_events(  # noqa: PLR0917 - parameters of a query
        after: After = 0,
        limit: Limit = 100,
        connection: str | None = None,
        trigger: str | None = None,
        since: Since = None,
        until: Until = None,
        newest_first: bool = False,  # noqa: FBT001, FBT002 - as above
    ) -> JsonResponse:
        """Events in the order in which they were kept; `next` is the `after` of the next page."""
        found = await services().journal.events(
            after=after,
            limit=limit,
            connection=connection,
            trigger=trigger,
            since=since,
            until=until,
            newest_first=newest_first,
        )
        more = found[-1].seq if len(found) == limit else None
        return JsonResponse({"events": [documents.stored_event_document(each) for each in found], "next": more})

    @router.get("/events/stream", tags=["events"])
    async def stream_events(
        request: Request,
        after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
        connection: str | None = None,
        trigger: str | None = None,
    ) -> JsonResponse:
        """Events as they come (server-sent events), after `Last-Event-ID` or `after`, by default from now on."""
        journal, stopping = services().journal, services().stopping
        start = await find_start(journal, request.headers.get("last-event-id", ""), after)
        wanted = Filter(connection or "", (trigger,) if trigger else ())
        return cast("JsonResponse", stream_response(event_stream(journal, start, wanted=wanted, stopping=stopping)))

    @router.post("/events/send-test", tags=["events"])
    async def send_test(
        connection: ConnectionBody, trigger: Annotated[str, Body(description="A trigger of that connector.")]
    ) -> JsonResponse:
        """Makes a sample event of the shape that real ones have, and keeps it like them; its origin is `test`."""
        caller, journal = services().caller, services().journal
        connector = find_connector(caller, connection)
        webhook = next((each for each in connector.webhooks if each.id == trigger), None)
        if webhook is None:
            known = sorted(each.id for each in connector.webhooks)
            raise RequestRefused(404, f"no trigger {trigger!r}", hint=did_you_mean(trigger, known))
        message = sample_message(webhook, caller.catalog.examples(connector.handle))
        now = datetime.datetime.fromtimestamp(caller.clock(), tz=datetime.UTC)
        event = make_event(webhook, message, id="", connection=ConnectionName.parse(connection).label, now=now)
        raw = json.dumps(message).encode()
        (kept,) = await journal.append([NewEvent(connection, event, None, raw, "application/json", "test")])
        return JsonResponse(documents.stored_event_document(await journal.event(kept.event_id)))

    @router.get("/events/{id}", tags=["events"])
    async def show_event(id: str) -> JsonResponse:
        """An event, with its raw message and the deliveries that it led to."""
        found = await services().journal.event(id)
        deliveries = await services().journal.deliveries(event=id)
        raw = found.raw.decode("utf-8", "backslashreplace")
        shown = {"raw": raw, "deliveries": [documents.delivery_document(each) for each in deliveries]}
        return JsonResponse(documents.stored_event_document(found) | shown)

    @router.post("/events/{id}/replay", tags=["events"])
    async def replay_event(id: str) -> JsonResponse:
        """Delivers an event once more to every subscription that had it; answers how many those are."""
        journal = services().journal
        await journal.event(id)
        count = await journal.redeliver(events=[id])
        await journal.audit("event.replay", id, {"deliveries": count})
        return JsonResponse({"deliveries": count})


async def find_start(journal: Journal, last: str, after: int | None = None) -> int:
    """The sequence number after which a stream begins.

    `last` is the id that the client received last, a number or the id of an event; without a usable one, `after`
    decides; without both, the stream begins with the next event.
    """
    if last.startswith("evt_"):
        with contextlib.suppress(NotInJournal):
            return (await journal.event(last)).seq
    if last.isascii() and last.isdigit() and len(last) < 19:
        return int(last)
    if not last and after is not None:
        return after
    newest = await journal.events(newest_first=True, limit=1)
    return newest[0].seq if newest else 0


async def event_stream(
    journal: Journal, after: int, *, stopping: asyncio.Event, wanted: Filter | None = None
) -> AsyncIterator[bytes]:
    """The events of a journal after a sequence number as server-sent events, until it is time to stop.

    The id of each is its sequence number, so a client that reconnects with `Last-Event-ID` misses nothing. A slow
    client receives no more than it reads: only one page of the journal is held for it.
    """
    # A first comment, so that a proxy passes the head on at once.
    yield b": events\n\n"
    tail = journal.tail(after)
    stop = asyncio.ensure_future(stopping.wait())
    coming: asyncio.Future[StoredEvent] | None = None
    try:
        while not stop.done():
            coming = coming or asyncio.ensure_future(anext(tail))
            waiting: set[asyncio.Future[Any]] = {coming, stop}
            done, _ = await asyncio.wait(waiting, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
            if coming in done:
                stored, coming = coming.result(), None
                if wanted is None or wanted.matches(stored.connection, stored.event):
                    document: Any = documents.event_document(stored.event, seq=stored.seq)
                    data = json.dumps(document, separators=(",", ":"))
                    yield f"id: {stored.seq}\nevent: {stored.event.type}\ndata: {data}\n\n".encode()
            elif not done:
                yield b":\n\n"
    finally:
        left = [each for each in (stop, coming) if each is not None]
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if (close := getattr(tail, "aclose", None)) is not None:
            await close()
