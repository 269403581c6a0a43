"""Synthetic events: what an own call or a polled record tells, as Events that look like a provider's own.

The id of such an event says what happened to which thing, however it was noticed: a job that we created and then see in
a poll is one event of its connection and trigger. Nothing here waits or asks.
"""

from __future__ import annotations

import datetime
from typing import Any

from connector.answers.mapping import map_fields
from connector.messages import Event
from connector.model.definition import Webhook
from connector.types import to_text


def after_call(webhook: Webhook, document: Any, *, source: str, run: str, now: datetime.datetime) -> Event | None:
    """The event of a call that succeeded and answered `document`; None if it tells nothing.

    `source` is `/<connector>/<connection>`, `run` identifies the call. Where the event could be polled as well, it is
    the one that a poll would make, and its id is key and transition; elsewhere it is `run`.
    """
    if not isinstance(document, (dict, list)) and webhook.payload:
        return None
    if webhook.poll is None:
        return _event(webhook, document, source, run, None, now)
    key, transition = webhook.poll.find_key(document), webhook.poll.find_transition(document)
    if key is None or transition is None:
        return None
    return _event(webhook, document, source, f"{key}:{transition}", key, now)


def after_poll(
    webhook: Webhook, record: Any, *, source: str, key: str, transition: str, now: datetime.datetime
) -> Event:
    """The event of a polled record: what happened (`transition`) to the thing with that `key`."""
    return _event(webhook, record, source, f"{key}:{transition}", key, now)


def _event(webhook: Webhook, document: Any, source: str, id: str, key: str | None, now: datetime.datetime) -> Event:
    data = map_fields(webhook.payload, document)
    subject = key if key is not None else data.get("id")
    return Event(
        id=id,
        source=source,
        type=webhook.id,
        subject=None if subject is None else to_text(subject),
        time=now.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z"),
        data=data,
    )
