"""The routes of the HTTP API, a module for each resource.

Each route reads what is requested, calls the runtime or the journal, and answers with a document of `documents`.
`routing` has what all of them share.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.params import Depends
from fastapi.routing import APIRoute

from runtime.server.routes import calls, catalogue, connections, deliveries, events, triggers, webhooks
from runtime.server.routing import PROBLEMS, Find

_RESOURCES = (catalogue, calls, events, connections, webhooks, deliveries, triggers)


def build_router(route_class: type[APIRoute], services: Find, guards: Sequence[Depends]) -> APIRouter:
    """Every route below `/api`, each with these dependencies."""
    router = APIRouter(prefix="/api", route_class=route_class, responses=PROBLEMS, dependencies=guards)
    for each in _RESOURCES:
        each.add_routes(router, services)
    return router
