"""Who may use the HTTP interface: clients with the admin token or, if there is none, programs on this machine.

Without a token a browser is the danger: a page of another site can make it send requests to this machine (hazard T43).
So the Host header must be this machine's, an Origin our own, and a body JSON, which no page can send to another origin
without a preflight. Webhooks are verified instead.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from connector.digests import same_text
from connector.errors import ConfigurationError, RequestRefused

#: Header fields that a reverse proxy adds to the requests that it forwards. A server on this machine may be behind one,
#: for webhooks; then the address of the client is the proxy's, and anyone could be behind it.
_FORWARDED = re.compile(
    rb"via|forwarded|x-forwarded(-.+)?|x-original-.+|x-real-ip|x-client-ip|x-cluster-client-ip|x-envoy-.+|x-proxyuser-ip"
    rb"|true-client-ip|cf-.+|fastly-.+|fly-.+|x-amz-cf-id|x-amzn-trace-id|x-azure-.+|x-appengine-.+|cdn-loop|x-rewrite-url"
)
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HINT = "send Authorization: Bearer <CONNECTOR_ADMIN_TOKEN>"
_LOCAL_HINT = "without CONNECTOR_ADMIN_TOKEN the interface is for programs on this machine only"
Scope = MutableMapping[str, Any]


class HostGate:
    """The gate of a host that decides itself who may use the interface, with a dependency of its own.

    What is left is what a cookie of the host's cannot protect from: a page of another site that posts a form.
    """

    def check(self, scope: Scope) -> None:
        """Raises RequestRefused for a body that is not JSON."""
        check_body_type(scope)


class Gate:
    """Admits requests, or raises RequestRefused; `token` is the admin token, or None."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def check(self, scope: Scope) -> None:
        """Raises RequestRefused for a request that may not be answered: 401, 403 or 415."""
        if self._token is not None:
            self._check_token(scope)
        else:
            self.check_local(scope)

    def _check_token(self, scope: Scope) -> None:
        given = _values(scope, b"authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not same_text(token.strip(), self._token or ""):
            raise RequestRefused(401, "the admin token is missing or wrong", hint=_HINT)

    def check_local(self, scope: Scope) -> None:
        """Raises RequestRefused for requests that do not come from a program on this machine."""
        client = scope.get("client")
        if client is not None and not is_loopback(client[0]):
            raise RequestRefused(403, "this address may not use the interface", hint=_LOCAL_HINT)
        if any(_FORWARDED.fullmatch(name.lower()) for name, _ in scope["headers"]):
            hint = "set CONNECTOR_ADMIN_TOKEN and send it, or send the request to the server without a proxy"
            raise RequestRefused(403, "a request that a proxy forwarded needs an admin token", hint=hint)
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if len(hosts) != 1 or _name(hosts[0]) not in _LOCAL_NAMES:
            raise RequestRefused(403, "the Host header does not name this machine", hint=_LOCAL_HINT)
        if any(origin != f"{scope['scheme']}://{hosts[0]}" for origin in origins):
            raise RequestRefused(403, "a page of another origin may not use the interface", hint=_LOCAL_HINT)
        if any(site not in ("same-origin", "none") for site in _values(scope, b"sec-fetch-site")):
            raise RequestRefused(403, "a page of another site may not use the interface", hint=_LOCAL_HINT)
        check_body_type(scope)


def check_body_type(scope: Scope) -> None:
    """Raises RequestRefused for a body that is not JSON, which needs a preflight from another origin."""
    if scope["method"] not in ("GET", "HEAD", "OPTIONS") and _has_body(scope):
        kinds = [value.partition(";")[0].strip().lower() for value in _values(scope, b"content-type")]
        if kinds != ["application/json"]:
            raise RequestRefused(415, "a body must be JSON", hint="send Content-Type: application/json")


def is_loopback(address: str) -> bool:
    """True for an address (or a name) of this machine only."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address.lower() == "localhost"


def check_bind(host: str, token: str | None, public_url: str = "") -> None:
    """Raises ConfigurationError for a server that others could reach while no admin token is set.

    A public URL leads to it through a proxy, whatever address it listens on.
    """
    reached = urlsplit(public_url).hostname or ""
    if token is None and reached and not is_loopback(reached):
        raise ConfigurationError(
            f"{public_url} leads to this server from outside, and there is no admin token",
            hint="set CONNECTOR_ADMIN_TOKEN: the HTTP interface would be as public as the webhooks",
        )
    if token is None and not is_loopback(host):
        raise ConfigurationError(
            f"{host} can be reached by others, and there is no admin token",
            hint="set CONNECTOR_ADMIN_TOKEN, or leave --host at 127.0.0.1",
        )


def _values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _has_body(scope: Scope) -> bool:
    lengths = _values(scope, b"content-length")
    return bool(_values(scope, b"transfer-encoding")) or any(length.strip("0 ") for length in lengths)
