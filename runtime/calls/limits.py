"""Limits of calls: the rate and concurrency of one connection, and the breaker of one origin.

They count and return how long to wait; `now` is the reading of a clock in seconds. Nothing here sleeps, except for a
free slot of a connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from connector.model.policies import RateLimit

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
    """Turns at a rate: no more than `size` begin in any `per` seconds, and so many may begin at once."""

    size: float
    per: float = 1.0
    #: When the turns taken so far would end if they were spread evenly.
    _spent: float = 0.0

    def take(self, now: float) -> float:
        """Takes a turn; returns the seconds to wait for it. Turns are given in the order of the calls."""
        self._spent = max(self._spent, now) + self.per / self.size
        # A turn is free as soon as no more than a whole period is spent in advance.
        return max(0.0, self._spent - self.per - now)

    def try_take(self, now: float) -> float:
        """Takes a turn if one is free and returns 0; else returns the seconds until one is free, and takes none."""
        # Never more than a period ahead, so that a clock that was set back refuses nothing for longer (hazard C1).
        self._spent = before = min(self._spent, now + self.per)
        if wait := self.take(now):
            self._spent = before
        return wait


class Pace:
    """The rate and the concurrency of one connection."""

    def __init__(self, limit: RateLimit | None) -> None:
        self.limit = limit or RateLimit()
        requests, concurrency = self.limit.requests, self.limit.concurrency
        self._bucket = None if requests is None else Bucket(requests, self.limit.per)
        self._held = 0.0
        self.slots = asyncio.Semaphore(concurrency) if concurrency is not None else None

    def take(self, now: float) -> float:
        """Takes a turn; returns the seconds to wait for it. Turns are given in the order of the calls."""
        return 0.0 if self._bucket is None else self._bucket.take(now)

    def hold(self, until: float) -> None:
        """Notes that the provider wants no requests until then."""
        self._held = max(self._held, until)

    def held(self, now: float) -> float:
        """Seconds for which the provider wants no requests."""
        return max(0.0, self._held - now)


@dataclass(slots=True)
class Breaker:
    """Stops requests to an origin for a while after too many failures.

    Closed, everything passes. Open, nothing does. After REST seconds one call may try; its outcome decides.
    """

    _outcomes: deque[tuple[float, bool]] = field(default_factory=deque)
    _failures: int = 0
    #: When it opened; None while it is closed.
    _opened: float | None = None
    _trying: bool = False

    def wait(self, now: float) -> float:
        """Zero if a call may pass, which is then in progress; else the seconds after which to try again."""
        if self._opened is None:
            return 0.0
        left = self._opened + REST - now
        if left > 0 or self._trying:
            return max(left, 1.0)
        self._trying = True
        return 0.0

    def note(self, now: float, *, failed: bool) -> None:
        """The outcome of a call that passed."""
        if self._opened is not None:
            if self._trying:
                self._trying = False
                self._opened = now if failed else None
            return
        self._outcomes.append((now, failed))
        self._failures += failed
        while self._outcomes[0][0] <= now - WINDOW:
            self._failures -= self._outcomes.popleft()[1]
        if failed and len(self._outcomes) >= FEWEST and self._failures >= SHARE * len(self._outcomes):
            self._opened = now
            self._outcomes.clear()
            self._failures = 0

    def forget(self) -> None:
        """The call that passed had no outcome: it was cancelled."""
        self._trying = False
