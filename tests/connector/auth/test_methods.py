"""Auth, by stepping its generator: each accepted spelling and shape of params, and the values it refuses."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from connector.auth.methods import Auth, BasicAuth, GrantAuth, TokenAuth, find_auth_method
from connector.auth.tokens import Grant
from connector.errors import ConnectorError, InvalidDefinition, MissingCredentials
from connector.headers import FORBIDDEN_HEADERS, Headers, check_header_name
from connector.messages import MASK, Request, Response, secret_forms
from connector.model.service import Service
from connector.parsing.connectors import parse_connector
from connector.protocols import Moment
from connector.templates import Unrenderable

MOMENT = Moment(time=1_800_000_000.0, nonce="n-1")
REQUEST = Request("GET", "https://api.example.com/v1", headers=Headers({"Accept": "application/json"}))


def read(method: str, params: Mapping[str, Any] | None = None) -> Auth:
    """The auth of a definition with these params."""
    auth = {"method": method} if params is None else {"method": method, "params": params}
    return parse_connector(
        {"handle": "demo", "service": {"baseURL": "https://api.example.com", "auth": auth}}
    ).service.auth


def added(auth: Auth, values: Mapping[str, str], request: Request = REQUEST) -> dict[str, str]:
    """The headers that a method adds."""
    sent = auth.apply(request, values, MOMENT)
    return {name: value for name, value in sent.headers.items() if name not in request.headers}


def test_an_unknown_method_is_none() -> None:
    assert find_auth_method("kerberos") is None


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
    request = Request(
        "GET", "https://h/", headers=Headers({"Authorization": "own"}), own_headers=frozenset({"authorization"})
    )
    assert read("bearer", {"token": "{{t}}"}).apply(request, {"t": "k"}, MOMENT).headers == {"Authorization": "own"}


def test_auth_wins_over_a_header_of_the_service() -> None:
    request = Request("GET", "https://h/", headers=Headers({"authorization": "service"}))
    assert read("bearer", {"token": "{{t}}"}).apply(request, {"t": "k"}, MOMENT).headers == {
        "Authorization": "Bearer k"
    }


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
    request = read("basic", {"username": "{{u}}", "password": "{{p}}"}).apply(REQUEST, {"u": "ann", "p": "pw"}, MOMENT)
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
        read("api_token", {"token": "{{t}}", "headerName": "{{h}}"}).apply(REQUEST, {"t": "k", "h": name}, MOMENT)
    assert caught.value.name == "h"


def test_T27_a_fixed_header_that_frames_the_message_is_refused_by_name() -> None:
    with pytest.raises((Unrenderable, ConnectorError)):
        read("api_token", {"token": "{{t}}", "headerName": "Host"}).apply(REQUEST, {"t": "k"}, MOMENT)


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
        auth.apply(REQUEST, {"t": value}, MOMENT)
    assert caught.value.name == "t"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("token", ["{{t}}", "Token {{t}}"])
def test_a_token_that_is_not_set_is_refused(token: str) -> None:
    with pytest.raises(Unrenderable) as caught:
        read("api_token", {"token": token}).apply(REQUEST, {}, MOMENT)
    assert caught.value.name == "t"


@pytest.mark.parametrize("values", [{}, {"u": "a:b", "p": "c"}])
def test_basic_without_a_user_or_with_a_colon_in_it_is_refused(values: Mapping[str, str]) -> None:
    with pytest.raises(Unrenderable) as caught:
        read("basic", {"username": "{{u}}", "password": "{{p}}"}).apply(REQUEST, values, MOMENT)
    assert caught.value.name == "u"


def auth_of(block: Mapping[str, Any], *options: Mapping[str, Any]) -> Service:
    """The service of a definition with this auth block."""
    service = {"baseURL": "https://api.example.com", "auth": block, "authOptions": list(options)}
    return parse_connector({"handle": "demo", "service": service}).service


BEARER = {"method": "bearer", "params": {"token": "{{t}}"}}


@pytest.mark.parametrize(
    ("extra", "token", "expected"),
    [
        ({"prefix": ""}, "k", {"Authorization": "k"}),
        ({"prefix": "Zoho-oauthtoken"}, "k", {"Authorization": "Zoho-oauthtoken k"}),
        ({"prefix": "Zoho-oauthtoken"}, "zoho-oauthtoken k", {"Authorization": "zoho-oauthtoken k"}),
        ({"prefix": "Token token="}, "k", {"Authorization": "Token token=k"}),
        ({"name": "X-Key"}, "k", {"X-Key": "k"}),
        ({"name": "X-Key", "prefix": "Bearer"}, "k", {"X-Key": "Bearer k"}),
        ({"in": "cookie", "name": "sid"}, "k", {"Cookie": "sid=k"}),
    ],
)
def test_a_prefix_and_a_name_are_the_definitions_to_say(
    extra: Mapping[str, Any], token: str, expected: Mapping[str, str]
) -> None:
    assert expected == added(auth_of({**BEARER, **extra}).auth, {"t": token})


def test_a_cookie_stands_beside_others() -> None:
    request = Request("GET", "https://h/", headers=Headers({"Cookie": "a=1"}))
    auth = auth_of({**BEARER, "in": "cookie", "name": "sid"}).auth
    assert auth.apply(request, {"t": "k"}, MOMENT).headers == {"Cookie": "a=1; sid=k"}


@pytest.mark.parametrize(("url", "mark"), [("https://h/x", "?"), ("https://h/x?a=1", "&")])
def test_a_token_in_the_query_is_encoded_and_masked(url: str, mark: str) -> None:
    auth = auth_of({**BEARER, "in": "query", "name": "api key"}).auth
    secrets = secret_forms("k&canary")
    sent = auth.apply(Request("GET", url, secrets=secrets), {"t": "k&canary"}, MOMENT)
    assert sent.url == f"{url}{mark}api%20key=k%26canary"
    assert "canary" not in sent.masked().url


def test_basic_may_travel_in_another_header() -> None:
    auth = auth_of({"method": "basic", "name": "X-Auth", "prefix": "Basic", "params": {"username": "{{u}}"}}).auth
    assert added(auth, {"u": "a"}) == {"X-Auth": "Basic YTo="}
    assert auth.names == {"u"}


@pytest.mark.parametrize("token", ["a;b", 'a"b', "a b"])
def test_a_token_that_no_cookie_carries_is_refused(token: str) -> None:
    auth = auth_of({**BEARER, "in": "cookie", "name": "sid"}).auth
    with pytest.raises(Unrenderable):
        auth.apply(REQUEST, {"t": token}, MOMENT)


@pytest.mark.parametrize(
    "extra",
    [
        {"in": "query"},
        {"in": "cookie"},
        {"in": "cookie", "name": "a b"},
        {"in": "body", "name": "x"},
        {"prefix": "a\r\nX-Evil: b"},
        {"name": "Host"},
    ],
)
def test_a_place_that_carries_no_token_is_refused_at_load(extra: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidDefinition):
        auth_of({**BEARER, **extra})


def test_a_connection_chooses_its_method_and_misses_nothing_of_the_others() -> None:
    service = auth_of(BEARER, {"method": "basic", "params": {"username": "{{u}}", "password": "{{p}}"}})
    assert service.credentials == {"t", "u", "p"}
    first = service.configure({"t": "k"})
    assert (type(first.auth), first.missing) == (TokenAuth, frozenset())
    second = service.configure({"authMethod": "Basic", "u": "a"})
    assert (type(second.auth), second.missing) == (BasicAuth, {"p"})
    with pytest.raises(MissingCredentials, match="expected one of bearer, basic"):
        service.configure({"authMethod": "kerberos"})


@pytest.mark.parametrize(
    ("refresh", "response", "expected"),
    [
        (None, Response(401), True),
        (None, Response(403), False),
        ({"statuses": [403]}, Response(403), True),
        ({"statuses": [403]}, Response(401), False),
        ({"selector": "error", "in": ["expired"]}, Response(200, body=b'{"error": "expired"}'), True),
        ({"selector": "error", "in": ["expired"]}, Response(200, body=b'{"error": "other"}'), False),
        ({"selector": "error", "in": ["expired"]}, Response(200, body=b"<html>"), False),
    ],
)
def test_a_definition_says_how_an_ended_token_is_refused(
    refresh: Mapping[str, Any] | None, response: Response, expected: bool
) -> None:
    auth = auth_of({"method": "jwt_bearer", **({} if refresh is None else {"refresh": refresh})}).auth
    assert isinstance(auth, GrantAuth)
    assert auth.stale.is_in(response) is expected


def test_a_grant_is_masked_wherever_its_request_is_shown() -> None:
    auth = auth_of({"method": "jwt_bearer"}).auth
    assert isinstance(auth, GrantAuth)
    assert auth.apply(REQUEST, {}, MOMENT).headers["Authorization"] == f"Bearer {MASK}"
    sent = auth.with_grant(Grant(token="canary-token", issued_at=0.0)).apply(REQUEST, {}, MOMENT)
    assert sent.headers["Authorization"] == "Bearer canary-token"
    assert "canary" not in str(dict(sent.masked().headers)) + repr(sent)
    assert (auth.secrets, auth.names) == ({"privateKey"}, {"privateKey", "issuer", "tokenURL"})
