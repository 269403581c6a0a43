"""Synthetic events: what an own call or a polled record tells, as Events that look like a provider's own.

An event of one kind has the same id however it was noticed, so a job that we created and then see in a poll is one
event: the id is made of the connection, the trigger, and what happened to which thing. Nothing here waits or asks.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from typing import Any

from connector.convertors import to_text
from connector.definitions import Webhook
from connector.mapping import map_fields
from connector.messages import Event


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An event and `dedupe`, what makes two sightings of it one."""

    event: Event
    dedupe: str


def after_call(webhook: Webhook, document: Any, *, source: str, run: str, now: datetime.datetime) -> Occurrence | None:
    """The event of a call that succeeded and answered `document`; None if it tells nothing.

    `source` is `/<connector>/<connection>`, `run` identifies the call. Where the event could be polled as well, it is
    the one that a poll would make; elsewhere each call makes its own.
    """
    if not isinstance(document, (dict, list)) and webhook.payload:
        return None
    if webhook.poll is None:
        return _occurrence(webhook, document, source, run, None, now)
    key, transition = webhook.poll.find_key(document), webhook.poll.find_transition(document)
    if key is None or transition is None:
        return None
    return _occurrence(webhook, document, source, f"{key}:{transition}", key, now)


def after_poll(
    webhook: Webhook, record: Any, *, source: str, key: str, transition: str, now: datetime.datetime
) -> Occurrence:
    """The event of a polled record: what happened (`transition`) to the thing with that `key`."""
    return _occurrence(webhook, record, source, f"{key}:{transition}", key, now)


def event_id(source: str, trigger: str, dedupe: str) -> str:
    """The id of an event, the same whenever and wherever it is noticed: `evt_` and 32 hexadecimal digits."""
    made = hashlib.sha256(f"{source}\0{trigger}\0{dedupe}".encode("utf-8", "surrogatepass"))
    return f"evt_{made.hexdigest()[:32]}"


def _occurrence(
    webhook: Webhook, document: Any, source: str, dedupe: str, key: str | None, now: datetime.datetime
) -> Occurrence:
    data = map_fields(webhook.payload, document)
    subject = key if key is not None else data.get("id")
    event = Event(
        id=event_id(source, webhook.id, dedupe),
        source=source,
        type=webhook.id,
        subject=None if subject is None else to_text(subject),
        time=now.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z"),
        data=data,
    )
    return Occurrence(event, dedupe)
