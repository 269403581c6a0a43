"""Where the values of a connection come from."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from connector.errors import ConfigurationError, OriginChanged
from runtime.config.connections import variable_name
from runtime.config.keys import KEY_VARIABLE, Keys
from runtime.config.store import Store
from runtime.config.vault import Vault, read_secrets_file

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


# ── the encrypted store ─────────────────────────────────────────────────────────────────────────────────────────────

KEY = {KEY_VARIABLE: base64.b64encode(b"k" * 32).decode()}
ORIGIN = "https://api.mistral.ai"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that holds both names of the default connection, the token as a secret."""
    store = Store(tmp_path / "secrets.json", Keys(KEY))
    values, kinds = dict.fromkeys(NAMES, "stored"), dict(zip(NAMES, ("secret", "value"), strict=True))
    store.write("mistral-ai", values, origin=ORIGIN, kinds=kinds)  # type: ignore[arg-type]
    return store


def test_the_store_comes_after_python_the_environment_and_the_file(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "file.json"
    file.write_text('{"mistral-ai": {"host": "file"}}')
    assert Vault(store=store).values("mistral-ai", NAMES) == {"apiToken": "stored", "host": "stored"}
    assert Vault(store=store, file=file).values("mistral-ai", NAMES) == {"apiToken": "stored", "host": "file"}
    environment = {"CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": "env"}
    assert Vault(store=store, environment=environment).values("mistral-ai", ["apiToken"]) == {"apiToken": "env"}
    assert Vault({"mistral-ai": {"host": "python"}}, store=store).values("mistral-ai", ["host"]) == {"host": "python"}
    assert Vault(store=store).values("mistral-ai:team-b", NAMES) == {}


def test_T57_a_vault_refuses_to_open_a_store_without_its_key(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="CONNECTOR_KEY is not set"):
        Vault(store=Store(store.path, Keys({})))


def test_T42_a_stored_secret_is_refused_at_another_origin_than_it_was_entered_for(store: Store) -> None:
    Vault(store=store).bind("mistral-ai", NAMES, ORIGIN)
    with pytest.raises(
        OriginChanged, match=f"apiToken was entered for {ORIGIN}, .* https://evil.example now"
    ) as caught:
        Vault(store=store).bind("mistral-ai", NAMES, "https://evil.example")
    assert (caught.value.entered, caught.value.origin) == ({"apiToken": ORIGIN}, "https://evil.example")
    assert "connector connections set mistral-ai" in caught.value.hint


def test_T42_what_is_no_stored_secret_is_bound_to_no_origin(store: Store) -> None:
    Vault(store=store).bind("mistral-ai", ["host"], "https://other.example")
    Vault(store=store).bind("mistral-ai:team-b", NAMES, "https://other.example")
    Vault({"mistral-ai": {"apiToken": "t"}}, store=store).bind("mistral-ai", NAMES, "https://other.example")
    environment = {"CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": "t"}
    Vault(store=store, environment=environment).bind("mistral-ai", NAMES, "https://other.example")


@pytest.mark.anyio
async def test_a_grant_is_on_the_disk_before_it_is_used(store: Store) -> None:
    vault = Vault(store=store)
    vault.bind("mistral-ai", NAMES, ORIGIN)
    assert vault.grant("mistral-ai") == {}
    await vault.save_grant("mistral-ai", {"token": "canary"})
    other = Vault(store=Store(store.path, Keys(KEY)))
    other.bind("mistral-ai", NAMES, ORIGIN)
    assert other.grant("mistral-ai") == {"token": "canary"}
    await other.save_grant("mistral-ai", {"token": "newer"})
    assert vault.grant("mistral-ai") == {"token": "newer"}
    assert "canary" not in store.path.read_text()


@pytest.mark.anyio
async def test_T42_a_grant_is_refused_at_another_origin(store: Store) -> None:
    vault = Vault(store=store)
    vault.bind("mistral-ai:team-b", NAMES, ORIGIN)
    await vault.save_grant("mistral-ai:team-b", {"token": "t"})
    moved = Vault(store=store)
    with pytest.raises(OriginChanged, match="leads to nowhere"):
        moved.grant("mistral-ai:team-b")
    moved.bind("mistral-ai:team-b", NAMES, "https://evil.example")
    with pytest.raises(OriginChanged, match=f"grant was entered for {ORIGIN}") as caught:
        moved.grant("mistral-ai:team-b")
    assert "connector connections login mistral-ai:team-b" in caught.value.hint


@pytest.mark.anyio
async def test_without_a_key_a_grant_is_kept_in_memory(tmp_path: Path) -> None:
    class NoKeyring(Keys):
        keeps = False  # type: ignore[assignment]

    for vault in (Vault(), Vault(store=Store(tmp_path / "secrets.json", NoKeyring({})))):
        grant = {"token": "t"}
        await vault.save_grant("mistral-ai", grant)
        grant["token"] = "changed"
        assert vault.grant("mistral-ai") == {"token": "t"}
        assert vault.grant("mistral-ai:team-b") == {}
        assert not vault.values("mistral-ai", NAMES)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": {"b": ' + "7" * 5000 + "}}", '{"a": {}, "a": {}}'], ids=["deep", "digits", "doubled"]
)
def test_a_secrets_file_that_no_reader_can_use_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=r"secrets\.json"):
        read_secrets_file(file)
