"""Sends one request until it is answered or given up: at the connection's pace, past the breaker, with retries.

A Sender acts on the decisions of `retries` and the counts of `limits`. It knows no definition beyond an operation's
policies, and no HTTP library.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from connector.errors import TransportError, UnknownOutcome
from connector.messages import Request, Response, Stream
from connector.model.definition import Operation
from connector.model.policies import SAFE_METHODS, LimitSign, RateLimit, Retry
from connector.urls import origin_of
from runtime.calls.limits import OriginBreaker, Pace
from runtime.calls.retries import GiveUp, decide, find_limit, is_limit, read_wait
from runtime.http.transport import NOT_SENT

Sleep = Callable[[float], Awaitable[None]]


class Transmits(Protocol):
    """What sends a request once."""

    async def send(self, request: Request, *, operation: str, origin: str | None = None) -> Response:
        """The answer, whatever its status; raises TransportError or MappingError."""


#: Returns a request with its credentials, made anew for each attempt.
Authorise = Callable[[Request], Request]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An answer, the request that it answers, as it was sent last, and how many attempts there were."""

    response: Response
    request: Request
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """How one request is sent, and when again. `header` names the end of a limit, in addition to the usual ones.

    With `patient` it is also sent again after a 503 that names a time, whatever the method.
    """

    client: Transmits
    authorise: Authorise
    label: str
    connection: str
    pace: Pace
    origin: str | None
    retry: Retry
    idempotent: bool
    header: str = ""
    limit: LimitSign | None = None
    patient: bool = False


