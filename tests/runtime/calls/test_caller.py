"""Callers alone, and custom operations as they run: against the mock provider, through Runtime and command line."""

from __future__ import annotations

import base64
import email
import email.policy
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from connector.errors import ConfigurationError, MappingError, ResponseError, UnknownOutcome
from runtime import Catalog, Runtime
from runtime.cli.root import cli
from runtime.mock import MockProvider

pytestmark = pytest.mark.anyio
EXAMPLES = Path(__file__).parents[3] / "examples" / "definitions"
ORIGIN = "https://api.example.com"
Handler = Callable[[httpx2.Request], httpx2.Response]


def write(folder: Path, *operations: dict[str, Any], **service: Any) -> Path:
    whole = {
        "handle": "demo",
        "service": {
            "baseURL": ORIGIN,
            "auth": {
                "method": "bearer",
                "params": {
                    "token": {
                        "value": "{{token}}",
                        "placeholders": [{"name": "token", "type": "String", "required": True}],
                    }
                },
            },
            **service,
        },
        "operations": list(operations),
    }
    (folder / "demo.json").write_text(json.dumps(whole))
    return folder


def http(method: str, path: str, **more: Any) -> dict[str, Any]:
    return {"type": "http", "http": {"method": method, "path": path, **more}}


@asynccontextmanager
async def runtime_of(folder: Path, handler: Handler) -> AsyncIterator[Runtime]:
    async def no_wait(_: float) -> None:
        return

    transport = httpx2.MockTransport(handler)
    secrets = {"demo": {"token": "secret-canary-token"}}
    async with Runtime(folder, secrets=secrets, transport=transport, sleep=no_wait, environ={}) as rt:
        yield rt


def postbox() -> Runtime:
    catalog = Catalog([EXAMPLES])
    provider = MockProvider([catalog.get("postbox")], {"postbox": catalog.examples("postbox")})
    secrets = {"postbox": {"accessToken": "canary-of-the-box"}}
    return Runtime(EXAMPLES, secrets=secrets, transport=httpx2.ASGITransport(provider), environ={})


async def test_a_mail_is_built_sent_and_answered() -> None:
    async with postbox() as rt:
        result = await rt.call("postbox", "send-mail", {"to": "Zoë <z@example.com>", "subject": "Grüße", "text": "☃"})
    assert result.fields == {"id": "m-1", "threadId": "t-1", "labels": ["SENT", "IMPORTANT"]}
    assert (result.status, result.attempts) == (200, 1)
    assert result.request is not None
    raw = result.request.json["raw"]
    message = email.message_from_bytes(
        base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)), policy=email.policy.default
    )
    assert (message["To"], message["Subject"], message.get_content()) == ("Zoë <z@example.com>", "Grüße", "☃\r\n")


async def test_a_file_is_announced_then_uploaded(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"\x00\xff\x00")
    async with postbox() as rt:
        result = await rt.call("postbox", "store-attachment", {"name": "a.bin", "content": file})
        shown = rt.render("postbox", "store-attachment", {"name": "a.bin", "content": file})
    assert result.fields == {"id": "a-7", "size": 5}
    assert result.attempts == 2
    assert result.request is not None
    assert result.request.url == "https://postbox.example/v1/attachments/u-7/content"
    assert (shown.method, shown.url, shown.json) == (
        "POST",
        "https://postbox.example/v1/attachments",
        {"name": "a.bin"},
    )
    assert "canary" not in repr(shown.headers["authorization"])


TWO = {
    "handle": "do",
    "input": [{"name": "name", "type": "String", "required": True}],
    "steps": [
        http(
            "POST",
            "/things",
            bodyTemplate={"name": "{{name}}"},
            fields=[{"name": "id", "type": "Integer"}, {"name": "size", "type": "Integer"}],
        ),
        http("GET", "/things/{{id}}"),
    ],
    "output": [{"name": "name", "type": "String"}],
}


