"""Files of state: created whole or not at all, readable by their owner alone."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from connector.errors import ConfigurationError
from runtime.config.files import create_file, make_home, try_lock, unlock


def test_a_file_is_created_once_and_then_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    create_file(path, b"first")
    create_file(path, b"second")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"first", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["file"], "nothing is left next to it"


def test_a_file_that_cannot_be_written_whole_is_not_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        create_file(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []


def _create(path: str, text: str) -> str:
    create_file(Path(path), text.encode() * 10_000)
    return Path(path).read_text()


def test_processes_that_create_one_file_at_once_all_read_the_same(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.starmap(_create, [(str(tmp_path / "file"), letter) for letter in "abcdabcd"])
    assert len(set(found)) == 1
    assert len(found[0]) == 10_000


def test_a_home_that_cannot_be_made_is_an_error_of_the_operator(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file/home"):
        make_home(tmp_path / "file" / "home")
    make_home(tmp_path / "home")
    assert ((tmp_path / "home").stat().st_mode & 0o777, (tmp_path / "home" / ".gitignore").read_text()) == (
        0o700,
        "*\n",
    )


def test_a_lock_is_held_by_one_open_file(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert try_lock(first)
    assert not try_lock(second)
    os.close(first)
    assert try_lock(second)
    os.close(second)


def test_E3_a_lock_is_let_go_of_although_the_child_of_a_fork_has_its_file_open(tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    inherited, other = os.dup(lock), os.open(tmp_path / "lock", os.O_RDWR)
    assert (try_lock(lock), try_lock(other)) == (True, False)
    unlock(lock)
    assert try_lock(other)
    os.close(inherited)
    unlock(other)
