"""The journal keeps events, the work that they cause and its outcomes through kills and power cuts.

A method that changes something returns after a durable commit; related changes share one commit. Sequence numbers
define the order. Writes are here, in `append` and in `deliveries`, reads in `queries`; `storage` runs and commits
them, and `dispatcher` hands out the work that they enqueue.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, insert, select, update
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from connector.errors import JournalUnavailable
from runtime.journal.append import Append, Appending, Planner, identify
from runtime.journal.clock import SteadyClock
from runtime.journal.deliveries import DeliveryWrites, Outcome, Recorded
from runtime.journal.dispatcher import Dispatcher, Embedded
from runtime.journal.entries import (
    Appended,
    Attempt,
    AuditEntry,
    Checkpoint,
    Delivery,
    DeliveryState,
    Health,
    NewEvent,
    Run,
    Sighting,
    Sightings,
    StoredEvent,
    Subscription,
    Work,
    WorkKind,
)
from runtime.journal.news import Notifier
from runtime.journal.queries import (
    EVENT_COLUMNS,
    RUN_COLUMNS,
    count,
    events_where,
    find_attempts,
    find_checkpoint,
    find_row,
    find_rows,
    find_sightings,
    from_run,
    from_subscription,
    to_audit_entry,
    to_delivery,
    to_event,
    to_run,
    to_subscription,
    where,
)
from runtime.journal.space import Space, Usage, disk_usage
from runtime.journal.storage.commits import GroupCommit, Write
from runtime.journal.storage.databases import Database, open_database
from runtime.journal.storage.postgres import PostgreSQL
from runtime.journal.storage.statements import upsert
from runtime.journal.storage.tables import AUDIT, COUNTERS, DELIVERIES, EVENTS, RUNS, SUBSCRIPTIONS
from runtime.journal.upkeep import Keep, Removed, back_up, find_damage, find_forgotten, forget, remove_old

R = TypeVar("R")
A = TypeVar("A")

_LOG = logging.getLogger(__name__)
#: Seconds by which the wall clock may leave the steady one before a warning (hazard C1).
_SKEW = 60.0
#: Events that a replay handles in one transaction.
_STEP = 500


class Journal:
    """Events and the work that they cause; open it with `Journal.open`, and close it."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        now: Callable[[], float],
        wall: Callable[[], float],
        usage: Usage,
    ) -> None:
        #: Where it is kept.
        self.database = database
        self._commits = GroupCommit(database.transact)
        self._appending = Appending(dispatcher, now, wall)
        self._lines = DeliveryWrites(dispatcher, now)
        #: The disk of a file; None where there is none.
        self.space = Space(database.path, usage) if database.path is not None else None
        self._wall = wall
        self._skewed = False
        #: Notifies followers of new events.
        self.news = Notifier(database.dsn if isinstance(database, PostgreSQL) else None)
        #: Hands out the work that is queued here.
        self.dispatcher = dispatcher
        #: The clock of due times, in seconds since the epoch.
        self.now = now

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Callable[[], float] | None = None,
        read_only: bool = False,
        usage: Usage = disk_usage,
    ) -> Self:
        """Opens the journal of a URL: `sqlite:///path`, `sqlite://` (in memory), `postgresql://…`.

        `clock` returns seconds since the epoch, for due times and for when an event was received; by default due times
        follow a steady clock. `read_only` reads a SQLite file while another process has it open. `usage`
        returns the size of a disk. Raises ConfigurationError.
        """
        database = await open_database(url, read_only=read_only)
        now = clock or SteadyClock()
        try:
            dispatcher = await _make_dispatcher(database, now)
        except BaseException:
            await database.close()
            raise
        return cls(database, dispatcher, now, clock or time.time, usage)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Commits pending writes, and closes the database."""
        await self.news.close()
        await self._commits.close()
        await self.database.close()

    # Events

    @property
    def planners(self) -> list[Planner]:
        """The functions that choose the automations of an event; `Automations` adds to it before events come."""
        return self._appending.planners

    async def append(
        self,
        events: Sequence[NewEvent],
        *,
        checkpoint: Checkpoint | None = None,
        sightings: Sightings | None = None,
        then: Sequence[Work] = (),
    ) -> list[Appended]:
        """Keeps events, and all that follows from them, in one durable commit; returns the outcome of each.

        That is: the deliveries of the subscriptions that want it, the runs of automations and the work of both. The
        checkpoint, the sightings and the work of `then` belong to the same commit. Duplicates collapse. Raises
        JournalUnavailable; then nothing may be acknowledged.
        """
        if self.space is not None:
            self.space.demand()
        answers: list[Appended] = await self.write(
            self._appending.append, Append([identify(each) for each in events], checkpoint, sightings, then)
        )
        self.news.tell()
        return answers

    async def event(self, id: str) -> StoredEvent:
        """The event of that id; raises NotInJournal."""
        return await self.read(lambda connection: find_row(connection, EVENTS, EVENT_COLUMNS, to_event, "event", id))

    async def events(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        connection: str | None = None,
        trigger: str | None = None,
        since: float | None = None,
        until: float | None = None,
        newest_first: bool = False,
    ) -> list[StoredEvent]:
        """Returns events in order of sequence, after the number `after`, or before it if `newest_first`.

        `since` and `until` are when they were received, in seconds since the epoch.
        """
        wanted = events_where(connection=connection, trigger=trigger, since=since, until=until)
        return await self._page(
            EVENTS, EVENT_COLUMNS, to_event, wanted, after=after, limit=limit, newest_first=newest_first
        )

    async def tail(self, after: int) -> AsyncIterator[StoredEvent]:
        """Yields events after a sequence number as they come, without end."""
        while True:
            news = self.news.next()
            events = await self.events(after=after)
            for each in events:
                yield each
                after = each.seq
            if not events:
                await self.news.wait(news)

    async def checkpoint(self, name: str) -> Checkpoint | None:
        """The checkpoint of that name, or None."""
        return await self.read(lambda connection: find_checkpoint(connection, name))

    async def sightings(self, poll: str, keys: Iterable[str]) -> dict[str, Sighting]:
        """Returns how a poll last saw each of these keys; unseen ones are left out."""
        wanted = list(dict.fromkeys(keys))
        return await self.read(lambda connection: find_sightings(connection, poll, wanted))

    # Work

    async def schedule(self, work: Sequence[Work], *, replace: bool = False) -> None:
        """Enqueues work; work that is already queued keeps its due time, unless `replace`."""

        def write(connection: Connection, given: Sequence[Sequence[Work]]) -> list[Outcome]:
            for each in given:
                self.dispatcher.enqueue(connection, each, replace=replace)
            return [(None, each) for each in given]

        await self.write(write, work)

    async def unschedule(self, kind: WorkKind, ids: Sequence[str]) -> None:
        """Removes work from the queue."""

        def write(connection: Connection, given: Sequence[Sequence[str]]) -> list[Outcome]:
            for each in given:
                self.dispatcher.finish(connection, kind, each)
            return [(None, ()) for _ in given]

        await self.write(write, ids)

    # Subscriptions

    async def add_subscription(self, subscription: Subscription) -> None:
        """Adds or replaces a subscription; it receives the events that are appended from then on."""
        row = from_subscription(replace(subscription, created=subscription.created or self._wall()))
        await self._change_subscriptions(lambda connection: upsert(connection, SUBSCRIPTIONS, [row]))

    async def subscriptions(self) -> list[Subscription]:
        """Returns all subscriptions, oldest first."""
        query = select(SUBSCRIPTIONS).order_by(SUBSCRIPTIONS.c.created, SUBSCRIPTIONS.c.id)
        return await self.read(lambda connection: [to_subscription(row) for row in connection.execute(query)])

    async def subscription(self, id: str) -> Subscription:
        """The subscription of that id; raises NotInJournal."""
        columns = list(SUBSCRIPTIONS.c)
        return await self.read(
            lambda connection: find_row(connection, SUBSCRIPTIONS, columns, to_subscription, "subscription", id)
        )

    async def change_subscription(self, id: str, **state: Any) -> Subscription:
        """Changes attributes of a subscription; returns the changed one. Raises NotInJournal."""
        changed = replace(await self.subscription(id), **state)
        row = {name: value for name, value in from_subscription(changed).items() if name in state}
        statement = update(SUBSCRIPTIONS).where(SUBSCRIPTIONS.c.id == id).values(row)
        await self._change_subscriptions(lambda connection: connection.execute(statement))
        return changed

    async def remove_subscription(self, id: str) -> None:
        """Removes a subscription; its pending deliveries are dead. Raises NotInJournal."""
        await self._change_subscriptions(lambda connection: self._lines.remove(connection, id))

    async def _change_subscriptions(self, change: Callable[[Connection], Any]) -> None:
        def write(connection: Connection, changes: Sequence[Callable[[Connection], Any]]) -> list[Outcome]:
            for each in changes:
                each(connection)
            # Appends of every process see the new number and read the subscriptions again.
            connection.execute(
                update(COUNTERS).where(COUNTERS.c.id == 1).values(subscriptions=COUNTERS.c.subscriptions + 1)
            )
            return [(None, ()) for _ in changes]

        await self.write(write, change)

    # Deliveries

    async def deliveries(
        self,
        *,
        state: DeliveryState | None = None,
        subscription: str | None = None,
        event: str | None = None,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
    ) -> list[Delivery]:
        """Returns deliveries in the order in which they were created."""
        table = DELIVERIES.c
        wanted = where(
            state=(table.state, state), subscription=(table.subscription, subscription), event=(table.event_id, event)
        )
        return await self._page(
            DELIVERIES, list(table), to_delivery, wanted, after=after, limit=limit, newest_first=newest_first
        )

    async def delivery(self, id: str) -> Delivery:
        """The delivery of that id; raises NotInJournal."""
        columns = list(DELIVERIES.c)
        return await self.read(
            lambda connection: find_row(connection, DELIVERIES, columns, to_delivery, "delivery", id)
        )

    async def attempts(self, delivery_id: str) -> list[Attempt]:
        """The attempts of a delivery, the oldest first."""
        return await self.read(lambda connection: find_attempts(connection, delivery_id))

    async def record_attempt(
        self,
        delivery_id: str,
        attempt: Attempt | None,
        *,
        state: DeliveryState,
        due: float | None = None,
        reason: str = "",
        events: Sequence[NewEvent] = (),
    ) -> None:
        """Records an attempt, the new state of the delivery and, while it is pending, when the next attempt is due.

        All in one commit (hazard K8), with the `events` that it makes. Without an `attempt` only the state changes.
        Raises NotInJournal.
        """
        due = due if state == "pending" else None
        await self.write(self._record, ((delivery_id, attempt, state, due, reason), events))
        if events:
            self.news.tell()

    def _record(self, connection: Connection, given: Sequence[tuple[Recorded, Sequence[NewEvent]]]) -> list[Outcome]:
        made = [Append([identify(each) for each in events], None, None, ()) for _, events in given if events]
        outcomes = self._lines.record(connection, [recorded for recorded, _ in given], appends=bool(made))
        if made:
            outcomes += self._appending.append(connection, made)
        work = [each for _, more in outcomes for each in more]
        return [(None, work if index == 0 else ()) for index in range(len(given))]

    async def redeliver(
        self,
        *,
        events: Sequence[str] | None = None,
        subscription: str | None = None,
        connection: str | None = None,
        trigger: str | None = None,
        since: float | None = None,
        until: float | None = None,
        state: DeliveryState | None = None,
    ) -> int:
        """Replays all events that match: their deliveries are pending again, and due; returns how many.

        `state` replays only deliveries in that state. A named subscription also receives the events that its
        filter matches and that came before it. Raises NotInJournal for an unknown subscription.
        """
        only = None if subscription is None else await self.subscription(subscription)
        wanted = events_where(connection=connection, trigger=trigger, since=since, until=until)
        ids = None if events is None else list(events)
        after = count = 0
        while True:
            among = wanted if ids is None else [*wanted, EVENTS.c.id.in_(ids[:_STEP])]
            found = await self._page(EVENTS, EVENT_COLUMNS, to_event, among, after=after, limit=_STEP)
            if found:
                count += await self.write(self._lines.redeliver, (found, only, state))
            if ids is None and found:
                after = found[-1].seq
            elif ids:
                ids = ids[_STEP:]
            if not (found if ids is None else ids):
                return count

    # Automations

    async def runs(
        self,
        *,
        automation: str | None = None,
        state: str | None = None,
        event: str | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """Runs of automations, the newest first."""
        table = RUNS.c
        wanted = where(
            automation=(table.automation, automation), state=(table.state, state), event=(table.event_id, event)
        )
        return await self._page(RUNS, RUN_COLUMNS, to_run, wanted, limit=limit, newest_first=True)

    async def run(self, id: str) -> Run:
        """The run of that id; raises NotInJournal."""
        return await self.read(lambda connection: find_row(connection, RUNS, RUN_COLUMNS, to_run, "run", id))

    async def save_run(self, run: Run, *, then: Sequence[Work] = ()) -> None:
        """Keeps the state of a run, and enqueues its next step if it has a due time; in one commit with `then`."""

        def write(connection: Connection, given: Sequence[tuple[Run, Sequence[Work]]]) -> list[Outcome]:
            outcomes: list[Outcome] = []
            for each, more in given:
                row = from_run(replace(each, updated=self.now(), created=each.created or self.now()))
                changed = {name: value for name, value in row.items() if name not in ("id", "created")}
                if not connection.execute(update(RUNS).where(RUNS.c.id == each.id).values(changed)).rowcount:
                    connection.execute(insert(RUNS), [row])
                work = [*more]
                if each.due is None:
                    self.dispatcher.finish(connection, "run", [each.id])
                else:
                    work.append(Work("run", each.id, each.due, each.automation))
                self.dispatcher.enqueue(connection, work)
                outcomes.append((None, work))
            return outcomes

        await self.write(write, (run, then))

    # Everything else

    async def audit(self, action: str, target: str, detail: dict[str, Any] | None = None) -> None:
        """Records that something was done; `detail` never holds a secret."""
        row = {"at": self._wall(), "action": action, "target": target, "detail": detail or {}}
        await self.write(_insert_audit, row)

    async def audits(self, *, limit: int = 100) -> list[AuditEntry]:
        """Returns what was recorded, newest first."""
        return await self._page(AUDIT, list(AUDIT.c), to_audit_entry, (), limit=limit, newest_first=True)

    async def health(self) -> Health:
        """Returns the health of the journal; it is not ready if it cannot be read."""
        now = self.now()
        skew = self._wall() - now
        if (skewed := abs(skew) > _SKEW) and not self._skewed:
            _LOG.warning("the wall clock has stepped by %.0f s, and the times of signatures are judged by it", skew)
        self._skewed = skewed
        try:
            last, pending, oldest, dead = await self.read(count)
        except JournalUnavailable as error:
            return Health(
                ready=False, problem=error.message, events=0, pending=0, oldest_pending=0.0, dead=0, clock_skew=skew
            )
        full = self.space.problem() if self.space is not None else ""
        age = 0.0 if oldest is None else max(0.0, now - oldest)
        return Health(
            ready=not full,
            problem=full,
            events=last,
            pending=pending,
            oldest_pending=age,
            dead=dead,
            clock_skew=skew,
        )

    async def retain(self, *, days: float | None = None, events: int | None = None) -> Removed:
        """Removes events older than so many days or beyond the newest so many, with their deliveries and runs.

        Events with pending work stay; sightings that polls no longer need are removed. It works in small steps, so
        that other writes can run in between.
        """
        keep = Keep(None if days is None else self._wall() - days * 86400, events)
        after: int | None = 0
        removed = [0, 0, 0]
        while after is not None:
            step: Removed = await self.write(remove_old, (keep, after))
            removed = [removed[0] + step.events, removed[1] + step.deliveries, 0]
            after = step.goes_on
        while forgotten := await self.read(find_forgotten):
            removed[2] += await self.write(forget, forgotten)
        return Removed(removed[0], removed[1], None, removed[2])

    async def back_up(self, target: Path) -> int:
        """Writes a consistent copy while the journal is in use; returns its size in bytes.

        Raises ConfigurationError for a file that exists, and for PostgreSQL.
        """
        return await back_up(self.database, target)

    async def check(self) -> list[str]:
        """Reads the whole journal and returns its problems as sentences; empty if there are none."""
        try:
            return await find_damage(self.database)
        except SQLAlchemyError as error:
            return [_unavailable(error).message]

    # How it is done

    async def write(self, write: Write[A, Outcome], argument: A) -> Any:
        """Commits a write together with other waiting writes, and wakes the dispatcher; returns its result.

        Raises JournalUnavailable.
        """
        try:
            try:
                result, work = await self._commits.write(write, argument)
            except OperationalError as error:
                # On a full disk the outcomes of events use the reserve; after that the operator must make room.
                if self.space is None or "disk is full" not in str(error.orig) or not self.space.release():
                    raise
                result, work = await self._commits.write(write, argument)
        except (SQLAlchemyError, OSError) as error:
            raise _unavailable(error) from None
        if work:
            self.dispatcher.wake(work)
        return result

    async def read(self, read: Callable[[Connection], R]) -> R:
        """Runs a function that reads one snapshot, and returns its result; raises JournalUnavailable."""
        try:
            return await self.database.read(read)
        except (SQLAlchemyError, OSError) as error:
            raise _unavailable(error) from None

    async def _page(
        self,
        table: Table,
        columns: Sequence[Any],
        convert: Callable[[Any], R],
        wanted: Sequence[ColumnElement[bool]],
        **which: Any,
    ) -> list[R]:
        return await self.read(lambda connection: find_rows(connection, table, columns, convert, wanted, **which))


async def _make_dispatcher(database: Database, now: Callable[[], float]) -> Dispatcher:
    if not isinstance(database, PostgreSQL):
        return Embedded(database, now)
    # Not needed, and perhaps not installed, without PostgreSQL.
    from runtime.journal.pgqueue import PgQueue

    return await PgQueue.open(database, now)


def _insert_audit(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[Outcome]:
    connection.execute(insert(AUDIT), list(rows))
    return [(None, ()) for _ in rows]


def _unavailable(error: Exception) -> JournalUnavailable:
    words = str(getattr(error, "orig", None) or error).partition("\n")[0]
    return JournalUnavailable(f"the journal cannot be used now: {words}", hint="nothing was acknowledged; try again")
