"""The dispatcher of any number of processes: PgQueuer on the PostgreSQL that the journal is in.

The `work` table holds what is due when, as with the embedded dispatcher; a job of PgQueuer carries each unit to one of
the processes. A job whose unit is done, postponed or at work elsewhere changes nothing, so surplus jobs are harmless,
and a periodic query finds units that have lost theirs. While a unit is at work, its process holds an advisory lock,
which PostgreSQL releases when the process dies; its job goes to another process when its heartbeat stops. The extra
`postgres` installs PgQueuer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, text, tuple_
from sqlalchemy.util import await_only

from connector.errors import ConfigurationError
from runtime.journal.dispatcher import LANE_LIMIT, PAUSE, PUT, PUT_OR_MOVE, TAKE_OUT, Handler, end
from runtime.journal.entries import Work, WorkKind
from runtime.journal.storage.postgres import PostgreSQL
from runtime.journal.storage.statements import listed
from runtime.journal.storage.tables import WORK

if TYPE_CHECKING:
    import asyncpg  # type: ignore[import-untyped]  # it has none
    from pgqueuer import Job, QueueManager

_LOG = logging.getLogger(__name__)

#: Seconds without a heartbeat after which a worker's jobs go to another one.
HEARTBEAT = 5.0
#: Seconds by which clocks of two machines may differ without anything being handled late.
SKEW = 2.0
#: Seconds between two queries for lanes that other processes began.
_LOOK = 1.0
#: Seconds between two queries for units without a job, and how long overdue they are by then.
_SWEEP = 60.0
#: Seconds for which PgQueuer's log is kept.
_LOG_KEPT = 3600
#: Jobs fetched at once.
_BATCH = 32
#: Seconds in which our own notification has to come back, and how many in a row may be lost. The first may be sent
#: before the listener is ready, and a busy machine is late; meanwhile the queue is queried every second anyway.
_PROBE, _LOST_PROBES = 10.0, 3
#: Seconds before the database is tried again, doubled up to the second number.
_PAUSES = 0.25, 4.0
#: A number that no other program uses for a lock in this database.
_LOCK = 7264114

_LANES = text("""
WITH RECURSIVE lanes AS (
    (SELECT kind, lane FROM work ORDER BY kind, lane LIMIT 1)
    UNION ALL
    SELECT next.kind, next.lane FROM lanes, LATERAL (
        SELECT kind, lane FROM work WHERE (work.kind, work.lane) > (lanes.kind, lanes.lane)
        ORDER BY kind, lane LIMIT 1
    ) AS next
)
SELECT kind, lane FROM lanes
""")
_LOST = text("""
SELECT kind, id, lane, due FROM work WHERE due < :before AND NOT EXISTS (
    SELECT FROM pgqueuer AS job
    WHERE job.entrypoint = work.kind || '/' || work.lane AND job.payload = convert_to(work.id, 'UTF8')
    AND job.status IN ('queued', 'picked')
) LIMIT 1000
""")
_CLAIM = """
SELECT sought.kind, sought.id, work.due,
    CASE WHEN work.due IS NOT NULL
    THEN pg_try_advisory_lock(hashtextextended(sought.kind || '/' || sought.id, 7264114)) END
FROM unnest($1::text[], $2::text[]) AS sought (kind, id)
    LEFT JOIN work ON work.kind = sought.kind AND work.id = sought.id
"""
_RELEASE = """
SELECT sought.kind, sought.id, work.due,
    pg_advisory_unlock(hashtextextended(sought.kind || '/' || sought.id, 7264114))
FROM unnest($1::text[], $2::text[]) AS sought (kind, id)
    LEFT JOIN work ON work.kind = sought.kind AND work.id = sought.id
