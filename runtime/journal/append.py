"""What an append does within its transaction: number events, collapse duplicates, enqueue deliveries and runs.

Everything that follows from an event is committed with it, so that no event is ever without its deliveries (hazards
K2, K10). `storage.commits` runs it on a connection and commits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, text, update

from runtime.journal.deliveries import Outcome, add_deliveries, delivery_row
from runtime.journal.dispatcher import Dispatcher
from runtime.journal.entries import (
    Appended,
    Checkpoint,
    NewEvent,
    Run,
    Sightings,
    StoredEvent,
    Subscription,
    Work,
    event_id,
)
from runtime.journal.news import CHANNEL
from runtime.journal.queries import from_run, to_subscription
from runtime.journal.storage.statements import Prepared, among, listed, prepare_insert, upsert
from runtime.journal.storage.tables import CHECKPOINTS, COUNTERS, EVENTS, RUNS, SIGHTINGS, SUBSCRIPTIONS, to_json

#: Returns the automations that run on an event: one pending run for each.
Planner = Callable[[StoredEvent], Iterable[Run]]


class Append(NamedTuple):
    """One call of `Journal.append`."""

    #: As `identify` makes them.
    events: Sequence[tuple[str, NewEvent, bytes]]
    checkpoint: Checkpoint | None
    sightings: Sightings | None
    then: Sequence[Work]


_ONLY = COUNTERS.c.id == text("1")
_COUNT = Prepared(select(COUNTERS.c.events, COUNTERS.c.subscriptions).where(_ONLY).with_for_update())
_FORWARD = update(COUNTERS).where(_ONLY).values(events=bindparam("to"), at=bindparam("now"))
_ADVANCE = Prepared(_FORWARD)
#: The same on PostgreSQL, where other processes follow the journal: the commit notifies them, once per group.
_ADVANCE_AND_NOTIFY = Prepared(_FORWARD.returning(text(f"pg_notify('{CHANNEL}', '')")))
_KNOWN = Prepared(select(EVENTS.c.id, EVENTS.c.seq, EVENTS.c.digest).where(among(EVENTS.c.id, bindparam("ids"))))
_INSERT = prepare_insert(EVENTS, EVENTS.c.keys())


class Appending:
    """Appends within a given transaction; caches the subscriptions as of their version in `counters`."""

    def __init__(self, dispatcher: Dispatcher, now: Callable[[], float], wall: Callable[[], float]) -> None:
        self._dispatcher = dispatcher
        self._now = now
        self._wall = wall
        self._subscriptions: tuple[int, list[Subscription]] = (-1, [])
        self.planners: list[Planner] = []

    def append(self, connection: Connection, appends: Sequence[Append]) -> list[Outcome]:
        """Does several appends at once; returns the list of Appended of each."""
        # An append locks this row until its commit, so the order of numbers is the order of commits.
        ((seq, version),) = _COUNT.rows(connection)
        known = self._known(connection, appends)
        rows: list[tuple[Any, ...]] = []
        stored: list[tuple[int, str, NewEvent]] = []
        received = self._wall()
        answers: list[list[Appended]] = []
        for each in appends:
            answer = []
            for id, new, digest in each.events:
                if (found := known.get(id)) is not None:
                    answer.append(Appended(id, found[0], created=False, conflict=found[1] != digest))
                    continue
                seq += 1
                known[id] = seq, digest
                rows.append(_row(seq, id, new, received, digest))
                stored.append((seq, id, new))
                answer.append(Appended(id, seq, created=True))
            answers.append(answer)
        work = [each for one in appends for each in one.then]
        if rows:
            _INSERT.run(connection, rows)
            work += self._deliver(connection, stored, version)
            work += self._plan(connection, stored, received)
        notifies = rows and connection.dialect.name == "postgresql"
        (_ADVANCE_AND_NOTIFY if notifies else _ADVANCE).run(connection, [(seq, max(received, self._now()))])
        self._remember(connection, appends)
        if work:
            self._dispatcher.enqueue(connection, work)
        # The work is reported once, so the dispatcher is woken once for all appends.
        return [(answer, work if index == 0 else ()) for index, answer in enumerate(answers)]

    def _known(self, connection: Connection, appends: Sequence[Append]) -> dict[str, tuple[int, bytes]]:
        ids = [id for each in appends for id, new, _ in each.events if new.dedupe is not None]
        rows = _KNOWN.rows(connection, listed(connection, ids)) if ids else ()
        return {id: (seq, bytes(digest)) for id, seq, digest in rows}

    def _deliver(self, connection: Connection, stored: Sequence[tuple[int, str, NewEvent]], version: int) -> list[Work]:
        """Creates the deliveries of new events; returns the work of those that are next in the queue."""
        if self._subscriptions[0] != version:
            enabled = connection.execute(select(SUBSCRIPTIONS).where(SUBSCRIPTIONS.c.state == "enabled"))
            self._subscriptions = version, [to_subscription(row) for row in enabled]
        now = self._now()
        rows = [
            delivery_row(subscription, id, new.event, now)
            for seq, id, new in stored
            for subscription in self._subscriptions[1]
            if subscription.filter.matches(new.connection, new.event)
        ]
        return add_deliveries(connection, rows)

    def _plan(self, connection: Connection, stored: Sequence[tuple[int, str, NewEvent]], received: float) -> list[Work]:
        if not self.planners:
            return []
        now = self._now()
        runs = [
            replace(run, created=now, updated=now, due=now if run.due is None else run.due)
            for seq, id, new in stored
            for planner in self.planners
            for run in planner(_stored(seq, id, new, received))
        ]
        if runs:
            connection.execute(insert(RUNS), [from_run(run) for run in runs])
        return [Work("run", run.id, run.due or now, run.automation) for run in runs]

    def _remember(self, connection: Connection, appends: Sequence[Append]) -> None:
        checkpoints = {each.checkpoint.name: each.checkpoint for each in appends if each.checkpoint is not None}
        upsert(
            connection,
            CHECKPOINTS,
            [{"name": each.name, "state": each.state, "at": each.at} for each in checkpoints.values()],
        )
        seen = {
            (each.sightings.poll, key): state
            for each in appends
            if each.sightings is not None
            for key, state in each.sightings.states.items()
        }
        at = self._now()
        rows = [{"poll": poll, "key": key, "state": state, "at": at} for (poll, key), state in seen.items()]
        upsert(connection, SIGHTINGS, rows)


def identify(new: NewEvent) -> tuple[str, NewEvent, bytes]:
    """Returns the event with its id, and a digest that differs if two arrivals of it have different content.

    The digest is of the bytes as they came, or of the fields where there are none.
    """
    content = new.raw or json.dumps([new.event.subject, dict(new.event.data)], sort_keys=True).encode()
    return event_id(new.connection, new.event.type, new.dedupe), new, hashlib.sha256(content).digest()


def _stored(seq: int, id: str, new: NewEvent, received: float) -> StoredEvent:
    event = replace(new.event, id=id)
    return StoredEvent(
        seq, new.connection, event, new.origin, new.dedupe, received, new.raw, new.content_type, new.hops
    )


def _row(seq: int, id: str, new: NewEvent, received: float, digest: bytes) -> tuple[Any, ...]:
    """A row of `events`, in the order of its columns."""
    event = new.event
    return (
        seq,
        id,
        new.connection,
        event.type,
        None if new.dedupe is None else to_json(new.dedupe),
        event.source,
        None if event.subject is None else to_json(event.subject),
        event.time,
        to_json(dict(event.data)),
        new.origin,
        received,
        new.hops,
        new.content_type,
        new.raw,
        digest,
    )
