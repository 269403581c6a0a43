"""Writes the service block: the servers of a specification as base URL, its security schemes as auth methods.

Of several servers the first counts. Each of several ways to authenticate becomes an option that a connection chooses
by `authMethod`; schemes that are required together are sent together where the language can express it.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from connector.headers import check_header_name
from connector.openapi.document import Specification, as_object, items, members, shorten, text_of
from connector.openapi.inputs import slot, template
from connector.openapi.names import camel, is_placeholder, split_words
from connector.urls import origin_of

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_DESCRIPTION = 200
_MAX_REQUIREMENTS = 1000
_ROOT = "servers"
#: The input for a host that the specification does not name.
_HOST = {"name": "baseURL", "type": "String", "description": "Address of the provider: https://host.", "required": True}
_OTHER_SCHEMES = {"openidconnect": "OpenID Connect", "mutualtls": "a client certificate"}
#: The auth method of an OAuth flow, and its parameters by the names that they have in the flow.
_OAUTH_METHODS = {
    "authorizationCode": ("oauth2_authorization_code", {"authorizationUrl": "authURL", "tokenUrl": "tokenURL"}),
    "clientCredentials": ("oauth2_client_credentials", {"tokenUrl": "tokenURL"}),
}


@dataclass(frozen=True, slots=True)
class Base:
    """Where the provider is: a base URL with placeholders, and these."""

    url: str
    placeholders: tuple[dict[str, Any], ...] = ()

    def as_json(self, prefix: str) -> Any:
        """The base URL of a definition, with a prefix that all paths share."""
        return template(self.url + prefix, self.placeholders)


def read_base(spec: Specification, source_url: str) -> Base:
    """The base URL; a server that is only a path is relative to the specification, or a value of the connection."""
    listed = [each for each in items(spec.document.get("servers")) if isinstance(each, Mapping)]
    server = next((each for each in listed if text_of(each, "url").startswith("https://")), next(iter(listed), {}))
    if len({text_of(each, "url") for each in listed}) > 1:
        spec.report.add("guessed", _ROOT, f"of {len(listed)} servers {text_of(server, 'url')[:100]!r} is taken")
    url = text_of(server, "url", "/").strip().partition("?")[0].partition("#")[0].rstrip("/")
    variables = dict(members(server.get("variables")))
    placeholders: list[dict[str, Any]] = []

    def put(found: re.Match[str]) -> str:
        name = found[1]
        variable = as_object(variables.get(name))
        options = [each for each in _texts(variable.get("enum")) if each]
        default = str(variable.get("default", "")) if not isinstance(variable.get("default"), (dict, list)) else ""
        at_start = found.start() == 0
        if at_start and url[found.end() :].startswith("://"):
            return "https" if "https" in (*options, default) or not default else default
        if "/" in default or "{" in default:
            spec.report.add("guessed", _ROOT, f"the server variable {name!r} is fixed: {default[:100]!r}")
            return "" if at_start and not default.startswith("http") else default.strip("/")
        description = shorten(variable.get("description"), _DESCRIPTION)
        entry: dict[str, Any] = {
            "name": _unique(camel(name, "server"), {each["name"] for each in placeholders}),
            "type": "String",
            "description": description or f"The part {name!r} of the provider's address.",
            "required": True,
        }
        if default and (not options or default in options):
            entry["default"] = default
        if options:
            entry["options"] = options
        placeholders.append(entry)
        return slot(entry["name"])

    value = _VARIABLE.sub(put, url)
    if value.startswith(("http://", "https://", "{{")):
        return Base(value, tuple(placeholders))
    try:
        joined = urllib.parse.urljoin(source_url, value or "/").rstrip("/")
        origin_of(joined)
    except ValueError:
        joined = ""
    if joined:
        spec.report.add("guessed", _ROOT, f"the server is relative to the specification: {joined[:100]}")
        return Base(joined, tuple(placeholders))
    spec.report.add("guessed", _ROOT, "the specification names no host; it is a value of the connection, baseURL")
    path = f"/{value}" if value and not value.startswith("/") else value
    return Base(slot("baseURL") + path, (_HOST, *placeholders))


def _texts(value: Any) -> list[str]:
    return [each for each in items(value) if isinstance(each, str)]


def _refuse_header(name: str) -> str:
    """Why a header cannot have this name; empty if it can."""
    try:
        check_header_name(name)
    except ValueError as error:
        return str(error)
    return ""


def _unique(name: str, taken: Container[str]) -> str:
    return next(each for each in (name, *(f"{name}{number}" for number in range(2, 1000))) if each not in taken)


def read_auth(spec: Specification, base: Base, requirements: Sequence[Any]) -> list[dict[str, Any]]:
    """The ways to authenticate that these requirements name, in their order; empty where none is needed.

    Where nothing is required but schemes are declared, each of them is a way.
    """
    schemes = dict(members(as_object(spec.document.get("components")).get("securitySchemes")))
    required: dict[tuple[str, ...], set[str]] = {}
    for requirement in islice(requirements, _MAX_REQUIREMENTS):
        if isinstance(requirement, Mapping):
            scopes = required.setdefault(tuple(sorted(requirement)), set())
            scopes.update(scope for each in requirement.values() for scope in _texts(each))
    if not any(required):
        required = {(name,): set() for name in schemes}
    reader = _Auth(spec, base)
    found: dict[str, dict[str, Any]] = {}
    for names, scopes in required.items():
        known = [(name, spec.resolve(schemes.get(name), name)) for name in names]
        for method in reader.read([(name, scheme) for name, scheme in known if scheme], sorted(scopes)):
            if method["method"] in found:
                where = f"security {', '.join(names)}"
                spec.report.add("lost", where, f"a second way to authenticate with {method['method']}")
            else:
                found[method["method"]] = method
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Auth:
    spec: Specification
    base: Base

    def read(self, schemes: Sequence[tuple[str, Mapping[str, Any]]], scopes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The auth blocks of schemes that are required together."""
        if len(schemes) > 1:
            yield from self._together(schemes)
            return
        for name, scheme in schemes:
            kind = text_of(scheme, "type").lower()
            description = shorten(scheme.get("description"), _DESCRIPTION)
            if kind == "http":
                yield from self._http(name, text_of(scheme, "scheme").lower(), description)
            elif kind == "apikey":
                yield from self._key(name, scheme, description)
            elif kind == "oauth2":
                yield from self._oauth(name, scheme, scopes)
            else:
                self._lose(name, f"{_OTHER_SCHEMES.get(kind, repr(kind[:40]))} is not an auth method here")
                if kind == "openidconnect":
                    yield self._bearer(name)

    def _lose(self, name: str, message: str) -> None:
        self.spec.report.add("lost", f"security {name}", message)

    def _bearer(self, name: str) -> dict[str, Any]:
        self.spec.report.add("guessed", f"security {name}", "a bearer token is used in its place")
        return {"method": "bearer", "params": {"token": self._secret("token", "A token of this provider.")}}

    def _secret(self, name: str, description: str, *, required: bool = True) -> dict[str, Any]:
        if name in {each["name"] for each in self.base.placeholders}:
            name = f"{name}Secret"
        entry = {"name": name, "type": "String", "description": description, "required": required}
        return template(slot(name), [entry])

    def _http(self, name: str, scheme: str, description: str) -> Iterator[dict[str, Any]]:
        if scheme == "bearer":
            yield {"method": "bearer", "params": {"token": self._secret("token", description or "Your API token.")}}
        elif scheme == "basic":
            params = {
                "username": self._secret("username", "Your user name."),
                "password": self._secret("password", "Your password.", required=False),
            }
            yield {"method": "basic", "params": params}
        else:
            self._lose(name, f"the HTTP scheme {scheme[:40]!r} is not an auth method here")

    def _key(self, name: str, scheme: Mapping[str, Any], description: str) -> Iterator[dict[str, Any]]:
        place, wire = text_of(scheme, "in", "header"), text_of(scheme, "name", "X-API-Key")
        if refusal := _refuse_header(wire if place in ("header", "cookie") else "X"):
            self._lose(name, f"its key cannot be sent as {wire[:40]!r}: {refusal}")
            return
        found = {"method": "apikey", "in": place if place in ("query", "cookie") else "header", "name": wire}
        if place == "header" and wire.lower() == "authorization" and "bearer" not in description.lower():
            found["prefix"] = ""
        yield {**found, "params": {"apiKey": self._secret("apiKey", description or "Your API key.")}}

    def _together(self, schemes: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
        """Keys in headers that are all sent; the other schemes are lost."""
        params: dict[str, Any] = {}
        for name, scheme in schemes:
            kind, wire = text_of(scheme, "type").lower(), text_of(scheme, "name")
            if kind == "http" and text_of(scheme, "scheme").lower() == "bearer":
                wire = "Authorization"
            elif kind != "apikey" or text_of(scheme, "in") != "header":
                self._lose(name, "of schemes that are required together only keys in headers can all be sent")
                continue
            if refusal := _refuse_header(wire):
                self._lose(name, f"its key cannot be sent: {refusal}")
                continue
            key = _unique(camel(name, "key"), params)
            description = shorten(scheme.get("description"), _DESCRIPTION) or f"The value of the header {wire}."
            params[key] = {"token": self._secret(key, description), "headerName": {"value": wire}}
        if params:
            yield {"method": "api_token", "params": params}
        else:
            yield from self.read(schemes[:1], ())

    def _oauth(self, name: str, scheme: Mapping[str, Any], scopes: Sequence[str]) -> Iterator[dict[str, Any]]:
        flows = dict(members(scheme.get("flows")))
        known = [flow for flow in _OAUTH_METHODS if isinstance(flows.get(flow), Mapping)]
        for flow in known:
            block, (method, urls) = flows[flow], _OAUTH_METHODS[flow]
            found = {ours: self._url(text_of(block, theirs)) for theirs, ours in urls.items()}
            params = {ours: {"value": url} for ours, url in found.items() if url}
            declared = dict(members(block.get("scopes")))
            wanted = [scope for scope in scopes if scope in declared or not declared]
            yield {"method": method, "params": params, **({"scopes": wanted} if wanted else {})}
        for flow in flows:
            if flow not in _OAUTH_METHODS:
                self._lose(name, f"the OAuth flow {flow[:40]!r}")
        if not known:
            yield self._bearer(name)

    def _url(self, url: str) -> str:
        """An address of the authorization server; empty if it cannot be used, so that the connection names it."""
        base = self.base.url if "{{" not in self.base.url else ""
        try:
            joined = urllib.parse.urljoin(base + "/", url) if url else ""
            origin_of(joined)
        except ValueError:
            return ""
        return joined if "{" not in joined else ""


def value_names(base: Base, auths: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The names of the values that a connection of this service has."""
    names = {each["name"] for each in base.placeholders} | {"authMethod"}
    for auth in auths:
        params = auth.get("params", {}).values()
        slots = [slot for each in params for slot in ((each,) if "value" in each else each.values())]
        names |= {each["name"] for slot in slots for each in slot.get("placeholders", ())}
        if auth["method"].startswith("oauth2"):
            names |= {"clientID", "clientSecret", "tokenURL", "authURL"}
    return frozenset(names)


def handle_of(title: str) -> str:
    """The handle of a connector from the title of its specification: without `API`, `OpenAPI`, versions.

    >>> handle_of("Swagger Petstore - OpenAPI 3.0"), handle_of("Mistral AI API")
    ('petstore', 'mistral-ai')
    """
    dull = {"api", "apis", "swagger", "rest", "specification", "spec", "the", "definition", "v"}
    title = re.sub("open ?api", "", title, flags=re.IGNORECASE)
    words = [word for word in split_words(title) if word not in dull and not word.isdigit()]
    handle = "-".join(words)[:60].strip("-")
    return handle if is_placeholder(handle.replace("-", "_")) else "connector"
