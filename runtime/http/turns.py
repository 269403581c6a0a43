"""Turns of the event loop, which long work leaves to other tasks."""

from __future__ import annotations

import asyncio


class Turns:
    """Lets other tasks run after each bounded share of work."""

    def __init__(self) -> None:
        self._done = 0.0

    async def spend(self, share: float) -> None:
        """Counts work; 1 is as much as may be done at once."""
        self._done += share
        if self._done >= 1:
            self._done = 0.0
            await asyncio.sleep(0)