class Sender:
    """Sends requests for a whole runtime, and remembers the pace of its connections and how their origins are."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        total: float = 60.0,
        patience: float = 120.0,
    ) -> None:
        """`clock` returns seconds since the epoch, `monotonic` such as never go back, `chance` numbers from 0 to 1.

        `total` are the seconds from the first attempt of a call within which another one may start, `patience` those
        that an attempt waits for its turn at most: a call that would wait longer fails at once.
        """
        self._clock = clock
        self._sleep = sleep
        self._monotonic = monotonic
        self._chance = chance
        self._total = total
        self._patience = patience
        self._paces: dict[tuple[str, str], Pace] = {}
        self._breakers: dict[str, OriginBreaker] = {}
        #: The waits between attempts, and the event loop of each.
        self._pauses: dict[asyncio.Timeout, asyncio.AbstractEventLoop] = {}

    async def send(
        self,
        client: Transmits,
        request: Request,
        operation: Operation,
        *,
        authorise: Authorise,
        connection: str,
        origin: str,
    ) -> Sent:
        """The answer to a request of an operation, which is sent again as its policies allow.

        `authorise` adds the credentials to each attempt just before it is sent, so that each has its own nonce and
        timestamp. The request may go to `origin` only.

        Raises TransportError where no answer came, UnknownOutcome where the provider may have acted, MappingError for
        a body that cannot be inflated.
        """
        task = _Task(
            client=client,
            authorise=authorise,
            label=f"{connection} {operation.label}",
            connection=connection,
            pace=self._pace(connection, operation),
            origin=origin,
            retry=operation.policies.retry,
            idempotent=operation.idempotent,
            header=operation.policies.errors.retry_after,
            limit=operation.policies.errors.limit,
        )
        outcome, sent, attempts = await self._repeat(task, request)
        return Sent(response=_final(outcome, idempotent=operation.idempotent), request=sent, attempts=attempts)

    async def ask(
        self, client: Transmits, request: Request, *, label: str, connection: str, origin: str | None
    ) -> Response:
        """The answer to a token request.

        It is sent again if it surely was not sent, and after a 429 or a 503 that names a time. A token request that may
        have been answered is never repeated, since the answer may have held the only copy of a rotated refresh token
        (hazard K11). Raises TransportError where no answer came, and MappingError.
        """
        task = _Task(
            client=client,
            authorise=lambda bare: bare,
            label=label,
            connection=connection,
            pace=Pace(None),
            origin=origin,
            retry=Retry(),
            idempotent=request.method in SAFE_METHODS,
            patient=True,
        )
        outcome, *_ = await self._repeat(task, request)
        if isinstance(outcome, TransportError):
            raise outcome
        return outcome

    async def _repeat(self, task: _Task, request: Request) -> tuple[Response | TransportError, Request, int]:
        """The last answer or error, the request that it belongs to, and how many attempts there were."""
        repeatable = not isinstance(request.body, Stream) or request.body.repeatable
        if (held := task.pace.held(self._monotonic())) and not await self._wait(self._sleep(held)):
            return _closed(task, request), request, 0
        elapsed, attempt, renewed = 0.0, 0, False
        while True:
            attempt += 1
            started = self._monotonic()
            outcome, sent = await self._attempt(task, request)
            elapsed += self._monotonic() - started
            told = None
            again = task.idempotent
            limited, retry = False, task.retry
            if isinstance(outcome, Response):
                limited, wait = find_limit(outcome, task.limit, self._clock())
                if outcome.status < 400 and not limited:
                    return outcome, sent, attempt
                told = read_wait(outcome, self._clock(), task.header)
                told = wait if told is None else told
                if limited:  # it was refused, so it surely did not happen
                    again, retry = True, replace(retry, statuses=retry.statuses | {outcome.status})
                again |= task.patient and outcome.status == 503 and told is not None
            elif outcome.blame == "connection" and (task.idempotent or not outcome.sent) and repeatable and not renewed:
                # A kept connection had ended; over a new one it goes at once (RFC 9110, section 9.2.2).
                renewed = True
                continue
            decision = decide(
                outcome,
                retry,
                idempotent=again,
                attempt=attempt - renewed,
                elapsed=elapsed,
                total=self._total,
                chance=self._chance(),
                told=told,
            )
            if isinstance(decision, GiveUp) or not repeatable:
                return outcome, sent, attempt
            if decision.told and isinstance(outcome, Response) and (limited or is_limit(outcome)):
                task.pace.hold(self._monotonic() + decision.delay)
            if not await self._wait(self._sleep(decision.delay)):
                return outcome, sent, attempt
            elapsed += decision.delay

    async def _wait(self, waiting: Awaitable[None]) -> bool:
        """Waits; False if the sender was closed meanwhile."""
        clock = asyncio.timeout(None)
        self._pauses[clock] = asyncio.get_running_loop()
        try:
            async with clock:
                await waiting
        except TimeoutError:
            if not clock.expired():
                raise
            return False
        finally:
            del self._pauses[clock]
        return True

    def close(self) -> None:
        """Ends the waits of the running event loop: their calls end with the last outcome, or were not sent."""
        loop = asyncio.get_running_loop()
        for clock, its_loop in list(self._pauses.items()):
            if its_loop is loop:
                clock.reschedule(loop.time())

    def _pace(self, connection: str, operation: Operation) -> Pace:
        """The pace of the connection, or of the operation where it has a limit of its own."""
        limit = operation.policies.rate_limit
        own = operation.id if limit is not operation.service.policies.rate_limit else ""
        pace = self._paces.get((connection, own))
        if pace is None or pace.limit != (limit or RateLimit()):
            # The first call, or the first one since the definition was edited.
            pace = self._paces[connection, own] = Pace(limit)
        return pace

    async def _attempt(self, task: _Task, request: Request) -> tuple[Response | TransportError, Request]:
        pace = task.pace
        if pace.is_free:
            return await self._send_once(task, request)
        try:
            turn = pace.enter(self._monotonic, self._sleep, self._patience)
            if not await self._wait(turn):
                return _closed(task, request), request
        except TimeoutError:
            message = f"{task.label}: not sent, since its connection has no turn for it within {self._patience:g} s"
            hint = "the definition's rateLimit allows fewer calls than were made; call it later"
            shown = request.masked()
            error = TransportError(message, hint=hint, request=shown, sent=False, temporary=False, blame="caller")
            return error, request
        try:
            return await self._send_once(task, request)
        finally:
            pace.leave()

    async def _send_once(self, task: _Task, request: Request) -> tuple[Response | TransportError, Request]:
        request = task.authorise(request)
        origin = task.origin or origin_of(request.url)
        breaker = self._breakers.get(origin)
        if breaker is None:
            breaker = self._breakers[origin] = OriginBreaker()
        if rest := breaker.wait(self._monotonic(), task.connection):
            message = f"{task.label}: not sent, since too many of the last calls to {origin} failed"
            hint = f"it is tried again in {rest:.0f} s"
            shown = request.masked()
            error = TransportError(message, hint=hint, request=shown, sent=False, temporary=False, blame="caller")
            return error, request
        outcome: Response | TransportError | None = None
        try:
            outcome = await task.client.send(request, operation=task.label, origin=task.origin)
        except TransportError as error:
            outcome = error
        finally:
            if outcome is None or (isinstance(outcome, TransportError) and _says_nothing(outcome)):
                breaker.forget(task.connection)
            else:
                failed = outcome.status >= 500 if isinstance(outcome, Response) else outcome.temporary
                breaker.note(self._monotonic(), task.connection, failed=failed)
        return outcome, request


def _says_nothing(error: TransportError) -> bool:
    """True for an error in which the origin had no part, as it has none in what our settings or the guard refuse."""
    return error.blame == "caller" or not (error.sent or error.temporary)


def _closed(task: _Task, request: Request) -> TransportError:
    message = f"{task.label}: the runtime was closed while it waited for its turn"
    shown = request.masked()
    return TransportError(message, hint=NOT_SENT, request=shown, sent=False, temporary=False, blame="caller")


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
