"""Maps inbound messages, polled records and answers of calls to Events, through the payload fields of a webhook.

`signatures` has verified an inbound message before; fields are found as in answers. The runtime stores and delivers
events.
"""

from __future__ import annotations

import datetime
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from connector.answers.mapping import SCALAR, explain_nothing, find_outer, map_fields
from connector.errors import MappingError
from connector.events.messages import MESSAGE_KINDS, Fields, decode_members, find_kind, read_form
from connector.messages import Event, Request
from connector.model.definition import Webhook
from connector.types import to_text

_NO_HEAD: Mapping[str, Any] = {}
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
    return make_event(webhook, document, id=id, connection="default", now=now, request=request)


def read_message(webhook: Webhook, request: Request) -> Any:
    """Returns the document in an inbound request, read as the kind of message that its media type names.

    Which kinds a webhook accepts is checked by the head, before (`find_kind`). Raises MappingError for a body that
    cannot be read, and for a single JSON value where payload fields are selected.
    """
    kind = MESSAGE_KINDS[find_kind(webhook.accepts, request) or find_kind(MESSAGE_KINDS, request) or "json"]
    try:
        document = kind.read(request)
        if kind.is_form:
            document = _unfold(webhook, document)
    except ValueError as error:
        raise MappingError(f"the body of the message cannot be read: {error}", operation=webhook.id) from None
    # A handshake may sign any token, and some tokens are JSON as well, so a token is never a message there.
    signs = webhook.challenge is not None and webhook.challenge.signs
    if (webhook.body_payload or signs) and not isinstance(document, (dict, list)):
        raise MappingError(f"the body of the message cannot be used: {SCALAR}", operation=webhook.id)
    return document


def _unfold(webhook: Webhook, form: Fields) -> dict[str, Any]:
    """Returns a form with the JSON in its fields read, and a list for each field of type Array."""
    document = decode_members(form, webhook.json_fields)
    for field in webhook.payload:
        names = field.selector.members
        is_list = field.type == "Array" or field.multivalue
        if len(names) == 1 and field.type == "Array" and isinstance(document.get(names[0]), str):
            document[names[0]] = [document[names[0]]]
        elif not is_list and isinstance(field.selector.find_one(form), list):
            # Which of them counts is what the sender and a forger could disagree on: their order is not always signed.
            raise ValueError(f"the form holds the field {field.name!r} more than once")
    return document


def find_events(webhook: Webhook, document: Any) -> list[Any]:
    """Returns the parts of a message that are events of a webhook: the message itself, or each of its records.

    A message without records holds none. Those that do not have what the webhook's `match` requires are left out.
    """
    events = [document]
    if webhook.records is not None:
        found = webhook.records.find_one(document)
        events = found if isinstance(found, list) else [] if found is None else [found]
    return [each for each in events if webhook.match is None or webhook.match.is_in(each)]


def explain_event(webhook: Webhook, document: Any, event: Event) -> str:
    """Returns a warning if not one payload field was found in the document; empty otherwise (language rule 13)."""
    if not webhook.body_payload or any(value not in (None, []) for value in event.data.values()):
        return ""
    return explain_nothing(webhook.body_payload, document)


def make_event(
    webhook: Webhook, document: Any, *, id: str, connection: str, now: datetime.datetime, request: Request | None = None
) -> Event:
    """Returns the Event in a document, for a connection of that name (`default` for the connector's own).

    `request` is the message that it came in, for what is in its head.
    """
    outer = {} if request is None or len(webhook.payload) == len(webhook.body_payload) else _head_of(request)
    return _event(webhook, document, f"/{webhook.connector}/{connection}", id, None, now=now, outer=outer)


def _head_of(request: Request) -> dict[str, Any]:
    target = urllib.parse.urlsplit(request.url)
    query = read_form(urllib.parse.parse_qsl(target.query, keep_blank_values=True))
    return {"headers": request.headers, "query": query, "path": [*target.path.strip("/").split("/")]}


def after_call(webhook: Webhook, document: Any, *, source: str, run: str, now: datetime.datetime) -> Event | None:
    """Returns the event of a successful call with the answer `document`; None if there is none.

    `source` is `/<connector>/<connection>`, `run` identifies the call. If the event can be polled as well, it is the
    same as the poll's, with key and transition as its id; otherwise its id is `run`.
    """
    if not isinstance(document, (dict, list)) and webhook.body_payload:
        return None
    if webhook.poll is None:
        return _event(webhook, document, source, run, None, now=now)
    key, transition = webhook.poll.find_key(document), webhook.poll.find_transition(document)
    if key is None or transition is None:
        return None
    return _event(webhook, document, source, f"{key}:{transition}", key, now=now)


def after_poll(
    webhook: Webhook, record: Any, *, source: str, key: str, transition: str, now: datetime.datetime
) -> Event:
    """Returns the event of a polled record: what happened (`transition`) to the object with that `key`."""
    return _event(webhook, record, source, f"{key}:{transition}", key, now=now)


def _event(
    webhook: Webhook,
    document: Any,
    source: str,
    id: str,
    key: str | None,
    *,
    now: datetime.datetime,
    outer: Mapping[str, Any] = _NO_HEAD,
) -> Event:
    data = map_fields(webhook.body_payload, document)
    if len(webhook.payload) != len(data):
        found = find_outer(webhook.payload, outer)
        data = {each.name: found[each.name] if each.name in found else data[each.name] for each in webhook.payload}
    subject = key if key is not None else data.get("id")
    return Event(
        id=id,
        source=source,
        type=webhook.id,
        subject=None if subject is None else to_text(subject),
        time=now.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z"),
        data=data,
    )
