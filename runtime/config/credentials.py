"""Credentials that live in a host's own store: a protocol, and how processes take turns to renew a grant.

`Vault` has the other places where values come from. Nothing here knows what a grant is: it is a JSON object that the
host keeps as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final, Protocol

from connector.errors import TransportError

#: The member of a stored grant while a process renews it.
CLAIM: Final = "renewing"
#: Seconds after which a claim is void, since its process must have ended; more than a token request may take.
LEASE: Final = 180.0
#: Seconds to wait for another process, and between two queries of the host's store: the first, and the longest one.
_PATIENCE, _FIRST, _LONGEST = 120.0, 0.02, 0.5


class Credentials(Protocol):
    """The store of a host: values and grants (OAuth tokens) of its connections, such as `mistral-ai:team-b`.

    It is queried whenever a call needs it, so a connection may be added at any time. A grant is a JSON object, which
    the host keeps as it is, encrypted.
    """

    async def get(self, connection: str) -> Mapping[str, str]:
        """Returns the values of a connection by name; empty for an unknown connection."""

    async def grant(self, connection: str) -> Mapping[str, Any] | None:
        """Returns the grant of a connection as it was saved last, or None."""

    async def save_grant(self, connection: str, grant: Mapping[str, Any], expected: Mapping[str, Any] | None) -> bool:
        """Saves a grant if the saved one still equals `expected` (None: there is none), in one atomic step.

        Returns False, and changes nothing, if it does not.
        """


class HostGrants:
    """The grants of a host's store, as one process knows them; each change is a compare-and-set."""

    def __init__(self, credentials: Credentials, clock: Callable[[], float]) -> None:
        """`clock` returns seconds since the epoch."""
        self._credentials = credentials
        self._clock = clock
        #: What this process saved last to claim a grant: what it expects to find when it saves the new one.
        self._claims: dict[str, dict[str, Any]] = {}
        #: What was read or saved last.
        self._seen: dict[str, dict[str, Any] | None] = {}

    def seen(self, connection: str) -> dict[str, Any]:
        """The grant as it was read or saved last; empty without one."""
        return _without_claim(self._seen.get(connection))

    async def read(self, connection: str) -> dict[str, Any]:
        """The grant as the host has it now; empty without one."""
        await self._read(connection)
        return self.seen(connection)

    async def save(self, connection: str, grant: Mapping[str, Any]) -> bool:
        """Saves a grant in place of what was read last; False if another process has saved one meanwhile."""
        claim = self._claims.pop(connection, None)
        expected = self._seen.get(connection) if claim is None else claim
        if not await self._credentials.save_grant(connection, grant, expected):
            return False
        self._seen[connection] = dict(grant)
        return True

    @contextlib.asynccontextmanager
    async def renewing(
        self, connection: str, is_usable: Callable[[Mapping[str, Any]], bool]
    ) -> AsyncGenerator[None, None]:
        """Claims the grant of a connection against every other process, from reading it to saving it.

        Waits for a process that has claimed it. If the grant `is_usable` by then, nothing is claimed. A process that is
        killed loses its claim after LEASE seconds. Raises TransportError where another one claims it for too long.
        """
        mine = await self._claim(connection, is_usable)
        try:
            yield
        finally:
            if mine is not None and self._claims.get(connection) is mine:
                # Nothing was saved: the grant is as it was, and free.
                await self.save(connection, _without_claim(mine))

    async def _claim(self, connection: str, is_usable: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any] | None:
        loop = asyncio.get_running_loop()
        ends, pause = loop.time() + _PATIENCE, _FIRST
        while True:
            stored = await self._read(connection)
            now = self._clock()
            if is_usable(_without_claim(stored)):
                return None
            if not _is_claimed(stored, now):
                mine = {**(stored or {}), CLAIM: {"by": secrets.token_hex(8), "until": now + LEASE}}
                if await self.save(connection, mine):
                    self._claims[connection] = mine
                    return mine
            if loop.time() > ends:
                message = f"another process has been renewing the token of {connection} for {_PATIENCE:.0f} s"
                raise TransportError(message, hint="end that process if it hangs", sent=False)
            await asyncio.sleep(pause)
            pause = min(_LONGEST, pause * 1.5)

    async def _read(self, connection: str) -> dict[str, Any] | None:
        found = await self._credentials.grant(connection)
        stored = self._seen[connection] = None if found is None else dict(found)
        return stored


def _is_claimed(stored: Mapping[str, Any] | None, now: float) -> bool:
    claim = (stored or {}).get(CLAIM)
    return isinstance(claim, Mapping) and 0 < claim.get("until", 0.0) - now <= LEASE


def _without_claim(stored: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (stored or {}).items() if name != CLAIM}
