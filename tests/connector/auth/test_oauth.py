"""How tokens are obtained, by stepping the generators: what is asked, what an answer gives, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

import pytest

from connector.auth.methods import GrantAuth
from connector.auth.oauth import AuthorizationCode, authorization_url, code_request
from connector.auth.tokens import Grant
from connector.errors import NeedsReauthorization
from connector.headers import Headers
from connector.messages import Request, Response
from connector.templates import Unrenderable
from tests.doubles.grants import BASE, CODE, CREDENTIALS, NOW, VALUES, asked, fields, service


def obtained(auth: Mapping[str, Any], response: Response, values: Mapping[str, Any] = VALUES) -> Grant:
    """The grant that a method makes of an answer."""
    method = service(auth).auth
    assert isinstance(method, GrantAuth)
    renewal = method.grantor.renew(values, None, NOW, BASE)
    next(renewal)
    with pytest.raises(StopIteration) as done:
        renewal.send(response)
    grant = done.value.value
    assert isinstance(grant, Grant)
    return grant


def grantor(auth: Mapping[str, Any]) -> AuthorizationCode:
    """What a person logs in to."""
    found = service(auth).auth
    assert isinstance(found, GrantAuth)
    assert isinstance(found.grantor, AuthorizationCode)
    return found.grantor


def answer(document: Any, status: int = 200) -> Response:
    return Response(status, Headers({"Content-Type": "application/json"}), json.dumps(document).encode())


@pytest.mark.parametrize(
    ("url", "values", "expected"),
    [
        ("https://{{domain}}.example.com/token", {"domain": "a-b"}, "https://a-b.example.com/token"),
        ("https://login.example.com/{{tenant}}/token", {"tenant": "a/b"}, "https://login.example.com/a%2Fb/token"),
        ("{{host}}/token", {"host": "https://x.example.com/"}, "https://x.example.com/token"),
        ("{{tokenURL}}", {"tokenURL": "https://x.example.com/token/"}, "https://x.example.com/token/"),
    ],
)
def test_a_token_url_takes_values_of_the_connection(url: str, values: dict[str, str], expected: str) -> None:
    assert asked({**CREDENTIALS, "params": {"tokenURL": url, "clientID": "c"}}, VALUES | values).url == expected


@pytest.mark.parametrize(
    ("url", "values"),
    [
        pytest.param("https://{{domain}}.example.com/token", {"domain": "evil.test/x"}, id="T30-host"),
        pytest.param("https://login.example.com/{{tenant}}/token", {"tenant": ".."}, id="T30-segment"),
        pytest.param("{{host}}/token", {"host": "javascript:"}, id="T30-scheme"),
        pytest.param("{{host}}/token", {}, id="missing"),
    ],
)
def test_T38_a_token_url_is_led_nowhere_else_by_a_value(url: str, values: dict[str, str]) -> None:
    with pytest.raises(Unrenderable):
        asked({**CREDENTIALS, "params": {"tokenURL": url, "clientID": "c"}}, VALUES | values)


def test_a_public_client_sends_its_id_alone() -> None:
    values = {key: value for key, value in VALUES.items() if key != "clientSecret"}
    request = asked(CODE, values, Grant(token="old", issued_at=0.0, expires_at=1.0, refresh_token="canary-refresh"))
    assert fields(request) == {"grant_type": "refresh_token", "refresh_token": "canary-refresh", "client_id": "c1"}
    assert "Authorization" not in request.headers
    assert "canary" not in str(request.masked().text)


def test_the_url_for_a_person_has_pkce_and_state() -> None:
    auth = {**CODE, "scopes": ["a", "b"], "params": {"authParams": {"access_type": "offline", "hint": "{{hint}}"}}}
    url = authorization_url(grantor(auth), VALUES, "http://127.0.0.1:1/cb", "s1", "v" * 43)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"v" * 43).digest()).decode().rstrip("=")
    assert dict(urllib.parse.parse_qsl(url.partition("?")[2])) == {
        "tenant": "t",
        "access_type": "offline",
        "response_type": "code",
        "client_id": "c1",
        "redirect_uri": "http://127.0.0.1:1/cb",
        "state": "s1",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "scope": "a b",
    }
    without = authorization_url(grantor(CODE), {**VALUES, "authURL": "https://a.example.com/x"}, "http://l/", "s", "v")
    assert without.startswith("https://a.example.com/x?response_type=code")
    assert "scope" not in without


def test_a_code_is_exchanged_with_its_verifier_and_nothing_of_it_is_shown() -> None:
    request = code_request(grantor(CODE), VALUES, "canary-code", "http://l/", "canary-verifier")
    assert fields(request) == {
        "grant_type": "authorization_code",
        "code": "canary-code",
        "redirect_uri": "http://l/",
        "code_verifier": "canary-verifier",
    }
    assert "canary" not in repr(request) + str(request.masked().text)


@pytest.mark.parametrize("grant", [None, Grant(token="t", issued_at=0.0, expires_at=1.0)])
def test_without_a_refresh_token_a_person_is_needed(grant: Grant | None) -> None:
    with pytest.raises(NeedsReauthorization):
        asked(CODE, VALUES, grant)


@pytest.mark.parametrize(
    ("auth", "values", "name"),
    [
        (CREDENTIALS, {}, "clientID"),
        ({**CREDENTIALS, "params": {"all": "{{all}}"}}, {"all": "canary"}, "all"),
        ({**CREDENTIALS, "params": {"all": "{{all}}"}}, {"all": "[1]"}, "all"),
        ({"method": "jwt_bearer"}, {**VALUES, "issuer": "i", "privateKey": "canary"}, "privateKey"),
        ({"method": "jwt_bearer", "params": {"algorithm": "ES256"}}, {"issuer": "i", "privateKey": "c"}, "tokenURL"),
        ({"method": "jwt_bearer", "params": {"lifetime": 0}}, {**VALUES, "issuer": "i", "privateKey": "c"}, "lifetime"),
        ({"method": "google_service_account"}, {"serviceAccountJSON": "{}"}, "serviceAccountJSON"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_never_quoted(
    auth: Mapping[str, Any], values: Mapping[str, Any], name: str
) -> None:
    with pytest.raises(Unrenderable) as caught:
        asked(auth, values)
    assert caught.value.name == name
    assert "canary" not in str(caught.value)


def claims_of(request: Request) -> dict[str, Any]:
    """The claims of the assertion in a token request, and its header under `header`."""
    header, payload, _ = fields(request)["assertion"].split(".")
    decoded = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, payload)]
    return {**decoded[1], "header": decoded[0]}


@pytest.fixture(scope="module")
def pem() -> str:
    from joserfc.jwk import RSAKey

    return RSAKey.generate_key(2048).as_pem(private=True).decode()


def test_an_assertion_says_who_asks_whom_for_whom_and_until_when(pem: str) -> None:
    auth = {
        "method": "jwt_bearer",
        "scopes": ["a"],
        "params": {"issuer": "i", "subject": "{{who}}", "audience": "https://aud", "lifetime": 60, "keyID": "k1"},
    }
    # Line breaks written as \n, as they come out of an environment variable.
    request = asked(auth, {**VALUES, "who": "ann", "privateKey": pem.replace("\n", "\\n")})
    claims = claims_of(request)
    assert len(claims.pop("jti")) == 32
    assert claims == {
        "iss": "i",
        "sub": "ann",
        "aud": "https://aud",
        "iat": int(NOW),
        "exp": int(NOW) + 60,
        "header": {"typ": "JWT", "alg": "RS256", "kid": "k1"},
    }
    assert fields(request)["scope"] == "a"
    assert fields(request)["assertion"] not in str(request.masked().text)


def test_without_more_the_subject_is_the_issuer_and_the_audience_the_token_url(pem: str) -> None:
    claims = claims_of(asked({"method": "jwt_bearer"}, {**VALUES, "issuer": "i", "privateKey": pem}))
    assert (claims["sub"], claims["aud"], claims["exp"]) == ("i", VALUES["tokenURL"], int(NOW) + 300)


def test_a_service_account_asks_google_unless_its_file_says_where(pem: str) -> None:
    account = json.dumps({"client_email": "me@x", "private_key": pem})
    request = asked({"method": "google_service_account", "scopes": ["a"]}, {"serviceAccountJSON": account})
    claims = claims_of(request)
    assert request.url == claims["aud"] == "https://oauth2.googleapis.com/token"
    assert (claims["iss"], claims["scope"], "sub" in claims) == ("me@x", "a", False)


EXCHANGE = {
    "method": "token_exchange",
    "params": {
        "request": {
            "method": "POST",
            "path": "/login?v={{version}}",
            "headers": {"X-Key": "{{key}}"},
            "bodyTemplate": {"pw": "{{pw}}"},
        },
        "token": "$.jwt",
    },
}


def test_an_exchange_asks_at_the_base_url_and_shows_none_of_its_values() -> None:
    request = asked(EXCHANGE, {"version": "2", "key": "canary-key", "pw": "canary-pw"})
    assert (request.method, request.url) == ("POST", f"{BASE}/login?v=2")
    assert (request.headers["X-Key"], request.json) == ("canary-key", {"pw": "canary-pw"})
    assert "canary" not in str(request.masked().text) + str(dict(request.masked().headers))


def test_an_exchange_may_have_no_body_and_a_number_for_a_token() -> None:
    auth = {"method": "token_exchange", "params": {"request": {"method": "GET", "path": "/t"}, "token": "t"}}
    assert asked(auth, {}).body is None
    assert obtained(auth, answer({"t": 7}), {}) == Grant(token="7", issued_at=NOW)


@pytest.mark.parametrize("document", [{}, {"jwt": None}, {"jwt": True}, {"jwt": {}}])
def test_an_exchange_without_a_token_is_a_refusal(document: Any) -> None:
    with pytest.raises(NeedsReauthorization):
        obtained(EXCHANGE, answer(document), {"version": "2", "key": "k", "pw": "p"})


def test_an_exchange_names_the_value_that_it_misses() -> None:
    with pytest.raises(Unrenderable) as caught:
        asked(EXCHANGE, {"version": "2", "key": "k"})
    assert caught.value.name == "pw"
