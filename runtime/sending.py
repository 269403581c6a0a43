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
from connector.policies import SAFE_METHODS, Retry
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


@dataclass(frozen=True, slots=True)
class _Rules:
    """When a request is sent again. `header` is the one that says when to come back, beside the usual ones.

    Who is `patient` comes back after a 503 that names a time as well, whatever the method.
    """

    retry: Retry
    idempotent: bool
    header: str = ""
    patient: bool = False


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
        # A request that auth makes on its way (for a token) is not the operation's own.
        idempotent = operation.idempotent if request.method == operation.method else request.method in SAFE_METHODS
        pace = self._pace(connection, operation)
        rules = _Rules(operation.policies.retry, idempotent, operation.policies.errors.retry_after)
        outcome, attempts = await self._repeat(client, request, label, pace, origin, rules)
        return Sent(_final(outcome, idempotent=idempotent), attempts)

    async def ask(self, client: Transmits, request: Request, *, label: str, origin: str | None) -> Response:
        """The answer to a request for a token, which belongs to no operation.

        It is sent again where it surely was not sent, and where the endpoint names a time to come back: with a 429 or
        a 503. A token request that may have been answered is never repeated, for the answer may have held the only copy
        of a rotated refresh token (hazard K11). Raises TransportError where no answer came, and MappingError.
        """
        rules = _Rules(Retry(), request.method in SAFE_METHODS, patient=True)
        outcome, _ = await self._repeat(client, request, label, Pace(None), origin, rules)
        if isinstance(outcome, TransportError):
            raise outcome
        return outcome

    async def _repeat(
        self,
        client: Transmits,
        request: Request,
        label: str,
        pace: Pace,
        origin: str | None,
        rules: _Rules,
    ) -> tuple[Response | TransportError, int]:
        """The last answer or error, and how many attempts it took."""
        repeatable = not isinstance(request.body, Stream) or request.body.repeatable
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
            again = rules.idempotent
            if isinstance(outcome, Response):
                if outcome.status < 400:
                    return outcome, attempt
                told = read_wait(outcome, self._clock(), rules.header)
                again |= rules.patient and outcome.status == 503 and told is not None
            decision = decide(
                outcome,
                rules.retry,
                idempotent=again,
                attempt=attempt,
                elapsed=elapsed,
                total=self._total,
                chance=self._chance(),
                told=told,
            )
            if isinstance(decision, Enough) or not repeatable:
                return outcome, attempt
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
