"""The routes that show and change state: connections, webhooks asked for, subscriptions, deliveries, triggers, runs.

As in `api`, each says what is asked for, asks the runtime or the journal, and answers with a document of `documents`.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel

from connector.errors import ConfigurationError, InputError, InputProblem, InvalidDefinition, RequestRefused
from runtime import documents
from runtime.config.connections import INBOUND
from runtime.config.store import open_store
from runtime.config.vault import enter_values
from runtime.events.automations import run_document
from runtime.events.ingress import connections_of
from runtime.events.poller import Poller, trigger_documents
from runtime.events.registrations import Registrations
from runtime.events.subscribers import Subscribers
from runtime.server.routing import After, Backend, ConnectionBody, JsonResponse, Limit, connector_of

PolledTrigger = Annotated[str, Body(description="A trigger that is polled for.")]


class ChosenDeliveries(BaseModel, extra="forbid"):
    """Deliveries by their ids, or all that fit; times are when their events were received, in epoch seconds."""

    ids: list[str] = []
    state: Literal["pending", "delivered", "dead"] | None = None
    subscription: str | None = None
    connection: str | None = None
    trigger: str | None = None
    since: float | None = None
    until: float | None = None


def _add_connections(router: APIRouter, backend: Backend) -> None:
    runtime = backend.runtime

    @router.get("/connections", tags=["connections"])
    def list_connections() -> JsonResponse:
        """The connections that have a value, and which; never the values."""
        known = sorted(runtime.vault.connections())
        shown = [
            _connection(backend, name)
            for handle in runtime.catalog.handles()
            for name in connections_of(handle, known)
            if _is_valid(backend, handle)
        ]
        return JsonResponse([each for each in shown if any(value["set"] for value in each["values"])])

    @router.get("/connections/{connection}", tags=["connections"])
    def show_connection(connection: str) -> JsonResponse:
        """Which values a connection has; never the values."""
        return JsonResponse(_connection(backend, connection))

    @router.put("/connections/{connection}", tags=["connections"])
    async def enter_connection(
        connection: str, values: Annotated[dict[str, Any], Body(description="Values by name.")]
    ) -> JsonResponse:
        """Stores values of a connection, encrypted and bound to its origin. They can be replaced, and never read."""
        connector = runtime.catalog.get(connector_of(connection))
        store = open_store(runtime.settings.store, runtime.settings.environment)
        if store is None:
            raise ConfigurationError("there is no store of connections", hint="name a home: CONNECTOR_HOME")
        origin = await asyncio.to_thread(
            enter_values, connector.service, connection, values, runtime.settings, runtime.vault, store
        )
        runtime.forget(connection)
        if backend.journal is not None:
            await backend.journal.audit("connection.set", connection, {"names": sorted(values)})
        return JsonResponse({"connection": connection, "set": sorted(values), "origin": origin})

    @router.delete("/connections/{connection}", tags=["connections"])
    async def remove_connection(connection: str) -> JsonResponse:
        """Removes what is stored of a connection."""
        runtime.catalog.get(connector_of(connection))
        store = open_store(runtime.settings.store, runtime.settings.environment)
        gone = await asyncio.to_thread(store.remove, connection) if store is not None else []
        if not gone:
            raise RequestRefused(404, f"nothing is stored of {connection!r}")
        runtime.forget(connection)
        if backend.journal is not None:
            await backend.journal.audit("connection.remove", connection)
        return JsonResponse({"connection": connection, "removed": [each.name or "the login" for each in gone]})

    @router.get("/webhooks", tags=["events"])
    def list_webhooks() -> JsonResponse:
        """Every webhook, and where each connection's messages go."""
        return JsonResponse(webhook_documents(backend))


