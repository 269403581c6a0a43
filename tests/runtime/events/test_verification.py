"""How messages of connections are verified: by secrets, by the token of a URL, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connector.errors import ConfigurationError
from runtime.config.vault import Vault
from runtime.events.verification import TOKEN_FILE, Verifications
from tests.doubles.clock import Clock

FIRST, SECOND = "a-first-secret-of-some-length", "a-second-secret-of-some-length"


def verifications(home: Path, clock: Clock, **values: Any) -> tuple[Verifications, Vault]:
    vault = Vault({"demo": values})
    return Verifications(vault, home, clock), vault


def test_each_secret_of_a_connection_verifies_and_none_is_shown(tmp_path: Path) -> None:
    found = verifications(tmp_path, Clock(), webhookSecret=f"{FIRST} {SECOND}")[0].find("demo")
    assert (found.secrets, found.kind, found.is_possible) == ((FIRST, SECOND), "signed", True)
    assert FIRST not in repr(found)


def test_without_a_secret_nothing_can_be_verified(tmp_path: Path) -> None:
    found = verifications(tmp_path, Clock())[0].find("demo")
    assert (found.secrets, found.token, found.kind, found.is_possible) == ((), "", "no secret", False)


def test_the_token_of_an_unsigned_connection_is_its_own_and_the_same_in_every_process(tmp_path: Path) -> None:
    vault = Vault({"demo": {"unsigned": "true"}, "demo:b": {"unsigned": "1"}})
    here, there = (Verifications(vault, tmp_path, Clock()) for _ in range(2))
    assert here.find("demo").token == there.find("demo").token != here.find("demo:b").token
    assert here.find("demo").kind == "unsigned"
    assert (tmp_path / TOKEN_FILE).stat().st_mode & 0o077 == 0
    elsewhere = Verifications(vault, tmp_path / "other", Clock()).find("demo")
    assert elsewhere.token != here.find("demo").token


def test_values_are_read_again_after_a_few_seconds_and_when_the_clock_was_set_back(tmp_path: Path) -> None:
    clock, secret = Clock(), {"webhookSecret": "old"}
    found, vault = verifications(tmp_path, clock, **secret)
    assert found.find("demo").secrets == ("old",)
    vault._given["demo"]["webhookSecret"] = "new"  # noqa: SLF001 - as another process would enter it
    clock.now += 4
    assert found.find("demo").secrets == ("old",)
    clock.now += 2
    assert found.find("demo").secrets == ("new",)
    vault._given["demo"]["webhookSecret"] = "newest"  # noqa: SLF001 - as above
    clock.now -= 3600
    assert found.find("demo").secrets == ("newest",)


def test_a_word_for_dedupe_that_is_not_known_is_refused(tmp_path: Path) -> None:
    assert verifications(tmp_path, Clock(), dedupe="body")[0].find("demo").by_body
    with pytest.raises(ConfigurationError, match="'dedupe' cannot be 'bodies'"):
        verifications(tmp_path, Clock(), dedupe="bodies")[0].find("demo")
