"""The clock that due times are measured with, and the turns of the event loop that long work leaves to others.

The clock begins with the wall clock's time, and is steady from then on: a step of the wall clock (by hand, by NTP)
would make everything due at once, or nothing for hours (hazard C1).
"""

from __future__ import annotations

import asyncio
import time

# Goes on while the machine sleeps, which a plain monotonic clock does not everywhere.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SteadyClock:
    """Seconds since the epoch as the wall clock had them at the start, and as many more as passed since."""

    def __init__(self) -> None:
        self._offset = time.time() - time.clock_gettime(_STEADY)

    def __call__(self) -> float:
        """Now."""
        return self._offset + time.clock_gettime(_STEADY)


class Turns:
    """Lets other tasks have their turn once a bounded share of work was done."""

    def __init__(self) -> None:
        self._done = 0.0

    async def spend(self, share: float) -> None:
        """Counts work, 1 being as much as may be done at once."""
        self._done += share
        if self._done >= 1:
            self._done = 0.0
            await asyncio.sleep(0)
