"""Room on the disk of a SQLite journal: events are refused before it is full, and a reserve is released when it is.

On a full disk a database cannot even delete rows or truncate its log (hazard F3). So a part of the disk is left free,
and a ballast file reserves some bytes, which are released when nothing else is left.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from connector.errors import JournalUnavailable

#: Bytes of the ballast.
BALLAST = 16 * 1024 * 1024
#: The part of a disk that is left free, and the most bytes, for a large disk.
PART = 0.05
ENOUGH = 1024 * 1024 * 1024

#: Returns (bytes in all, bytes free) of the disk that a folder is on.
Usage = Callable[[Path], tuple[int, int]]


def disk_usage(folder: Path) -> tuple[int, int]:
    """Returns the size and the free bytes as the system reports them."""
    total, _, free = shutil.disk_usage(folder)
    return total, free


class Space:
    """The disk under one journal file."""

    def __init__(self, path: Path, usage: Usage = disk_usage) -> None:
        self._folder = path.parent
        self._ballast = path.with_name(path.name + ".ballast")
        self._usage = usage
        #: Seconds for which free space is not measured again.
        self.pause = 0.1
        self._enough_until = 0.0

    def problem(self) -> str:
        """Returns why events are refused; empty if there is room."""
        total, free = self._usage(self._folder)
        # A released ballast is restored first.
        least = min(int(total * PART), ENOUGH) + (0 if self._ballast.exists() else BALLAST)
        if free >= least:
            return ""
        return f"the disk is full: {free >> 20} MiB are free, and {least >> 20} MiB are left free"

    def demand(self) -> None:
        """Raises JournalUnavailable if there is no room for more events; otherwise creates a missing ballast.

        After it found room, it does not measure again for `pause` seconds.
        """
        now = time.monotonic()
        if now < self._enough_until:
            return
        if problem := self.problem():
            hint = "make room on the disk, or keep fewer events (keep_days, keep_events); it goes on by itself then"
            raise JournalUnavailable(f"the journal takes no more: {problem}", hint=hint, retry_after=30.0)
        if not self._ballast.exists():
            self._make_ballast()
        self._enough_until = now + self.pause

    def release(self) -> bool:
        """Releases the ballast; returns False if it was released before."""
        try:
            self._ballast.unlink()
        except OSError:
            return False
        return True

    def _make_ballast(self) -> None:
        try:
            with self._ballast.open("xb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, BALLAST)
                else:  # pragma: no cover - checks run on Linux
                    file.write(bytes(BALLAST))
        except OSError:
            # There may be room later.
            self._ballast.unlink(missing_ok=True)
