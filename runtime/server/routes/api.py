"""The routes of the HTTP interface: the catalogue, calls and events here, those of all other state in `administration`.

Each says what is asked for, asks the runtime or the journal, and answers with a document of `documents`. What all of
them share is `routing`'s; which routes there are is told to clients by `/openapi.json`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Path, Query, Request
from starlette.responses import StreamingResponse

from connector.describe.samples import sample_message
from connector.describe.schemas import fields_schema, inputs_schema
from connector.errors import (
    InputError,
    InputProblem,
    InvalidDefinition,
    NotInJournal,
    RequestRefused,
    UnknownOperation,
    did_you_mean,
)
from connector.events.mapping import make_event
from connector.messages import Chunk
from connector.model.definition import Connector, CustomOperation, Operation
from runtime import documents
from runtime.events.listeners import event_stream
from runtime.journal.entries import Filter, NewEvent, StoredEvent
from runtime.journal.journal import Journal
from runtime.problems import problem
from runtime.server.routes.administration import ADMINISTRATION
from runtime.server.routing import (
    PROBLEMS,
    After,
    Backend,
    ConnectionBody,
    JsonResponse,
    Limit,
    connector_of,
    make_route_class,
)

Handle = Annotated[str, Path(description="A connector.")]
Inputs = Annotated[dict[str, Any], Body(description="The inputs of the operation, by name.")]
ConnectionName = Annotated[
    str, Query(pattern=r"^[A-Za-z0-9_.-]{0,64}$", description="A named connection; its default one unless told.")
]


def build_router(backend: Backend) -> APIRouter:
    """Every route below `/api`, acting on a backend."""
    router = APIRouter(prefix="/api", route_class=make_route_class(backend), responses=PROBLEMS)
    for add in (
        _add_catalogue,
        _add_calls,
        _add_events,
        *ADMINISTRATION,
    ):
        add(router, backend)
    return router


def _add_catalogue(router: APIRouter, backend: Backend) -> None:
    catalog = backend.runtime.catalog

    @router.get("/connectors", tags=["catalogue"])
    def list_connectors() -> JsonResponse:
        """The connectors, each with what it is for."""
        return JsonResponse([_summary(catalog, handle) for handle in catalog.handles()])

    @router.get("/connectors/{handle}", tags=["catalogue"])
    def show_connector(handle: Handle) -> JsonResponse:
        """A connector: the values of its connections, its operations and triggers."""
        return JsonResponse(documents.connector_document(catalog.get(handle)))

    @router.get("/connectors/{handle}/operations", tags=["catalogue"])
    def list_operations(handle: Handle) -> JsonResponse:
        """The operations of a connector."""
        return JsonResponse(documents.operation_summaries(catalog.get(handle)))

    @router.get("/connectors/{handle}/operations/{operation}", tags=["catalogue"])
    def show_operation(handle: Handle, operation: str) -> JsonResponse:
        """An operation, with JSON Schemas of its inputs and fields."""
        connector = catalog.get(handle)
        found = _find(connector, operation)
        fields = found.output if isinstance(found, CustomOperation) else found.fields
        schemas = {
            "inputs": inputs_schema(found),
            "fields": fields_schema(fields),
        }
        return JsonResponse({**documents.operation_document(connector, found), "schemas": schemas})


def _add_calls(router: APIRouter, backend: Backend) -> None:
    runtime = backend.runtime

    @router.post("/connectors/{handle}/operations/{operation}", tags=["calls"])
    async def call(
        request: Request, handle: Handle, operation: str, inputs: Inputs, connection: ConnectionName = ""
    ) -> JsonResponse:
        """Calls an operation; with `Accept: text/event-stream` the answer comes as a stream."""
        found = _find(runtime.catalog.get(handle), operation)
        name, values = _named(handle, connection), _read_files(found, inputs)
        if "text/event-stream" in request.headers.get("accept", ""):
            chunks = cast("AsyncGenerator[Chunk, None]", runtime.stream(name, operation, values))
            # What goes wrong before the first chunk is still an answer of its own.
            first = await anext(chunks, None)
            return cast("JsonResponse", _stream(_chunk_lines(first, chunks)))
        return JsonResponse(documents.result_document(await runtime.call(name, operation, values)))

    @router.post("/connectors/{handle}/operations/{operation}/render", tags=["calls"])
    def render(handle: Handle, operation: str, inputs: Inputs, connection: ConnectionName = "") -> JsonResponse:
        """The request that a call would send, its secrets masked; nothing is sent."""
        found = _find(runtime.catalog.get(handle), operation)
        shown = runtime.render(_named(handle, connection), operation, _read_files(found, inputs))
        return JsonResponse(documents.request_document(shown))


def _add_events(router: APIRouter, backend: Backend) -> None:
    @router.get("/events", tags=["events"])
    async def list_events(
        after: After = 0,
        limit: Limit = 100,
        connection: str | None = None,
        trigger: str | None = None,
        since: Annotated[float | None, Query(description="Received from then on, in seconds since the epoch.")] = None,
        until: Annotated[float | None, Query(description="Received before then.")] = None,
        newest_first: bool = False,
    ) -> JsonResponse:
        """Events in the order in which they were kept; `next` is what to ask for with `after`."""
        found = await backend.open_journal().events(
            after=after,
            limit=limit,
            connection=connection,
            trigger=trigger,
            since=since,
            until=until,
            newest_first=newest_first,
        )
        more = found[-1].seq if len(found) == limit else None
        return JsonResponse({"events": [_event(each) for each in found], "next": more})

    @router.get("/events/stream", tags=["events"])
    async def stream_events(
        request: Request,
        after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
        connection: str | None = None,
        trigger: str | None = None,
    ) -> JsonResponse:
        """Events as they come (server-sent events); `Last-Event-ID` or `after` says where to go on, else now."""
        journal = backend.open_journal()
        start = await _start(journal, request.headers.get("last-event-id", ""), after)
        wanted = Filter(connection or "", (trigger,) if trigger else ())
        stream = event_stream(journal, last_event_id=start, wanted=wanted)
        return cast("JsonResponse", _stream(_until(stream, backend.stopping)))

    @router.post("/events/send-test", tags=["events"])
    async def send_test(
        connection: ConnectionBody,
        trigger: Annotated[str, Body(description="A trigger of that connector.")],
    ) -> JsonResponse:
        """Makes a sample event of the shape that real ones have, and keeps it like them; its origin is `test`."""
        journal, runtime = backend.open_journal(), backend.runtime
        connector = runtime.catalog.get(connector_of(connection))
        webhook = next((each for each in connector.webhooks if each.id == trigger), None)
        if webhook is None:
            known = sorted(each.id for each in connector.webhooks)
            raise RequestRefused(404, f"no trigger {trigger!r}", hint=did_you_mean(trigger, known))
        document = sample_message(webhook, runtime.catalog.examples(connector.handle))
        name = connection.partition(":")[2] or "default"
        now = datetime.datetime.fromtimestamp(runtime.clock(), tz=datetime.UTC)
        event = make_event(webhook, document, id="", connection=name, now=now)
        raw = json.dumps(document).encode()
        (kept,) = await journal.append([NewEvent(connection, event, None, raw, "application/json", "test")])
        return JsonResponse(_event(await journal.event(kept.event_id)))

    @router.get("/events/{id}", tags=["events"])
    async def show_event(id: str) -> JsonResponse:
        """An event, with its raw message and the deliveries that it led to."""
        journal = backend.open_journal()
        found = await journal.event(id)
        deliveries = await journal.deliveries(event=id)
        raw = found.raw.decode("utf-8", "backslashreplace")
        shown = {"raw": raw, "deliveries": [documents.delivery_document(each) for each in deliveries]}
        return JsonResponse(_event(found) | shown)

    @router.post("/events/{id}/replay", tags=["events"])
    async def replay_event(id: str) -> JsonResponse:
        """Delivers an event once more to every subscription that had it; says how many."""
        journal = backend.open_journal()
        await journal.event(id)
        count = await journal.redeliver(events=[id])
        await journal.audit("event.replay", id, {"deliveries": count})
        return JsonResponse({"deliveries": count})


def _summary(catalog: Any, handle: str) -> dict[str, Any]:
    try:
        found = catalog.get(handle)
    except InvalidDefinition as error:
        return {"handle": handle, "valid": False, "short": f"{len(error.problems)} problems"}
    counts = {"operations": len(found.operations) + len(found.custom_operations), "triggers": len(found.webhooks)}
    return {"handle": handle, "valid": True, "short": found.short, **counts}


def _find(connector: Connector, operation: str) -> Operation | CustomOperation:
    known: Mapping[str, Operation | CustomOperation] = {**connector.operations, **connector.custom_operations}
    try:
        return known[operation]
    except KeyError:
        raise UnknownOperation(connector.handle, operation, known) from None


def _named(handle: str, connection: str) -> str:
    return f"{handle}:{connection}" if connection else handle


def _read_files(operation: Operation | CustomOperation, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs, none of which can name a file of ours (hazard T71): a File is its content as text."""
    declared = operation.inputs
    wrong = [
        InputProblem(name, f"{name}: the content of a file is text here")
        for name, value in inputs.items()
        if name in declared and declared[name].type == "File" and not isinstance(value, str)
    ]
    if wrong:
        raise InputError(getattr(operation, "id", ""), wrong)
    return dict(inputs)


