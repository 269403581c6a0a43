"""The file that announces a running server, and the proof that a server is the announced one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connector.errors import ConfigurationError
from runtime.server.announcement import SERVER_FILE, StartKey, announced, find_announcement

URL = "http://127.0.0.1:8787"


def test_a_server_is_announced_while_it_runs_to_its_owner_only(tmp_path: Path) -> None:
    key = StartKey()
    with announced(tmp_path, URL, key):
        found = find_announcement(tmp_path)
        assert found is not None
        assert (found.url, found.key) == (URL, key)
        assert (tmp_path / SERVER_FILE).stat().st_mode & 0o077 == 0
        assert [path.name for path in tmp_path.iterdir()] == [SERVER_FILE]
    assert find_announcement(tmp_path) is None


def test_a_home_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / SERVER_FILE).mkdir()
    with pytest.raises(ConfigurationError, match="server.json: "), announced(tmp_path, URL, StartKey()):
        pass


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"url": URL}), json.dumps({"url": URL, "key": ""})])
def test_a_file_that_announces_nothing_is_no_server(tmp_path: Path, text: str) -> None:
    (tmp_path / SERVER_FILE).write_text(text, "utf-8")
    assert find_announcement(tmp_path) is None


def test_only_the_key_of_a_start_proves_its_server() -> None:
    key, other = StartKey(), StartKey()
    assert key.is_proved_by("challenge", key.prove("challenge"))
    assert not key.is_proved_by("challenge", other.prove("challenge"))
    assert not key.is_proved_by("challenge", key.prove("another"))
    assert not key.is_proved_by("challenge", None)
    assert key.text not in repr(key)
