"""Tokens obtained, renewed, saved and given up, against a real authorization server over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from connector.auth.oauth import authorization_url, code_request
from connector.auth.tokens import Grant, read_grant
from connector.errors import MissingCredentials, NeedsReauthorization, ResponseError, TransportError
from connector.messages import MASK
from connector.parsing.connectors import parse_connector
from runtime import Runtime
from runtime.cli.root import cli
from tests.doubles.authorization_server import (
    CLIENT_ID,
    CLIENT_SECRET,
    EC_KEY,
    REDIRECT_URI,
    RSA_KEY,
    Server,
    basic,
    serving,
)
from tests.doubles.clock import Clock
from tests.doubles.faults import FaultServer

pytestmark = pytest.mark.anyio

VALUES = {"clientID": CLIENT_ID, "clientSecret": CLIENT_SECRET}
VERIFIER = "canary-verifier-" + "v" * 40


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def definition(auth: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "handle": "demo",
        "service": {"baseURL": "https://api.example.com/api", "auth": auth},
        "resources": [
            {
                "handle": "things",
                "endpoint": "/things",
                "fields": [{"name": "id", "type": "String"}],
                "operations": {"read": {"method": "GET"}, "do": {"method": "POST"}},
            }
        ],
    }


class Bench:
    """Makes runtimes for one definition."""

    def __init__(self, folder: Path, server: Server, clock: Clock) -> None:
        self.folder = folder
        self.server = server
        self.clock = clock
        self.waited: list[float] = []
        #: Origins that the operator named beside the server's.
        self.named: dict[str, str] = {}

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)

    def runtime(
        self, auth: Mapping[str, Any], values: Mapping[str, Any] = VALUES, grant: Mapping[str, Any] | None = None
    ) -> Runtime:
        (self.folder / "demo.json").write_text(json.dumps(definition(auth)))
        rt = Runtime(
            self.folder,
            secrets={"demo": {"tokenURL": f"{self.server.url}/token", "authURL": f"{self.server.url}/auth", **values}},
            base_urls={"demo": f"{self.server.url}/api", **self.named},
            clock=self.clock,
            sleep=self.sleep,
            environ={"CONNECTOR_HOME": str(self.folder / "home")},
        )
        if grant is not None:
            rt.vault._grants["demo"] = dict(grant)  # noqa: SLF001 - what a login saved
        return rt


@pytest.fixture
def bench(tmp_path: Path, server: Server, clock: Clock) -> Bench:
    return Bench(tmp_path, server, clock)


CREDENTIALS = {"method": "oauth2_client_credentials", "scopes": ["read", "write"]}
CODE = {"method": "oauth2_authorization_code"}


async def test_a_client_gets_a_token_once_and_uses_it_for_every_call(bench: Bench, server: Server) -> None:
    async with bench.runtime(CREDENTIALS) as rt:
        for _ in range(3):
            assert (await rt.call("demo", "things.read", {})).fields == {"id": "7"}
    expected = {"grant_type": "client_credentials", "scope": "read write", "auth": basic(CLIENT_ID, CLIENT_SECRET)}
    assert server.asked == [expected]
    assert len(server.called) == 3


async def test_a_clients_secret_travels_in_the_body_where_the_definition_says_so(bench: Bench, server: Server) -> None:
    server.client_auth = "client_secret_post"
    auth = {**CREDENTIALS, "params": {"clientAuth": "body", "tokenParams": {"audience": "https://api"}}}
    async with bench.runtime(auth) as rt:
        assert (await rt.call("demo", "things.read", {})).ok
    assert server.asked[0]["client_secret"] == CLIENT_SECRET
    assert (server.asked[0]["auth"], server.asked[0]["audience"]) == ("", "https://api")


async def test_all_of_a_client_may_be_one_json_value(bench: Bench, server: Server) -> None:
    blob = json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "token_url": f"{server.url}/token"})
    auth = {"method": "oauth2_client_credentials", "params": {"credentials": "{{credentials}}"}}
    async with bench.runtime(auth, {"credentials": blob}) as rt:
        assert (await rt.call("demo", "things.read", {})).ok


async def test_a_token_is_renewed_before_it_ends(bench: Bench, server: Server, clock: Clock) -> None:
    async with bench.runtime(CREDENTIALS) as rt:
        await rt.call("demo", "things.read", {})
        clock.now += 3600 - 61
        await rt.call("demo", "things.read", {})
        assert len(server.asked) == 1
        clock.now += 2
        await rt.call("demo", "things.read", {})
    assert len(server.asked) == 2


async def test_a_token_that_the_provider_refuses_is_renewed_once(bench: Bench, server: Server) -> None:
    async with bench.runtime(CREDENTIALS) as rt:
        await rt.call("demo", "things.read", {})
        server.tokens[0].revoked = True
        result = await rt.call("demo", "things.do", {})
    assert (result.ok, result.attempts, len(server.asked)) == (True, 2, 2)


async def test_P3_new_tokens_that_are_refused_as_well_are_not_asked_for_again_and_again(
    bench: Bench, server: Server, clock: Clock
) -> None:
    server.api = lambda _: (401, {"message": "nobody may"})
    async with bench.runtime(CREDENTIALS) as rt:
        for _ in range(5):
            with pytest.raises(ResponseError, match="nobody may"):
                await rt.call("demo", "things.read", {})
        assert len(server.asked) == 2
        clock.now += 901
        with pytest.raises(ResponseError, match="nobody may"):
            await rt.call("demo", "things.read", {})
    assert len(server.asked) == 3


async def test_K11_many_calls_at_once_make_one_refresh(bench: Bench, server: Server) -> None:
    async with bench.runtime(CODE, grant=server.issue()) as rt:
        results = await asyncio.gather(*(rt.call("demo", "things.read", {}) for _ in range(20)))
    assert [result.ok for result in results] == [True] * 20
    assert [each["grant_type"] for each in server.asked] == ["refresh_token"]


async def test_K11_a_rotated_refresh_token_is_saved_before_its_token_is_used(bench: Bench, server: Server) -> None:
    saved: list[tuple[str, int]] = []
    async with bench.runtime(CODE, grant=server.issue()) as rt:
        save = rt.vault.save_grant

        async def watched(connection: str, grant: Mapping[str, Any]) -> None:
            saved.append((grant["refresh_token"], len(server.called)))
            await save(connection, grant)

        rt.vault.save_grant = watched  # type: ignore[method-assign]
        await rt.call("demo", "things.read", {})
    assert saved == [(server.tokens[-1].fields["refresh_token"], 0)]
    assert server.tokens[0].revoked


async def test_K11_no_other_call_uses_a_token_while_it_is_being_saved(bench: Bench, server: Server) -> None:
    async with bench.runtime(CODE, grant=server.issue()) as rt:
        save, saving, may_go_on = rt.vault.save_grant, asyncio.Event(), asyncio.Event()

        async def slow(connection: str, grant: Mapping[str, Any]) -> None:
            saving.set()
            await may_go_on.wait()
            await save(connection, grant)

        rt.vault.save_grant = slow  # type: ignore[method-assign]
        first = asyncio.create_task(rt.call("demo", "things.read", {}))
        await saving.wait()
        second = asyncio.create_task(rt.call("demo", "things.read", {}))
        # Long enough for a call over loopback that waits for nothing.
        done, _ = await asyncio.wait({first, second}, timeout=0.3)
        early = len(done), list(server.called)
        may_go_on.set()
        await asyncio.gather(first, second)
    assert early == (0, [])
    assert len(server.asked) == 1


async def test_K11_a_renewal_is_finished_and_saved_though_its_call_is_cancelled(bench: Bench, server: Server) -> None:
    async with bench.runtime(CODE, grant=server.issue()) as rt:
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()

        def hold(_: Mapping[str, str]) -> None:
            loop.call_soon_threadsafe(asked.set)

        server.instead = hold
        call = asyncio.create_task(rt.call("demo", "things.read", {}))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert rt.vault.grant("demo")["refresh_token"] == server.tokens[-1].fields["refresh_token"]


async def test_K11_a_grant_that_could_not_be_saved_is_not_used_and_not_lost(bench: Bench, server: Server) -> None:
    async with bench.runtime(CODE, grant=server.issue()) as rt:
        save = rt.vault.save_grant

        async def full(connection: str, grant: Mapping[str, Any]) -> None:
            raise OSError("no space left")

        rt.vault.save_grant = full  # type: ignore[method-assign]
        with pytest.raises(OSError, match="no space left"):
            await rt.call("demo", "things.read", {})
        assert server.called == []
        rt.vault.save_grant = save  # type: ignore[method-assign]
        assert (await rt.call("demo", "things.read", {})).ok
    assert len(server.asked) == 1


async def test_K11_P3_a_lost_refresh_token_is_said_plainly_and_asked_with_once(
    bench: Bench, server: Server, clock: Clock
) -> None:
    grant = {**server.issue(), "refresh_token": "canary-lost"}
    async with bench.runtime(CODE, grant=grant) as rt:
        for _ in range(3):
            with pytest.raises(NeedsReauthorization) as caught:
                await rt.call("demo", "things.read", {})
            assert "invalid_grant" in caught.value.message
            assert "connector connections login demo" in caught.value.hint
            assert "canary" not in str(caught.value) + caught.value.hint
        assert (len(server.asked), server.called) == (1, [])
        assert "invalid_grant" in rt.vault.grant("demo")["needs_reauth"]
        marked = rt.vault.grant("demo")
    async with bench.runtime(CODE, grant=marked) as rt:
        with pytest.raises(NeedsReauthorization):
            await rt.call("demo", "things.read", {})
        assert len(server.asked) == 1
        clock.now += 901
        with pytest.raises(NeedsReauthorization):
            await rt.call("demo", "things.read", {})
        assert len(server.asked) == 2
        # A login ends it at once.
        await rt.vault.save_grant("demo", server.issue())
        assert (await rt.call("demo", "things.read", {})).ok


async def test_C1_a_clock_that_is_set_back_does_not_lengthen_the_pause(
    bench: Bench, server: Server, clock: Clock
) -> None:
    async with bench.runtime(CREDENTIALS, {**VALUES, "clientSecret": "wrong"}) as rt:
        with pytest.raises(NeedsReauthorization, match="invalid_client"):
            await rt.call("demo", "things.read", {})
        clock.now -= 3 * 86400
        with pytest.raises(NeedsReauthorization) as caught:
            await rt.call("demo", "things.read", {})
    assert len(server.asked) == 2
    assert "connector connections set demo" in caught.value.hint


async def test_an_outage_of_the_token_endpoint_is_no_refusal(bench: Bench, server: Server, clock: Clock) -> None:
    server.instead = lambda _: (503, {})
    async with bench.runtime(CREDENTIALS) as rt:
        for _ in range(3):
            with pytest.raises(TransportError, match="503"):
                await rt.call("demo", "things.read", {})
        assert len(server.asked) == 1
        server.instead = lambda _: None
        clock.now += 2
        assert (await rt.call("demo", "things.read", {})).ok


@pytest.mark.parametrize("status", [429, 503])
async def test_P1_a_token_endpoint_that_names_a_time_is_asked_again_then(
    bench: Bench, server: Server, status: int
) -> None:
    answers = [(status, {"error": "slow_down"}), None]
    server.instead = lambda _: answers.pop(0)
    server.fields = {"Retry-After": "3"}
    async with bench.runtime(CREDENTIALS) as rt:
        assert (await rt.call("demo", "things.read", {})).ok
    assert (bench.waited, len(server.asked)) == ([3.0], 2)


async def test_P1_a_token_endpoint_that_asks_for_too_long_a_rest_is_left_in_peace(bench: Bench, server: Server) -> None:
    server.instead = lambda _: (503, {})
    server.fields = {"Retry-After": "3600"}
    async with bench.runtime(CREDENTIALS) as rt:
        for _ in range(3):
            with pytest.raises(TransportError, match="503"):
                await rt.call("demo", "things.read", {})
    assert (bench.waited, len(server.asked)) == ([], 1)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_P2_a_token_request_that_may_have_been_carried_out_is_not_repeated(
    bench: Bench, server: Server, status: int
) -> None:
    server.instead = lambda _: (status, {})
    async with bench.runtime(CREDENTIALS) as rt:
        with pytest.raises(TransportError, match=str(status)):
            await rt.call("demo", "things.read", {})
    assert (bench.waited, len(server.asked)) == ([], 1)


@pytest.mark.parametrize("fault", ["/close", "/reset", "/reset-in-body"])
async def test_K11_a_refresh_whose_answer_was_lost_is_not_repeated(bench: Bench, server: Server, fault: str) -> None:
    async with FaultServer() as faults:
        bench.named = {"elsewhere": faults.origin}
        async with bench.runtime(CODE, {**VALUES, "tokenURL": faults.url(fault)}, server.issue()) as rt:
            with pytest.raises(TransportError):
                await rt.call("demo", "things.read", {})
        assert (bench.waited, len(faults.requests)) == ([], 1)


async def test_P2_a_token_request_that_was_not_sent_is_sent_again(bench: Bench, server: Server) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    bench.named = {"elsewhere": origin}
    async with bench.runtime(CREDENTIALS, {**VALUES, "tokenURL": f"{origin}/token"}) as rt:
        with pytest.raises(TransportError, match="no connection"):
            await rt.call("demo", "things.read", {})
    assert len(bench.waited) == 3


async def test_a_token_that_still_lives_is_used_while_it_cannot_be_renewed(
    bench: Bench, server: Server, clock: Clock
) -> None:
    async with bench.runtime(CREDENTIALS) as rt:
        await rt.call("demo", "things.read", {})
        clock.now += 3600 - 30
        server.instead = lambda _: (503, {})
        assert (await rt.call("demo", "things.read", {})).ok
        assert (await rt.call("demo", "things.read", {})).ok
    assert len(server.asked) == 2


@pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, None), (EC_KEY, None), (EC_KEY, "ES256"), (RSA_KEY, "RS256")])
async def test_a_signed_assertion_is_exchanged_for_a_token(
    bench: Bench, server: Server, clock: Clock, key: Any, algorithm: str | None
) -> None:
    import time

    clock.now = time.time()
    server.public_key = key
    auth = {"method": "jwt_bearer", "params": {"algorithm": algorithm} if algorithm else {}}
    values = {"issuer": CLIENT_ID, "privateKey": key.as_pem(private=True).decode()}
    async with bench.runtime(auth, values) as rt:
        assert (await rt.call("demo", "things.read", {})).ok


async def test_a_service_account_signs_for_the_token_url_of_its_key_file(
    bench: Bench, server: Server, clock: Clock
) -> None:
    import time

    clock.now = time.time()
    account = {
        "client_email": CLIENT_ID,
        "private_key": RSA_KEY.as_pem(private=True).decode(),
        "private_key_id": "k1",
        "token_uri": f"{server.url}/token",
    }
    auth = {"method": "google_service_account", "scopes": ["s1", "s2"], "params": {"dwdSubject": "{{subject}}"}}
    async with bench.runtime(auth, {"serviceAccountJSON": json.dumps(account), "subject": "ann@example.com"}) as rt:
        assert (await rt.call("demo", "things.read", {})).ok


async def test_an_operation_gives_a_short_lived_token(bench: Bench, server: Server, clock: Clock) -> None:
    server.api = lambda credential: (
        (200, {"data": {"jwt": "canary-short"}, "ttl": "100"})
        if credential == "/api/login"
        else (200 if credential == "Token canary-short" else 401, {"id": "7"})
    )
    auth = {
        "method": "token_exchange",
        "prefix": "Token",
        "params": {
            "request": {"method": "POST", "path": "/login", "bodyTemplate": {"user": "{{user}}", "pw": "{{pw}}"}},
            "token": ["data", "jwt"],
            "expiresIn": "ttl",
        },
    }
    async with bench.runtime(auth, {"user": "ann", "pw": "canary-password"}) as rt:
        assert (await rt.call("demo", "things.read", {})).ok
        clock.now += 81
        assert (await rt.call("demo", "things.read", {})).ok
    assert server.called.count("/api/login") == 2


async def test_a_declared_signal_in_the_body_renews_the_token(bench: Bench, server: Server) -> None:
    refresh = {"statuses": [], "selector": "error", "in": ["token_expired"]}
    async with bench.runtime({**CREDENTIALS, "refresh": refresh}) as rt:
        await rt.call("demo", "things.read", {})
        old = server.called[-1]
        server.api = lambda credential: (200, {"error": "token_expired"}) if credential == old else None
        assert (await rt.call("demo", "things.read", {})).fields == {"id": "7"}
    assert len(server.asked) == 2


async def test_a_person_logs_in_with_pkce_and_the_token_is_used(bench: Bench, server: Server, clock: Clock) -> None:
    grantor: Any = getattr(parse_connector(definition({**CODE, "scopes": ["a"]})).service.auth, "grantor", None)
    values = {**VALUES, "authURL": f"{server.url}/auth", "tokenURL": f"{server.url}/token"}
    sent_back = server.allow(authorization_url(grantor, values, REDIRECT_URI, "state-1", VERIFIER))
    assert sent_back["state"] == "state-1"
    async with bench.runtime({**CODE, "scopes": ["a"]}) as rt:
        with pytest.raises(NeedsReauthorization, match="no one has allowed it yet"):
            await rt.call("demo", "things.read", {})
        request = code_request(grantor, values, sent_back["code"], REDIRECT_URI, VERIFIER)
        assert not any(secret in str(request.masked().text) for secret in (VERIFIER, sent_back["code"]))
        response = await rt._exchange.client_of("demo").send(request, operation="login")  # noqa: SLF001 - what sends a login
        await rt.vault.save_grant("demo", read_grant(response, clock.now).to_json())
        assert (await rt.call("demo", "things.read", {})).ok


async def test_no_token_is_shown_or_fetched_to_be_shown(bench: Bench, server: Server) -> None:
    async with bench.runtime(CREDENTIALS) as rt:
        shown = rt.render("demo", "things.read", {})
        assert shown.headers["Authorization"] == f"Bearer {MASK}"
        with pytest.raises(MissingCredentials, match="no token has been obtained yet"):
            rt.render("demo", "things.read", {}, show_secrets=True)
        assert server.asked == []
        result = await rt.call("demo", "things.read", {})
        token = server.tokens[0].fields["access_token"]
        assert rt.render("demo", "things.read", {}, show_secrets=True).headers["Authorization"] == f"Bearer {token}"
        assert result.request is not None
        assert result.request.headers["Authorization"] == f"Bearer {MASK}"
        server.api = lambda credential: (200, {"id": credential})
        assert (await rt.call("demo", "things.read", {})).fields == {"id": f"Bearer {MASK}"}


async def test_T38_a_token_url_that_a_connection_names_passes_the_guard(bench: Bench) -> None:
    async with bench.runtime(CREDENTIALS, {**VALUES, "tokenURL": "http://169.254.169.254/token"}) as rt:
        with pytest.raises(TransportError, match="may not be contacted"):
            await rt.call("demo", "things.read", {})


async def test_values_that_are_not_set_are_named(bench: Bench, server: Server) -> None:
    async with bench.runtime(CREDENTIALS, {}) as rt:
        with pytest.raises(MissingCredentials, match="clientID of the connection is not set") as caught:
            await rt.call("demo", "things.read", {})
    assert "CONNECTOR_SECRET__DEMO__CLIENTSECRET" in caught.value.hint
    assert server.asked == []


async def test_a_key_that_signs_nothing_is_named_and_nothing_is_sent(bench: Bench, server: Server) -> None:
    async with bench.runtime({"method": "jwt_bearer"}, {"issuer": "i", "privateKey": "canary-key"}) as rt:
        with pytest.raises(MissingCredentials, match="privateKey: it is not a private key") as caught:
            await rt.call("demo", "things.read", {})
    assert "canary" not in str(caught.value)
    assert server.asked == []


async def test_a_body_that_can_be_read_once_is_not_sent_again(bench: Bench, server: Server) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    document = definition(CREDENTIALS)
    document["resources"][0]["operations"]["put"] = {
        "method": "POST",
        "headers": {"Content-Type": "application/octet-stream"},
        "bodyTemplate": {"value": "{{file}}", "placeholders": [{"name": "file", "type": "File"}]},
    }
    async with bench.runtime(CREDENTIALS) as rt:
        (bench.folder / "demo.json").write_text(json.dumps(document))
        rt.catalog.reload("demo")
        await rt.call("demo", "things.read", {})
        server.tokens[0].revoked = True
        with pytest.raises(ResponseError, match="no such token"):
            await rt.call("demo", "things.put", {"file": pieces()})
    assert len(server.asked) == 1


async def test_what_is_forgotten_of_a_connection_is_looked_up_anew(bench: Bench, server: Server) -> None:
    async with bench.runtime(CREDENTIALS) as rt:
        await rt.call("demo", "things.read", {})
        await rt.vault.save_grant("demo", {"token": "other"})
        rt._exchange.authoriser.forget("demo")  # noqa: SLF001 - a login in this process
        server.api = lambda credential: (200, {"id": credential})
        await rt.call("demo", "things.read", {})
        assert server.called[-1] == "Bearer other"


async def test_a_stand_in_for_a_grant_is_used_and_not_saved(bench: Bench, server: Server) -> None:
    server.api = lambda _: (200, {"id": "7"})
    async with bench.runtime(CODE) as rt:
        rt.assume_grant("demo", Grant(token="stand-in", issued_at=0.0))
        assert (await rt.call("demo", "things.read", {})).ok
        assert rt.vault.grant("demo") == {}
    assert (server.called, server.asked) == (["Bearer stand-in"], [])


@pytest.mark.parametrize("method", ["oauth2_client_credentials", "oauth2_authorization_code", "jwt_bearer"])
def test_the_built_in_provider_needs_no_token_endpoint(method: str, tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text(json.dumps(definition({"method": method})))
    words = ["call", "--definitions", str(tmp_path), "--mock", "--json", "demo", "things.read"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.stdout
    assert json.loads(result.stdout)["request"]["headers"]["Authorization"] == f"Bearer {MASK}"


async def test_no_error_of_a_token_request_shows_a_secret(bench: Bench, server: Server) -> None:
    server.instead = lambda form: (400, {"error": "invalid", "error_description": f"saw {sorted(form.values())}"})
    auth = {**CREDENTIALS, "params": {"clientAuth": "body"}}
    async with bench.runtime(auth) as rt:
        with pytest.raises(NeedsReauthorization, match=r"saw \[") as caught:
            await rt.call("demo", "things.read", {})
    assert "canary" not in caught.value.message + caught.value.hint + repr(caught.value)


async def test_an_answer_that_is_no_grant_at_all_is_a_refusal(bench: Bench, server: Server) -> None:
    async with bench.runtime(CREDENTIALS) as rt:
        server.instead = lambda _: (200, b"\x00" * 10)
        with pytest.raises(NeedsReauthorization, match="no token, and no reason"):
            await rt.call("demo", "things.read", {})


async def test_T44_a_token_endpoint_that_answers_with_a_flood_is_refused(tmp_path: Path) -> None:
    """It is read in one go, so it may not be large."""
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(200, json={"access_token": "t", "padding": ["x"] * 100_000})

    (tmp_path / "demo.json").write_text(json.dumps(definition(CREDENTIALS)), "utf-8")
    values = {"clientID": "a", "clientSecret": "b", "tokenURL": "https://login.example.com/token"}
    transport = httpx2.MockTransport(answer)
    async with Runtime(tmp_path, secrets={"demo": values}, transport=transport, environ={}) as rt:
        with pytest.raises(TransportError, match="token endpoint is larger than 262144 bytes"):
            await rt.call("demo", "things.read", {})
    assert asked == ["/token"]
