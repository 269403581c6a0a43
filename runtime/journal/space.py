"""Room on the disk of a SQLite journal: events are refused before it is full, and a reserve helps out when it is.

A full disk makes a database fail at everything, at deleting and at tidying its log as well (hazard F3). So a part of
the disk is left free, and a ballast file holds some bytes that are given back when nothing else is left.
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
#: The part of a disk that is left free, and the bytes that are enough on a large one.
PART = 0.05
ENOUGH = 1024 * 1024 * 1024

#: Returns (bytes in all, bytes free) of the disk of a folder.
Usage = Callable[[Path], tuple[int, int]]


def disk_usage(folder: Path) -> tuple[int, int]:
    """As the system has it."""
    total, _, free = shutil.disk_usage(folder)
    return total, free


class Space:
    """The disk under one journal file."""

    def __init__(self, path: Path, usage: Usage = disk_usage) -> None:
        self._folder = path.parent
        self._ballast = path.with_name(path.name + ".ballast")
        self._usage = usage
        #: Seconds for which room that was found is taken to be there.
        self.pause = 0.1
        self._enough_until = 0.0

    def problem(self) -> str:
        """Why nothing more is taken in; empty if there is room."""
        total, free = self._usage(self._folder)
        # What was given back is taken back first.
        least = min(int(total * PART), ENOUGH) + (0 if self._ballast.exists() else BALLAST)
        if free >= least:
            return ""
        return f"the disk is full: {free >> 20} MiB are free, and {least >> 20} MiB are left free"

    def demand(self) -> None:
        """Raises JournalUnavailable if there is no room for more; else sees to it that there is a ballast.

        Having found room, it does not look again for a while.
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
        """Releases the ballast; returns False if that was done before."""
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
            # There will be room another time.
            self._ballast.unlink(missing_ok=True)
