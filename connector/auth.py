"""How a request is authenticated: one class per family of methods, one row per method name.

A method is read from the service block with `from_json`, says which values of a connection it needs, and adds them in
`flow`, a generator that yields requests and is sent their responses, so that a method with several round trips has the
same shape as one with none. No I/O happens here, and nothing decides where a request may go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from connector.messages import Request, Response, secret_forms
from connector.templates import Template, Unrenderable, Values

#: A token that already begins with a scheme is sent as it is (dialect, table of auth methods).
_SCHEME = re.compile(r"[A-Za-z][\w-]* +\S")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
#: Headers that frame the message or route it; a definition or a connection may never set them (hazard T27).
FORBIDDEN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
    | {"proxy-authorization", "proxy-authenticate", "proxy-connection", "content-encoding", "accept-encoding"}
)

Flow = Generator[Request, Response, None]
#: Reads one template of the service block: (source, key) -> Template, recording its placeholders.
ReadTemplate = Callable[[Any, str], Template]


def check_header_name(name: str) -> str:
    """The name, if it is a token (RFC 9110, section 5.6.2) and does not frame the message; raises ValueError."""
    if not _TOKEN.match(name):
        raise ValueError("a header's name is letters, digits and !#$%&'*+-.^_`|~")
    if name.lower() in FORBIDDEN_HEADERS:
        raise ValueError(f"{name} cannot be set: it belongs to the transport")
    return name


class Auth(Protocol):
    """One way to authenticate."""

    @property
    def credentials(self) -> frozenset[str]:
        """Names of the values that are masked wherever a request or a failure is shown."""

    @property
    def secrets(self) -> frozenset[str]:
        """Those of them that are masked in a successful answer too: tokens and passwords, not user names."""

    def flow(self, request: Request, values: Values) -> Flow:
        """Yields the request with the credentials in it; raises Unrenderable for a value that cannot be used."""


@dataclass(frozen=True, slots=True)
class NoAuth:
    """Nothing is added."""

    credentials: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()

    def flow(self, request: Request, values: Values) -> Flow:  # noqa: ARG002 - the shape of an Auth
        """Yields the request as it is."""
        yield request


@dataclass(frozen=True, slots=True)
class HeaderToken:
    """A token and the header it travels in."""

    token: Template
    header: Template


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """Tokens in headers: `api_token`, `apikey`, `bearer`.

    In `Authorization` a token gets `Bearer ` in front unless it carries a scheme already; in any other header it is
    sent as it is. Several tokens are all sent (Datadog has two).
    """

    tokens: tuple[HeaderToken, ...]
    credentials: frozenset[str]

    @property
    def secrets(self) -> frozenset[str]:
        """All of its values."""
        return self.credentials

    def flow(self, request: Request, values: Values) -> Flow:
        """Yields the request with each token in its header."""
        for each in self.tokens:
            header = _header_name(each.header, values)
            token = _credential(each.token, values)
            if header.lower() == "authorization" and not _SCHEME.match(token):
                token = f"Bearer {token}"
            request = request.with_header(header, token)
        yield request


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """`Authorization: Basic` with a user name and a password (RFC 7617), in UTF-8."""

    username: Template
    password: Template
    credentials: frozenset[str]

    @property
    def secrets(self) -> frozenset[str]:
        """The password; where there is none, the user name is a key (Stripe)."""
        return frozenset(self.password.names or self.username.names)

    def flow(self, request: Request, values: Values) -> Flow:
        """Yields the request with the header; its encoded form is a secret as well."""
        import base64  # one method of several needs it

        username = self.username.render(values) or ""
        password = self.password.render(values) or ""
        if ":" in username or not username + password:
            reason = "a user name holds no ':' (RFC 7617, section 2), and name and password are not both empty"
            raise Unrenderable((*self.username.names, "username")[0], reason)
        encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
        yield request.with_header("Authorization", f"Basic {encoded}", secrets=secret_forms(encoded))


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


def _no_auth(params: Mapping[str, Any], read: ReadTemplate) -> NoAuth:  # noqa: ARG001 - the shape of a row
    return NoAuth()


def _token_auth(default_header: str) -> Callable[[Mapping[str, Any], ReadTemplate], TokenAuth]:
    def from_json(params: Mapping[str, Any], read: ReadTemplate) -> TokenAuth:
        nested = {key: value for key, value in params.items() if isinstance(value, Mapping) and "value" not in value}
        groups = [(f"{key}/", value) for key, value in nested.items()]
        flat = {key: value for key, value in params.items() if key not in nested}
        header_keys = [key for key in flat if _is_header_key(key)]
        if header_keys:
            groups.append(("", flat))
        else:
            groups += [("", {key: value}) for key, value in flat.items()]
        tokens = []
        names: list[str] = []
        for prefix, group in groups:
            header = Template.from_text(default_header)
            token = None
            for key, value in group.items():
                if _is_header_key(key):
                    header = read(value, prefix + key)
                elif token is None:
                    token = read(value, prefix + key)
                    names += token.names
                else:
                    raise ValueError("one header carries one token: nest each token with its own headerName")
            if token is None:
                raise ValueError("a credential needs a token beside the name of its header")
            tokens.append(HeaderToken(token, header))
        if not tokens:
            raise ValueError("the method needs params that hold its token")
        headers = {tuple(str(part).lower() for part in each.header.parts) for each in tokens}
        if len(headers) != len(tokens):
            raise ValueError("one header carries one token: give each token its own headerName")
        return TokenAuth(tuple(tokens), frozenset(names))

    return from_json


def _is_header_key(key: str) -> bool:
    return key.lower().replace("-", "").replace("_", "") in {"headername", "header", "apikeyheader"}


def _basic_auth(params: Mapping[str, Any], read: ReadTemplate) -> BasicAuth:
    # Nested one level or flat, whatever the case: {"basic": {"username": …, "password": …}} or the pair itself.
    prefix = ""
    if len(params) == 1:
        key, only = next(iter(params.items()))
        if isinstance(only, Mapping) and "value" not in only:
            params, prefix = only, f"{key}/"
    found = {key.lower(): key for key in params}
    if "username" not in found:
        raise ValueError("basic needs the params username and password")
    username = read(params[found["username"]], prefix + found["username"])
    password = Template(())
    if "password" in found:
        password = read(params[found["password"]], prefix + found["password"])
    return BasicAuth(username, password, frozenset(username.names + password.names))


#: The methods by their name without case, `-` and `_`. A new method is one class and one row.
AUTH_METHODS: Mapping[str, Callable[[Mapping[str, Any], ReadTemplate], Auth]] = {
    "none": _no_auth,
    "apitoken": _token_auth("Authorization"),
    "apikey": _token_auth("X-API-Key"),
    "bearer": _token_auth("Authorization"),
    "basic": _basic_auth,
}


def find_auth_method(name: str) -> Callable[[Mapping[str, Any], ReadTemplate], Auth] | None:
    """The row of a method as a definition writes it (case, `-` and `_` do not matter), or None."""
    return AUTH_METHODS.get(re.sub(r"[-_ ]", "", name).lower())
