"""Where the values of a connection come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.errors import ConfigurationError
from runtime.vault import Vault, variable_name

NAMES = ["apiToken", "host"]


def test_python_wins_over_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text('{"mistral-ai": {"apiToken": "file", "host": "file"}}')
    environment = {"CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": "env"}
    assert Vault(environment=environment, file=file).values("mistral-ai", NAMES) == {"apiToken": "env", "host": "file"}
    vault = Vault({"mistral-ai": {"apiToken": "python"}}, environment=environment, file=file)
    assert vault.values("mistral-ai", NAMES) == {"apiToken": "python", "host": "file"}


def test_a_named_connection_has_its_own_values_and_borrows_none() -> None:
    environment = {
        "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": "default",
        "CONNECTOR_SECRET__MISTRAL_AI__TEAM_B__APITOKEN": "b",
    }
    vault = Vault({"mistral-ai": {"host": "h"}}, environment=environment)
    assert vault.values("mistral-ai:team-b", NAMES) == {"apiToken": "b"}
    assert vault.values("mistral-ai:team-c", NAMES) == {}


def test_a_toml_file_holds_values_too(tmp_path: Path) -> None:
    file = tmp_path / "secrets.toml"
    file.write_text('["mistral-ai:team-b"]\napiToken = "t"\n')
    assert Vault(file=file).values("mistral-ai:team-b", NAMES) == {"apiToken": "t"}


def test_the_variable_of_a_value_is_upper_case_with_underscores() -> None:
    assert variable_name("mistral-ai:team-b", "apiToken") == "CONNECTOR_SECRET__MISTRAL_AI__TEAM_B__APITOKEN"


@pytest.mark.parametrize(
    ("name", "text"),
    [("s.json", "{'canary'"), ("s.toml", "canary"), ("s.json", '["canary"]'), ("s.json", '{"a": "canary"}')],
)
def test_a_file_that_cannot_be_read_is_named_and_never_quoted(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=name) as caught:
        Vault(file=file)
    assert "canary" not in str(caught.value) + caught.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.json: No such file"):
        Vault(file=tmp_path / "gone.json")


def test_a_vault_shows_connections_and_never_values() -> None:
    shown = repr(Vault({"mistral-ai": {"apiToken": "canary"}}))
    assert "mistral-ai" in shown
    assert "canary" not in shown
