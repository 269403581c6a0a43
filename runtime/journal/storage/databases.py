"""Databases that a journal can be kept in, by URL: SQLite by default, PostgreSQL for several processes.

Both run plain functions of a SQLAlchemy connection, each in one transaction, off the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from sqlalchemy import Connection

from connector.errors import ConfigurationError
from runtime.journal.storage.postgres import PostgreSQL
from runtime.journal.storage.sqlite import R, SQLite


class Database(Protocol):
    """A database that a journal is kept in."""

    dialect: Literal["sqlite", "postgresql"]
    #: The file, where it is one.
    path: Path | None
    #: The version of the tables before they were opened, None if there were none.
    migrated_from: str | None

    async def transact(self, run: Callable[[Connection], R]) -> R:
        """Runs the function in one transaction and commits it durably; one at a time. Raises what it raises."""

    async def read(self, run: Callable[[Connection], R]) -> R:
        """Runs a function that only reads, in one snapshot, in parallel to writes."""

    async def close(self) -> None:
        """Closes all connections."""


async def open_database(url: str, *, read_only: bool = False) -> Database:
    """The database of a URL: `sqlite:///relative`, `sqlite:////absolute`, `sqlite://` (in memory), `postgresql://…`.

    Tables are created or migrated first. `read_only` reads a SQLite file that another process may be
    writing. Raises ConfigurationError with a hint.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        path = Path(rest.removeprefix("/")) if rest else None
        return await asyncio.to_thread(SQLite, path, read_only=read_only)
    if scheme in ("postgresql", "postgres"):
        return await PostgreSQL.open("postgresql+asyncpg://" + rest)
    raise ConfigurationError(
        f"journal: {scheme or 'an empty text'} is not a database for a journal",
        hint="sqlite:///path/to/journal.db, or postgresql://user:password@host/database",
    )
