"""Keys that values are encrypted with: from the environment or the keyring."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from connector.errors import ConfigurationError
from runtime.config.keys import KEY_VARIABLE, SERVICE, Key, Keys
from runtime.config.store import Store
from tests.doubles.stores import CANARY, KEYS, MemoryKeyring, make, put


def test_a_mistyped_key_begins_no_second_life_beside_the_first(tmp_path: Path) -> None:
    put(make(tmp_path))
    with pytest.raises(ConfigurationError, match="another key"):
        put(make(tmp_path, KEYS[1]), name="other")
    assert [entry.name for entry in make(tmp_path).entries()] == ["apiToken"]


@pytest.mark.parametrize("text", ["short", "c4nary!", base64.b64encode(b"x" * 31).decode(), KEYS[0] + "AAAA"])
def test_a_text_that_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ConfigurationError, match="CONNECTOR_KEY is not base64 of 32 bytes") as caught:
        Keys({KEY_VARIABLE: text})
    assert text not in str(caught.value) + caught.value.hint


def test_a_key_shows_its_id_alone() -> None:
    key = Key.from_text(base64.urlsafe_b64encode(b"\xff" * 32).decode() + "\n", "")
    assert key == Key.from_bytes(b"\xff" * 32)
    assert repr(key) == f"Key(id='{key.id}')"


def test_a_keyring_keeps_the_key_and_a_rotation_replaces_it(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    store = Store(tmp_path / "secrets.json", Keys({}, keyring))
    assert not store.can_write()
    first = put(store).key
    assert store.can_write()
    assert put(store, "other").key == first
    assert list(keyring.kept) == [(SERVICE, first)]
    again = Store(tmp_path / "secrets.json", Keys({}, keyring))
    assert again.rotate() == 2
    second = again.entries()[0].key
    assert (second != first, list(keyring.kept)) == (True, [(SERVICE, second)])
    assert again.read(again.entries()[0]) == CANARY


def test_a_keyring_that_refuses_is_told_of_without_its_words(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    store = Store(tmp_path / "secrets.json", Keys({}, keyring))
    entry = put(store)
    keyring.locked = True
    fresh = Keys({}, keyring)
    for attempt in (lambda: fresh.find(entry.key), lambda: fresh.keep(Key.generate()), lambda: fresh.forget(entry.key)):
        with pytest.raises(ConfigurationError, match="the keyring of the system refused: RuntimeError") as caught:
            attempt()
        assert CANARY not in str(caught.value)
    keyring.locked = False
    keyring.kept[SERVICE, entry.key] = KEYS[0]
    with pytest.raises(ConfigurationError, match="holds another key"):
        Keys({}, keyring).find(entry.key)
