"""The keys of the encrypted store: from the environment, or from the keyring of the operating system.

A key is 32 bytes (AES-256) and is known by an id made from it, which says nothing about it; every ciphertext names the
key it was made with. `CONNECTOR_KEY` is the one to encrypt with, `CONNECTOR_OLD_KEY` those that came before it, with
commas between them. Without the former the keyring is asked, if the `keyring` library is installed. Nothing here
encrypts anything, and no key is ever part of a message or a repr.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self, cast

from connector.errors import ConfigurationError

KEY_VARIABLE = "CONNECTOR_KEY"
OLD_KEY_VARIABLE = "CONNECTOR_OLD_KEY"
KEY_BYTES = 32
#: The name under which the keyring holds keys; the user name of each is the id of the key.
SERVICE = "connector-runtime"
HOW_TO = f"export {KEY_VARIABLE}=$(openssl rand -base64 {KEY_BYTES}) and keep it, or: pip install keyring"


@dataclass(frozen=True, slots=True)
class Key:
    """32 bytes, and the id by which ciphertexts name them."""

    id: str
    material: bytes = field(repr=False)

    @classmethod
    def from_bytes(cls, material: bytes) -> Self:
        """The key of these bytes; its id is a keyed hash of a fixed word, so that the same key has the same id."""
        return cls(hmac.new(material, b"connector key id", hashlib.sha256).hexdigest()[:16], material)

    @classmethod
    def from_text(cls, text: str, where: str) -> Self:
        """The key in base64, standard or URL-safe; raises ConfigurationError, which names `where`, not the text."""
        try:
            material = base64.b64decode(text.strip().translate(str.maketrans("-_", "+/")), validate=True)
        except ValueError:
            material = b""
        if len(material) != KEY_BYTES:
            raise ConfigurationError(f"{where} is not base64 of {KEY_BYTES} bytes", hint=HOW_TO)
        return cls.from_bytes(material)

    @classmethod
    def generate(cls) -> Self:
        """A new key."""
        return cls.from_bytes(os.urandom(KEY_BYTES))

    def to_text(self) -> str:
        """The key in base64, for a keyring."""
        return base64.b64encode(self.material).decode()


class Keyring(Protocol):
    """What is used of the `keyring` library, and of its backends."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """The text kept under these names, or None."""

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Keeps a text under these names."""

    def delete_password(self, service: str, username: str, /) -> None:
        """Forgets it."""


class Keys:
    """Every key that this process may use."""

    def __init__(self, environment: Mapping[str, str], keyring: Keyring | None = None) -> None:
        """`environment` holds the variables; `keyring` replaces that of the operating system.

        Raises ConfigurationError for a variable that holds no key.
        """
        given = environment.get(KEY_VARIABLE, "").strip()
        #: The key to encrypt with that the environment names, if it does.
        self.named = Key.from_text(given, KEY_VARIABLE) if given else None
        old = [text for text in environment.get(OLD_KEY_VARIABLE, "").split(",") if text.strip()]
        known = [Key.from_text(text, OLD_KEY_VARIABLE) for text in old] + ([self.named] if self.named else [])
        self._known = {key.id: key for key in known}
        self._kept: set[str] = set()
        self._keyring = keyring

    def find(self, id: str) -> Key | None:
        """The key of that id, or None if this process has none."""
        if id in self._known:
            return self._known[id]
        text = None
        if (keyring := self._open()) is not None:
            try:
                text = keyring.get_password(SERVICE, id)
            except Exception as error:  # noqa: BLE001 - backends raise what they like
                raise _refused(error) from None
        if text is None:
            return None
        key = Key.from_text(text, f"the key {id} of the keyring")
        if key.id != id:
            raise ConfigurationError(f"the keyring holds another key under {id}")
        self._known[id] = key
        self._kept.add(id)
        return key

    def is_kept(self, id: str) -> bool:
        """Whether the key of that id was found in the keyring, or was put there."""
        return id in self._kept

    @property
    def keeps(self) -> bool:
        """Whether there is a keyring that could keep a new key."""
        return self._open() is not None

    def keep(self, key: Key) -> None:
        """Saves a key in the keyring; raises ConfigurationError if there is none, or it refuses."""
        keyring = self._open()
        if keyring is None:
            raise ConfigurationError("no key to encrypt with", hint=HOW_TO)
        try:
            keyring.set_password(SERVICE, key.id, key.to_text())
        except Exception as error:  # noqa: BLE001 - backends raise what they like
            raise _refused(error) from None
        self._known[key.id] = key
        self._kept.add(key.id)

    def forget(self, id: str) -> None:
        """Removes a key from the keyring, if it is there."""
        keyring = self._open()
        try:
            if keyring is not None and keyring.get_password(SERVICE, id) is not None:
                keyring.delete_password(SERVICE, id)
        except Exception as error:  # noqa: BLE001 - backends raise what they like
            raise _refused(error) from None

    def _open(self) -> Keyring | None:
        if self._keyring is None:
            # An optional library that takes long to import, and longer where it looks for a desktop.
            try:
                library = importlib.import_module("keyring")
                if "fail" in type(library.get_keyring()).__module__.split("."):  # installed, but no keyring behind it
                    return None
            except ImportError:
                return None
            self._keyring = cast("Keyring", library)
        return self._keyring


def _refused(error: Exception) -> ConfigurationError:
    # The words of a backend may quote anything.
    return ConfigurationError(f"the keyring of the system refused: {type(error).__name__}", hint=HOW_TO)
