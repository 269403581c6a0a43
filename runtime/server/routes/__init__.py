"""The routes of the HTTP API, a module for each resource.

Each route reads what is requested, calls the runtime or the journal, and answers with a document of `documents`.
`routing` has what all of them share.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.routing import APIRoute

from runtime.server.routes import calls, catalogue, connections, deliveries, events, triggers, webhooks
from runtime.server.routing import PROBLEMS, Find

_RESOURCES = (catalogue, calls, events, connections, webhooks, deliveries, triggers)


def build_router(route_class: type[APIRoute], services: Find) -> APIRouter:
    """Every route below `/api`."""
    router = APIRouter(prefix="/api", route_class=route_class, responses=PROBLEMS)
    for each in _RESOURCES:
        each.add_routes(router, services)
    return router
