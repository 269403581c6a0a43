"""The JSON forms of all values: requests, results, events, deliveries, connectors, operations, triggers, runs.

Programs rely on their shapes (`docs/reference.md`). Errors have a form of their own, in `problems`.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from connector.events.automations import Automation
from connector.messages import Chunk, Event, Request, Result
from connector.model.definition import AnyOperation, Connector, Field, Operation, Webhook
from connector.templates import Placeholder, Template
from runtime.config.connections import INBOUND, variable_name
from runtime.journal.entries import Attempt, Delivery, Run, StoredEvent, Subscription

Document = dict[str, Any]


def request_document(request: Request) -> Document:
    """A request: `method`, `url`, `headers`, `body` (its text or None), `json` (the body parsed, or None)."""
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "body": request.text,
        "json": request.json,
    }


def result_document(result: Result) -> Document:
    """A result, as `call --json` and the HTTP API answer it; a binary answer is Base64 text."""
    return {
        "ok": result.ok,
        "status": result.status,
        "fields": result.fields,
        "records": result.records,
        "raw": base64.b64encode(result.raw).decode() if isinstance(result.raw, bytes) else result.raw,
        "warnings": list(result.warnings),
        "attempts": result.attempts,
        "request": None if result.request is None else request_document(result.request),
        "run": result.run,
    }


def event_document(event: Event, *, seq: int | None = None) -> Document:
    """An event in the JSON format of CloudEvents 1.0, as subscribers, SSE and the API give it.

    `seq` is its place in the journal; it becomes the extension attribute `sequence`, which sorts as text.
    """
    document: Document = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.time,
        "datacontenttype": "application/json",
        "data": dict(event.data),
    }
    if event.subject:
        document["subject"] = event.subject
    if seq is not None:
        document["sequence"] = f"{seq:020d}"
    return document


def stored_event_document(stored: StoredEvent) -> Document:
    """An event of the journal: as `event_document`, with where it came from and when it was received."""
    extra = {"seq": stored.seq, "connection": stored.connection, "origin": stored.origin, "received": stored.received}
    dedupe = {"dedupe": "none"} if stored.dedupe is None else {}
    return {**event_document(stored.event, seq=stored.seq), **extra, **dedupe}


def subscription_document(subscription: Subscription) -> Document:
    """A subscription without what is secret about it; `url` shows no query, and `headers` are names."""
    wanted, since = subscription.filter, subscription.memory.get("failing_since")
    return {
        "id": subscription.id,
        "url": subscription.url,
        "connection": wanted.connection or "*",
        "trigger": list(wanted.triggers) or ["*"],
        "where": {name: list(values) for name, values in wanted.where.items()},
        "ordered": subscription.ordered,
        "rate": subscription.rate,
        "headers": list(subscription.headers),
        "state": subscription.state,
        "reason": subscription.reason,
        "failing_since": None if since is None else time_text(since),
        "created": time_text(subscription.created),
    }


def delivery_document(delivery: Delivery) -> Document:
    """A delivery: of which event, to which subscription, and where it stands."""
    return {
        "id": delivery.id,
        "event": delivery.event_id,
        "subscription": delivery.subscription,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "due": None if delivery.due is None else time_text(delivery.due),
        "reason": delivery.reason,
        "created": time_text(delivery.created),
        "updated": time_text(delivery.updated),
    }


def attempt_document(attempt: Attempt) -> Document:
    """One attempt of a delivery, and what came of it."""
    return {
        "at": time_text(attempt.at),
        "seconds": round(attempt.duration, 3),
        "status": attempt.status,
        "error": attempt.error,
    }


def run_document(run: Run) -> Document:
    """A run of an automation; times are seconds since the epoch."""
    return {
        "id": run.id,
        "automation": run.automation,
        "event": run.event_id,
        "state": run.state,
        "step": run.step,
        "reason": run.reason,
        "due": run.due,
        "created": run.created,
        "updated": run.updated,
    }


def automation_document(automation: Automation) -> Document:
    """An automation: what starts it, and what it calls."""
    return {
        "handle": automation.handle,
        "on": f"{automation.connection}/{automation.trigger}",
        "steps": [f"{step.connection}/{step.operation}" for step in automation.steps],
        "about": automation.short,
    }


def time_text(seconds: float) -> str:
    """A time, in seconds since the epoch, as RFC 3339 text.

    >>> time_text(0.0)
    '1970-01-01T00:00:00.000Z'
    """
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def connector_document(connector: Connector) -> Document:
    """A connector: what it is, the values its connections have, its operations and triggers."""
    return {
        "handle": connector.handle,
        "status": connector.status,
        "short": connector.short,
        "description": connector.description,
        "tags": list(connector.tags),
        "base_url": template_text(connector.service.base),
        "values": value_documents(connector),
        "operations": operation_summaries(connector),
        "triggers": [trigger_document(webhook) for webhook in connector.webhooks],
    }


def value_documents(connector: Connector) -> list[Document]:
    """The values of a connection (credentials, host parts): `secret`, and the variable that sets each."""
    credentials = connector.service.credentials
    return [
        {
            "name": name,
            "type": placeholder.type,
            "required": placeholder.required,
            "default": None if name in credentials else placeholder.default,
            "secret": name in credentials,
            "variable": variable_name(connector.handle, name),
            "description": placeholder.description,
        }
        for name, placeholder in connector.service.placeholders.items()
    ]


def connection_document(connector: Connector, connection: str, has: Callable[[str], bool]) -> Document:
    """Which values a connection has, never the values; `has` answers for a name."""
    secret = {*connector.service.credentials, *(name for name, kind in INBOUND.items() if kind == "secret")}
    values = [
        {"name": name, "set": has(name), "secret": name in secret}
        for name in (*connector.service.placeholders, *INBOUND)
    ]
    return {"connection": connection, "connector": connector.handle, "values": values}


def operation_summaries(connector: Connector) -> list[Document]:
    """Each operation in a few words, the custom ones last; those have neither `method` nor `path`."""
    return [
        *(
            {
                "id": operation.id,
                "method": operation.method,
                "path": template_text(operation.path.path),
                "short": operation.short,
                "deprecated": operation.deprecated,
            }
            for operation in connector.operations.values()
        ),
        *(
            {"id": custom.handle, "method": None, "path": None, "short": custom.short, "deprecated": False}
            for custom in connector.custom_operations.values()
        ),
    ]


def operation_document(connector: Connector, operation: AnyOperation) -> Document:
    """One operation: its inputs with the places they land in, its fields, the triggers of its resource.

    A custom one has neither method nor path.
    """
    call = operation if isinstance(operation, Operation) else None
    places = operation.places
    resource = connector.resources.get(operation.id.rpartition(".")[0])
    return {
        "id": operation.id,
        "connector": connector.handle,
        "method": None if call is None else call.method,
        "path": None if call is None else template_text(call.path.path),
        "short": operation.short,
        "description": operation.description,
        "deprecated": call is not None and call.deprecated,
        "inputs": [input_document(each, places.get(name, ())) for name, each in operation.inputs.items()],
        "from_connection": sorted(operation.from_connection),
        "lists": operation.lists,
        "response": operation.response,
        "fields": [field_document(each) for each in operation.fields],
        "triggers": [trigger_document(webhook) for webhook in resource.webhooks] if resource is not None else [],
    }


def input_document(placeholder: Placeholder, places: Iterable[str]) -> Document:
    """One input of an operation; `place` are path, query, header, body, joined by `, `."""
    return {
        "name": placeholder.name,
        "type": placeholder.type,
        "required": placeholder.required,
        "default": placeholder.default,
        "place": ", ".join(places),
        "options": list(placeholder.options),
        "minimum": placeholder.minimum,
        "maximum": placeholder.maximum,
        "nullable": placeholder.nullable,
        "schema": placeholder.schema,
        "description": placeholder.description,
    }


def field_document(field: Field) -> Document:
    """One field of an answer or a payload."""
    return {
        "name": field.name,
        "type": field.type,
        "selector": field.selector.text,
        "multivalue": field.multivalue,
        "description": field.description,
    }


def trigger_document(webhook: Webhook) -> Document:
    """One trigger: its id (`resource/event`), the route of its webhook, how else it arises, its payload fields."""
    return {
        "id": webhook.id,
        "path": webhook.path,
        "after": list(webhook.after),
        "poll": None if webhook.poll is None else dict(webhook.poll.source),
        "description": webhook.description,
        "fields": [field_document(each) for each in webhook.payload],
    }


def polled_trigger_document(
    connection: str, webhook: Webhook, *, poll: str, inputs: Mapping[str, Any], state: Mapping[str, Any]
) -> Document:
    """A trigger of a connection: how it arises, and the outcome of its last poll; times are seconds since the epoch.

    `poll` describes how it is polled, and is empty if it is not; `state` is what the poll left.
    """
    ways = [*(["after " + ", ".join(webhook.after)] if webhook.after else []), *([poll] if poll else [])]
    return {
        "connection": connection,
        "trigger": webhook.id,
        "path": webhook.path,
        "made_by": "; ".join(ways) or "webhook",
        "inputs": dict(inputs),
        "state": state.get("state"),
        "at": state.get("at"),
        "due": state.get("due"),
        "said": state.get("triggers", {}).get(webhook.id, {}).get("said"),
        "error": state.get("error") if state.get("state") not in (None, "new", "ok") else None,
    }


def webhook_document(connection: str, webhook: Webhook, url: str, *, verified: str) -> Document:
    """A webhook of a connection: the URL that the provider sends to, and how its messages are verified."""
    return {"connection": connection, "trigger": webhook.id, "url": url, "verified": verified}


def template_text(template: Template) -> str:
    """A template as an author writes it: `/files/{{fileId}}`."""
    return "".join(part if isinstance(part, str) else f"{{{{{part.name}}}}}" for part in template.parts)


def chunk_document(chunk: Chunk) -> Document:
    """One chunk of a streamed answer; a piece of a binary one is Base64 text."""
    raw = base64.b64encode(chunk.raw).decode() if isinstance(chunk.raw, bytes) else chunk.raw
    return {"fields": chunk.fields, "raw": raw, "event": chunk.event, "id": chunk.id, "warnings": list(chunk.warnings)}
