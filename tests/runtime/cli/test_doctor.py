"""The doctor finds what keeps the product from working, and shows no secret."""

from __future__ import annotations

import base64
import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.cli.doctor import Check, check_clock, check_home, check_libraries, examine
from runtime.config.keys import KEY_VARIABLE
from runtime.config.settings import Settings, load_settings
from runtime.config.store import open_store

NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC)


def found(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in examine(settings, now=NOW)}


def test_a_missing_secret_is_a_warning_that_names_its_variable(tmp_path: Path) -> None:
    check = found(Settings(home=tmp_path))["mistral-ai"]
    assert (check.status, check.detail) == ("warn", "not set: apiToken")
    assert check.hint == "set CONNECTOR_SECRET__MISTRAL_AI__APITOKEN"


def test_a_secret_that_is_set_is_named_and_not_shown(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, environment={"CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": "c4nary"})
    checks = found(settings)
    assert checks["mistral-ai"] == Check("mistral-ai", "ok", "set: apiToken")
    assert "c4nary" not in str(checks)


def test_the_names_in_the_store_are_shown_and_no_value(tmp_path: Path) -> None:
    settings = load_settings({KEY_VARIABLE: base64.b64encode(b"k" * 32).decode()}, tmp_path)
    store = open_store(settings.store, settings.environment)
    assert store is not None
    assert "store" not in found(settings)
    store.write("mistral-ai", {"apiToken": "c4nary"}, origin="https://api.mistral.ai", kinds={"apiToken": "secret"})
    checks = found(settings)
    assert checks["store"] == Check("store", "ok", "mistral-ai: apiToken")
    assert checks["mistral-ai"] == Check("mistral-ai", "ok", "set: apiToken")
    assert "c4nary" not in str(checks)
    moved = found(replace(settings, base_urls={"mistral-ai": "https://evil.example"}))["mistral-ai"]
    assert (moved.status, "entered for https://api.mistral.ai" in moved.detail) == ("fail", True)
    keyless = found(replace(settings, environment={}))
    assert (keyless["store"].status, keyless["mistral-ai"].status) == ("fail", "warn")


def test_a_catalogue_that_cannot_be_opened_is_a_failure(tmp_path: Path) -> None:
    check = found(Settings(definitions=(tmp_path / "absent",), home=tmp_path))["catalogue"]
    assert check.status == "fail"
    assert "absent" in check.detail


def test_a_definition_with_errors_fails_by_its_name_and_the_others_are_checked(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    checks = found(Settings(definitions=(tmp_path,), home=tmp_path))
    assert checks["broken"].status == "fail"
    assert checks["mistral-ai"].status == "warn"


def test_the_state_folder_is_tried_without_being_made(tmp_path: Path) -> None:
    home = tmp_path / "a" / ".connector"
    assert check_home(home) == Check("state", "ok", f"{home} can be made")
    assert not home.parent.exists()
    (tmp_path / "a").write_text("")
    assert check_home(home).status == "fail"
    assert check_home(tmp_path) == Check("state", "ok", f"{tmp_path} is writable")


def test_a_clock_of_another_age_is_a_failure() -> None:
    assert check_clock(NOW) == Check("clock", "ok", "2026-11-22T12:00:00Z")
    assert check_clock(datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)).status == "fail"


def test_libraries_are_held_to_what_the_distribution_demands() -> None:
    checks = {check.name: check for check in check_libraries("pytest")}
    assert checks["pluggy"].status == "ok"
    assert all(check.status == "ok" for check in checks.values())
    assert [check.status for check in check_libraries("not-a-distribution")] == ["warn"]


@pytest.mark.parametrize("name", ["python", "state", "clock", "catalogue"])
def test_everything_is_looked_at(name: str, tmp_path: Path) -> None:
    assert found(Settings(home=tmp_path))[name].status == "ok"
