"""Statements on the driver's own cursor: what goes in comes out, however many rows there are, on both databases."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, select
from sqlalchemy.exc import DBAPIError

from runtime.journal.storage.databases import Database, open_database
from runtime.journal.storage.statements import Prepared, among, listed, prepare_insert, prepare_upsert
from runtime.journal.storage.tables import WORK
from tests.doubles.postgres import Server

pytestmark = pytest.mark.anyio
_INSERT = prepare_insert(WORK, WORK.c.keys())
_REPLACE, _KEEP = prepare_upsert(WORK), prepare_upsert(WORK, replace=False)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'journal.db'}"
    else:
        server: Server = request.getfixturevalue("postgres")
        url = await server.empty()
    opened = await open_database(url)
    yield opened
    await opened.close()


def rows(count: int, due: float = 1.0) -> list[tuple[str, str, str, float]]:
    return [("delivery", f"dlv_{number:03}", "lane", due) for number in range(count)]


async def found(database: Database) -> list[tuple[Any, ...]]:
    return await database.read(
        lambda connection: [tuple(row) for row in connection.execute(select(WORK).order_by(WORK.c.id))]
    )


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 50])
async def test_as_many_rows_are_there_as_were_inserted_each_with_its_own_values(database: Database, count: int) -> None:
    await database.transact(lambda connection: _INSERT.run(connection, rows(count)))
    assert await found(database) == rows(count)


async def test_a_row_that_is_there_already_is_replaced_or_kept_among_many(database: Database) -> None:
    await database.transact(lambda connection: _INSERT.run(connection, rows(5)))
    await database.transact(lambda connection: _KEEP.run(connection, rows(150, due=2.0)))
    assert [due for *_, due in await found(database)] == [1.0] * 5 + [2.0] * 145
    await database.transact(lambda connection: _REPLACE.run(connection, rows(170, due=3.0)))
    assert await found(database) == rows(170, due=3.0)


async def test_of_many_rows_none_is_there_if_one_cannot_be(database: Database) -> None:
    await database.transact(lambda connection: _INSERT.run(connection, rows(1)))
    with pytest.raises(DBAPIError) as refused:
        await database.transact(lambda connection: _INSERT.run(connection, rows(150)[::-1]))
    assert "dlv_" not in str(refused.value)
    assert await found(database) == rows(1)


async def test_one_statement_inserts_many_rows_into_sqlite_and_needs_no_file_for_it(tmp_path: Path) -> None:
    database = await open_database(f"sqlite:///{tmp_path / 'journal.db'}")
    seen: list[str] = []

    def insert_all(connection: Any) -> None:
        driver: sqlite3.Connection = connection.connection.driver_connection
        driver.set_trace_callback(seen.append)
        _INSERT.run(connection, rows(140))
        driver.set_trace_callback(None)

    await database.transact(insert_all)
    await database.close()
    assert [each.partition(" (")[0] for each in seen] == ["INSERT OR FAIL INTO work"] * 3


async def test_a_list_is_one_parameter_however_long_it_is(database: Database) -> None:
    query = Prepared(select(WORK.c.id).where(among(WORK.c.id, bindparam("ids"))).order_by(WORK.c.id))
    await database.transact(lambda connection: _INSERT.run(connection, rows(3)))
    for ids, there in (([], []), (["dlv_002", "dlv_000", "none"], ["dlv_000", "dlv_002"])):
        wanted = ids + [f"none-{number}" for number in range(40_000)]
        answer = await database.read(
            lambda connection, wanted=wanted: query.rows(connection, listed(connection, wanted))
        )
        assert [id for (id,) in answer] == there
