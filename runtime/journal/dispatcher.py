"""Who does what when: work that is due is handed to a handler, one at a time for each unit, again if it was not done.

`Dispatcher` is the interface; `Embedded` is the one of a single process, over the journal's own `work` table;
`pgqueue` has PgQueuer's. Work is enqueued in the transaction that makes it necessary.
What the work is, its handlers know: a handler is given an id, and records in the journal what became of it and when it
is due next.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, bindparam, delete, func, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from runtime.journal.entries import Work, WorkKind
from runtime.journal.storage.databases import Database
from runtime.journal.storage.statements import Prepared, among, listed, prepare_upsert
from runtime.journal.storage.tables import COUNTERS, WORK

_LOG = logging.getLogger(__name__)
R = TypeVar("R")

#: Handles one unit of work, by its id.
Handler = Callable[[str], Awaitable[None]]

#: Units of one lane at work at once. Of deliveries some wait for their turn, and some for the commit of their outcome,
#: so there are more of them than an endpoint gets at once (`delivery.PLACES`), and more share a commit.
LANE_LIMIT = 32
#: Seconds until a unit whose handler failed, of which nothing was recorded, is handed out again.
PAUSE = 5.0
#: Seconds for what is cut off to tidy up.
_TIDYING = 5.0
#: Seconds between two queries of the table without a notification.
_LOOK = 1.0
#: Seconds ahead that anything is due at most: somewhat more than the longest pause between two attempts, 24 hours.
FARTHEST = 30 * 3600.0
#: Seconds by which clocks differ without anything being wrong with them.
_STEP = 60.0

#: Statements that enqueue work (existing work stays, or is moved), and that remove it.
PUT, PUT_OR_MOVE = prepare_upsert(WORK, replace=False), prepare_upsert(WORK)
TAKE_OUT = Prepared(delete(WORK).where(WORK.c.kind == bindparam("of"), among(WORK.c.id, bindparam("ids"))))
_DUE = Prepared(text("SELECT id, due FROM work WHERE kind = :kind AND lane = :lane ORDER BY due LIMIT :most"))


class Dispatcher(Protocol):
    """Puts work in line, and hands out what is due."""

    def enqueue(self, connection: Connection, work: Sequence[Work], *, replace: bool = True) -> None:
        """Puts work in line, within the transaction of that connection.

        A unit that is in line already gets the new due time, or keeps its own if not `replace`.
        """

    def finish(self, connection: Connection, kind: WorkKind, ids: Sequence[str]) -> None:
        """Removes units from the queue, within the transaction."""

    def wake(self, work: Sequence[Work]) -> None:
        """Reports work that is enqueued now: its transaction was committed."""

    async def run(self, handlers: Mapping[WorkKind, Handler], *, concurrency: int = 64, grace: float = 0.0) -> None:
        """Hands out what is due of the kinds that have a handler, until cancelled.

        What is at work then may go on for so many seconds of `grace`; what is cut off is handed out again later.
        """


@dataclass(frozen=True, slots=True)
class _Found:
    lane: tuple[WorkKind, str]
    rows: list[tuple[str, float]]
    #: When the next one of the lane is due that is not in `rows`.
    next_due: float


class Embedded:
    """The dispatcher of a single process: what is at work is known in memory, and a kill forgets it (hazard K5).

    So nothing is leased and nothing expires: a unit stays in the table until its outcome is recorded, and whatever is
    there when a process starts is handed out. The lock file of `databases` sees to it that there is one process.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        self._round: DispatchLoop | None = None
        #: Seconds until a unit whose handler failed is handed out again.
        self.pause = PAUSE

    def enqueue(self, connection: Connection, work: Sequence[Work], *, replace: bool = True) -> None:
        """See Dispatcher."""
        put = PUT_OR_MOVE if replace else PUT
        put.run(connection, [(each.kind, each.id, each.lane, each.due) for each in work])

    def finish(self, connection: Connection, kind: WorkKind, ids: Sequence[str]) -> None:
        """See Dispatcher."""
        TAKE_OUT.rows(connection, kind, listed(connection, ids))

    def wake(self, work: Sequence[Work]) -> None:
        """See Dispatcher."""
        if self._round is not None:
            self._round.expect(work)

    async def run(self, handlers: Mapping[WorkKind, Handler], *, concurrency: int = 64, grace: float = 0.0) -> None:
        """See Dispatcher."""
        self._round = DispatchLoop(self._database, handlers, concurrency, grace, self._now, self.pause)
        try:
            await self._round.run()
        finally:
            self._round = None


