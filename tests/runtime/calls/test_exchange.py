"""One call: every attempt has credentials of its own, and a token request is never sent as the operation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.auth.methods import AUTH_METHODS, Carrier, GrantAuth
from connector.auth.tokens import Grant, make_grant
from connector.errors import MissingCredentials, ResponseError
from connector.messages import Request
from connector.protocols import Moment, Renewal
from connector.templates import Template, Unrenderable, Values
from runtime import Runtime
from tests.doubles.clock import Clock

pytestmark = pytest.mark.anyio

START = 1_800_000_000.0


class WaitingClock(Clock):
    """Time that only waiting moves."""

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True, slots=True)
class Stamp:
    """A method that signs with a nonce and a timestamp."""

    names: frozenset[str] = frozenset({"key"})
    credentials: frozenset[str] = frozenset({"key"})
    secrets: frozenset[str] = frozenset({"key"})

    def apply(self, request: Request, values: Values, moment: Moment) -> Request:
        if values["key"] == "refused" and moment.nonce != "sample":
            raise Unrenderable("key", "it cannot sign this request")
        request = request.with_header("X-Nonce", moment.nonce).with_header("X-Time", str(moment.time))
        return request.with_header("X-Key", values["key"])


@dataclass(frozen=True, slots=True)
class TokenStep:
    """A plug-in's own way to a token: one request to its token endpoint."""

    names: frozenset[str] = frozenset({"key"})
    credentials: frozenset[str] = frozenset({"key"})

    def renew(self, values: Values, grant: Grant | None, now: float, base: str) -> Renewal:
        response = yield Request("POST", f"{base}/token", body=values["key"].encode())
        return make_grant(json.loads(response.body)["access_token"], now, 3600)


class Provider(httpx2.AsyncBaseTransport):
    """Answers with what a test put in line, then with an empty object; keeps what it received."""

    def __init__(self) -> None:
        self.answers: list[httpx2.Response] = []
        self.received: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.received.append(request)
        if request.url.path.endswith("/token"):
            return httpx2.Response(200, json={"access_token": f"token-{len(self.received)}", "expires_in": 3600})
        return self.answers.pop(0) if self.answers else httpx2.Response(200, json={"id": "7"})

    def seen(self, header: str) -> list[str]:
        return [request.headers.get(header, "") for request in self.received]


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AUTH_METHODS, "stamp", lambda source, read: Stamp())
    carrier = Carrier(Template(("Authorization",)))
    monkeypatch.setitem(AUTH_METHODS, "tokenstep", lambda source, read: GrantAuth(grantor=TokenStep(), carrier=carrier))


def runtime(folder: Path, provider: Provider, clock: WaitingClock, method: str, key: str = "canary-key") -> Runtime:
    page = {"style": "page", "param": "page", "size": 1}
    operations: Mapping[str, Any] = {
        "read": {"method": "GET", "path": "/7"},
        "list": {"method": "GET", "pagination": page, "records": ["data"]},
        "create": {"method": "POST", "idempotent": {"header": "Idempotency-Key"}},
    }
    document = {
        "handle": "demo",
        "service": {
            "baseURL": "https://api.example.com",
            "auth": {"method": method},
            "params": [{"name": "key", "type": "String"}],
        },
        "resources": [
            {
                "handle": "things",
                "endpoint": "/things",
                "fields": [{"name": "id", "type": "String"}],
                "operations": operations,
            }
        ],
    }
    (folder / "demo.json").write_text(json.dumps(document))
    return Runtime(
        folder,
        secrets={"demo": {"key": key}},
        transport=provider,
        clock=clock,
        sleep=clock.sleep,
        environ={"CONNECTOR_HOME": str(folder / "home")},
    )


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def clock() -> WaitingClock:
    return WaitingClock(START)


