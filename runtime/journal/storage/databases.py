"""Databases that a journal can live in, SQLite by default and PostgreSQL by URL: opened, locked, migrated, closed.

Both run plain functions of a SQLAlchemy connection, each in one transaction, off the event loop: SQLite in a thread
(one for writing, some beside it for reading, one for its log), PostgreSQL over asyncpg. A file that is damaged, gone,
not writable, of a newer version or another process's is refused in words, and never made anew in silence (hazards F5,
F6).
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.pool import QueuePool, StaticPool

from connector.errors import ConfigurationError
from runtime.config.files import make_home, try_lock
from runtime.journal.storage.migrations import HEAD, VERSIONS
from runtime.journal.storage.statements import Prepared

R = TypeVar("R")

#: Seconds to wait for a lock that somebody else has on the database (hazard F4).
BUSY_TIMEOUT = 5.0
#: KiB of pages that each connection keeps.
_CACHE = 16 * 1024
_READERS = 4


class Database(Protocol):
    """Where a journal lives."""

    dialect: Literal["sqlite", "postgresql"]
    #: The file, where it is one.
    path: Path | None
    #: The version of the tables before they were opened, None if there were none.
    migrated_from: str | None

    async def transact(self, run: Callable[[Connection], R]) -> R:
        """Runs the function in one transaction and commits it durably; one at a time. Raises what it raises."""

    async def read(self, run: Callable[[Connection], R]) -> R:
        """Runs a function that only reads, in one snapshot, beside whatever is written."""

    async def close(self) -> None:
        """Lets go of everything."""


async def open_database(url: str, *, read_only: bool = False) -> Database:
    """The database of a URL: `sqlite:///relative`, `sqlite:////absolute`, `sqlite://` (in memory), `postgresql://…`.

    Tables are made or brought to this version first. `read_only` looks at a SQLite file that another process may be
    writing. Raises ConfigurationError, which says what to do.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        path = Path(rest.removeprefix("/")) if rest else None
        return await asyncio.to_thread(SQLite, path, read_only=read_only)
    if scheme in ("postgresql", "postgres"):
        return await PostgreSQL.open("postgresql+asyncpg://" + rest)
    raise ConfigurationError(
        f"journal: {scheme or 'an empty text'} is no database that a journal can live in",
        hint="sqlite:///path/to/journal.db, or postgresql://user:password@host/database",
    )


class SQLite:
    """One file (or memory, without a path), with a write-ahead log that is flushed before a commit returns."""

    #: How a commit is flushed: with NORMAL a power cut would lose what was acknowledged, which a test shows.
    synchronous = "FULL"
    #: Pages (4 KiB each) of the write-ahead log from which a commit copies it into the database (a checkpoint).
    checkpoint_pages = 1000
    dialect: Literal["sqlite", "postgresql"] = "sqlite"

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self.path = path
        self.migrated_from: str | None = None
        self._lock: int | None = None
        #: The writer's connection, kept from one transaction to the next.
        self._writing: Connection | None = None
        self._writer = ThreadPoolExecutor(1, "journal-writer")
        # A database in memory is read by the thread that writes it.
        self._readers = self._writer if path is None else ThreadPoolExecutor(_READERS, "journal-reader")
        self.engine = self._make_engine(writes=not read_only)
        self._reading = self.engine if path is None or read_only else self._make_engine(writes=False)
        try:
            if path is not None:
                self._open_file(path, read_only=read_only)
            with self.engine.begin() as connection:
                if not read_only:
                    self.migrated_from = migrate(connection, str(path or "journal in memory"))
                elif (version := check_version(connection, str(path))) == HEAD:
                    self.migrated_from = version
                else:
                    raise ConfigurationError(
                        f"journal {path}: of an older version of this program (tables {version})",
                        hint="connector journal migrate, or connector serve, brings it to this one",
                    )
            if self._lock is not None:
                # From now on a missing file was lost, and is no fresh start.
                os.ftruncate(self._lock, 0)
                os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        except DBAPIError as error:
            self._close()
            raise ConfigurationError(
                f"journal {path}: {error.orig}", hint="connector journal check looks closer; restore a backup"
            ) from None
        except BaseException:
            self._close()
            raise

    async def transact(self, run: Callable[[Connection], R]) -> R:
        """See Database."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._transact, run)

    async def read(self, run: Callable[[Connection], R]) -> R:
        """See Database."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, run)

    async def close(self) -> None:
        """See Database."""
        await asyncio.to_thread(self._close)

    def _transact(self, run: Callable[[Connection], R]) -> R:
        if self._writing is None:
            self._writing = self.engine.connect()
        try:
            with self._writing.begin():
                result = run(self._writing)
        except DBAPIError:
            # After a failed write or flush nobody knows what the connection still believes, so it is opened anew.
            writing, self._writing = self._writing, None
            if self.path is not None:
                writing.invalidate()
            writing.close()
            raise
        return result

    def _read(self, run: Callable[[Connection], R]) -> R:
        with self._reading.begin() as connection:
            return run(connection)

    def _close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        if self._writing is not None:
            self._writing.close()
        self._reading.dispose()
        self.engine.dispose()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _connect(self, name: str) -> Any:
        """A connection of the driver. Its own transactions are off: `BEGIN` of the engine is the only one."""
        return sqlite3.connect(name, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)

    def _open(self, *, writes: bool = True) -> Any:
        """A connection of the driver, with its settings."""
        name = ":memory:" if self.path is None else f"{self.path.absolute().as_uri()}?mode={'rw' if writes else 'ro'}"
        made = self._connect(name)
        try:
            if writes:
                made.execute("PRAGMA journal_mode=WAL")
                made.execute(f"PRAGMA synchronous={self.synchronous}")
                made.execute(f"PRAGMA wal_autocheckpoint={self.checkpoint_pages}")
            made.execute(f"PRAGMA cache_size=-{_CACHE}")
        except BaseException:
            made.close()
            raise
        return made

    def _make_engine(self, *, writes: bool) -> Engine:
        connect = functools.partial(self._open, writes=writes)
        if self.path is None:
            engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool, hide_parameters=True)
        else:
            engine = create_engine(
                "sqlite://", creator=connect, poolclass=QueuePool, pool_size=_READERS, hide_parameters=True
            )
        # A transaction that begins by reading cannot always go on to write, whatever the time-out (hazard F4).
        begin = Prepared(text("BEGIN IMMEDIATE" if writes else "BEGIN"))
        event.listen(engine, "begin", begin.rows)
        return engine

    def _open_file(self, path: Path, *, read_only: bool) -> None:
        there = path.is_file() and path.stat().st_size > 0
        if read_only:
            if not there:
                raise ConfigurationError(f"journal {path}: no such file", hint="connector serve makes it")
            return
        make_home(path.parent)
        beside = path.with_name(path.name + ".lock")
        try:
            self._lock = os.open(beside, os.O_RDWR | os.O_CREAT, 0o600)
            was_there = os.pread(self._lock, 32, 0).strip()
            if not try_lock(self._lock):
                who = f" (process {was_there.decode()})" if was_there else ""
                raise ConfigurationError(
                    f"journal {path}: another process{who} has it open",
                    hint="stop that one, or ask it over its API; several processes can share a PostgreSQL",
                )
            if not there and was_there:
                raise ConfigurationError(
                    f"journal {path}: the file is {'empty' if path.is_file() else 'gone'}, and it was there before",
                    hint=f"restore a backup; to begin without what was in it, remove {beside}",
                )
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise ConfigurationError(f"journal {path}: {(error.strerror or 'it cannot be opened').lower()}") from None


