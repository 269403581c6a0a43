"""Subscriptions as operators manage them: added, listed, removed, enabled again, with new secrets.

Commands and routes both use this module, so that both refuse the same things.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from connector.errors import BlockedAddress
from runtime.config.catalog import Catalog
from runtime.config.settings import Settings
from runtime.config.store import open_store
from runtime.documents import Document, attempt_document, delivery_document, subscription_document
from runtime.events.subscriptions import Endpoints, check_triggers, read_subscription
from runtime.http.guard import Guard
from runtime.journal.entries import Subscription
from runtime.journal.journal import Journal

#: The hint for an operator who meant an internal address.
NAME_IT = "if it is meant, name its origin in CONNECTOR_SUBSCRIBER_ORIGINS (or subscriber_origins of connector.toml)"


class Subscribers:
    """The subscriptions of one journal, and their endpoints."""

    def __init__(
        self,
        journal: Journal,
        endpoints: Endpoints,
        guard: Guard,
        catalog: Catalog,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`guard` is the one of deliveries; `catalog` knows which triggers there are."""
        self._journal = journal
        self._endpoints = endpoints
        self._guard = guard
        self._catalog = catalog
        self._clock = clock

    async def add(self, source: Any) -> tuple[Subscription, str]:
        """Adds a subscription from its JSON form; returns it and its signing secret, which is shown this once.

        Raises InputError with every problem, BlockedAddress for a URL that the guard refuses, ConfigurationError if no
        secret can be kept.
        """
        subscription, endpoint = read_subscription(source)
        check_triggers(self._catalog, subscription.filter.connection, subscription.filter.triggers)
        try:
            self._guard.check(endpoint.url)
        except BlockedAddress as error:
            raise BlockedAddress(error.message, hint=NAME_IT) from None
        # The secret is kept first: a subscription without one could deliver nothing.
        await asyncio.to_thread(self._endpoints.save, subscription.id, endpoint)
        await self._journal.add_subscription(subscription)
        await self._journal.audit("subscription.added", subscription.id, {"url": subscription.url})
        return await self._journal.subscription(subscription.id), endpoint.secrets[0][0]

    async def list(self) -> list[Subscription]:
        """All of them, the oldest first."""
        return await self._journal.subscriptions()

    async def remove(self, id: str) -> None:
        """Removes a subscription, and marks its pending deliveries as dead. Raises NotInJournal."""
        await self._journal.remove_subscription(id)
        await asyncio.to_thread(self._endpoints.remove, id)
        await self._journal.audit("subscription.removed", id)

    async def rotate(self, id: str) -> str:
        """Creates a signing secret, which is shown this once; the old one also signs for a day. Raises NotInJournal."""
        await self._journal.subscription(id)
        endpoint = self._endpoints.find(id).rotated(self._clock())
        await asyncio.to_thread(self._endpoints.save, id, endpoint)
        await self._journal.audit("subscription.rotated", id)
        return endpoint.secrets[0][0]

    async def enable(self, id: str) -> Subscription:
        """Enables a subscription again; what it missed can be replayed. Raises NotInJournal."""
        changed = await self._journal.change_subscription(id, state="enabled", reason="", memory={})
        await self._journal.audit("subscription.enabled", id)
        return changed

    async def document(self, id: str) -> Document:
        """The JSON form of a subscription; raises NotInJournal."""
        return subscription_document(await self._journal.subscription(id))

    async def delivery(self, id: str) -> Document:
        """The JSON form of a delivery, with its attempts; raises NotInJournal."""
        document = delivery_document(await self._journal.delivery(id))
        return document | {"history": [attempt_document(each) for each in await self._journal.attempts(id)]}

    async def retry(self, ids: Sequence[str]) -> int:
        """Makes deliveries due again, from the start of the retry table: all, or none with a NotInJournal."""
        found = [await self._journal.delivery(id) for id in ids]
        for each in found:
            await self._journal.redeliver(events=[each.event_id], subscription=each.subscription)
        return len(found)


def subscriber_guard(settings: Settings) -> Guard:
    """The guard of deliveries: a subscriber may be internal only if the operator named its origin (hazard T75)."""
    return Guard(settings.subscriber_origins)


@asynccontextmanager
async def look_at_subscribers(settings: Settings) -> AsyncIterator[tuple[Journal, Subscribers]]:
    """The journal and its subscriptions, read-only, while a server may be using them. Raises ConfigurationError."""
    assert settings.journal is not None, "the settings of a process name a journal"  # noqa: S101 - load_settings does
    async with await Journal.open(settings.journal, read_only=True) as journal:
        endpoints = Endpoints(open_store(settings.store, settings.environment))
        yield journal, Subscribers(journal, endpoints, subscriber_guard(settings), Catalog(settings.definitions))
