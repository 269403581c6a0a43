"""How a request is authenticated: one class per family of methods, one row per method name.

A method is read from the auth block, lists the values of a connection that it uses, and adds them to a request in
`apply`. A method that needs a token first has a `grantor` too, whose token requests are made before (`oauth`). All of
them use a Carrier: a header, a query parameter or a cookie, and the prefix of the token in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from connector.auth.params import GRANTS, ReadAuth, read_grantor
from connector.auth.tokens import Grant
from connector.headers import TOKEN, check_header_name, encode_header
from connector.messages import MASK, Request, Response, secret_forms
from connector.protocols import Auth, Grantor, Moment, NoAuth, method_key
from connector.selectors import Selector
from connector.templates import Template, Unrenderable, Values
from connector.urls import encode_query

#: A token that already begins with a scheme is sent as it is (language rule 21).
_SCHEME = re.compile(r"[A-Za-z][\w-]* +\S")

#: What a cookie's value is made of (RFC 6265, section 4.1.1).
_COOKIE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*\Z")
PLACES = ("header", "query", "cookie")


def carried_names(auth: Auth, values: Values, place: str) -> frozenset[str]:
    """Returns the lower-case names of headers or query parameters that a method sets; a caller may not set these."""
    carriers = [each for each in getattr(auth, "carriers", ()) if each.place == place]
    names = {(each.name.render(values) or "").lower() for each in carriers}
    in_cookie = any(each.place == "cookie" for each in getattr(auth, "carriers", ()))
    return frozenset(names | {"cookie"} if in_cookie and place == "header" else names)


@dataclass(frozen=True, slots=True)
class Carrier:
    """Where a token is sent: in which of PLACES, under which name, after which prefix.

    Without a `prefix` of its own a token in `Authorization` gets the scheme of its method in front, unless it carries
    one already; anywhere else it is sent as it is. `""` is a prefix too: nothing.
    """

    name: Template
    place: str = "header"
    prefix: str | None = None

    def carry(self, request: Request, token: str, values: Values, scheme: str = "Bearer") -> Request:
        """Returns the request with the token; raises Unrenderable for a name or a token that cannot be sent there."""
        name = self.name.render(values) or ""
        if self.place == "header":
            name = _header_name(self.name, values)
        text = self._with_prefix(name, token, scheme)
        if self.place == "query":
            url = f"{request.url}{'&' if '?' in request.url else '?'}{encode_query(name)}={encode_query(text)}"
            return replace(request, url=url)
        if self.place == "cookie":
            if not TOKEN.match(name) or not _COOKIE.match(text):
                raise Unrenderable((*self.name.names, "name")[0], "a cookie cannot have this name or this token")
            others = request.headers.get("cookie", "")
            return request.with_header("Cookie", f"{others}; {name}={text}" if others else f"{name}={text}")
        return request.with_header(name, text)

    def _with_prefix(self, name: str, token: str, scheme: str) -> str:
        prefix = self.prefix
        if prefix is None:
            if self.place != "header" or name.lower() != "authorization" or _SCHEME.match(token):
                return token
            prefix = scheme
        if prefix and prefix[-1].isalnum():
            prefix += " "
        return token if prefix and token.lower().startswith(prefix.lower()) else prefix + token


@dataclass(frozen=True, slots=True)
class CarriedToken:
    """A token and its carrier."""

    token: Template
    carrier: Carrier


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """Tokens as they are: `api_token`, `apikey`, `bearer`. Several are all sent (Datadog has two)."""

    tokens: tuple[CarriedToken, ...]
    credentials: frozenset[str]

    @property
    def carriers(self) -> tuple[Carrier, ...]:
        """The carriers of its tokens."""
        return tuple(each.carrier for each in self.tokens)

    @property
    def names(self) -> frozenset[str]:
        """The names of the values in its tokens and their headers."""
        return self.credentials.union(*(each.carrier.name.names for each in self.tokens))

    @property
    def secrets(self) -> frozenset[str]:
        """All of its values."""
        return self.credentials

    def apply(self, request: Request, values: Values, moment: Moment) -> Request:  # noqa: ARG002 - the shape of an Auth
        """Returns the request with each token in its place."""
        for each in self.tokens:
            request = each.carrier.carry(request, _credential(each.token, values), values)
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """`Authorization: Basic` with a user name and a password (RFC 7617), in UTF-8."""

    username: Template
    password: Template
    credentials: frozenset[str]
    carrier: Carrier = Carrier(Template(("Authorization",)))

    @property
    def carriers(self) -> tuple[Carrier, ...]:
        """Its one carrier."""
        return (self.carrier,)

    @property
    def names(self) -> frozenset[str]:
        """All of its values."""
        return self.credentials.union(self.carrier.name.names)

    @property
    def secrets(self) -> frozenset[str]:
        """The password; without one, the user name is a key (Stripe)."""
        return frozenset(self.password.names or self.username.names)

    def apply(self, request: Request, values: Values, moment: Moment) -> Request:  # noqa: ARG002 - the shape of an Auth
        """Returns the request with the header; its encoded form is a secret as well."""
        import base64  # one method of several needs it

        username = self.username.render(values) or ""
        password = self.password.render(values) or ""
        if ":" in username or not username + password:
            reason = "a user name holds no ':' (RFC 7617, section 2), and name and password are not both empty"
            raise Unrenderable((*self.username.names, "username")[0], reason)
        encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
        request = replace(request, secrets=request.secrets | secret_forms(encoded))
        return self.carrier.carry(request, encoded, values, "Basic")


@dataclass(frozen=True, slots=True)
class RefreshSignal:
    """How a provider reports that a token is no longer valid: by a status, or a value in the body of any answer."""

    statuses: frozenset[int] = frozenset({401})
    selector: Selector | None = None
    values: tuple[Any, ...] = ()

    def is_in(self, response: Response) -> bool:
        """Returns True if this answer reports it."""
        if response.status in self.statuses:
            return True
        if self.selector is None:
            return False
        # Only definitions with a selector need it. A body that is not JSON has no such value.
        import json

        try:
            return self.selector.find_one(json.loads(response.body)) in self.values
        except (ValueError, RecursionError):
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantAuth:
    """A token that is obtained first: the OAuth 2 grants, `jwt_bearer`, `google_service_account`, `token_exchange`.

    The caller obtains a grant from `grantor`, stores it, and authenticates with `with_grant(grant)`.
    """

    grantor: Grantor
    carrier: Carrier
    stale: RefreshSignal = RefreshSignal()
    #: The grant whose token is sent; None while there is none.
    grant: Grant | None = None

    @property
    def carriers(self) -> tuple[Carrier, ...]:
        """The carrier of its token."""
        return (self.carrier,)

    @property
    def names(self) -> frozenset[str]:
        """The names of the values of the grant and the header."""
        return self.grantor.names.union(self.carrier.name.names)

    @property
    def credentials(self) -> frozenset[str]:
        """The secret ones among the values of the grant."""
        return self.grantor.credentials

    @property
    def secrets(self) -> frozenset[str]:
        """All of them."""
        return self.grantor.credentials

    def with_grant(self, grant: Grant | None) -> Self:
        """Returns the method with a grant to send."""
        return replace(self, grant=grant)

    def apply(self, request: Request, values: Values, moment: Moment) -> Request:  # noqa: ARG002 - the shape of an Auth
        """Returns the request with the token of the grant; without a grant it shows `***` in its place."""
        grant = self.grant
        if grant is not None:
            request = replace(request, secrets=request.secrets | grant.secrets)
        return self.carrier.carry(request, MASK if grant is None else grant.token, values)


def _header_name(template: Template, values: Values) -> str:
    name = template.render(values) or ""
    try:
        return check_header_name(name)
    except ValueError as error:
        raise Unrenderable((*template.names, "header")[0], str(error)) from None


def _credential(template: Template, values: Values) -> str:
    for name in template.names:
        value = values.get(name, "")
        if not value or value != value.strip():
            raise Unrenderable(name, "a credential is not empty and has no space at its ends")
    return template.render_header(values) or ""


def _no_auth(source: Mapping[str, Any], read: ReadAuth) -> NoAuth:  # noqa: ARG001 - the shape of a row
    return NoAuth()


def _carrier(source: Mapping[str, Any], default: str, name: Template | None = None) -> Carrier:
    """Returns the carrier that an auth block declares; a `name` from its params wins over the declared one."""
    place, declared, prefix = (source.get(key) for key in ("in", "name", "prefix"))
    if place not in (None, *PLACES):
        raise ValueError(f"`in` is one of {', '.join(PLACES)}")
    if place in ("query", "cookie") and name is None and not isinstance(declared, str):
        raise ValueError(f"a token in a {place} needs a `name`")
    if name is None:
        name = Template((declared if isinstance(declared, str) else default,))
    if place == "cookie" and name.literal is not None and not TOKEN.match(name.literal):
        raise ValueError("a cookie's name is letters, digits and !#$%&'*+-.^_`|~")
    return Carrier(name, place or "header", encode_header(prefix) if isinstance(prefix, str) else None)


def _params(source: Mapping[str, Any]) -> Mapping[str, Any]:
    params = source.get("params")
    return params if isinstance(params, Mapping) else {}


def _token_auth(default_header: str) -> Callable[[Mapping[str, Any], ReadAuth], TokenAuth]:
    def from_json(source: Mapping[str, Any], read: ReadAuth) -> TokenAuth:
        params = _params(source)
        nested = {key: value for key, value in params.items() if isinstance(value, Mapping) and "value" not in value}
        groups: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [((key,), value) for key, value in nested.items()]
        flat = {key: value for key, value in params.items() if key not in nested}
        header_keys = [key for key in flat if _is_header_key(key)]
        if header_keys:
            groups.append(((), flat))
        else:
            groups += [((), {key: value}) for key, value in flat.items()]
        tokens = []
        names: list[str] = []
        for within, group in groups:
            header = None
            token = None
            for key, value in group.items():
                where = ("params", *within, key)
                if _is_header_key(key):
                    header = read.template(value, where)
                elif token is None:
                    token = read.template(value, where)
                    names += token.names
                else:
                    raise ValueError("one header carries one token: nest each token with its own headerName")
            if token is None:
                raise ValueError("a credential needs a token in addition to the name of its header")
            tokens.append(CarriedToken(token, _carrier(source, default_header, header)))
        if not tokens:
            raise ValueError("the method needs params that hold its token")
        headers = {tuple(str(part).lower() for part in each.carrier.name.parts) for each in tokens}
        if len(headers) != len(tokens):
            raise ValueError("one header carries one token: give each token its own headerName")
        return TokenAuth(tuple(tokens), frozenset(names))

    return from_json


def _is_header_key(key: str) -> bool:
    return method_key(key) in {"headername", "header", "apikeyheader"}


def _basic_auth(source: Mapping[str, Any], read: ReadAuth) -> BasicAuth:
    # Nested one level or flat, whatever the case: {"basic": {"username": …, "password": …}} or the pair itself.
    params = _params(source)
    where: tuple[str, ...] = ("params",)
    if len(params) == 1:
        key, only = next(iter(params.items()))
        if isinstance(only, Mapping) and "value" not in only:
            params, where = only, ("params", key)
    found = {key.lower(): key for key in params}
    if "username" not in found:
        raise ValueError("basic needs the params username and password")
    username = read.template(params[found["username"]], (*where, found["username"]))
    password = Template(())
    if "password" in found:
        password = read.template(params[found["password"]], (*where, found["password"]))
    names = frozenset(username.names + password.names)
    return BasicAuth(username=username, password=password, credentials=names, carrier=_carrier(source, "Authorization"))


def _grant_auth(method: str) -> Callable[[Mapping[str, Any], ReadAuth], GrantAuth]:
    def from_json(source: Mapping[str, Any], read: ReadAuth) -> GrantAuth:
        grantor = read_grantor(method, source, read)
        signal = source.get("refresh")
        if not isinstance(signal, Mapping):
            return GrantAuth(grantor=grantor, carrier=_carrier(source, "Authorization"))
        statuses, values = signal.get("statuses", [401]), signal.get("in")
        selector = read.selector(signal["selector"], ("refresh", "selector")) if "selector" in signal else None
        # The JSON Schema reports other shapes.
        known = frozenset(each for each in statuses if type(each) is int) if isinstance(statuses, list) else frozenset()
        stale = RefreshSignal(known, selector, tuple(values) if isinstance(values, list) else ())
        return GrantAuth(grantor=grantor, carrier=_carrier(source, "Authorization"), stale=stale)

    return from_json


#: The methods by their name without case, `-` and `_`. A new method is one class and one row.
AUTH_METHODS: dict[str, Callable[[Mapping[str, Any], ReadAuth], Auth]] = {
    "none": _no_auth,
    "apitoken": _token_auth("Authorization"),
    "apikey": _token_auth("X-API-Key"),
    "bearer": _token_auth("Authorization"),
    "basic": _basic_auth,
    **{method: _grant_auth(method) for method in GRANTS},
}


def find_auth_method(name: str) -> Callable[[Mapping[str, Any], ReadAuth], Auth] | None:
    """The row of a method as a definition writes it, or None."""
    return AUTH_METHODS.get(method_key(name))
