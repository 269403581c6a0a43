"""The params of the methods that obtain a token."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from connector.auth.methods import GrantAuth
from connector.auth.oauth import AuthorizationCode, authorization_url
from connector.errors import InvalidDefinition
from connector.messages import MASK
from connector.parsing.connectors import find_problems
from tests.doubles.grants import BASE, CODE, CREDENTIALS, VALUES, asked, fields, service


@pytest.mark.parametrize(
    ("auth", "values", "expected"),
    [
        pytest.param({**CREDENTIALS, "scopes": ["a", "b"]}, VALUES, {"scope": "a b"}, id="scopes of the block"),
        pytest.param({**CREDENTIALS, "scopes": "a b"}, VALUES, {"scope": "a b"}, id="scopes as text"),
        pytest.param(
            {**CREDENTIALS, "scopes": ["a", "b"], "params": {"scopeSeparator": ",", "tokenParams": {"x": "1"}}},
            VALUES,
            {"scope": "a,b", "x": "1"},
            id="a separator of its own and further fields",
        ),
        pytest.param(
            {**CREDENTIALS, "params": {"oauth": {"client_id": "c1", "scope": "{{s}}"}}},
            {**VALUES, "s": "from the connection"},
            {"scope": "from the connection"},
            id="nested, a scope of the connection",
        ),
        pytest.param(
            {**CREDENTIALS, "oauthApp": {"tokenURL": "https://auth.example.com/token"}}, VALUES, {}, id="an app"
        ),
    ],
)
def test_a_client_asks_with_what_its_definition_says(
    auth: Mapping[str, Any], values: Mapping[str, Any], expected: Mapping[str, str]
) -> None:
    request = asked(auth, values)
    assert (request.method, request.url) == ("POST", "https://auth.example.com/token")
    assert {"grant_type": "client_credentials", **expected} == fields(request)
    pair = base64.b64encode(b"c1:canary-secret").decode()
    assert request.headers["Authorization"] == f"Basic {pair}"
    assert request.masked().headers["Authorization"] == f"Basic {MASK}"


def test_a_login_may_have_one_json_value_too() -> None:
    auth = {**CODE, "params": {"app": "{{app}}"}}
    app = {
        "clientId": "c9",
        "authUrl": "https://a.example.com/x",
        "tokenUrl": "https://a.example.com/t",
        "scopes": ["x"],
    }
    found = service(auth).auth
    assert isinstance(found, GrantAuth)
    assert isinstance(found.grantor, AuthorizationCode)
    url = authorization_url(found.grantor, {"app": json.dumps(app)}, "http://l/", "s", "v" * 43)
    assert url.startswith("https://a.example.com/x?")
    assert "client_id=c9" in url
    assert "scope=x" in url


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ({**CREDENTIALS, "params": {"clientAuth": "digest"}}, "E_AUTH"),
        ({**CREDENTIALS, "params": {"clientID": "c", "tokenParams": "x"}}, "E_AUTH"),
        ({**CREDENTIALS, "params": {"clientID": "c", "tokenURL": "ftp://x"}}, "E_URL"),
        ({"method": "token_exchange", "params": {"token": "t"}}, "E_AUTH"),
        ({"method": "token_exchange", "params": {"request": "/login", "token": "t"}}, "E_AUTH"),
        ({"method": "token_exchange", "params": {"request": {"method": "GET", "path": "x"}, "token": "t"}}, "E_URL"),
        ({"method": "token_exchange", "params": {"request": {"method": "GET"}, "token": "$["}}, "E_SELECTOR"),
        ({**CREDENTIALS, "name": "Host"}, "E_HEADER"),
        ({**CREDENTIALS, "scopes": 7}, "E_SHAPE"),
        ({**CREDENTIALS, "refresh": {"statuses": 401, "in": 7}}, "E_SHAPE"),
        ({**CREDENTIALS, "refresh": {"selector": "$["}}, "E_SELECTOR"),
        ({**CREDENTIALS, "refresh": 7}, "E_SHAPE"),
        ({**CREDENTIALS, "params": 7}, "E_SHAPE"),
    ],
)
def test_params_that_make_no_grant_are_refused_at_load(auth: Mapping[str, Any], code: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        service(auth)
    assert code in {problem.code for problem in caught.value.problems}


def test_a_token_url_that_is_not_https_is_warned_of() -> None:
    auth = {**CREDENTIALS, "params": {"clientID": "c", "tokenURL": "http://auth.example.com/token"}}
    problems = find_problems(
        json.dumps({"handle": "demo", "service": {"baseURL": BASE, "auth": auth}}), kind="connector"
    )
    assert [problem.code for problem in problems] == ["W_PLAIN_HTTP"]
