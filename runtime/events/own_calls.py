"""Events of our own making: what `webhook.after` makes of a call that succeeded, and samples of every event.

The events are made by the language (`connector.events.synthesis`); here it is found out which webhooks wait for which
operation, once for each connector. Whoever is told of them, and where they are kept, is said elsewhere.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from connector.answers.mapping import find_records, map_fields
from connector.describe.samples import make_answers
from connector.events.mapping import after_call
from connector.messages import Event, Result
from connector.model.definition import Connector, Operation, Webhook
from connector.templates import PathTemplate, Template
from connector.types import to_text
from runtime.config.connections import ConnectionName
from runtime.journal.entries import NewEvent


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


def sample_event(
    connector: Connector, webhook: Webhook, examples: Mapping[str, Any], *, source: str, now: datetime.datetime
) -> Event:
    """An event of the same shape as a real one: of a recorded answer, or made up where none tells of it.

    `examples` are the connector's recorded answers by operation id.
    """
    poll = webhook.poll
    for name in [*webhook.after, *([poll.operation] if poll is not None else [])]:
        operation = connector.operations.get(name)
        recorded = examples.get(name)
        if operation is None or recorded is None:
            continue
        for answer in reversed(recorded if isinstance(recorded, list) else [recorded]):
            body = answer.get("body") if isinstance(answer, Mapping) else None
            if not isinstance(body, (dict, list)):
                continue
            rows = find_records(operation, body)[0] if operation.lists else [body]
            telling = [row for row in rows if poll is None or poll.find_transition(row) is not None]
            if telling:
                return _sample(webhook, map_fields(webhook.payload, telling[0]), source, now)
    return _sample(webhook, _make_up(connector, webhook), source, now)


def _sample(webhook: Webhook, data: dict[str, Any], source: str, now: datetime.datetime) -> Event:
    subject = data.get("id")
    moment = now.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
    return Event("sample", source, webhook.id, None if subject is None else to_text(subject), moment, data)


def _make_up(connector: Connector, webhook: Webhook) -> dict[str, Any]:
    nowhere = PathTemplate(Template(()))
    shape = Operation("sample.read", connector.service, "GET", nowhere, fields=webhook.payload)
    data = map_fields(webhook.payload, json.loads(make_answers(shape, None)[0].body))
    poll = webhook.poll
    if poll is not None and poll.state is not None:
        data |= {each.name: poll.states[0] for each in webhook.payload if each.selector == poll.state}
    return data
