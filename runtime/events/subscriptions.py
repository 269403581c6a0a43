"""Subscriptions as an operator defines them, their secrets, and the schedule of retries.

The journal holds no secret: the full URL, the values of header fields and the signing secrets are an `Endpoint`, which
is kept in the encrypted store. `entries.Filter` decides which events a subscription wants.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from connector.errors import ConfigurationError, InputError, InputProblem, did_you_mean
from connector.headers import check_header_name, encode_header
from connector.messages import without_query
from connector.urls import origin_of
from runtime.config.catalog import Catalog
from runtime.config.connections import ConnectionName
from runtime.config.store import Kind, Store
from runtime.journal.entries import SYSTEM_TRIGGERS, Filter, Subscription, new_id

#: Seconds from each attempt to the next, the first being the wait for attempt 1: the table in Standard Webhooks
#: (its specification, "Deliverability and reliability"). After 75 h 35 min 5 s a delivery is dead.
RETRY_TABLE: Final = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
#: A wait is longer by up to this part, so that deliveries that failed together are not retried together.
JITTER: Final = 0.1
#: Bounds of the Retry-After of a subscriber, in seconds (hazard T76).
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 86400.0
#: Seconds for which a rotated signing secret signs in addition to the new one.
OVERLAP: Final = 86400.0
#: The header field that counts how often an event was passed on, in messages and in deliveries (hazard T75).
HOPS_HEADER: Final = "connector-hops"
#: An event that was passed on more often is in a loop (hazard T75).
MAX_HOPS: Final = 5

#: The most deliveries in a second that a subscription may set.
_MOST = 10_000
_OWN_HEADERS: Final = frozenset({"content-type", "user-agent", HOPS_HEADER})
_SECRET_BYTES: Final = 32  # Standard Webhooks: 24 to 64
#: The name of an endpoint in the store.
_NAME: Final = "endpoint"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The secrets of a subscription: the full URL, and what events are signed and sent with."""

    url: str = field(repr=False)
    #: Signing secrets (`whsec_…`), the newest first, each with the time when it expires; None for never.
    secrets: tuple[tuple[str, float | None], ...] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def signing(self, now: float) -> tuple[str, ...]:
        """The secrets to sign with at that time (seconds since the epoch)."""
        return tuple(secret for secret, until in self.secrets if until is None or now < until)

    def rotated(self, now: float) -> Endpoint:
        """With a new secret; the one before also signs for a day."""
        before = ((secret, now + OVERLAP if until is None else until) for secret, until in self.secrets)
        kept = (each for each in before if now < each[1])
        return replace(self, secrets=((new_secret(), None), *kept))

    @property
    def hidden(self) -> frozenset[str]:
        """The texts that are masked in answers and failures."""
        return frozenset({*self.headers.values(), *(secret for secret, _ in self.secrets)})


class Endpoints:
    """The endpoints of subscriptions, in the encrypted store of connections."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._read: dict[str, tuple[str, Endpoint]] = {}

    def find(self, subscription: str) -> Endpoint:
        """The endpoint of a subscription; raises ConfigurationError if it is missing or cannot be read."""
        entry = None if self._store is None else self._store.find(subscription, _NAME)
        if self._store is None or entry is None:
            hint = "the store and the journal belong together: restore both, or remove it and add it again"
            raise ConfigurationError(f"the signing secret of {subscription} is not in the encrypted store", hint=hint)
        known = self._read.get(subscription)
        if known is None or known[0] != entry.nonce:
            table = self._store.read(entry)
            signing = tuple((secret, until) for secret, until in table["secrets"])
            known = self._read[subscription] = entry.nonce, Endpoint(table["url"], signing, table["headers"])
        return known[1]

    def save(self, subscription: str, endpoint: Endpoint) -> None:
        """Keeps an endpoint, on the disk when it returns; raises ConfigurationError without a store or a key."""
        if self._store is None:
            raise ConfigurationError("there is no encrypted store for the signing secret", hint="set CONNECTOR_HOME")
        table = {
            "url": endpoint.url,
            "secrets": [list(each) for each in endpoint.secrets],
            "headers": dict(endpoint.headers),
        }
        kinds: dict[str, Kind] = {_NAME: "endpoint"}
        self._store.write(subscription, {_NAME: table}, origin=origin_of(endpoint.url), kinds=kinds)

    def remove(self, subscription: str) -> None:
        """Forgets an endpoint."""
        self._read.pop(subscription, None)
        if self._store is not None:
            self._store.remove(subscription)


def new_secret() -> str:
    """A signing secret in the form of Standard Webhooks."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def next_wait(attempts: int, chance: float, retry_after: float | None = None) -> float | None:
    """Seconds to wait after that many attempts; None at the end of the table.

    `chance` is a number from 0 to 1. `retry_after` makes a wait longer, within bounds, and never shorter.
    """
    if attempts >= len(RETRY_TABLE):
        return None
    wait = RETRY_TABLE[attempts] * (1 + JITTER * chance)
    return wait if retry_after is None else max(wait, clamp_wait(retry_after))


