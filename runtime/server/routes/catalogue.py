"""The routes of the catalogue: connectors and their operations."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from connector.describe.schemas import fields_schema, inputs_schema
from connector.errors import InvalidDefinition
from connector.model.definition import CustomOperation
from runtime import documents
from runtime.config.catalog import Catalog
from runtime.server.routing import NAMED_PROBLEM, Find, Handle, JsonResponse, find_operation


def add_routes(router: APIRouter, services: Find) -> None:
    """Adds the routes of the catalogue."""

    @router.get("/connectors", tags=["catalogue"], responses=NAMED_PROBLEM)
    def list_connectors() -> JsonResponse:
        """The connectors, each with a short description."""
        catalog = services().caller.catalog
        return JsonResponse([_summary(catalog, handle) for handle in catalog.handles()])

    @router.get("/connectors/{handle}", tags=["catalogue"])
    def show_connector(handle: Handle) -> JsonResponse:
        """A connector: the values of its connections, its operations and triggers."""
        return JsonResponse(documents.connector_document(services().caller.catalog.get(handle)))

    @router.get("/connectors/{handle}/operations", tags=["catalogue"])
    def list_operations(handle: Handle) -> JsonResponse:
        """The operations of a connector."""
        return JsonResponse(documents.operation_summaries(services().caller.catalog.get(handle)))

    @router.get("/connectors/{handle}/operations/{operation}", tags=["catalogue"])
    def show_operation(handle: Handle, operation: str) -> JsonResponse:
        """An operation, with JSON Schemas of its inputs and fields."""
        connector, found = find_operation(services().caller, handle, operation)
        fields = found.output if isinstance(found, CustomOperation) else found.fields
        schemas = {"inputs": inputs_schema(found), "fields": fields_schema(fields)}
        return JsonResponse({**documents.operation_document(connector, found), "schemas": schemas})


def _summary(catalog: Catalog, handle: str) -> dict[str, Any]:
    try:
        found = catalog.get(handle)
    except InvalidDefinition as error:
        return {"handle": handle, "valid": False, "short": f"{len(error.problems)} problems"}
    counts = {"operations": len(found.operations) + len(found.custom_operations), "triggers": len(found.webhooks)}
    return {"handle": handle, "valid": True, "short": found.short, **counts}
