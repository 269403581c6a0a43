"""Clocks that tests set by hand."""

from __future__ import annotations


class Clock:
    """A clock that is set by hand, in seconds since the epoch."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
