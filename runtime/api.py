"""The routes of the HTTP interface: the catalogue, calls, events, connections, webhooks, deliveries and subscriptions.

Each says what is asked for, asks the runtime or the journal, and answers with a document of `documents`. What all of
them share is `routing`'s; which routes there are is told to clients by `/openapi.json`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Body, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from connector.definitions import Connector, CustomOperation, Operation
from connector.errors import (
    ConfigurationError,
    InputError,
    InputProblem,
    InvalidDefinition,
    NotInJournal,
    RequestRefused,
    UnknownOperation,
    did_you_mean,
)
from connector.mapping import Chunk, make_event
from runtime import documents
from runtime.automations import run_document
from runtime.entering import INBOUND, enter_values
from runtime.entries import Filter, NewEvent, StoredEvent
from runtime.journal import Journal
from runtime.listening import event_stream
from runtime.poller import Poller, trigger_documents
from runtime.problems import problem
from runtime.registering import Registrations
from runtime.routing import PROBLEMS, Answer, Backend, make_route_class
from runtime.samples import sample_message
from runtime.store import open_store
from runtime.subscribers import Subscribers
from runtime.webhooks import connections_of

Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
After = Annotated[int, Query(ge=0, le=2**62, description="Only what comes behind this sequence number.")]
Handle = Annotated[str, Path(description="A connector.")]
Inputs = Annotated[dict[str, Any], Body(description="The inputs of the operation, by name.")]
ConnectionName = Annotated[
    str, Query(pattern=r"^[A-Za-z0-9_.-]{0,64}$", description="A named connection; its default one unless told.")
]


class ChosenDeliveries(BaseModel, extra="forbid"):
    """Deliveries by their ids, or all that fit; times are when their events were received, in epoch seconds."""

    ids: list[str] = []
    state: Literal["pending", "delivered", "dead"] | None = None
    subscription: str | None = None
    connection: str | None = None
    trigger: str | None = None
    since: float | None = None
    until: float | None = None


def build_router(backend: Backend) -> APIRouter:
    """Every route below `/api`, acting on a backend."""
    router = APIRouter(prefix="/api", route_class=make_route_class(backend), responses=PROBLEMS)
    for add in (
        _add_catalogue,
        _add_calls,
        _add_events,
        _add_connections,
        _add_registrations,
        _add_deliveries,
        _add_triggers,
    ):
        add(router, backend)
    return router


def _add_catalogue(router: APIRouter, backend: Backend) -> None:
    catalog = backend.runtime.catalog

    @router.get("/connectors", tags=["catalogue"])
    def list_connectors() -> Answer:
        """The connectors, each with what it is for."""
        return Answer([_summary(catalog, handle) for handle in catalog.handles()])

    @router.get("/connectors/{handle}", tags=["catalogue"])
    def show_connector(handle: Handle) -> Answer:
        """A connector: the values of its connections, its operations and triggers."""
        return Answer(documents.connector_document(catalog.get(handle)))

    @router.get("/connectors/{handle}/operations", tags=["catalogue"])
    def list_operations(handle: Handle) -> Answer:
        """The operations of a connector."""
        return Answer(documents.operation_summaries(catalog.get(handle)))

    @router.get("/connectors/{handle}/operations/{operation}", tags=["catalogue"])
    def show_operation(handle: Handle, operation: str) -> Answer:
        """An operation, with JSON Schemas of its inputs and fields."""
        connector = catalog.get(handle)
        found = _find(connector, operation)
        fields = found.output if isinstance(found, CustomOperation) else found.fields
        schemas = {
            "inputs": documents.inputs_schema(found.inputs.values()),
            "fields": documents.fields_schema(fields),
        }
        return Answer({**documents.operation_document(connector, found), "schemas": schemas})


def _add_calls(router: APIRouter, backend: Backend) -> None:
    runtime = backend.runtime

    @router.post("/connectors/{handle}/operations/{operation}", tags=["calls"])
    async def call(
        request: Request, handle: Handle, operation: str, inputs: Inputs, connection: ConnectionName = ""
    ) -> Answer:
        """Calls an operation; with `Accept: text/event-stream` the answer comes as a stream."""
        found = _find(runtime.catalog.get(handle), operation)
        name, values = _named(handle, connection), _read_files(found, inputs)
        if "text/event-stream" in request.headers.get("accept", ""):
            chunks = cast("AsyncGenerator[Chunk, None]", runtime.stream(name, operation, values))
            # What goes wrong before the first chunk is still an answer of its own.
            first = await anext(chunks, None)
            return cast("Answer", _stream(_chunk_lines(first, chunks)))
        return Answer(documents.result_document(await runtime.call(name, operation, values)))

    @router.post("/connectors/{handle}/operations/{operation}/render", tags=["calls"])
    def render(handle: Handle, operation: str, inputs: Inputs, connection: ConnectionName = "") -> Answer:
        """The request that a call would send, its secrets masked; nothing is sent."""
        found = _find(runtime.catalog.get(handle), operation)
        shown = runtime.render(_named(handle, connection), operation, _read_files(found, inputs))
        return Answer(documents.request_document(shown))


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
    ) -> Answer:
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
        return Answer({"events": [_event(each) for each in found], "next": more})

    @router.get("/events/stream", tags=["events"])
    async def stream_events(
        request: Request,
        after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
        connection: str | None = None,
        trigger: str | None = None,
    ) -> Answer:
        """Events as they come (server-sent events); `Last-Event-ID` or `after` says where to go on, else now."""
        journal = backend.open_journal()
        start = await _start(journal, request.headers.get("last-event-id", ""), after)
        wanted = Filter(connection or "", (trigger,) if trigger else ())
        stream = event_stream(journal, last_event_id=start, wanted=wanted)
        return cast("Answer", _stream(_until(stream, backend.stopping)))

    @router.post("/events/send-test", tags=["events"])
    async def send_test(
        connection: Annotated[str, Body(description="CONNECTOR, or CONNECTOR:NAME.")],
        trigger: Annotated[str, Body(description="A trigger of that connector.")],
    ) -> Answer:
        """Makes a sample event of the shape that real ones have, and keeps it like them; its origin is `test`."""
        journal, runtime = backend.open_journal(), backend.runtime
        connector = runtime.catalog.get(_checked(connection))
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
        return Answer(_event(await journal.event(kept.event_id)))

    @router.get("/events/{id}", tags=["events"])
    async def show_event(id: str) -> Answer:
        """An event, with its raw message and the deliveries that it led to."""
        journal = backend.open_journal()
        found = await journal.event(id)
        deliveries = await journal.deliveries(event=id)
        raw = found.raw.decode("utf-8", "backslashreplace")
        shown = {"raw": raw, "deliveries": [documents.delivery_document(each) for each in deliveries]}
        return Answer(_event(found) | shown)

    @router.post("/events/{id}/replay", tags=["events"])
    async def replay_event(id: str) -> Answer:
        """Delivers an event once more to every subscription that had it; says how many."""
        journal = backend.open_journal()
        await journal.event(id)
        count = await journal.redeliver(events=[id])
        await journal.audit("event.replay", id, {"deliveries": count})
        return Answer({"deliveries": count})


def _add_connections(router: APIRouter, backend: Backend) -> None:
    runtime = backend.runtime

    @router.get("/connections", tags=["connections"])
    def list_connections() -> Answer:
        """The connections that have a value, and which; never the values."""
        known = sorted(runtime.vault.connections())
        shown = [
            _connection(backend, name)
            for handle in runtime.catalog.handles()
            for name in connections_of(handle, known)
            if _is_valid(backend, handle)
        ]
        return Answer([each for each in shown if any(value["set"] for value in each["values"])])

    @router.get("/connections/{connection}", tags=["connections"])
    def show_connection(connection: str) -> Answer:
        """Which values a connection has; never the values."""
        return Answer(_connection(backend, connection))

    @router.put("/connections/{connection}", tags=["connections"])
    async def enter_connection(
        connection: str, values: Annotated[dict[str, Any], Body(description="Values by name.")]
    ) -> Answer:
        """Stores values of a connection, encrypted and bound to its origin. They can be replaced, and never read."""
        connector = runtime.catalog.get(_checked(connection))
        store = open_store(runtime.settings.store, runtime.settings.environment)
        if store is None:
            raise ConfigurationError("there is no store of connections", hint="name a home: CONNECTOR_HOME")
        origin = await asyncio.to_thread(
            enter_values, connector.service, connection, values, runtime.settings, runtime.vault, store
        )
        runtime.forget(connection)
        if backend.journal is not None:
            await backend.journal.audit("connection.set", connection, {"names": sorted(values)})
        return Answer({"connection": connection, "set": sorted(values), "origin": origin})

    @router.delete("/connections/{connection}", tags=["connections"])
    async def remove_connection(connection: str) -> Answer:
        """Removes what is stored of a connection."""
        runtime.catalog.get(_checked(connection))
        store = open_store(runtime.settings.store, runtime.settings.environment)
        gone = await asyncio.to_thread(store.remove, connection) if store is not None else []
        if not gone:
            raise RequestRefused(404, f"nothing is stored of {connection!r}")
        runtime.forget(connection)
        if backend.journal is not None:
            await backend.journal.audit("connection.remove", connection)
        return Answer({"connection": connection, "removed": [each.name or "the login" for each in gone]})

    @router.get("/webhooks", tags=["events"])
    def list_webhooks() -> Answer:
        """Every webhook, and where each connection's messages go."""
        return Answer(webhook_documents(backend))


