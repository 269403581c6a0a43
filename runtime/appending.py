"""What an append does within its transaction: number the events, collapse duplicates, put deliveries and runs in line.

Everything that follows from an event is committed with it, so that no event is ever without its deliveries (hazards
K2, K10). It is a function of a connection; who runs it and when it is committed is `commits`'s and `databases`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, insert, select, update

from runtime.databases import upsert
from runtime.dispatching import Dispatcher
from runtime.entries import (
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
from runtime.lines import Outcome, add_deliveries, delivery_row
from runtime.rows import from_run, to_subscription
from runtime.tables import CHECKPOINTS, COUNTERS, EVENTS, RUNS, SIGHTINGS, SUBSCRIPTIONS

#: Says which automations run on an event: one pending run for each.
Planner = Callable[[StoredEvent], Iterable[Run]]


@dataclass(frozen=True, slots=True)
class Append:
    """One call of `Journal.append`."""

    events: Sequence[NewEvent]
    checkpoint: Checkpoint | None
    sightings: Sightings | None
    then: Sequence[Work]


class Appending:
    """Appends in the transaction that it is given; knows the subscriptions as of their version in `counters`."""

    def __init__(self, dispatcher: Dispatcher, now: Callable[[], float], wall: Callable[[], float]) -> None:
        self._dispatcher = dispatcher
        self._now = now
        self._wall = wall
        self._subscriptions: tuple[int, list[Subscription]] = (-1, [])
        self.planners: list[Planner] = []

    def append(self, connection: Connection, appends: Sequence[Append]) -> list[Outcome]:
        """Does several appends at once; gives for each the list of Appended."""
        # Whoever appends has this row to itself until the commit, so the order of numbers is the order of commits.
        counters = connection.execute(
            select(COUNTERS.c.events, COUNTERS.c.subscriptions).where(COUNTERS.c.id == 1).with_for_update()
        ).one()
        known = self._known(connection, appends)
        seq = counters.events
        rows: list[dict[str, Any]] = []
        stored: list[StoredEvent] = []
        received = self._wall()
        answers: list[list[Appended]] = []
        for each in appends:
            answer = []
            for new in each.events:
                id, digest = event_id(new.connection, new.event.type, new.dedupe), _digest(new)
                if (found := known.get(id)) is not None:
                    answer.append(Appended(id, found[0], created=False, conflict=found[1] != digest))
                    continue
                seq += 1
                known[id] = seq, digest
                event = replace(new.event, id=id)
                stored.append(
                    StoredEvent(
                        seq,
                        new.connection,
                        event,
                        new.origin,
                        new.dedupe,
                        received,
                        new.raw,
                        new.content_type,
                        new.hops,
                    )
                )
                rows.append(_row(stored[-1], digest))
                answer.append(Appended(id, seq, created=True))
            answers.append(answer)
        work = [each for one in appends for each in one.then]
        if rows:
            connection.execute(insert(EVENTS), rows)
            work += self._deliver(connection, stored, counters.subscriptions)
            work += self._plan(connection, stored)
        connection.execute(update(COUNTERS).where(COUNTERS.c.id == 1).values(events=seq, at=max(received, self._now())))
        self._remember(connection, appends)
        if work:
            self._dispatcher.enqueue(connection, work)
        # Whoever wakes the dispatcher does it once for all.
        return [(answer, work if index == 0 else ()) for index, answer in enumerate(answers)]

    def _known(self, connection: Connection, appends: Sequence[Append]) -> dict[str, tuple[int, bytes]]:
        ids = [
            event_id(new.connection, new.event.type, new.dedupe)
            for each in appends
            for new in each.events
            if new.dedupe is not None
        ]
        known = {}
        # Both databases have a limit on the parameters of one statement.
        for start in range(0, len(ids), 5000):
            wanted = EVENTS.c.id.in_(ids[start : start + 5000])
            for id, seq, digest in connection.execute(select(EVENTS.c.id, EVENTS.c.seq, EVENTS.c.digest).where(wanted)):
                known[id] = seq, bytes(digest)
        return known

    def _deliver(self, connection: Connection, stored: Sequence[StoredEvent], version: int) -> list[Work]:
        """Makes the deliveries of new events; gives the work of those that are next in line."""
        if self._subscriptions[0] != version:
            enabled = connection.execute(select(SUBSCRIPTIONS).where(SUBSCRIPTIONS.c.state == "enabled"))
            self._subscriptions = version, [to_subscription(row) for row in enabled]
        now = self._now()
        rows = [
            delivery_row(subscription, each, now)
            for each in stored
            for subscription in self._subscriptions[1]
            if subscription.filter.matches(each.connection, each.event)
        ]
        return add_deliveries(connection, rows)

    def _plan(self, connection: Connection, stored: Sequence[StoredEvent]) -> list[Work]:
        now = self._now()
        runs = [
            replace(run, created=now, updated=now, due=now if run.due is None else run.due)
            for each in stored
            for planner in self.planners
            for run in planner(each)
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


def _digest(new: NewEvent) -> bytes:
    """What tells whether two arrivals of one event say the same: of the bytes as they came, else of the fields."""
    said = new.raw or json.dumps([new.event.subject, dict(new.event.data)], sort_keys=True).encode()
    return hashlib.sha256(said).digest()


def _row(stored: StoredEvent, digest: bytes) -> dict[str, Any]:
    event = stored.event
    return {
        "seq": stored.seq,
        "id": event.id,
        "connection": stored.connection,
        "trigger": event.type,
        "dedupe": stored.dedupe,
        "source": event.source,
        "subject": event.subject,
        "time": event.time,
        "data": dict(event.data),
        "origin": stored.origin,
        "received": stored.received,
        "hops": stored.hops,
        "content_type": stored.content_type,
        "raw": stored.raw,
        "digest": digest,
    }
