"""The encrypted store: nothing readable in its file, nothing readable out of place, old or new after any kill."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from connector.errors import ConfigurationError
from runtime.config.keys import KEY_VARIABLE, OLD_KEY_VARIABLE, SERVICE, Key, Keys
from runtime.config.store import Entry, Store, open_store
from tests.doubles.stores import CANARY, KEYS, ORIGIN, MemoryKeyring, make, put


def edit(store: Store, **changes: str) -> Entry:
    """The first entry as it reads after somebody changed the file."""
    table = json.loads(store.path.read_text())
    table["entries"][0] |= changes
    store.path.write_text(json.dumps(table))
    return store.entries()[0]


@pytest.mark.parametrize("value", [CANARY, "", "é\ud800\n", 7, {"token": CANARY, "expires_at": 1.5}])
def test_what_was_written_is_read_back_by_another_process(tmp_path: Path, value: Any) -> None:
    put(make(tmp_path), value=value)
    store = make(tmp_path)
    assert store.read(store.entries()[0]) == value


def test_what_may_be_shown_of_a_value_needs_no_key(tmp_path: Path) -> None:
    put(make(tmp_path))
    entry = make(tmp_path, key="").entries()[0]
    shown = (entry.connection, entry.name, entry.kind, entry.origin, entry.set_at)
    assert shown == ("mistral-ai", "apiToken", "secret", ORIGIN, "2027-01-15T08:00:00Z")
    assert "ciphertext" not in repr(entry)


def test_T57_no_byte_on_the_disk_holds_a_secret(tmp_path: Path) -> None:
    put(make(tmp_path))
    put(make(tmp_path), name="", value={"token": CANARY})
    raw = CANARY.encode()
    forms = [raw, raw.hex().encode(), *(base64.b64encode(b"." * shift + raw)[4:-4] for shift in range(3))]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3
    found = [path.name for path in files for form in forms if form in path.read_bytes()]
    assert found == []


def test_only_the_owner_may_read_the_store(tmp_path: Path) -> None:
    store = make(tmp_path)
    put(store)
    store.path.chmod(0o644)
    put(store, name="other")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (store.path, store.path.parent)}
    assert modes == {"secrets.json": 0o600, "home": 0o700}
    assert (store.path.parent / ".gitignore").read_text() == "*\n"


def test_T57_two_swapped_ciphertexts_are_refused(tmp_path: Path) -> None:
    store = make(tmp_path)
    first, second = put(store), put(store, connection="mistral-ai:team-b", value="other")
    moved = edit(store, nonce=second.nonce, ciphertext=second.ciphertext)
    assert moved.place == first.place
    with pytest.raises(ConfigurationError, match="apiToken of mistral-ai fails authentication"):
        store.read(moved)


@pytest.mark.parametrize(
    "changes",
    [
        {"connection": "mistral-ai:team-b"},
        {"name": "other"},
        {"kind": "value"},
        {"origin": "https://evil.example"},
        {"set_at": "2020-01-01T00:00:00Z"},
        {"ciphertext": "AAAA"},
        {"nonce": ""},
        {"nonce": "é"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_T42_T57_a_value_is_bound_to_all_that_stands_beside_it(tmp_path: Path, changes: dict[str, str]) -> None:
    store = make(tmp_path)
    put(store)
    with pytest.raises(ConfigurationError, match="fails authentication"):
        store.read(edit(store, **changes))


def test_T57_a_wrong_key_is_an_authentication_failure_even_under_the_right_id(tmp_path: Path) -> None:
    entry = put(make(tmp_path))
    store = make(tmp_path, KEYS[1])
    with pytest.raises(ConfigurationError, match=f"another key .id {entry.key}.") as caught:
        store.check()
    assert OLD_KEY_VARIABLE in caught.value.hint
    with pytest.raises(ConfigurationError, match="another key"):
        store.read(entry)
    other = Key.from_text(KEYS[1], "")
    with pytest.raises(ConfigurationError, match="fails authentication"):
        store.read(edit(store, key=other.id))


def test_T57_a_missing_key_is_refused_as_soon_as_something_is_stored(tmp_path: Path) -> None:
    make(tmp_path, key="").check()
    put(make(tmp_path))
    with pytest.raises(ConfigurationError, match="holds values, and CONNECTOR_KEY is not set"):
        make(tmp_path, key="").check()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not a store"),
        ("[]", "not a store"),
        ('{"version": 1}', "not a store"),
        ('{"version": 1, "key": "", "next": "", "retired": [], "entries": [{"name": "c4nary"}]}', "not a store"),
        ('{"version": 2}', "another version"),
    ],
)
def test_a_file_that_is_no_store_is_named_and_never_quoted(tmp_path: Path, text: str, why: str) -> None:
    store = make(tmp_path)
    put(store)
    store.path.write_text(text)
    with pytest.raises(ConfigurationError, match=f"secrets.json: .*{why}") as caught:
        store.entries()
    assert "c4nary" not in str(caught.value)


def test_a_folder_in_place_of_the_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="directory"):
        Store(tmp_path, Keys({})).entries()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="not a directory"):
        put(Store(tmp_path / "file" / "secrets.json", Keys({KEY_VARIABLE: KEYS[0]})))


def test_one_value_or_a_whole_connection_is_removed_without_a_key(tmp_path: Path) -> None:
    store = make(tmp_path)
    for name in ("a", "b"):
        put(store, name)
        put(store, name, connection="mistral-ai:team-b")
    keyless = make(tmp_path, key="")
    assert [entry.place for entry in keyless.remove("mistral-ai", "a")] == [("mistral-ai", "a")]
    assert keyless.remove("mistral-ai", "a") == []
    assert len(keyless.remove("mistral-ai:team-b")) == 2
    assert [entry.place for entry in store.entries()] == [("mistral-ai", "b")]


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(16)]
    threads = [threading.Thread(target=put, args=(make(tmp_path), name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.name for entry in make(tmp_path).entries()] == sorted(names)


def test_a_writer_that_holds_the_lock_for_too_long_is_told_of(tmp_path: Path) -> None:
    store = Store(tmp_path / "secrets.json", Keys({KEY_VARIABLE: KEYS[0]}), patience=0.02)
    lock = os.open(tmp_path / "secrets.json.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(ConfigurationError, match="another process is writing it"):
        put(store)
    os.close(lock)
    put(store)


def test_a_store_sees_what_another_process_wrote(tmp_path: Path) -> None:
    store = make(tmp_path)
    put(store)
    put(make(tmp_path), value="newer")
    assert store.read(store.entries()[0]) == "newer"


def test_a_store_has_no_file_until_something_is_written(tmp_path: Path) -> None:
    store = make(tmp_path)
    assert store.entries() == []
    store.check()
    assert list(tmp_path.iterdir()) == []
    assert open_store(None, {}) is None


# ── rotation ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rotation_leaves_nothing_that_the_old_key_opens(tmp_path: Path) -> None:
    put(make(tmp_path))
    put(make(tmp_path), "", {"token": "t"})
    store = make(tmp_path, KEYS[1], f"{KEYS[2]}, {KEYS[0]}")
    assert (store.rotate(), store.rotate()) == (2, 0)
    alone = make(tmp_path, KEYS[1])
    assert [alone.read(entry) for entry in alone.entries()] == [{"token": "t"}, CANARY]
    with pytest.raises(ConfigurationError, match="another key"):
        make(tmp_path).check()


def test_a_rotation_without_the_old_key_or_the_new_one_is_refused(tmp_path: Path) -> None:
    put(make(tmp_path))
    before = make(tmp_path).path.read_bytes()
    with pytest.raises(ConfigurationError, match="another key"):
        make(tmp_path, KEYS[1]).rotate()
    with pytest.raises(ConfigurationError, match="no key to go to"):
        keyless(tmp_path).rotate()
    assert make(tmp_path).path.read_bytes() == before


def keyless(folder: Path) -> Store:
    """A store whose old key is known, and which has neither a new one nor a keyring to make one."""

    class NoKeyring(Keys):
        @property
        def keeps(self) -> bool:
            return False

    return Store(folder / "home" / "secrets.json", NoKeyring({OLD_KEY_VARIABLE: KEYS[0]}))


def test_without_a_key_nothing_is_stored(tmp_path: Path) -> None:
    store = keyless(tmp_path)
    assert not store.can_write()
    with pytest.raises(ConfigurationError, match="CONNECTOR_KEY is not set") as caught:
        put(store)
    assert "openssl rand -base64 32" in caught.value.hint


def test_a_store_moves_from_the_keyring_to_the_environment_and_back(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    put(Store(tmp_path / "secrets.json", Keys({}, keyring)))
    assert Store(tmp_path / "secrets.json", Keys({KEY_VARIABLE: KEYS[0]}, keyring)).rotate() == 1
    assert keyring.kept == {}
    store = Store(tmp_path / "secrets.json", Keys({OLD_KEY_VARIABLE: KEYS[0]}, keyring))
    assert store.rotate() == 1
    assert [service for service, _ in keyring.kept] == [SERVICE]
    assert store.read(store.entries()[0]) == CANARY


@pytest.mark.parametrize("kind", ["environment", "keyring"])
def test_K13_a_killed_rotation_leaves_old_or_new_and_goes_on(tmp_path: Path, kind: str) -> None:
    root = Path(__file__).parents[3]
    program = root / "tests" / "doubles" / "killed_rotations.py"
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), kind],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    before = kills[0]["before"]
    for kill in kills:
        for state in (kill["killed"], kill["after"]):
            assert (len(state["keys"]), state["values"]) == (1, before["values"])
        assert kill["after"]["keys"] != before["keys"]
        assert kill["after"]["kept"] == before["kept"]
    assert len(kills) >= 5
    assert {kill["killed"]["keys"] == before["keys"] for kill in kills} == {True, False}
