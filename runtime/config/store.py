"""The encrypted store: values and grants of connections in one file, each encrypted on its own, bound to its place.

A value is encrypted with AES-256-GCM. What stands beside it in clear (connection, name, kind, origin, time, key id) is
its associated data, so a ciphertext that is moved to another place is refused and never read as another value. The file
is replaced as a whole: written beside, flushed to the disk, renamed. One writer at a time holds the lock file; a kill
at any moment leaves the old file or the new one. Who may use a value, and where, is the vault's to decide.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from connector.errors import ConfigurationError
from connector.strict_json import read_members
from runtime.config.files import make_home, sync_folder, try_lock, unlock
from runtime.config.keys import HOW_TO, KEY_VARIABLE, OLD_KEY_VARIABLE, Key, Keys

VERSION = 1
#: Seconds to wait for another writer, who needs milliseconds.
PATIENCE = 10.0
_NONCE_BYTES = 12  # NIST SP 800-38D, section 8.2

Kind = Literal["secret", "value", "grant", "endpoint"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored value: what may be shown of it, and its ciphertext."""

    connection: str
    #: The name of the value; empty for the grant, of which a connection has one.
    name: str
    #: `secret` is bound to its origin and never shown, `value` (a host part) is neither, `grant` holds OAuth tokens,
    #: `endpoint` is where a subscription leads and what its deliveries are signed with.
    kind: Kind
    #: What the connection led to when it was entered: `https://api.mistral.ai`.
    origin: str
    #: When it was entered: `2026-11-22T12:00:00Z`.
    set_at: str
    #: The id of the key that it is encrypted with.
    key: str
    nonce: str = field(repr=False)
    ciphertext: str = field(repr=False)

    @property
    def place(self) -> tuple[str, str]:
        """Where it stands: no two entries share it."""
        return self.connection, self.name

    def associated_data(self) -> bytes:
        """What the ciphertext is bound to."""
        shown = [self.connection, self.name, self.kind, self.origin, self.set_at, self.key]
        return json.dumps(["connector store", VERSION, *shown]).encode()


@dataclass(frozen=True, slots=True)
class _Document:
    """The file. `key` is the keyring's key for new entries, `next` the one that a rotation goes to, `retired` those
    that a rotation has left and that the keyring may still hold.
    """  # noqa: D205 - one sentence for each member

    entries: Mapping[tuple[str, str], Entry] = field(default_factory=dict)
    key: str = ""
    next: str = ""
    retired: tuple[str, ...] = ()


