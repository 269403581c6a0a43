"""The embedding API: one call from its name to its mapped answer, and what each failure says."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

import runtime
from connector.errors import (
    BlockedAddress,
    ConnectorError,
    InputError,
    MappingError,
    MissingCredentials,
    RateLimited,
    ResponseError,
    TransportError,
    UnknownConnector,
    UnknownOperation,
)
from connector.messages import MASK
from runtime import Runtime
from runtime.config.keys import Key
from runtime.config.store import open_store

pytestmark = pytest.mark.anyio

CANARY = "sk-canary-31415"
SECRETS = {"mistral-ai": {"apiToken": CANARY}}
#: A service whose connections choose the header that their key travels in.
CHOSEN_HEADER = {
    "baseURL": "https://example.com",
    "auth": {"method": "api_token", "params": {"k": {"token": "{{key}}", "headerName": "{{headerName}}"}}},
}
CHAT = {"model": "mistral-small-latest", "content": "Say hello"}


async def skip_waiting(seconds: float) -> None:
    """Waits in no time."""


def make(answer: Callable[[httpx2.Request], httpx2.Response] | httpx2.Response, **settings: Any) -> Runtime:
    """A runtime whose provider is a function."""
    handler = answer if callable(answer) else lambda _: answer
    secrets = settings.pop("secrets", SECRETS)
    settings.setdefault("sleep", skip_waiting)
    return Runtime(secrets=secrets, transport=httpx2.MockTransport(handler), environ={}, **settings)


def write_demo(folder: Path, service: dict[str, Any], operations: dict[str, Any]) -> Path:
    """A connector `demo` with one resource `things`."""
    (folder / "demo.json").write_text(
        json.dumps(
            {
                "handle": "demo",
                "service": service,
                "resources": [
                    {
                        "handle": "things",
                        "endpoint": "/things",
                        "fields": [{"name": "id", "type": "String"}],
                        "operations": operations,
                    }
                ],
            }
        )
    )
    return folder


async def test_a_call_sends_what_was_declared_and_maps_what_came() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"id": "c1", "choices": [{"message": {"content": "Hello"}}, {"message": {}}]})

    async with make(answer) as rt:
        result = await rt.call("mistral-ai", "chat-completions.create", CHAT)
    assert result.ok
    assert result.fields is not None
    assert result.fields["choices_message_content"] == ["Hello", None]
    assert json.loads(seen[0].content) == {
        "model": "mistral-small-latest",
        "messages": [{"role": "user", "content": "Say hello"}],
        "temperature": 0.7,
        "max_tokens": 1024,
    }
    assert seen[0].headers["authorization"] == f"Bearer {CANARY}"
    assert result.request is not None
    assert result.request.headers["authorization"] == f"Bearer {MASK}"
    assert (result.status, result.attempts, len(result.run)) == (200, 1, 32)


async def test_records_of_a_list_come_one_by_one() -> None:
    async with make(httpx2.Response(200, json={"object": "list", "data": [{"id": "a"}, {"id": "b"}]})) as rt:
        assert [record["id"] async for record in rt.records("mistral-ai", "files.list", {})] == ["a", "b"]


async def test_the_one_object_of_another_operation_is_its_one_record() -> None:
    async with make(httpx2.Response(200, json={"id": "a"})) as rt:
        assert [each["id"] async for each in rt.records("mistral-ai", "files.read", {"fileId": "a"})] == ["a"]
    async with make(httpx2.Response(204)) as rt:
        assert [each async for each in rt.records("mistral-ai", "files.read", {"fileId": "a"})] == [{}]


async def test_an_answer_of_204_is_a_success_without_fields_or_warnings() -> None:
    async with make(httpx2.Response(204)) as rt:
        result = await rt.call("mistral-ai", "files.delete", {"fileId": "f"})
    assert (result.ok, result.fields, result.records, result.raw, result.warnings) == (True, None, None, None, ())


async def test_an_error_begins_with_the_providers_own_words() -> None:
    async with make(httpx2.Response(400, json={"message": "Invalid model: nope"})) as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("mistral-ai", "chat-completions.create", CHAT)
    error = caught.value
    assert error.message.startswith("Invalid model: nope")
    assert "mistral-ai chat-completions.create" in error.message
    assert (error.status, error.result.ok, error.result.raw) == (400, False, {"message": "Invalid model: nope"})


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_T35_a_redirect_is_an_error_and_is_not_followed(status: int) -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(status, headers={"location": "http://169.254.169.254/latest?token=x"})

    async with make(answer) as rt:
        with pytest.raises(ResponseError, match=r"redirect to http://169\.254\.169\.254/latest\?…") as caught:
            await rt.call("mistral-ai", "models.list", {})
    assert caught.value.status == status
    assert asked == ["https://api.mistral.ai/v1/models"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("soon", None),
        ("-1", None),
    ],
)
async def test_a_429_says_how_long_to_wait_in_both_forms(header: str, seconds: float | None) -> None:
    async with make(httpx2.Response(429, headers={"retry-after": header}), clock=lambda: 1000.0) as rt:
        with pytest.raises(RateLimited) as caught:
            await rt.call("mistral-ai", "models.list", {})
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("status", [200, 400])
async def test_T53_a_provider_that_echoes_the_credential_is_masked(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"message": f"bad header Bearer {CANARY}"}) if status == 400 else f"<html>{CANARY}"
    async with make(httpx2.Response(status, text=body)) as rt:
        with pytest.raises(ConnectorError) as caught:
            await rt.call("mistral-ai", "models.list", {})
    error: Any = caught.value
    shown = f"{error} {error!r} {error.__dict__} {error.response.body!r} {dict(error.request.headers)} {caplog.text}"
    assert CANARY not in shown
    assert MASK in shown


async def test_T53_a_success_that_echoes_the_token_is_masked_too() -> None:
    async with make(httpx2.Response(200, json={"id": f"Bearer {CANARY}"})) as rt:
        result = await rt.call("mistral-ai", "files.read", {"fileId": "f"})
    assert CANARY not in repr(result)
    assert (result.fields or {})["id"] == f"Bearer {MASK}"


async def test_a_user_name_in_a_successful_answer_is_data(tmp_path: Path) -> None:
    auth = {"method": "basic", "params": {"username": "{{user}}", "password": "{{password}}"}}
    write_demo(tmp_path, {"baseURL": "https://example.com", "auth": auth}, {"read": {"method": "GET", "path": "/me"}})
    answer = httpx2.Response(200, json={"id": "ann@example.com", "note": CANARY})
    values = {"demo": {"user": "ann@example.com", "password": CANARY}}
    async with make(answer, definitions=tmp_path, secrets=values) as rt:
        result = await rt.call("demo", "things.read", {})
    assert result.raw == {"id": "ann@example.com", "note": MASK}


@pytest.mark.parametrize("place", range(150, 260, 3))
async def test_T53_no_part_of_a_secret_is_left_where_an_unreadable_answer_is_cut(place: int) -> None:
    async with make(httpx2.Response(200, text="x" * place + CANARY)) as rt:
        with pytest.raises(MappingError) as caught:
            await rt.call("mistral-ai", "models.list", {})
    assert CANARY[:6] not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx2.Response(200, html="<html>Sign in"), "text/html"),
        (httpx2.Response(200, text='{"id": '), "not JSON"),
        (httpx2.Response(200, json=3), "single JSON value"),
        (httpx2.Response(200, text="[" * 100_000), "nests too deeply"),
    ],
    ids=["T48-html", "T48-truncated", "T48-scalar", "T47-depth"],
)
async def test_an_answer_that_cannot_be_read_names_the_operation_and_shows_both_sides(
    answer: httpx2.Response, said: str
) -> None:
    async with make(answer) as rt:
        with pytest.raises(MappingError, match=said) as caught:
            await rt.call("mistral-ai", "models.read", {"modelId": "m"})
    error = caught.value
    assert error.operation == "mistral-ai models.read"
    assert error.request is not None
    assert error.request.headers["authorization"] == f"Bearer {MASK}"
    assert error.response is not None
    assert error.response.status == 200


async def test_T19_a_path_that_would_reach_the_collection_is_refused_before_anything_is_sent() -> None:
    sent: list[Any] = []
    async with make(lambda request: sent.append(request) or httpx2.Response(200)) as rt:
        for value in ("..", ".", ""):
            with pytest.raises(InputError):
                await rt.call("mistral-ai", "files.delete", {"fileId": value})
    assert sent == []


async def test_unknown_names_name_the_nearest() -> None:
    rt = make(httpx2.Response(200))
    with pytest.raises(UnknownConnector) as connector:
        rt.render("mistral", "models.list", {})
    assert "mistral-ai" in connector.value.hint
    with pytest.raises(UnknownOperation) as operation:
        rt.render("mistral-ai", "model.list", {})
    assert "models.list" in operation.value.hint


async def test_a_missing_credential_says_which_variable_to_set() -> None:
    rt = make(httpx2.Response(200), secrets={})
    with pytest.raises(MissingCredentials) as caught:
        await rt.call("mistral-ai:team-b", "models.list", {})
    assert "CONNECTOR_SECRET__MISTRAL_AI__TEAM_B__APITOKEN" in caught.value.hint


async def test_an_input_that_is_not_right_names_the_command_that_describes_it() -> None:
    rt = make(httpx2.Response(200))
    with pytest.raises(InputError) as called:
        await rt.call("mistral-ai:team-b", "models.read", {"modelId": ".."})
    with pytest.raises(InputError) as rendered:
        rt.render("mistral-ai:team-b", "models.read", {"modelId": ".."})
    assert called.value.hint == rendered.value.hint == "see: connector describe mistral-ai models.read"


async def test_rendering_masks_and_shows_only_on_demand() -> None:
    rt = make(httpx2.Response(200))
    shown = rt.render("mistral-ai", "models.list", {})
    assert shown.headers["authorization"] == f"Bearer {MASK}"
    assert CANARY not in repr(shown)
    assert rt.render("mistral-ai", "models.list", {}, show_secrets=True).headers["authorization"] == f"Bearer {CANARY}"


async def test_rendering_without_a_credential_shows_a_mask_and_refuses_to_show_it() -> None:
    rt = make(httpx2.Response(200), secrets={})
    assert rt.render("mistral-ai", "models.list", {}).headers["authorization"] == f"Bearer {MASK}"
    with pytest.raises(MissingCredentials):
        rt.render("mistral-ai", "models.list", {}, show_secrets=True)


@pytest.mark.parametrize("token", ["tok\n", "é", "", "x" * 1024 * 1024, " t"], ids=["lf", "e", "empty", "1MB", "space"])
async def test_T28_a_credential_that_no_header_carries_is_refused_and_never_echoed(token: str) -> None:
    rt = make(httpx2.Response(200), secrets={"mistral-ai": {"apiToken": token}})
    with pytest.raises(MissingCredentials, match="apiToken") as caught:
        await rt.call("mistral-ai", "models.list", {})
    assert len(str(caught.value)) < 300
    assert not token.strip() or token not in str(caught.value)


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "Connection", ":authority", "X A", ""])
async def test_T27_a_connection_cannot_choose_a_header_that_frames_the_message(tmp_path: Path, name: str) -> None:
    write_demo(tmp_path, CHOSEN_HEADER, {"list": {"method": "GET"}})
    rt = make(httpx2.Response(200), definitions=tmp_path, secrets={"demo": {"key": CANARY, "headerName": name}})
    with pytest.raises(MissingCredentials, match="headerName"):
        await rt.call("demo", "things.list", {})


async def test_another_header_carries_the_raw_token(tmp_path: Path) -> None:
    write_demo(tmp_path, CHOSEN_HEADER, {"list": {"method": "GET"}})
    rt = make(httpx2.Response(200), definitions=tmp_path, secrets={"demo": {"key": CANARY, "headerName": "X-Key"}})
    assert rt.render("demo", "things.list", {}, show_secrets=True).headers["x-key"] == CANARY


async def test_a_base_url_that_the_operator_names_moves_the_call() -> None:
    rt = make(httpx2.Response(200), base_urls={"mistral-ai": "http://127.0.0.1:9/v1/"})
    assert rt.render("mistral-ai", "models.list", {}).url == "http://127.0.0.1:9/v1/models"


@pytest.mark.parametrize(
    "base",
    [
        "http://127.0.0.1:9",
        "https://169.254.169.254",
        "https://localhost",
        "http://example.com",
        "https://example.com:22",
    ],
    ids=["T32", "T31", "T32-name", "T39-http", "T39-port"],
)
async def test_a_definition_cannot_name_an_address_that_only_the_operator_may(tmp_path: Path, base: str) -> None:
    write_demo(tmp_path, {"baseURL": base}, {"list": {"method": "GET"}})
    async with Runtime(tmp_path, environ={}) as rt:
        with pytest.raises(BlockedAddress) as caught:
            await rt.call("demo", "things.list", {})
    assert "demo things.list" in caught.value.message


async def test_a_provider_that_is_not_there_is_a_transport_error_that_names_the_operation(tmp_path: Path) -> None:
    write_demo(tmp_path, {"baseURL": "https://example.com"}, {"list": {"method": "GET"}})
    async with Runtime(tmp_path, base_urls={"demo": "http://127.0.0.1:1"}, environ={}, sleep=skip_waiting) as rt:
        with pytest.raises(TransportError, match=r"demo things\.list"):
            await rt.call("demo", "things.list", {})


async def test_T10_a_credential_in_a_path_is_masked_wherever_it_is_shown(tmp_path: Path) -> None:
    auth = {"method": "api_token", "params": {"k": {"token": "{{botToken}}", "headerName": "X-Key"}}}
    service = {"baseURL": "https://example.com", "auth": auth}
    write_demo(tmp_path, service, {"read": {"method": "GET", "path": "/{{botToken}}"}})
    answer = httpx2.Response(404, json={"description": "no"})
    async with make(answer, definitions=tmp_path, secrets={"demo": {"botToken": "bot/canary"}}) as rt:
        assert rt.render("demo", "things.read", {}).url == "https://example.com/things/***"
        with pytest.raises(ResponseError) as caught:
            await rt.call("demo", "things.read", {})
    assert "canary" not in f"{caught.value} {caught.value.request!r} {caught.value.request.url}"


async def test_a_value_that_a_path_needs_names_the_variable_of_its_connection(tmp_path: Path) -> None:
    service = {"baseURL": "https://example.com", "params": [{"name": "account", "type": "String", "required": True}]}
    write_demo(tmp_path, service, {"read": {"method": "GET", "path": "/{{account}}"}})
    async with make(httpx2.Response(200), definitions=tmp_path, secrets={"demo:team-b": {}}) as rt:
        with pytest.raises(MissingCredentials) as caught:
            await rt.call("demo:team-b", "things.read", {})
    assert caught.value.hint == "set CONNECTOR_SECRET__DEMO__TEAM_B__ACCOUNT"


async def test_T49_a_cookie_that_a_provider_sets_is_never_sent_back() -> None:
    seen: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("cookie"))
        return httpx2.Response(200, json={"data": []}, headers={"set-cookie": "sid=tenantA"})

    async with make(answer) as rt:
        await rt.call("mistral-ai", "models.list", {})
        await rt.call("mistral-ai", "models.list", {})
    assert seen == [None, None]


async def test_nothing_matched_is_said_aloud(tmp_path: Path) -> None:
    async with make(httpx2.Response(200, json={"data": [{"id": "a", "object": "file"}]})) as rt:
        result = await rt.call("mistral-ai", "files.read", {"fileId": "f"})
    assert result.warnings == ("0 of 9 fields matched; 2 of 9 match at $.data[*]",)


def test_every_error_can_be_imported_from_both_roofs() -> None:
    import connector

    errors = [name for name in connector.__all__ if isinstance(getattr(connector, name), type)]
    shared = [name for name in errors if issubclass(getattr(connector, name), Exception)]
    assert [name for name in shared if getattr(runtime, name, None) is not getattr(connector, name)] == []


def test_the_door_lists_its_names_sorted_and_complete() -> None:
    assert runtime.__all__ == sorted(runtime.__all__)
    assert all(hasattr(runtime, name) for name in runtime.__all__)


def test_a_value_that_another_process_enters_is_used_from_the_next_call_on(tmp_path: Path) -> None:
    environment = {"CONNECTOR_KEY": Key.generate().to_text(), "CONNECTOR_HOME": str(tmp_path / "home")}
    runtime = Runtime(environ=environment)
    elsewhere = open_store(runtime.settings.store, environment)
    assert elsewhere is not None
    told = []
    for value in ("first-canary", "second-canary"):
        origin = "https://api.mistral.ai"
        elsewhere.write("mistral-ai", {"apiToken": value}, origin=origin, kinds={"apiToken": "secret"})
        request = runtime.render("mistral-ai", "models.list", {}, show_secrets=True)
        told.append(request.headers["Authorization"])
    elsewhere.remove("mistral-ai")
    with pytest.raises(MissingCredentials):
        runtime.render("mistral-ai", "models.list", {}, show_secrets=True)
    assert told == ["Bearer first-canary", "Bearer second-canary"]