def _add_registrations(router: APIRouter, backend: Backend) -> None:
    def registrations() -> Registrations:
        backend.open_journal()
        assert backend.registrations is not None, "they come with the journal"  # noqa: S101 - `app` sees to it
        return backend.registrations

    @router.post("/webhooks/subscribe", tags=["events"])
    async def subscribe(
        connection: ConnectionBody,
        trigger: Annotated[str, Body(description="A trigger whose provider can be asked for it.")],
    ) -> JsonResponse:
        """Asks the provider for the messages of a webhook; they are renewed as the definition says."""
        connector_of(connection)
        return JsonResponse(await registrations().subscribe(connection, trigger))

    @router.post("/webhooks/unsubscribe", tags=["events"])
    async def unsubscribe(
        connection: ConnectionBody,
        trigger: Annotated[str, Body(description="A trigger that was asked for.")],
    ) -> JsonResponse:
        """Tells the provider that the messages of a webhook are no longer wanted."""
        connector_of(connection)
        return JsonResponse(await registrations().unsubscribe(connection, trigger))


def _add_deliveries(router: APIRouter, backend: Backend) -> None:
    def subscribers() -> Subscribers:
        backend.open_journal()
        assert backend.subscribers is not None, "they come with the journal"  # noqa: S101 - `app` sees to it
        return backend.subscribers

    @router.get("/subscriptions", tags=["deliveries"])
    async def list_subscriptions() -> JsonResponse:
        """Who gets which events."""
        return JsonResponse([documents.subscription_document(each) for each in await subscribers().list()])

    @router.post("/subscriptions", tags=["deliveries"], status_code=201)
    async def add_subscription(
        source: Annotated[dict[str, Any], Body(description="url, connection, trigger, where, ordered, rate, headers.")],
    ) -> JsonResponse:
        """Adds a subscriber; its signing secret is shown this once."""
        added, secret = await subscribers().add(source)
        return JsonResponse({**documents.subscription_document(added), "secret": secret}, 201)

    @router.get("/subscriptions/{id}", tags=["deliveries"])
    async def show_subscription(id: str) -> JsonResponse:
        """A subscription."""
        return JsonResponse(await subscribers().document(id))

    @router.delete("/subscriptions/{id}", tags=["deliveries"])
    async def remove_subscription(id: str) -> JsonResponse:
        """Removes a subscription; what was still on its way to it is dead."""
        await subscribers().remove(id)
        return JsonResponse({"id": id, "removed": True})

    @router.post("/subscriptions/{id}/rotate", tags=["deliveries"])
    async def rotate_subscription(id: str) -> JsonResponse:
        """Gives a subscription a new signing secret, shown this once; the old one signs beside it for a day."""
        return JsonResponse({"id": id, "secret": await subscribers().rotate(id)})

    @router.post("/subscriptions/{id}/enable", tags=["deliveries"])
    async def enable_subscription(id: str) -> JsonResponse:
        """Sends a disabled subscription events again."""
        return JsonResponse(documents.subscription_document(await subscribers().enable(id)))

    @router.get("/deliveries", tags=["deliveries"])
    async def list_deliveries(
        after: After = 0,
        limit: Limit = 100,
        state: Annotated[str | None, Query(pattern="^(pending|delivered|dead)$")] = None,
        subscription: str | None = None,
        event: str | None = None,
    ) -> JsonResponse:
        """Deliveries in the order in which they were made; `next` is what to ask for with `after`."""
        found = await backend.open_journal().deliveries(
            state=cast("Any", state), subscription=subscription, event=event, after=after, limit=limit
        )
        more = found[-1].seq if len(found) == limit else None
        return JsonResponse({"deliveries": [documents.delivery_document(each) for each in found], "next": more})

    @router.get("/deliveries/{id}", tags=["deliveries"])
    async def show_delivery(id: str) -> JsonResponse:
        """A delivery and its attempts."""
        return JsonResponse(await subscribers().delivery(id))

    @router.post("/deliveries/{id}/retry", tags=["deliveries"])
    async def retry_delivery(id: str) -> JsonResponse:
        """Makes a delivery due again, from the start of the retry table."""
        await subscribers().retry([id])
        return JsonResponse(await subscribers().delivery(id))

    @router.post("/deliveries/retry", tags=["deliveries"])
    async def retry_deliveries(chosen: ChosenDeliveries) -> JsonResponse:
        """Makes deliveries due again, those named or all that fit; says how many."""
        ids, fitting = chosen.ids, chosen.model_dump(exclude={"ids"}, exclude_none=True)
        if bool(ids) == bool(fitting):
            raise InputError("deliveries", [InputProblem("ids", "name deliveries, or say which ones fit")])
        count = await (subscribers().retry(ids) if ids else backend.open_journal().redeliver(**fitting))
        return JsonResponse({"retried": count})


