"""Obtains tokens: OAuth 2 grants, signed assertions, and tokens that an operation of the provider returns.

Each grantor makes its token requests in `renew`, a generator that yields requests, is sent their responses, and returns
a Grant (`tokens`). `authorization_url` and `code_request` are the steps of a login. The runtime sends the requests, and
stores a Grant before it uses it. `methods` sends a token with a call.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from connector.auth.tokens import Grant, make_grant, read_document, read_grant, refusal, unusable
from connector.headers import Headers
from connector.messages import Request, secret_forms
from connector.protocols import Renewal, method_key
from connector.selectors import Selector
from connector.templates import PathTemplate, QueryPair, Template, Unrenderable, Values, render_query, render_url
from connector.types import to_text

#: Fields of a token request that are not secret (RFC 6749, section 2.2: the client's id is not).
_PUBLIC = frozenset({"grant_type", "client_id", "redirect_uri", "scope", "audience", "resource"})
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"

_NAMES = (
    *("clientID", "clientSecret", "tokenURL", "authURL", "scopes", "scopeSeparator", "clientAuth", "tokenParams"),
    *("authParams", "issuer", "subject", "audience", "privateKey", "keyID", "algorithm", "lifetime"),
    *("serviceAccountJSON", "dwdSubject", "request", "token", "expiresIn"),
)
#: The params of grants by their names without case, `-` and `_`, and other common names.
PARAMS: Mapping[str, str] = {name.lower(): name for name in _NAMES} | {
    "accesstokenurl": "tokenURL",
    "tokenuri": "tokenURL",
    "authorizationurl": "authURL",
    "authorizeurl": "authURL",
    "scope": "scopes",
}
URL_PARAMS = frozenset({"tokenURL", "authURL"})


def param_name(key: str) -> str:
    """Returns our name of a param as a definition or a JSON value writes it: `clientID` for `client_id`."""
    return PARAMS.get(method_key(key), key)


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthClient:
    """The client of an authorization server: its id and secret, the token URL, the scopes.

    With `style` `basic` (RFC 6749, section 2.3.1) id and secret are sent in a header, with `body` in the body. A client
    without a secret is public and sends its id alone. `blob`, if there is one, is a value of the connection that holds
    all of them as one JSON object.
    """

    id: Template
    secret: Template
    token_url: Template
    scopes: Template
    style: str = "basic"
    params: tuple[tuple[str, Template], ...] = ()
    blob: Template | None = None

    def open(self, values: Values) -> Values:
        """Returns the values with those in the blob; raises Unrenderable, which quotes none of them."""
        if self.blob is None:
            return values
        name = (*self.blob.names, "params")[0]
        opened = read_blob(self.blob, values, name)
        return {**values, **{param_name(key): text for key, text in opened.items()}}

    def render_scopes(self, values: Values) -> str:
        """Returns the scopes as they are sent; may be empty."""
        return self.scopes.render(self.open(values)) or ""

    def request(self, fields: Mapping[str, str], values: Values, *, with_scopes: bool = False) -> Request:
        """Returns a request for a token with the fields and the client's credentials; raises Unrenderable."""
        values = self.open(values)
        scopes = self.render_scopes(values) if with_scopes else ""
        fields = {**fields, **({"scope": scopes} if scopes else {})}
        fields |= {name: text for name, each in self.params if (text := each.render(values)) is not None}
        client_id = _required(self.id, values) if self.id.parts else ""
        secret = self.secret.render(values) or ""
        headers = [("Accept", "application/json"), ("Content-Type", "application/x-www-form-urlencoded")]
        secrets: frozenset[str] = secret_forms(secret)
        if secret and self.style == "basic":
            import base64

            pair = f"{urllib.parse.quote_plus(client_id)}:{urllib.parse.quote_plus(secret)}"
            encoded = base64.b64encode(pair.encode()).decode()
            headers.append(("Authorization", f"Basic {encoded}"))
            secrets |= secret_forms(encoded)
        elif client_id:
            fields |= {"client_id": client_id, **({"client_secret": secret} if secret else {})}
        for name, text in fields.items():
            secrets |= frozenset() if name in _PUBLIC else secret_forms(text)
        body = urllib.parse.urlencode(fields).encode()
        return Request("POST", render_url(self.token_url, values), headers=Headers(headers), body=body, secrets=secrets)


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """`oauth2_client_credentials` (RFC 6749, section 4.4)."""

    client: OAuthClient
    names: frozenset[str]
    credentials: frozenset[str]

    def renew(self, values: Values, grant: Grant | None, now: float, base: str) -> Renewal:  # noqa: ARG002 - a Grantor
        """One request; there is no refresh token in this grant (RFC 6749, section 4.4.3)."""
        request = self.client.request({"grant_type": "client_credentials"}, values, with_scopes=True)
        return read_grant((yield request), now, secrets=request.secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode:
    """`oauth2_authorization_code` (RFC 6749, section 4.1): a person allows it once, then its token is refreshed."""

    client: OAuthClient
    authorization: Template
    authorization_params: tuple[tuple[str, Template], ...]
    names: frozenset[str]
    credentials: frozenset[str]

    def renew(self, values: Values, grant: Grant | None, now: float, base: str) -> Renewal:  # noqa: ARG002 - a Grantor
        """One refresh (RFC 6749, section 6); a rotated refresh token is in the grant that is returned."""
        if grant is None or not grant.refresh_token:
            raise unusable("no one has allowed it yet" if grant is None else "its token ended and has no successor")
        request = self.client.request({"grant_type": "refresh_token", "refresh_token": grant.refresh_token}, values)
        return read_grant((yield request), now, previous=grant, secrets=request.secrets)


def authorization_url(grantor: AuthorizationCode, values: Values, redirect_uri: str, state: str, verifier: str) -> str:
    """Returns the URL where a person allows the connection, with PKCE S256 (RFC 7636) and `state` (RFC 6749, 10.12).

    `verifier` is 43 to 128 unreserved characters, kept secret until `code_request`. Raises Unrenderable for a value of
    the connection that is missing, ValueError for an address that is not one.
    """
    import base64
    import hashlib

    values = grantor.client.open(values)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()
    fields = {
        **{name: text for name, each in grantor.authorization_params if (text := each.render(values)) is not None},
        "response_type": "code",
        "client_id": _required(grantor.client.id, values),
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    if scopes := grantor.client.render_scopes(values):
        fields["scope"] = scopes
    url = render_url(grantor.authorization, values)
    return f"{url}{'&' if '?' in url else '?'}{urllib.parse.urlencode(fields)}"


def code_request(grantor: AuthorizationCode, values: Values, code: str, redirect_uri: str, verifier: str) -> Request:
    """Returns the request that exchanges the code of an authorization; `read_grant` reads its answer."""
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
    return grantor.client.request(fields, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtBearer:
    """`jwt_bearer` (RFC 7523, section 2.1): an assertion signed with the connection's key is exchanged for a token."""

    client: OAuthClient
    issuer: Template
    subject: Template
    audience: Template
    key: Template
    key_id: Template
    lifetime: Template
    algorithm: Template
    names: frozenset[str]
    credentials: frozenset[str]

    def renew(self, values: Values, grant: Grant | None, now: float, base: str) -> Renewal:  # noqa: ARG002 - a Grantor
        """One request with a new assertion."""
        issuer = _required(self.issuer, values)
        claims = {
            "iss": issuer,
            "sub": self.subject.render(values) or issuer,
            "aud": self.audience.render(values) or render_url(self.client.token_url, values),
        }
        assertion = sign_assertion(
            claims,
            _required(self.key, values),
            now,
            _seconds(self.lifetime, values),
            name=(*self.key.names, "privateKey")[0],
            algorithm=self.algorithm.render(values) or "",
            key_id=self.key_id.render(values),
        )
        request = self.client.request({"grant_type": _JWT_BEARER, "assertion": assertion}, values, with_scopes=True)
        return read_grant((yield request), now, secrets=request.secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleServiceAccount:
    """`google_service_account`: the same with Google's claims, from the JSON file of a service account."""

    account: Template
    subject: Template
    scopes: Template
    names: frozenset[str]
    credentials: frozenset[str]

    def renew(self, values: Values, grant: Grant | None, now: float, base: str) -> Renewal:  # noqa: ARG002 - a Grantor
        """One request with a new assertion; `scope` is a claim of it (Google's OAuth 2.0 for service accounts)."""
        name = (*self.account.names, "serviceAccountJSON")[0]
        account = read_blob(self.account, values, name)
        if not account.get("client_email") or not account.get("private_key"):
            raise Unrenderable(
                name, "it is not the key file of a service account: client_email and private_key are needed"
            )
        url = account.get("token_uri") or _GOOGLE_TOKEN_URL
        claims = {"iss": account["client_email"], "aud": url, "scope": self.scopes.render(values) or ""}
        subject = self.subject.render(values)
        claims |= {"sub": subject} if subject else {}
        key_id = account.get("private_key_id")
        assertion = sign_assertion(claims, account["private_key"], now, 3600, name=name, key_id=key_id)
        nothing = Template(())
        # A slot, since the URL comes with the connection: it is checked as one.
        client = OAuthClient(id=nothing, secret=nothing, token_url=Template.from_text("{{tokenURL}}"), scopes=nothing)
        request = client.request({"grant_type": _JWT_BEARER, "assertion": assertion}, {"tokenURL": url})
        return read_grant((yield request), now, secrets=request.secrets)


class _Encoder(Protocol):
    def encode(self, values: Mapping[str, Any]) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """The operation that returns a token; its templates are filled by the connection alone."""

    method: str
    path: PathTemplate
    query: tuple[QueryPair, ...]
    headers: tuple[tuple[str, Template], ...]
    body: _Encoder | None
    names: frozenset[str]

    def build(self, values: Values, base: str) -> Request:
        """Returns the request, in which the caller masks credentials. Raises Unrenderable."""
        for name in sorted(self.names):
            if name not in values:
                raise Unrenderable(name, "it is not set")
        query = render_query(self.query, values)
        url = base + self.path.render(values) + (f"?{query}" if query else "")
        headers = [(name, text) for name, each in self.headers if (text := each.render_header(values)) is not None]
        body = None if self.body is None else self.body.encode(values)
        return Request(self.method, url, headers=Headers(headers), body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenExchange:
    """`token_exchange`: an operation of the provider returns a short-lived token, which a selector finds."""

    request: TokenRequest
    token: Selector
    expires_in: Selector | None
    names: frozenset[str]
    credentials: frozenset[str]

    def renew(self, values: Values, grant: Grant | None, now: float, base: str) -> Renewal:  # noqa: ARG002 - a Grantor
        """One request to the connection's own origin."""
        request = self.request.build(values, base)
        hidden = (form for name in self.credentials & values.keys() for form in secret_forms(to_text(values[name])))
        request = replace(request, secrets=frozenset(hidden))
        response = yield request
        document = read_document(response)
        token = self.token.find_one(document)
        if response.status >= 300 or not isinstance(token, (str, int)) or isinstance(token, bool):
            raise refusal(response, document, request.secrets)
        lifetime = None if self.expires_in is None else self.expires_in.find_one(document)
        return make_grant(str(token), now, lifetime)


def sign_assertion(
    claims: Mapping[str, str],
    key: str,
    now: float,
    lifetime: int,
    *,
    name: str,
    algorithm: str = "",
    key_id: str | None = None,
) -> str:
    """Returns the claims as a JWT signed with a private key in PEM (RFC 7523, section 3), by joserfc.

    `algorithm` is RS256 or ES256; if it is empty, the key decides. Raises Unrenderable with the `name` of the value
    that holds the key, and nothing of the key itself.
    """
    import hashlib

    from joserfc import jwt
    from joserfc.jwk import ECKey, RSAKey

    # A key that went through an environment variable often has its line breaks written as \n.
    pem = key.replace("\\n", "\n").strip() + "\n"
    issued = int(now)
    # There is no random source here, so the id is a digest of the claims and the time.
    unique = hashlib.sha256(json.dumps([*claims.items(), now]).encode()).hexdigest()[:32]
    payload = {**claims, "iat": issued, "exp": issued + lifetime, "jti": unique}
    try:
        elliptic = algorithm == "ES256" or (not algorithm and _is_elliptic(pem))
        header = {"typ": "JWT", "alg": "ES256" if elliptic else "RS256", **({"kid": key_id} if key_id else {})}
        return jwt.encode(header, payload, (ECKey if elliptic else RSAKey).import_key(pem))
    except Exception:  # noqa: BLE001 - messages of the libraries may quote the key
        raise Unrenderable(name, "it is not a private key in PEM that signs RS256 or ES256") from None


def _is_elliptic(pem: str) -> bool:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return isinstance(load_pem_private_key(pem.encode(), None), EllipticCurvePrivateKey)


def read_blob(template: Template, values: Values, name: str) -> dict[str, str]:
    """Returns the members of a value that is a JSON object, as texts; raises Unrenderable with the value's name."""
    try:
        document = json.loads(_required(template, values))
        return {
            key: " ".join(map(str, value)) if isinstance(value, list) else str(value)
            for key, value in document.items()
            if isinstance(value, (str, int, list))
        }
    except (AttributeError, json.JSONDecodeError, RecursionError):
        raise Unrenderable(name, "it is not a JSON object") from None


def _seconds(template: Template, values: Values) -> int:
    text = template.render(values) or "300"
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 86400:
        raise Unrenderable((*template.names, "lifetime")[0], "expected 1 to 86400 seconds")
    return int(text)


def _required(template: Template, values: Values) -> str:
    for name in template.names:
        if not values.get(name):
            raise Unrenderable(name, "it is not set")
    return template.render(values) or ""
