"""Cuts the power of a journal at any moment, in a simulation, and counts what was acknowledged and is gone.

    python tests/soak/power.py                          500 cuts with synchronous=FULL, and 50 with NORMAL
    python tests/soak/power.py --cuts 40 --control 10   as the tests run it

The journal runs on a file system of its own (an apsw VFS under the journal's own database class), which remembers which
writes were not flushed. A cut keeps of each file what was flushed, and a random part of the rest, the last page torn.
With FULL nothing acknowledged may be missing; the control with NORMAL must lose, or the simulation proves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
from rich.console import Console
from rich.progress import track

from connector.messages import Event
from runtime.journal.dispatcher import Embedded
from runtime.journal.entries import Checkpoint, NewEvent, Subscription
from runtime.journal.journal import Journal
from runtime.journal.space import disk_usage
from runtime.journal.storage.sqlite import SQLite

#: Appends of one run, and how many at the same time.
APPENDS, SENDERS = 40, 4
#: Rows after which the log is put into the database beside other commits, and pages after which a commit does it, so
#: that a run does both several times.
CHECKPOINT_PAGES = 40
SECTOR = 512

_names = itertools.count()


@dataclass
class Content:
    """A file: what is surely on the disk, and what was written since."""

    flushed: bytearray
    #: (offset, bytes), or (size, None) for a truncation.
    since: list[tuple[int, bytes | None]] = field(default_factory=list)

    def flush(self) -> None:
        for change in self.since:
            apply(self.flushed, change)
        self.since.clear()

    def cut(self, chance: random.Random) -> bytes:
        """What a power cut leaves."""
        left = bytearray(self.flushed)
        kept = [change for change in self.since if chance.random() < 0.5]
        for offset, data in kept:
            torn = data
            if data is not None and (offset, data) == kept[-1]:
                torn = data[: chance.randrange(0, len(data) + 1, SECTOR)]
            apply(left, (offset, torn))
        return bytes(left)


def apply(content: bytearray, change: tuple[int, bytes | None]) -> None:
    offset, data = change
    if data is None:
        del content[offset:]
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


class Disk(apsw.VFS):  # type: ignore[misc]  # apsw is a C extension
    """Counts what is done to its files; at the chosen step it takes down what a cut would leave."""

    def __init__(self, cut_at: int, chance: random.Random) -> None:
        self.name = f"disk-{next(_names)}"
        self.files: dict[str, Content] = {}
        self.acknowledged: set[int] = set()
        self.left: dict[str, bytes] | None = None
        self.known: set[int] = set()
        self.steps = 0
        self._cut_at = cut_at
        self._chance = chance
        self.lock = threading.RLock()
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> File:
        return File(self, name, flags)

    def step(self) -> None:
        self.steps += 1
        if self.steps == self._cut_at:
            self.left = {name: content.cut(self._chance) for name, content in self.files.items()}
            self.known = set(self.acknowledged)


class File(apsw.VFSFile):  # type: ignore[misc]  # apsw is a C extension
    """A file whose writes are remembered until they are flushed."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        with disk.lock:
            self._content = disk.files.setdefault(path.name, Content(bytearray(path.read_bytes())))

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        with self._disk.lock:
            self._content.since.append((offset, bytes(data)))
            self._disk.step()

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        with self._disk.lock:
            self._content.since.append((size, None))
            self._disk.step()

    def xSync(self, flags: int) -> None:
        with self._disk.lock:
            # A cut may come before the flush is done, or after.
            self._disk.step()
            self._content.flush()
            self._disk.step()


class Cursor:
    """As much of a DB-API cursor over apsw as SQLAlchemy asks for."""

    arraysize = 1
    lastrowid = 0

    def __init__(self, connection: apsw.Connection) -> None:
        self._cursor = connection.cursor()
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1

    def execute(self, statement: str, parameters: Any = ()) -> Cursor:
        before = self._connection.total_changes()
        self.description = None
        self._cursor.exec_trace = self._describe
        self._cursor.execute(statement, parameters)
        self._rows = list(self._cursor)
        self.rowcount = self._connection.total_changes() - before
        return self

    def _describe(self, cursor: apsw.Cursor, *_: Any) -> bool:
        # Afterwards there is no description of a query that found nothing.
        columns = cursor.get_description()
        self.description = [(name, None, None, None, None, None, None) for name, _ in columns] or None
        return True

    def executemany(self, statement: str, parameters: Any) -> Cursor:
        self._cursor.exec_trace = None
        self._cursor.executemany(statement, parameters)
        return self

    def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> list[Any]:
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    def close(self) -> None:
        self._cursor.close()


