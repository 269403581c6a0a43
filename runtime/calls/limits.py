"""Limits of calls: the rate and concurrency of one connection, and the breakers of connections and origins.

They count and return how long to wait; `now` is the reading of a clock in seconds. Nothing here sleeps but a call that
waits for its turn.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from connector.model.policies import RateLimit

#: The slots of a connection without a limit.
_UNLIMITED: Final = sys.maxsize
#: Breakers of one origin beyond which those without an outcome in the window are forgotten.
_MANY: Final = 1000

#: A breaker looks at the outcomes of this many seconds,
WINDOW = 60.0
#: opens when at least this many of them
FEWEST = 10
#: have failed in this part,
SHARE = 0.5
#: and lets one call try again after this many seconds.
REST = 30.0


@dataclass(slots=True)
class Bucket:
    """Turns at a rate: `size` in `per` seconds, and so many at once. A refused call is retried; nothing waits here."""

    size: float
    per: float = 1.0
    #: When the turns taken so far would end if they were spread evenly.
    _spent: float = 0.0

    def try_take(self, now: float) -> float:
        """Takes a turn if one is free and returns 0; else returns the seconds until one is free, and takes none."""
        # Never more than a period ahead, so that a clock that was set back refuses nothing for longer (hazard C1).
        self._spent = min(self._spent, now + self.per)
        spent = max(self._spent, now) + self.per / self.size
        # A turn is free as soon as no more than a whole period is spent in advance.
        if wait := max(0.0, spent - self.per - now):
            return wait
        self._spent = spent
        return 0.0


class Pace:
    """The rate and the concurrency of one connection.

    Calls begin in the order in which they came, and one that is cancelled while it waits gives its turn to the next.
    """

    def __init__(self, limit: RateLimit | None) -> None:
        self.limit = limit or RateLimit()
        #: When the last calls began, as many as may begin in one period.
        self._begun: deque[float] = deque(maxlen=self.limit.requests or 0)
        self._held = 0.0
        #: Of each event loop that makes calls; what began in one that is gone has ended with it.
        self._queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = weakref.WeakKeyDictionary()

    @property
    def is_free(self) -> bool:
        """True if nothing is limited, so that a call need not `enter`."""
        return self.limit.requests is None and self.limit.concurrency is None

    async def enter(
        self, monotonic: Callable[[], float], sleep: Callable[[float], Awaitable[None]], patience: float | None = None
    ) -> None:
        """Waits for a slot and a turn; `leave` follows. Raises TimeoutError if there is none in so many seconds."""
        if patience is not None and self.expected(monotonic()) > patience:
            raise TimeoutError
        queue = self._find_queue()
        queue.waiting += 1
        try:
            async with asyncio.timeout(patience):
                await queue.slots.acquire()
                try:
                    async with queue.turn:
                        begins = monotonic()
                        if (wait := self.wait(begins)) > 0:
                            await sleep(wait)
                        self._begun.append(max(begins + wait, monotonic()))
                except BaseException:
                    queue.slots.release()
                    raise
        finally:
            queue.waiting -= 1

    def leave(self) -> None:
        """Frees the slot of a call that has ended."""
        self._find_queue().slots.release()

    def wait(self, now: float) -> float:
        """Seconds until a call may begin, if it is the next one: never more begin than allowed in any period."""
        full = self.limit.requests is not None and len(self._begun) == self.limit.requests
        return max(0.0, self._begun[0] + self.limit.per - now) if full else 0.0

    def expected(self, now: float) -> float:
        """Seconds until a call that comes now can begin, after all that wait already."""
        requests = self.limit.requests
        if requests is None or (behind := len(self._begun) + self._waiting - requests) < 0:
            return 0.0
        periods, place = divmod(behind, requests)
        begun = self._begun[place] if place < len(self._begun) else now
        return max(0.0, begun + self.limit.per * (periods + 1) - now)

    def hold(self, until: float) -> None:
        """Notes that the provider wants no requests until then."""
        self._held = max(self._held, until)

    def held(self, now: float) -> float:
        """Seconds for which the provider wants no requests."""
        return max(0.0, self._held - now)

    @property
    def _waiting(self) -> int:
        """How many wait, in loops that still run."""
        return sum(queue.waiting for loop, queue in list(self._queues.items()) if not loop.is_closed())

    def _find_queue(self) -> _Queue:
        """The queue of the running event loop."""
        loop = asyncio.get_running_loop()
        queue = self._queues.get(loop)
        if queue is None:
            queue = self._queues[loop] = _Queue(asyncio.Semaphore(self.limit.concurrency or _UNLIMITED))
        return queue


@dataclass(slots=True)
class _Queue:
    """The calls of one connection in one event loop."""

    slots: asyncio.Semaphore
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


@dataclass(slots=True)
class Breaker:
    """Stops the requests of one connection to an origin for a while after too many failures.

    Closed, everything passes. Open, nothing does. After REST seconds one call may try; its outcome decides.
    """

    _outcomes: deque[tuple[float, bool]] = field(default_factory=deque)
    _failures: int = 0
    #: When it opened; None while it is closed.
    opened: float | None = None
    _trying: bool = False

    def is_quiet(self, now: float) -> bool:
        """True if there is nothing to remember."""
        return self.opened is None and (not self._outcomes or self._outcomes[-1][0] <= now - WINDOW)

    def wait(self, now: float) -> float:
        """Zero if a call may pass, which is then in progress; else the seconds after which to try again."""
        if self.opened is None:
            return 0.0
        left = self.opened + REST - now
        if left > 0 or self._trying:
            return max(left, 1.0)
        self._trying = True
        return 0.0

    def note(self, now: float, *, failed: bool) -> None:
        """The outcome of a call that passed."""
        if self.opened is not None:
            if self._trying:
                self._trying = False
                self.opened = now if failed else None
            return
        self._outcomes.append((now, failed))
        self._failures += failed
        while self._outcomes[0][0] <= now - WINDOW:
            self._failures -= self._outcomes.popleft()[1]
        if failed and len(self._outcomes) >= FEWEST and self._failures >= SHARE * len(self._outcomes):
            self.opened = now
            self._outcomes.clear()
            self._failures = 0

    def forget(self) -> None:
        """The call that passed had no outcome: it was cancelled."""
        self._trying = False


class OriginBreaker:
    """The breakers of all connections to one origin.

    What one of them does wrong stops no other. Where at least two are stopped, and none had a success since the first
    of them was, the origin is what fails: it rests for all others too.
    """

    def __init__(self) -> None:
        self._breakers: dict[str, Breaker] = {}
        #: When each open breaker opened, the first one first.
        self._opened: dict[str, float] = {}
        self._success = float("-inf")

    def wait(self, now: float, connection: str) -> float:
        """Zero if a call of a connection may pass, which is then in progress; else the seconds to wait."""
        breaker = self._breakers.get(connection)
        if breaker is None:
            if len(self._breakers) >= _MANY and not len(self._breakers) % _MANY:
                self._breakers = {name: known for name, known in self._breakers.items() if not known.is_quiet(now)}
            breaker = self._breakers[connection] = Breaker()
        return self._rest(now) if breaker.opened is None else breaker.wait(now)

    def note(self, now: float, connection: str, *, failed: bool) -> None:
        """The outcome of a call that passed."""
        breaker = self._breakers.setdefault(connection, Breaker())
        before = breaker.opened
        breaker.note(now, failed=failed)
        if not failed:
            self._success = now
        if breaker.opened != before:
            self._opened.pop(connection, None)
            if breaker.opened is not None:
                self._opened[connection] = breaker.opened

    def forget(self, connection: str) -> None:
        """The call that passed had no outcome: it was cancelled, or failed on our own side."""
        if (breaker := self._breakers.get(connection)) is not None:
            breaker.forget()

    def _rest(self, now: float) -> float:
        while self._opened:
            first, opened = next(iter(self._opened.items()))
            if opened + REST > now:
                return opened + REST - now if len(self._opened) > 1 and self._success < opened else 0.0
            del self._opened[first]
        return 0.0
