"""Auth, by stepping its generator: each accepted spelling and shape of params, and the values it refuses."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from connector.auth import AUTH_METHODS, FORBIDDEN_HEADERS, Auth, NoAuth, check_header_name, find_auth_method
from connector.errors import ConnectorError, InvalidDefinition
from connector.messages import Headers, Request, Response
from connector.parsing import parse_connector
from connector.templates import Unrenderable

REQUEST = Request("GET", "https://api.example.com/v1", Headers({"Accept": "application/json"}))


def read(method: str, params: Mapping[str, Any] | None = None) -> Auth:
    """The auth of a definition with these params."""
    auth = {"method": method} if params is None else {"method": method, "params": params}
    return parse_connector(
        {"handle": "demo", "service": {"baseURL": "https://api.example.com", "auth": auth}}
    ).service.auth


def added(auth: Auth, values: Mapping[str, str], request: Request = REQUEST) -> dict[str, str]:
    """The headers that one step of the flow adds."""
    flow = auth.flow(request, values)
    sent = next(flow)
    with pytest.raises(StopIteration):
        flow.send(Response(200))
    return {name: value for name, value in sent.headers.items() if name not in request.headers}


@pytest.mark.parametrize("spelling", ["api_token", "API-Token", "apiToken", "apitoken", "API_TOKEN"])
def test_the_spelling_of_a_method_does_not_matter(spelling: str) -> None:
    assert find_auth_method(spelling) is AUTH_METHODS["apitoken"]


def test_an_unknown_method_is_none() -> None:
    assert find_auth_method("kerberos") is None


def test_without_a_method_nothing_is_added() -> None:
    assert added(read("none"), {}) == {}
    assert NoAuth().credentials == frozenset()


@pytest.mark.parametrize(
    ("method", "params", "values", "expected"),
    [
        pytest.param("bearer", {"token": "{{t}}"}, {"t": "k"}, {"Authorization": "Bearer k"}, id="bearer"),
        pytest.param("api_token", {"apiToken": "{{t}}"}, {"t": "k"}, {"Authorization": "Bearer k"}, id="flat, any key"),
        pytest.param("api_token", {"token": {"value": "{{t}}"}}, {"t": "k"}, {"Authorization": "Bearer k"}, id="value"),
        pytest.param(
            "api_token",
            {"token": "{{t}}", "headerName": "X-Token"},
            {"t": "k"},
            {"X-Token": "k"},
            id="flat with header",
        ),
        pytest.param(
            "api_token",
            {"apiToken": {"token": "{{t}}", "headerName": {"value": "{{h}}"}}},
            {"t": "k", "h": "X-Mine"},
            {"X-Mine": "k"},
            id="nested, header from the connection",
        ),
        pytest.param(
            "api_token",
            {"apiToken": {"token": {"value": "{{t}}"}, "headerName": "authorization"}},
            {"t": "k"},
            {"authorization": "Bearer k"},
            id="nested, header in lower case",
        ),
        pytest.param(
            "api_token",
            {"a": {"token": "{{api}}", "headerName": "DD-API-KEY"}, "b": {"token": "{{app}}", "headerName": "DD-APP"}},
            {"api": "1", "app": "2"},
            {"DD-API-KEY": "1", "DD-APP": "2"},
            id="several are all sent",
        ),
        pytest.param("apikey", {"apikey": "{{t}}"}, {"t": "k"}, {"X-API-Key": "k"}, id="default header"),
        pytest.param(
            "apikey",
            {"apikey": "{{t}}", "APIKeyHeader": "X-Goog-Api-Key"},
            {"t": "k"},
            {"X-Goog-Api-Key": "k"},
            id="APIKeyHeader",
        ),
        pytest.param(
            "apikey",
            {"apikey": "{{t}}", "APIKeyHeader": "Authorization"},
            {"t": "k"},
            {"Authorization": "Bearer k"},
            id="the same rule",
        ),
        *(
            pytest.param("api_token", {"t": "{{t}}"}, {"t": token}, {"Authorization": token}, id=f"scheme {token}")
            for token in ("Bearer k", "Token k", "Basic YTpi", "SSWS  k", "GoogleLogin auth=k", "Api-Key k")
        ),
        pytest.param(
            "api_token", {"t": "Klaviyo-API-Key {{t}}"}, {"t": "k"}, {"Authorization": "Klaviyo-API-Key k"}, id="prefix"
        ),
        pytest.param("api_token", {"t": "{{t}}"}, {"t": "a=b;c"}, {"Authorization": "Bearer a=b;c"}, id="no scheme"),
    ],
)
def test_a_token_travels_in_its_header(
    method: str, params: Mapping[str, Any], values: Mapping[str, str], expected: Mapping[str, str]
) -> None:
    assert expected == added(read(method, params), values)


def test_only_tokens_are_credentials_and_not_the_names_of_their_headers() -> None:
    auth = read("api_token", {"apiToken": {"token": "{{t}}", "headerName": "{{h}}"}})
    assert auth.credentials == {"t"}


def test_an_operations_own_header_wins_over_auth() -> None:
    request = Request("GET", "https://h/", Headers({"Authorization": "own"}), own_headers=frozenset({"authorization"}))
    assert next(read("bearer", {"token": "{{t}}"}).flow(request, {"t": "k"})).headers == {"Authorization": "own"}


def test_auth_wins_over_a_header_of_the_service() -> None:
    request = Request("GET", "https://h/", Headers({"authorization": "service"}))
    assert next(read("bearer", {"token": "{{t}}"}).flow(request, {"t": "k"})).headers == {"Authorization": "Bearer k"}


@pytest.mark.parametrize(
    "params",
    [
        {"username": "{{u}}", "password": "{{p}}"},
        {"basic": {"username": "{{u}}", "password": "{{p}}"}},
        {"Username": {"value": "{{u}}"}, "PASSWORD": {"value": "{{p}}"}},
    ],
    ids=["flat", "nested", "other case"],
)
def test_basic_is_user_and_password_in_base64(params: Mapping[str, Any]) -> None:
    auth = read("basic", params)
    expected = base64.b64encode("ann:p:ä".encode()).decode()
    assert added(auth, {"u": "ann", "p": "p:ä"}) == {"Authorization": f"Basic {expected}"}
    assert auth.credentials == {"u", "p"}


def test_basic_may_have_no_password() -> None:
    expected = {"Authorization": "Basic " + base64.b64encode(b"sk_live:").decode()}
    assert added(read("basic", {"username": "{{key}}"}), {"key": "sk_live"}) == expected
    assert added(read("basic", {"username": "{{key}}", "password": ""}), {"key": "sk_live"}) == expected


def test_the_encoded_form_of_basic_is_a_secret_too() -> None:
    request = next(read("basic", {"username": "{{u}}", "password": "{{p}}"}).flow(REQUEST, {"u": "ann", "p": "pw"}))
    assert request.masked().headers["Authorization"] == "Basic ***"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("api_token", {}),
        ("api_token", {"headerName": "X-A"}),
        ("api_token", {"a": {"headerName": "X-A"}}),
        ("api_token", {"token": "{{a}}", "other": "{{b}}", "headerName": "X-A"}),
        ("api_token", {"one": "{{a}}", "two": "{{b}}"}),
        ("api_token", {"a": {"token": "{{a}}", "headerName": "X-A"}, "b": {"token": "{{b}}", "headerName": "x-a"}}),
        ("basic", {}),
        ("basic", {"basic": "{{a}}"}),
        ("basic", {"password": "{{p}}"}),
    ],
)
def test_params_that_lack_or_double_a_token_are_refused_at_load(method: str, params: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidDefinition, match="E_AUTH"):
        read(method, params)


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, id=f"T27-{name}") for name in sorted(FORBIDDEN_HEADERS)),
        *(pytest.param(name, id=f"T27-{name!r}") for name in ("Host", ":authority", "X A", "", "X\n", "é", "a:b")),
    ],
)
def test_a_header_that_frames_or_routes_the_message_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header's name|transport"):
        check_header_name(name)
    with pytest.raises(Unrenderable) as caught:
        next(read("api_token", {"token": "{{t}}", "headerName": "{{h}}"}).flow(REQUEST, {"t": "k", "h": name}))
    assert caught.value.name == "h"


def test_T27_a_fixed_header_that_frames_the_message_is_refused_by_name() -> None:
    with pytest.raises((Unrenderable, ConnectorError)):
        next(read("api_token", {"token": "{{t}}", "headerName": "Host"}).flow(REQUEST, {"t": "k"}))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("canary\n", id="T28-line break"),
        pytest.param("canary\u00e9", id="T28-é"),
        pytest.param("canary" * 200_000, id="T28-1 MB"),
        pytest.param("", id="T28-empty"),
        pytest.param(" canary", id="T28-space"),
        pytest.param("can\r\nX-Evil: ary", id="T28-header"),
    ],
)
def test_a_token_that_no_header_carries_is_refused_and_never_echoed(value: str) -> None:
    auth = read("api_token", {"token": "{{t}}"})
    with pytest.raises(Unrenderable) as caught:
        next(auth.flow(REQUEST, {"t": value}))
    assert caught.value.name == "t"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("token", ["{{t}}", "Token {{t}}"])
def test_a_token_that_is_not_set_is_refused(token: str) -> None:
    with pytest.raises(Unrenderable) as caught:
        next(read("api_token", {"token": token}).flow(REQUEST, {}))
    assert caught.value.name == "t"


@pytest.mark.parametrize("values", [{}, {"u": "a:b", "p": "c"}])
def test_basic_without_a_user_or_with_a_colon_in_it_is_refused(values: Mapping[str, str]) -> None:
    with pytest.raises(Unrenderable) as caught:
        next(read("basic", {"username": "{{u}}", "password": "{{p}}"}).flow(REQUEST, values))
    assert caught.value.name == "u"
