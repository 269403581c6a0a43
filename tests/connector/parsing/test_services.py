"""A service read from its block: base URL, values of the connection, and ways to authenticate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from connector.auth.methods import NoAuth
from connector.events.signatures import SIGNATURE_SCHEMES, ReadTemplate, Undeclared
from connector.parsing.connectors import parse_connector, read_connector
from connector.templates import Template
from tests.doubles.definitions import errors, service


class TemplateScheme(Undeclared):
    """A scheme of a plug-in, which compiles a template of its block."""

    @classmethod
    def from_json(cls, source: Mapping[str, Any], template: ReadTemplate) -> Any:
        return template("realm"), template("none")


def test_a_scheme_of_a_plug_in_reads_templates_of_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIGNATURE_SCHEMES, "template", TemplateScheme)
    block = {"scheme": "template", "realm": "for {{id}}"}
    found = parse_connector(service(signature=block)).service.signature
    assert found == (Template.from_text("for {{id}}"), None)


@pytest.mark.parametrize(
    "base",
    [
        pytest.param("https://api.mistral.ai@evil.example/", id="T30 userinfo"),
        pytest.param("https://api.mistral.ai:443@evil.example", id="T30 port and userinfo"),
        pytest.param("https://api.mistral.ai\\@evil.example/", id="T30 backslash"),
        pytest.param("https://a:b@127.0.0.1", id="T32 userinfo"),
        pytest.param("https://{{user}}@demo.example", id="T30 userinfo from the connection"),
        pytest.param("file:///etc/passwd", id="T39 file"),
        pytest.param("gopher://demo.example", id="T39 gopher"),
        pytest.param("unix:/run/x.sock", id="T39 unix"),
        pytest.param("https://demo.example:99999", id="T39 port"),
        pytest.param("https://demo.example:0", id="T39 port zero"),
        pytest.param("https://аpple.com", id="T40 cyrillic"),
        pytest.param("https://mistral。ai", id="T40 full stop"),
        pytest.param("https://demo.example/?x=1", id="query"),
        pytest.param("https://demo.example/#x", id="fragment"),
        pytest.param("https:// demo.example", id="space"),
        pytest.param("https://", id="no host"),
        pytest.param("demo.example", id="no scheme"),
        pytest.param("", id="empty"),
    ],
)
def test_a_base_url_that_leads_astray_is_refused_at_load(base: str) -> None:
    assert errors(service(baseURL=base)) == [("E_URL", "/service/baseURL")]
    assert errors(service(baseURL={"value": base})) == [("E_URL", "/service/baseURL/value")]


@pytest.mark.parametrize(
    "base",
    [
        "https://{{shop}}.myshopify.com/admin",
        "https://{{host}}:{{port}}/{{tenant}}",
        "{{baseUrl}}",
        "{{baseUrl}}/api/v2",
        "https://API.Demo.example.:443/v1/",
        "https://[::1]:8080",
    ],
    ids=lambda base: f"T40 {base}",
)
def test_a_base_url_may_hold_values_of_the_connection(base: str) -> None:
    connector = parse_connector(service(baseURL=base))
    assert set(connector.service.placeholders) == set(connector.service.base.names)
    assert all(each.required for each in connector.service.placeholders.values())


def test_a_value_in_a_base_url_is_always_needed() -> None:
    base = {"value": "https://{{shop}}.example", "placeholders": {"shop": {"type": "ID", "required": False}}}
    assert parse_connector(service(baseURL=base)).service.placeholders["shop"].required


def test_plain_http_is_a_lint() -> None:
    _, problems = read_connector(service(baseURL="http://127.0.0.1:8080"))
    assert [(each.code, each.pointer) for each in problems] == [("W_PLAIN_HTTP", "/service/baseURL")]


def test_values_of_the_connection_are_declared_anywhere_in_the_service_block() -> None:
    source = service(
        headers={"X-A": "{{a}}", "X-B": {"value": "{{b}}", "placeholders": {"b": {"type": "Int"}}}},
        params=[{"name": "a", "type": "String", "description": "the a", "default": "x"}, {"name": "c", "type": "ID"}],
        auth={"method": "basic", "params": {"username": "{{user}}", "password": {"value": "{{b}}"}}},
    )
    connector, problems = read_connector(source)
    assert connector is not None
    found = connector.service.placeholders
    assert {name: (each.type, each.default) for name, each in found.items()} == {
        "a": ("String", "x"),
        "b": ("Integer", None),
        "c": ("String", None),
        "user": ("String", None),
    }
    assert found["user"].required
    assert [(each.code, each.pointer) for each in problems] == [
        ("W_UNDECLARED", "/service/auth/params/username"),
    ]


def test_the_first_declaration_of_a_value_counts() -> None:
    first = {"value": "https://{{a}}.example", "placeholders": {"a": {"type": "ID", "description": "one"}}}
    source = service(baseURL=first, params={"a": {"type": "Int", "description": "two"}})
    assert parse_connector(source).service.placeholders["a"].description == "one"


def test_an_unknown_auth_method_names_the_known_ones() -> None:
    _, problems = read_connector(service(auth={"method": "telepathy"}))
    assert [(each.code, each.pointer) for each in problems] == [("E_AUTH_METHOD", "/service/auth/method")]
    assert "basic" in problems[0].hint


@pytest.mark.parametrize("method", ["api_token", "API-Token", "apiToken", "Bearer", "APIKEY", "Basic", "none"])
def test_case_and_hyphens_of_an_auth_method_do_not_matter(method: str) -> None:
    params = {"username": "{{u}}", "password": "{{p}}"} if method == "Basic" else {"token": "{{t}}"}
    assert parse_connector(service(auth={"method": method, "params": params})).service.auth is not None


def test_auth_that_lacks_what_it_needs_is_refused() -> None:
    assert errors(service(auth={"method": "basic", "params": {"password": "{{p}}"}})) == [
        ("E_AUTH", "/service/auth/params")
    ]
    assert errors(service(auth={"method": "bearer"})) == [("E_AUTH", "/service/auth/params")]


def test_auth_may_be_nested_flat_or_constant() -> None:
    nested = {"apiToken": {"token": {"value": "{{t}}"}, "headerName": "X-Key"}}
    for params in (nested, {"token": "{{t}}", "headerName": "X-Key"}, {"token": 12345, "headerName": "X-Key"}):
        assert parse_connector(service(auth={"method": "api_token", "params": params})).service.auth is not None


@pytest.mark.parametrize("name", ["Host", "Content-Length", "X A", ""], ids=lambda name: f"T27 {name!r}")
def test_a_credential_travels_in_no_header_that_frames_the_message(name: str) -> None:
    literal = {"t": {"token": "{{t}}", "headerName": name}}
    at = "/service/auth/params/t/headerName"
    assert errors(service(auth={"method": "api_token", "params": literal})) == [("E_HEADER", at)]
    if name:
        default = {"value": "{{h}}", "placeholders": {"h": {"type": "String", "default": name}}}
        chosen = {"t": {"token": "{{t}}", "headerName": default}}
        assert errors(service(auth={"method": "api_token", "params": chosen})) == [("E_HEADER", f"{at}/value")]


def test_a_header_name_left_to_the_connection_is_fine() -> None:
    params = {"t": {"token": "{{t}}", "headerName": "{{h}}"}}
    assert parse_connector(service(auth={"method": "api_token", "params": params})).handle == "demo"


def test_further_ways_to_authenticate_are_options() -> None:
    bearer = {"method": "bearer", "params": {"token": "{{t}}"}}
    both = parse_connector(service(auth={"method": "none"}, authOptions=[bearer])).service
    assert ([type(both.auth), len(both.auth_options)]) == [NoAuth, 1]
    bad = {"method": "bearer", "params": {"token": "{{ t.x }}"}}
    assert errors(service(authOptions=[bearer, bad])) == [
        ("E_TEMPLATE_GRAMMAR", "/service/authOptions/1/params/token"),
    ]
