"""Where settings come from, and which of two sources wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.errors import ConfigurationError
from runtime.config.settings import Limits, load_settings


def test_nothing_given_leaves_the_defaults(tmp_path: Path) -> None:
    settings = load_settings({}, tmp_path)
    assert (settings.definitions, settings.base_urls, settings.limits) == ((), {}, Limits())
    assert settings.home == tmp_path / ".connector"
    assert settings.store == tmp_path / ".connector" / "secrets.json"


def test_a_flag_wins_over_the_environment_over_dotenv_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "connector.toml").write_text('definitions = ["file"]\nhome = "file"\n[limits]\ndeadline = 1\n')
    assert load_settings({}, tmp_path).definitions == (tmp_path / "file",)
    (tmp_path / ".env").write_text("CONNECTOR_DEFINITIONS=dotenv\nCONNECTOR_HOME=dotenv\n")
    assert load_settings({}, tmp_path).home == tmp_path / "dotenv"
    environ = {"CONNECTOR_DEFINITIONS": "env", "CONNECTOR_LIMIT_DEADLINE": "2.5"}
    settings = load_settings(environ, tmp_path)
    assert settings.definitions == (tmp_path / "env",)
    assert settings.limits.deadline == 2.5
    assert load_settings(environ, tmp_path, definitions=[Path("flag")]).definitions == (Path("flag"),)


def test_a_base_url_is_found_for_the_connection_before_its_connector(tmp_path: Path) -> None:
    (tmp_path / "connector.toml").write_text(
        '[base_urls]\nmistral-ai = "https://file.example"\ndemo = "https://d.example"\n'
    )
    environ = {
        "CONNECTOR_BASE_URL__MISTRAL_AI": "https://env.example",
        "CONNECTOR_BASE_URL__MISTRAL_AI__TEAM_B": "https://b.example",
    }
    settings = load_settings(environ, tmp_path)
    assert settings.base_url("mistral-ai", tuple) == "https://env.example"
    assert settings.base_url("mistral-ai:team-b", tuple) == "https://b.example"
    assert settings.base_url("mistral-ai:team-c", tuple) == "https://env.example"
    assert settings.base_url("demo", tuple) == "https://d.example"
    assert settings.base_url("other", tuple) is None
    flagged = load_settings(environ, tmp_path, base_urls={"mistral-ai": "https://flag.example"})
    assert flagged.base_url("mistral-ai", tuple) == "https://flag.example"
    assert set(flagged.named_base_urls()) == {
        "https://flag.example",
        "https://env.example",
        "https://b.example",
        "https://d.example",
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("definition = []", "definition"),
        ("[limits]\ndeadlin = 1", "deadlin"),
        ("[limits]\ndeadline = 0", "limits.deadline"),
        ("[limits]\ndeadline = 'x'", "limits.deadline"),
        ("[limits]\nresponse_bytes = inf", "limits.response_bytes"),
        ("limits = 1", "limits"),
        ("definitions = 'x'", "definitions"),
        ("base_urls = 1", "base_urls"),
        ("= broken", "connector.toml"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_key(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "connector.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=named) as caught:
        load_settings({}, tmp_path)
    assert "connector.toml" in caught.value.message


def test_settings_show_no_variable_in_their_repr(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CONNECTOR_SECRET__DEMO__KEY='canary-$x'\n")
    settings = load_settings({}, tmp_path)
    assert settings.environment["CONNECTOR_SECRET__DEMO__KEY"] == "canary-$x"
    assert "canary" not in repr(settings)
