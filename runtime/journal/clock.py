"""The clock that due times are measured with.

The clock begins with the wall clock's time, and is steady from then on: a step of the wall clock (by hand, by NTP)
would make everything due at once, or nothing for hours (hazard C1).
"""

from __future__ import annotations

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
