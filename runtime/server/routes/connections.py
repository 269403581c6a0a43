"""The routes of connections: which values they have, entered and removed. Values are never shown."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body

from connector.errors import InvalidDefinition, RequestRefused
from runtime import documents
from runtime.calls.caller import Caller
from runtime.config.connections import connections_of
from runtime.config.store import open_store
from runtime.server.routing import Find, JsonResponse, find_connector


def add_routes(router: APIRouter, services: Find) -> None:
    """Adds the routes of connections."""

    @router.get("/connections", tags=["connections"])
    def list_connections() -> JsonResponse:
        """The connections that have a value, and which; never the values."""
        caller = services().caller
        known, shown = caller.vault.connections(), []
        for handle in caller.catalog.handles():
            try:
                shown += [_document(caller, name) for name in connections_of(handle, known)]
            except InvalidDefinition:
                continue
        return JsonResponse([each for each in shown if any(value["set"] for value in each["values"])])

    @router.get("/connections/{connection}", tags=["connections"])
    def show_connection(connection: str) -> JsonResponse:
        """Which values a connection has; never the values."""
        return JsonResponse(_document(services().caller, connection))

    @router.put("/connections/{connection}", tags=["connections"])
    async def enter_connection(
        connection: str, values: Annotated[dict[str, Any], Body(description="Values by name.")]
    ) -> JsonResponse:
        """Stores values of a connection, encrypted and bound to its origin. They can be replaced, and never read."""
        find_connector(services().caller, connection)
        origin = await services().caller.set_values(connection, values)
        await services().journal.audit("connection.set", connection, {"names": sorted(values)})
        return JsonResponse({"connection": connection, "set": sorted(values), "origin": origin})

    @router.delete("/connections/{connection}", tags=["connections"])
    async def remove_connection(connection: str) -> JsonResponse:
        """Removes what is stored of a connection."""
        caller = services().caller
        find_connector(caller, connection)
        store = open_store(caller.settings.store, caller.settings.environment)
        gone = await asyncio.to_thread(store.remove, connection) if store is not None else []
        if not gone:
            raise RequestRefused(404, f"nothing is stored of {connection!r}")
        caller.forget(connection)
        await services().journal.audit("connection.remove", connection)
        return JsonResponse({"connection": connection, "removed": [each.name or "the login" for each in gone]})


def _document(caller: Caller, connection: str) -> documents.Document:
    connector = find_connector(caller, connection)
    return documents.connection_document(connector, connection, lambda name: caller.vault.has(connection, name))