async def test_each_retry_has_a_new_nonce_and_the_time_of_its_own(
    tmp_path: Path, provider: Provider, clock: WaitingClock, methods: None
) -> None:
    provider.answers = [httpx2.Response(503), httpx2.Response(503)]
    async with runtime(tmp_path, provider, clock, "stamp") as rt:
        result = await rt.call("demo", "things.read", {})
    assert result.attempts == 3
    assert len({nonce for nonce in provider.seen("X-Nonce") if nonce}) == 3
    times = [float(time) for time in provider.seen("X-Time")]
    assert times[0] == START
    assert times == sorted(set(times))
    assert result.request is not None
    assert result.request.headers["X-Nonce"] == provider.seen("X-Nonce")[-1], (
        "the request that is shown is the last one"
    )
    assert result.request.headers["X-Key"] == "***"


async def test_a_failure_shows_the_last_attempt_masked(
    tmp_path: Path, provider: Provider, clock: WaitingClock, methods: None
) -> None:
    provider.answers = [httpx2.Response(503) for _ in range(4)]
    async with runtime(tmp_path, provider, clock, "stamp") as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("demo", "things.read", {})
    assert caught.value.result.request.headers["X-Nonce"] == provider.seen("X-Nonce")[3]
    assert "canary" not in f"{caught.value} {caught.value.result!r}"


async def test_each_page_has_a_new_nonce(
    tmp_path: Path, provider: Provider, clock: WaitingClock, methods: None
) -> None:
    provider.answers = [httpx2.Response(200, json={"data": [{"id": str(n)}]}) for n in range(3)]
    provider.answers.append(httpx2.Response(200, json={"data": []}))
    async with runtime(tmp_path, provider, clock, "stamp") as rt:
        records = [record async for record in rt.records("demo", "things.list", {})]
    assert [record["id"] for record in records] == ["0", "1", "2"]
    assert len(set(provider.seen("X-Nonce"))) == 4


async def test_a_stream_and_a_rendered_request_have_nonces_of_their_own(
    tmp_path: Path, provider: Provider, clock: WaitingClock, methods: None
) -> None:
    async with runtime(tmp_path, provider, clock, "stamp") as rt:
        assert [chunk.fields async for chunk in rt.stream("demo", "things.read", {})] == [{"id": "7"}]
        rendered = [rt.render("demo", "things.read", {}).headers["X-Nonce"] for _ in range(2)]
    assert len({*provider.seen("X-Nonce"), *rendered}) == 3


async def test_the_idempotency_key_is_the_same_in_all_attempts_of_a_call(
    tmp_path: Path, provider: Provider, clock: WaitingClock, methods: None
) -> None:
    provider.answers = [httpx2.Response(503)]
    async with runtime(tmp_path, provider, clock, "stamp") as rt:
        await rt.call("demo", "things.create", {})
    first, second = provider.seen("Idempotency-Key")
    assert first == second != ""
    assert len(set(provider.seen("X-Nonce"))) == 2


async def test_a_value_that_cannot_sign_is_an_error_of_the_connection_and_nothing_is_sent(
    tmp_path: Path, provider: Provider, clock: WaitingClock, methods: None
) -> None:
    async with runtime(tmp_path, provider, clock, "stamp", key="refused") as rt:
        with pytest.raises(MissingCredentials, match="it cannot sign this request"):
            await rt.call("demo", "things.read", {})
    assert provider.received == []


async def test_a_token_request_of_a_plug_in_is_not_taken_for_the_operation(
    tmp_path: Path, provider: Provider, clock: WaitingClock, methods: None
) -> None:
    provider.answers = [httpx2.Response(401)]
    async with runtime(tmp_path, provider, clock, "token_step") as rt:
        result = await rt.call("demo", "things.read", {})
    assert result.fields == {"id": "7"}
    assert [request.url.path for request in provider.received] == ["/token", "/things/7", "/token", "/things/7"]
    assert provider.seen("Authorization") == ["", "Bearer token-1", "", "Bearer token-3"]
    assert result.attempts == 2
