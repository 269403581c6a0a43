"""Delivery: each due delivery is signed, sent to its subscriber, and recorded with what came of it.

An endpoint has its own breaker, pace and memory, so that one which is slow or down delays nobody else. How long to wait
is `subscriptions`' to say, what is due `dispatching`'s, and what is kept `outgoing`'s and the journal's. At least once
is the promise: whoever is killed between an answer and its record sends again, with the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from connector.errors import ConfigurationError, MappingError, NotInJournal, TransportError
from connector.events.signatures import sign
from connector.headers import Headers
from connector.messages import Event, Request, Response, mask, without_query
from connector.model.policies import RateLimit
from runtime.calls.limits import Breaker, Pace
from runtime.calls.retries import read_wait
from runtime.config.settings import Limits
from runtime.documents import event_document, time_text
from runtime.events.subscriptions import HOPS_HEADER, Endpoint, Endpoints, clamp_wait, next_wait
from runtime.journal.entries import EXHAUSTED, Attempt, NewEvent, StoredEvent, Subscription, Work
from runtime.journal.journal import Journal
from runtime.journal.outbox import Outbox, PendingDelivery

if TYPE_CHECKING:
    from runtime.http.client import Client

#: What one attempt may take: 15 seconds in all, and 64 KiB of an answer; then its status counts (hazard T77).
LIMITS: Final = Limits(
    deadline=15.0, stream_deadline=15.0, idle=15.0, stream_bytes=64 * 1024, head_bytes=32 * 1024, connections=1000
)
#: Deliveries at work at once, in all; of one subscription it is the lane's limit (`dispatching`). Those that wait for
#: an endpoint count as well, and take no more than a little memory, so that many endpoints can be down at once.
CONCURRENCY: Final = 8000
#: Requests to one endpoint at once.
PLACES: Final = 16
#: An event that came through so many deliveries is in a loop (hazard T75).
MAX_HOPS: Final = 5
#: An endpoint that failed for so many seconds without one success is disabled (hazard S3).
PATIENCE: Final = 5 * 86400.0
#: A success after so many seconds of failures ends an outage: what is pending is due at once (hazard S1).
OUTAGE: Final = 60.0
#: A wait of more seconds is kept in the journal instead of being waited for.
_LONG: Final = 60.0
#: Deliveries that begin to be sent at once, and the seconds after which one that has no answer yet lets another one
#: begin. So however much is due, and however quick or slow the subscribers, the event loop has time for all else.
_BEGIN, _TURN = 32, 0.02
_EXCERPT: Final = 200
_CONTENT_TYPE: Final = "application/cloudevents+json"  # CloudEvents, HTTP protocol binding 1.0.2, section 3.2

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SubscriberAnswer:
    """What a subscriber answered, or why it did not."""

    #: The status; None where none came.
    status: int | None
    #: What went wrong, in words; empty for a 2xx.
    error: str
    #: Seconds that it asked to be left alone for.
    told: float | None = None


@dataclass(slots=True)
class EndpointState:
    """What is known of an endpoint while this process delivers to it."""

    pace: Pace
    breaker: Breaker = field(default_factory=Breaker)
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PLACES))
    memory: dict[str, Any] = field(default_factory=dict)


class Deliverer:
    """Handles deliveries: give `handle` to a dispatcher as the handler of their kind."""

    def __init__(
        self,
        journal: Journal,
        endpoints: Endpoints,
        client: Client,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`client` has LIMITS and a guard of its own, which knows the origins that the operator allows subscribers.

        `clock` is the wall clock that signatures are dated by, `monotonic` never goes back, `chance` gives 0 to 1.
        """
        self._journal = journal
        self._endpoints = endpoints
        self._client = client
        self._outgoing = Outbox(journal)
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._chance = chance
        self._lines: dict[str, EndpointState] = {}
        self._turns = asyncio.Semaphore(_BEGIN)

    async def handle(self, id: str) -> None:
        """Makes the next attempt of a delivery, and records it. Raises JournalUnavailable."""
        while (wait := await self._attempt(id)) > 0:
            # The lane of the endpoint is limited, so whoever waits here takes no place from any other.
            await self._sleep(wait)

    async def _attempt(self, id: str) -> float:
        """Makes an attempt, unless the endpoint is to be left alone; gives the seconds after which to ask again."""
        parcel = await self._outgoing.find(id)
        if parcel is None or parcel.delivery.state != "pending":
            await self._journal.unschedule("delivery", [id])
            return 0.0
        subscription = parcel.subscription
        if subscription is None or subscription.state == "disabled":
            why = "removed" if subscription is None else f"disabled: {subscription.reason}"
            await self._record(parcel, None, state="dead", reason=f"the subscription was {why}")
            return 0.0
        if parcel.stored.hops >= MAX_HOPS:
            reason = f"a loop: the event came through {parcel.stored.hops} deliveries"
            await self._record(parcel, None, state="dead", reason=reason)
            return 0.0
        line = self._line(subscription)
        held_until: float = line.memory.get("held_until", 0.0)
        if (wait := held_until - self._journal.now()) > _LONG:
            await self._journal.schedule([Work("delivery", id, held_until, subscription.id)], replace=True)
            return 0.0
        if wait > 0 or (wait := line.breaker.wait(self._monotonic())) > 0:
            return wait
        await self._deliver(parcel, subscription, line)
        return 0.0

    async def _deliver(self, parcel: PendingDelivery, subscription: Subscription, line: EndpointState) -> None:
        answer = None
        try:
            if (turn := line.pace.take(self._monotonic())) > 0:
                await self._sleep(turn)
            async with line.places, self._turn():
                at, started = self._clock(), self._monotonic()
                answer = await self._send(parcel, subscription, int(at))
        finally:
            if answer is None:
                line.breaker.forget()
        line.breaker.note(self._monotonic(), failed=bool(answer.error))
        attempt = Attempt(at, self._monotonic() - started, answer.status, answer.error)
        if answer.error:
            await self._fail(parcel, subscription, line, attempt, answer)
        else:
            await self._record(parcel, attempt, state="delivered")
            await self._recover(subscription, line)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Waits until few enough others have begun, and lets the next one begin at the end, or a little later."""
        await self._turns.acquire()
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                self._turns.release()

        timer = asyncio.get_running_loop().call_later(_TURN, release)
        try:
            yield
        finally:
            timer.cancel()
            release()

    def _line(self, subscription: Subscription) -> EndpointState:
        line = self._lines.get(subscription.id)
        if line is None:
            line = EndpointState(Pace(RateLimit(subscription.rate)), memory=dict(subscription.memory))
            self._lines[subscription.id] = line
        return line

    async def _send(self, parcel: PendingDelivery, subscription: Subscription, timestamp: int) -> SubscriberAnswer:
        stored = parcel.stored
        try:
            endpoint = self._endpoints.find(subscription.id)
            request = build_delivery(endpoint, stored, timestamp)
            answer = await self._exchange(request, endpoint)
        except (TransportError, ConfigurationError) as error:
            return SubscriberAnswer(None, error.message)
        return answer

    async def _exchange(self, request: Request, endpoint: Endpoint) -> SubscriberAnswer:
        excerpt = b""
        async with self._client.stream(request, operation="") as response:
            # Whatever the rest of it is, the status has been said.
            with contextlib.suppress(TransportError, MappingError):
                async for piece in response:
                    excerpt += piece[: _EXCERPT - len(excerpt)]
        status = response.status
        if 200 <= status < 300:
            return SubscriberAnswer(status, "")
        told = None
        if status in (429, 503):
            told = read_wait(Response(status, response.headers), self._clock())
        if 300 <= status < 400:
            where = without_query(response.headers.get("location", "nowhere"))
            words = f"a redirect to {where}, which is not followed"
        else:
            words = " ".join(excerpt.decode("utf-8", "replace").split())
        words = mask(words, endpoint.hidden)
        return SubscriberAnswer(status, f"answered {status}: {words}" if words else f"answered {status}", told)

    async def _fail(
        self,
        parcel: PendingDelivery,
        subscription: Subscription,
        line: EndpointState,
        attempt: Attempt,
        answer: SubscriberAnswer,
    ) -> None:
        now = self._journal.now()
        if answer.status == 410:  # Standard Webhooks: the endpoint wants no more
            await self._record(parcel, attempt, state="dead", reason=answer.error)
            await self._outgoing.disable(subscription.id, "its endpoint answered 410 Gone")
            return
        wait = next_wait(parcel.delivery.attempts + 1, self._chance(), answer.told)
        if wait is None:
            await self._record(parcel, attempt, state="dead", reason=answer.error)
        else:
            await self._record(parcel, attempt, state="pending", due=now + wait, reason=answer.error)
        memory = dict(line.memory)
        if answer.told is not None:
            memory["held_until"] = max(memory.get("held_until", 0.0), now + clamp_wait(answer.told))
        since = memory.setdefault("failing_since", now)
        if memory != line.memory:
            line.memory = memory
            await self._outgoing.remember(subscription.id, memory)
        if now - since >= PATIENCE:
            await self._give_up(subscription, now)

    async def _give_up(self, subscription: Subscription, now: float) -> None:
        with contextlib.suppress(NotInJournal):
            # Another process may have had a success since.
            kept = (await self._journal.subscription(subscription.id)).memory
            if now - kept.get("failing_since", now) >= PATIENCE:
                await self._outgoing.disable(subscription.id, f"its endpoint failed for {PATIENCE / 86400:.0f} days")
        self._lines.pop(subscription.id, None)

    async def _recover(self, subscription: Subscription, line: EndpointState) -> None:
        if not line.memory:
            return
        since = line.memory.get("failing_since")
        line.memory = {}
        await self._outgoing.remember(subscription.id, {})
        if since is not None and self._journal.now() - since >= OUTAGE:
            await self._outgoing.hasten(subscription)

    async def _record(
        self,
        parcel: PendingDelivery,
        attempt: Attempt | None,
        *,
        state: Any,
        due: float | None = None,
        reason: str = "",
    ) -> None:
        events = []
        if state == "dead" and attempt is not None and parcel.stored.event.type != EXHAUSTED:
            events.append(_exhausted(parcel, attempt, reason, self._clock()))
        delivery = parcel.delivery.id
        await self._journal.record_attempt(delivery, attempt, state=state, due=due, reason=reason, events=events)


def build_delivery(endpoint: Endpoint, stored: StoredEvent, timestamp: int) -> Request:
    """The POST of an event: a CloudEvent as JSON, signed as Standard Webhooks says, at a time in seconds.

    The id is the event's, so it is the same in every attempt; time and signature are not (hazards K6, K7).
    """
    body = json.dumps(event_document(stored.event, seq=stored.seq), separators=(",", ":")).encode()
    headers = {
        **endpoint.headers,
        "Content-Type": _CONTENT_TYPE,
        **sign(endpoint.signing(timestamp), stored.event.id, timestamp, body),
        HOPS_HEADER: str(stored.hops + 1),
    }
    return Request("POST", endpoint.url, Headers(headers), body, endpoint.hidden)


def _exhausted(parcel: PendingDelivery, attempt: Attempt, reason: str, now: float) -> NewEvent:
    """The event of a delivery that is dead."""
    stored, delivery = parcel.stored, parcel.delivery
    data = {
        "delivery": delivery.id,
        "subscription": delivery.subscription,
        "event": stored.event.id,
        "trigger": stored.event.type,
        "attempts": delivery.attempts + 1,
        "status": attempt.status,
        "reason": reason,
    }
    event = Event("", stored.event.source, EXHAUSTED, delivery.id, time_text(now), data)
    dedupe = f"{delivery.id} {attempt.at}"  # it can be dead again after a replay
    return NewEvent(stored.connection, event, dedupe, origin="system", hops=stored.hops)
