"""Values of connections on their way into the store: checked against the service, bound to an origin, all or none.

Whoever asks for them, on a terminal or over HTTP, hands them over here. Nothing here shows a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connector.errors import InputError, InputProblem, did_you_mean
from connector.model.service import Service, missing_value
from runtime.config.settings import Settings
from runtime.config.store import Kind, Store
from runtime.config.vault import Vault, destination

#: Values that every connection may have, whatever its definition declares: they say how its messages are verified, and
#: whether those without an id collapse.
INBOUND: Mapping[str, Kind] = {"webhookSecret": "secret", "unsigned": "value", "dedupe": "value"}
#: What tells messages without an id apart: nothing, so that each is an event, or their bodies.
DEDUPES = ("none", "body")


def check_names(service: Service, connection: str, names: Iterable[str]) -> None:
    """Raises InputError unless the connection has values of these names."""
    known = sorted({*service.placeholders, *INBOUND})
    problems = [InputProblem(name, f"{name} is no value of this connection") for name in names if name not in known]
    if problems:
        raise InputError(connection, problems, hint=did_you_mean(problems[0].name, known))


def enter_values(
    service: Service, connection: str, values: Mapping[str, Any], settings: Settings, vault: Vault, store: Store
) -> str:
    """Checks the values of a connection and stores them, all or none; gives the origin that they are bound to.

    Raises InputError for names and values that the service does not take, MissingCredentials while a part of the base
    URL is missing, since a secret is bound to an origin.
    """
    check_names(service, connection, values)
    problems = [
        InputProblem(name, f"{name}: expected a text that is not empty")
        for name, value in values.items()
        if not isinstance(value, (str, int, float)) or value == ""
    ]
    if values.get("dedupe", "none") not in ("", *DEDUPES):
        problems.append(InputProblem("dedupe", f"dedupe: expected one of {', '.join(DEDUPES)}"))
    if problems or not values:
        raise InputError(connection, problems or [InputProblem("values", "there is no value to store")])
    # What is entered anew need not be readable any more.
    known = vault.values(connection, service.placeholders.keys() - values.keys())
    outward = {name: value for name, value in values.items() if name in service.placeholders}
    config = service.configure({**known, **outward}, base_url=settings.base_url(connection))
    if not config.origin:
        raise missing_value(service, set(service.base.names) - config.values.keys())
    kinds: dict[str, Kind] = {
        name: INBOUND.get(name, "secret" if name in service.credentials else "value") for name in values
    }
    origin = destination(config)
    store.write(connection, values, origin=origin, kinds=kinds)
    return origin
