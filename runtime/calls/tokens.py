"""Tokens of connections: obtained, renewed before they expire, and saved before they are used.

The language makes the token requests (`oauth`). There is one renewal at a time for each connection, however many calls
and processes wait for it (hazard K11). A renewal that has started is finished and saved even if its call is cancelled,
since its answer may be the only copy of a refresh token. After a failure there is a pause (hazard P3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from connector.auth.methods import GrantAuth
from connector.auth.oauth import AuthorizationCode, TokenExchange
from connector.auth.tokens import Grant
from connector.errors import (
    ConfigurationError,
    ConnectorError,
    InputProblem,
    MappingError,
    MissingCredentials,
    NeedsReauthorization,
    TransportError,
)
from connector.messages import Request, Response
from connector.model.service import Config
from connector.templates import Unrenderable
from runtime.calls.loops import Place
from runtime.config.connections import hint_to_set
from runtime.config.vault import Vault

R = TypeVar("R")

#: Seconds without a token request after a refusal, unless the connection was given something new.
PAUSE = 15 * 60.0


class Send(Protocol):
    """Sends one token request; `origin` is the only one it may go to, if there is one."""

    def __call__(self, request: Request, *, connection: str, purpose: str, origin: str | None) -> Awaitable[Response]:
        """Its answer; raises TransportError or MappingError."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why there was no token, when, and with which grant and values it was requested."""

    error: ConnectorError
    at: float
    pause: float
    grant: Grant | None
    values: Mapping[str, Any]

    def holds(self, now: float, grant: Grant | None, values: Mapping[str, Any]) -> bool:
        """True while a new request would fail as well; a clock that was set back ends it (hazard C1)."""
        return 0 <= now - self.at < self.pause and grant == self.grant and values == self.values


class Authoriser:
    """The grants of all connections of a runtime."""

    def __init__(self, vault: Vault, send: Send, clock: Callable[[], float]) -> None:
        """`clock` returns seconds since the epoch."""
        self._vault = vault
        self._send = send
        self._clock = clock
        self._known: dict[str, Grant] = {}
        self._unsaved: dict[str, Grant] = {}
        self._rejected: dict[str, tuple[Grant, float]] = {}
        self._failures: dict[str, _Failure] = {}
        #: By connection, and by the loop that renews.
        self._renewals: dict[tuple[str, Place], asyncio.Task[Grant]] = {}

    async def grant(self, connection: str, auth: GrantAuth, config: Config, *, refused: Grant | None = None) -> Grant:
        """A grant whose token can be used now; `refused` is a grant that the provider no longer accepts.

        Returns the refused one if a new one was refused as well a short while ago. Raises NeedsReauthorization,
        MissingCredentials, or TransportError without a usable answer of the token endpoint.
        """
        known = self._known.get(connection)
        if known is not None and _differs(known, refused) and known.is_fresh(self._clock()):
            return known
        here = connection, Place.here()
        task = self._renewals.get(here)
        if task is None:
            task = asyncio.create_task(self._renew(connection, auth, config, refused))
            self._renewals[here] = task
            task.add_done_callback(lambda done: self._end(here, done))
        return await asyncio.shield(task)

    def reject(self, connection: str, grant: Grant) -> None:
        """Notes that a new token was refused, so that another one would be as well."""
        self._rejected[connection] = (grant, self._clock())

    def assume(self, connection: str, grant: Grant) -> None:
        """Takes a grant as it is, without saving it."""
        self._known[connection] = grant

    def forget(self, connection: str) -> None:
        """Forgets what is known of a connection after its values or its grant changed."""
        for kept in (self._known, self._rejected, self._failures):
            kept.pop(connection, None)

    async def finish(self) -> None:
        """Waits for the renewals that have begun."""
        here = Place.here()
        running = [task for (_, place), task in self._renewals.items() if place == here]
        await asyncio.gather(*running, return_exceptions=True)

    def _end(self, here: tuple[str, Place], task: asyncio.Task[Grant]) -> None:
        self._renewals.pop(here, None)
        if not task.cancelled():
            task.exception()  # the call that waited for it may have been cancelled

    async def _renew(self, connection: str, auth: GrantAuth, config: Config, refused: Grant | None) -> Grant:
        # Another process, or a login, may have saved a newer one.
        if connection not in self._unsaved and (saved := await self._saved(connection, refused)) is not None:
            return saved

        def is_usable(stored: Mapping[str, Any]) -> bool:
            return connection not in self._unsaved and self._usable(stored, refused) is not None

        async with self._vault.renewing(connection, is_usable):
            return await self._renew_alone(connection, auth, config, refused)

    def _usable(self, stored: Mapping[str, Any], refused: Grant | None) -> Grant | None:
        """A stored grant, if it can be used as it is."""
        grant = Grant.from_json(stored)
        return grant if grant is not None and _differs(grant, refused) and grant.is_fresh(self._clock()) else None

    async def _saved(self, connection: str, refused: Grant | None) -> Grant | None:
        """The grant that was saved last, if it can be used as it is."""
        if (grant := self._usable(await self._vault.read_grant(connection), refused)) is not None:
            self._known[connection] = grant
        return grant

    async def _renew_alone(self, connection: str, auth: GrantAuth, config: Config, refused: Grant | None) -> Grant:
        """A grant that can be used, while no other process renews it."""
        if connection in self._unsaved:
            return await self._keep(connection, self._unsaved[connection])
        # Read again, since the process that was waited for has renewed it.
        if (saved := self._usable(self._vault.grant(connection), refused)) is not None:
            self._known[connection] = saved
            return saved
        now = self._clock()
        stored = self._vault.grant(connection)
        grant = Grant.from_json(stored)
        rejected, at = self._rejected.get(connection, (None, 0.0))
        if refused is not None and rejected == refused and 0 <= now - at < PAUSE:
            return refused
        usable = grant if grant is not None and _differs(grant, refused) and grant.is_alive(now) else None
        failure = self._failures.get(connection) or _stored_failure(connection, stored, grant, config)
        if failure is not None and failure.holds(now, grant, config.values):
            if usable is not None:
                return usable
            raise _again(failure, now)
        try:
            renewed = await self._obtain(connection, auth, config, grant, now)
        except (NeedsReauthorization, TransportError, MappingError) as error:
            lasting = isinstance(error, NeedsReauthorization)
            before = failure.pause if failure is not None else 0.5
            pause = PAUSE if lasting else min(PAUSE, before * 2)
            self._failures[connection] = _Failure(error, now, pause, grant, config.values)
            if lasting and grant is not None and isinstance(auth.grantor, AuthorizationCode):
                marked = {**stored, "needs_reauth": error.errors[0].message, "failed_at": now}  # type: ignore[union-attr]
                await self._vault.save_grant(connection, marked)
            if usable is not None:
                return usable
            raise
        return await self._keep(connection, renewed)

    async def _keep(self, connection: str, grant: Grant) -> Grant:
        """Saves a grant before it is used; if that fails it is kept, and saved before another one is requested."""
        self._unsaved[connection] = grant
        while not await self._vault.save_grant(connection, grant.to_json()):
            # Someone else has saved one, such as a login: that is the one to use, if it can be used.
            saved = self._usable(await self._vault.read_grant(connection), None)
            if saved is not None and saved.issued_at >= grant.issued_at:
                grant = saved
                break
        del self._unsaved[connection]
        self._failures.pop(connection, None)
        self._known[connection] = grant
        return grant

    async def _obtain(self, connection: str, auth: GrantAuth, config: Config, grant: Grant | None, now: float) -> Grant:
        missing = sorted(auth.names & config.missing)
        if missing:
            errors = [InputProblem(name, f"{name} of the connection is not set") for name in missing]
            raise MissingCredentials(connection, errors, hint=hint_to_set(connection, missing))
        origin = config.origin if isinstance(auth.grantor, TokenExchange) else None
        renewal = auth.grantor.renew(config.values, grant, now, config.base or "")
        try:
            request = next(renewal)
            while True:
                response = await self._send(request, connection=connection, purpose="token", origin=origin)
                request = renewal.send(response)
        except StopIteration as done:
            renewed: Grant = done.value
            return renewed
        except Unrenderable as error:
            raise unusable_value(connection, error) from None
        except NeedsReauthorization as error:
            raise _refused(connection, auth, error) from None


