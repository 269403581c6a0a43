"""Reads the params of an auth block whose method obtains a token, and makes its grantor (`oauth`).

A param that a definition leaves out is declared as a value of the connection: `clientID`, `clientSecret`, `tokenURL`.
Differences between providers are data: where the client's secret is sent (`clientAuth`), further fields of the requests
(`tokenParams`, `authParams`), the separator of scopes (`scopeSeparator`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from connector.auth.oauth import (
    AuthorizationCode,
    ClientCredentials,
    GoogleServiceAccount,
    JwtBearer,
    OAuthClient,
    TokenExchange,
    TokenRequest,
    param_name,
)
from connector.protocols import Grantor
from connector.selectors import Selector
from connector.templates import Slot, Template

Where = tuple[str, ...]

#: The params of a client; a block whose only param has another name holds all of them in that one, as JSON.
_CLIENT = frozenset(
    {"clientID", "clientSecret", "tokenURL", "authURL", "scopes", "scopeSeparator"}
    | {"clientAuth", "tokenParams", "authParams"}
)
_DESCRIPTIONS = {
    "clientID": "The id of the OAuth client.",
    "clientSecret": "The secret of the OAuth client.",
    "tokenURL": "Where tokens are requested.",
    "authURL": "Where a person allows the connection.",
    "issuer": "Who signs the assertion.",
    "privateKey": "The private key that signs the assertion, in PEM.",
    "serviceAccountJSON": "The JSON key file of the service account.",
}


class ReadAuth(Protocol):
    """Reads the pieces of an auth block and records the values of the connection that they use.

    `where` is the path of a piece below the block.
    """

    def template(self, source: Any, where: Where) -> Template:
        """Returns a template in either of its shapes."""

    def request(self, source: Any, where: Where) -> TokenRequest:
        """Returns the request of an operation that is filled by the connection alone."""

    def selector(self, source: Any, where: Where) -> Selector | None:
        """Returns a selector; None if it cannot be read, which has been reported."""


class _Params:
    """The params of one auth block by their names, and which values of the connection they use."""

    def __init__(self, source: Mapping[str, Any], read: ReadAuth) -> None:
        self._read = read
        self._found: dict[str, tuple[Any, Where]] = {}
        self._source = source
        self.names: list[str] = []
        self.credentials: list[str] = []
        # The operator knows an app that is only named: its id and secret are values of the connection.
        for member in ("oauthApp", "params"):
            params = source.get(member)
            where: Where = (member,)
            if not isinstance(params, Mapping):
                continue
            if len(params) == 1:
                key, only = next(iter(params.items()))
                nested = isinstance(only, Mapping) and "value" not in only
                if nested and param_name(key) not in {"tokenParams", "authParams", "request"}:
                    params, where = only, (member, key)
            self._found |= {param_name(key): (value, (*where, key)) for key, value in params.items()}

    def take(self, name: str, *, secret: bool = False, implied: bool | None = None) -> Template:
        """Returns a param; if it is missing, a value of the connection if `implied` is not None (True: required)."""
        source, where = self._found.get(name, (None, ()))
        if source is None and implied is not None:
            declared = {"name": name, "type": "String", "required": implied, "description": _DESCRIPTIONS[name]}
            source, where = {"value": f"{{{{{name}}}}}", "placeholders": [declared]}, ("params", name)
        if source is None:
            return Template(())
        template = self._read.template(source, where)
        self.names += template.names
        self.credentials += template.names if secret else ()
        return template

    def blob(self) -> Template | None:
        """Returns the one param that holds all others as JSON, if there is one: its name is not that of a client."""
        if len(self._found) != 1 or _CLIENT & self._found.keys():
            return None
        return self.take(next(iter(self._found)), secret=True)

    def texts(self, name: str) -> tuple[tuple[str, Template], ...]:
        """Returns an object of further fields; all of their values count as credentials, since any of them may be."""
        source, where = self._found.get(name, ({}, ()))
        if not isinstance(source, Mapping):
            raise ValueError(f"{name} is an object of fields and their values")
        fields = tuple((key, self._read.template(value, (*where, key))) for key, value in source.items())
        for _, template in fields:
            self.names += template.names
            self.credentials += template.names
        return fields

    def scopes(self) -> Template:
        """Returns the scopes: the param, or the list in the auth block, with the separator of the provider."""
        if "scopes" in self._found:
            return self.take("scopes")
        listed = self._source.get("scopes")
        if isinstance(listed, str):
            listed = listed.split()
        words = [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
        text = (self.take("scopeSeparator").literal or " ").join(words)
        return Template((text,) if text else ())

    def client(self, *, secret: bool | None = True) -> OAuthClient:
        """Returns the client; with `secret` a missing secret is a value of the connection (True: required)."""
        blob = self.blob()
        style = self.take("clientAuth").literal or "basic"
        if style not in ("basic", "body"):
            raise ValueError("clientAuth is 'basic' (a header) or 'body' (fields of the token request)")
        params = self.texts("tokenParams")
        if blob is not None:
            names = {"id": "clientID", "secret": "clientSecret", "token_url": "tokenURL", "scopes": "scopes"}
            slots = {member: Template((Slot(name),)) for member, name in names.items()}
            return OAuthClient(**slots, style=style, params=params, blob=blob)
        return OAuthClient(
            id=self.take("clientID", implied=True),
            secret=self.take("clientSecret", secret=True, implied=secret),
            token_url=self.take("tokenURL", implied=True),
            scopes=self.scopes(),
            style=style,
            params=params,
        )

    def found(self, name: str) -> tuple[Any, Where] | None:
        """Returns a param as it is written, and its path; None if it is missing."""
        return self._found.get(name)

    def used(self) -> dict[str, frozenset[str]]:
        """Returns `names`, those of all values, and `credentials`, those of the secret ones."""
        return {"names": frozenset(self.names), "credentials": frozenset(self.credentials)}


def _client_credentials(params: _Params, read: ReadAuth) -> Grantor:  # noqa: ARG001 - the shape of a row
    return ClientCredentials(params.client(), **params.used())


def _authorization_code(params: _Params, read: ReadAuth) -> Grantor:  # noqa: ARG001 - the shape of a row
    # With PKCE a client may be public, and then it has no secret (RFC 7636).
    client = params.client(secret=False)
    blob = client.blob is not None
    authorization = Template((Slot("authURL"),)) if blob else params.take("authURL", implied=True)
    extra = params.texts("authParams")
    return AuthorizationCode(client=client, authorization=authorization, authorization_params=extra, **params.used())


def _jwt_bearer(params: _Params, read: ReadAuth) -> Grantor:  # noqa: ARG001 - the shape of a row
    client = OAuthClient(
        id=params.take("clientID"),
        secret=Template(()),
        token_url=params.take("tokenURL", implied=True),
        scopes=params.scopes(),
        style="body",
        params=params.texts("tokenParams"),
    )
    return JwtBearer(
        client=client,
        issuer=params.take("issuer", implied=True),
        subject=params.take("subject"),
        audience=params.take("audience"),
        key=params.take("privateKey", secret=True, implied=True),
        key_id=params.take("keyID"),
        lifetime=params.take("lifetime"),
        algorithm=params.take("algorithm"),
        **params.used(),
    )


def _google_service_account(params: _Params, read: ReadAuth) -> Grantor:  # noqa: ARG001 - the shape of a row
    account = params.take("serviceAccountJSON", secret=True, implied=True)
    subject, scopes = params.take("dwdSubject"), params.scopes()
    return GoogleServiceAccount(account=account, subject=subject, scopes=scopes, **params.used())


def _token_exchange(params: _Params, read: ReadAuth) -> Grantor:
    asked, picked, lasting = (params.found(name) for name in ("request", "token", "expiresIn"))
    if asked is None or picked is None or not isinstance(asked[0], Mapping):
        raise ValueError("token_exchange needs the params request (an operation) and token (a selector)")
    request, token = read.request(*asked), read.selector(*picked)
    expires_in = None if lasting is None else read.selector(*lasting)
    return TokenExchange(
        request=request,
        token=token or Selector.from_json(["token"]),
        expires_in=expires_in,
        names=request.names,
        credentials=request.names,
    )


#: How a token is obtained, by the method's name without case, `-` and `_`.
GRANTS: Mapping[str, Callable[[_Params, ReadAuth], Grantor]] = {
    "oauth2clientcredentials": _client_credentials,
    "oauth2authorizationcode": _authorization_code,
    "jwtbearer": _jwt_bearer,
    "googleserviceaccount": _google_service_account,
    "tokenexchange": _token_exchange,
}


def read_grantor(method: str, source: Mapping[str, Any], read: ReadAuth) -> Grantor:
    """Returns the grantor that an auth block declares; raises ValueError for params that make none."""
    return GRANTS[method](_Params(source, read), read)