def _add_registrations(router: APIRouter, backend: Backend) -> None:
    def registrations() -> Registrations:
        backend.open_journal()
        assert backend.registrations is not None, "they come with the journal"  # noqa: S101 - `app` sees to it
        return backend.registrations

    @router.post("/webhooks/subscribe", tags=["events"])
    async def subscribe(
        connection: Annotated[str, Body(description="CONNECTOR, or CONNECTOR:NAME.")],
        trigger: Annotated[str, Body(description="A trigger whose provider can be asked for it.")],
    ) -> Answer:
        """Asks the provider for the messages of a webhook; they are renewed as the definition says."""
        _checked(connection)
        return Answer(await registrations().subscribe(connection, trigger))

    @router.post("/webhooks/unsubscribe", tags=["events"])
    async def unsubscribe(
        connection: Annotated[str, Body(description="CONNECTOR, or CONNECTOR:NAME.")],
        trigger: Annotated[str, Body(description="A trigger that was asked for.")],
    ) -> Answer:
        """Tells the provider that the messages of a webhook are no longer wanted."""
        _checked(connection)
        return Answer(await registrations().unsubscribe(connection, trigger))


def _add_deliveries(router: APIRouter, backend: Backend) -> None:
    def subscribers() -> Subscribers:
        backend.open_journal()
        assert backend.subscribers is not None, "they come with the journal"  # noqa: S101 - `app` sees to it
        return backend.subscribers

    @router.get("/subscriptions", tags=["deliveries"])
    async def list_subscriptions() -> Answer:
        """Who gets which events."""
        return Answer([documents.subscription_document(each) for each in await subscribers().list()])

    @router.post("/subscriptions", tags=["deliveries"], status_code=201)
    async def add_subscription(
        source: Annotated[dict[str, Any], Body(description="url, connection, trigger, where, ordered, rate, headers.")],
    ) -> Answer:
        """Adds a subscriber; its signing secret is shown this once."""
        added, secret = await subscribers().add(source)
        return Answer({**documents.subscription_document(added), "secret": secret}, 201)

    @router.get("/subscriptions/{id}", tags=["deliveries"])
    async def show_subscription(id: str) -> Answer:
        """A subscription."""
        return Answer(await subscribers().document(id))

    @router.delete("/subscriptions/{id}", tags=["deliveries"])
    async def remove_subscription(id: str) -> Answer:
        """Removes a subscription; what was still on its way to it is dead."""
        await subscribers().remove(id)
        return Answer({"id": id, "removed": True})

    @router.post("/subscriptions/{id}/rotate", tags=["deliveries"])
    async def rotate_subscription(id: str) -> Answer:
        """Gives a subscription a new signing secret, shown this once; the old one signs beside it for a day."""
        return Answer({"id": id, "secret": await subscribers().rotate(id)})

    @router.post("/subscriptions/{id}/enable", tags=["deliveries"])
    async def enable_subscription(id: str) -> Answer:
        """Sends a disabled subscription events again."""
        return Answer(documents.subscription_document(await subscribers().enable(id)))

    @router.get("/deliveries", tags=["deliveries"])
    async def list_deliveries(
        after: After = 0,
        limit: Limit = 100,
        state: Annotated[str | None, Query(pattern="^(pending|delivered|dead)$")] = None,
        subscription: str | None = None,
        event: str | None = None,
    ) -> Answer:
        """Deliveries in the order in which they were made; `next` is what to ask for with `after`."""
        found = await backend.open_journal().deliveries(
            state=cast("Any", state), subscription=subscription, event=event, after=after, limit=limit
        )
        more = found[-1].seq if len(found) == limit else None
        return Answer({"deliveries": [documents.delivery_document(each) for each in found], "next": more})

    @router.get("/deliveries/{id}", tags=["deliveries"])
    async def show_delivery(id: str) -> Answer:
        """A delivery and its attempts."""
        return Answer(await subscribers().delivery(id))

    @router.post("/deliveries/{id}/retry", tags=["deliveries"])
    async def retry_delivery(id: str) -> Answer:
        """Makes a delivery due again, from the start of the retry table."""
        await subscribers().retry([id])
        return Answer(await subscribers().delivery(id))

    @router.post("/deliveries/retry", tags=["deliveries"])
    async def retry_deliveries(chosen: ChosenDeliveries) -> Answer:
        """Makes deliveries due again, those named or all that fit; says how many."""
        ids, fitting = chosen.ids, chosen.model_dump(exclude={"ids"}, exclude_none=True)
        if bool(ids) == bool(fitting):
            raise InputError("deliveries", [InputProblem("ids", "name deliveries, or say which ones fit")])
        count = await (subscribers().retry(ids) if ids else backend.open_journal().redeliver(**fitting))
        return Answer({"retried": count})