async def test_attempts_and_warnings_of_all_steps_come_together(tmp_path: Path) -> None:
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.method)
        if request.method == "POST":
            return httpx2.Response(200, json={"id": 7, "size": "x"})
        return httpx2.Response(200, json={"name": "a"}) if len(seen) > 3 else httpx2.Response(503)

    async with runtime_of(write(tmp_path, TWO), handler) as rt:
        result = await rt.call("demo", "do", {"name": "a"})
    assert seen == ["POST", "GET", "GET", "GET"]
    assert (result.fields, result.attempts) == ({"name": "a"}, 4)
    assert [warning for warning in result.warnings if "'size' stays raw" in warning]


async def test_each_step_is_repeated_as_its_own_method_allows(tmp_path: Path) -> None:
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.method)
        return httpx2.Response(503, json={"message": "later"})

    async with runtime_of(write(tmp_path, TWO), handler) as rt:
        with pytest.raises(ResponseError, match=r"later \(demo do, step 1 answered 503\)"):
            await rt.call("demo", "do", {"name": "a"})
    assert seen == ["POST"]


async def test_each_step_has_its_own_form_of_the_callers_idempotency_key(tmp_path: Path) -> None:
    steps = [{**step, "http": {**step["http"], "idempotent": {"header": "Idempotency-Key"}}} for step in TWO["steps"]]
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["idempotency-key"])
        return httpx2.Response(200, json={"id": 7, "size": 1, "name": "a"})

    async with runtime_of(write(tmp_path, {**TWO, "steps": steps}), handler) as rt:
        await rt.call("demo", "do", {"name": "a"}, idempotency_key="k")
        await rt.call("demo", "do", {"name": "a"})
    assert seen[:2] == ["k-1", "k-2"]
    assert len(set(seen)) == 4


async def test_K12_a_step_without_an_answer_is_not_repeated_and_named(tmp_path: Path) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadError("gone", request=request)

    async with runtime_of(write(tmp_path, TWO), handler) as rt:
        with pytest.raises(UnknownOutcome, match="demo do, step 1"):
            await rt.call("demo", "do", {"name": "a"})


async def test_the_words_of_the_provider_name_the_step_that_failed(tmp_path: Path) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            return httpx2.Response(200, json={"id": 7})
        return httpx2.Response(404, json={"message": "no thing secret-canary-token"})

    async with runtime_of(write(tmp_path, TWO), handler) as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("demo", "do", {"name": "a"})
    assert "no thing ***" in caught.value.message
    assert "demo do, step 2" in caught.value.message
    assert "canary" not in str(caught.value.result)


async def test_an_answer_without_a_needed_value_ends_the_steps(tmp_path: Path) -> None:
    async with runtime_of(write(tmp_path, TWO), lambda _: httpx2.Response(200, json={"no": 1})) as rt:
        with pytest.raises(MappingError, match="do, step 2: id is missing"):
            await rt.call("demo", "do", {"name": "a"})


async def test_the_pages_of_the_last_step_are_walked(tmp_path: Path) -> None:
    listing = {
        "handle": "search",
        "steps": [
            http("POST", "/searches", fields=[{"name": "id", "type": "String"}]),
            http(
                "GET",
                "/searches/{{id}}",
                records=["items"],
                pagination={"style": "page", "param": "page", "sizeParam": "size", "size": 2},
            ),
        ],
        "output": [{"name": "n", "type": "Integer"}],
    }
    begun: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            begun.append("search")
            return httpx2.Response(200, json={"id": "s"})
        page = int(request.url.params.get("page", "1"))
        return httpx2.Response(
            200, json={"items": [{"n": n} for n in range(2 * page, 2 * page + (2 if page < 3 else 1))]}
        )

    async with runtime_of(write(tmp_path, listing), handler) as rt:
        assert [record["n"] async for record in rt.records("demo", "search", {})] == [2, 3, 4, 5, 6]
        assert begun == ["search"]
        assert [page.attempts async for page in rt.pages("demo", "search", {})] == [2, 1, 1]
        first = await rt.call("demo", "search", {})
    assert (first.records, first.truncated, first.attempts) == ([{"n": 2}, {"n": 3}], True, 2)


