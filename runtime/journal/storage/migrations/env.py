"""Alembic's environment: migrations run on the connection that `databases` hands over, never on one of their own."""

from __future__ import annotations

from alembic import context

from runtime.journal.storage.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