def _add_triggers(router: APIRouter, backend: Backend) -> None:
    runtime = backend.runtime

    def poller() -> Poller:
        backend.open_journal()
        assert backend.poller is not None, "it comes with the journal"  # noqa: S101 - `app` sees to it
        return backend.poller

    @router.get("/triggers", tags=["triggers"])
    async def list_triggers(connection: str | None = None) -> Answer:
        """The triggers of each connection that has its values: how each is made, and what its last poll said."""
        if connection is not None:
            runtime.catalog.get(_checked(connection))
        names = runtime.connections() if connection is None else [connection]
        return Answer([row for name in names for row in await trigger_documents(runtime, poller(), name)])

    @router.post("/triggers/poll-now", tags=["triggers"])
    async def poll_now(
        connection: Annotated[str, Body(description="CONNECTOR, or CONNECTOR:NAME.")],
        trigger: Annotated[str, Body(description="A trigger that is polled for.")],
    ) -> Answer:
        """Polls for a trigger at once, whatever is due, and says what came of it."""
        runtime.catalog.get(_checked(connection))
        await poller().poll_now(connection, trigger)
        rows = await trigger_documents(runtime, poller(), connection)
        return Answer(next(row for row in rows if row["trigger"] == trigger))

    async def choose(connection: str, trigger: str, *, enabled: bool, inputs: dict[str, Any] | None = None) -> Answer:
        runtime.catalog.get(_checked(connection))
        await poller().polls.choose(connection, trigger, enabled=enabled, inputs=inputs)
        rows = await trigger_documents(runtime, poller(), connection)
        return Answer(next(row for row in rows if row["trigger"] == trigger))

    @router.post("/triggers/enable", tags=["triggers"])
    async def enable_trigger(
        connection: Annotated[str, Body(description="CONNECTOR, or CONNECTOR:NAME.")],
        trigger: Annotated[str, Body(description="A trigger that is polled for.")],
        inputs: Annotated[
            dict[str, Any] | None, Body(description="What its operation is asked with; as before unless told.")
        ] = None,
    ) -> Answer:
        """Polls for a trigger from now on, with inputs where its operation needs some."""
        return await choose(connection, trigger, enabled=True, inputs=inputs)

    @router.post("/triggers/disable", tags=["triggers"])
    async def disable_trigger(
        connection: Annotated[str, Body(description="CONNECTOR, or CONNECTOR:NAME.")],
        trigger: Annotated[str, Body(description="A trigger that is polled for.")],
    ) -> Answer:
        """Polls for a trigger no more; its inputs and what it has seen are kept."""
        return await choose(connection, trigger, enabled=False)

    @router.get("/automations", tags=["automations"])
    def list_automations() -> Answer:
        """The automations that run here."""
        return Answer(
            [
                {
                    "handle": each.handle,
                    "on": f"{each.connection}/{each.trigger}",
                    "steps": [f"{step.connection}/{step.operation}" for step in each.steps],
                    "about": each.short,
                }
                for each in backend.automations
            ]
        )

    @router.get("/automations/runs", tags=["automations"])
    async def list_runs(
        automation: str | None = None, state: str | None = None, event: str | None = None, limit: Limit = 100
    ) -> Answer:
        """Runs of automations, the newest first."""
        found = await backend.open_journal().runs(automation=automation, state=state, event=event, limit=limit)
        return Answer([run_document(each) for each in found])


