"""How whoever follows the journal learns that it has grown: at once, whoever appended.

What this process appends it says itself. On PostgreSQL the transaction that appends notifies (`CHANNEL`), and one
connection of each process listens, from the first time that somebody waits. While that connection is lost those who
wait look by themselves, twice a second, until it is there again. What is new is read by whoever was told.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

#: The channel of PostgreSQL's NOTIFY; a notification only means that there are new events.
CHANNEL: Final = "connector_events"
#: What the listening connection is called among PostgreSQL's.
NAME: Final = "connector news"
#: Seconds between two queries without notifications.
_LOOK: Final = 0.5
#: Seconds between two queries with notifications: a connection may be dead without a sign of it.
SELDOM: Final = 15.0
#: Seconds before a lost connection is tried again.
_PAUSE: Final = 1.0


class Notifier:
    """Notifies all waiting tasks of new events. It lives on the event loop that first waits."""

    def __init__(self, dsn: str | None = None) -> None:
        """`dsn` is that of the PostgreSQL that other processes append to; without one there are no others."""
        self._dsn = dsn
        self._next = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: True while every new event is reported here.
        self.listening = dsn is None

    def next(self) -> asyncio.Event:
        """Is set at the next news; taken before one looks, nothing is missed between the look and the wait."""
        return self._next

    def tell(self) -> None:
        """Reports that there are, or may be, new events."""
        told, self._next = self._next, asyncio.Event()
        told.set()

    async def wait(self, news: asyncio.Event) -> None:
        """Returns at the news, or when it is time to look all the same."""
        if self._dsn is not None and self._task is None:
            self._task = asyncio.create_task(self._listen(self._dsn))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SELDOM if self.listening else _LOOK):
                await news.wait()

    async def close(self) -> None:
        """Listens no more."""
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
        """Tells what the connection is told, for as long as it lives."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(CHANNEL, lambda *_: self.tell())
        self.listening = not lost.is_set()
        # What came before it listened was not reported.
        self.tell()
        await lost.wait()
        self.listening = False
        self.tell()
