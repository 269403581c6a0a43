"""Deliveries within a transaction: created, recorded, replayed, abandoned, and which of them are queued.

Of an ordered subscription only the oldest pending delivery of each key is queued; its outcome enqueues the next one.
`journal` runs the transactions, and reads outside of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, select, update

from connector.errors import NotInJournal
from connector.messages import Event
from runtime.journal.dispatcher import Dispatcher
from runtime.journal.entries import Attempt, DeliveryState, StoredEvent, Subscription, Work, delivery_id
from runtime.journal.storage.statements import Prepared, among, listed, prepare_insert
from runtime.journal.storage.tables import ATTEMPTS, COUNTERS, DELIVERIES, SUBSCRIPTIONS, to_json

#: What a write did, and the work that is queued once it is committed.
Outcome = tuple[Any, Sequence[Work]]
#: An attempt to record: delivery, attempt, state, due, reason.
Recorded = tuple[str, Attempt | None, DeliveryState, float | None, str]


_FIND = Prepared(
    select(DELIVERIES.c.id, DELIVERIES.c.subscription, DELIVERIES.c.key).where(among(DELIVERIES.c.id, bindparam("ids")))
)
#: Values in the order of the columns, whatever the order of the names here.
_RECORD = Prepared(
    update(DELIVERIES)
    .where(DELIVERIES.c.id == bindparam("of"))
    .values(
        state=bindparam("is"),
        attempts=DELIVERIES.c.attempts + bindparam("more"),
        due=bindparam("then"),
        reason=bindparam("why"),
        updated=bindparam("now"),
    )
)
_ATTEMPT = prepare_insert(ATTEMPTS, [each.name for each in ATTEMPTS.c if each.name != "seq"])
_DELIVERY = [each.name for each in DELIVERIES.c if each.name != "seq"]
_INSERT = prepare_insert(DELIVERIES, _DELIVERY)


class DeliveryWrites:
    """Changes deliveries, and their work with them, within a given transaction."""

    def __init__(self, dispatcher: Dispatcher, now: Callable[[], float]) -> None:
        self._dispatcher = dispatcher
        self._now = now

    def record(self, connection: Connection, given: Sequence[Recorded], *, appends: bool) -> list[Outcome]:
        """Records attempts; `appends` if events are appended after it. Raises NotInJournal."""
        found = _FIND.rows(connection, listed(connection, (each[0] for each in given)))
        rows: dict[str, tuple[str, Any]] = {id: (to, key and json.loads(key)) for id, to, key in found}
        if missing := [each[0] for each in given if each[0] not in rows]:
            raise NotInJournal("delivery", missing[0])
        ended = [id for id, _, _, due, _ in given if due is None]
        keys = {rows[id] for id in ended if rows[id][1] is not None}
        if keys or appends:
            # Every writer takes this lock before rows of deliveries, so there is no deadlock. And it keeps out appends
            # until the commit; otherwise a new delivery could be missed by the queue.
            _lock(connection)
        now = self._now()
        _RECORD.run(
            connection,
            [(state, int(attempt is not None), due, reason, now, id) for id, attempt, state, due, reason in given],
        )
        _ATTEMPT.run(
            connection,
            [(id, made.at, made.duration, made.status, made.error) for id, made, _, _, _ in given if made is not None],
        )
        work = [Work("delivery", id, due, rows[id][0]) for id, _, _, due, _ in given if due is not None]
        if ended:
            self._dispatcher.finish(connection, "delivery", ended)
        if work:
            self._dispatcher.enqueue(connection, work)
        if keys:
            work += self._next_in_line(connection, keys)
        return [(None, work if index == 0 else ()) for index in range(len(given))]

    def _next_in_line(self, connection: Connection, keys: set[tuple[str, str]]) -> list[Work]:
        """Enqueues the deliveries that waited for an earlier one."""
        heads = [(find_head(connection, subscription, key), subscription) for subscription, key in keys]
        work = [Work("delivery", id, self._now(), subscription) for id, subscription in heads if id is not None]
        self._dispatcher.enqueue(connection, work, replace=False)
        return work

    def redeliver(
        self,
        connection: Connection,
        given: Sequence[tuple[Sequence[StoredEvent], Subscription | None, DeliveryState | None]],
    ) -> list[Outcome]:
        """Replays events, (events, only this subscription, only in this state) each; returns how many deliveries."""
        _lock(connection)
        outcomes: list[Outcome] = []
        table, now = DELIVERIES.c, self._now()
        for events, only, state in given:
            query = select(table.id, table.event_id, table.subscription, table.key, table.state)
            query = query.where(table.event_id.in_([each.event.id for each in events])).order_by(table.seq)
            if only is not None:
                query = query.where(table.subscription == only.id)
            present = list(connection.execute(query))
            again = [row for row in present if state in (None, row.state)]
            if again:
                connection.execute(
                    update(DELIVERIES)
                    .where(table.id.in_([row.id for row in again]))
                    .values(state="pending", attempts=0, due=now, reason="", updated=now)
                )
            work = line_up(connection, [(row.id, row.subscription, row.key, now) for row in again])
            fresh = []
            if only is not None and state is None:
                known = {row.event_id for row in present}
                fresh = [
                    delivery_row(only, each.event.id, each.event, now)
                    for each in events
                    if each.event.id not in known and only.filter.matches(each.connection, each.event)
                ]
                work += add_deliveries(connection, fresh)
            self._dispatcher.enqueue(connection, work)
            outcomes.append((len(again) + len(fresh), work))
        return outcomes

    def remove(self, connection: Connection, id: str) -> None:
        """Removes a subscription, and marks its pending deliveries as dead; raises NotInJournal."""
        table = DELIVERIES.c
        gone = connection.execute(delete(SUBSCRIPTIONS).where(SUBSCRIPTIONS.c.id == id)).rowcount
        if not gone:
            raise NotInJournal("subscription", id)
        pending = and_(table.subscription == id, table.state == "pending")
        ids = list(connection.scalars(select(table.id).where(pending)))
        connection.execute(
            update(DELIVERIES)
            .where(pending)
            .values(state="dead", due=None, reason="the subscription was removed", updated=self._now())
        )
        for start in range(0, len(ids), 5000):
            self._dispatcher.finish(connection, "delivery", ids[start : start + 5000])


def _lock(connection: Connection) -> None:
    """Locks out appends until the commit."""
    connection.execute(select(COUNTERS.c.id).where(COUNTERS.c.id == 1).with_for_update())


def delivery_row(subscription: Subscription, event_id: str, event: Event, now: float) -> dict[str, Any]:
    """The row of a new delivery, due now."""
    return {
        "id": delivery_id(subscription.id, event_id),
        "event_id": event_id,
        "subscription": subscription.id,
        "state": "pending",
        "attempts": 0,
        "due": now,
        "reason": "",
        "key": (event.subject or "") if subscription.ordered else None,
        "created": now,
        "updated": now,
    }


def add_deliveries(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[Work]:
    """Inserts deliveries; returns the work of those that are next in the queue."""
    if not rows:
        return []
    _INSERT.run(
        connection,
        [
            [to_json(row[name]) if name == "key" and row[name] is not None else row[name] for name in _DELIVERY]
            for row in rows
        ],
    )
    return line_up(connection, [(row["id"], row["subscription"], row["key"], row["due"]) for row in rows])


def line_up(connection: Connection, pending: Sequence[tuple[str, str, str | None, float]]) -> list[Work]:
    """Returns the work of pending deliveries (id, subscription, key, due): of each key only the oldest, in order."""
    work = [Work("delivery", id, due, subscription) for id, subscription, key, due in pending if key is None]
    keys = {(subscription, key) for _, subscription, key, _ in pending if key is not None}
    heads = {find_head(connection, subscription, key) for subscription, key in keys}
    return work + [
        Work("delivery", id, due, subscription)
        for id, subscription, key, due in pending
        if key is not None and id in heads
    ]


def find_head(connection: Connection, subscription: str, key: str) -> str | None:
    """Returns the id of the oldest pending delivery of a key, or None."""
    table = DELIVERIES.c
    found: str | None = connection.scalar(
        select(table.id)
        .where(table.subscription == subscription, table.state == "pending", table.key == key)
        .order_by(table.seq)
        .limit(1)
    )
    return found