async def test_the_last_step_may_be_a_stream(tmp_path: Path) -> None:
    talk = {
        "handle": "talk",
        "steps": [
            http("POST", "/sessions", fields=[{"name": "id", "type": "String"}]),
            http("GET", "/sessions/{{id}}", response={"kind": "sse", "join": ["text"]}),
        ],
        "output": [{"name": "text", "type": "String"}],
    }

    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            return httpx2.Response(200, json={"id": "s"})
        body = 'data: {"text": "Hel"}\n\ndata: {"text": "lo"}\n\ndata: [DONE]\n\n'
        return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, content=body.encode())

    async with runtime_of(write(tmp_path, talk), handler) as rt:
        chunks = [chunk.fields async for chunk in rt.stream("demo", "talk", {})]
        assert chunks == [{"text": "Hel"}, {"text": "lo"}]
        assert (await rt.call("demo", "talk", {})).fields == {"text": "Hello"}


LETTER = {
    "handle": "letter",
    "steps": [{"type": "mime_build", "mime_build": {"to": "a@b.c", "subject": "s", "body": "b"}}],
    "output": [{"name": "raw", "type": "String"}],
}


async def test_an_operation_that_asks_nobody_has_a_result_and_no_request(tmp_path: Path) -> None:
    async with runtime_of(write(tmp_path, LETTER), lambda _: httpx2.Response(500)) as rt:
        result = await rt.call("demo", "letter", {})
        assert result.fields is not None
        assert base64.urlsafe_b64decode(result.fields["raw"] + "==").startswith(b"To: a@b.c\r\n")
        assert (result.attempts, result.request) == (0, None)
        assert [page.fields async for page in rt.pages("demo", "letter", {})] == [result.fields]
        assert [chunk.fields async for chunk in rt.stream("demo", "letter", {})] == [result.fields]
        with pytest.raises(ConfigurationError, match="sends nothing"):
            rt.render("demo", "letter", {})


def run(*words: str) -> Any:
    return CliRunner().invoke(cli, [*words, "--definitions", str(EXAMPLES)], standalone_mode=False)


MAIL = ("postbox", "send-mail", "to=a@b.c", "subject=s", "text=t")


def test_the_command_line_knows_custom_operations() -> None:
    listed = run("list", "postbox", "--json").stdout
    assert {"send-mail", "store-attachment"} <= {each["id"] for each in json.loads(listed)["operations"]}
    described = json.loads(run("describe", "postbox", "store-attachment", "--json").stdout)
    assert [(each["name"], each["place"]) for each in described["inputs"]] == [("name", "body"), ("content", "body")]
    called = json.loads(run("call", *MAIL, "--mock", "--json").stdout)
    assert called["fields"]["id"] == "m-1"
    rendered = run("render", *MAIL, "--json")
    assert json.loads(rendered.stdout)["url"] == "https://postbox.example/v1/messages/send"
    assert "first of" not in rendered.stderr


def test_render_says_that_more_requests_follow(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x")
    rendered = run("render", "postbox", "store-attachment", "name=f", f"content=@{file}")
    assert rendered.stdout.startswith("POST https://postbox.example/v1/attachments HTTP/1.1")
    assert "the first of 2 requests" in rendered.stderr


def test_the_made_provider_is_strict_about_each_step_and_makes_up_what_is_not_recorded(tmp_path: Path) -> None:
    catalog = Catalog([write(tmp_path, TWO)])
    provider = MockProvider([catalog.get("demo")], {})
    from connector.headers import Headers
    from connector.messages import Request

    head = Headers({"Authorization": "Bearer x", "Content-Type": "application/json"})
    made = provider.answer(Request("POST", "http://mock/things", headers=head, body=b'{"name": "a"}'))
    assert json.loads(made.body) == {"id": 1, "size": 1}
    assert provider.answer(Request("POST", "http://mock/things", headers=head, body=b'{"other": "a"}')).status == 422
    assert json.loads(provider.answer(Request("GET", "http://mock/things/1", headers=head)).body) == {"name": "name"}


async def test_an_api_request_answers_whatever_comes(tmp_path: Path) -> None:
    answers = {
        "/json": httpx2.Response(200, json={"a": 1}),
        "/text": httpx2.Response(200, text="plain"),
        "/image": httpx2.Response(200, headers={"Content-Type": "image/png"}, content=b"\x89PNG"),
        "/none": httpx2.Response(204),
        "/events": httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, content=b'data: {"n": 1}\n\n'),
    }
    async with runtime_of(write(tmp_path, LETTER), lambda request: answers[request.url.path]) as rt:
        raws = [(await rt.call("demo", "api-request", {"path": path})).raw for path in answers]
        assert raws == [{"a": 1}, "plain", b"\x89PNG", None, [{"n": 1}]]
        chunks = [chunk.raw async for chunk in rt.stream("demo", "api-request", {"path": "/events"})]
        assert chunks == [{"n": 1}]
        pieces = [chunk.raw async for chunk in rt.stream("demo", "api-request", {"path": "/image"})]
        assert b"".join(pieces) == b"\x89PNG"


