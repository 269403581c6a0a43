"""The journal's tables, once for SQLite and PostgreSQL, and how a value stands in a column.

A change here needs a migration in `migrations/versions`; a test compares both. What the statements do is `journal`'s.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Double, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.types import TypeDecorator

METADATA = MetaData()
#: A value as the journal writes it. `json.dumps` would make an encoder anew each time.
to_json = json.JSONEncoder(separators=(",", ":")).encode
#: SQLite numbers rows by itself only in a column of the very type INTEGER.
_SEQ = BigInteger().with_variant(Integer, "sqlite")


class Json(TypeDecorator[Any]):
    """Any JSON value as ASCII text, so that a lone surrogate or a NUL, which no database takes, is kept as well."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """The text of a value."""
        return None if value is None else to_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy's signature
        """The value of a text."""
        return None if value is None else json.loads(value)


#: One row: what every append reads and writes, so that appends of several processes wait for each other there.
COUNTERS = Table(
    "counters",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("subscriptions", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("seq", _SEQ, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("connection", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("dedupe", Json),
    Column("source", Text, nullable=False),
    Column("subject", Json),
    Column("time", Text, nullable=False),
    Column("data", Json, nullable=False),
    Column("origin", Text, nullable=False),
    Column("received", Double, nullable=False),
    Column("hops", Integer, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Index("events_by_trigger", "connection", "trigger", "seq"),
)

SUBSCRIPTIONS = Table(
    "subscriptions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("filter", Json, nullable=False),
    Column("ordered", Integer, nullable=False),
    Column("rate", Integer),
    Column("headers", Json, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("memory", Json, nullable=False),
)

DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("seq", _SEQ, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("event_id", Text, nullable=False, index=True),
    Column("subscription", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Double),
    Column("reason", Text, nullable=False),
    Column("key", Json),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Index("deliveries_by_state", "state", "seq"),
    Index("deliveries_by_subscription", "subscription", "state", "key", "seq"),
)

ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("seq", _SEQ, primary_key=True),
    Column("delivery", Text, nullable=False, index=True),
    Column("at", Double, nullable=False),
    Column("duration", Double, nullable=False),
    Column("status", Integer),
    Column("error", Text, nullable=False),
)

CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("state", Json, nullable=False),
    Column("at", Double, nullable=False),
)

SIGHTINGS = Table(
    "sightings",
    METADATA,
    Column("poll", Text, primary_key=True),
    Column("key", Json, primary_key=True),
    Column("state", Json, nullable=False),
    Column("at", Double, nullable=False),
)

RUNS = Table(
    "runs",
    METADATA,
    Column("seq", _SEQ, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("automation", Text, nullable=False),
    Column("event_id", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("context", Json, nullable=False),
    Column("reason", Text, nullable=False),
    Column("due", Double),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("seq", _SEQ, primary_key=True),
    Column("at", Double, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("detail", Json, nullable=False),
)

#: The embedded dispatcher's; PgQueuer has a table of its own.
WORK = Table(
    "work",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("lane", Text, nullable=False),
    Column("due", Double, nullable=False),
    Index("work_by_due", "kind", "lane", "due"),
)
