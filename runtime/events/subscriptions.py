"""Subscriptions as an operator states them, what is secret about them, and when a delivery is tried again.

All of it is pure: a clock's reading and a chance are handed in, and a value comes back. Which events a subscription
wants is `entries.Filter`'s; `delivery` sends and `journal` keeps. The journal holds no secret: the full URL, the values
of header fields and the signing secrets are an `Endpoint`, which is kept in the encrypted store.
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

#: Seconds from each attempt to the next, the first being the wait for attempt 1: the table that Standard Webhooks gives
#: (its specification, "Deliverability and reliability"). After 75 h 35 min 5 s a delivery is dead.
RETRY_TABLE: Final = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
#: A wait is up to this part longer than the table says, so that deliveries that failed together come back apart.
JITTER: Final = 0.1
#: What a subscriber may ask for with Retry-After, in seconds: no less and no more (hazard T76).
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 86400.0
#: A rotated signing secret signs beside the new one for so many seconds.
OVERLAP: Final = 86400.0
#: The header field that counts how often an event was passed on; what comes in says it, and what leaves (hazard T75).
HOPS_HEADER: Final = "connector-hops"

#: The most deliveries in a second that a subscription may set.
_MOST = 10_000
_OWN_HEADERS: Final = frozenset({"content-type", "user-agent", HOPS_HEADER})
_SECRET_BYTES: Final = 32  # Standard Webhooks: 24 to 64
#: The name of an endpoint in the store.
_NAME: Final = "endpoint"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What of a subscription is secret: where exactly events go, and what they are signed and sent with."""

    url: str = field(repr=False)
    #: Signing secrets (`whsec_…`), the newest first, each with the time from which on it is not used; None for never.
    secrets: tuple[tuple[str, float | None], ...] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def signing(self, now: float) -> tuple[str, ...]:
        """The secrets to sign with at that time (seconds since the epoch)."""
        return tuple(secret for secret, until in self.secrets if until is None or now < until)

    def rotated(self, now: float) -> Endpoint:
        """With a new secret; the one before signs beside it for a day."""
        before = ((secret, now + OVERLAP if until is None else until) for secret, until in self.secrets)
        kept = (each for each in before if now < each[1])
        return replace(self, secrets=((new_secret(), None), *kept))

    @property
    def hidden(self) -> frozenset[str]:
        """The texts that are masked wherever an answer or a failure is shown."""
        return frozenset({*self.headers.values(), *(secret for secret, _ in self.secrets)})


class Endpoints:
    """The endpoints of subscriptions, in the encrypted store of connections."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._read: dict[str, tuple[str, Endpoint]] = {}

    def find(self, subscription: str) -> Endpoint:
        """The endpoint of a subscription; raises ConfigurationError if it is not there or cannot be read."""
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
    """A signing secret as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def next_wait(attempts: int, chance: float, told: float | None = None) -> float | None:
    """Seconds to wait after that many attempts; None when the table is at its end.

    `chance` is a number from 0 to 1. `told` is what the subscriber asked for with Retry-After: a wish, which makes a
    wait longer, within bounds, and never shorter.
    """
    if attempts >= len(RETRY_TABLE):
        return None
    wait = RETRY_TABLE[attempts] * (1 + JITTER * chance)
    return wait if told is None else max(wait, clamp_wait(told))


def clamp_wait(told: float) -> float:
    """What a subscriber asked for, within bounds (hazard T76)."""
    return min(max(told, SHORTEST_WAIT), LONGEST_WAIT)


def read_subscription(source: Any) -> tuple[Subscription, Endpoint]:
    """A new subscription from its JSON form, with a new id and a new signing secret.

    `url` must be there; `connection`, `trigger` (one, or a list; `*` for all), `where` (field: value, or a list of
    values), `ordered`, `rate` and `headers` may be. Raises InputError with every problem at once. Whether the URL may
    be contacted is the guard's to say.
    """
    table = source if isinstance(source, Mapping) else {}
    told = [(name, _problem_with(name, value)) for name, value in table.items()]
    problems = [InputProblem(name, text) for name, text in told if text]
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


#: What a subscription is made of, and what each of it must be.
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
        return f"{name} is nothing that a subscription has"
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
                raise ValueError(f"{name} is set by every delivery itself")
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
