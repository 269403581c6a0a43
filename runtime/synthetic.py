"""Events of own calls: what `webhook.after` of a connector makes of a call that succeeded.

The events are made by the language (`connector.synthesis`); here it is found out which webhooks wait for which
operation, once for each connector. Whoever is told of them, and where they are kept, is said elsewhere.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from connector.definitions import Connector, Webhook
from connector.mapping import Result
from connector.synthesis import after_call
from runtime.entries import NewEvent

#: The name of a connector's default connection in the `source` of an event.
DEFAULT = "default"


def source_of(connection: str) -> str:
    """The `source` of a connection's events.

    >>> source_of("mistral-ai"), source_of("mistral-ai:team-b")
    ('/mistral-ai/default', '/mistral-ai/team-b')
    """
    handle, _, name = connection.partition(":")
    return f"/{handle}/{name or DEFAULT}"


class OwnCalls:
    """The webhooks of connectors by the operation that they follow."""

    def __init__(self) -> None:
        self._following: dict[str, tuple[Connector, dict[str, tuple[Webhook, ...]]]] = {}

    def events(
        self, connector: Connector, connection: str, operation: str, result: Result, now: float
    ) -> Sequence[NewEvent]:
        """The events that a successful call tells; `now` is seconds since the epoch."""
        webhooks = self._find(connector).get(operation, ())
        if not webhooks or not result.ok:
            return ()
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
        source = source_of(connection)
        made = (after_call(each, result.raw, source=source, run=result.run, now=moment) for each in webhooks)
        return [NewEvent(connection, each, each.id, origin="after") for each in made if each is not None]

    def _find(self, connector: Connector) -> dict[str, tuple[Webhook, ...]]:
        known, following = self._following.get(connector.handle, (None, {}))
        if known is not connector:  # it is read for the first time, or was read again
            following = {}
            for webhook in connector.webhooks:
                for operation in webhook.after:
                    following[operation] = (*following.get(operation, ()), webhook)
            self._following[connector.handle] = connector, following
        return following
