"""Sending one request until it is answered or given up: within the connection's pace, past the breaker, again if wise.

A Sender takes the decisions of `retries` and the counts of `limits` and acts on them: it waits and sends. It knows no
definition beyond an operation's policies, and no HTTP library: what really sends is given to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from connector.definitions import Operation
from connector.errors import TransportError, UnknownOutcome
from connector.messages import Request, Response, Stream
from connector.policies import SAFE_METHODS
from connector.urls import origin_of
from runtime.limits import Breaker, Pace
from runtime.retries import Enough, decide, is_limit, read_wait

Sleep = Callable[[float], Awaitable[None]]


class Transmits(Protocol):
    """What sends a request once."""

    async def send(self, request: Request, *, operation: str, origin: str | None = None) -> Response:
        """The answer, whatever its status; raises TransportError or MappingError."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An answer, and how many attempts it took."""

    response: Response
    attempts: int = 1


class Sender:
    """Sends requests for a whole runtime, and remembers the pace of its connections and the state of its origins."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        total: float = 60.0,
    ) -> None:
        """`clock` gives seconds since the epoch, `monotonic` such as never go back, `chance` numbers from 0 to 1.

        `total` are the seconds from the first attempt of a call within which another one may begin.
        """
        self._clock = clock
        self._sleep = sleep
        self._monotonic = monotonic
        self._chance = chance
        self._total = total
        self._paces: dict[tuple[str, str], Pace] = {}
        self._breakers: dict[str, Breaker] = {}

    async def send(
        self, client: Transmits, request: Request, operation: Operation, *, connection: str, origin: str | None
    ) -> Sent:
        """The answer to a request of an operation; the same request is sent again as its policies allow.

        `origin` is where alone it may go; None lets a request of auth go where its definition says.

        Raises TransportError where no answer came, UnknownOutcome where the provider may have acted all the same,
        MappingError for a body that cannot be inflated.
        """
        label = f"{connection} {operation.label}"
        retry = operation.policies.retry
        # A request that auth makes on its way (for a token) is not the operation's own.
        idempotent = operation.idempotent if request.method == operation.method else request.method in SAFE_METHODS
        repeatable = not isinstance(request.body, Stream) or request.body.repeatable
        pace = self._pace(connection, operation)
        elapsed = pace.held(self._monotonic())
        if elapsed:
            await self._sleep(elapsed)
        elapsed, attempt = 0.0, 0
        while True:
            attempt += 1
            started = self._monotonic()
            outcome = await self._attempt(client, request, label, pace, origin)
            elapsed += self._monotonic() - started
            told = None
            if isinstance(outcome, Response):
                if outcome.status < 400:
                    return Sent(outcome, attempt)
                told = read_wait(outcome, self._clock(), operation.policies.errors.retry_after)
            decision = decide(
                outcome,
                retry,
                idempotent=idempotent,
                attempt=attempt,
                elapsed=elapsed,
                total=self._total,
                chance=self._chance(),
                told=told,
            )
            if isinstance(decision, Enough) or not repeatable:
                return Sent(_final(outcome, idempotent=idempotent), attempt)
            if decision.told and isinstance(outcome, Response) and is_limit(outcome):
                pace.hold(self._monotonic() + decision.delay)
            await self._sleep(decision.delay)
            elapsed += decision.delay

    def _pace(self, connection: str, operation: Operation) -> Pace:
        """The pace of the connection, or of the operation where it has a limit of its own."""
        limit = operation.policies.rate_limit
        own = operation.id if limit is not operation.service.policies.rate_limit else ""
        pace = self._paces.get((connection, own))
        if pace is None:
            pace = self._paces[connection, own] = Pace(limit)
        return pace

    async def _attempt(
        self, client: Transmits, request: Request, label: str, pace: Pace, origin: str | None
    ) -> Response | TransportError:
        wait = pace.take(self._monotonic())
        if wait:
            await self._sleep(wait)
        async with pace.slots or contextlib.nullcontext():
            asked = origin or origin_of(request.url)
            breaker = self._breakers.get(asked)
            if breaker is None:
                breaker = self._breakers[asked] = Breaker()
            if rest := breaker.wait(self._monotonic()):
                message = f"{label}: not sent, since too many of the last calls to {asked} failed"
                return TransportError(
                    message,
                    hint=f"it is tried again in {rest:.0f} s",
                    request=request.masked(),
                    sent=False,
                    temporary=False,
                )
            outcome: Response | TransportError | None = None
            try:
                outcome = await client.send(request, operation=label, origin=origin)
            except TransportError as error:
                outcome = error
            finally:
                if outcome is None:
                    breaker.forget()
                elif isinstance(outcome, Response):
                    breaker.note(self._monotonic(), failed=outcome.status >= 500)
                else:
                    breaker.note(self._monotonic(), failed=outcome.temporary)
            return outcome


def _final(outcome: Response | TransportError, *, idempotent: bool) -> Response:
    """The answer; raises the error if none came."""
    if isinstance(outcome, Response):
        return outcome
    if outcome.sent and not idempotent and type(outcome) is TransportError:
        raise UnknownOutcome(
            f"{outcome.message}; the provider may have acted",
            hint=outcome.hint,
            request=outcome.request,
            temporary=outcome.temporary,
        ) from None
    raise outcome
