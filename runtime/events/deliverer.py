"""Delivery: each due delivery is signed, sent to its subscriber, and recorded with its outcome.

Each endpoint has its own breaker, pace and memory, so that a slow one delays no other. Delivery is at-least-once: a
process that is killed between an answer and its record sends again, with the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from connector.errors import ConfigurationError, MappingError, NotInJournal, TransportError
from connector.events.signatures import sign
from connector.headers import Headers
from connector.messages import Event, Request, Response, mask, without_query
from connector.model.policies import RateLimit
from runtime.calls.limits import Breaker, Pace
from runtime.calls.retries import read_wait
from runtime.calls.sender import Sleep
from runtime.config.settings import Limits
from runtime.documents import event_document, time_text
from runtime.events.subscriptions import HOPS_HEADER, MAX_HOPS, Endpoint, Endpoints, clamp_wait, next_wait
from runtime.journal.entries import EXHAUSTED, Attempt, NewEvent, StoredEvent, Subscription, Work
from runtime.journal.journal import Journal
from runtime.journal.outbox import Outbox, PendingDelivery

if TYPE_CHECKING:
    from runtime.http.client import Client

#: Limits of one attempt: 15 seconds in all, and 64 KiB of an answer; after that its status counts (hazard T77).
LIMITS: Final = Limits(
    deadline=15.0, stream_deadline=15.0, idle=15.0, stream_bytes=64 * 1024, head_bytes=32 * 1024, all_connections=2000
)
#: Deliveries in progress in all; the dispatcher limits those of one subscription. Those that wait for an endpoint
#: count as well and take only a little memory, so that many endpoints can be down at once.
CONCURRENCY: Final = 8000
#: Requests to one endpoint at once.
PLACES: Final = 16
#: Seconds of failures without a success after which an endpoint is disabled (hazard S3).
PATIENCE: Final = 5 * 86400.0
#: Seconds of failures after which a success ends an outage: the backlog is due at once (hazard S1).
OUTAGE: Final = 60.0
#: Seconds beyond which a wait is kept in the journal.
_LONG: Final = 60.0
#: Deliveries that start at once, and the seconds after which a delivery without an answer lets another one start.
#: So the event loop has time for all else, however much is due and however slow the subscribers are.
_BEGIN, _TURN = 32, 0.02
_LOG = logging.getLogger(__name__)
_EXCERPT: Final = 200
_CONTENT_TYPE: Final = "application/cloudevents+json"  # CloudEvents, HTTP protocol binding 1.0.2, section 3.2


@dataclass(frozen=True, slots=True)
class SubscriberAnswer:
    """The answer of a subscriber, or why there is none."""

    #: The status; None where none came.
    status: int | None
    #: What went wrong, in words; empty for a 2xx.
    error: str
    #: Seconds of its Retry-After.
    retry_after: float | None = None
    #: True where the subscriber had no part in it: no connection of ours was free in time.
    ours: bool = False


@dataclass(slots=True)
class EndpointState:
    """The state of an endpoint while this process delivers to it."""

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

        `clock` is the wall clock of signatures, `monotonic` never goes back, `chance` returns numbers from 0 to 1.
        """
        self._journal = journal
        self._endpoints = endpoints
        self._client = client
        self._outbox = Outbox(journal)
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._chance = chance
        self._known: dict[str, EndpointState] = {}
        self._turns = asyncio.Semaphore(_BEGIN)

    async def handle(self, id: str) -> None:
        """Makes the next attempt of a delivery, and records it. Raises JournalUnavailable."""
        while (wait := await self._attempt(id)) > 0:
            # The dispatcher limits each endpoint, so waiting here takes no place from any other.
            await self._sleep(wait)

    async def _attempt(self, id: str) -> float:
        """Makes an attempt, or returns the seconds for which the endpoint is left alone."""
        pending = await self._outbox.find(id)
        if pending is None or pending.delivery.state != "pending":
            await self._journal.unschedule("delivery", [id])
            return 0.0
        subscription = pending.subscription
        if subscription is None or subscription.state == "disabled":
            why = "removed" if subscription is None else f"disabled: {subscription.reason}"
            await self._record(pending, None, state="dead", reason=f"the subscription was {why}")
            return 0.0
        if pending.stored.hops >= MAX_HOPS:
            reason = f"a loop: the event came through {pending.stored.hops} deliveries"
            await self._record(pending, None, state="dead", reason=reason)
            return 0.0
        known = self._find_state(subscription)
        held_until: float = known.memory.get("held_until", 0.0)
        if (wait := held_until - self._journal.now()) > _LONG:
            await self._journal.schedule([Work("delivery", id, held_until, subscription.id)], replace=True)
            return 0.0
        if wait > 0 or (wait := known.breaker.wait(self._monotonic())) > 0:
            return wait
        await self._deliver(pending, subscription, known)
        return 0.0

    async def _deliver(self, pending: PendingDelivery, subscription: Subscription, known: EndpointState) -> None:
        answer = None
        try:
            await known.pace.enter(self._monotonic, self._sleep)
            try:
                async with known.places, self._turn():
                    at, started = self._clock(), self._monotonic()
                    answer = await self._send(pending, subscription, int(at))
            finally:
                known.pace.leave()
        finally:
            if answer is None or answer.ours:
                known.breaker.forget()
        if not answer.ours:
            known.breaker.note(self._monotonic(), failed=bool(answer.error))
        attempt = Attempt(at, self._monotonic() - started, answer.status, answer.error)
        if answer.error:
            await self._fail(pending, subscription, known, attempt, answer)
        else:
            await self._record(pending, attempt, state="delivered")
            await self._recover(subscription, known)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Waits for a free start, and frees it at the end or after a moment."""
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

    def _find_state(self, subscription: Subscription) -> EndpointState:
        known = self._known.get(subscription.id)
        if known is None:
            known = EndpointState(Pace(RateLimit(subscription.rate)), memory=dict(subscription.memory))
            self._known[subscription.id] = known
        return known

    async def _send(self, pending: PendingDelivery, subscription: Subscription, timestamp: int) -> SubscriberAnswer:
        stored = pending.stored
        try:
            endpoint = self._endpoints.find(subscription.id)
            request = build_delivery(endpoint, stored, timestamp)
            answer = await self._exchange(request, endpoint, self._client.for_tenant(subscription.id))
        except TransportError as error:
            return SubscriberAnswer(None, error.message, ours=error.blame == "caller")
        except ConfigurationError as error:
            return SubscriberAnswer(None, error.message)
        return answer

    async def _exchange(self, request: Request, endpoint: Endpoint, client: Client) -> SubscriberAnswer:
        excerpt = b""
        async with client.stream(request, operation="") as response:
            # The status is known, whatever happens to the rest.
            with contextlib.suppress(TransportError, MappingError):
                async for piece in response:
                    excerpt += piece[: _EXCERPT - len(excerpt)]
        status = response.status
        if 200 <= status < 300:
            return SubscriberAnswer(status, "")
        retry_after = None
        if status in (429, 503):
            retry_after = read_wait(Response(status, response.headers), self._clock())
        if 300 <= status < 400:
            where = without_query(response.headers.get("location", "nowhere"))
            words = f"a redirect to {where}, which is not followed"
        else:
            words = " ".join(excerpt.decode("utf-8", "replace").split())
        words = mask(words, endpoint.hidden)
        return SubscriberAnswer(status, f"answered {status}: {words}" if words else f"answered {status}", retry_after)

    async def _fail(
        self,
        pending: PendingDelivery,
        subscription: Subscription,
        known: EndpointState,
        attempt: Attempt,
        answer: SubscriberAnswer,
    ) -> None:
        now = self._journal.now()
        if answer.status == 410:  # Standard Webhooks: the endpoint wants no more
            await self._record(pending, attempt, state="dead", reason=answer.error)
            await self._outbox.disable(subscription.id, "its endpoint answered 410 Gone")
            return
        wait = next_wait(pending.delivery.attempts + 1, self._chance(), answer.retry_after)
        if wait is None:
            await self._record(pending, attempt, state="dead", reason=answer.error)
        else:
            await self._record(pending, attempt, state="pending", due=now + wait, reason=answer.error)
        memory = dict(known.memory)
        if answer.retry_after is not None:
            memory["held_until"] = max(memory.get("held_until", 0.0), now + clamp_wait(answer.retry_after))
        if "failing_since" not in memory:
            words = " ".join(answer.error.split())
            _LOG.warning("%s: deliveries fail: %s", subscription.id, words)
        since = memory.setdefault("failing_since", now)
        if memory != known.memory:
            known.memory = memory
            await self._outbox.remember(subscription.id, memory)
        if now - since >= PATIENCE:
            await self._give_up(subscription, now)

    async def _give_up(self, subscription: Subscription, now: float) -> None:
        with contextlib.suppress(NotInJournal):
            # Another process may have had a success since.
            kept = (await self._journal.subscription(subscription.id)).memory
            if now - kept.get("failing_since", now) >= PATIENCE:
                await self._outbox.disable(subscription.id, f"its endpoint failed for {PATIENCE / 86400:.0f} days")
        self._known.pop(subscription.id, None)

    async def _recover(self, subscription: Subscription, known: EndpointState) -> None:
        if not known.memory:
            return
        since = known.memory.get("failing_since")
        if since is not None:
            _LOG.warning("%s: deliveries succeed again", subscription.id)
        known.memory = {}
        await self._outbox.remember(subscription.id, {})
        if since is not None and self._journal.now() - since >= OUTAGE:
            await self._outbox.hasten(subscription)

    async def _record(
        self,
        pending: PendingDelivery,
        attempt: Attempt | None,
        *,
        state: Any,
        due: float | None = None,
        reason: str = "",
    ) -> None:
        events = []
        if state == "dead" and attempt is not None and pending.stored.event.type != EXHAUSTED:
            events.append(_exhausted(pending, attempt, reason, self._clock()))
        delivery = pending.delivery.id
        await self._journal.record_attempt(delivery, attempt, state=state, due=due, reason=reason, events=events)


def build_delivery(endpoint: Endpoint, stored: StoredEvent, timestamp: int) -> Request:
    """The POST of an event: a CloudEvent as JSON, signed as in Standard Webhooks, at a time in seconds.

    The id is the event's, so it is the same in every attempt; time and signature are not (hazards K6, K7).
    """
    body = json.dumps(event_document(stored.event, seq=stored.seq), separators=(",", ":")).encode()
    headers = {
        **endpoint.headers,
        "Content-Type": _CONTENT_TYPE,
        **sign(endpoint.signing(timestamp), stored.event.id, timestamp, body),
        HOPS_HEADER: str(stored.hops + 1),
    }
    return Request("POST", endpoint.url, headers=Headers(headers), body=body, secrets=endpoint.hidden)


def _exhausted(pending: PendingDelivery, attempt: Attempt, reason: str, now: float) -> NewEvent:
    """The event that reports a dead delivery."""
    stored, delivery = pending.stored, pending.delivery
    data = {
        "delivery": delivery.id,
        "subscription": delivery.subscription,
        "event": stored.event.id,
        "trigger": stored.event.type,
        "attempts": delivery.attempts + 1,
        "status": attempt.status,
        "reason": reason,
    }
    event = Event(
        id="", source=stored.event.source, type=EXHAUSTED, subject=delivery.id, time=time_text(now), data=data
    )
    dedupe = f"{delivery.id} {attempt.at}"  # it can be dead again after a replay
    return NewEvent(stored.connection, event, dedupe, origin="system", hops=stored.hops)
