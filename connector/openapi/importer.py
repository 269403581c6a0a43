"""Makes the documents of a connector from an OpenAPI document (3.0, 3.1), with a report of what was kept and lost.

Services, operations and names come from the modules next to this one; here operations are grouped into resources, and
whatever the language would refuse is taken out and reported. Nothing is fetched, and no file is touched.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from connector.errors import InvalidDefinition, Problem
from connector.model.definition import Connector
from connector.openapi.answers import read_fields
from connector.openapi.document import (
    Report,
    Specification,
    as_object,
    extension,
    first_tag,
    items,
    members,
    shorten,
    text_of,
)
from connector.openapi.examples import read_example
from connector.openapi.files import LARGE, show, split_group
from connector.openapi.inputs import is_json_type
from connector.openapi.names import common_segments, kebab, name_calls, shared_prefix, split_words
from connector.openapi.operations import (
    DESCRIPTION,
    METHODS,
    FoundOperation,
    define,
    find_operations,
    finish,
    operation_meta,
    own_path,
)
from connector.openapi.services import handle_of, read_auth, read_base, value_names
from connector.parsing.connectors import read_connector
from connector.pointers import read_pointer

#: A specification has at most this many operations.
MAX_OPERATIONS = 5000
_ORDER = ("list", "read", "create", "update", "replace", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A connector made from a specification: its documents, recorded answers, and the report.

    `groups` are the resources by the group that they would be filed under; `connector` is the definition once read.
    """

    service: Mapping[str, Any]
    groups: Mapping[str, Sequence[dict[str, Any]]]
    operations: Sequence[Any]
    examples: Mapping[str, Any]
    report: Report
    connector: Connector

    @property
    def handle(self) -> str:
        """The handle, and the name of the folder."""
        return self.connector.handle

    def files(self) -> dict[str, str]:
        """Every file of the connector's folder by its path; the same specification always makes the same bytes."""
        texts = {"service.json": show(self.service)}
        resources = [resource for group in self.groups.values() for resource in group]
        if sum(map(len, map(show, resources))) <= LARGE:
            texts["resources.json"] = show(resources)
        else:
            for name, group in self.groups.items():
                for place, part in enumerate(split_group(group)):
                    texts[f"resources/{name}{f'-{place + 1}' if place else ''}.json"] = show(part)
        if self.operations:
            texts["operations.json"] = show(self.operations)
        for name, example in self.examples.items():
            texts[f"examples/{name}.json"] = show(example)
        return texts


def from_openapi(document: Any, *, handle: str = "", source_url: str = "") -> Imported:
    """The connector that an OpenAPI document describes.

    `document` is parsed JSON; `handle` names the connector in place of the document's title; `source_url` is where the
    document came from, for servers that are only a path. Raises InvalidDefinition for a document that is not OpenAPI
    3.0 or 3.1, or too large.
    """
    _check(document)
    return _Import(Specification(document), handle, source_url).read()


def _check(document: Any) -> None:
    def refused(code: str, message: str, hint: str, pointer: str = "") -> InvalidDefinition:
        return InvalidDefinition([Problem(code, message, hint=hint, pointer=pointer)])

    hint = "an OpenAPI document begins with `openapi: 3.1.0`, and has `info` and `paths` or `webhooks`"
    if not isinstance(document, Mapping):
        raise refused("E_OPENAPI", "this is not an OpenAPI document", hint)
    if "swagger" in document:
        message = f"this is Swagger {str(document['swagger'])[:10]}, not OpenAPI 3"
        raise refused("E_OPENAPI", message, "convert it first: npx swagger2openapi FILE -o openapi.json", "/swagger")
    if not text_of(document, "openapi").startswith(("3.0", "3.1", "3.2")):
        raise refused("E_OPENAPI", "this is not an OpenAPI document of version 3.0 or 3.1", hint, "/openapi")
    count = sum(method in as_object(item) for _, item in members(document.get("paths")) for method in METHODS)
    if count > MAX_OPERATIONS:
        message = f"the document has {count} operations; at most {MAX_OPERATIONS} can be imported"
        raise refused("E_LIMIT", message, "leave out the paths that are not needed", "/paths")


