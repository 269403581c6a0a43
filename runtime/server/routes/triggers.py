"""The routes of triggers and of the automations that they start."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from runtime import documents
from runtime.events.poller import Poller
from runtime.server.routing import ConnectionBody, Find, JsonResponse, Limit, find_connector

PolledTrigger = Annotated[str, Body(description="A trigger that is polled.")]
NewInputs = Annotated[
    dict[str, Any] | None, Body(description="The inputs of the operation that is polled; by default as before.")
]


def add_routes(router: APIRouter, services: Find) -> None:
    """Adds the routes of triggers and automations."""

    @router.get("/triggers", tags=["triggers"])
    async def list_triggers(connection: str | None = None) -> JsonResponse:
        """The triggers of each complete connection: how each arises, and the outcome of its last poll."""
        caller, poller = services().caller, services().poller
        if connection is not None:
            find_connector(caller, connection)
        names = caller.connections() if connection is None else [connection]
        return JsonResponse([row for name in names for row in await poller.documents(name)])

    @router.post("/triggers/poll-now", tags=["triggers"])
    async def poll_now(connection: ConnectionBody, trigger: PolledTrigger) -> JsonResponse:
        """Polls a trigger at once, and answers with the outcome."""
        find_connector(services().caller, connection)
        await services().poller.poll_now(connection, trigger)
        return await _answer(services().poller, connection, trigger)

    @router.post("/triggers/enable", tags=["triggers"])
    async def enable_trigger(
        connection: ConnectionBody, trigger: PolledTrigger, inputs: NewInputs = None
    ) -> JsonResponse:
        """Polls a trigger from now on, with inputs where its operation needs some."""
        find_connector(services().caller, connection)
        await services().poller.polls.choose(connection, trigger, enabled=True, inputs=inputs)
        return await _answer(services().poller, connection, trigger)

    @router.post("/triggers/disable", tags=["triggers"])
    async def disable_trigger(connection: ConnectionBody, trigger: PolledTrigger) -> JsonResponse:
        """Stops polling a trigger; its inputs and what it has seen are kept."""
        find_connector(services().caller, connection)
        await services().poller.polls.choose(connection, trigger, enabled=False)
        return await _answer(services().poller, connection, trigger)

    @router.get("/automations", tags=["automations"])
    def list_automations() -> JsonResponse:
        """The automations that run here."""
        return JsonResponse([documents.automation_document(each) for each in services().automations])

    @router.get("/automations/runs", tags=["automations"])
    async def list_runs(
        automation: str | None = None, state: str | None = None, event: str | None = None, limit: Limit = 100
    ) -> JsonResponse:
        """Runs of automations, the newest first."""
        found = await services().journal.runs(automation=automation, state=state, event=event, limit=limit)
        return JsonResponse([documents.run_document(each) for each in found])


async def _answer(poller: Poller, connection: str, trigger: str) -> JsonResponse:
    rows = await poller.documents(connection)
    return JsonResponse(next(row for row in rows if row["trigger"] == trigger))
