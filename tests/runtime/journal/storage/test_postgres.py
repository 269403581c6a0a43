"""A journal in PostgreSQL: errors show no password and no value, and a failed transaction leaves nothing."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

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


async def test_a_transaction_that_fails_leaves_nothing_and_shows_no_values(postgres: Server) -> None:
    database = await open_database(await postgres.empty())
    assert isinstance(database, PostgreSQL)

    def fail(db: Connection) -> None:
        db.execute(text("INSERT INTO checkpoints (name, state, at) VALUES ('poll', '{}', 1)"))
        db.execute(text("SELECT CAST(:secret AS integer)"), {"secret": "canary-value"})

    try:
        with pytest.raises(DBAPIError) as caught:
            await database.transact(fail)
        assert "parameters hidden" in str(caught.value)
        assert await database.read(lambda db: db.scalar(text("SELECT count(*) FROM checkpoints"))) == 0
    finally:
        await database.close()
