"""The entries of the journal as frozen values: events, deliveries, subscriptions, checkpoints, runs, work.

Nothing here uses a database. Times are seconds since the epoch; ids are made here and match `[A-Za-z0-9_-]{1,128}`
(hazard T78), so that signatures and URLs never contain an id of a provider.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from connector.messages import Event
from connector.strict_json import same_json

#: Where an event came from: the provider's webhook, a call of ours, a poll, `send-test`, the runtime itself.
Origin = Literal["webhook", "after", "poll", "test", "system"]
#: `pending`: waits for its next attempt. `delivered`: the subscriber took it. `dead`: given up, with a reason.
DeliveryState = Literal["pending", "delivered", "dead"]
#: What a dispatcher hands out: one attempt of a delivery, one poll, one step of an automation's run.
WorkKind = Literal["delivery", "poll", "run"]
#: The dispatcher's kinds, in a fixed order.
WORK_KINDS: tuple[WorkKind, ...] = ("delivery", "poll", "run")

#: The event that a dead delivery makes.
EXHAUSTED = "delivery.exhausted"
#: Triggers that no connector declares: the runtime's own.
SYSTEM_TRIGGERS = frozenset({EXHAUSTED})

_ID_DIGITS = 32
#: Encodes a text as JSON like `json.dumps`, which would create an encoder each time.
_encode = json.encoder.encode_basestring_ascii


def event_id(connection: str, trigger: str, dedupe: str | None) -> str:
    """Returns the id of an event: derived from what makes two arrivals one event, or random where nothing does.

    `dedupe` is the provider's message id, or key and transition of a synthetic event; None never collapses.
    """
    return _derived("evt", connection, trigger, dedupe) if dedupe is not None else "evt_" + secrets.token_hex(16)


def delivery_id(subscription: str, event: str) -> str:
    """Returns the id of the delivery of an event to a subscription: each pair has one."""
    return _derived("dlv", subscription, event)


def new_id(prefix: str) -> str:
    """Returns a random id: `sub_…`, `run_…`."""
    return f"{prefix}_{secrets.token_hex(16)}"


def _derived(prefix: str, *parts: str) -> str:
    # As JSON, so that different lists of parts are always different texts.
    text = f"[{', '.join(map(_encode, parts))}]"
    return f"{prefix}_{hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]}"


class NewEvent(NamedTuple):
    """An event that has yet to be kept; its id becomes `event_id(connection, event.type, dedupe)`."""

    #: `mistral-ai` or `mistral-ai:team-b`.
    connection: str
    event: Event
    #: What makes two arrivals one event; None where nothing does (hazard T74).
    dedupe: str | None
    #: The body as it came; empty for a synthetic event.
    raw: bytes = b""
    content_type: str = ""
    origin: Origin = "webhook"
    #: How often it was passed on already by runtimes like this one (hazard T75).
    hops: int = 0


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as the journal holds it. Order is `seq`'s, never a clock's (hazard C1)."""

    seq: int
    connection: str
    event: Event
    origin: Origin
    #: What made it one event, or None: then the same thing may have come twice.
    dedupe: str | None
    #: Seconds since the epoch.
    received: float
    raw: bytes = b""
    content_type: str = ""
    hops: int = 0


class Appended(NamedTuple):
    """The outcome of appending an event."""

    event_id: str
    seq: int
    #: False for a duplicate.
    created: bool
    #: True for a duplicate whose content differs from the event that is kept (hazard T64).
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far something has come, by name; `state` is any JSON value."""

    name: str
    state: Any
    at: float


@dataclass(frozen=True, slots=True)
class Sightings:
    """The state in which a poll saw each of these keys last."""

    poll: str
    states: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sighting:
    """The state in which a poll last saw an item, and when it was last noted."""

    state: str
    at: float


@dataclass(frozen=True, slots=True)
class Work:
    """One unit of work for a dispatcher: handled when `due`, by one handler at a time.

    Work of one `lane` shares a limit, so that a slow subscriber does not hold up others.
    """

    kind: WorkKind
    id: str
    due: float
    lane: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a subscription wants; an empty condition matches all."""

    #: `mistral-ai` or `mistral-ai:team-b`: that connection and no other, since connections are tenants.
    connection: str = ""
    #: Trigger ids; `*` and none at all mean all of connectors, but not the runtime's own, which have to be named.
    triggers: tuple[str, ...] = ()
    #: Fields of `data`, and the values of which each must have one.
    where: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def matches(self, connection: str, event: Event) -> bool:
        """Returns True if the event is wanted."""
        if self.connection and self.connection != connection:
            return False
        if event.type not in self.triggers and (event.type in SYSTEM_TRIGGERS or "*" not in (self.triggers or "*")):
            return False
        return all(
            name in event.data and any(same_json(event.data[name], value) for value in values)
            for name, values in self.where.items()
        )


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription to events. Its secrets (`subscriptions.Endpoint`) are in the encrypted store, never here."""

    id: str
    #: Where they are sent, without its query.
    url: str
    filter: Filter = Filter()
    #: True to deliver the events of one subject one after the other.
    ordered: bool = False
    #: How many deliveries may begin in a second; None for no limit.
    rate: int | None = None
    #: Names of the header fields that go with each.
    headers: tuple[str, ...] = ()
    state: Literal["enabled", "disabled"] = "enabled"
    #: Why it is disabled.
    reason: str = ""
    created: float = 0.0
    #: The state that the deliverer keeps of the endpoint; any JSON object.
    memory: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event on its way to a subscription."""

    seq: int
    id: str
    event_id: str
    subscription: str
    state: DeliveryState
    #: How many attempts were made since it was last enqueued.
    attempts: int
    #: When the next attempt is due; None if there is none.
    due: float | None
    #: Why it is dead, or why the last attempt failed.
    reason: str
    #: The event's subject where the subscription is ordered, else None.
    key: str | None
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a delivery and how it ended."""

    at: float
    #: Seconds.
    duration: float
    #: The HTTP status, or None where no answer came.
    status: int | None
    #: What went wrong, as a sentence; empty if nothing did.
    error: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """An automation at work on an event."""

    id: str
    automation: str
    event_id: str
    #: `unknown`: a step may have reached the provider, and is not repeated.
    state: Literal["pending", "done", "failed", "unknown"]
    #: The index of the next step.
    step: int = 0
    #: What the steps so far answered; any JSON object.
    context: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    due: float | None = None
    created: float = 0.0
    updated: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to whom."""

    seq: int
    at: float
    action: str
    target: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The health of the journal."""

    #: True if it takes events.
    ready: bool
    #: Why it does not; empty if it does.
    problem: str
    #: The last sequence number.
    events: int
    pending: int
    #: Seconds since the oldest pending delivery was made; 0 if there is none.
    oldest_pending: float
    dead: int
    #: Seconds by which the wall clock left the steady one since the start (hazard C1).
    clock_skew: float