class Store:
    """Values by connection and name, in an encrypted file. Every change is on the disk when its method returns."""

    def __init__(
        self, path: Path, keys: Keys, *, clock: Callable[[], float] = time.time, patience: float = PATIENCE
    ) -> None:
        """`path` is the file, which need not be there; nothing is read yet.

        `clock` returns seconds since the epoch, `patience` are the seconds to wait for another writer.
        """
        self.path = path
        self._keys = keys
        self._clock = clock
        self._patience = patience
        self._read: tuple[object, _Document] = (None, _Document())

    def entries(self) -> list[Entry]:
        """What is stored, in order; needs no key. Raises ConfigurationError for a file that cannot be read."""
        return [entry for _, entry in sorted(self._document().entries.items())]

    def check(self) -> None:
        """Raises ConfigurationError unless there is a key for everything that is stored (hazard T57)."""
        self._check(self._document())

    def find(self, connection: str, name: str) -> Entry | None:
        """The entry of that place, or None."""
        return self._document().entries.get((connection, name))

    def read(self, entry: Entry) -> Any:
        """The value of an entry; raises ConfigurationError if it cannot be authenticated."""
        key = self._keys.find(entry.key)
        if key is None:
            raise _no_key(self.path, [entry.key], self._keys)
        return _decrypt(entry, key, self.path)

    def can_write(self) -> bool:
        """Whether there is a key to encrypt with already; none is made."""
        document = self._document()
        return self._keys.named is not None or bool(document.key and self._keys.find(document.key))

    def prepare(self) -> None:
        """Sees to it that there is a key to encrypt with, a new one in the keyring if need be.

        Raises ConfigurationError where there can be none, or where those of what is there already are missing.
        """
        with self._locked():
            document = self._document()
            self._check(document)
            prepared, _ = self._writing_key(document)
            if prepared is not document:
                self._save(prepared)

    def write(self, connection: str, values: Mapping[str, Any], *, origin: str, kinds: Mapping[str, Kind]) -> None:
        """Stores values of one connection, all or none; `kinds` has the kind of each.

        Raises ConfigurationError without a key, and without the keys of what is there already: a mistyped key must not
        start a second set of entries next to the first.
        """
        with self._locked():
            document = self._document()
            self._check(document)
            document, key = self._writing_key(document)
            moment = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)
            set_at = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
            made = [
                _encrypt(Entry(connection, name, kinds[name], origin, set_at, key.id, "", ""), key, value)
                for name, value in values.items()
            ]
            self._save(replace(document, entries={**document.entries, **{entry.place: entry for entry in made}}))

    def remove(self, connection: str, name: str | None = None) -> list[Entry]:
        """Removes one value of a connection, or everything of it; returns what was removed. Needs no key."""
        with self._locked():
            document = self._document()
            kept, gone = {}, []
            for place, entry in document.entries.items():
                if entry.connection == connection and name in (None, entry.name):
                    gone.append(entry)
                else:
                    kept[place] = entry
            if gone:
                self._save(replace(document, entries=kept))
        return gone

    def rotate(self) -> int:
        """Encrypts everything with another key; returns how many entries there are. A kill leaves all old or all new.

        The new key is `CONNECTOR_KEY`; without it one is made and kept in the keyring, and the old one is removed from
        there. After a kill the next rotation goes on where this one ended (hazard K13).
        """
        with self._locked():
            document = self._document()
            self._check(document)
            resumed = bool(document.retired)
            # Whatever is retired was already left behind, so it is forgotten before anything else is retired.
            document = self._forget_retired(document)
            if self._keys.named is not None:
                key = self._keys.named
            elif resumed and (found := self._keys.find(document.key)) is not None:
                key = found
            else:
                document, key = self._next_key(document)
            stale = [entry for entry in document.entries.values() if entry.key != key.id]
            before = {document.key, *(entry.key for entry in stale)} - {key.id}
            left = sorted(id for id in before if self._keys.is_kept(id))
            fresh = {
                entry.place: _encrypt(replace(entry, key=key.id), key, _decrypt(entry, self._key(entry), self.path))
                for entry in stale
            }
            if stale or left or document.next:
                kept = "" if self._keys.named is not None else key.id
                document = _Document({**document.entries, **fresh}, kept, "", tuple(left))
                self._save(document)
                self._forget_retired(document)
            return len(stale)

    def _next_key(self, document: _Document) -> tuple[_Document, Key]:
        """The keyring's key to go to. Its id is on the disk before the keyring has it, so that none is ever lost."""
        if document.next and (key := self._keys.find(document.next)) is not None:
            return document, key
        if not self._keys.keeps:
            hint = f"put a new key into {KEY_VARIABLE} and the one before into {OLD_KEY_VARIABLE}"
            raise ConfigurationError("no key to go to", hint=hint)
        key = Key.generate()
        document = replace(document, next=key.id)
        self._save(document)
        self._keys.keep(key)
        return document, key

    def _writing_key(self, document: _Document) -> tuple[_Document, Key]:
        """The key for a new entry: the environment's, the keyring's, or a new one that the keyring keeps."""
        if self._keys.named is not None:
            return document, self._keys.named
        if document.key and (key := self._keys.find(document.key)) is not None:
            return document, key
        if not self._keys.keeps:
            raise ConfigurationError(f"no key to encrypt with: {KEY_VARIABLE} is not set", hint=HOW_TO)
        key = Key.generate()
        self._keys.keep(key)
        return replace(document, key=key.id), key

    def _forget_retired(self, document: _Document) -> _Document:
        if not document.retired:
            return document
        for id in set(document.retired) - {entry.key for entry in document.entries.values()}:
            self._keys.forget(id)
        document = replace(document, retired=())
        self._save(document)
        return document

    def _check(self, document: _Document) -> None:
        needed = {entry.key for entry in document.entries.values()}
        if absent := sorted(id for id in needed if self._keys.find(id) is None):
            raise _no_key(self.path, absent, self._keys)

    def _key(self, entry: Entry) -> Key:
        key = self._keys.find(entry.key)
        if key is None:  # pragma: no cover - it was checked under the same lock
            raise _no_key(self.path, [entry.key], self._keys)
        return key

    def version(self) -> object:
        """What is another one as soon as this process or any other changed the file; None where there is none.

        Raises ConfigurationError for a file that cannot be looked at.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self.path, (error.strerror or "it cannot be read").lower()) from None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _document(self) -> _Document:
        """The file as it is now; read again only if it was replaced since."""
        if (version := self.version()) is None:
            return _Document()
        if self._read[0] != version:
            self._read = version, _read_document(self.path)
        return self._read[1]

    def _save(self, document: _Document) -> None:
        table = {
            "version": VERSION,
            "key": document.key,
            "next": document.next,
            "retired": list(document.retired),
            "entries": [asdict(entry) for _, entry in sorted(document.entries.items())],
        }
        beside = self.path.with_name(self.path.name + ".new")
        try:
            # What a killed writer left; the holder of the lock is the only writer.
            beside.unlink(missing_ok=True)
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(table, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            text = (error.strerror or "it cannot be written").lower()
            raise ConfigurationError(f"encrypted store {self.path}: {text}") from None
        self._read = None, _Document()

    def open_lock(self, name: str = "") -> int:
        """The descriptor of a lock file next to the store, for `try_lock`; `name` is what it guards, or all by default.

        It is never removed: another process may be about to lock it. Raises ConfigurationError.
        """
        make_home(self.path.parent)
        suffix = f".{name}.lock" if name else ".lock"
        try:
            return os.open(self.path.with_name(self.path.name + suffix), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            text = (error.strerror or "it cannot be locked").lower()
            raise ConfigurationError(f"encrypted store {self.path}: {text}") from None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the lock file: against other processes, and against other threads. A kill lets go of it."""
        lock = self.open_lock()
        try:
            deadline = time.monotonic() + self._patience
            while not try_lock(lock):
                if time.monotonic() > deadline:
                    raise ConfigurationError(f"encrypted store {self.path}: another process is writing it")
                time.sleep(0.01)
            self._read = None, _Document()
            yield
        finally:
            unlock(lock)


