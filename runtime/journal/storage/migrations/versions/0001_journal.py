"""The journal's first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Makes them."""
    counters = op.create_table(
        "counters",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("subscriptions", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.bulk_insert(counters, [{"id": 1, "events": 0, "subscriptions": 0, "at": 0.0}])
    op.create_table(
        "events",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("connection", sa.Text, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("dedupe", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("time", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("received", sa.Double, nullable=False),
        sa.Column("hops", sa.Integer, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
    )
    op.create_index("events_once", "events", ["connection", "trigger", "dedupe"], unique=True)
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("filter", sa.Text, nullable=False),
        sa.Column("ordered", sa.Integer, nullable=False),
        sa.Column("rate", sa.Integer),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("memory", sa.Text, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("seq", _SEQ, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("subscription", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.Double),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
    op.create_index("ix_deliveries_event_id", "deliveries", ["event_id"])
    op.create_index("deliveries_by_state", "deliveries", ["state", "seq"])
    op.create_index("deliveries_by_subscription", "deliveries", ["subscription", "state", "key", "seq"])
    op.create_table(
        "attempts",
        sa.Column("seq", _SEQ, primary_key=True),
        sa.Column("delivery", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("duration", sa.Double, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_index("ix_attempts_delivery", "attempts", ["delivery"])
    op.create_table(
        "checkpoints",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "sightings",
        sa.Column("poll", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("seq", _SEQ, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("automation", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("due", sa.Double),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
    op.create_index("ix_runs_event_id", "runs", ["event_id"])
    op.create_table(
        "audit",
        sa.Column("seq", _SEQ, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "work",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
    )
    op.create_index("work_by_due", "work", ["kind", "lane", "due"])
