"""Events of our own calls: what the `after` of a webhook makes of a call that succeeded.

The language makes the events (`connector.events.mapping`); this module finds the webhooks that follow an operation.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from connector.events.mapping import after_call
from connector.messages import Result
from connector.model.definition import Connector, Webhook
from runtime.config.connections import ConnectionName
from runtime.journal.entries import NewEvent


class OwnCalls:
    """The webhooks of connectors by the operation that they follow."""

    def __init__(self) -> None:
        self._following: dict[str, tuple[Connector, dict[str, tuple[Webhook, ...]]]] = {}

    def events(
        self, connector: Connector, connection: str, operation: str, result: Result, now: float
    ) -> Sequence[NewEvent]:
        """Returns the events of a successful call; `now` is seconds since the epoch."""
        webhooks = self._find(connector).get(operation, ())
        if not webhooks or not result.ok:
            return ()
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
        source = ConnectionName.parse(connection).source
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
