"""A PostgreSQL that is not there, or that closes connections, in words that show no password."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from connector.errors import ConfigurationError
from runtime.journal.storage.databases import open_database
from runtime.journal.storage.postgres import PostgreSQL
from tests.doubles.postgres import Server

pytestmark = pytest.mark.anyio


async def test_a_server_that_is_not_there_is_an_error_without_the_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        await open_database("postgresql://me:canary-password@127.0.0.1:1/db")
    said = f"{caught.value} {caught.value.hint}"
    assert "127.0.0.1:1/db" in said
    assert "canary" not in said


async def test_a_connection_that_the_server_closed_is_replaced(postgres: Server) -> None:
    database = await open_database(await postgres.empty())
    assert isinstance(database, PostgreSQL)
    other = await open_database(database.dsn)
    try:
        end = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        assert await database.read(lambda db: db.scalar(text("SELECT 1"))) == 1
        await other.transact(lambda db: db.execute(end))
        assert await database.read(lambda db: db.scalar(text("SELECT 1"))) == 1
    finally:
        await database.close()
        await other.close()
