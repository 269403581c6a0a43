"""Hands due work to handlers: each unit to one handler at a time, and again if it was not done.

`Dispatcher` is the interface; `Embedded` implements it for a single process, over the journal's own `work` table;
`pgqueue` implements it with PgQueuer. Work is enqueued in the transaction that makes it necessary.
A handler receives the id of a unit, and records in the journal its outcome and when it is due next.
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

#: Units of one lane at work at once. Some deliveries wait for their turn, others for the commit of their outcome, so
#: this is more than an endpoint receives at once, and more of them share a commit.
LANE_LIMIT = 32
#: Seconds until a unit whose handler failed, of which nothing was recorded, is handed out again.
PAUSE = 5.0
#: Seconds for cancelled handlers to clean up.
_TIDYING = 5.0
#: Seconds between two queries of the table, if no notification arrives.
_LOOK = 1.0
#: Seconds ahead that a due time may be: somewhat more than the longest pause between two attempts, 24 hours.
FARTHEST = 30 * 3600.0
#: Seconds by which clocks may differ.
_STEP = 60.0

#: Enqueue, with units already queued left as they are, or rescheduled; and remove from the queue.
PUT, PUT_OR_MOVE = prepare_upsert(WORK, replace=False), prepare_upsert(WORK)
TAKE_OUT = Prepared(delete(WORK).where(WORK.c.kind == bindparam("of"), among(WORK.c.id, bindparam("ids"))))
_DUE = Prepared(text("SELECT id, due FROM work WHERE kind = :kind AND lane = :lane ORDER BY due LIMIT :most"))


class Dispatcher(Protocol):
    """Enqueues work, and hands out what is due."""

    def enqueue(self, connection: Connection, work: Sequence[Work], *, replace: bool = True) -> None:
        """Enqueues work, within the transaction of that connection.

        A unit that is already queued is rescheduled, or keeps its due time if not `replace`.
        """

    def finish(self, connection: Connection, kind: WorkKind, ids: Sequence[str]) -> None:
        """Removes units from the queue, within the transaction."""

    def wake(self, work: Sequence[Work]) -> None:
        """Notifies the dispatcher that this work is queued: its transaction was committed."""

    async def run(self, handlers: Mapping[WorkKind, Handler], *, concurrency: int = 64, grace: float = 0.0) -> None:
        """Hands out what is due of the kinds that have a handler, until cancelled.

        Handlers at work then have `grace` seconds to finish; those that are cancelled get their unit again later.
        """


@dataclass(frozen=True, slots=True)
class _Found:
    lane: tuple[WorkKind, str]
    rows: list[tuple[str, float]]
    #: When the next one of the lane is due that is not in `rows`.
    next_due: float


class Embedded:
    """The dispatcher of a single process: units at work are known in memory, and a kill forgets them (hazard K5).

    So there are no leases that expire: a unit stays in the table until its outcome is recorded, and all units in it
    are handed out when a process starts. The lock file of the database ensures that there is one process.
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
    """The state of one `run`: lanes and when each is next due, units at work, units that wait after a failure."""

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
        """Hands out due work until it is cancelled."""
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
        """Queries the lanes of this work when it is due."""
        for each in work:
            self._note((each.kind, each.lane), each.due)
        self._wake.set()

    def _note(self, lane: tuple[WorkKind, str], due: float) -> None:
        if lane[0] in self._handlers:
            self._lanes[lane] = min(due, self._lanes.get(lane, due))

    async def _hand_out(self) -> int:
        """Starts handlers of due work; returns how many."""
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
            # Work enqueued from here on calls `expect`.
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
        """Retries until the database answers, and returns its answer: a disk may recover (hazard F2)."""
        while True:
            try:
                return await ask(run)
            except (SQLAlchemyError, OSError) as error:
                words = str(getattr(error, "orig", None) or error)
                _LOG.warning("due work cannot be read (%s); retrying in %.0f s", words, self._pause)
                await asyncio.sleep(self._pause)

    def _start(self, unit: tuple[WorkKind, str], lane: tuple[WorkKind, str]) -> None:
        self._by_lane[lane] += 1
        self._at_work[unit] = asyncio.create_task(self._handle(unit, lane))

    async def _handle(self, unit: tuple[WorkKind, str], lane: tuple[WorkKind, str]) -> None:
        kind, id = unit
        try:
            await self._handlers[kind](id)
        except Exception:  # noqa: BLE001 - other units must be handed out after any failure
            _LOG.exception("the handler of %s %s failed; retrying in %.0f s", kind, id, self._pause)
            self._paused[unit] = self._now() + self._pause
        finally:
            # Usually nothing is due then. A handler that recorded nothing is called again.
            self._note(lane, self._now() + self._pause)
            del self._at_work[unit]
            self._by_lane[lane] -= 1
            # A query that is running now may have read the unit before its outcome.
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
    """Waits `grace` seconds for tasks to finish, and cancels the rest."""
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
    """Returns every lane, and when its first and its last unit is due."""
    table = WORK.c
    query = select(table.kind, table.lane, func.min(table.due), func.max(table.due)).group_by(table.kind, table.lane)
    return [(kind, lane, first, last) for kind, lane, first, last in connection.execute(query)]


def _is_late(connection: Connection, lanes: Sequence[tuple[WorkKind, str, float, float]], now: float) -> bool:
    """Returns True if the clock went back while no process ran, so that due work would wait too long (hazard C1)."""
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
    """Returns due units of each requested lane: as many as wanted, in addition to as many as are at work."""
    found = []
    for lane, wanted, at_work in asked:
        limit = wanted + at_work + 1
        rows = _DUE.rows(connection, *lane, limit)
        # The unit after the wanted ones, or the first that is not due yet, determines the next query.
        count = next((index for index, (_, due) in enumerate(rows) if due > now), len(rows))
        count = min(count, limit - 1)
        found.append(_Found(lane, rows[:count], rows[count][1] if count < len(rows) else float("inf")))
    return found