"""


class PgQueue:
    """Enqueues work in the journal's transaction, and hands it out through PgQueuer."""

    def __init__(self, database: PostgreSQL, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        self._worker: _Worker | None = None
        #: Seconds until a unit whose handler failed is handed out again.
        self.pause = PAUSE
        #: Seconds in which a notification has to come back.
        self.probe = _PROBE

    @classmethod
    async def open(cls, database: PostgreSQL, now: Callable[[], float]) -> PgQueue:
        """Creates PgQueuer's tables if they are missing; raises ConfigurationError without the extra `postgres`."""
        try:
            from pgqueuer import Queries
        except ImportError:
            hint = "pip install 'connector-runtime[postgres]'"
            raise ConfigurationError("journal: PgQueuer is not installed", hint=hint) from None
        import asyncpg

        connection = await asyncpg.connect(database.dsn)
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
            queries = Queries.from_asyncpg_connection(connection)
            if await queries.schema_is_installed():
                await queries.upgrade()
            else:
                await queries.install()
        finally:
            await connection.close()
        return cls(database, now)

    def enqueue(self, connection: Connection, work: Sequence[Work], *, replace: bool = True) -> None:
        """See Dispatcher."""
        if not work:
            return
        latest = {(each.kind, each.id): each for each in work}
        if not replace:
            units = list(latest)
            present = select(WORK.c.kind, WORK.c.id).where(tuple_(WORK.c.kind, WORK.c.id).in_(units))
            for row in connection.execute(present):
                del latest[row.kind, row.id]
        put = PUT_OR_MOVE if replace else PUT
        put.run(connection, [(each.kind, each.id, each.lane, each.due) for each in latest.values()])
        self._carry(connection, list(latest.values()))

    def finish(self, connection: Connection, kind: WorkKind, ids: Sequence[str]) -> None:
        """See Dispatcher."""
        TAKE_OUT.rows(connection, kind, listed(connection, ids))

    def wake(self, work: Sequence[Work]) -> None:
        """See Dispatcher. PostgreSQL notifies the workers; only a new lane has to be announced."""
        if self._worker is not None:
            for each in work:
                self._worker.register(each.kind, each.lane)

    async def run(self, handlers: Mapping[WorkKind, Handler], *, concurrency: int = 64, grace: float = 0.0) -> None:
        """See Dispatcher. While the database is unreachable, it keeps retrying."""
        pause, longest = _PAUSES
        while True:
            began = self._now()
            try:
                async with self._work(handlers) as worker:
                    await worker.run(max(concurrency, 4 * _BATCH), grace)
            except Exception as error:  # noqa: BLE001 - due work has to be handed out after any failure
                _LOG.warning("the database does not answer (%s); it is tried again", type(error).__name__)
            pause = _PAUSES[0] if self._now() - began > longest else min(2 * pause, longest)
            await asyncio.sleep(pause)

    def _carry(self, connection: Connection, work: Sequence[Work]) -> None:
        """Adds a job of PgQueuer for each unit, in the transaction."""
        if not work:
            return
        from pgqueuer import Queries

        now = self._now()
        queries = Queries.from_asyncpg_connection(connection.connection.driver_connection)
        await_only(
            queries.enqueue(
                [f"{each.kind}/{each.lane}" for each in work],
                [each.id.encode() for each in work],
                [0] * len(work),
                [timedelta(seconds=max(0.0, each.due - now)) for each in work],
            )
        )

    @contextlib.asynccontextmanager
    async def _work(self, handlers: Mapping[WorkKind, Handler]) -> AsyncIterator[_Worker]:
        import asyncpg
        from pgqueuer import Queries, QueueManager
        from pgqueuer.db import AsyncpgPoolDriver

        # It does no harm if a crash of the database undoes PgQueuer's own records: the `work` table decides.
        careless = {"synchronous_commit": "off"}
        pool = await asyncpg.create_pool(self._database.dsn, min_size=2, max_size=6, server_settings=careless)
        try:
            locks = await asyncpg.connect(self._database.dsn)
            try:
                manager = QueueManager(Queries(AsyncpgPoolDriver(pool)))
                self._worker = _Worker(manager, locks, handlers, self._now, self.pause, self.probe)
                looking = asyncio.create_task(self._look(self._worker))
                try:
                    yield self._worker
                finally:
                    self._worker = None
                    looking.cancel()
                    await asyncio.wait([looking])
            finally:
                locks.terminate()
        finally:
            pool.terminate()

    async def _look(self, worker: _Worker) -> None:
        """Finds lanes that other processes began and, less often, units without a job."""
        # Overdue by then are units that an earlier worker lost together with the database.
        sweep_at = self._now() + HEARTBEAT + 1
        while True:
            with contextlib.suppress(Exception):
                for kind, lane in await self._database.read(lambda connection: connection.execute(_LANES).all()):
                    worker.register(kind, lane)
                if self._now() > sweep_at:
                    sweep_at = self._now() + _SWEEP
                    await self._database.transact(self._sweep)
            await asyncio.sleep(_LOOK)

    def _sweep(self, connection: Connection) -> None:
        if not connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({_LOCK + 1})")):
            return
        lost = connection.execute(_LOST, {"before": self._now() - HEARTBEAT}).all()
        self._carry(connection, [Work(row.kind, row.id, row.due, row.lane) for row in lost])
        kept = {"seconds": _LOG_KEPT}
        connection.execute(
            text("DELETE FROM pgqueuer_log WHERE created < now() - make_interval(secs => :seconds)"), kept
        )


class _Worker:
    """Works over one connection: lanes are entrypoints, and a full lane is not queried."""

    def __init__(
        self,
        manager: QueueManager,
        locks: asyncpg.Connection[Any],
        handlers: Mapping[WorkKind, Handler],
        now: Callable[[], float],
        pause: float,
        probe: float,
    ) -> None:
        self._manager = manager
        self._locks = _Locks(locks, manager.shutdown.set)
        self._handlers = handlers
        self._now = now
        self._pause = pause
        self._probe = timedelta(seconds=probe)
        self._at_work: dict[tuple[WorkKind, str], asyncio.Task[Any] | None] = {}
        self._by_lane: Counter[str] = Counter()
        # PgQueuer's own limits count over all processes, and would take several times as long as all the rest.
        manager.entrypoints_below_capacity_limits = self._open_lanes  # type: ignore[method-assign]

    def register(self, kind: WorkKind, lane: str) -> None:
        """Starts a lane, if there is a handler for it."""
        name = f"{kind}/{lane}"
        if kind in self._handlers and name not in self._manager.entrypoint_registry:

            async def carry(job: Job) -> None:
                await self._carry(kind, (job.payload or b"").decode(), name)

            self._manager.entrypoint(name, accepts_context=False)(carry)

    def _open_lanes(self) -> set[Any]:
        return {name for name in self._manager.entrypoint_registry if self._by_lane[name] < LANE_LIMIT}

    async def run(self, concurrency: int, grace: float) -> None:
        """Works until cancelled, and then finishes within the grace; raises whatever the database raises."""
        for kind in self._handlers:
            self.register(kind, "")
        running = asyncio.create_task(
            self._manager.run(
                dequeue_timeout=timedelta(seconds=_LOOK),
                batch_size=_BATCH,
                max_concurrent_tasks=concurrency,
                heartbeat_timeout=timedelta(seconds=HEARTBEAT),
            )
        )
        ends = [
            running,
            asyncio.create_task(self._probe_listener()),
            asyncio.create_task(self._manager.shutdown.wait()),
        ]
        left = 0.0
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            left = grace
            raise
        finally:
            self._manager.shutdown.set()
            # Cancelled jobs are returned while there is still a connection.
            await end([task for task in self._at_work.values() if task is not None], left)
            await asyncio.wait([running], timeout=HEARTBEAT)
            for each in ends:
                each.cancel()
            outcomes = await asyncio.gather(*ends, return_exceptions=True)
        for error in outcomes:
            if isinstance(error, Exception):
                raise error

    async def _probe_listener(self) -> None:
        """Raises FailingListenerError once notifications stop, as over a connection that was cut.

        PgQueuer's own probe sends the first one before it listens, and fails as soon as one is lost.
        """
        from pgqueuer.errors import FailingListenerError

        lost = 0
        while True:
            try:
                await self._manager.listener_healthy(self._probe)
            except FailingListenerError:
                lost += 1
                if lost >= _LOST_PROBES:
                    raise
            else:
                lost = 0
                await asyncio.sleep(self._probe.total_seconds())

    async def _carry(self, kind: WorkKind, id: str, name: str) -> None:
        """Handles a unit, unless it is done, postponed, or at work elsewhere."""
        from pgqueuer.errors import RetryRequested

        unit = kind, id
        if unit in self._at_work:
            raise RetryRequested(timedelta(seconds=1))
        self._at_work[unit] = asyncio.current_task()
        self._by_lane[name] += 1
        try:
            due, locked = await self._locks.ask(_CLAIM, unit)
            if due is None:
                return
            if not locked:
                raise RetryRequested(timedelta(seconds=1))
            handled = due <= self._now() + SKEW
            try:
                if handled:
                    # Another machine's clock may be a little behind.
                    await asyncio.sleep(due - self._now())
                    await self._handlers[kind](id)
            except Exception:  # noqa: BLE001 - other units must be handed out after any failure
                _LOG.exception("the handler of %s %s failed; it is tried again in %.0f s", kind, id, self._pause)
            finally:
                next_due, _ = await asyncio.shield(self._locks.ask(_RELEASE, unit))
            if handled and next_due == due:
                raise RetryRequested(timedelta(seconds=self._pause))
        except asyncio.CancelledError:
            # A job that is cancelled would be forgotten.
            raise RetryRequested from None
        finally:
            del self._at_work[unit]
            self._by_lane[name] -= 1


class _Locks:
    """The advisory locks of one worker, on their own connection; concurrent requests share one query."""

    def __init__(self, connection: asyncpg.Connection[Any], broken: Callable[[], None]) -> None:
        self._connection = connection
        self._broken = broken
        self._waiting: dict[str, dict[tuple[str, str], asyncio.Future[tuple[float | None, bool | None]]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def ask(self, query: str, unit: tuple[str, str]) -> tuple[float | None, bool | None]:
        """Returns when a unit is due, None if it is done, and whether it is locked (or was unlocked)."""
        answer: asyncio.Future[tuple[float | None, bool | None]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(query, {})[unit] = answer
        if self._task is None:
            self._task = asyncio.create_task(self._answer_all())
        return await answer

    async def _answer_all(self) -> None:
        while self._waiting:
            query, asked = self._waiting.popitem()
            try:
                rows = await self._connection.fetch(query, [kind for kind, _ in asked], [id for _, id in asked])
            except Exception as error:  # noqa: BLE001 - it belongs to the callers
                self._fail(asked, error)
                continue
            for kind, id, due, locked in rows:
                if not asked[kind, id].done():
                    asked[kind, id].set_result((due, locked))
        self._task = None

    def _fail(self, asked: Mapping[Any, asyncio.Future[Any]], error: Exception) -> None:
        from pgqueuer.errors import RetryRequested

        if self._connection.is_closed():
            # Without its locks a worker has to start over; its jobs are returned, as far as possible.
            self._broken()
            error = RetryRequested()
        for answer in asked.values():
            if not answer.done():
                answer.set_exception(error)
