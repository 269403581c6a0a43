"""Statements that run by the thousand: compiled once for a dialect, and run on the driver's own cursor.

Beside them what a statement needs that SQLite and PostgreSQL say in two ways: a list of values as one parameter, and
an insert that replaces. Which statements there are, `appending`, `lines`, `queries` and their like say; where they run,
`databases`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from inspect import isfunction
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles

from runtime.journal.storage.tables import to_json

#: Rows that one statement inserts into SQLite at most. After each statement the thread has to wait for its turn to go
#: on, which takes longer than the statement; more rows of fifteen columns would be more parameters than an older SQLite
#: takes, which are 999.
_TOGETHER = 64
#: The values of a row to insert, as SQLite's dialect has them.
_ROW = re.compile(r"(?<=VALUES )\([?, ]+\)")


class Prepared:
    """A statement that runs by the thousand: compiled once for a dialect, then run on the driver's own cursor.

    SQLAlchemy would take ten times as long over each as SQLite does. Values stand in the order in which the statement
    names them, and go in and come out as the driver has them. Errors are those that SQLAlchemy raises.
    """

    def __init__(self, statement: Any, **options: Any) -> None:
        """A statement, or a function that makes the one of a dialect by its name; `options` are those of `compile`."""
        self._statement = statement
        self._options = options
        #: By dialect, and by how many rows it inserts.
        self._texts: dict[tuple[str, int], str] = {}

    def rows(self, connection: Connection, *values: Any) -> list[Any]:
        """Runs a query, and gives its rows."""
        return self._run(connection, values)

    def run(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Runs it once for each row of values; rows to insert go into SQLite several at a time."""
        if len(rows) == 1:
            self._run(connection, rows[0])
        elif rows and connection.dialect.name == "sqlite" and _ROW.search(self._text(connection)):
            for start in range(0, len(rows), _TOGETHER):
                some = rows[start : start + _TOGETHER]
                self._run(connection, list(chain.from_iterable(some)), together=len(some))
        elif rows:
            self._run(connection, rows, many=True)

    def _text(self, connection: Connection, together: int = 1) -> str:
        dialect = connection.dialect
        if (words := self._texts.get((dialect.name, together))) is None:
            made = self._statement(dialect.name) if isfunction(self._statement) else self._statement
            words = str(made.compile(dialect=dialect, **self._options))
            if together > 1:
                words = _ROW.sub(lambda row: ", ".join([row[0]] * together), words, count=1)
                # The transaction undoes what failed; SQLite need not be able to, with a file for each statement.
                words = words.replace("INSERT", "INSERT OR FAIL", 1)
            self._texts[dialect.name, together] = words
        return words

    def _run(
        self, connection: Connection, values: Sequence[Any], *, many: bool = False, together: int = 1
    ) -> list[Any]:
        dialect, words = connection.dialect, self._text(connection, together)
        driver: Any = dialect.loaded_dbapi
        pooled = connection.connection
        try:
            cursor = pooled.cursor()
            try:
                (cursor.executemany if many else cursor.execute)(words, values)
                return list(cursor.fetchall()) if cursor.description else []
            finally:
                cursor.close()
        except driver.Error as error:
            gone = dialect.is_disconnect(error, pooled.dbapi_connection, None)
            if gone:
                connection.invalidate(error)
            told = DBAPIError.instance(
                words, None, error, driver.Error, connection_invalidated=gone, dialect=dialect, hide_parameters=True
            )
            raise told from error


class among(ColumnElement[bool]):  # noqa: N801 - reads as what it is, a word of SQL
    """A column is one of the values of a list, which is one parameter however long it is; `listed` makes it."""

    inherit_cache = False

    def __init__(self, column: Any, values: Any) -> None:
        self.column = column
        self.values = values


@compiles(among, "sqlite")
def _among_json(element: among, compiler: Any, **more: Any) -> str:
    column, values = compiler.process(element.column, **more), compiler.process(element.values, **more)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - pieces of compiled SQL


@compiles(among, "postgresql")
def _among_array(element: among, compiler: Any, **more: Any) -> str:
    column, values = compiler.process(element.column, **more), compiler.process(element.values, **more)
    return f"{column} = ANY({values}::text[])"


def listed(connection: Connection, values: Iterable[str]) -> Any:
    """A list of texts as the parameter of `among`."""
    return to_json(list(values)) if connection.dialect.name == "sqlite" else list(values)


def prepare_upsert(table: Any, *, replace: bool = True) -> Prepared:
    """Inserts rows of all columns; one whose key is there already replaces it, or leaves it as it is."""
    names = [column.name for column in table.c]
    return Prepared(lambda dialect: _make_upsert(table, dialect, names, replace=replace), column_keys=names)


def upsert(connection: Connection, table: Any, rows: list[dict[str, Any]], *, replace: bool = True) -> None:
    """As `prepare_upsert`, with values as SQLAlchemy takes them, of the columns that the first row has."""
    if rows:
        connection.execute(_make_upsert(table, connection.dialect.name, rows[0], replace=replace), rows)


def _make_upsert(table: Any, dialect: str, names: Iterable[str], *, replace: bool) -> Any:
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]  # the same two methods
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    if not replace:
        return statement.on_conflict_do_nothing(index_elements=keys)
    changed = {name: statement.excluded[name] for name in names if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)
