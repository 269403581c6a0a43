"""Commands that look after the journal: migrate, backup, check."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner
from sqlalchemy import text

from runtime.cli.root import cli
from runtime.journal.journal import Journal
from runtime.journal.storage.migrations import HEAD
from tests.doubles.clock import Clock
from tests.doubles.events import new

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[Journal]:
    async with await Journal.open(f"sqlite:///{tmp_path}/journal.db", clock=clock) as opened:
        yield opened


def run(folder: Path, *words: str) -> tuple[int, object, str]:
    done = CliRunner().invoke(cli, ["journal", *words, "--json"], env={"CONNECTOR_HOME": str(folder)})
    return done.exit_code, json.loads(done.stdout), done.stderr


def test_the_commands_make_copy_and_check_a_journal(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate")[:2] == (0, {"from": None, "to": HEAD})
    assert run(tmp_path, "migrate")[:2] == (0, {"from": HEAD, "to": HEAD})
    assert run(tmp_path, "check")[:2] == (0, {"ok": True, "problems": []})
    code, copied, _ = run(tmp_path, "backup", str(tmp_path / "copy.db"))
    assert code == 0
    assert copied == {"file": str(tmp_path / "copy.db"), "bytes": (tmp_path / "copy.db").stat().st_size}
    assert run(tmp_path, "backup", str(tmp_path / "copy.db"))[0] == 2


def test_the_commands_say_it_in_words(tmp_path: Path) -> None:
    said = [
        CliRunner().invoke(cli, ["journal", *words], env={"CONNECTOR_HOME": str(tmp_path)}).stderr
        for words in (["check"], ["migrate"], ["migrate"], ["check"], ["backup", str(tmp_path / "copy.db")])
    ]
    assert "no such file" in said[0]
    assert f"{HEAD} now (none before)" in said[1]
    assert f"{HEAD} already" in said[2]
    assert "the journal is sound" in said[3]
    assert "bytes written to" in said[4]


def test_a_check_of_a_journal_that_is_not_sound_exits_with_1(tmp_path: Path) -> None:
    async def spoil() -> None:
        async with await Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
            await journal.append([new("1")])
            await journal.database.transact(
                lambda connection: connection.execute(text("UPDATE counters SET events = 0"))
            )

    anyio.run(spoil)
    code, document, _ = run(tmp_path, "check")
    assert (code, document) == (1, {"ok": False, "problems": ["event 1 has a number beyond the last one, 0"]})
