"""Notifies followers of the journal at once when this or another process has appended events.

Appends of this process call `tell`. On PostgreSQL each append also sends a notification (`CHANNEL`), and one connection
of each process listens, from the first wait on. While that connection is lost, followers query the journal twice a
second instead. A notification has no content: followers read the new events themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

#: The channel of PostgreSQL's NOTIFY; a notification only means that there are new events.
CHANNEL: Final = "connector_events"
#: The application name of the listening connection.
NAME: Final = "connector news"
#: Seconds between two queries while no notifications arrive.
_LOOK: Final = 0.5
#: Seconds between two queries while they do: a dead connection may go unnoticed.
SELDOM: Final = 15.0
#: Seconds before a lost connection is opened again.
_PAUSE: Final = 1.0


class Notifier:
    """Wakes all followers when there are new events. It lives on the event loop that first waits."""

    def __init__(self, dsn: str | None = None) -> None:
        """`dsn` names the PostgreSQL that other processes append to; without it there are no others."""
        self._dsn = dsn
        self._next = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: True while every append leads to a notification.
        self.listening = dsn is None

    def next(self) -> asyncio.Event:
        """Returns the event that is set at the next append; taken before a query, no append is missed after it."""
        return self._next

    def tell(self) -> None:
        """Notifies followers that there are, or may be, new events."""
        told, self._next = self._next, asyncio.Event()
        told.set()

    async def wait(self, news: asyncio.Event) -> None:
        """Waits for new events, or until it is time to query anyway."""
        if self._dsn is not None and self._task is None:
            self._task = asyncio.create_task(self._listen(self._dsn))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SELDOM if self.listening else _LOOK):
                await news.wait()

    async def close(self) -> None:
        """Stops listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _listen(self, dsn: str) -> None:
        import asyncpg  # type: ignore[import-untyped]  # it has none

        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await asyncpg.connect(dsn, server_settings={"application_name": NAME})
                try:
                    await self._follow(connection)
                finally:
                    self.listening = False
                    connection.terminate()
            await asyncio.sleep(_PAUSE)

    async def _follow(self, connection: Any) -> None:
        """Passes on the notifications of a connection, for as long as it lives."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(CHANNEL, lambda *_: self.tell())
        self.listening = not lost.is_set()
        # There was no notification of what came before it listened.
        self.tell()
        await lost.wait()
        self.listening = False
        self.tell()
