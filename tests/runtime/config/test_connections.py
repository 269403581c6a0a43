"""Environment variables of connections: each belongs to one, and one that could be meant for two is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.errors import ConfigurationError
from runtime import Runtime
from runtime.config.connections import ConnectionName, base_url_variable, environment_name, read_variable, variable_name
from runtime.config.store import open_store
from runtime.config.vault import enter_values

pytestmark = pytest.mark.anyio

SET = {
    "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": "canary-default",
    "CONNECTOR_SECRET__MISTRAL_AI__TEAM_B__APITOKEN": "canary-team-b",
}


def definition(handle: str, value: str = "apiToken") -> dict[str, Any]:
    auth = {"method": "bearer", "params": {"token": f"{{{{{value}}}}}"}}
    things = {"handle": "things", "endpoint": "/things", "fields": [], "operations": {"list": {"method": "GET"}}}
    return {
        "handle": handle,
        "service": {"baseURL": "https://demo.example/v1", "auth": auth},
        "resources": [things],
    }


class Provider(httpx2.AsyncBaseTransport):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.tokens.append(request.headers.get("Authorization", ""))
        return httpx2.Response(200, json={})


def test_the_names_of_variables() -> None:
    assert variable_name("mistral-ai", "apiToken") == "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN"
    assert variable_name("mistral-ai:team-b", "apiToken") == "CONNECTOR_SECRET__MISTRAL_AI__TEAM_B__APITOKEN"
    assert base_url_variable("mistral-ai:team-b") == "CONNECTOR_BASE_URL__MISTRAL_AI__TEAM_B"


@pytest.mark.parametrize("handle", ["mistral.ai", "mistral_ai", "Mistral-AI", "mistral-ai--team-b"])
async def test_a_secret_is_never_read_under_the_name_of_another_connector(handle: str, tmp_path: Path) -> None:
    """Red team 09: the shipped mistral-ai is in the same catalogue."""
    (tmp_path / f"{handle}.json").write_text(json.dumps(definition(handle)))
    provider = Provider()
    environ = {**SET, "CONNECTOR_HOME": str(tmp_path / "home")}
    async with Runtime(tmp_path, environ=environ, transport=provider) as rt:
        with pytest.raises(ConfigurationError) as caught:
            await rt.call(handle, "things.list", {})
    said = f"{caught.value} {caught.value.hint}"
    assert handle in said
    assert "mistral-ai" in said.replace(handle, "")
    assert "canary" not in said
    assert provider.tokens == []


async def test_variables_that_can_only_be_meant_for_one_connection_are_read(tmp_path: Path) -> None:
    (tmp_path / "mistral.json").write_text(json.dumps(definition("mistral")))
    environ = {**SET, "CONNECTOR_SECRET__MISTRAL__APITOKEN": "canary-other", "CONNECTOR_HOME": str(tmp_path / "home")}
    provider = Provider()
    async with Runtime(tmp_path, environ=environ, transport=provider) as rt:
        for connection, operation in (("mistral", "things.list"), ("mistral-ai", "models.list")):
            await rt.call(connection, operation, {})
        await rt.call("mistral-ai:team-b", "models.list", {})
    assert provider.tokens == ["Bearer canary-other", "Bearer canary-default", "Bearer canary-team-b"]


async def test_the_base_url_of_another_connector_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "mistral_ai.json").write_text(json.dumps(definition("mistral_ai")))
    environ = {
        "CONNECTOR_BASE_URL__MISTRAL_AI": "https://moved.example",
        "CONNECTOR_HOME": str(tmp_path / "home"),
    }
    secrets = {"mistral_ai": {"apiToken": "canary"}}
    provider = Provider()
    async with Runtime(tmp_path, environ=environ, secrets=secrets, transport=provider) as rt:
        with pytest.raises(ConfigurationError, match="CONNECTOR_BASE_URL__MISTRAL_AI could be meant for mistral_ai or"):
            await rt.call("mistral_ai", "things.list", {})
    assert provider.tokens == []


@pytest.mark.parametrize("command", [True, False])
async def test_the_base_url_of_another_connection_of_the_same_connector_is_not_used(
    tmp_path: Path, command: bool
) -> None:
    """Neither by a call, which would send a secret there, nor where a secret is entered and bound to an origin."""
    (tmp_path / "demo.json").write_text(json.dumps(definition("demo")))
    environ = {
        "CONNECTOR_BASE_URL__DEMO__TEAM_B": "https://moved.example",
        "CONNECTOR_HOME": str(tmp_path / "home"),
        "CONNECTOR_KEY": base64.b64encode(bytes(32)).decode(),
    }
    secrets = {name: {"apiToken": "canary"} for name in ("demo:team-b", "demo:team.b")}
    provider = Provider()
    async with Runtime(tmp_path, environ=environ, secrets=secrets, transport=provider) as rt:
        store = open_store(rt.settings.store, rt.settings.environment)
        assert store is not None

        async def use(connection: str) -> None:
            if command:
                service = rt.catalog.of(connection).service
                enter_values(service, connection, {"apiToken": "canary"}, rt.settings, rt.vault, store)
            else:
                await rt.call(connection, "things.list", {})

        refusal = "CONNECTOR_BASE_URL__DEMO__TEAM_B could be meant for"
        for connection in secrets:
            with pytest.raises(ConfigurationError, match=refusal) as caught:
                await use(connection)
            assert "demo:team-b" in str(caught.value)
            assert "demo:team.b" in str(caught.value)
        assert list(store.entries()) == []
    assert provider.tokens == []


@pytest.mark.parametrize(
    ("connection", "name", "known"),
    [
        ("demo", "team_b__apiToken", []),
        ("demo:team.b", "apiToken", ["demo:team-b"]),
        ("demo:Team-B", "apiToken", ["demo:team-b"]),
        ("demo:team-b", "apiToken", ["demo--team-b"]),
        ("demo:x", "apiToken", ["demo--x"]),
        ("a:b--c", "key", ["a--b"]),
    ],
)
def test_what_could_be_meant_for_two_is_refused(connection: str, name: str, known: list[str]) -> None:
    variable = variable_name(connection, name)
    with pytest.raises(ConfigurationError, match=variable):
        read_variable({variable: "canary"}, variable, connection, [connection, *known], name)
    assert read_variable({}, variable, connection, [connection, *known], name) is None


@pytest.mark.parametrize(
    ("text", "handle", "name", "source"),
    [("demo", "demo", "", "/demo/default"), ("demo:team-b", "demo", "team-b", "/demo/team-b")],
)
def test_the_name_of_a_connection_has_a_handle_a_name_and_a_source(
    text: str, handle: str, name: str, source: str
) -> None:
    parsed = ConnectionName.parse(text)
    assert (parsed.handle, parsed.name, parsed.source, str(parsed), parsed.is_valid) == (
        handle, name, source, text, True,
    )  # fmt: skip


@pytest.mark.parametrize("text", ["demo:a b", "demo:a:b", "demo:" + "x" * 65, "demo:é", "demo:a\n"])
def test_a_name_of_other_characters_or_of_more_than_64_is_not_valid(text: str) -> None:
    assert not ConnectionName.parse(text).is_valid


def test_a_name_in_the_environment_is_upper_case_and_plain() -> None:
    assert environment_name("team-b.é 1") == "TEAM_B___1"
