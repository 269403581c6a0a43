"""A journal in a file: durable, held by one process, and never recreated silently."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from connector.errors import ConfigurationError
from runtime.journal.journal import Journal
from tests.doubles.journals import new

pytestmark = pytest.mark.anyio


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state/journal.db"
    async with await Journal.open(url) as journal:
        await asyncio.gather(*(journal.append([new(str(number))]) for number in range(200)))
    async with await Journal.open(url) as journal:
        assert len(await journal.events(limit=1000)) == 200
        assert (await journal.append([new("7")]))[0].created is False
    assert (tmp_path / "state" / "journal.db").stat().st_mode & 0o777 == 0o600


async def test_F6_a_second_process_on_one_file_is_refused_and_may_look(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    async with await Journal.open(url) as journal:
        with pytest.raises(ConfigurationError, match=r"another process \(process \d+\) has it open"):
            await Journal.open(url)
        async with await Journal.open(url, read_only=True) as reader:
            await journal.append([new()])
            assert len(await reader.events()) == 1
    await (await Journal.open(url)).close()


async def test_F5_a_file_that_was_there_is_never_made_anew_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    await (await Journal.open(f"sqlite:///{path}")).close()
    path.unlink()
    with pytest.raises(ConfigurationError, match="the file is gone, and it was there before") as raised:
        await Journal.open(f"sqlite:///{path}")
    assert "restore a backup" in raised.value.hint
    path.touch()
    with pytest.raises(ConfigurationError, match="the file is empty"):
        await Journal.open(f"sqlite:///{path}")
    (tmp_path / "journal.db.lock").unlink()
    await (await Journal.open(f"sqlite:///{path}")).close()


async def test_F5_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="file is not a database"):
        await Journal.open(f"sqlite:///{path}")
    assert path.read_bytes() == before


async def test_F5_a_file_that_is_not_there_cannot_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        await Journal.open(f"sqlite:///{tmp_path}/journal.db", read_only=True)
    assert list(tmp_path.iterdir()) == []
