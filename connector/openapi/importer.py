"""An OpenAPI document (3.0, 3.1) as the documents of a connector, and a report of what was kept, guessed and lost.

This is where the parts come together: the service block (`spec_service`), operations (`spec_operations`) and their
names (`spec_names`), grouped into resources. Whatever comes of it is a definition without errors: what would be refused
is taken out and reported. Texts are read by `spec_text`; nothing is fetched, and no file is touched.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.errors import InvalidDefinition, Problem
from connector.model.definition import Connector
from connector.openapi.answers import read_fields
from connector.openapi.document import Report, Specification, extension, members, shorten, text_of
from connector.openapi.examples import read_example
from connector.openapi.files import LARGE, show, split_group
from connector.openapi.inputs import is_json_type
from connector.openapi.names import NamedPath, kebab, name_calls, shared_prefix, split_words
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

#: A specification has at most this many operations.
MAX_OPERATIONS = 5000
_ORDER = ("list", "read", "create", "update", "replace", "delete")


@dataclass(frozen=True, slots=True)
class Imported:
    """A connector made from a specification: its documents, recorded answers, and the report.

    `groups` are the resources by the group that they would be filed under; `connector` is the definition, read.
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
        """Every file of the connector's folder by its path: the same specification gives the same bytes."""
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
    document came from, for servers that are only a path. Raises InvalidDefinition for what is no OpenAPI 3.0 or 3.1,
    or too large.
    """
    _check(document)
    return _Import(Specification(document), handle, source_url).read()


def _check(document: Any) -> None:
    def refused(code: str, message: str, hint: str, pointer: str = "") -> InvalidDefinition:
        return InvalidDefinition([Problem(code, message, hint, pointer, None, None, None)])

    hint = "an OpenAPI document begins with `openapi: 3.1.0`, and has `info` and `paths` or `webhooks`"
    if not isinstance(document, Mapping):
        raise refused("E_OPENAPI", "this is no OpenAPI document", hint)
    if "swagger" in document:
        convert = "convert it first: npx swagger2openapi FILE -o openapi.json"
        raise refused(
            "E_OPENAPI", f"this is Swagger {str(document['swagger'])[:10]}, not OpenAPI 3", convert, "/swagger"
        )
    version = document.get("openapi")
    if not isinstance(version, str) or not version.startswith(("3.0", "3.1", "3.2")):
        raise refused("E_OPENAPI", "this is no OpenAPI document of version 3.0 or 3.1", hint, "/openapi")
    count = sum(
        isinstance(item, Mapping) and sum(method in item for method in METHODS)
        for _, item in members(document.get("paths"))
    )
    if count > MAX_OPERATIONS:
        message = f"the document has {count} operations; at most {MAX_OPERATIONS} can be imported"
        raise refused("E_LIMIT", message, "leave out the paths that are not needed", "/paths")


@dataclass(slots=True)
class _Import:
    """One specification being imported."""

    spec: Specification
    wanted: str
    source_url: str
    examples: dict[str, Any] = field(default_factory=dict)
    #: Where each operation comes from: `GET /pets`, by its id.
    sources: dict[str, str] = field(default_factory=dict)

    def read(self) -> Imported:
        document, report = self.spec.document, self.spec.report
        info = document.get("info")
        info = info if isinstance(info, Mapping) else {}
        title = text_of(info, "title", "Connector")
        own = extension(document)
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
        reserved = frozenset() if own else value_names(base, auths)
        if isinstance(own.get("service"), Mapping):
            service = {"baseURL": service["baseURL"], **own["service"]}
        head = {
            "handle": handle,
            "status": text_of(own, "status", "active"),
            "meta": self._meta(info, title, own),
            "service": service,
        }
        resources = self._resources(operations, prefix, reserved)
        self._webhooks(handle, resources)
        customs: list[Any] = list(own["operations"]) if isinstance(own.get("operations"), list) else []
        return self._settle(head, resources, customs, report)

    def _meta(self, info: Mapping[str, Any], title: str, own: Mapping[str, Any]) -> dict[str, Any]:
        said = own.get("meta")
        if isinstance(said, Mapping):
            return dict(said)
        meta: dict[str, Any] = {"short": shorten(title, 80)}
        description = shorten(info.get("description"), DESCRIPTION) or shorten(info.get("summary"), DESCRIPTION)
        if description:
            meta["description"] = description
        version = str(info.get("version", ""))[:40] if not isinstance(info.get("version"), (dict, list)) else ""
        meta["source"] = f"OpenAPI {self.spec.document['openapi'][:10]}: {shorten(title, 80)} {version}".strip()
        return meta

    def _requirements(self) -> list[Any]:
        """What is demanded of every operation, then of single ones."""
        root = self.spec.document.get("security")
        found = list(root) if isinstance(root, list) else []
        for _, item in members(self.spec.document.get("paths")):
            for method in METHODS:
                operation = item.get(method) if isinstance(item, Mapping) else None
                listed = operation.get("security") if isinstance(operation, Mapping) else None
                found += listed if isinstance(listed, list) else []
        return found

    # Operations

    # Resources

    def _resources(
        self, operations: Sequence[FoundOperation], prefix: str, reserved: frozenset[str]
    ) -> dict[str, dict[str, Any]]:
        names = name_calls([_without_prefix(found.named, prefix) for found in operations])
        grouped: dict[str, dict[str, FoundOperation]] = {}
        for found, (guessed_resource, guessed_name) in zip(operations, names, strict=True):
            handle = text_of(found.extension, "resource", guessed_resource)
            name = text_of(found.extension, "name", guessed_name)
            found.definition = {"name": name}
            grouped.setdefault(handle, {})[name] = found
        tags = self._tags()
        resources = {}
        for handle, members_ in grouped.items():
            said = extension(tags.get(handle, {}))
            paths = {name: own_path(found) or found.call.path[len(prefix) :] for name, found in members_.items()}
            endpoint = _common_path(paths.values())
            for name, found in members_.items():
                define(self.spec, found, paths[name][len(endpoint) :], reserved)
            first = next(iter(members_.values()))
            resource: dict[str, Any] = {
                "handle": handle,
                "meta": _resource_meta(handle, tags.get(first.tag, {}), [each.tag for each in members_.values()]),
                "endpoint": {"value": endpoint},
            }
            shared = said.get("fields", _shared_fields(members_.values()))
            resource["fields"] = shared
            resource["operations"] = {
                name: finish(found, shared) for name, found in sorted(members_.items(), key=lambda each: _rank(each[0]))
            }
            for name, found in members_.items():
                self.examples[f"{handle}.{name}"] = self._example(found)
                self.sources[f"{handle}.{name}"] = found.call.where
            resources[handle] = {**resource, "_group": kebab(first.tag) or handle.partition("-")[0]}
        return resources

    def _example(self, found: FoundOperation) -> Any:
        said = found.extension.get("example")
        return said if said is not None else read_example(self.spec, found.answer, found.call.where)

    def _tags(self) -> dict[str, Mapping[str, Any]]:
        listed = self.spec.document.get("tags")
        tags = [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
        return {text_of(each, "name"): each for each in tags}

    # Webhooks

    def _webhooks(self, handle: str, resources: dict[str, dict[str, Any]]) -> None:
        paths: set[str] = set()
        for event, item in members(self.spec.document.get("webhooks")):
            where = f"webhook {event[:100]}"
            resolved = self.spec.resolve(item, where)
            source = next((resolved[method] for method in METHODS if isinstance(resolved.get(method), Mapping)), None)
            if source is None or not event:
                self.spec.report.add("lost", where, "it says nothing of a request")
                continue
            own = extension(source)
            content = dict(members(self.spec.resolve(source.get("requestBody"), where).get("content")))
            media: Any = next((each for kind, each in content.items() if is_json_type(kind)), {})
            schema = self.spec.resolve(media, where).get("schema")
            path = text_of(own, "path") or f"/webhooks/{handle}/{kebab(event, 'event')}"
            while path in paths:
                path += "-2"
            paths.add(path)
            webhook: dict[str, Any] = {"event": text_of(own, "event", event), "path": path}
            meta = operation_meta(source)
            if meta:
                webhook["meta"] = meta
            webhook["payload"] = read_fields(self.spec, schema, where)
            webhook |= {key: value for key, value in own.items() if key != "resource"}
            tags = source.get("tags")
            tag = kebab(tags[0]) if isinstance(tags, list) and tags and isinstance(tags[0], str) else ""
            home = text_of(own, "resource") or (tag if tag in resources else "") or "webhooks"
            if home not in resources:
                meta = {"short": _title(home), "description": "What the provider tells of its own accord."}
                resources[home] = {
                    "handle": home,
                    "meta": meta,
                    "endpoint": {"value": ""},
                    "fields": [],
                    "operations": {},
                }
            resources[home].setdefault("webhooks", []).append(webhook)
            self.spec.report.add("kept", where, "as a webhook")

    # What comes of it

    def _settle(
        self, head: dict[str, Any], resources: dict[str, dict[str, Any]], customs: Sequence[Any], report: Report
    ) -> Imported:
        """The result, without what the language would refuse."""
        for _ in range(6):
            groups: dict[str, list[dict[str, Any]]] = {}
            for resource in resources.values():
                group = resource.get("_group", resource["handle"])
                groups.setdefault(group, []).append({key: each for key, each in resource.items() if key != "_group"})
            parts = [part for group in groups.values() for part in split_group(group)] or [[]]
            connector, problems = read_connector(head, parts[0], more_resources=parts[1:], operations=list(customs))
            if connector is not None:
                for name in connector.operations:
                    report.add("kept", self.sources[name], f"as {name}")
                examples = {name: each for name, each in self.examples.items() if name in connector.operations}
                return Imported(head, groups, customs, examples, report, connector)
            self._take_out(head, resources, [problem for problem in problems if problem.is_error])
        raise InvalidDefinition(problem for problem in problems if problem.is_error)

    def _take_out(
        self, head: dict[str, Any], resources: dict[str, dict[str, Any]], problems: Sequence[Problem]
    ) -> None:
        """Removes what the language refuses, and says so."""
        for problem in problems:
            steps = problem.pointer.split("/")[1:]
            if steps[:1] == ["service"] and steps[1:2] in (["auth"], ["authOptions"]):
                head["service"] = {**head["service"], "auth": {"method": "none"}}
                head["service"].pop("authOptions", None)
                self.spec.report.add("lost", "security", problem.message)
        for handle, resource in list(resources.items()):
            alone, found = read_connector(
                {"handle": "alone", "service": {"baseURL": "https://alone.invalid"}},
                [{key: each for key, each in resource.items() if key != "_group"}],
            )
            if alone is not None:
                continue
            for problem in (each for each in found if each.is_error):
                steps = [step.replace("~1", "/").replace("~0", "~") for step in problem.pointer.split("/")[2:]]
                where = f"{handle}.{steps[1]}" if steps[:1] == ["operations"] and steps[1:] else handle
                self.spec.report.add("lost", where, f"it would be refused: {problem.message}")
                if where != handle:
                    resource["operations"].pop(steps[1], None)
                elif steps[:1] == ["webhooks"]:
                    resource.pop("webhooks", None)
                else:
                    resources.pop(handle, None)


def _without_prefix(call: NamedPath, prefix: str) -> NamedPath:
    return NamedPath(call.method, call.path[len(prefix) :], call.fragment, call.tag, call.operation_id, call.lists)


def _common_path(paths: Iterable[str]) -> str:
    """The fixed segments that all of these paths begin with."""
    shared: list[str] | None = None
    for path in paths:
        segments = path.partition("?")[0].split("/")[1:]
        fixed = next((place for place, segment in enumerate(segments) if "{" in segment), len(segments))
        segments = segments[:fixed]
        if shared is None:
            shared = segments
        while segments[: len(shared)] != shared:
            shared = shared[:-1]
    return "".join(f"/{segment}" for segment in shared or ())


def _rank(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _title(handle: str) -> str:
    return " ".join(word.capitalize() for word in split_words(handle))


def _resource_meta(handle: str, tag: Mapping[str, Any], tags: Sequence[str]) -> dict[str, str]:
    meta = {"short": _title(handle)}
    said = extension(tag).get("meta")
    if isinstance(said, Mapping):
        return dict(said)
    description = shorten(tag.get("description"), DESCRIPTION)
    if description and len(set(tags)) == 1:
        meta["description"] = description
    return meta


def _shared_fields(found: Iterable[FoundOperation]) -> list[dict[str, Any]]:
    """The fields that most operations of a resource have."""
    texts = {json.dumps(each.fields): each.fields for each in found if each.fields}
    counts = Counter(json.dumps(each.fields) for each in found if each.fields)
    return texts[counts.most_common(1)[0][0]] if counts else []
