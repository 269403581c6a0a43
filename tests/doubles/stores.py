"""Encrypted stores with keys of their own."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from runtime.config.keys import KEY_VARIABLE, OLD_KEY_VARIABLE, Keys
from runtime.config.store import Entry, Store

CANARY = "c4nary-in-a-c0al-mine"
ORIGIN = "https://api.mistral.ai"
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(3)]


class MemoryKeyring:
    """A keyring that forgets everything with the process; `locked` it refuses, in words that hold what it was told."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        self._refuse(service)
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._refuse(password)
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._refuse(service)
        del self.kept[service, username]

    def _refuse(self, words: str) -> None:
        if self.locked:
            raise RuntimeError(f"{words} {CANARY}")


def make(folder: Path, key: str = KEYS[0], old: str = "") -> Store:
    variables = {name: text for name, text in ((KEY_VARIABLE, key), (OLD_KEY_VARIABLE, old)) if text}
    return Store(folder / "home" / "secrets.json", Keys(variables, MemoryKeyring()), clock=lambda: 1_800_000_000.0)


def put(store: Store, name: str = "apiToken", value: Any = CANARY, connection: str = "mistral-ai") -> Entry:
    store.write(connection, {name: value}, origin=ORIGIN, kinds={name: "secret"})
    entry = store.find(connection, name)
    assert entry is not None
    return entry
