"""Finds the operations of a specification one by one, and writes each as a definition has it.

Requests are read by `requests`, answers by `answers` and `pages`; `importer` decides on resources and names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connector.openapi.answers import SpecAnswer, read_answers, read_fields
from connector.openapi.document import (
    Flat,
    Specification,
    as_object,
    extension,
    first_tag,
    items,
    members,
    shorten,
    text_of,
)
from connector.openapi.inputs import SpecOperation, is_json_type
from connector.openapi.names import NamedPath
from connector.openapi.pages import find_pagination
from connector.openapi.requests import find_body, read_parameters, read_request

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
#: How much of a description is kept, in characters.
DESCRIPTION = 500
#: The members of an operation, in this order.
_MEMBERS = (
    *("meta", "deprecated", "method", "path", "headers", "queryParams", "bodyTemplate", "form", "idempotent"),
    *("pagination", "records", "response", "fields", "rateLimit", "retry", "errors"),
)


@dataclass(slots=True, kw_only=True)
class FoundOperation:
    """One operation of the specification, with what was found out about it so far."""

    call: SpecOperation
    named: NamedPath
    answer: SpecAnswer
    #: The object `x-connector` of the operation.
    extension: Mapping[str, Any]
    definition: dict[str, Any] = field(default_factory=dict)
    fields: list[dict[str, Any]] = field(default_factory=list)


def find_operations(spec: Specification) -> Iterator[FoundOperation]:
    """Every operation of a specification, in its order, one for each kind of answer."""
    for path, item in members(spec.document.get("paths")):
        if not path.startswith("/"):
            if not path.startswith("x-"):
                spec.report.add("lost", path[:100], "a path begins with '/'")
            continue
        resolved = spec.resolve(item, path)
        if "trace" in resolved:
            spec.report.add("lost", f"TRACE {path[:200]}", "a definition has no method TRACE")
        for method in METHODS:
            source = resolved.get(method)
            if isinstance(source, Mapping):
                yield from _find(spec, path, method, resolved, source)


def _find(
    spec: Specification, path: str, method: str, item: Mapping[str, Any], source: Mapping[str, Any]
) -> Iterator[FoundOperation]:
    where = f"{method.upper()} {path[:200]}"
    if items(source.get("servers")) or items(item.get("servers")):
        spec.report.add("lost", where, "its own server; it is called at the server of all")
    if source.get("callbacks"):
        spec.report.add("lost", where, "its callbacks; declare a webhook for each that is needed")
    plain, _, fragment = path.partition("#")
    parameters = read_parameters(spec, where, item.get("parameters"), source.get("parameters"))
    own = extension(source)
    answers = read_answers(spec, source, where)
    # What `x-connector` describes is one operation, whatever it may answer.
    is_split = len(answers) > 1 and not own
    has_flag = is_split and _body_properties(spec, source, where).get("stream", {}).get("type") == "boolean"
    for answer in answers if is_split else answers[:1]:
        streams = is_split and answer.kind in ("sse", "ndjson")
        call = SpecOperation(
            where=where,
            path=plain,
            source=source,
            parameters=parameters,
            constants={"stream": True} if streams and has_flag else {},
            without=frozenset({"stream"}) if has_flag and not streams else frozenset(),
            named=bool(extension(spec.document)),
        )
        named = NamedPath(
            method=method.upper(),
            path=plain,
            fragment="stream" if streams else fragment,
            tag=first_tag(source),
            operation_id=text_of(source, "operationId"),
            lists=method == "get" and answer.root is not None,
        )
        yield FoundOperation(call=call, named=named, answer=answer, extension=own)


def _body_properties(spec: Specification, source: Mapping[str, Any], where: str) -> dict[str, Flat]:
    media_type, media = find_body(spec, source, where)
    is_read = is_json_type(media_type) or "form" in media_type
    flat = spec.flat(media.get("schema"), where) if is_read else {}
    return {name: spec.flat(each, where) for name, each in members(flat.get("properties"))}


def define(spec: Specification, found: FoundOperation, path: str, reserved: frozenset[str]) -> None:
    """The definition of one operation."""
    source, where, own = found.call.source, found.call.where, found.extension
    call = replace(found.call, path=path, source=source if "bodyTemplate" not in own else {})
    definition: dict[str, Any] = {"meta": operation_meta(source), "method": found.named.method}
    if source.get("deprecated") is True:
        definition["deprecated"] = True
    definition |= read_request(spec, call, reserved)
    answer = found.answer
    if answer.kind != "json":
        definition["response"] = answer.kind
    query = {each["name"]: spec.flat(each.get("schema"), where) for each in call.parameters if each["in"] == "query"}
    body = _body_properties(spec, source, where) if found.named.method == "POST" else {}
    is_paged = answer.root is not None and found.named.method in ("GET", "POST")
    pagination = find_pagination(spec, answer, where, query, body) if is_paged else None
    is_list = found.definition.get("name") == "list" or pagination is not None
    root: tuple[str, ...] = ()
    if is_list and answer.root is not None and answer.kind == "json" and not own:
        root = answer.root
        definition["records"] = list(root)
        if pagination is not None:
            definition["pagination"] = pagination
            spec.report.add("guessed", where, f"it is paged by {pagination['style']}")
        elif {"page", "cursor", "offset"} & query.keys():
            spec.report.add("guessed", where, "it seems to have pages, but how they are requested is not known")
    if answer.has_fields:
        found.fields = read_fields(spec, answer.schema, where, root)
    definition |= {key: value for key, value in own.items() if key in _MEMBERS and key != "path"}
    if own_path(found):
        definition["path"] = {**as_object(own["path"]), "value": path}
    found.definition = definition


def own_path(found: FoundOperation) -> str:
    """The whole path in `x-connector`, endpoint included; empty if it has none."""
    return text_of(found.extension, "path") or text_of(as_object(found.extension.get("path")), "value")


def operation_meta(source: Mapping[str, Any]) -> dict[str, str]:
    """A short and a longer description of an operation or a webhook."""
    short = shorten(source.get("summary"), 80)
    description = shorten(source.get("description"), DESCRIPTION)
    meta = {"short": short or shorten(description, 80), "description": description if description != short else ""}
    return {key: text for key, text in meta.items() if text}


def finish(found: FoundOperation, shared: Sequence[Any]) -> dict[str, Any]:
    """The definition of an operation, its members in order, with its own fields where they differ from the shared."""
    definition = dict(found.definition)
    if found.answer.has_fields and found.fields != shared and not found.extension:
        definition["fields"] = found.fields
    return {key: definition[key] for key in _MEMBERS if key in definition and definition[key] != {}}
