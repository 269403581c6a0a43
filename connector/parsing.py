"""Reading a whole definition: from its documents to a Connector, or to every problem at once.

A document may be text or already parsed JSON. The schema is asked about its shape only when the reading met something
misshapen (or when all problems are wanted), since a good definition need not pay for it. After this module no code
asks in which shape a thing was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.auth import AUTH_METHODS, Auth, NoAuth, find_auth_method
from connector.definitions import Connector, CustomOperation, Resource, Service, Webhook, render_base
from connector.errors import InvalidDefinition, Problem
from connector.operations import read_operation
from connector.overlays import Merge
from connector.reading import Reader
from connector.schema import Document, Finding, Kind, Path, find_shape_problems
from connector.templates import Placeholder, Template, Unrenderable
from connector.urls import check_base_url, has_dot_segment

Source = str | Mapping[str, Any] | Sequence[Any] | Document
_NOWHERE = Service("", Template(("https://nowhere.invalid",)))


@dataclass(slots=True)
class DocumentReader:
    """One document being read, and the overlay document that parts of it came from."""

    document: Document
    value: Any
    reader: Reader = field(default_factory=Reader)
    overlay: Document | None = None
    merge: Merge | None = None

    @classmethod
    def over(cls, document: Document, overlay: Document | None, part: Any, origin: Path) -> DocumentReader:
        """The document with a part of the overlay laid over it."""
        if overlay is None or not part:
            return cls(document, document.value)
        merge = Merge()
        return cls(document, merge.lay(document.value, part, (), origin), overlay=overlay, merge=merge)

    def problems(self, *, all_of_them: bool) -> list[Problem]:
        """Everything found, each in the document and at the place where its author wrote it."""
        findings = list(self.reader.findings)
        if self.reader.misshapen or all_of_them:
            findings += find_shape_problems(self.value, self.document.kind)
        own: list[Finding] = list(self.document.doubled)
        laid: list[Finding] = []
        for finding in findings:
            origin = self._origin(finding.path)
            if origin is None:
                own.append(finding)
            else:
                laid.append(Finding(finding.code, finding.message, origin, finding.hint, finding.at_key))
        problems = self.document.problems(own)
        if self.overlay is not None and self.merge is not None:
            problems += self.overlay.problems([*laid, *self.merge.findings])
        return problems

    def _origin(self, path: Path) -> Path | None:
        if self.merge is None:
            return None
        for end in range(len(path), -1, -1):
            if path[:end] in self.merge.origins:
                return (*self.merge.origins[path[:end]], *path[end:])
        return None


def parse_connector(
    service: Source,
    resources: Source | None = None,
    *,
    overlay: Source | None = None,
    operations: Source | None = None,
) -> Connector:
    """Reads a definition: service block and resources, or one whole Connector in the place of both.

    Each document is JSON text or parsed JSON. Raises InvalidDefinition with every problem of all of them.

    >>> parse_connector({"handle": "demo", "service": {"baseURL": "https://example.com"}}).handle
    'demo'
    """
    connector, problems = read_connector(service, resources, overlay=overlay, operations=operations)
    errors = [problem for problem in problems if problem.is_error]
    if connector is None or errors:
        raise InvalidDefinition(errors)
    return connector


def read_connector(
    service: Source,
    resources: Source | None = None,
    *,
    overlay: Source | None = None,
    operations: Source | None = None,
    more_resources: Sequence[Source] = (),
    lint: bool = False,
) -> tuple[Connector | None, list[Problem]]:
    """As `parse_connector`, but gives the problems, warnings too, beside the Connector (None if there are errors).

    `more_resources` are further documents of resources. With `lint` the schema is asked even where the reading met
    nothing misshapen, which also finds unknown keys.
    """
    try:
        main = _document(service, "connector" if resources is None else "service")
        resource_documents = [_document(each, "resources") for each in (resources, *more_resources) if each is not None]
        overlay_document = _document(overlay, "overlay") if overlay is not None else None
        custom_document = _document(operations, "operations") if operations is not None else None
    except InvalidDefinition as error:
        return None, list(error.problems)
    patch = overlay_document.value if overlay_document is not None else {}
    patch = patch if isinstance(patch, Mapping) else {}
    top = {key: value for key, value in patch.items() if key not in ("resources", "operations")}
    laid = patch if main.kind == "connector" and not resource_documents else top
    readers = [DocumentReader.over(main, overlay_document, laid, ())]
    head = readers[0]
    parsed = _Parse(lint=lint)
    root = head.value if isinstance(head.value, Mapping) else {}
    head.reader.misshapen |= not isinstance(head.value, Mapping)
    known_service = parsed.service(head.reader, root)
    if "resources" in root:
        parsed.resources(head.reader, root["resources"], ("resources",), known_service)
    if "operations" in root:
        parsed.custom(head.reader, root["operations"], ("operations",), known_service)
    pending = patch.get("resources", {}) if resource_documents else {}
    for place, document in enumerate(resource_documents):
        # A name that no document has is added to the last one.
        here = {
            handle: value
            for handle, value in pending.items()
            if place == len(resource_documents) - 1 or handle in _handles(document.value)
        }
        pending = {handle: value for handle, value in pending.items() if handle not in here}
        readers.append(DocumentReader.over(document, overlay_document, here, ("resources",)))
        parsed.resources(readers[-1].reader, readers[-1].value, (), known_service)
    if custom_document is not None:
        readers.append(DocumentReader.over(custom_document, overlay_document, patch.get("operations"), ("operations",)))
        parsed.custom(readers[-1].reader, readers[-1].value, (), known_service)
    if overlay_document is not None:
        readers.append(DocumentReader(overlay_document, overlay_document.value))
        readers[-1].reader.misshapen |= not isinstance(overlay_document.value, Mapping)
    problems = [problem for reader in readers for problem in reader.problems(all_of_them=lint)]
    if any(problem.is_error for problem in problems):
        return None, problems
    short, description = head.reader.meta(root)
    return (
        Connector(
            known_service.connector,
            known_service,
            head.reader.get(root, "status", str, ""),
            short,
            description,
            tuple(head.reader.get(head.reader.get(root, "meta", dict, {}), "tags", list, [])),
            parsed.found_resources,
            parsed.found_operations,
            parsed.found_custom,
        ),
        problems,
    )


def find_problems(text: str, *, kind: Kind, file: str | None = None) -> list[Problem]:
    """Every problem of one document by itself, warnings too, in the order of the file, with line and column.

    `kind` is service, resources, operations, overlay or connector. An empty list means that it can be used.
    """
    try:
        document = Document.from_text(text, kind, file)
    except InvalidDefinition as error:
        return list(error.problems)
    one = DocumentReader(document, document.value)
    parsed = _Parse(lint=True)
    if kind in ("service", "connector"):
        root = document.value if isinstance(document.value, Mapping) else {}
        service = parsed.service(one.reader, root)
        parsed.resources(one.reader, root.get("resources", []), ("resources",), service)
        parsed.custom(one.reader, root.get("operations", []), ("operations",), service)
    elif kind == "resources":
        # Alone, it cannot know which names the connection fills, so undeclared ones are no news.
        parsed.resources(one.reader, document.value, (), _NOWHERE)
        one.reader.findings = [each for each in one.reader.findings if each.code != "W_UNDECLARED"]
    elif kind == "operations":
        parsed.custom(one.reader, document.value, (), _NOWHERE)
    return one.problems(all_of_them=True)


def _document(source: Source, kind: Kind) -> Document:
    if isinstance(source, Document):
        return source
    if isinstance(source, str):
        return Document.from_text(source, kind)
    return Document(source, kind)


def _handles(resources: Any) -> set[str]:
    if isinstance(resources, Mapping):
        return set(resources)
    return {item["handle"] for item in resources if isinstance(item, Mapping) and isinstance(item.get("handle"), str)}


@dataclass(slots=True)
class _Parse:
    """What has been found in all documents of one connector so far."""

    lint: bool
    found_resources: dict[str, Resource] = field(default_factory=dict)
    found_operations: dict[str, Any] = field(default_factory=dict)
    found_custom: dict[str, CustomOperation] = field(default_factory=dict)
    routes: set[str] = field(default_factory=set)
    handle: str = ""

    def service(self, reader: Reader, root: Mapping[str, Any]) -> Service:
        """The service block."""
        self.handle = reader.need(root, "handle", str, "")
        block = reader.need(root, "service", dict, {})
        base, declared = reader.template(block.get("baseURL"), ("service", "baseURL"))
        values: dict[str, Placeholder] = dict(declared)
        headers = []
        for name, template, found in reader.headers(reader.get(block, "headers", dict, {}), ("service", "headers")):
            values |= found
            headers.append((name, template))
            _declare(values, template)
        if "params" in block:
            values |= reader.placeholders(block["params"], ("service", "params"))
        _declare(values, base)
        _check_base(reader, base)
        options: list[Auth] = []
        entries = [("auth", reader.get(block, "auth", dict, None))]
        entries += [("authOptions", option) for option in reader.get(block, "authOptions", list, [])]
        for index, (key, source) in enumerate(entries):
            if isinstance(source, Mapping):
                where: Path = ("service", key) if key == "auth" else ("service", key, index - 1)
                options.append(_read_auth(reader, source, where, values))
            elif key == "authOptions":
                reader.misshapen = True
        probe, _ = reader.template(reader.get(block, "probe", dict, {}).get("path", ""), ("service", "probe", "path"))
        return Service(
            self.handle,
            base,
            tuple(headers),
            reader.get(block, "contentType", str, ""),
            options[0] if options else NoAuth(),
            tuple(options[1:]),
            values,
            probe.literal or "",
        )

    def resources(self, reader: Reader, source: Any, path: Path, service: Service) -> None:
        """A document (or the member) of resources."""
        if not isinstance(source, (list, Mapping)):
            reader.misshapen = True
            return
        for handle, item, where in reader.items(source, path, "handle"):
            if handle in self.found_resources:
                reader.complain("E_DOUBLED", f"resource {handle!r} stands twice", where, "handles are unique")
                continue
            self.found_resources[handle] = self._resource(reader, handle, item, where, service)

    def _resource(
        self, reader: Reader, handle: str, source: Mapping[str, Any], path: Path, service: Service
    ) -> Resource:
        endpoint = reader.template(source.get("endpoint", ""), (*path, "endpoint"))
        reader.misshapen |= "endpoint" not in source
        if endpoint[0].parts and not str(endpoint[0].parts[0]).startswith(("/", "?", ":")):
            reader.complain("E_URL", "an endpoint begins with '/'", (*path, "endpoint"), "it follows the base URL")
            endpoint = (Template(()), {})
        fields = reader.fields(reader.get(source, "fields", list, []), (*path, "fields"))
        names = []
        listed = reader.get(source, "operations", (dict, list), {})
        for name, item, where in reader.items(listed, (*path, "operations"), "handle", "name"):
            operation_id = f"{handle}.{name}"
            if "." in name:
                reader.misshapen = True
            self.found_operations[operation_id] = read_operation(
                reader, operation_id, item, where, service, endpoint=endpoint, fields=fields
            )
            names.append(operation_id)
        short, description = reader.meta(source)
        webhooks = tuple(self._webhooks(reader, handle, source, path))
        return Resource(handle, short, description, fields, tuple(names), webhooks)

    def _webhooks(self, reader: Reader, resource: str, source: Mapping[str, Any], path: Path) -> Iterator[Webhook]:
        listed = reader.get(source, "webhooks", list, [])
        for event, item, where in reader.items(listed, (*path, "webhooks"), "event"):
            route = reader.need(item, "path", str, "")
            if route and not _is_route(route):
                reader.complain(
                    "E_WEBHOOK_PATH",
                    f"{route[:70]!r} is no webhook path",
                    (*where, "path"),
                    "it begins with /webhooks/ and holds no dot segment, '{' or escape",
                )
            if route in self.routes:
                reader.complain("E_DOUBLED", f"webhook path {route!r} stands twice", (*where, "path"), "paths are unique")
            self.routes.add(route)
            short, description = reader.meta(item)
            payload = reader.fields(reader.get(item, "payload", list, []), (*where, "payload"))
            after = tuple(each for each in reader.get(item, "after", list, []) if isinstance(each, str))
            poll = reader.get(item, "poll", dict, None)
            yield Webhook(self.handle, resource, event, route, payload, description or short, after, poll)

    def custom(self, reader: Reader, source: Any, path: Path, service: Service) -> None:
        """A document (or the member) of custom operations. Their templates are checked; steps are kept as written."""
        if not isinstance(source, list):
            reader.misshapen = True
            return
        for handle, item, where in reader.items(source, path, "handle"):
            listed = reader.get(item, "input", list, [])
            inputs = {
                name: reader.placeholder(name, {**entry.get("meta", {}), **entry}, at)
                for name, entry, at in reader.items(listed, (*where, "input"), "name")
            }
            steps = [step for step in reader.need(item, "steps", list, []) if isinstance(step, Mapping)]
            for index, step in enumerate(steps):
                call = step.get("http")
                if isinstance(call, Mapping):
                    # Its names may come from earlier steps, so only its grammar is judged here.
                    probe = Reader()
                    method, _ = probe.template(call.get("method"), (*where, "steps", index, "http", "method"))
                    plain = {**call, "method": method.literal or "GET"}
                    read_operation(probe, handle, plain, (*where, "steps", index, "http"), service)
                    reader.findings += [each for each in probe.findings if each.code.startswith("E_")]
                    reader.misshapen |= probe.misshapen
            output = reader.fields(reader.get(item, "output", list, []), (*where, "output"))
            short, description = reader.meta(item)
            self.found_custom[handle] = CustomOperation(handle, short, description, inputs, tuple(steps), output)


def _declare(values: dict[str, Placeholder], template: Template) -> None:
    """Names that a service template uses without declaring them are required texts of the connection."""
    from connector.convertors import CONVERTORS

    for name in template.names:
        values.setdefault(name, Placeholder(name, CONVERTORS["string"], required=True))


def _check_base(reader: Reader, base: Template) -> None:
    # A sample value in each slot shows whether the fixed text around it makes a base URL.
    first = base.only_slot or (base.parts[0].name if base.parts and not isinstance(base.parts[0], str) else "")
    sample = {name: "https://sample.invalid" if name == first else "sample" for name in base.names}
    try:
        url = render_base(base, sample) if base.parts else check_base_url("")
    except (Unrenderable, ValueError) as error:
        if base.parts or not reader.misshapen:
            reader.complain("E_URL", str(error), ("service", "baseURL"), "write https://host/path")
        return
    if url is not None and url.startswith("http:"):
        reader.complain("W_PLAIN_HTTP", "the base URL is not https", ("service", "baseURL"), "credentials travel in clear")


def _read_auth(reader: Reader, source: Mapping[str, Any], path: Path, values: dict[str, Placeholder]) -> Auth:
    method = reader.need(source, "method", str, "none")
    row = find_auth_method(method)
    if row is None:
        known = ", ".join(AUTH_METHODS)
        reader.complain("E_AUTH_METHOD", f"unknown auth method {method[:70]!r}", (*path, "method"), f"known: {known}")
        return NoAuth()

    def read(template_source: Any, key: str) -> Template:
        template, declared = reader.template(template_source, (*path, "params", *key.split("/")))
        values.update(declared)
        _declare(values, template)
        return template

    params = reader.get(source, "params", dict, {})
    try:
        return row(params, read)
    except ValueError as error:
        reader.complain("E_AUTH", str(error), path, f"see the params of {method}")
        return NoAuth()


def _is_route(route: str) -> bool:
    if not route.startswith("/webhooks/") or any(char in route for char in "{}%?#\\") or not route.isascii():
        return False
    return route.isprintable() and " " not in route and "//" not in route and not has_dot_segment(route)
