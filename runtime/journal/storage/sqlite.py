"""A journal in a SQLite file, or in memory: opened, locked and closed.

Functions of a connection run in threads, each in one transaction: one thread writes, some others read. A file that is
damaged, missing, not writable, of a newer version or in use by another process is refused with the reason, and never
recreated silently (hazards F5, F6).
"""

from __future__ import annotations

import asyncio
import functools
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from connector.errors import ConfigurationError
from runtime.config.files import make_home, try_lock, unlock
from runtime.journal.storage.migrate import check_version, migrate
from runtime.journal.storage.migrations import HEAD
from runtime.journal.storage.statements import Prepared

R = TypeVar("R")

#: Seconds to wait for a lock that another process has on the database (hazard F4).
BUSY_TIMEOUT = 5.0
#: KiB of pages that each connection keeps.
_CACHE = 16 * 1024
_READERS = 4


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
                # From now on a missing file means a lost file, not a fresh start.
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
            # After a failed write or flush the state of the connection is unknown, so it is opened anew.
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
            unlock(self._lock)
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
                    hint="stop that one, or use its API; several processes can share a PostgreSQL",
                )
            if not there and was_there:
                raise ConfigurationError(
                    f"journal {path}: the file is {'empty' if path.is_file() else 'gone'}, and it was there before",
                    hint=f"restore a backup; to begin without what was in it, remove {beside}",
                )
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise ConfigurationError(f"journal {path}: {(error.strerror or 'it cannot be opened').lower()}") from None
