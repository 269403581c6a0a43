"""Tables brought to this version, or left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from connector.errors import ConfigurationError
from runtime.journal.journal import Journal
from runtime.journal.storage import migrations
from runtime.journal.storage.migrate import migrate
from runtime.journal.storage.postgres import PostgreSQL
from runtime.journal.storage.sqlite import SQLite
from runtime.journal.storage.tables import METADATA
from tests.doubles.postgres import Server

pytestmark = pytest.mark.anyio

#: An event as every version of the tables has it.
_KEPT = text(
    "INSERT INTO events (seq, id, connection, trigger, source, time, data, origin, received, hops, content_type, raw,"
    " digest) VALUES (1, 'evt_1', 'mistral-ai', 'a/b', '/x', '', '{}', 'webhook', 0, 0, '', :none, :none)"
)


async def test_F5_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    async with await Journal.open(url) as journal:
        await journal.database.transact(
            lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        )
    with pytest.raises(ConfigurationError, match=r"written by a newer version .*tables 9999"):
        await Journal.open(url)
    with pytest.raises(ConfigurationError, match="written by a newer version"):
        await Journal.open(url, read_only=True)


async def test_F5_the_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    database = SQLite(None)
    await database.transact(lambda connection: connection.execute(text("DROP TABLE alembic_version")))
    with pytest.raises(ConfigurationError, match="these tables are not a journal's"):
        await database.transact(lambda connection: migrate(connection, "x"))
    await database.close()


@pytest.mark.parametrize("version", migrations.VERSIONS[:-1])
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
async def test_F5_tables_of_every_older_version_are_brought_to_this_one_with_what_is_in_them(
    request: pytest.FixtureRequest, tmp_path: Path, dialect: str, version: str
) -> None:
    def make(connection: Connection) -> None:
        migrate(connection, "x", to=version)
        connection.execute(_KEPT, {"none": b""})

    def differ(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    if dialect == "sqlite":
        url = f"sqlite:///{tmp_path}/journal.db"
        engine = create_engine(url)
        with engine.begin() as connection:
            make(connection)
            assert differ(connection) != []
        engine.dispose()
    else:
        server: Server = request.getfixturevalue("postgres")
        url = await server.create(f"version_{version}")
        database = PostgreSQL(url.replace("postgresql://", "postgresql+asyncpg://"))
        await database.transact(make)
        await database.close()
    async with await Journal.open(url) as journal:
        assert journal.database.migrated_from == version
        # PgQueuer's tables are its own.
        assert [each for each in await journal.read(differ) if "pgqueuer" not in str(each)] == []
        assert [each.event.id for each in await journal.events(trigger="a/b")] == ["evt_1"]
