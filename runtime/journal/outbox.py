"""Pending deliveries: read in batches, rescheduled after an outage, marked as dead with their endpoint.

`events.deliverer` decides the outcome of an attempt, and `Journal.record_attempt` records it. Concurrent reads of
deliveries share one query.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select, text, update

from connector.messages import Event
from runtime.journal.deliveries import Outcome, line_up
from runtime.journal.entries import Delivery, StoredEvent, Subscription
from runtime.journal.journal import Journal
from runtime.journal.queries import to_subscription
from runtime.journal.storage.statements import Prepared, among, listed
from runtime.journal.storage.tables import COUNTERS, DELIVERIES, EVENTS, SUBSCRIPTIONS

#: Deliveries that one transaction reschedules or marks as dead, so that none takes too long.
_STEP = 2000


@dataclass(frozen=True, slots=True)
class PendingDelivery:
    """A delivery with its event and its subscription."""

    delivery: Delivery
    stored: StoredEvent
    #: None if it was removed.
    subscription: Subscription | None


class Outbox:
    """The pending deliveries of one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._asked: dict[str, asyncio.Future[PendingDelivery | None]] = {}
        self._reading: asyncio.Task[None] | None = None
        #: The subscriptions, and their common version when they were read.
        self._known: tuple[int, dict[str, Subscription]] = (-1, {})

    async def find(self, id: str) -> PendingDelivery | None:
        """The delivery of that id with its event; None if there is none. Raises JournalUnavailable."""
        answer = self._asked.get(id)
        if answer is None:
            answer = self._asked[id] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        return await answer

    async def _read_all(self) -> None:
        """Reads requested deliveries; those requested during one query are read together by the next."""
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                await self._answer(asked)
        finally:
            self._reading = None

    async def _answer(self, asked: Mapping[str, asyncio.Future[PendingDelivery | None]]) -> None:
        version, known = self._known
        try:
            found, newer, rows = await self._journal.read(lambda connection: _read(connection, list(asked), version))
        except Exception as error:  # noqa: BLE001 - it belongs to the callers
            for answer in asked.values():
                if not answer.done():
                    answer.set_exception(error)
            return
        if newer is not None:
            known = newer
            self._known = found, newer
        for id, answer in asked.items():
            if not answer.done():
                answer.set_result(_parcel(rows[id], known) if id in rows else None)

    async def hasten(self, subscription: Subscription) -> None:
        """Reschedules pending deliveries for now, oldest first, at the rate of the subscription if it has one."""
        now, count, after = self._journal.now(), 0, 0
        space = 0.0 if subscription.rate is None else 1.0 / subscription.rate

        def write(connection: Connection, given: Sequence[tuple[int, int]]) -> list[Outcome]:
            return [self._hasten(connection, subscription.id, now, space, *each) for each in given]

        while moved := await self._journal.write(write, (after, count)):
            after, count = moved[-1], count + len(moved)

    def _hasten(
        self, connection: Connection, subscription: str, now: float, space: float, after: int, count: int
    ) -> Outcome:
        table = DELIVERIES.c
        waits = and_(table.subscription == subscription, table.state == "pending", table.due > now, table.seq > after)
        query = select(table.seq, table.id, table.key).where(waits).order_by(table.seq).limit(_STEP)
        rows = list(connection.execute(query))
        if not rows:
            return [], ()
        moved = [(row.id, subscription, row.key, now + space * (count + place)) for place, row in enumerate(rows)]
        connection.execute(
            update(DELIVERIES).where(table.id == bindparam("of")).values(due=bindparam("then")),
            [{"of": id, "then": due} for id, _, _, due in moved],
        )
        work = line_up(connection, moved)
        self._journal.dispatcher.enqueue(connection, work)
        return [row.seq for row in rows], work

    async def disable(self, subscription: str, reason: str) -> None:
        """Disables a subscription; its pending deliveries are dead, and can be replayed."""
        await self._journal.change_subscription(subscription, state="disabled", reason=reason)
        await self._journal.audit("subscription.disabled", subscription, {"reason": reason})
        while await self._journal.write(self._bury, (subscription, f"the subscription was disabled: {reason}")):
            pass

    def _bury(self, connection: Connection, given: Sequence[tuple[str, str]]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        table = DELIVERIES.c
        for subscription, reason in given:
            pending = and_(table.subscription == subscription, table.state == "pending")
            ids = list(connection.scalars(select(table.id).where(pending).limit(_STEP)))
            values = {"state": "dead", "due": None, "reason": reason, "updated": self._journal.now()}
            connection.execute(update(DELIVERIES).where(table.id.in_(ids)).values(values))
            self._journal.dispatcher.finish(connection, "delivery", ids)
            outcomes.append((len(ids), ()))
        return outcomes

    async def remember(self, subscription: str, memory: Mapping[str, Any]) -> None:
        """Keeps the state of an endpoint; appends need not see it, so the version does not change."""
        await self._journal.write(_remember, (subscription, memory))


def _remember(connection: Connection, given: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Outcome]:
    for subscription, memory in given:
        wanted = SUBSCRIPTIONS.c.id == subscription
        connection.execute(update(SUBSCRIPTIONS).where(wanted).values(memory=dict(memory)))
    return [(None, ()) for _ in given]


def _read(
    connection: Connection, ids: Sequence[str], version: int
) -> tuple[int, dict[str, Subscription] | None, dict[str, Sequence[Any]]]:
    """Returns the deliveries with their events, and the subscriptions if their version changed."""
    rows = {row[1]: row for row in _FIND.rows(connection, listed(connection, ids))}
    current = next((row[-1] for row in rows.values()), version)
    known = None
    if current != version:
        known = {row.id: to_subscription(row) for row in connection.execute(select(SUBSCRIPTIONS))}
    return current, known, rows


def _parcel(row: Sequence[Any], subscriptions: Mapping[str, Subscription]) -> PendingDelivery:
    seq, id, event_id, subscription, state, attempts, due, reason, key, created, updated = row[:_DELIVERY]
    key = None if key is None else json.loads(key)
    delivery = Delivery(
        seq=seq,
        id=id,
        event_id=event_id,
        subscription=subscription,
        state=state,
        attempts=attempts,
        due=due,
        reason=reason,
        key=key,
        created=created,
        updated=updated,
    )
    seq, id, connection, trigger, dedupe, source, subject, time, data, origin, received, hops = row[_DELIVERY:-1]
    event = Event(
        id=id,
        source=source,
        type=trigger,
        subject=None if subject is None else json.loads(subject),
        time=time,
        data=json.loads(data),
    )
    dedupe = None if dedupe is None else json.loads(dedupe)
    stored = StoredEvent(seq, connection, event, origin, dedupe, received, hops=hops)
    return PendingDelivery(delivery, stored, subscriptions.get(delivery.subscription))


_DELIVERY = len(DELIVERIES.c)
_VERSION = select(COUNTERS.c.subscriptions).where(COUNTERS.c.id == text("1")).scalar_subquery()
# The raw message is not read: it can be large, and no subscriber receives it.
_COLUMNS: list[Any] = [
    *DELIVERIES.c,
    *(column for column in EVENTS.c if column.name not in ("raw", "digest", "content_type")),
    _VERSION,
]
_FIND = Prepared(
    select(*_COLUMNS).join(EVENTS, EVENTS.c.id == DELIVERIES.c.event_id).where(among(DELIVERIES.c.id, bindparam("ids")))
)
