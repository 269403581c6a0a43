"""The tables as the code knows them."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from runtime.journal.storage import migrations
from runtime.journal.storage.sqlite import SQLite
from runtime.journal.storage.tables import METADATA

pytestmark = pytest.mark.anyio


async def test_the_migrations_make_the_tables_of_the_code() -> None:
    database = SQLite(None)
    with database.engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == migrations.HEAD == migrations.VERSIONS[-1]
    await database.close()