def _differs(grant: Grant, refused: Grant | None) -> bool:
    return refused is None or grant.token != refused.token


def _refused(connection: str, auth: GrantAuth, error: NeedsReauthorization) -> NeedsReauthorization:
    """The refusal with the name of its connection, and what to do about it."""
    hint = f"run: connector connections login {connection}"
    if not isinstance(auth.grantor, AuthorizationCode):
        hint = f"correct its values (connector connections set {connection}); it has no connector connections login"
    problems = [InputProblem(each.name, f"it needs to be authorised again: {each.message}") for each in error.errors]
    return NeedsReauthorization(connection, problems, hint=hint)


def _stored_failure(connection: str, stored: Mapping[str, Any], grant: Grant | None, config: Config) -> _Failure | None:
    """The failure that was saved with a grant, by this process or an earlier one."""
    if "needs_reauth" not in stored:
        return None
    problem = InputProblem("grant", str(stored["needs_reauth"]))
    error = NeedsReauthorization(connection, [problem], hint=f"run: connector connections login {connection}")
    return _Failure(error, float(stored.get("failed_at", 0)), PAUSE, grant, config.values)


def _again(failure: _Failure, now: float) -> ConnectorError:
    """The same failure for another call, with how long it stays so."""
    error = failure.error
    left = f"no token is requested in the next {failure.at + failure.pause - now:.0f} s"
    if isinstance(error, NeedsReauthorization):
        return NeedsReauthorization(error.operation, error.errors, hint=f"{error.hint}; {left}")
    return TransportError(error.message, hint=left)


def unusable_value(
    connection: str, error: Unrenderable, *, hint: str = "correct the values of this connection"
) -> MissingCredentials:
    """The error of a value of a connection that cannot be used."""
    return MissingCredentials(connection, [InputProblem(error.name, f"{error.name}: {error}")], hint=hint)


def login_step(connection: str, step: Callable[[], R]) -> R:
    """Makes a step of a login; its problems become errors of the connection."""
    try:
        return step()
    except Unrenderable as error:
        hint = f"{hint_to_set(connection, [error.name])}, or: connector connections set {connection}"
        raise unusable_value(connection, error, hint=hint) from None
    except ValueError as error:
        raise ConfigurationError(str(error), hint=f"connector connections set {connection} enters its values") from None
