"""The routes of webhooks: listed with their URLs, subscribed to at providers and unsubscribed from."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from runtime.server.routing import ConnectionBody, Find, JsonResponse, connector_of

Registered = Annotated[str, Body(description="A trigger whose definition has a call to subscribe to it.")]


def add_routes(router: APIRouter, services: Find) -> None:
    """Adds the routes of webhooks."""

    @router.get("/webhooks", tags=["events"])
    def list_webhooks() -> JsonResponse:
        """Every webhook, and its URL for each connection."""
        return JsonResponse(services().ingress.documents(services().caller.vault.connections()))

    @router.post("/webhooks/subscribe", tags=["events"])
    async def subscribe(connection: ConnectionBody, trigger: Registered) -> JsonResponse:
        """Subscribes to a webhook at its provider; the subscription is renewed as the definition specifies."""
        connector_of(connection)
        return JsonResponse(await services().registrations.subscribe(connection, trigger))

    @router.post("/webhooks/unsubscribe", tags=["events"])
    async def unsubscribe(connection: ConnectionBody, trigger: Registered) -> JsonResponse:
        """Unsubscribes from a webhook at its provider."""
        connector_of(connection)
        return JsonResponse(await services().registrations.unsubscribe(connection, trigger))