@dataclass(slots=True)
class _Import:
    """One specification being imported."""

    spec: Specification
    wanted: str
    source_url: str
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: The group of each resource that has one, by its handle.
    groups: dict[str, str] = field(default_factory=dict)
    examples: dict[str, Any] = field(default_factory=dict)
    #: Where each operation comes from: `GET /pets`, by its id.
    sources: dict[str, str] = field(default_factory=dict)

    def read(self) -> Imported:
        document = self.spec.document
        info, own = as_object(document.get("info")), extension(document)
        title = text_of(info, "title", "Connector")
        handle = self.wanted or text_of(own, "handle") or handle_of(title)
        operations = list(find_operations(self.spec))
        prefix = "" if own else shared_prefix(found.named.path for found in operations)
        base = read_base(self.spec, self.source_url)
        auths = read_auth(self.spec, base, self._requirements())
        service: dict[str, Any] = {
            "baseURL": base.as_json(prefix),
            "contentType": "application/json",
            "headers": {"Accept": {"value": "application/json"}},
            "auth": auths[0] if auths else {"method": "none"},
        }
        if len(auths) > 1:
            service["authOptions"] = auths[1:]
        if isinstance(own.get("service"), Mapping):
            service = {"baseURL": service["baseURL"], **own["service"]}
        head = {
            "handle": handle,
            "status": text_of(own, "status", "active"),
            "meta": dict(own["meta"]) if isinstance(own.get("meta"), Mapping) else self._meta(info, title),
            "service": service,
        }
        self._add_resources(operations, prefix, frozenset() if own else value_names(base, auths))
        self._add_webhooks(handle)
        return self._settle(head, list(items(own.get("operations"))))

    def _meta(self, info: Mapping[str, Any], title: str) -> dict[str, Any]:
        meta: dict[str, Any] = {"short": shorten(title, 80)}
        description = shorten(info.get("description"), DESCRIPTION) or shorten(info.get("summary"), DESCRIPTION)
        if description:
            meta["description"] = description
        version = str(info.get("version", ""))[:40] if not isinstance(info.get("version"), (dict, list)) else ""
        meta["source"] = f"OpenAPI {self.spec.document['openapi'][:10]}: {shorten(title, 80)} {version}".strip()
        return meta

    def _requirements(self) -> list[Any]:
        """The security requirements of the whole document, then those of its operations."""
        paths = [as_object(item) for _, item in members(self.spec.document.get("paths"))]
        levels = [self.spec.document, *(as_object(item.get(method)) for item in paths for method in METHODS)]
        return [requirement for level in levels for requirement in items(level.get("security"))]

    def _add_resources(self, operations: Sequence[FoundOperation], prefix: str, reserved: frozenset[str]) -> None:
        names = name_calls([replace(found.named, path=found.named.path[len(prefix) :]) for found in operations])
        grouped: dict[str, dict[str, FoundOperation]] = {}
        for found, (guessed_resource, guessed_name) in zip(operations, names, strict=True):
            handle = text_of(found.extension, "resource", guessed_resource)
            name = text_of(found.extension, "name", guessed_name)
            found.definition = {"name": name}
            grouped.setdefault(handle, {})[name] = found
        tags = {text_of(as_object(each), "name"): as_object(each) for each in items(self.spec.document.get("tags"))}
        for handle, named in grouped.items():
            paths = {name: own_path(found) or found.call.path[len(prefix) :] for name, found in named.items()}
            endpoint = _common_path(paths.values())
            for name, found in named.items():
                define(self.spec, found, paths[name][len(endpoint) :], reserved)
                self.examples[f"{handle}.{name}"] = self._example(found)
                self.sources[f"{handle}.{name}"] = found.call.where
            first = next(iter(named.values()))
            shared = extension(tags.get(handle, {})).get("fields", _shared_fields(named.values()))
            self.resources[handle] = {
                "handle": handle,
                "meta": _resource_meta(
                    handle, tags.get(first.named.tag, {}), {each.named.tag for each in named.values()}
                ),
                "endpoint": {"value": endpoint},
                "fields": shared,
                "operations": {name: finish(named[name], shared) for name in sorted(named, key=_rank)},
            }
            self.groups[handle] = kebab(first.named.tag) or handle.partition("-")[0]

    def _example(self, found: FoundOperation) -> Any:
        own = found.extension.get("example")
        return own if own is not None else read_example(self.spec, found.answer, found.call.where)

    def _add_webhooks(self, handle: str) -> None:
        paths: set[str] = set()
        for event, item in members(self.spec.document.get("webhooks")):
            where = f"webhook {event[:100]}"
            resolved = self.spec.resolve(item, where)
            source = next((resolved[method] for method in METHODS if isinstance(resolved.get(method), Mapping)), None)
            if source is None or not event:
                self.spec.report.add("lost", where, "it does not describe a request")
                continue
            own = extension(source)
            content = members(self.spec.resolve(source.get("requestBody"), where).get("content"))
            media: Any = next((each for kind, each in content if is_json_type(kind)), {})
            path = text_of(own, "path") or f"/webhooks/{handle}/{kebab(event, 'event')}"
            while path in paths:
                path += "-2"
            paths.add(path)
            webhook: dict[str, Any] = {"event": text_of(own, "event", event), "path": path}
            if meta := operation_meta(source):
                webhook["meta"] = meta
            webhook["payload"] = read_fields(self.spec, self.spec.resolve(media, where).get("schema"), where)
            webhook |= {key: value for key, value in own.items() if key != "resource"}
            tag = kebab(first_tag(source))
            home = text_of(own, "resource") or (tag if tag in self.resources else "webhooks")
            if home not in self.resources:
                meta = {"short": _title(home), "description": "What the provider reports on its own."}
                empty = {"endpoint": {"value": ""}, "fields": [], "operations": {}}
                self.resources[home] = {"handle": home, "meta": meta, **empty}
            self.resources[home].setdefault("webhooks", []).append(webhook)
            self.spec.report.add("kept", where, "as a webhook")

    def _settle(self, head: dict[str, Any], customs: list[Any]) -> Imported:
        """The result, without what the language would refuse."""
        for _ in range(6):
            groups: dict[str, list[dict[str, Any]]] = {}
            for handle, resource in self.resources.items():
                groups.setdefault(self.groups.get(handle, handle), []).append(resource)
            parts = [part for group in groups.values() for part in split_group(group)] or [[]]
            connector, problems = read_connector(head, parts[0], more_resources=parts[1:], operations=customs)
            if connector is not None:
                for name in connector.operations:
                    self.spec.report.add("kept", self.sources[name], f"as {name}")
                examples = {name: each for name, each in self.examples.items() if name in connector.operations}
                return Imported(
                    service=head,
                    groups=groups,
                    operations=customs,
                    examples=examples,
                    report=self.spec.report,
                    connector=connector,
                )
            self._take_out(head, [problem for problem in problems if problem.is_error])
        raise InvalidDefinition(problem for problem in problems if problem.is_error)

    def _take_out(self, head: dict[str, Any], problems: Sequence[Problem]) -> None:
        """Removes what the language refuses, and reports it."""
        for problem in problems:
            if read_pointer(problem.pointer)[:2] in (["service", "auth"], ["service", "authOptions"]):
                head["service"] = {**head["service"], "auth": {"method": "none"}}
                head["service"].pop("authOptions", None)
                self.spec.report.add("lost", "security", problem.message)
        service = {"handle": "alone", "service": {"baseURL": "https://alone.invalid"}}
        for handle, resource in list(self.resources.items()):
            for problem in (each for each in read_connector(service, [resource])[1] if each.is_error):
                _, *steps = read_pointer(problem.pointer)
                where = f"{handle}.{steps[1]}" if steps[:1] == ["operations"] and steps[1:] else handle
                self.spec.report.add("lost", where, f"it would be refused: {problem.message}")
                if where != handle:
                    resource["operations"].pop(steps[1], None)
                elif steps[:1] == ["webhooks"]:
                    resource.pop("webhooks", None)
                else:
                    self.resources.pop(handle, None)


def _common_path(paths: Iterable[str]) -> str:
    """The fixed segments that all of these paths begin with."""
    segments = (path.partition("?")[0].split("/")[1:] for path in paths)
    fixed = (takewhile(lambda segment: "{" not in segment, each) for each in segments)
    return "".join(f"/{segment}" for segment in common_segments(fixed))


def _rank(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _title(handle: str) -> str:
    return " ".join(word.capitalize() for word in split_words(handle))


def _resource_meta(handle: str, tag: Mapping[str, Any], tags: set[str]) -> dict[str, Any]:
    own = extension(tag).get("meta")
    if isinstance(own, Mapping):
        return dict(own)
    description = shorten(tag.get("description"), DESCRIPTION) if len(tags) == 1 else ""
    return {"short": _title(handle), **({"description": description} if description else {})}


def _shared_fields(found: Iterable[FoundOperation]) -> list[dict[str, Any]]:
    """The fields that most operations of a resource have."""
    counts = Counter(json.dumps(each.fields) for each in found if each.fields)
    shared: list[dict[str, Any]] = json.loads(counts.most_common(1)[0][0]) if counts else []
    return shared
