"""Putting a service together: its base URL, headers, ways to authenticate and signature, and the values they use.

Every placeholder in any of these is a value of the connection. How one operation is put together is `operations`' to
say, and where the block stands in a document `parsing`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.auth.methods import AUTH_METHODS, find_auth_method
from connector.auth.oauth import URL_PARAMS, TokenRequest, param_name
from connector.errors import unknown_kind
from connector.events.signatures import read_signature
from connector.headers import check_header_name
from connector.model.policies import Policies
from connector.model.service import AUTH_METHOD, Service, render_base
from connector.parsing.operations import Endpoint, read_operation, read_policies
from connector.parsing.reader import ConnectionValues, Declaration, Reader, text_path
from connector.parsing.schema import Path
from connector.protocols import Auth, NoAuth, Scheme, method_key
from connector.selectors import Selector
from connector.templates import Placeholder, Template, Unrenderable, render_url
from connector.types import CONVERTORS, to_text
from connector.urls import check_base_url


def read_service(reader: Reader, root: Mapping[str, Any]) -> Service:
    """The service of a connector, complete; its problems go to the reader."""
    handle = reader.get(root, "handle", str, "")
    block = reader.get(root, "service", dict, {})
    values = ConnectionValues()
    base, declared = reader.template(block.get("baseURL"), ("service", "baseURL"))
    where = text_path(block.get("baseURL"), ("service", "baseURL"))
    values.add(base, declared, where, always=True)
    _check_base(reader, block.get("baseURL"), base, where)
    headers = []
    named = reader.headers(reader.get(block, "headers", dict, {}), ("service", "headers"))
    for name, template, declared, where in named:
        values.add(template, declared, where)
        headers.append((name, template))
    values.declare(reader.placeholders(block.get("params"), ("service", "params")))
    sources = _auth_sources(reader, block)
    bare = Service(handle, base, tuple(headers), reader.get(block, "contentType", str, ""))
    auths = [_ReadAuth(reader, where, values, bare).read(source) for source, where in sources]
    if len(auths) > 1:
        values.declare({AUTH_METHOD: _choice(sources)})
    probe, _ = reader.template(reader.get(block, "probe", dict, {}).get("path", ""), ("service", "probe", "path"))
    return Service(
        handle,
        base,
        tuple(headers),
        reader.get(block, "contentType", str, ""),
        auths[0] if auths else NoAuth(),
        tuple(auths[1:]),
        values.complete(reader),
        probe.literal or "",
        policies=read_policies(reader, block, ("service",), Policies()),
        auth_methods=tuple(method_key(reader.get(source, "method", str, "none")) for source, _ in sources),
        signature=_read_signature(reader, block),
        message_id=_read_message_id(reader, block),
    )


def _check_base(reader: Reader, source: Any, base: Template, path: Path) -> None:
    if not base.parts and "" not in (source, source.get("value") if isinstance(source, Mapping) else source):
        return
    # A sample value in each slot shows whether the fixed text around it makes a base URL; "1" may even be a port.
    sample = dict.fromkeys(base.names, "1")
    if base.parts and not isinstance(base.parts[0], str):
        sample[base.parts[0].name] = "https://sample.invalid"
    try:
        url = check_base_url("") if not base.parts else render_base(base, sample) or ""
    except (Unrenderable, ValueError) as error:
        reader.complain("E_URL", str(error), path, "write https://host/path")
        return
    if url.startswith("http:"):
        reader.complain("W_PLAIN_HTTP", "the base URL is not https", path, "credentials travel in clear")


def _read_signature(reader: Reader, block: Mapping[str, Any]) -> Scheme | None:
    """The scheme of the block; None where there is none, or none that can be read."""
    source = reader.get(block, "signature", dict, {})
    path: Path = ("service", "signature")
    # What is misshapen the schema complains about, a scheme that is missing too.
    known = {name: value for name, value in source.items() if isinstance(value, str)}
    tolerance = reader.get(source, "tolerance", (int, float), 0)
    if "scheme" not in known:
        return None

    def read(name: str) -> Template | None:
        return reader.template(source[name], (*path, name))[0] if name in source else None

    try:
        return read_signature(known | ({"tolerance": tolerance} if tolerance > 0 else {}), read)
    except ValueError as error:
        reader.complain("E_SIGNATURE_SCHEME", str(error), path, "see the signature schemes of the reference")
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
    return Declaration(Placeholder(AUTH_METHOD, CONVERTORS["string"], described), ("service", "authOptions"))


@dataclass(slots=True)
class _ReadAuth:
    """One auth block being read; what its pieces use are values of the connection."""

    reader: Reader
    path: Path
    values: ConnectionValues
    service: Service
    places: list[tuple[Template, Path]] = field(default_factory=list)

    def read(self, source: Mapping[str, Any]) -> Auth:
        """The method of the block; NoAuth in place of one that cannot be read."""
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
        """One template of the block."""
        path = (*self.path, *where)
        template, declared = self.reader.template(source, path, constants=True)
        path = text_path(source, path)
        self.values.add(template, declared, path)
        self.places.append((template, path))
        if param_name(where[-1]) in URL_PARAMS and template.parts:
            self._check_url(template, path)
        return template

    def _check_url(self, template: Template, path: Path) -> None:
        sample = dict.fromkeys(template.names, "1")
        if not isinstance(template.parts[0], str):
            sample[template.parts[0].name] = "https://sample.invalid"
        try:
            url = render_url(template, sample)
        except ValueError as error:
            self.reader.complain("E_URL", str(error), path, "write https://host/path")
            return
        if url.startswith("http:"):
            self.reader.complain("W_PLAIN_HTTP", "the URL is not https", path, "credentials travel in clear")

    def selector(self, source: Any, where: tuple[str, ...]) -> Selector | None:
        """One selector of the block."""
        return self.reader.selector(source, (*self.path, *where))

    def request(self, source: Any, where: tuple[str, ...]) -> TokenRequest:
        """An operation all of whose inputs are values of the connection."""
        alone, path = Reader(), (*self.path, *where)
        found = read_operation(alone, "auth", source, path, self.service, endpoint=Endpoint(Template(())))
        # What it uses may be declared among the values of the connection.
        self.reader.findings += [each for each in alone.findings if each.code != "W_UNDECLARED"]
        for name, placeholder in found.inputs.items():
            self.values.declared.setdefault(name, placeholder)
        return TokenRequest(found.method, found.path, found.query, found.headers, found.body, frozenset(found.inputs))