def clamp_wait(retry_after: float) -> float:
    """The wait that a subscriber requested, within bounds (hazard T76)."""
    return min(max(retry_after, SHORTEST_WAIT), LONGEST_WAIT)


def read_subscription(source: Any) -> tuple[Subscription, Endpoint]:
    """A new subscription from its JSON form, with a new id and a new signing secret.

    `url` is required; `connection`, `trigger` (one, or a list; `*` for all), `where` (field: value, or a list of
    values), `ordered`, `rate` and `headers` are optional. Raises InputError with every problem at once. Whether the
    URL may be contacted is for the guard to decide.
    """
    table = source if isinstance(source, Mapping) else {}
    found = [(name, _problem_with(name, value)) for name, value in table.items()]
    problems = [InputProblem(name, text) for name, text in found if text]
    if not table.get("url"):
        problems.append(InputProblem("url", "url: expected the URL that events are sent to"))
    if isinstance(headers := table.get("headers") or {}, dict):
        problems += _header_problems(headers)
    if problems:
        raise InputError("subscription", problems, hint="known: " + ", ".join(_WORDS))
    triggers = table.get("trigger") or ()
    given = (table.get("where") or {}).items()
    wanted = Filter(
        "" if table.get("connection") in (None, "*") else table["connection"],
        (triggers,) if isinstance(triggers, str) else tuple(triggers),
        {name: tuple(value) if isinstance(value, list) else (value,) for name, value in given},
    )
    subscription = Subscription(
        new_id("sub"),
        without_query(table["url"]),
        wanted,
        ordered=bool(table.get("ordered")),
        rate=table.get("rate"),
        headers=tuple(sorted(headers)),
    )
    return subscription, Endpoint(table["url"], ((new_secret(), None),), dict(headers))


#: The members of a subscription, and what is expected of each.
_WORDS: Final = {
    "url": "a text",
    "connection": "the name of a connection, or *",
    "trigger": "the id of a trigger, a list of them, or *",
    "where": "an object: field -> value, or a list of values",
    "ordered": "true or false",
    "rate": f"a whole number of deliveries in a second, 1 to {_MOST:,}",
    "headers": "an object: name -> text",
}


def _problem_with(name: str, value: Any) -> str:
    """What is wrong with one member of a subscription; empty for nothing."""
    if name not in _WORDS:
        return f"{name} is not a member of a subscription"
    if value is None:
        return ""
    match name:
        case "url" | "connection":
            right = isinstance(value, str)
        case "trigger":
            right = isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))
        case "where" | "headers":
            right = isinstance(value, dict)
        case "ordered":
            right = isinstance(value, bool)
        case _:
            right = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST
    return "" if right else f"{name}: expected {_WORDS[name]}"


def _header_problems(headers: Mapping[Any, Any]) -> list[InputProblem]:
    problems = []
    for name, value in headers.items():
        try:
            check_header_name(str(name))
            encode_header(value if isinstance(value, str) else "\n")
            if str(name).lower() in _OWN_HEADERS or str(name).lower().startswith("webhook-"):
                raise ValueError(f"{name} is set by each delivery")
        except ValueError as error:
            problems.append(InputProblem("headers", f"headers: {error}"))
    return problems


def check_triggers(catalog: Catalog, connection: str, triggers: Iterable[str]) -> None:
    """Raises InputError for a connector or a trigger that is not declared, since its events would never come.

    An empty connection, or `*`, is any; so is the trigger `*`.
    """
    handle = "" if connection == "*" else ConnectionName.parse(connection).handle
    handles = catalog.handles()
    if handle and handle not in handles:
        problem = InputProblem("connection", f"connection: no connector {handle!r}")
        raise InputError("subscription", [problem], hint=did_you_mean(handle, handles))
    asked = [each for each in triggers if each != "*" and each not in SYSTEM_TRIGGERS]
    if not asked:
        return
    known = {webhook.id for each in ([handle] if handle else handles) for webhook in catalog.get(each).webhooks}
    if unknown := [each for each in asked if each not in known]:
        problems = [InputProblem("trigger", f"trigger: no trigger {each!r}") for each in unknown]
        raise InputError("subscription", problems, hint=did_you_mean(unknown[0], sorted(known | SYSTEM_TRIGGERS)))
