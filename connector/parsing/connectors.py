"""Reading a whole definition: from its documents to a Connector, or to every problem at once.

A document may be text or already parsed JSON. The parts of the right shape are read even where others are not, so that
all problems are reported together; the JSON Schema reports those of the shape. No code after this module needs to know
which of several shapes an author chose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.errors import InvalidDefinition, Problem
from connector.model.definition import Connector, CustomOperation, Operation, Resource
from connector.model.service import Service
from connector.parsing.automations import read_automation
from connector.parsing.operations import NOWHERE, Endpoint, check_path, read_operation
from connector.parsing.overlays import Merge
from connector.parsing.reader import Reader, text_path
from connector.parsing.schema import Document, Finding, Kind, Path, find_shape_problems, fits
from connector.parsing.services import read_service
from connector.parsing.steps import CustomOperations, read_custom_operation
from connector.parsing.webhooks import read_webhooks
from connector.templates import Template

Source = str | Mapping[str, Any] | Sequence[Any] | Document


def parse_connector(
    service: Source,
    resources: Source | None = None,
    *,
    overlay: Source | None = None,
    operations: Source | None = None,
) -> Connector:
    """Reads a definition: a service block and resources, or one document with the whole Connector.

    Each document is JSON text or parsed JSON. Raises InvalidDefinition with every problem of all of them.

    >>> parse_connector({"handle": "demo", "service": {"baseURL": "https://example.com"}}).handle
    'demo'
    """
    connector, problems = read_connector(service, resources, overlay=overlay, operations=operations)
    if connector is None:
        raise InvalidDefinition(problem for problem in problems if problem.is_error)
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
    """Reads a definition as `parse_connector`; returns the Connector (None if there are errors) and all problems.

    `more_resources` are further documents of resources. With `lint` unknown keys are reported as well.
    """
    unreadable: list[Problem] = []

    def read(kind: Kind, *sources: Source | None) -> list[Document]:
        documents = []
        for source in sources:
            try:
                documents += [] if source is None else [_document(source, kind)]
            except InvalidDefinition as error:
                unreadable.extend(error.problems)
        return documents

    # A missing head is an empty one, of which everything is missing.
    heads = read("connector" if resources is None else "service", {} if service is None else service)
    groups = read("resources", resources, *more_resources)
    customs = read("operations", operations)
    overlays = read("overlay", overlay)
    if unreadable:
        return None, unreadable
    patch = overlays[0].value if overlays and isinstance(overlays[0].value, Mapping) else {}
    head, *others = _lay(heads[0], groups, customs, patch)
    parsed = _Parse()
    root = head.value if isinstance(head.value, Mapping) else {}
    known_service = read_service(head.reader, root)
    parsed.resources(head.reader, root.get("resources"), ("resources",), known_service)
    parsed.custom(head.reader, root.get("operations"), ("operations",), known_service)
    for part in others:
        read_part = parsed.resources if part.document.kind == "resources" else parsed.custom
        read_part(part.reader, part.value, (), known_service)
    problems = _problems([head, *others], overlays, lint=lint)
    if any(problem.is_error for problem in problems):
        return None, problems
    short, description = head.reader.meta(root)
    connector = Connector(
        handle=known_service.connector,
        service=known_service,
        status=root.get("status", ""),
        short=short,
        description=description,
        tags=tuple(root.get("meta", {}).get("tags", ())),
        resources=parsed.found_resources,
        operations=parsed.found_operations,
        custom_operations=CustomOperations(parsed.found_custom, known_service),
    )
    return connector, problems


def merge_documents(
    service: Document,
    resources: Sequence[Document] = (),
    *,
    overlay: Document | None = None,
    operations: Document | None = None,
) -> dict[str, Any]:
    """Returns a whole connector as one JSON object with its overlay applied, as `to_openapi` takes it.

    The documents must be those of a valid connector.
    """
    patch = overlay.value if overlay is not None and isinstance(overlay.value, Mapping) else {}
    customs = [] if operations is None else [operations]
    head, *others = _lay(service, resources, customs, patch)
    whole = {key: value for key, value in head.value.items() if key != "$schema"}
    for part in others:
        member = part.document.kind
        whole[member] = [*_listed(whole.get(member) or []), *_listed(part.value)]
    return whole


def _listed(items: Any) -> list[Any]:
    if not isinstance(items, Mapping):
        return list(items)
    return [{"handle": handle, **item} for handle, item in items.items() if handle != "$schema"]


def find_problems(text: str, *, kind: Kind, file: str | None = None) -> list[Problem]:
    """Returns every problem of one document, warnings included, in the order of the file, with line and column.

    `kind` is service, resources, operations, overlay, connector or automation. An empty list means that the document
    can be used.
    """
    try:
        document = Document.from_text(text, kind, file)
    except InvalidDefinition as error:
        return list(error.problems)
    if kind in ("service", "connector"):
        return read_connector(document, lint=True)[1]
    if kind == "automation":
        return read_automation(document)[1]
    if kind in ("overlay", "mapping"):
        return document.problems(find_shape_problems(document.value, kind))
    part = _Part(document, document.value)
    parsed = _Parse()
    read_part = parsed.resources if kind == "resources" else parsed.custom
    read_part(part.reader, document.value, (), NOWHERE)
    # Without the service the names that a connection fills are unknown, so undeclared names are not reported.
    part.reader.findings = [each for each in part.reader.findings if each.code != "W_UNDECLARED"]
    return _problems([part], [], lint=True)


def _document(source: Source, kind: Kind) -> Document:
    if isinstance(source, Document):
        return source
    return Document.from_text(source, kind) if isinstance(source, str) else Document.from_value(source, kind)


@dataclass(slots=True)
class _Part:
    """One document: its value with the overlay applied, and the findings in it."""

    document: Document
    value: Any
    merge: Merge = field(default_factory=Merge)
    reader: Reader = field(default_factory=Reader)

    @classmethod
    def over(cls, document: Document, patch: Any, origin: Path) -> _Part:
        part = cls(document, document.value)
        listed = document.kind in ("resources", "operations")
        if patch and isinstance(document.value, (dict, list) if listed else dict):
            part.value = part.merge.lay(document.value, patch, (), origin)
        return part

    def findings(self, *, lint: bool) -> Iterator[Finding]:
        yield from self.reader.findings
        if lint or not fits(self.value, self.document.kind):
            yield from find_shape_problems(self.value, self.document.kind)


def _lay(
    head: Document, groups: Sequence[Document], customs: Sequence[Document], patch: Mapping[str, Any]
) -> list[_Part]:
    """Returns each document with its share of the overlay applied, the head first."""
    own = {key: value for key, value in patch.items() if key not in ("resources", "operations")}
    parts = []
    for member, documents in (("resources", groups), ("operations", customs)):
        inside = head.value.get(member) if isinstance(head.value, Mapping) else None
        first, *shares = _shares(patch.get(member), [inside, *(document.value for document in documents)])
        if first:
            own[member] = first
        parts += [_Part.over(*each, (member,)) for each in zip(documents, shares, strict=True)]
    return [_Part.over(head, own, ()), *parts]


def _shares(patch: Any, holders: Sequence[Any]) -> list[dict[str, Any]]:
    """Splits a patch among holders of named things; a name that none of them has goes to the last."""
    pending = dict(patch) if isinstance(patch, Mapping) else {}
    shares = []
    for holder in holders[:-1]:
        items = holder if isinstance(holder, list) else []
        names = {item.get("handle") for item in items if isinstance(item, Mapping)}
        names |= holder.keys() if isinstance(holder, Mapping) else set()
        shares.append({name: pending.pop(name) for name in list(pending) if name in names})
    return [*shares, pending]


def _problems(parts: Sequence[_Part], overlays: Sequence[Document], *, lint: bool) -> list[Problem]:
    """Returns all findings as problems, each in the document and at the place where its author wrote it."""
    laid: list[Finding] = []
    problems: list[Problem] = []
    for part in parts:
        traced = [part.merge.trace(finding) for finding in dict.fromkeys(part.findings(lint=lint))]
        laid += [finding for finding, from_overlay in traced if from_overlay] + part.merge.findings
        problems += part.document.problems(finding for finding, from_overlay in traced if not from_overlay)
    for overlay in overlays:
        if lint or not fits(overlay.value, "overlay"):
            said = {(each.code, each.path) for each in laid}
            shape = find_shape_problems(overlay.value, "overlay")
            laid += [each for each in shape if (each.code, each.path) not in said]
        problems += overlay.problems(laid)
    return problems


@dataclass(slots=True)
class _Parse:
    """What has been read of one connector so far, from all of its documents."""

    found_resources: dict[str, Resource] = field(default_factory=dict)
    found_operations: dict[str, Operation] = field(default_factory=dict)
    found_custom: dict[str, CustomOperation] = field(default_factory=dict)
    routes: dict[str, bool] = field(default_factory=dict)

    def resources(self, reader: Reader, source: Any, path: Path, service: Service) -> None:
        """Reads a document (or the member) of resources."""
        for handle, item, where in _unique(reader, source, path, self.found_resources, "resource"):
            self.found_resources[handle] = self._resource(reader, handle, item, where, service)

    def _resource(
        self, reader: Reader, handle: str, source: Mapping[str, Any], path: Path, service: Service
    ) -> Resource:
        known = len(reader.findings)
        template, declared = reader.template(source.get("endpoint"), (*path, "endpoint"))
        where = text_path(source.get("endpoint"), (*path, "endpoint"))
        check_path(reader, template, where, service)
        endpoint = Endpoint(template, declared, where)
        if len(reader.findings) > known or not isinstance(source.get("endpoint"), (str, Mapping)):
            # A problem of the endpoint is reported once, not again for every path after it.
            endpoint = Endpoint(Template(("/",)))
        fields = reader.fields(reader.get(source, "fields", list, []), (*path, "fields"))
        names = []
        for name, item, where in reader.items(source.get("operations"), (*path, "operations"), "handle", "name"):
            operation_id = f"{handle}.{name}"
            self.found_operations[operation_id] = read_operation(
                reader, operation_id, item, where, service, endpoint=endpoint, fields=fields
            )
            names.append(operation_id)
        short, description = reader.meta(source)
        webhooks = tuple(read_webhooks(reader, handle, source, path, service, endpoint, routes=self.routes))
        return Resource(
            handle=handle,
            short=short,
            description=description,
            fields=fields,
            operations=tuple(names),
            webhooks=webhooks,
        )

    def custom(self, reader: Reader, source: Any, path: Path, service: Service) -> None:
        """Reads a document (or the member) of custom operations."""
        for handle, item, where in _unique(reader, source, path, self.found_custom, "operation"):
            self.found_custom[handle] = read_custom_operation(reader, handle, item, where, service)


def _unique(
    reader: Reader, source: Any, path: Path, known: Mapping[str, Any], kind: str
) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    """Yields the named things whose handle no earlier document has, and complains about the others."""
    for handle, item, where in reader.items(source, path, "handle"):
        if handle in known:
            message = f"{kind} {handle[:70]!r} is duplicated"
            reader.complain("E_DOUBLED", message, (*where, "handle"), "handles are unique")
        else:
            yield handle, item, where
