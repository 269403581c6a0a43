"""Python functions of this process that receive events.

A function is called for each event, in the order of the journal; its position is kept as a checkpoint under its name,
so a restart continues there. A failed event is retried on the schedule of deliveries, while later events go on, and
then given up.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from connector.errors import JournalUnavailable
from connector.messages import Event
from runtime.calls.sender import Sleep
from runtime.documents import time_text
from runtime.events.subscriptions import next_wait
from runtime.journal.entries import EXHAUSTED, Checkpoint, Filter, NewEvent, StoredEvent, event_id

if TYPE_CHECKING:
    from runtime.journal.journal import Journal

_LOG = logging.getLogger(__name__)

#: Seconds after which a journal that could not be read is read again.
_PAUSE: Final = 5.0
#: The most events that wait for a retry; with more the listener takes no new ones.
_MOST: Final = 1000

Function = Callable[[Event], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Listener:
    """A function and the events that it wants; `name` is that of its checkpoint."""

    name: str
    wanted: Filter
    function: Function


class Listeners:
    """The functions of one runtime that receive events."""

    def __init__(self, *, sleep: Sleep = asyncio.sleep, chance: Callable[[], float] = random.random) -> None:
        self._sleep = sleep
        self._chance = chance
        self._journal: Journal | None = None
        self._listeners: dict[str, Listener] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._started: set[str] = set()

    def add(self, wanted: Filter, function: Function, name: str) -> None:
        """Adds a function; raises ValueError for a name that is taken."""
        if name in self._listeners:
            raise ValueError(f"a function named {name} receives events already; give this one another name")
        self._listeners[name] = Listener(name, wanted, function)

    def copy(self) -> Listeners:
        """The same functions, of which none is called yet."""
        made = Listeners(sleep=self._sleep, chance=self._chance)
        made._listeners = dict(self._listeners)
        return made

    def start(self, journal: Journal) -> None:
        """Calls functions with the events of a journal from now on, also those that were added since."""
        self._journal = journal
        for name in self._listeners.keys() - self._started:
            self._started.add(name)
            self._spawn(_Following(self._listeners[name], journal, self._sleep, self._chance).run())

    def tell(self, events: Sequence[NewEvent]) -> None:
        """Calls functions once with events that no journal keeps; failures are not retried."""
        for each in events:
            event = replace(each.event, id=event_id(each.connection, each.event.type, each.dedupe))
            for listener in self._listeners.values():
                if listener.wanted.matches(each.connection, event):
                    self._spawn(_call_once(listener, event))

    async def stop(self) -> None:
        """Stops calling functions; without a journal it waits for those that are running."""
        # Those of another loop have ended with it.
        tasks = [task for task in self._tasks if task.get_loop() is asyncio.get_running_loop()]
        if self._journal is not None:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._started.clear()
        self._journal = None

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _call_once(listener: Listener, event: Event) -> bool:
    try:
        await listener.function(event)
    except Exception:  # noqa: BLE001 - any error is the function's
        _LOG.exception("the function %s failed at event %s", listener.name, event.id)
        return False
    return True


class _Following:
    """One listener on its way through the journal: its position, and the events to retry."""

    def __init__(self, listener: Listener, journal: Journal, sleep: Sleep, chance: Callable[[], float]) -> None:
        self._listener = listener
        self._journal = journal
        self._sleep = sleep
        self._chance = chance
        self._since = journal.now()
        self._after = 0
        #: Sequence number -> attempts so far, and when the next is due.
        self._again: dict[int, tuple[int, float]] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Goes on until cancelled."""
        while True:
            try:
                await self._load()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._follow())
                    group.create_task(self._repeat())
            except* JournalUnavailable as error:
                _LOG.warning("%s receives no events: %s", self._listener.name, error.exceptions[0])
            await self._sleep(_PAUSE)

    @property
    def _checkpoint(self) -> str:
        return f"listener {self._listener.name}"

    async def _load(self) -> None:
        kept = await self._journal.checkpoint(self._checkpoint)
        if kept is None:
            # A new function begins with what came since it was added.
            newest = await self._journal.events(newest_first=True, limit=1, until=self._since)
            self._after = newest[0].seq if newest else 0
            await self._save()
        else:
            self._after = kept.state["after"]
            self._again = {seq: (attempts, due) for seq, attempts, due in kept.state["again"]}

    async def _save(self, events: Sequence[NewEvent] = ()) -> None:
        again = [[seq, attempts, due] for seq, (attempts, due) in self._again.items()]
        state = {"after": self._after, "again": again}
        await self._journal.append(events, checkpoint=Checkpoint(self._checkpoint, state, self._journal.now()))

    async def _follow(self) -> None:
        async for stored in self._journal.tail(self._after):
            while len(self._again) >= _MOST:
                self._changed.clear()
                await self._changed.wait()
            wanted = self._listener.wanted.matches(stored.connection, stored.event)
            made = await self._attempt(stored, 0) if wanted else []
            self._after = stored.seq
            if wanted:
                await self._save(made)

    async def _repeat(self) -> None:
        while True:
            self._changed.clear()
            if not self._again:
                await self._changed.wait()
                continue
            seq, (attempts, due) = min(self._again.items(), key=lambda each: each[1][1])
            if (wait := due - self._journal.now()) > 0:
                sleeping = asyncio.ensure_future(self._sleep(wait))
                changing = asyncio.ensure_future(self._changed.wait())
                try:
                    await asyncio.wait({sleeping, changing}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    sleeping.cancel()
                    changing.cancel()
                continue
            found = await self._journal.events(after=seq - 1, limit=1)
            del self._again[seq]
            # Retention may have removed the event.
            made = await self._attempt(found[0], attempts) if found and found[0].seq == seq else []
            await self._save(made)
            self._changed.set()

    async def _attempt(self, stored: StoredEvent, attempts: int) -> list[NewEvent]:
        """Calls the function; returns the event that reports its last failure, if that was it."""
        if await _call_once(self._listener, stored.event):
            return []
        now = self._journal.now()
        if (wait := next_wait(attempts + 1, self._chance())) is not None:
            self._again[stored.seq] = attempts + 1, now + wait
            self._changed.set()
            return []
        if stored.event.type == EXHAUSTED:
            return []
        data = {
            "listener": self._listener.name,
            "event": stored.event.id,
            "trigger": stored.event.type,
            "attempts": attempts + 1,
        }
        event = Event(
            id="", source=stored.event.source, type=EXHAUSTED, subject=stored.event.id, time=time_text(now), data=data
        )
        dedupe = f"{self._listener.name} {stored.event.id} {now}"
        return [NewEvent(stored.connection, event, dedupe, origin="system", hops=stored.hops)]
