"""The HTTP interface over real sockets: who is let in, one form of errors on every route, calls and events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import fastapi
import httpx2
import pytest

from connector.errors import ConfigurationError, ConnectorError, InputError, InputProblem, RateLimited
from runtime.config.catalog import Catalog
from runtime.config.settings import load_settings
from runtime.mock import MockProvider
from runtime.problems import STATUSES, status_of
from runtime.runtime import Runtime
from runtime.server.app import create_app
from runtime.server.gate import check_bind, is_loopback
from tests.doubles.served import DEMO, SECRET, TOKEN, Served, served, settings_in
from tests.project.test_docs import find_errors

pytestmark = pytest.mark.anyio
CANARY = "canary-7d1f0c55"
KEY = "bm9uc2Vuc2Utbm9uc2Vuc2Utbm9uc2Vuc2Utbm9uc2U="


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    """A server on loopback, without a token, whose provider is played."""
    settings = settings_in(tmp_path, CONNECTOR_SECRET__MISTRAL_AI__APITOKEN=CANARY)
    catalog = Catalog()
    provider = MockProvider([catalog.get("mistral-ai")], {"mistral-ai": catalog.examples("mistral-ai")})
    async with served(settings, transport=httpx2.ASGITransport(provider)) as running:
        yield running


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with an admin token and a store."""
    settings = settings_in(tmp_path, CONNECTOR_ADMIN_TOKEN=TOKEN, CONNECTOR_KEY=KEY)
    async with served(settings) as running:
        yield running


def routes(app: fastapi.FastAPI) -> list[tuple[str, str]]:
    """Each method and path of the interface, names filled in."""
    paths = app.openapi()["paths"]
    filled = [
        (method.upper(), re.sub(r"\{(\w+)\}", "none", path)) for path, methods in paths.items() for method in methods
    ]
    return [pair for pair in filled if pair[1] not in ("/healthz", "/readyz")]


def is_problem(answer: httpx2.Response) -> bool:
    document = answer.json()
    return answer.headers["content-type"] == "application/problem+json" and {
        "type", "title", "status", "detail", "code", "hint",
    } <= document.keys() and document["status"] == answer.status_code  # fmt: skip


