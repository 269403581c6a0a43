"""Rows of the journal's tables as the values of `entries`, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from connector.messages import Event
from runtime.journal.entries import AuditEntry, Delivery, Filter, Run, StoredEvent, Subscription
from runtime.journal.storage.tables import AUDIT, DELIVERIES, EVENTS, RUNS, SUBSCRIPTIONS

EVENT_COLUMNS = [column for column in EVENTS.c if column.name != "digest"]


def to_event(row: Sequence[Any]) -> StoredEvent:
    """The event of a row of EVENT_COLUMNS."""
    seq, id, connection, trigger, dedupe, source, subject, time, data, origin, received, hops, content_type, raw = row
    event = Event(id, source, trigger, subject, time, data)
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