class Connected:
    """As much of a DB-API connection over apsw as SQLAlchemy asks for."""

    def __init__(self, name: str, disk: Disk) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
        self._connection = apsw.Connection(name, flags=flags, vfs=disk.name)

    def cursor(self) -> Cursor:
        return Cursor(self._connection)

    @property
    def total_changes(self) -> int:
        return int(self._connection.total_changes())

    def execute(self, statement: str) -> list[Any]:
        return list(self._connection.execute(statement))

    def create_function(self, *_: Any, **__: Any) -> None:
        """SQLAlchemy's REGEXP, which nothing here uses."""

    def commit(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


class Simulated(SQLite):
    """The journal's own database, on a disk whose power can be cut."""

    checkpoint_pages = CHECKPOINT_PAGES

    def __init__(self, path: Path, disk: Disk, synchronous: str) -> None:
        self._disk = disk
        self.synchronous = synchronous
        super().__init__(path)

    def _connect(self, name: str) -> Any:
        return Connected(name, self._disk)


def new(number: int) -> NewEvent:
    event = Event(
        id="",
        source="/mistral-ai/default",
        type="a/b",
        subject=str(number),
        time="2026-11-22T12:00:00Z",
        data={"number": number},
    )
    return NewEvent("mistral-ai", event, str(number), raw=b"x" * 500)


async def run(path: Path, disk: Disk, synchronous: str) -> None:
    """Appends until all is acknowledged; the cut is taken down somewhere on the way."""
    database = Simulated(path, disk, synchronous)
    async with Journal(database, Embedded(database, time.time), time.time, time.time, disk_usage) as journal:
        numbers = iter(range(APPENDS))

        async def send() -> None:
            for number in numbers:
                await journal.append([new(number)], checkpoint=Checkpoint("poll", number, 0.0))
                with disk.lock:
                    disk.acknowledged.add(number)

        await asyncio.gather(*(send() for _ in range(SENDERS)))


def count_lost(folder: Path, disk: Disk) -> tuple[int, int]:
    """How many events were acknowledged before the cut, and how many of them are gone after it."""
    assert disk.left is not None
    after = folder / "after"
    after.mkdir()
    for name, content in disk.left.items():
        (after / name).write_bytes(content)
    try:
        connection = sqlite3.connect(after / "journal.db")
        found = {int(json.loads(row[0])) for row in connection.execute("SELECT dedupe FROM events")}
        deliveries = connection.execute("SELECT count(*) FROM deliveries").fetchone()[0]
        damaged = connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok" or deliveries != len(found)
        connection.close()
    except sqlite3.DatabaseError:
        found, damaged = set(), True
    lost = len(disk.known - found)
    return len(disk.known), lost or int(damaged)


def make_template(folder: Path) -> Path:
    """A journal with a subscription, as every run begins with."""
    path = folder / "template.db"

    async def make() -> None:
        async with await Journal.open(f"sqlite:///{path}") as journal:
            await journal.add_subscription(Subscription("sub_1", "https://example.com/"))

    asyncio.run(make())
    return path


def cuts(template: Path, count: int, synchronous: str, seed: int) -> Iterator[tuple[int, int]]:
    """So many runs, each with its cut: (acknowledged, lost)."""
    chance = random.Random(f"{synchronous} {seed}")
    steps = 200
    done = 0
    while done < count:
        with tempfile.TemporaryDirectory(prefix="connector-power-") as name:
            folder = Path(name)
            path = folder / "journal.db"
            shutil.copy(template, path)
            disk = Disk(chance.randint(1, steps), chance)
            asyncio.run(run(path, disk, synchronous))
            # What a run takes is learnt from the runs before it.
            steps = disk.steps
            if disk.left is not None:
                done += 1
                yield count_lost(folder, disk)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--cuts", type=int, default=500)
    options.add_argument("--control", type=int, default=50, help="cuts with synchronous=NORMAL, which must lose")
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    console, verdict, began = Console(stderr=True), {}, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="connector-power-") as name:
        template = make_template(Path(name))
        for synchronous, count in (("FULL", chosen.cuts), ("NORMAL", chosen.control)):
            made = cuts(template, count, synchronous, chosen.seed)
            shown = track(made, synchronous, total=count, console=console, disable=not sys.stderr.isatty())
            results = list(shown)
            verdict[synchronous] = {
                "cuts": len(results),
                "acknowledged": sum(acknowledged for acknowledged, _ in results),
                "lost": sum(lost for _, lost in results),
            }
    print(json.dumps(verdict | {"seconds": round(time.monotonic() - began)}))  # noqa: T201 - its output
    sys.exit(verdict["FULL"]["lost"] > 0 or verdict["NORMAL"]["lost"] == 0)


if __name__ == "__main__":
    main()