async def test_T35_T36_an_api_request_follows_no_redirect_and_keeps_its_credential(tmp_path: Path) -> None:
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(str(request.url))
        return httpx2.Response(307, headers={"Location": "https://evil.example/x"})

    async with runtime_of(write(tmp_path, LETTER), handler) as rt:
        with pytest.raises(ResponseError, match="which is not followed"):
            await rt.call("demo", "api-request", {"path": "/a"})
    assert seen == [f"{ORIGIN}/a"]


async def test_an_api_request_is_repeated_only_with_a_method_that_may_be(tmp_path: Path) -> None:
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.method)
        return httpx2.Response(503)

    async with runtime_of(write(tmp_path, LETTER), handler) as rt:
        for method in ("GET", "POST"):
            with pytest.raises(ResponseError):
                await rt.call("demo", "api-request", {"path": "/a", "method": method})
    assert seen == ["GET"] * 4 + ["POST"]


def test_the_made_provider_takes_lists_and_spread_names_as_they_come(tmp_path: Path) -> None:
    from connector.headers import Headers
    from connector.messages import Request

    body = {"list": [{"$if": "first", "a": "{{first}}"}, {"$spread": "{{items}}"}, {"b": "{{last}}"}]}
    query = {"more": {"type": "Object", "explode": True}, "n": {"type": "Integer"}}
    send = {
        "handle": "send",
        "input": [{"name": "items", "type": "Array"}, {"name": "first", "type": "String"}],
        "steps": [http("POST", "/send", queryParams=query, bodyTemplate=body)],
    }
    provider = MockProvider([Catalog([write(tmp_path, send)]).get("demo")], {})
    head = Headers({"Authorization": "Bearer x", "Content-Type": "application/json"})

    def answered(url: str, content: bytes) -> int:
        return provider.answer(Request("POST", f"http://mock{url}", headers=head, body=content)).status

    assert answered("/send?x=1&y=2&n=3", b'{"list": [{"a": "x"}, 1, {"c": 2}, {"b": "y"}]}') == 200
    assert answered("/send", b'{"list": [{"b": "y"}]}') == 200
    assert answered("/send?n=x", b'{"list": [{"b": "y"}]}') == 422
    assert answered("/send", b'{"list": [1, {"c": "y"}]}') == 422


def test_the_made_provider_takes_every_method_that_may_be_chosen(tmp_path: Path) -> None:
    from connector.headers import Headers
    from connector.messages import Request

    how = {"value": "{{how}}", "placeholders": {"how": {"type": "String", "options": ["put", "DELETE"]}}}
    touch = {"handle": "touch", "steps": [{"type": "http", "http": {"method": how, "path": "/touch"}}]}
    provider = MockProvider([Catalog([write(tmp_path, touch)]).get("demo")], {})
    head = Headers({"Authorization": "Bearer x"})
    statuses = [
        provider.answer(Request(each, "http://mock/touch", headers=head)).status for each in ("PUT", "DELETE", "GET")
    ]
    assert statuses == [200, 200, 405]
