"""The write-ahead log of a SQLite file, which is put into the database beside further commits (a checkpoint).

SQLite would do that within the commit that makes the log long, and whoever waits for that commit would wait ten times
as long. When a transaction is made, and where, is `databases`'s.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

#: Rows that were written since the last checkpoint began and make it time for the next: about two thousand pages, which
#: a disk takes within a few milliseconds.
ROWS = 800
#: Pages (4 KiB each) from which the log begins anew, as soon as nothing is left in it.
LONG = 4_000
#: Pages from which the commits themselves put the log into the database: rows are large, or come faster than the disk
#: takes them.
PAGES = 16_000
#: How far the thread of checkpoints stands back: of two who want a processor it gets a quarter. Much further back, and
#: on a busy machine it would be left waiting while it has the interpreter, which everybody else then waits for.
NICENESS = 5
_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"


class WriteAhead:
    """Keeps the log short; `committed` is called after each commit, by the thread that commits."""

    def __init__(self, connect: Callable[[], Any], rows: int = ROWS) -> None:
        """`connect` opens a connection for nothing else; `rows` make it time for a checkpoint."""
        self._connect = connect
        self._rows = rows
        self._thread = ThreadPoolExecutor(1, "journal-checkpoint", initializer=_stand_back)
        self._connection: Any = None
        self._running: Future[int] | None = None
        #: The rows that the writer's connection had written when the last checkpoint began.
        self._written = 0

    def committed(self, writer: Any) -> None:
        """Begins a checkpoint if it is time for one, and looks at the one that is done.

        `writer` is the connection that committed. It puts what it added to a long log meanwhile, which is little, into
        the database itself; a log in which nothing is left begins anew.
        """
        if self._running is None:
            # A connection that was opened anew has written fewer.
            if not self._written <= writer.total_changes < self._written + self._rows:
                self._written = writer.total_changes
                self._running = self._thread.submit(self._run)
        elif self._running.done():
            done, self._running = self._running, None
            if done.exception() is None and done.result() >= LONG:
                _put(writer)

    def _run(self) -> int:
        if self._connection is None:
            self._connection = self._connect()
        return _put(self._connection)

    def close(self) -> None:
        """Waits for the checkpoint that is running; the last connection to close makes the last one."""
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()


def _stand_back() -> None:
    """Lets the others go first from here on, who answer messages; it writes for milliseconds and nobody waits for it.

    Only on Linux has a thread a priority of its own (setpriority(2), "C library/kernel differences").
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        # A sandbox may forbid it, which is no reason to let the log grow.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)


def _put(connection: Any) -> int:
    """Puts the log into the database, without waiting for anybody; gives its pages."""
    try:
        ((_, pages, _),) = connection.execute(_CHECKPOINT)
    except sqlite3.Error:
        # What could not be put there stays in the log, where it is as safe, and the next checkpoint tries again.
        return 0
    return int(pages)
