"""The file in a home that announces its running server, and the proof of being that server.

After a kill the file stays, and its port may be used by another server. So the file also holds a key that is new at
each start and never sent: a command sends a random challenge, and the server answers with its keyed hash.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connector.digests import hmac_text, same_text
from connector.errors import ConfigurationError
from runtime.config.files import make_home

#: The file, in the home of the runtime.
SERVER_FILE = "server.json"
#: Characters that a challenge may have.
CHALLENGE_LENGTH = 128


@dataclass(frozen=True, slots=True)
class StartKey:
    """The key of one start of a server, known only to those who may read its file."""

    text: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    def prove(self, challenge: str) -> str:
        """The proof of knowing the key: HMAC-SHA256 of the challenge, in hexadecimal."""
        return hmac_text("sha256", "hex", self.text, b"connector server " + challenge.encode())

    def is_proved_by(self, challenge: str, proof: Any) -> bool:
        """True if the proof, whatever it is, answers the challenge."""
        return isinstance(proof, str) and same_text(proof, self.prove(challenge))


@dataclass(frozen=True, slots=True)
class Announcement:
    """The content of the file."""

    url: str
    key: StartKey


@contextlib.contextmanager
def announced(home: Path, url: str, key: StartKey) -> Iterator[None]:
    """Keeps the file, readable by its owner only, while a server runs; raises ConfigurationError."""
    make_home(home)
    path = home / SERVER_FILE
    beside = home / f"{SERVER_FILE}.{os.getpid()}"
    try:
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"url": url, "pid": os.getpid(), "key": key.text}, file)
        beside.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or 'it cannot be written').lower()}") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find_announcement(home: Path) -> Announcement | None:
    """The content of the file, perhaps of a server that was killed; None without a readable file."""
    try:
        table = json.loads((home / SERVER_FILE).read_text("utf-8"))
        url, key = table["url"], table["key"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Announcement(url, StartKey(key)) if isinstance(url, str) and isinstance(key, str) and key else None
