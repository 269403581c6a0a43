"""The values of connections: credentials, host parts and other service-level values, from where an operator keeps them.

Python first, then the environment and `.env`, then a file, then the encrypted store. A connection is named `mistral-ai`
(a connector's default one) or `mistral-ai:team-b`; one never borrows a value of another. A stored secret is bound to
the origin that it was entered for (`bind`). Nothing here checks a value; the service it is for does
(`Service.configure`). No value is ever part of a message or a repr.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from connector.auth.oauth import OAuthClient
from connector.errors import (
    ConfigurationError,
    InputError,
    InputProblem,
    OriginChanged,
    TransportError,
    did_you_mean,
)
from connector.model.service import Config, Service, missing_value
from connector.strict_json import DuplicateKey, read_members
from connector.templates import Unrenderable, render_url
from connector.urls import origin_of
from runtime.config.connections import DEDUPES, INBOUND, hint_to_set, read_variable, variable_name
from runtime.config.credentials import Credentials, HostGrants
from runtime.config.files import try_lock, unlock
from runtime.config.settings import Settings
from runtime.config.store import Entry, Kind, Store, open_store

#: The name of a connection's grant in the store; no value is named so.
GRANT = ""
#: Seconds to wait for another process that renews the same grant, which is given up before that; and between two tries.
_PATIENCE, _TRY = 120.0, 0.02


class Vault:
    """Values by connection and name, and the grants (OAuth tokens) of connections."""

    def __init__(
        self,
        secrets: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        file: Path | None = None,
        store: Store | None = None,
        handles: Callable[[], Iterable[str]] = tuple,
        credentials: Credentials | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`secrets` are values given in Python, `environment` the variables, `file` a JSON or TOML file.

        `secrets` is queried whenever a call needs a value, so it may be a mapping that looks values up. `credentials`
        is the store of a host, in place of `store`; `clock` returns seconds since the epoch.
        `handles` returns those of the catalogue: a variable that could be meant for two of them is refused.

        Raises ConfigurationError for a file that cannot be read, and for a store that holds something when its key is
        missing (hazard T57).
        """
        self._given = secrets if secrets is not None else {}
        self._credentials = credentials
        #: The values of the host's store, as they were read last.
        self._provided: dict[str, dict[str, Any]] = {}
        self._host_grants = None if credentials is None else HostGrants(credentials, clock)
        self._environment = dict(environment or {})
        self._filed = read_secrets_file(file) if file is not None else {}
        self._store = store if credentials is None else None
        self._handles = handles
        if self._store is not None:
            self._store.check()
        self._origins: dict[str, str] = {}
        self._grants: dict[str, dict[str, Any]] = {}

    def values(self, connection: str, names: Iterable[str]) -> dict[str, Any]:
        """What is known of the named values of a connection, and all that was given for it in Python.

        The caller passes to `bind` where they lead. Raises ConfigurationError for a stored value that cannot be
        authenticated.
        """
        found: dict[str, Any] = {}
        for name in names:
            if (variable := variable_name(connection, name)) in self._environment:
                found[name] = read_variable(self._environment, variable, connection, self.names(), name)
            elif name in self._filed.get(connection, {}):
                found[name] = self._filed[connection][name]
            elif self._store is not None and (entry := self._stored(connection, name)) is not None:
                found[name] = self._store.read(entry)
        return {**self._provided.get(connection, {}), **found, **self._secrets_of(connection)}

    def given(self, connection: str) -> dict[str, Any]:
        """What Python has of a connection now: `secrets` of the runtime, and the host's store as it was read last."""
        return {**self._provided.get(connection, {}), **self._secrets_of(connection)}

    def _secrets_of(self, connection: str) -> dict[str, Any]:
        try:
            return dict(self._given[connection])
        except KeyError:
            return {}

    def open_store(self, settings: Settings) -> Store:
        """The encrypted store, to be written; raises ConfigurationError without one."""
        if self._credentials is not None:
            raise ConfigurationError("values come from the store of the host", hint="change them there")
        store = open_store(settings.store, settings.environment)
        if store is None:
            raise ConfigurationError("there is no store of connections", hint="set CONNECTOR_HOME")
        return store

    async def load(self, connection: str, *, grant: bool = False) -> None:
        """Reads the values of a connection from the host's store, if there is one, and its grant as well."""
        if self._credentials is None:
            return
        values = dict(await self._credentials.get(connection))
        if values:
            self._provided[connection] = values
        else:
            # A name that anyone may have made up takes no memory.
            self._provided.pop(connection, None)
        if grant and self._host_grants is not None:
            await self._host_grants.read(connection)

    def version(self) -> object:
        """What is another one as soon as anybody, in whatever process, changed a stored value."""
        return None if self._store is None else self._store.version()

    def entered(self, connection: str) -> float:
        """When a value or a token of a connection was stored last, in seconds since the epoch; 0 if none is."""
        entries = () if self._store is None else self._store.entries()
        times = [datetime.datetime.fromisoformat(each.set_at) for each in entries if each.connection == connection]
        return max(times).timestamp() if times else 0.0

    def connections(self) -> set[str]:
        """The connections that something was given for in Python, in the file or in the store.

        A variable shows which value it sets, but not how its connection is spelt.
        """
        stored = set() if self._store is None else {entry.connection for entry in self._store.entries()}
        return {*self._given, *self._filed, *self._provided, *stored}

    def names(self) -> set[str]:
        """The connectors and connections of this installation, which a variable could be meant for."""
        return {*self._handles(), *self.connections()}

    def has(self, connection: str, name: str) -> bool:
        """True if the connection has a value of that name, which is not read for it."""
        if variable_name(connection, name) in self._environment or name in self.given(connection):
            return True
        return name in self._filed.get(connection, {}) or self._stored(connection, name) is not None

    def bind(self, connection: str, names: Iterable[str], origin: str) -> None:
        """Records where the named values of a connection lead (`destination`); an empty origin leads nowhere.

        Raises OriginChanged if one of them is a stored secret that was entered for another origin (hazard T42): the
        definition changed its base URL, another definition took its handle, or the operator named another base URL.
        """
        self._origins[connection] = origin
        stored = [entry for name in names if (entry := self._stored(connection, name)) is not None]
        moved = {entry.name: entry.origin for entry in stored if entry.kind == "secret" and entry.origin != origin}
        if moved and origin:
            hint = f"if that is right, enter it again: connector connections set {connection}"
            raise OriginChanged(connection, moved, origin, hint=hint)

    def grant(self, connection: str) -> dict[str, Any]:
        """The tokens of a connection as they were saved last, by this process or another one; empty without any.

        Raises OriginChanged if they were saved for another origin than the one `bind` named.
        """
        if self._host_grants is not None:
            return self._host_grants.seen(connection)
        if connection in self._grants:
            return dict(self._grants[connection])
        entry = self._store.find(connection, GRANT) if self._store is not None else None
        if self._store is None or entry is None:
            return {}
        if entry.origin != (origin := self._origins.get(connection, "")):
            hint = f"if that is right, log in again: connector connections login {connection}"
            raise OriginChanged(connection, {"grant": entry.origin}, origin, hint=hint)
        return dict(self._store.read(entry))

    async def read_grant(self, connection: str) -> dict[str, Any]:
        """As `grant`, but what the host's store has now."""
        return self.grant(connection) if self._host_grants is None else await self._host_grants.read(connection)

    async def save_grant(self, connection: str, grant: Mapping[str, Any]) -> bool:
        """Keeps the tokens of a connection: on the disk before it returns if the store has a key, else in memory.

        Returns False, and saves nothing, if the host's store has got another grant since it was read.
        """
        import asyncio

        if self._host_grants is not None:
            return await self._host_grants.save(connection, grant)
        if self._store is None or not await asyncio.to_thread(self._store.can_write):
            self._grants[connection] = dict(grant)
            return True
        write, origin = self._store.write, self._origins.get(connection, "")
        await asyncio.to_thread(write, connection, {GRANT: dict(grant)}, origin=origin, kinds={GRANT: "grant"})
        return True

    @contextlib.asynccontextmanager
    async def renewing(
        self, connection: str, is_usable: Callable[[Mapping[str, Any]], bool] = lambda _: False
    ) -> AsyncIterator[None]:
        """Holds a connection's grant against every other process, from reading it to saving it; waits its turn.

        A provider that rotates refresh tokens takes each of them once, and may revoke the grant at the second time. A
        kill lets go of it. Without a store, grants are this process's and nothing is held. Raises TransportError where
        another process holds it for too long.
        In the store of a host it is claimed, unless it `is_usable` when the process that was waited for has saved it.
        """
        import asyncio

        if self._host_grants is not None:
            async with self._host_grants.renewing(connection, is_usable):
                yield
            return
        if self._store is None or not await asyncio.to_thread(self._store.can_write):
            yield
            return
        lock = self._store.open_lock("grant-" + hashlib.sha256(connection.encode()).hexdigest()[:16])
        try:
            try:
                async with asyncio.timeout(_PATIENCE):
                    while not try_lock(lock):  # noqa: ASYNC110 - what another process holds has no event
                        await asyncio.sleep(_TRY)
            except TimeoutError:
                message = f"another process has been renewing the token of {connection} for {_PATIENCE:.0f} s"
                raise TransportError(message, hint="end that process if it hangs", sent=False) from None
            yield
        finally:
            unlock(lock)

    def _stored(self, connection: str, name: str) -> Entry | None:
        """The entry of a value that comes from the store, because nothing before it has one."""
        if self._store is None or name in self.given(connection) or name in self._filed.get(connection, {}):
            return None
        return None if variable_name(connection, name) in self._environment else self._store.find(connection, name)

    def __repr__(self) -> str:
        return f"<Vault of {', '.join(sorted({*self._given, *self._filed})) or 'no named connection'}>"


