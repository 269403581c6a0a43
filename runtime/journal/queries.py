"""Reads of a journal: functions of a connection, each of one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Table, func, select

from connector.errors import NotInJournal
from connector.messages import Event
from runtime.journal.entries import (
    Attempt,
    AuditEntry,
    Checkpoint,
    Delivery,
    Filter,
    Run,
    Sighting,
    StoredEvent,
    Subscription,
)
from runtime.journal.storage.tables import (
    ATTEMPTS,
    AUDIT,
    CHECKPOINTS,
    COUNTERS,
    DELIVERIES,
    EVENTS,
    RUNS,
    SIGHTINGS,
    SUBSCRIPTIONS,
)

R = TypeVar("R")
#: Keys that one statement requests; both databases limit the number of parameters.
_MOST = 5000


def find_row(
    connection: Connection, table: Table, columns: Sequence[Any], convert: Callable[[Any], R], kind: str, id: str
) -> R:
    """Returns the row of that id; raises NotInJournal with its `kind`."""
    row = connection.execute(select(*columns).where(table.c.id == id)).one_or_none()
    if row is None:
        raise NotInJournal(kind, id)
    return convert(row)


def find_rows(
    connection: Connection,
    table: Table,
    columns: Sequence[Any],
    convert: Callable[[Any], R],
    wanted: Sequence[ColumnElement[bool]],
    *,
    after: int = 0,
    limit: int = 100,
    newest_first: bool = False,
) -> list[R]:
    """Returns rows in order of sequence, after the number `after`, or before it if `newest_first`."""
    query = select(*columns).where(*wanted).limit(limit)
    if newest_first:
        query = query.order_by(table.c.seq.desc())
        query = query.where(table.c.seq < after) if after else query
    else:
        query = query.order_by(table.c.seq).where(table.c.seq > after)
    return [convert(row) for row in connection.execute(query)]


def where(**chosen: tuple[Any, Any]) -> list[ColumnElement[bool]]:
    """Returns conditions on columns, `name=(column, value)`; None matches any value."""
    return [column == value for column, value in chosen.values() if value is not None]


def events_where(
    *, connection: str | None, trigger: str | None, since: float | None, until: float | None
) -> list[ColumnElement[bool]]:
    """Returns conditions on events; times are when they were received."""
    chosen = where(connection=(EVENTS.c.connection, connection), trigger=(EVENTS.c.trigger, trigger))
    if since is not None:
        chosen.append(EVENTS.c.received >= since)
    if until is not None:
        chosen.append(EVENTS.c.received < until)
    return chosen


def find_checkpoint(connection: Connection, name: str) -> Checkpoint | None:
    """The checkpoint of that name, or None."""
    row = connection.execute(select(CHECKPOINTS).where(CHECKPOINTS.c.name == name)).one_or_none()
    return None if row is None else Checkpoint(*row)


def find_sightings(connection: Connection, poll: str, keys: Sequence[str]) -> dict[str, Sighting]:
    """Returns how a poll last saw each of these keys."""
    table, seen = SIGHTINGS.c, {}
    for start in range(0, len(keys), _MOST):
        some = table.key.in_(keys[start : start + _MOST])
        query = select(table.key, table.state, table.at).where(table.poll == poll, some)
        seen.update({key: Sighting(state, at) for key, state, at in connection.execute(query)})
    return seen


def find_attempts(connection: Connection, delivery: str) -> list[Attempt]:
    """The attempts of a delivery, the oldest first."""
    table = ATTEMPTS.c
    query = select(table.at, table.duration, table.status, table.error).where(table.delivery == delivery)
    return [Attempt(*row) for row in connection.execute(query.order_by(table.seq))]


def count(connection: Connection) -> tuple[int, int, float | None, int]:
    """The last event's number; how many deliveries are pending, when the oldest of them was made, how many are dead."""
    table = DELIVERIES.c
    states = select(table.state, func.count()).where(table.state.in_(["pending", "dead"])).group_by(table.state)
    counts: dict[str, int] = dict(connection.execute(states).all())
    oldest = connection.scalar(select(table.created).where(table.state == "pending").order_by(table.seq).limit(1))
    last = connection.scalar(select(COUNTERS.c.events)) or 0
    return last, counts.get("pending", 0), oldest, counts.get("dead", 0)


EVENT_COLUMNS = [column for column in EVENTS.c if column.name != "digest"]


def to_event(row: Sequence[Any]) -> StoredEvent:
    """The event of a row of EVENT_COLUMNS."""
    seq, id, connection, trigger, dedupe, source, subject, time, data, origin, received, hops, content_type, raw = row
    event = Event(id=id, source=source, type=trigger, subject=subject, time=time, data=data)
    return StoredEvent(seq, connection, event, origin, dedupe, received, bytes(raw), content_type, hops)


def to_subscription(row: Row[Any]) -> Subscription:
    """The subscription of a row."""
    values = row._asdict()
    filtered = values.pop("filter")
    wanted = Filter(
        filtered["connection"],
        tuple(filtered["triggers"]),
        {name: tuple(values) for name, values in filtered["where"].items()},
    )
    return Subscription(
        **values | {"filter": wanted, "ordered": bool(values["ordered"]), "headers": tuple(values["headers"])}
    )


def from_subscription(subscription: Subscription) -> dict[str, Any]:
    """The row of a subscription."""
    row = {column.name: getattr(subscription, column.name) for column in SUBSCRIPTIONS.c}
    return row | {"filter": asdict(subscription.filter), "ordered": int(subscription.ordered)}


def to_delivery(row: Row[Any]) -> Delivery:
    """The delivery of a row."""
    return Delivery(**row._asdict())


def to_run(row: Row[Any]) -> Run:
    """The run of a row of RUN_COLUMNS."""
    return Run(**row._asdict())


def from_run(run: Run) -> dict[str, Any]:
    """The row of a run, without its number."""
    return {column.name: getattr(run, column.name) for column in RUN_COLUMNS}


def to_audit_entry(row: Row[Any]) -> AuditEntry:
    """The entry of a row."""
    return AuditEntry(**row._asdict())


RUN_COLUMNS = [column for column in RUNS.c if column.name != "seq"]


DELIVERY_COLUMNS = list(DELIVERIES.c)


AUDIT_COLUMNS = list(AUDIT.c)
