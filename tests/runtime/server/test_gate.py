"""Who may use the HTTP interface: with a token, and without one on this machine only."""

from __future__ import annotations

import pytest

from connector.errors import ConfigurationError
from runtime.server.app import create_app
from runtime.server.gate import check_bind, is_loopback
from tests.doubles.served import TOKEN, Served, is_problem, routes

pytestmark = pytest.mark.anyio
FORWARDED = [
    ("Via", "1.1 proxy"), ("Forwarded", "for=203.0.113.9"), ("X-Real-IP", "203.0.113.9"),
    ("CF-Connecting-IP", "203.0.113.9"), ("X-Forwarded-Host", "hooks.example.com"), ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-Proto", "https"), ("True-Client-IP", "203.0.113.9"), ("X-Original-URL", "/webhooks/x"),
    ("X-Envoy-External-Address", "203.0.113.9"), ("CDN-Loop", "cloudflare"), ("X-Forwarded", "for=203.0.113.9"),
]  # fmt: skip


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


async def test_without_a_token_what_a_proxy_forwards_may_not_use_the_interface(server: Served) -> None:
    """A proxy on this machine, which webhooks need, must not make the interface public."""
    for name, value in FORWARDED:
        for path in ("/api/connections", "/api/connectors", "/metrics"):
            answer = await server.client.get(server.url + path, headers={name: value})
            assert (answer.status_code, is_problem(answer)) == (403, True), (name, path)
        assert "CONNECTOR_ADMIN_TOKEN" in answer.json()["hint"]
        assert (await server.client.get(server.url + "/healthz", headers={name: value})).status_code == 200
    assert (await server.send(headers={"via": "1.1 proxy"})).status_code == 202, "webhooks come through a proxy"


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