def _add_triggers(router: APIRouter, backend: Backend) -> None:
    runtime = backend.runtime

    def poller() -> Poller:
        backend.open_journal()
        assert backend.poller is not None, "it comes with the journal"  # noqa: S101 - `app` sees to it
        return backend.poller

    @router.get("/triggers", tags=["triggers"])
    async def list_triggers(connection: str | None = None) -> JsonResponse:
        """The triggers of each connection that has its values: how each is made, and what its last poll said."""
        if connection is not None:
            runtime.catalog.get(connector_of(connection))
        names = runtime.connections() if connection is None else [connection]
        return JsonResponse([row for name in names for row in await trigger_documents(runtime, poller(), name)])

    @router.post("/triggers/poll-now", tags=["triggers"])
    async def poll_now(
        connection: ConnectionBody,
        trigger: PolledTrigger,
    ) -> JsonResponse:
        """Polls for a trigger at once, whatever is due, and says what came of it."""
        runtime.catalog.get(connector_of(connection))
        await poller().poll_now(connection, trigger)
        rows = await trigger_documents(runtime, poller(), connection)
        return JsonResponse(next(row for row in rows if row["trigger"] == trigger))

    async def choose(
        connection: str, trigger: str, *, enabled: bool, inputs: dict[str, Any] | None = None
    ) -> JsonResponse:
        runtime.catalog.get(connector_of(connection))
        await poller().polls.choose(connection, trigger, enabled=enabled, inputs=inputs)
        rows = await trigger_documents(runtime, poller(), connection)
        return JsonResponse(next(row for row in rows if row["trigger"] == trigger))

    @router.post("/triggers/enable", tags=["triggers"])
    async def enable_trigger(
        connection: ConnectionBody,
        trigger: PolledTrigger,
        inputs: Annotated[
            dict[str, Any] | None, Body(description="What its operation is asked with; as before unless told.")
        ] = None,
    ) -> JsonResponse:
        """Polls for a trigger from now on, with inputs where its operation needs some."""
        return await choose(connection, trigger, enabled=True, inputs=inputs)

    @router.post("/triggers/disable", tags=["triggers"])
    async def disable_trigger(
        connection: ConnectionBody,
        trigger: PolledTrigger,
    ) -> JsonResponse:
        """Polls for a trigger no more; its inputs and what it has seen are kept."""
        return await choose(connection, trigger, enabled=False)

    @router.get("/automations", tags=["automations"])
    def list_automations() -> JsonResponse:
        """The automations that run here."""
        return JsonResponse(
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
    ) -> JsonResponse:
        """Runs of automations, the newest first."""
        found = await backend.open_journal().runs(automation=automation, state=state, event=event, limit=limit)
        return JsonResponse([run_document(each) for each in found])


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


def _is_valid(backend: Backend, handle: str) -> bool:
    try:
        backend.runtime.catalog.get(handle)
    except InvalidDefinition:
        return False
    return True


def _connection(backend: Backend, connection: str) -> dict[str, Any]:
    runtime = backend.runtime
    connector = runtime.catalog.get(connector_of(connection))
    secret = {*connector.service.credentials, *(name for name, kind in INBOUND.items() if kind == "secret")}
    values = [
        {"name": name, "set": runtime.vault.has(connection, name), "secret": name in secret}
        for name in (*connector.service.placeholders, *INBOUND)
    ]
    return {"connection": connection, "connector": connector.handle, "values": values}


#: Each adds the routes of one kind to a router.
ADMINISTRATION = (_add_connections, _add_registrations, _add_deliveries, _add_triggers)
