"""A disk whose writes and flushes fail now and then under a journal, and what was acknowledged meanwhile (hazard F2).

    PYTHONPATH=. python tests/soak/disk_errors.py              200 runs
    PYTHONPATH=. python tests/soak/disk_errors.py --runs 2     as the tests run it

Of a hundred flushes five fail, and of a hundred writes two, as a file system says it to SQLite (the VFS of `power.py`).
What was acknowledged must be there afterwards, once, whatever failed beside it; what was refused is sent again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from connector.errors import JournalUnavailable
from runtime.journal.dispatcher import Embedded
from runtime.journal.journal import Journal
from runtime.journal.space import disk_usage
from runtime.journal.storage.sqlite import SQLite
from tests.soak.power import Connected, Cursor, make_template, new

FLUSHES, WRITES = 0.05, 0.02
APPENDS, SENDERS = 120, 8


class Disk(apsw.VFS):  # type: ignore[misc]  # apsw is a C extension
    """Fails as often as is said."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name = name
        self.chance = chance
        self.failed: Counter[str] = Counter()
        #: Whether it fails at all: not while it is opened.
        self.fails = False
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> File:
        return File(self, name, flags)

    def meet(self, what: str, share: float) -> None:
        if self.fails and self.chance.random() < share:
            self.failed[what] += 1
            raise apsw.IOError("disk I/O error")


class File(apsw.VFSFile):  # type: ignore[misc]  # apsw is a C extension
    """A file of it."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.meet("writes", WRITES)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._disk.meet("flushes", FLUSHES)
        super().xSync(flags)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors of apsw as those of the driver that SQLAlchemy knows."""
    try:
        yield
    except apsw.Error as error:
        raise sqlite3.OperationalError(str(error)) from None


class FailingCursor(Cursor):
    """A cursor whose errors SQLAlchemy knows."""

    def execute(self, statement: str, parameters: Any = ()) -> Cursor:
        with told():
            return super().execute(statement, parameters)

    def executemany(self, statement: str, parameters: Any) -> Cursor:
        with told():
            return super().executemany(statement, parameters)


class FailingConnected(Connected):
    """A connection whose errors SQLAlchemy knows."""

    def cursor(self) -> Cursor:
        return FailingCursor(self._connection)

    def execute(self, statement: str) -> list[Any]:
        with told():
            return super().execute(statement)

    def commit(self) -> None:
        with told():
            super().commit()

    def rollback(self) -> None:
        with told():
            super().rollback()

    def close(self) -> None:
        # It tidies up, for which there is another time.
        with contextlib.suppress(apsw.Error):
            super().close()


class Failing(SQLite):
    """The journal's own database on such a disk."""

    #: So few that a run copies the log into the database several times.
    checkpoint_pages = 40

    def __init__(self, path: Path, disk: Disk) -> None:
        self._disk = disk
        super().__init__(path)

    def _connect(self, name: str) -> Any:
        return FailingConnected(name, self._disk)  # type: ignore[arg-type]  # all it asks for is a name


async def run(path: Path, disk: Disk) -> tuple[set[int], int]:
    """Sends until all is acknowledged: what was, and how often it was refused before."""
    database = Failing(path, disk)
    acknowledged: set[int] = set()
    refused = 0
    async with Journal(database, Embedded(database, time.time), time.time, time.time, disk_usage) as journal:
        disk.fails = True
        numbers = iter(range(APPENDS))

        async def send() -> None:
            nonlocal refused
            for number in numbers:
                while number not in acknowledged:
                    try:
                        await journal.append([new(number)])
                    except JournalUnavailable:
                        refused += 1
                    else:
                        acknowledged.add(number)

        await asyncio.gather(*(send() for _ in range(SENDERS)))
        disk.fails = False
    return acknowledged, refused


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--runs", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    chance, began = random.Random(chosen.seed), time.monotonic()
    verdict: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="connector-disk-") as name:
        template = make_template(Path(name))
        for number in range(chosen.runs):
            path = Path(name) / f"{number}.db"
            shutil.copy(template, path)
            disk = Disk(f"failing-{number}", chance)
            acknowledged, refused = asyncio.run(run(path, disk))
            with contextlib.closing(sqlite3.connect(path)) as left:
                kept = Counter(int(json.loads(row[0])) for row in left.execute("SELECT dedupe FROM events"))
                (sound,) = left.execute("PRAGMA integrity_check").fetchone()
                (deliveries,) = left.execute("SELECT count(*) FROM deliveries").fetchone()
            verdict.update(
                acknowledged=len(acknowledged),
                refused=refused,
                lost=len(acknowledged - kept.keys()),
                twice=sum(count - 1 for count in kept.values()),
                deliveries_absent=len(kept) - deliveries,
                damaged=int(sound != "ok"),
                **{f"failed_{what}": count for what, count in disk.failed.items()},
            )
            for file in Path(name).glob(f"{number}.db*"):
                file.unlink()
    zero = ("lost", "twice", "deliveries_absent", "damaged")
    said = {"runs": chosen.runs, **dict.fromkeys(zero, 0), **verdict}
    print(json.dumps(said | {"seconds": round(time.monotonic() - began)}))  # noqa: T201 - its output
    sys.exit(any(verdict[each] for each in zero) or not verdict["refused"])


if __name__ == "__main__":
    main()
