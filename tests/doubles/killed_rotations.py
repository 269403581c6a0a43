"""A program: rotates an encrypted store again and again, each time killed one step later, and says what was left.

`python killed_rotations.py FOLDER environment|keyring` prints one JSON line per kill: which keys the file was encrypted
with after it, whether every value could be read, and the same after the rotation was started again. A step is any call
that opens, locks, renames or removes something; the process kills itself with SIGKILL as it is about to make it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from runtime.config.keys import KEY_VARIABLE, OLD_KEY_VARIABLE, Keys
from runtime.config.store import Store

STEPS = {"open", "os.remove", "os.rename", "fcntl.flock", "os.mkdir"}
CONNECTIONS = ("mistral-ai", "mistral-ai:team-b", "petshop")
OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


class FolderKeyring:
    """A keyring that survives a kill: a file for each key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_password(self, service: str, username: str) -> str | None:
        path = self._folder / f"{service} {username}"
        return path.read_text() if path.exists() else None

    def set_password(self, service: str, username: str, password: str) -> None:
        beside = self._folder / "new"
        beside.write_text(password)
        beside.rename(self._folder / f"{service} {username}")

    def delete_password(self, service: str, username: str) -> None:
        (self._folder / f"{service} {username}").unlink()


def open_store(folder: Path, kind: str, *, rotating: bool = True) -> Store:
    if kind == "keyring":
        return Store(folder / "secrets.json", Keys({}, FolderKeyring(folder / "ring")))
    environment = {KEY_VARIABLE: NEW, OLD_KEY_VARIABLE: OLD} if rotating else {KEY_VARIABLE: OLD}
    return Store(folder / "secrets.json", Keys(environment))


def look(folder: Path, kind: str) -> dict[str, object]:
    store = open_store(folder, kind)
    entries = store.entries()
    read = [store.read(entry) for entry in entries]
    kept = len(list((folder / "ring").glob("connector-runtime*")))
    return {"keys": sorted({entry.key for entry in entries}), "values": read, "kept": kept}


def rotate_until(step: int, folder: Path, kind: str) -> bool:
    """Whether the rotation ended before that step."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, _: object) -> None:
            nonlocal left
            if event in STEPS:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        open_store(folder, kind).rotate()
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def main(place: Path, kind: str) -> None:
    whole = place / "whole"
    (whole / "ring").mkdir(parents=True)
    for connection in CONNECTIONS:
        store = open_store(whole, kind, rotating=False)
        store.write(
            connection, {"apiToken": f"c4nary of {connection}"}, origin="https://a.b", kinds={"apiToken": "secret"}
        )
    before = look(whole, kind)
    ended, step = False, 0
    while not ended:
        step += 1
        folder = place / str(step)
        shutil.copytree(whole, folder)
        ended = rotate_until(step, folder, kind)
        killed = look(folder, kind)
        if not ended:
            rotate_until(3, folder, kind)  # killed again, early in going on
            open_store(folder, kind).rotate()
            row = {"before": before, "killed": killed, "after": look(folder, kind)}
            sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