def open_store(path: Path | None, environment: Mapping[str, str]) -> Store | None:
    """The store of that file with the keys that the environment names; None without a file."""
    return Store(path, Keys(environment)) if path is not None else None


def _encrypt(entry: Entry, key: Key, value: Any) -> Entry:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(key.material).encrypt(nonce, json.dumps(value).encode(), entry.associated_data())
    return replace(entry, nonce=base64.b64encode(nonce).decode(), ciphertext=base64.b64encode(sealed).decode())


def _decrypt(entry: Entry, key: Key, path: Path) -> Any:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        nonce, sealed = base64.b64decode(entry.nonce, validate=True), base64.b64decode(entry.ciphertext, validate=True)
        return json.loads(AESGCM(key.material).decrypt(nonce, sealed, entry.associated_data()))
    except (InvalidTag, ValueError):
        what = f"{entry.name} of {entry.connection}" if entry.name else f"the grant of {entry.connection}"
        raise ConfigurationError(
            f"encrypted store {path}: {what} fails authentication: it is not what was written there with this key",
            hint="enter it again, or restore the file from a backup",
        ) from None


def _no_key(path: Path, absent: list[str], keys: Keys) -> ConfigurationError:
    ids = ", ".join(absent)
    if keys.named is None:
        return ConfigurationError(
            f"encrypted store {path} holds values, and {KEY_VARIABLE} is not set",
            hint=f"set {KEY_VARIABLE} to the key of id {ids}, or remove the file and enter the values again",
        )
    return ConfigurationError(
        f"encrypted store {path} was written with another key (id {ids}) than {KEY_VARIABLE} (id {keys.named.id})",
        hint=f"set {KEY_VARIABLE} to that key; after a change of keys, put the old one into {OLD_KEY_VARIABLE} and run:"
        " connector secrets rotate",
    )


def _unreadable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"encrypted store {path}: {why}", hint="restore the file from a backup, or remove it")


def _read_document(path: Path) -> _Document:
    try:
        table = json.loads(path.read_text("utf-8"), object_pairs_hook=read_members)
        if table["version"] != VERSION:
            raise _unreadable(path, f"written by another version of this program ({table['version']!r})")
        entries = [Entry(**each) for each in table["entries"]]
        if not all(isinstance(text, str) for entry in entries for text in asdict(entry).values()):
            raise ValueError
        return _Document(
            {entry.place: entry for entry in entries}, str(table["key"]), str(table["next"]), tuple(table["retired"])
        )
    except OSError as error:
        raise _unreadable(path, (error.strerror or "it cannot be read").lower()) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _unreadable(path, "not a store of connections") from None
