"""Maps inbound messages, polled records and answers of calls to Events, through the payload fields of a webhook.

`signatures` has verified an inbound message before; fields are found as in answers. The runtime stores and delivers
events.
"""

from __future__ import annotations

import datetime
import re
import urllib.parse
from typing import Any

from connector.answers.mapping import SCALAR, map_fields
from connector.errors import MappingError
from connector.messages import Event, Request
from connector.model.definition import Webhook
from connector.strict_json import parse_json
from connector.types import to_text

#: The media type of a form (HTML, application/x-www-form-urlencoded serialising).
FORM = "application/x-www-form-urlencoded"
#: A form has at most this many fields.
_MAX_FORM = 1000
_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")


def map_event(webhook: Webhook, request: Request, *, now: datetime.datetime) -> Event:
    """Returns an inbound request as an Event: its payload fields, and the attributes of CloudEvents.

    The id is the sender's `webhook-id` if it is valid, else made from the route, the body and the time. Raises
    MappingError for a body that is not JSON, or a single JSON value where payload fields are selected.
    """
    import hashlib  # only inbound events need it

    document = read_message(webhook, request)
    given = request.headers.get("webhook-id", "")
    body = request.body if isinstance(request.body, bytes) else b""
    made = hashlib.sha256(b"\0".join((webhook.path.encode(), body, now.isoformat().encode())))
    id = given if _EVENT_ID.match(given) else f"evt_{made.hexdigest()[:32]}"
    return make_event(webhook, document, id=id, connection="default", now=now)


def read_message(webhook: Webhook, request: Request) -> Any:
    """Returns the document in an inbound request: JSON, or the fields of a form by name if its media type is FORM.

    Raises MappingError for a body that is neither, and for a single JSON value where payload fields are selected.
    """
    body = request.body if isinstance(request.body, bytes) else b""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        document = _read_form(body) if content_type == FORM else parse_json(body)
    except ValueError as error:
        raise MappingError(f"the body of the message cannot be read: {error}", operation=webhook.id) from None
    for each in webhook.payload if content_type == FORM else ():
        if not each.multivalue and isinstance(each.selector.find_one(document), list):
            # Their order is not always signed, so a forger could choose which of them counts.
            raise MappingError(f"the form holds the field {each.name!r} more than once", operation=webhook.id)
    # A handshake may sign any token, and some tokens are JSON as well, so a token is never a message there.
    signs = webhook.challenge is not None and webhook.challenge.signs
    if (webhook.payload or signs) and not isinstance(document, (dict, list)):
        raise MappingError(f"the body of the message cannot be used: {SCALAR}", operation=webhook.id)
    return document


def make_event(webhook: Webhook, document: Any, *, id: str, connection: str, now: datetime.datetime) -> Event:
    """Returns the Event in a document, for a connection of that name (`default` for the connector's own)."""
    return _event(webhook, document, f"/{webhook.connector}/{connection}", id, None, now)


def _read_form(body: bytes) -> dict[str, str | list[str]]:
    """Returns the fields of a form by name; a name that is repeated has the list of its values."""
    pairs = urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FORM, errors="strict")
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def after_call(webhook: Webhook, document: Any, *, source: str, run: str, now: datetime.datetime) -> Event | None:
    """Returns the event of a successful call with the answer `document`; None if there is none.

    `source` is `/<connector>/<connection>`, `run` identifies the call. If the event can be polled as well, it is the
    same as the poll's, with key and transition as its id; otherwise its id is `run`.
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
    """Returns the event of a polled record: what happened (`transition`) to the object with that `key`."""
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
