"""Files of state: their folder, the lock that one process holds, and making a change of names durable.

What is in the files is `store`'s and `databases`'s.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from connector.errors import ConfigurationError


def make_home(folder: Path) -> None:
    """Makes the folder of state, for its owner only and kept out of version control; raises ConfigurationError."""
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True)
            (folder / ".gitignore").write_text("*\n", "utf-8")
    except FileExistsError:  # pragma: no cover - another process was quicker
        pass
    except OSError as error:
        raise ConfigurationError(f"{folder}: {(error.strerror or 'it cannot be made').lower()}") from None


def create_file(path: Path, data: bytes) -> None:
    """Creates a file for its owner only, whole or not at all: no other process ever reads a part of it.

    A file that is there already is left as it is. Raises OSError.
    """
    beside, name = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(beside)
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
        sync_folder(path.parent)
    finally:
        Path(name).unlink()


if sys.platform == "win32":  # pragma: no cover - checks run on POSIX
    import msvcrt

    def try_lock(file: int) -> bool:
        """Locks an open file unless another holds it; a kill lets go of it."""
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(file: int) -> None:
        """Lets go of the lock, and closes the file."""
        os.close(file)

    def sync_folder(folder: Path) -> None:
        """A folder has no file descriptor here."""

else:
    import fcntl

    def try_lock(file: int) -> bool:
        """Locks an open file unless another holds it; a kill lets go of it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(file: int) -> None:
        """Lets go of the lock, and closes the file.

        To close it would not do: the child of a fork has the file open too, and would hold the lock (flock(2)).
        """
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)

    def sync_folder(folder: Path) -> None:
        """Makes a rename in the folder durable."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