def _event(stored: StoredEvent) -> dict[str, Any]:
    extra = {"connection": stored.connection, "origin": stored.origin, "received": stored.received}
    dedupe = {"dedupe": "none"} if stored.dedupe is None else {}
    return {**documents.event_document(stored.event, seq=stored.seq), "seq": stored.seq, **extra, **dedupe}


async def _start(journal: Journal, last: str, after: int | None) -> str:
    """The sequence number behind which a stream begins, as text: what the client had last, or asks for, or now."""
    if last.startswith("evt_"):
        with contextlib.suppress(NotInJournal):
            return str((await journal.event(last)).seq)
    return last or ("" if after is None else str(after))


async def _until(stream: AsyncIterator[bytes], stopping: asyncio.Event) -> AsyncIterator[bytes]:
    """What comes, until it is time to stop."""
    async with contextlib.aclosing(cast("AsyncGenerator[bytes, None]", stream)) as pieces:
        stop = asyncio.ensure_future(stopping.wait())
        coming: asyncio.Future[bytes] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(anext(pieces))
                await asyncio.wait({coming, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    return
                yield coming.result()
        finally:
            waiting = [each for each in (stop, coming) if each is not None]
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


async def _chunk_lines(first: Chunk | None, chunks: AsyncGenerator[Chunk, None]) -> AsyncIterator[str]:
    """Each chunk as a message; a failure between two is the last one, named `problem`."""
    async with contextlib.aclosing(chunks):
        try:
            chunk = first
            while chunk is not None:
                yield _message(documents.chunk_document(chunk))
                chunk = await anext(chunks, None)
        except Exception as error:  # noqa: BLE001 - the status has been sent, so it is said in the stream
            yield _message(problem(error)[1], event="problem")
        else:
            yield "event: done\ndata: {}\n\n"


def _message(document: Any, *, id: str = "", event: str = "") -> str:
    """One server-sent event; JSON in ASCII has no line feed."""
    head = (f"id: {id}\n" if id else "") + (f"event: {event}\n" if event else "")
    return f"{head}data: {json.dumps(document)}\n\n"


def _stream(lines: AsyncIterator[str] | AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
