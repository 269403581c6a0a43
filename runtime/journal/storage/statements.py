"""Statements that run by the thousand: compiled once for each dialect.

They hide what SQLite and PostgreSQL write differently: a list of values as one parameter, an insert of many rows, an
insert that replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import isfunction
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert
from sqlalchemy.ext.compiler import compiles

from runtime.journal.storage.tables import to_json

#: SQLite takes at most this many rows in one statement; with more columns it would be more parameters than it allows.
_TOGETHER = 64

#: Makes the statement of a dialect that takes so many rows of values at once.
Make = Callable[[str, int], Any]


class Prepared:
    """A statement that runs by the thousand: SQLAlchemy compiles it once for each dialect, and runs the text.

    Values are in the order in which the statement names them, and go in and come out as the driver has them.
    """

    def __init__(self, statement: Any, **options: Any) -> None:
        """`statement` is one, or a function that makes it (`Make`); `options` are those of `compile`."""
        self._statement = statement
        self._options = options
        #: By dialect, and by how many rows of values it takes.
        self._texts: dict[tuple[str, int], str] = {}

    def rows(self, db: Connection, *values: Any) -> list[Any]:
        """Runs it once and returns its rows, if it has any."""
        result = db.exec_driver_sql(self._text(db), values)
        return list(result.fetchall()) if result.returns_rows else []

    def run(self, db: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Runs it once for each row of values; an insert into SQLite takes several of them at a time."""
        if db.dialect.name == "sqlite" and len(rows) > 1 and isfunction(self._statement):
            # The driver lets another thread go on after each statement, and waits for its turn then.
            for start in range(0, len(rows), _TOGETHER):
                some = rows[start : start + _TOGETHER]
                db.exec_driver_sql(self._text(db, len(some)), tuple(chain.from_iterable(some)))
        elif rows:
            db.exec_driver_sql(self._text(db), [tuple(row) for row in rows])

    def _text(self, db: Connection, together: int = 1) -> str:
        key = db.dialect.name, together
        if (words := self._texts.get(key)) is None:
            made = self._statement(*key) if isfunction(self._statement) else self._statement
            words = self._texts[key] = str(made.compile(dialect=db.dialect, **self._options))
        return words


def prepare_insert(table: Any, names: Iterable[str]) -> Prepared:
    """Inserts rows of these columns, values in the order of the names."""
    columns = list(names)

    def make(dialect: str, together: int) -> Any:
        # A failed statement fails the transaction, so SQLite need not be able to undo it by itself.
        return _with_rows(insert(table).inline().prefix_with("OR FAIL", dialect="sqlite"), dialect, columns, together)

    return Prepared(make, column_keys=columns)


def _with_rows(statement: Any, dialect: str, columns: list[str], together: int) -> Any:
    return statement if dialect != "sqlite" else statement.values([dict.fromkeys(columns, "")] * together)


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

    def make(dialect: str, together: int) -> Any:
        return _with_rows(_make_upsert(table, dialect, names, replace=replace), dialect, names, together)

    return Prepared(make, column_keys=names)


def upsert(connection: Connection, table: Any, rows: list[dict[str, Any]], *, replace: bool = True) -> None:
    """As `prepare_upsert`, with values as SQLAlchemy takes them, of the columns that the first row has."""
    if rows:
        connection.execute(_make_upsert(table, connection.dialect.name, rows[0], replace=replace), rows)


def _make_upsert(table: Any, dialect: str, names: Iterable[str], *, replace: bool) -> Any:
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        statement: Any = postgresql.insert(table)
    else:
        from sqlalchemy.dialects import sqlite

        statement = sqlite.insert(table)
    keys = [column.name for column in table.primary_key]
    if not replace:
        return statement.on_conflict_do_nothing(index_elements=keys)
    changed = {name: statement.excluded[name] for name in names if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)