def destination(config: Config) -> str:
    """What the secrets of a connection are bound to: the origin of its base URL, and its token URL's if that differs.

    Empty while a part of the base URL is missing, and then nothing can be sent.
    """
    client = getattr(getattr(config.auth, "grantor", None), "client", None)
    if not isinstance(client, OAuthClient) or not config.origin:
        return config.origin
    try:
        token_origin = origin_of(render_url(client.token_url, client.open(config.values)))
    except (Unrenderable, ValueError):  # it is not set yet, or cannot be used; then no token is requested
        return config.origin
    return config.origin if token_origin == config.origin else f"{config.origin} and {token_origin}"


def read_secrets_file(path: Path) -> dict[str, dict[str, Any]]:
    """The values in a JSON (or `.toml`) file, by connection; raises ConfigurationError, which quotes nothing."""
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text, object_pairs_hook=read_members)
    except OSError as error:
        raise ConfigurationError(f"secrets file {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, DuplicateKey):
            raise ConfigurationError(f"secrets file {path}: a key is duplicated") from None
        # The parser's message may quote the line, and the line may hold a secret.
        raise ConfigurationError(f"secrets file {path}: neither JSON nor, if it ends in .toml, TOML") from None
    if not isinstance(table, dict) or not all(isinstance(values, dict) for values in table.values()):
        raise ConfigurationError(f"secrets file {path}: expected an object of connections, each an object of values")
    return table


def check_names(service: Service, connection: str, names: Iterable[str]) -> None:
    """Raises InputError unless the connection has values of these names."""
    known = sorted({*service.placeholders, *INBOUND})
    problems = [InputProblem(name, f"{name} is not a value of this connection") for name in names if name not in known]
    if problems:
        raise InputError(connection, problems, hint=did_you_mean(problems[0].name, known))


def enter_values(
    service: Service, connection: str, values: Mapping[str, Any], settings: Settings, vault: Vault, store: Store
) -> str:
    """Checks the values of a connection and stores all or none of them; returns the origin that they are bound to.

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
    config = service.configure({**known, **outward}, base_url=settings.base_url(connection, vault.names))
    if not config.origin:
        error = missing_value(service, missing := set(service.base.names) - config.values.keys())
        error.hint = hint_to_set(connection, missing)
        raise error
    kinds: dict[str, Kind] = {
        name: INBOUND.get(name, "secret" if name in service.credentials else "value") for name in values
    }
    origin = destination(config)
    store.write(connection, values, origin=origin, kinds=kinds)
    return origin
