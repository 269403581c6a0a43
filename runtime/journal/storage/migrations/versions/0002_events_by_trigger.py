"""Events found by connection and trigger in their order, by an index that grows at its end.

`events_once` said again what the unique `id` says, which is made of the same three columns, and each event went to a
place of chance in it: a page more to write for each.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Puts the one index in the place of the other."""
    op.drop_index("events_once", "events")
    op.create_index("events_by_trigger", "events", ["connection", "trigger", "seq"])