def webhook_documents(backend: Backend) -> list[dict[str, Any]]:
    """Every webhook with its URL for each connection that has a secret, or is unsigned."""
    ingress, known = backend.ingress, sorted(backend.runtime.vault.connections())
    rows = []
    for route in ingress.routes.values():
        for name in connections_of(route.connector.handle, known):
            door = ingress.doors.find(name)
            ready = bool(door.secrets) or door.unsigned
            if ready or name == route.connector.handle:
                verified = "unsigned" if door.unsigned else "signed" if door.secrets else "no secret"
                rows.append(
                    {
                        "connection": name,
                        "trigger": route.webhook.id,
                        "url": ingress.url(route, name),
                        "verified": verified,
                    }
                )
    return rows


def _summary(catalog: Any, handle: str) -> dict[str, Any]:
    try:
        found = catalog.get(handle)
    except InvalidDefinition as error:
        return {"handle": handle, "valid": False, "short": f"{len(error.problems)} problems"}
    counts = {"operations": len(found.operations) + len(found.custom_operations), "triggers": len(found.webhooks)}
    return {"handle": handle, "valid": True, "short": found.short, **counts}


def _is_valid(backend: Backend, handle: str) -> bool:
    try:
        backend.runtime.catalog.get(handle)
    except InvalidDefinition:
        return False
    return True


def _find(connector: Connector, operation: str) -> Operation | CustomOperation:
    known: Mapping[str, Operation | CustomOperation] = {**connector.operations, **connector.custom_operations}
    try:
        return known[operation]
    except KeyError:
        raise UnknownOperation(connector.handle, operation, known) from None


def _named(handle: str, connection: str) -> str:
    return f"{handle}:{connection}" if connection else handle


def _checked(connection: str) -> str:
    """The handle of a connection whose name can be one; raises RequestRefused."""
    handle, _, name = connection.partition(":")
    if len(name) > 64 or ":" in name or not all(char.isalnum() or char in "_.-" for char in name):
        raise RequestRefused(404, "there is no such connection", hint="a connection is CONNECTOR or CONNECTOR:NAME")
    return handle


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


def _connection(backend: Backend, connection: str) -> dict[str, Any]:
    runtime = backend.runtime
    connector = runtime.catalog.get(_checked(connection))
    secret = {*connector.service.credentials, *(name for name, kind in INBOUND.items() if kind == "secret")}
    values = [
        {"name": name, "set": runtime.vault.has(connection, name), "secret": name in secret}
        for name in (*connector.service.placeholders, *INBOUND)
    ]
    return {"connection": connection, "connector": connector.handle, "values": values}


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
