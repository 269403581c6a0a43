"""How messages of providers are verified: the secrets of each connection, or the token in its URL."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connector.errors import ConfigurationError
from connector.events.signatures import split_secrets
from runtime.config.connections import DEDUPES
from runtime.config.files import create_file, make_home
from runtime.config.vault import Vault

#: The values of a connection: how its messages are verified, and how messages without an id are distinguished.
SECRET, UNSIGNED, DEDUPE = "webhookSecret", "unsigned", "dedupe"
#: Seconds for which the values of a connection are not read again.
_FRESH = 5.0
_MOST_KNOWN = 1000
#: The file from which the tokens of unsigned webhooks are made, in the home of the runtime.
TOKEN_FILE = "webhook-tokens"
_ROOT = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How messages for one connection are verified: by one of its secrets, or only by the token of the URL."""

    connection: str
    secrets: tuple[str, ...] = field(repr=False)
    unsigned: bool = False
    token: str = field(default="", repr=False)
    #: True if messages without an id and with the same body are one event; by default each is one (hazard T74).
    by_body: bool = False
    until: float = 0.0

    @property
    def is_possible(self) -> bool:
        """True if a message can be verified at all."""
        return self.unsigned or bool(self.secrets)

    @property
    def kind(self) -> str:
        """In a word or two, for people."""
        return "unsigned" if self.unsigned else "signed" if self.secrets else "no secret"


class Verifications:
    """How the messages of each connection are verified, from the values of the vault."""

    def __init__(self, vault: Vault, home: Path, clock: Callable[[], float]) -> None:
        self._vault = vault
        self._home = home
        self._clock = clock
        self._known: dict[str, Verification] = {}

    async def load(self, connection: str) -> Verification:
        """As `find`, with what the store of a host has now."""
        found, now = self._known.get(connection), self._clock()
        if found is None or not now <= found.until <= now + _FRESH:
            await self._vault.load(connection)
        return self.find(connection)

    def find(self, connection: str) -> Verification:
        """How messages for a connection are verified; without secrets, and not unsigned, none can be."""
        now = self._clock()
        found = self._known.get(connection)
        if found is None or not now <= found.until <= now + _FRESH:
            values = self._vault.values(connection, (SECRET, UNSIGNED, DEDUPE))
            text = str(values.get(SECRET) or "")
            unsigned = str(values.get(UNSIGNED, "")).lower() in ("true", "1", "yes")
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[connection] = Verification(
                connection=connection,
                secrets=tuple(each for each in split_secrets(text) if each) if text.strip() else (),
                unsigned=unsigned,
                token=self._token(connection, text) if unsigned else "",
                by_body=_is_by_body(connection, values.get(DEDUPE, "none")),
                until=now + _FRESH,
            )
        return found

    def _token(self, connection: str, secret: str) -> str:
        """The token of an unsigned webhook's URL, the same after a restart and in every process.

        It is derived from the connection's secret, or from a random file in the home of the runtime.
        """
        root = secret.encode() or _read_root(self._home)
        return hashlib.blake2b(connection.encode(), key=hashlib.sha256(root).digest(), digest_size=16).hexdigest()


def _is_by_body(connection: str, dedupe: Any) -> bool:
    if dedupe not in DEDUPES:
        raise ConfigurationError(
            f"{connection}: 'dedupe' cannot be {str(dedupe)[:70]!r}",
            hint="'body' makes one event of messages without an id that have the same body, 'none' one of each",
        )
    return bool(dedupe == "body")


def _read_root(home: Path) -> bytes:
    """The secret from which the tokens of URLs are made; raises ConfigurationError for a damaged file.

    With an empty or shortened file every such URL could be guessed.
    """
    path = home / TOKEN_FILE
    make_home(home)
    try:
        if not path.exists():
            create_file(path, secrets.token_hex(32).encode())
        root = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or 'it cannot be used').lower()}") from None
    if not _ROOT.fullmatch(root):
        hint = f"restore it, or remove it and enter the new URLs at the providers: rm {path}"
        raise ConfigurationError(f"{path} is damaged: expected 64 hexadecimal digits", hint=hint)
    return root