async def test_T43_T56_every_route_is_401_without_the_token_with_a_wrong_one_and_with_two(guarded: Served) -> None:
    app = create_app(guarded.lifespan.caller)
    wrong: list[list[tuple[str, str]]] = [
        [], [("authorization", "Bearer")], [("authorization", f"Bearer {TOKEN}x")],
        [("authorization", f"Basic {TOKEN}")],
        [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")],
    ]  # fmt: skip
    for method, path in routes(app):
        for headers in wrong:
            answer = await guarded.client.request(method, guarded.url + path, headers=headers)
            assert (answer.status_code, is_problem(answer)) == (401, True), (method, path, headers)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert len(routes(app)) > 15


async def test_T43_a_page_of_another_site_cannot_use_the_server_of_this_machine(server: Served) -> None:
    url = server.url + "/api/events"
    refused: list[dict[str, str]] = [
        {"host": "evil.example"}, {"host": f"localhost.evil.example:{server.port}"}, {"host": "127.0.0.1@evil"},
        {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": f"http://localhost:{server.port}"},
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
    ]  # fmt: skip
    for headers in refused:
        answer = await server.client.get(url, headers=headers)
        assert (answer.status_code, is_problem(answer)) == (403, True), headers
    assert (await server.client.get(url, headers={"origin": server.url})).status_code == 200
    assert (await server.client.get(url, headers={"host": f"localhost:{server.port}"})).status_code == 200


FORWARDED = [
    ("Via", "1.1 proxy"), ("Forwarded", "for=203.0.113.9"), ("X-Real-IP", "203.0.113.9"),
    ("CF-Connecting-IP", "203.0.113.9"), ("X-Forwarded-Host", "hooks.example.com"), ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-Proto", "https"), ("True-Client-IP", "203.0.113.9"), ("X-Original-URL", "/webhooks/x"),
    ("X-Envoy-External-Address", "203.0.113.9"), ("CDN-Loop", "cloudflare"), ("X-Forwarded", "for=203.0.113.9"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), FORWARDED)
async def test_without_a_token_what_a_proxy_forwards_may_not_use_the_interface(
    server: Served, name: str, value: str
) -> None:
    """Red team 17: a proxy on this machine, which webhooks need, must not make the interface public."""
    for path in ("/api/connections", "/api/connectors", "/metrics"):
        answer = await server.client.get(server.url + path, headers={name: value})
        assert (answer.status_code, is_problem(answer)) == (403, True), path
    assert "CONNECTOR_ADMIN_TOKEN" in answer.json()["hint"]
    assert (await server.client.get(server.url + "/healthz", headers={name: value})).status_code == 200
    assert (await server.send(headers={name: value})).status_code == 202, "webhooks come through a proxy"


async def test_with_a_token_the_interface_is_used_through_a_proxy(guarded: Served) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "x-forwarded-for": "203.0.113.9", "via": "1.1 proxy"}
    assert (await guarded.client.get(guarded.url + "/api/connections", headers=headers)).status_code == 200


def test_a_server_with_a_public_url_needs_an_admin_token() -> None:
    with pytest.raises(ConfigurationError, match="leads to this server from outside") as caught:
        check_bind("127.0.0.1", None, "https://hooks.example.com")
    assert "CONNECTOR_ADMIN_TOKEN" in caught.value.hint
    check_bind("127.0.0.1", TOKEN, "https://hooks.example.com")
    check_bind("127.0.0.1", None, "http://localhost:8787")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_T43_a_body_that_a_page_could_send_is_415(server: Served, content_type: str) -> None:
    url = server.url + "/api/connectors/mistral-ai/operations/models.list"
    answer = await server.client.post(url, content=b"{}", headers={"content-type": content_type})
    assert (answer.status_code, is_problem(answer)) == (415, True)


def test_T43_an_address_that_others_can_reach_is_refused_without_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7", "example.com"):
        with pytest.raises(ConfigurationError, match="there is no admin token"):
            check_bind(host, None)
        check_bind(host, TOKEN)
    for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        check_bind(host, None)
    assert not is_loopback("10.0.0.1")


async def test_every_route_answers_garbage_with_a_problem_document(server: Served) -> None:
    app = create_app(server.lifespan.caller)
    for method, path in routes(app):
        if method == "GET":
            continue
        for body in (b"", b"[" * 100_000, b'{"a": NaN}', b"\xff", b"[7]"):
            answer = await server.client.request(
                method, server.url + path, content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code < 500, (method, path, body)
            assert is_problem(answer), (method, path, body[:20])


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api", "/api/connectors/", "/api/events/none", "/api/deliveries/none"]
)
async def test_an_unknown_path_or_thing_is_a_404_problem(server: Served, path: str) -> None:
    answer = await server.client.get(server.url + path)
    assert (answer.status_code, is_problem(answer)) == (404, True)


async def test_an_unknown_method_is_a_405_problem(server: Served) -> None:
    answer = await server.client.delete(server.url + "/api/events")
    assert (answer.status_code, is_problem(answer)) == (405, True)


async def test_a_body_beyond_the_limit_is_413(server: Served) -> None:
    url = server.url + "/api/connectors/mistral-ai/operations/models.list"
    answer = await server.client.post(
        url, content=b'"' + b"x" * 1_100_000 + b'"', headers={"content-type": "application/json"}
    )
    assert (answer.status_code, is_problem(answer)) == (413, True)


async def test_wrong_queries_name_the_parameter(server: Served) -> None:
    answer = await server.client.get(server.url + "/api/events?limit=0&after=x")
    assert (answer.status_code, is_problem(answer)) == (422, True)
    assert [each["name"] for each in answer.json()["errors"]] == ["after", "limit"]


def test_every_error_has_a_status_of_its_own_or_of_the_nearest_class_above_it() -> None:
    expected = {
        "InputError": 422,
        "MissingCredentials": 422,
        "UnknownOperation": 404,
        "RateLimited": 502,
        "BlockedAddress": 403,
    }
    found = {each.__name__: next(STATUSES[base] for base in each.__mro__ if base in STATUSES) for each in find_errors()}
    assert {name: found[name] for name in expected} == expected
    assert status_of(ValueError()) == 500
    assert RateLimited.__mro__.index(ConnectorError) > 1
    assert status_of(InputError("x", [InputProblem("a", "a")])) == 422


async def test_the_catalogue_has_json_schemas_of_inputs_and_fields(server: Served) -> None:
    get = server.client.get
    assert "mistral-ai" in {each["handle"] for each in (await get(server.url + "/api/connectors")).json()}
    shown = (await get(server.url + "/api/connectors/mistral-ai")).json()
    assert (shown["handle"], len(shown["triggers"])) == ("mistral-ai", 14)
    found = (await get(server.url + "/api/connectors/mistral-ai/operations")).json()
    assert "chat-completions.create" in {each["id"] for each in found}
    one = (await get(server.url + "/api/connectors/mistral-ai/operations/chat-completions.create")).json()
    inputs, fields = one["schemas"]["inputs"], one["schemas"]["fields"]
    assert (inputs["additionalProperties"], "content" in inputs["required"]) == (False, True)
    assert inputs["properties"]["temperature"]["type"] == "number"
    assert "choices_message_content" in fields["properties"]
    missing = await get(server.url + "/api/connectors/mistral-ai/operations/models.lst")
    assert (missing.status_code, missing.json()["hint"]) == (404, "did you mean 'models.list'?")
    missing = await get(server.url + "/api/connectors/mistral")
    assert (missing.status_code, missing.json()["code"]) == (404, "E_UNKNOWN_CONNECTOR")


CHAT = "/api/connectors/mistral-ai/operations/chat-completions.create"
INPUTS = {"model": "mistral-small-latest", "content": "hi"}


async def test_a_call_answers_as_the_command_line_does_with_secrets_masked(server: Served) -> None:
    answer = await server.client.post(server.url + CHAT, json=INPUTS)
    document = answer.json()
    assert (answer.status_code, document["ok"], document["status"]) == (200, True, 200)
    assert document["fields"]["choices_message_content"]
    assert document["request"]["headers"]["Authorization"] == "Bearer ***"
    assert CANARY not in answer.text


async def test_a_render_sends_nothing_and_masks_what_is_secret(server: Served) -> None:
    answer = await server.client.post(server.url + CHAT + "/render", json=INPUTS)
    assert answer.json()["json"]["messages"][0]["content"] == "hi"
    assert (answer.status_code, CANARY in answer.text) == (200, False)


async def test_inputs_that_are_not_right_are_422_and_each_is_named(server: Served) -> None:
    answer = await server.client.post(server.url + CHAT, json={"model": "m", "temprature": 1, "maxTokens": "x"})
    assert (answer.status_code, is_problem(answer)) == (422, True)
    assert {each["name"] for each in answer.json()["errors"]} == {"content", "temprature", "maxTokens"}


async def test_T71_no_input_names_a_file_of_ours(server: Served) -> None:
    url = server.url + "/api/connectors/mistral-ai/operations/files.create"
    for value in ({"path": "/etc/passwd"}, ["/etc/passwd"]):
        answer = await server.client.post(url, json={"file": value, "purpose": "batch"})
        assert answer.status_code in (404, 422)


async def test_a_providers_failure_is_502_with_its_status(server: Served, tmp_path: Path) -> None:
    async with served(
        settings_in(tmp_path / "b", CONNECTOR_SECRET__DEMO__APITOKEN=CANARY), transport=refusing()
    ) as other:
        answer = await other.client.post(
            other.url + "/api/connectors/demo/operations/things.read", json={"thingId": "7"}
        )
        assert (answer.status_code, answer.json()["provider_status"], is_problem(answer)) == (502, 418, True)
        assert ("no coffee" in answer.json()["detail"], CANARY in answer.text) == (True, False)


def refusing() -> httpx2.MockTransport:
    return httpx2.MockTransport(
        lambda request: httpx2.Response(418, json={"message": "no coffee for " + request.headers["authorization"]})
    )


async def test_a_call_is_streamed_to_whoever_accepts_events(server: Served) -> None:
    headers = {"accept": "text/event-stream"}
    lines = []
    async with server.client.stream("POST", server.url + CHAT, json=INPUTS, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in answer.aiter_lines()]
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert chunks[0]["fields"]
    assert "event: done" in lines
    refused = await server.client.post(server.url + CHAT, json={}, headers=headers)
    assert (refused.status_code, is_problem(refused)) == (422, True)


async def read_messages(server: Served, count: int, **more: Any) -> list[tuple[str, str, Any]]:
    """The first messages of the stream of events: id, event, data."""
    found: list[tuple[str, str, Any]] = []
    message: dict[str, str] = {}
    async with server.client.stream("GET", server.url + "/api/events/stream", **more) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                message[name] = value
            elif message.get("data"):
                found.append((message["id"], message["event"], json.loads(message["data"])))
                message = {}
                if len(found) == count:
                    break
    return found


async def test_events_are_listed_shown_streamed_and_resumed(server: Served) -> None:
    for number in range(3):
        await server.send({"id": f"t-{number}"}, id=f"m-{number}")
    get = server.client.get
    listed = (await get(server.url + "/api/events?limit=2")).json()
    assert ([each["seq"] for each in listed["events"]], listed["next"]) == ([1, 2], 2)
    listed = (await get(server.url + "/api/events?after=2&trigger=things/made&connection=demo")).json()
    assert ([each["subject"] for each in listed["events"]], listed["next"]) == (["t-2"], None)
    newest = (await get(server.url + "/api/events?newest_first=true&limit=1")).json()
    assert newest["events"][0]["seq"] == 3
    one = (await get(server.url + f"/api/events/{newest['events'][0]['id']}")).json()
    assert (one["specversion"], one["type"], one["source"], one["raw"]) == (
        "1.0",
        "things/made",
        "/demo/default",
        '{"id": "t-2"}',
    )
    streamed = await read_messages(server, 3, params={"after": 0})
    assert [(id, event, data["subject"]) for id, event, data in streamed] == [
        ("1", "things/made", "t-0"), ("2", "things/made", "t-1"), ("3", "things/made", "t-2"),
    ]  # fmt: skip
    resumed = await read_messages(server, 1, headers={"last-event-id": "2"})
    assert [id for id, _, _ in resumed] == ["3"]
    by_id = await read_messages(server, 1, headers={"last-event-id": streamed[1][2]["id"]})
    assert [id for id, _, _ in by_id] == ["3"]


async def test_a_stream_gives_what_comes_while_it_is_open(server: Served) -> None:
    await server.send({"id": "before"}, id="m-0")
    reading = asyncio.create_task(read_messages(server, 1, params={"trigger": "things/made"}))
    for number in range(1, 1000):
        await server.send({"id": "after"}, id=f"m-{number}")
        if reading.done():
            break
        await asyncio.sleep(0.02)
    ((_, _, data),) = reading.result()
    assert data["subject"] == "after"


async def test_a_sample_event_looks_like_a_real_one_and_is_replayed_like_one(server: Served) -> None:
    body = {"connection": "mistral-ai", "trigger": "batch-jobs/batch_job.succeeded"}
    answer = await server.client.post(server.url + "/api/events/send-test", json=body)
    made = answer.json()
    assert (answer.status_code, made["type"], made["origin"]) == (200, body["trigger"], "test")
    assert made["data"]["status"] == "SUCCESS"
    replayed = await server.client.post(server.url + f"/api/events/{made['id']}/replay")
    assert (replayed.status_code, replayed.json()) == (200, {"deliveries": 0})
    unknown = await server.client.post(server.url + "/api/events/send-test", json=body | {"trigger": "batch-jobs/x"})
    assert (unknown.status_code, is_problem(unknown)) == (404, True)


async def test_every_trigger_that_is_shipped_has_a_sample(server: Served) -> None:
    for webhook in server.lifespan.caller.catalog.get("mistral-ai").webhooks:
        body = {"connection": "mistral-ai", "trigger": webhook.id}
        answer = await server.client.post(server.url + "/api/events/send-test", json=body)
        assert (answer.status_code, answer.json()["type"]) == (200, webhook.id)
        assert any(value is not None for value in answer.json()["data"].values())


async def test_T56_values_of_a_connection_are_written_and_never_read(guarded: Served, tmp_path: Path) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    url = guarded.url + "/api/connections/demo:team-b"
    values = {"apiToken": CANARY, "webhookSecret": SECRET}
    stored = await guarded.client.put(url, json=values, headers=headers)
    assert (stored.status_code, stored.json()) == (
        200, {"connection": "demo:team-b", "set": ["apiToken", "webhookSecret"], "origin": "https://demo.example"},
    )  # fmt: skip
    seen = stored.text
    for path in (
        "/api/connections",
        "/api/connections/demo:team-b",
        "/api/connectors/demo",
        "/api/webhooks",
        "/metrics",
    ):
        answer = await guarded.client.get(guarded.url + path, headers=headers)
        assert answer.status_code == 200
        seen += answer.text
    shown = (await guarded.client.get(url, headers=headers)).json()
    assert {each["name"]: each["set"] for each in shown["values"]} == {
        "apiToken": True, "webhookSecret": True, "unsigned": False, "dedupe": False,
    }  # fmt: skip
    assert (await guarded.send(path="/webhooks/demo/made?connection=team-b")).status_code == 202
    wrong = await guarded.client.put(url, json={"apiTken": CANARY}, headers=headers)
    assert (wrong.status_code, is_problem(wrong)) == (422, True)
    gone = await guarded.client.delete(url, headers=headers)
    assert gone.json()["removed"] == ["apiToken", "webhookSecret"]
    assert (await guarded.client.delete(url, headers=headers)).status_code == 404
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock")
    assert (CANARY in seen + wrong.text, SECRET in seen, CANARY.encode() in kept) == (False, False, False)
    assert [each.action for each in await guarded.journal.audits()] == ["connection.remove", "connection.set"]


async def test_T56_a_connection_never_uses_a_secret_of_another_one(guarded: Served) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    await guarded.client.put(guarded.url + "/api/connections/demo:team-b", json={"apiToken": CANARY}, headers=headers)
    url = guarded.url + "/api/connectors/demo/operations/things.read"
    for query in ("", "?connection=team-a"):
        answer = await guarded.client.post(url + query, json={"thingId": "7"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "E_CREDENTIALS")
    answer = await guarded.client.post(url + "?connection=../x", json={"thingId": "7"}, headers=headers)
    assert answer.status_code == 422


async def test_subscriptions_and_deliveries_are_reached_and_a_secret_is_shown_once(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, CONNECTOR_KEY=KEY, CONNECTOR_SUBSCRIBER_ORIGINS="http://127.0.0.1:9")
    async with served(settings) as server:
        post, get = server.client.post, server.client.get
        url = server.url + "/api/subscriptions"
        added = await post(url, json={"url": "http://127.0.0.1:9/hook?token=x", "connection": "demo"})
        assert added.status_code == 201
        id, secret = added.json()["id"], added.json()["secret"]
        refused = await post(url, json={"url": "http://169.254.169.254/"})
        assert (refused.status_code, is_problem(refused)) == (403, True)
        assert (await post(url, json={"uri": 1})).status_code == 422
        await server.send()
        for _ in range(500):
            (delivery,) = (await get(server.url + f"/api/deliveries?subscription={id}")).json()["deliveries"]
            if delivery["attempts"]:
                break
            await asyncio.sleep(0.02)
        assert (delivery["state"], delivery["attempts"]) == ("pending", 1)
        assert len((await get(server.url + f"/api/deliveries/{delivery['id']}")).json()["history"]) == 1
        retried = await post(server.url + f"/api/deliveries/{delivery['id']}/retry")
        assert (retried.status_code, retried.json()["state"]) == (200, "pending")
        newer = (await post(url + f"/{id}/rotate")).json()["secret"]
        assert newer != secret
        assert (await post(url + f"/{id}/enable")).status_code == 200
        shown = (await get(url)).text + (await get(url + f"/{id}")).text
        assert (secret in shown, newer in shown, "token=x" in shown) == (False, False, False)
        assert (await server.client.delete(url + f"/{id}")).json() == {"id": id, "removed": True}
        assert (await get(url + f"/{id}")).status_code == 404


async def test_triggers_are_listed_and_polled_at_once(server: Served) -> None:
    rows = (await server.client.get(server.url + "/api/triggers?connection=mistral-ai")).json()
    assert len(rows) == 14
    body = {"connection": "mistral-ai", "trigger": "batch-jobs/batch_job.succeeded"}
    polled = await server.client.post(server.url + "/api/triggers/poll-now", json=body)
    assert (polled.status_code, polled.json()["trigger"]) == (200, body["trigger"])
    unknown = await server.client.post(server.url + "/api/triggers/poll-now", json=body | {"trigger": "x/y"})
    assert (unknown.status_code, is_problem(unknown)) == (404, True)
    assert (await server.client.get(server.url + "/api/automations")).json() == []
    assert (await server.client.get(server.url + "/api/automations/runs")).json() == []


async def test_health_readiness_and_metrics_tell_how_it_is(server: Served) -> None:
    get = server.client.get
    assert (await get(server.url + "/healthz")).json() == {"status": "ok"}
    await server.send()
    await server.client.post(server.url + "/webhooks/demo/made", json={})
    assert (await get(server.url + "/readyz")).json()["status"] == "ready"
    text = (await get(server.url + "/metrics")).text
    assert 'connector_webhook_messages_total{connector="demo",status="202"} 1.0' in text
    assert 'connector_webhook_messages_total{connector="demo",status="401"} 1.0' in text
    assert "connector_journal_events 1.0" in text
    assert (SECRET in text, CANARY in text, "m-1" in text) == (False, False, False)


async def test_the_docs_need_no_other_server(server: Served) -> None:
    page = (await server.client.get(server.url + "/docs")).text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert [each for each in assets if "://" in each] == []
    for each in assets:
        assert (await server.client.get(server.url + each)).status_code == 200
    described = (await server.client.get(server.url + "/openapi.json")).json()
    assert described["components"]["schemas"]["Problem"]["required"]


async def test_a_host_includes_webhooks_and_interface_in_its_own_application(tmp_path: Path) -> None:
    runtime = Runtime(settings=settings_in(tmp_path, CONNECTOR_ADMIN_TOKEN=TOKEN))
    host = fastapi.FastAPI()
    host.include_router(runtime.router())
    async with host.router.lifespan_context(host), httpx2.AsyncClient(
        transport=httpx2.ASGITransport(host), base_url="http://host.example"
    ) as client:  # fmt: skip
        served_here = Served("http://host.example", 0, None, client)  # type: ignore[arg-type]
        assert (await served_here.send()).status_code == 202
        assert (await client.get("/api/events")).status_code == 401
        answer = await client.get("/api/events", headers={"authorization": f"Bearer {TOKEN}"})
        assert [each["subject"] for each in answer.json()["events"]] == ["t-1"]
        assert is_problem(await client.get("/api/events/none"))


async def test_the_application_takes_webhooks_whatever_server_it_is_given_to(tmp_path: Path) -> None:
    app = create_app(Runtime(settings=settings_in(tmp_path)), roles=["api"])
    async with app.router.lifespan_context(app), httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://localhost"
    ) as client:  # fmt: skip
        served_here = Served("http://localhost", 0, None, client)  # type: ignore[arg-type]
        assert (await served_here.send()).status_code == 202
        assert (await served_here.send(secret="whsec_" + "A" * 32)).status_code == 401
        answer = await client.get("/api/events")
        assert [each["subject"] for each in answer.json()["events"]] == ["t-1"]
        # `%61` is an `a`, and the path is not the declared one.
        assert (await served_here.send(path="/webhooks/demo/m%61de")).status_code == 404
        assert is_problem(await client.post("/webhooks/demo/none", json={}))


def test_a_role_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown role 'pollr'"):
        create_app(Runtime(settings=load_settings({}, tmp_path)), roles=["pollr"])


async def test_a_process_without_the_role_api_answers_health_only(tmp_path: Path) -> None:
    app = create_app(Runtime(settings=settings_in(tmp_path)), roles=["poller"])
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx2.ASGITransport(app)
        client = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://localhost"))
        statuses = [(await client.get(path)).status_code for path in ("/healthz", "/readyz", "/api/events")]
        assert statuses == [200, 200, 404]
        assert (await client.post("/webhooks/demo/made", json=DEMO)).status_code == 404