class DispatchLoop:
    """What one `run` knows: lanes and when each is next due, units at work, units that have to wait after a failure."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[WorkKind, Handler],
        concurrency: int,
        grace: float,
        now: Callable[[], float],
        pause: float,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._concurrency = concurrency
        self._grace = grace
        self._now = now
        self._pause = pause
        self._wake = asyncio.Event()
        self._lanes: dict[tuple[WorkKind, str], float] = {}
        self._at_work: dict[tuple[WorkKind, str], asyncio.Task[None]] = {}
        self._by_lane: Counter[tuple[WorkKind, str]] = Counter()
        self._ended: set[tuple[WorkKind, str]] = set()
        self._paused: dict[tuple[WorkKind, str], float] = {}

    async def run(self) -> None:
        """Hands out what is due until it is cancelled."""
        lanes = await self._insist(self._database.read, _find_lanes)
        if await self._insist(self._database.read, lambda connection: _is_late(connection, lanes, self._now())):
            await self._insist(self._database.transact, lambda connection: _bring_forward(connection, self._now()))
            lanes = await self._insist(self._database.read, _find_lanes)
        for kind, lane, due, _ in lanes:
            self._note((kind, lane), due)
        try:
            while True:
                self._wake.clear()
                handed_out = await self._hand_out()
                if not handed_out:
                    await self._sleep()
        finally:
            await end(self._at_work.values(), self._grace)

    def expect(self, work: Sequence[Work]) -> None:
        """Looks at the lanes of this work when it is due."""
        for each in work:
            self._note((each.kind, each.lane), each.due)
        self._wake.set()

    def _note(self, lane: tuple[WorkKind, str], due: float) -> None:
        if lane[0] in self._handlers:
            self._lanes[lane] = min(due, self._lanes.get(lane, due))

    async def _hand_out(self) -> int:
        """Starts handlers of what is due; returns how many."""
        now = self._now()
        self._paused = {unit: until for unit, until in self._paused.items() if until > now}
        asked = [
            (lane, min(LANE_LIMIT - self._by_lane[lane], free), self._by_lane[lane] + len(self._paused))
            for lane, due in self._lanes.items()
            if due <= now and self._by_lane[lane] < LANE_LIMIT and (free := self._concurrency - len(self._at_work)) > 0
        ]
        if not asked:
            return 0
        for lane, _, _ in asked:
            # What is enqueued from here on reports itself.
            self._lanes[lane] = float("inf")
        self._ended.clear()
        found = await self._insist(self._database.read, lambda connection: _find_due(connection, asked, now))
        started = 0
        for each in found:
            self._note(each.lane, each.next_due)
            for id, due in each.rows:
                unit = (each.lane[0], id)
                if unit in self._at_work or unit in self._ended:
                    continue
                if unit in self._paused:
                    self._note(each.lane, self._paused[unit])
                elif len(self._at_work) >= self._concurrency or self._by_lane[each.lane] >= LANE_LIMIT:
                    self._note(each.lane, due)
                else:
                    self._start(unit, each.lane)
                    started += 1
        return started

    async def _insist(
        self, ask: Callable[[Callable[[Connection], R]], Awaitable[R]], run: Callable[[Connection], R]
    ) -> R:
        """What the database says, as soon as it says anything: a disk that failed is no reason to end (hazard F2)."""
        while True:
            try:
                return await ask(run)
            except (SQLAlchemyError, OSError) as error:
                words = str(getattr(error, "orig", None) or error)
                _LOG.warning("what is due cannot be read (%s); it is tried again in %.0f s", words, self._pause)
                await asyncio.sleep(self._pause)

    def _start(self, unit: tuple[WorkKind, str], lane: tuple[WorkKind, str]) -> None:
        self._by_lane[lane] += 1
        self._at_work[unit] = asyncio.create_task(self._handle(unit, lane))

    async def _handle(self, unit: tuple[WorkKind, str], lane: tuple[WorkKind, str]) -> None:
        kind, id = unit
        try:
            await self._handlers[kind](id)
        except Exception:  # noqa: BLE001 - whatever it is, others must be handed out
            _LOG.exception("the handler of %s %s failed; it is tried again in %.0f s", kind, id, self._pause)
            self._paused[unit] = self._now() + self._pause
        finally:
            # Usually there is nothing to see then. A handler that recorded nothing is called again.
            self._note(lane, self._now() + self._pause)
            del self._at_work[unit]
            self._by_lane[lane] -= 1
            # Whatever is being read about it right now is older than its outcome.
            self._ended.add(unit)
            self._wake.set()

    async def _sleep(self) -> None:
        now = self._now()
        free = len(self._at_work) < self._concurrency
        dues = [due for lane, due in self._lanes.items() if self._by_lane[lane] < LANE_LIMIT] if free else []
        try:
            async with asyncio.timeout(max(0.0, min([_LOOK, *(due - now for due in dues)]))):
                await self._wake.wait()
        except TimeoutError:
            pass


async def end(at_work: Iterable[asyncio.Task[Any]], grace: float) -> None:
    """Lets tasks finish within so many seconds, and cuts off those that do not."""
    tasks = list(at_work)
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_TIDYING)


def _find_lanes(connection: Connection) -> list[tuple[WorkKind, str, float, float]]:
    """Every lane, and when its first and its last unit is due."""
    table = WORK.c
    query = select(table.kind, table.lane, func.min(table.due), func.max(table.due)).group_by(table.kind, table.lane)
    return [(kind, lane, first, last) for kind, lane, first, last in connection.execute(query)]


def _is_late(connection: Connection, lanes: Sequence[tuple[WorkKind, str, float, float]], now: float) -> bool:
    """True if the clock went back while no process ran, so that due work would wait for too long (hazard C1)."""
    written = connection.scalar(select(COUNTERS.c.at)) or 0.0
    return written > now + _STEP or any(last > now + FARTHEST for _, _, _, last in lanes)


def _bring_forward(connection: Connection, now: float) -> None:
    behind = (connection.scalar(select(COUNTERS.c.at)) or 0.0) - now
    if behind > _STEP:
        _LOG.warning("the clock is %.0f s behind the journal's last entry; what is due is brought forward", behind)
        connection.execute(update(WORK).values(due=WORK.c.due - behind))
        connection.execute(update(COUNTERS).values(at=now))
    connection.execute(update(WORK).where(WORK.c.due > now + FARTHEST).values(due=now + FARTHEST))


def _find_due(
    connection: Connection, asked: Sequence[tuple[tuple[WorkKind, str], int, int]], now: float
) -> list[_Found]:
    """What is due of each lane that is asked for: as many units as wanted, beside as many as are at work already."""
    found = []
    for lane, wanted, at_work in asked:
        limit = wanted + at_work + 1
        rows = _DUE.rows(connection, *lane, limit)
        # The unit after the last wanted one, or the first that is not due yet, determines the next query.
        count = next((index for index, (_, due) in enumerate(rows) if due > now), len(rows))
        count = min(count, limit - 1)
        found.append(_Found(lane, rows[:count], rows[count][1] if count < len(rows) else float("inf")))
    return found
