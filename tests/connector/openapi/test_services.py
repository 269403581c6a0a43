"""Servers become the base URL, security schemes auth methods."""

from __future__ import annotations

from typing import Any

import pytest

from connector.openapi.importer import from_openapi
from tests.doubles.specifications import notes, render, spec


@pytest.mark.parametrize(
    ("servers", "url", "base"),
    [
        ([], "", "{{baseURL}}"),
        ([{"url": "v1"}], "", "{{baseURL}}/v1"),
        ([{"url": "/v1"}], "https://demo.example/spec.json", "https://demo.example/v1"),
        ([{"url": "http://a.example"}, {"url": "https://b.example/x/?y#z"}], "", "https://b.example/x"),
        (
            [{"url": "{scheme}://a.example", "variables": {"scheme": {"enum": ["http", "https"]}}}],
            "",
            "https://a.example",
        ),
        ([{"url": "{scheme}://a.example", "variables": {"scheme": {"default": "http"}}}], "", "http://a.example"),
        ([{"url": "https://a.example/{path}", "variables": {"path": {"default": "a/b"}}}], "", "https://a.example/a/b"),
        ([{"url": "{whole}", "variables": {"whole": {"default": "https://a.example/b"}}}], "", "https://a.example/b"),
        (
            [{"url": "https://{a-b}.example", "variables": {"a-b": {"default": "c", "enum": ["d"]}}}],
            "",
            "https://{{aB}}.example",
        ),
        ([{"url": "https://{a}.{A_}.example", "variables": []}], "", "https://{{a}}.{{a2}}.example"),
        ([{"url": "https://{x}.example", "variables": {"x": {"default": []}}}], "", "https://{{x}}.example"),
        ("none", "", "{{baseURL}}"),
    ],
)
def test_a_server_becomes_the_base_url(servers: Any, url: str, base: str) -> None:
    imported = from_openapi(spec(servers=servers), source_url=url)
    assert imported.service["service"]["baseURL"]["value"] == base


def test_segments_that_all_paths_share_belong_to_the_base_url() -> None:
    imported = from_openapi(spec({"/api/v1/a": {"get": {}}, "/api/v1/b/{c}": {"get": {}}}))
    assert imported.service["service"]["baseURL"] == {"value": "https://demo.example/api/v1"}
    assert render(imported, "b.read", c="1")[1] == "https://demo.example/api/v1/b/1"


KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}


@pytest.mark.parametrize(
    ("schemes", "methods", "lost"),
    [
        ({"a": {"type": "http", "scheme": "Bearer"}}, ["bearer"], []),
        ({"a": {"type": "http", "scheme": "basic"}}, ["basic"], []),
        ({"a": {"type": "http", "scheme": "digest"}}, ["none"], ["the HTTP scheme 'digest' is not an auth method here"]),
        ({"a": KEY}, ["apikey"], []),
        ({"a": {**KEY, "in": "query"}}, ["apikey"], []),
        ({"a": {**KEY, "in": "cookie"}}, ["apikey"], []),
        ({"a": {**KEY, "name": "Authorization"}}, ["apikey"], []),
        ({"a": {**KEY, "name": "Authorization", "description": "Bearer and the token"}}, ["apikey"], []),
        ({"a": {**KEY, "name": "Host"}}, ["none"], ["its key cannot be sent as 'Host': Host cannot be set: it belongs to the transport"]),
        ({"a": {"type": "mutualTLS"}}, ["none"], ["a client certificate is not an auth method here"]),
        ({"a": {"type": "magic"}}, ["none"], ["'magic' is not an auth method here"]),
        ({"a": {"type": "openIdConnect"}}, ["bearer"], ["OpenID Connect is not an auth method here"]),
        ({"a": {"type": "oauth2", "flows": {"password": {}}}}, ["bearer"], ["the OAuth flow 'password'"]),
        (
            {"a": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://x.example/t", "scopes": {}}}}},
            ["oauth2_client_credentials"],
            [],
        ),
        (
            {"a": {"type": "oauth2", "flows": {"authorizationCode": {"tokenUrl": "://"}}}},
            ["oauth2_authorization_code"],
            [],
        ),
        ({"a": KEY, "b": {**KEY, "name": "Y"}}, ["apikey"], ["a second way to authenticate with apikey"]),
        ({"a": {"$ref": "#/nowhere"}}, ["none"], ["the reference '#/nowhere' leads nowhere"]),
        ("none", ["none"], []),
    ],
)  # fmt: skip
def test_a_security_scheme_becomes_a_method(schemes: Any, methods: list[str], lost: list[str]) -> None:
    imported = from_openapi(spec({"/a": {"get": {}}}, components={"securitySchemes": schemes}))
    service = imported.service["service"]
    assert [each["method"] for each in (service["auth"], *service.get("authOptions", ()))] == methods
    assert notes(imported, "lost") == lost


@pytest.mark.parametrize(
    ("schemes", "headers", "lost"),
    [
        ({"a": {"type": "http", "scheme": "bearer"}, "b": KEY}, ["Authorization", "X-Key"], 0),
        ({"a": KEY, "b": {**KEY, "in": "query"}}, ["X-Key"], 1),
        ({"a": KEY, "b": {**KEY, "name": "Host"}}, ["X-Key"], 1),
        ({"a": {**KEY, "in": "query"}, "b": {**KEY, "in": "cookie"}}, [], 2),
    ],
)
def test_schemes_that_are_required_together_are_sent_together(schemes: Any, headers: list[str], lost: int) -> None:
    imported = from_openapi(spec(components={"securitySchemes": schemes}, security=[{"a": [], "b": []}, "x"]))
    auth = imported.service["service"]["auth"]
    sent = [each["headerName"]["value"] for each in auth["params"].values() if "headerName" in each]
    assert (sent, len(notes(imported, "lost"))) == (headers, lost)


def test_scopes_are_those_that_operations_require_and_a_token_never_takes_the_name_of_a_server_variable() -> None:
    flow = {"authorizationUrl": "https://x.example/a", "tokenUrl": "/t", "scopes": {"read": "", "write": ""}}
    schemes = {"o": {"type": "oauth2", "flows": {"authorizationCode": flow}}, "t": {"type": "http", "scheme": "bearer"}}
    imported = from_openapi(
        spec(
            {"/a": {"get": {"security": [{"o": ["read", "other"]}, {"t": []}]}, "put": {"security": [{}]}}},
            components={"securitySchemes": schemes},
            servers=[{"url": "https://{token}.example", "variables": {"token": {"default": "x"}}}],
        )
    )
    auth = imported.service["service"]["auth"]
    assert auth == {
        "method": "oauth2_authorization_code",
        "params": {"authURL": {"value": "https://x.example/a"}},
        "scopes": ["read"],
    }
    assert imported.service["service"]["authOptions"][0]["params"]["token"]["value"] == "{{tokenSecret}}"