class PostgreSQL:
    """A PostgreSQL, over asyncpg; functions of a connection run between the driver's awaits."""

    dialect: Literal["sqlite", "postgresql"] = "postgresql"
    path: Path | None = None

    def __init__(self, url: str) -> None:
        try:
            importlib.import_module("asyncpg")
        except ImportError:
            hint = "pip install 'connector-runtime[postgres]'"
            raise ConfigurationError("journal: the driver of PostgreSQL is not installed", hint=hint) from None
        from sqlalchemy.ext.asyncio import create_async_engine

        self.engine = create_async_engine(url, pool_size=_READERS + 1, hide_parameters=True)
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)
        # A look needs neither a BEGIN nor a ROLLBACK, which would take as long as the look.
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.migrated_from: str | None = None
        #: As asyncpg wants it, with the password.
        self.dsn = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    @classmethod
    async def open(cls, url: str) -> PostgreSQL:
        """Connects, and makes or updates the tables; raises ConfigurationError, which never shows the password."""
        made = cls(url)
        shown = made.engine.url.render_as_string(hide_password=True).replace("+asyncpg", "")
        try:
            made.migrated_from = await made.transact(lambda connection: migrate(connection, shown))
        except (OSError, DBAPIError) as error:
            await made.close()
            words = str(getattr(error, "orig", None) or error).partition("\n")[0]
            raise ConfigurationError(
                f"journal {shown}: {words}", hint="is the database running, and the URL right?"
            ) from None
        except BaseException:
            await made.close()
            raise
        return made

    async def transact(self, run: Callable[[Connection], R]) -> R:
        """See Database."""
        async with self.engine.begin() as connection:
            return await connection.run_sync(run)

    async def read(self, run: Callable[[Connection], R]) -> R:
        """See Database."""
        async with self._reading.connect() as connection:
            return await connection.run_sync(run)

    async def close(self) -> None:
        """See Database."""
        await self.engine.dispose()


def _refuse_closed(connection: Any, *_: Any) -> None:
    """Has the pool replace a connection that the server closed; the driver knows, so the server need not be asked."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def check_version(connection: Connection, where: str) -> str | None:
    """The version of the tables, None if there are none; raises ConfigurationError for a newer one's (hazard F5)."""
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        if tables & {"events", "counters"}:
            raise ConfigurationError(f"journal {where}: these tables are not a journal's", hint="use another database")
        return None
    version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if version not in VERSIONS:
        raise ConfigurationError(
            f"journal {where}: written by a newer version of this program (tables {version}, known up to {HEAD})",
            hint="install that version again, or restore a backup of before the upgrade",
        )
    return str(version)


def migrate(connection: Connection, where: str, *, to: str = HEAD) -> str | None:
    """Makes the tables or brings them to this version, in the transaction of the connection; gives what they were."""
    if connection.dialect.name == "postgresql":
        # Several processes may start at once. The number is this program's own.
        connection.execute(text("SELECT pg_advisory_xact_lock(7264113)"))
    version = check_version(connection, where)
    if version != to:
        # Only a fresh or an older journal pays for importing it.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "runtime.journal.storage:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, to)
    return version
