"""The routes of webhooks: listed with their URLs, subscribed to at providers and unsubscribed from."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request

from runtime.server.routing import ConnectionBody, Find, JsonResponse, find_connector

Registered = Annotated[str, Body(description="A trigger whose definition has a call to subscribe to it.")]


def add_routes(router: APIRouter, services: Find) -> None:
    """Adds the routes of webhooks."""

    @router.get("/webhooks", tags=["events"])
    def list_webhooks(request: Request) -> JsonResponse:
        """Every webhook, and its URL for each connection."""
        services().ingress.prefix = _prefix(request, "/api/webhooks")
        return JsonResponse(services().ingress.documents(services().caller.vault.connections()))

    @router.post("/webhooks/subscribe", tags=["events"])
    async def subscribe(request: Request, connection: ConnectionBody, trigger: Registered) -> JsonResponse:
        """Subscribes to a webhook at its provider; the subscription is renewed as the definition specifies."""
        find_connector(services().caller, connection)
        services().ingress.prefix = _prefix(request, "/api/webhooks/subscribe")
        return JsonResponse(await services().registrations.subscribe(connection, trigger))

    @router.post("/webhooks/unsubscribe", tags=["events"])
    async def unsubscribe(connection: ConnectionBody, trigger: Registered) -> JsonResponse:
        """Unsubscribes from a webhook at its provider."""
        find_connector(services().caller, connection)
        return JsonResponse(await services().registrations.unsubscribe(connection, trigger))


def _prefix(request: Request, path: str) -> str:
    """The path in front of a route's own: of a router included with a prefix, or of an application that is mounted.

    A proxy may have removed `root_path` from the path of the request (ASGI leaves that to the server).
    """
    root, prefix = request.scope.get("root_path", ""), str(request.scope["path"]).removesuffix(path)
    return prefix if prefix.startswith(root) else root + prefix
