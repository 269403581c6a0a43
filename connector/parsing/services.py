"""Putting a service together: its base URL, headers, ways to authenticate and signature, and the values they use.

Every placeholder in any of these is a value of the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.auth.methods import AUTH_METHODS, find_auth_method
from connector.auth.oauth import URL_PARAMS, TokenRequest, param_name
from connector.errors import OptionError, UnknownOption, unknown_kind
from connector.events.signatures import read_signature
from connector.headers import check_header_name
from connector.model.policies import Policies
from connector.model.service import AUTH_METHOD, Service, render_base
from connector.parsing.operations import Endpoint, read_operation, read_policies
from connector.parsing.reader import ConnectionValues, Declaration, Reader, text_path
from connector.parsing.schema import Path
from connector.protocols import Auth, NoAuth, Scheme, method_key
from connector.selectors import Selector
from connector.templates import Placeholder, Template, Values, render_url
from connector.types import CONVERTORS, to_text


def read_service(reader: Reader, root: Mapping[str, Any]) -> Service:
    """Returns the complete service of a connector; its problems go to the reader."""
    handle = reader.get(root, "handle", str, "")
    block = reader.get(root, "service", dict, {})
    values = ConnectionValues()
    base, declared = reader.template(block.get("baseURL"), ("service", "baseURL"))
    where = text_path(block.get("baseURL"), ("service", "baseURL"))
    values.add(base, declared, where, always=True)
    written = block.get("baseURL")
    if base.parts or "" in (written, written.get("value") if isinstance(written, Mapping) else written):
        _check_url(reader, base, where, "base URL", render_base)
    headers = []
    named = reader.headers(reader.get(block, "headers", dict, {}), ("service", "headers"))
    for name, template, declared, where in named:
        values.add(template, declared, where)
        headers.append((name, template))
    values.declare(reader.placeholders(block.get("params"), ("service", "params")))
    sources = _auth_sources(reader, block)
    bare = Service(
        connector=handle, base=base, headers=tuple(headers), content_type=reader.get(block, "contentType", str, "")
    )
    auths = [_ReadAuth(reader, where, values, bare).read(source) for source, where in sources]
    if len(auths) > 1:
        values.declare({AUTH_METHOD: _choice(sources)})
    probe, _ = reader.template(reader.get(block, "probe", dict, {}).get("path", ""), ("service", "probe", "path"))
    return Service(
        connector=handle,
        base=base,
        headers=tuple(headers),
        content_type=reader.get(block, "contentType", str, ""),
        auth=auths[0] if auths else NoAuth(),
        auth_options=tuple(auths[1:]),
        placeholders=values.complete(reader),
        probe=probe.literal or "",
        policies=read_policies(reader, block, ("service",), Policies()),
        auth_methods=tuple(method_key(reader.get(source, "method", str, "none")) for source, _ in sources),
        signature=_read_signature(reader, block),
        message_id=_read_message_id(reader, block),
    )


def _check_url(
    reader: Reader, template: Template, path: Path, name: str, render: Callable[[Template, Values], str | None]
) -> None:
    """Complains about a template that cannot become a URL, or becomes one without TLS."""
    # A sample value in each slot shows whether the fixed text around it makes a URL; "1" may even be a port.
    sample = dict.fromkeys(template.names, "1")
    if template.parts and not isinstance(template.parts[0], str):
        sample[template.parts[0].name] = "https://sample.invalid"
    try:
        url = render(template, sample) or ""
    except ValueError as error:
        reader.complain("E_URL", str(error), path, "write https://host/path")
        return
    if url.startswith("http:"):
        reader.complain("W_PLAIN_HTTP", f"the {name} is not https", path, "credentials travel in clear")


def _read_signature(reader: Reader, block: Mapping[str, Any]) -> Scheme | None:
    """Returns the scheme of the block; None where there is none, or it cannot be read."""
    source = reader.get(block, "signature", dict, {})
    path: Path = ("service", "signature")
    # The JSON Schema reports wrong shapes and a missing scheme.
    known = {name: value for name, value in source.items() if isinstance(value, str)}
    tolerance = reader.get(source, "tolerance", (int, float), 0)
    if "scheme" not in known:
        return None

    def read(name: str) -> Template | None:
        return reader.template(source[name], (*path, name))[0] if name in source else None

    try:
        return read_signature(known | ({"tolerance": tolerance} if tolerance > 0 else {}), read)
    except UnknownOption as error:
        reader.complain("E_UNKNOWN_OPTION", str(error), (*path, error.option), "leave it out", at_key=True)
        return None
    except ValueError as error:
        where = (*path, error.option) if isinstance(error, OptionError) and error.option in source else path
        reader.complain("E_SIGNATURE_SCHEME", str(error), where, "see Signature in docs/definitions.md")
        return None


def _read_message_id(reader: Reader, block: Mapping[str, Any]) -> Selector | None:
    source = reader.get(block, "signature", dict, {})
    return reader.selector(source.get("idSelector"), ("service", "signature", "idSelector"))


def _auth_sources(reader: Reader, block: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Path]]:
    sources: list[tuple[Any, Path]] = [(block.get("auth"), ("service", "auth"))]
    options = reader.get(block, "authOptions", list, [])
    sources += [(option, ("service", "authOptions", index)) for index, option in enumerate(options)]
    return [(source, path) for source, path in sources if isinstance(source, Mapping)]


def _choice(sources: Sequence[tuple[Mapping[str, Any], Path]]) -> Declaration:
    methods = ", ".join(str(source.get("method", "none")) for source, _ in sources)
    described = f"How this connection authenticates: {methods}; the first one by default."
    return Declaration(
        Placeholder(AUTH_METHOD, CONVERTORS["string"], description=described), ("service", "authOptions")
    )


@dataclass(slots=True)
class _ReadAuth:
    """One auth block being read; the names that its pieces use become values of the connection."""

    reader: Reader
    path: Path
    values: ConnectionValues
    service: Service
    places: list[tuple[Template, Path]] = field(default_factory=list)

    def read(self, source: Mapping[str, Any]) -> Auth:
        """Returns the method of the block; NoAuth if it cannot be read."""
        method = self.reader.get(source, "method", str, "none")
        row = find_auth_method(method)
        if row is None:
            message, hint = f"unknown auth method {method[:70]!r}", unknown_kind(method, AUTH_METHODS)
            self.reader.complain("E_AUTH_METHOD", message, (*self.path, "method"), hint)
            return NoAuth()
        try:
            auth = row(source, self)
        except ValueError as error:
            self.reader.complain("E_AUTH", str(error), (*self.path, "params"), f"see the params of {method}")
            return NoAuth()
        for carrier in getattr(auth, "carriers", ()):
            name = carrier.name.literal
            if carrier.name.only_slot in self.values.declared:
                name = to_text(self.values.declared[carrier.name.only_slot].default) or None
            try:
                check_header_name("X" if name is None or carrier.place != "header" else name)
            except ValueError as error:
                where = next((where for template, where in self.places if template is carrier.name), self.path)
                self.reader.complain("E_HEADER", str(error), where, "name a header that a credential may travel in")
        return auth

    def template(self, source: Any, where: tuple[str, ...]) -> Template:
        """Returns one template of the block."""
        path = (*self.path, *where)
        template, declared = self.reader.template(source, path, constants=True)
        path = text_path(source, path)
        self.values.add(template, declared, path)
        self.places.append((template, path))
        if param_name(where[-1]) in URL_PARAMS and template.parts:
            _check_url(self.reader, template, path, "URL", render_url)
        return template

    def selector(self, source: Any, where: tuple[str, ...]) -> Selector | None:
        """Returns one selector of the block."""
        return self.reader.selector(source, (*self.path, *where))

    def request(self, source: Any, where: tuple[str, ...]) -> TokenRequest:
        """Returns the request of an operation whose inputs are all values of the connection."""
        alone, path = Reader(), (*self.path, *where)
        found = read_operation(alone, "auth", source, path, self.service, endpoint=Endpoint(Template(())))
        # The names it uses may be declared among the values of the connection.
        self.reader.findings += [each for each in alone.findings if each.code != "W_UNDECLARED"]
        for name, placeholder in found.inputs.items():
            self.values.declared.setdefault(name, placeholder)
        return TokenRequest(
            method=found.method,
            path=found.path,
            query=found.query,
            headers=found.headers,
            body=found.body,
            names=frozenset(found.inputs),
        )
