"""The routes of subscriptions and their deliveries: who receives which events, and how each delivery went."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel

from connector.errors import InputError, InputProblem
from runtime import documents
from runtime.server.routing import After, Find, JsonResponse, Limit

NewSubscription = Annotated[
    dict[str, Any], Body(description="url, connection, trigger, where, ordered, rate, headers.")
]
State = Annotated[str | None, Query(pattern="^(pending|delivered|dead)$")]


class ChosenDeliveries(BaseModel, extra="forbid"):
    """Deliveries by their ids, or all that match; times are when their events were received, in epoch seconds."""

    ids: list[str] = []
    state: Literal["pending", "delivered", "dead"] | None = None
    subscription: str | None = None
    connection: str | None = None
    trigger: str | None = None
    since: float | None = None
    until: float | None = None


def add_routes(router: APIRouter, services: Find) -> None:
    """Adds the routes of subscriptions and deliveries."""

    @router.get("/subscriptions", tags=["deliveries"])
    async def list_subscriptions() -> JsonResponse:
        """The subscriptions, the oldest first."""
        found = await services().subscribers.list()
        return JsonResponse([documents.subscription_document(each) for each in found])

    @router.post("/subscriptions", tags=["deliveries"], status_code=201)
    async def add_subscription(source: NewSubscription) -> JsonResponse:
        """Adds a subscription; its signing secret is shown this once."""
        added, secret = await services().subscribers.add(source)
        return JsonResponse({**documents.subscription_document(added), "secret": secret}, 201)

    @router.get("/subscriptions/{id}", tags=["deliveries"])
    async def show_subscription(id: str) -> JsonResponse:
        """A subscription."""
        return JsonResponse(await services().subscribers.document(id))

    @router.delete("/subscriptions/{id}", tags=["deliveries"])
    async def remove_subscription(id: str) -> JsonResponse:
        """Removes a subscription, and marks its pending deliveries as dead."""
        await services().subscribers.remove(id)
        return JsonResponse({"id": id, "removed": True})

    @router.post("/subscriptions/{id}/rotate", tags=["deliveries"])
    async def rotate_subscription(id: str) -> JsonResponse:
        """Creates a new signing secret, shown this once; the old one also signs for a day."""
        return JsonResponse({"id": id, "secret": await services().subscribers.rotate(id)})

    @router.post("/subscriptions/{id}/enable", tags=["deliveries"])
    async def enable_subscription(id: str) -> JsonResponse:
        """Enables a disabled subscription again."""
        return JsonResponse(documents.subscription_document(await services().subscribers.enable(id)))

    @router.get("/deliveries", tags=["deliveries"])
    async def list_deliveries(
        after: After = 0,
        limit: Limit = 100,
        state: State = None,
        subscription: str | None = None,
        event: str | None = None,
    ) -> JsonResponse:
        """Deliveries in the order in which they were made; `next` is the `after` of the next page."""
        found = await services().journal.deliveries(
            state=cast("Any", state), subscription=subscription, event=event, after=after, limit=limit
        )
        more = found[-1].seq if len(found) == limit else None
        return JsonResponse({"deliveries": [documents.delivery_document(each) for each in found], "next": more})

    @router.get("/deliveries/{id}", tags=["deliveries"])
    async def show_delivery(id: str) -> JsonResponse:
        """A delivery and its attempts."""
        return JsonResponse(await services().subscribers.delivery(id))

    @router.post("/deliveries/{id}/retry", tags=["deliveries"])
    async def retry_delivery(id: str) -> JsonResponse:
        """Makes a delivery due again, from the start of the retry table."""
        await services().subscribers.retry([id])
        return JsonResponse(await services().subscribers.delivery(id))

    @router.post("/deliveries/retry", tags=["deliveries"])
    async def retry_deliveries(chosen: ChosenDeliveries) -> JsonResponse:
        """Makes deliveries due again, those with the given ids or all that match; answers how many those are."""
        ids, matching = chosen.ids, chosen.model_dump(exclude={"ids"}, exclude_none=True)
        if bool(ids) == bool(matching):
            raise InputError("deliveries", [InputProblem("ids", "expected ids, or what the deliveries match")])
        count = await (services().subscribers.retry(ids) if ids else services().journal.redeliver(**matching))
        return JsonResponse({"retried": count})
