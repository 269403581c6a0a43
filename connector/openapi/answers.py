"""Reads the answers of an operation of a specification: their kind, fields and records.

Fields are picked from the schema of the first success, a few levels deep; a list is recognised by its envelope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from connector.answers.mapping import USUAL_ROOTS
from connector.openapi.document import Flat, Specification, as_object, members, shorten
from connector.openapi.inputs import is_json_type, read_type

#: Fields are picked this deep, and at most this many of one answer.
MAX_LEVELS = 4
MAX_FIELDS = 120
_DESCRIPTION = 200
#: An object with more members than this is not the envelope of a list.
_MAX_ENVELOPE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecAnswer:
    """What an operation answers: its kind, media type, status, schema, and whether it is a list.

    `root` is where the records of a list are, None if it is not a list. `event` is the schema of the names of events in
    a stream, if they have any.
    """

    kind: str
    media_type: str = ""
    status: int = 200
    schema: Any = None
    media: Mapping[str, Any] = field(default_factory=dict)
    root: tuple[str, ...] | None = None
    has_link: bool = False
    event: Any = None

    @property
    def has_fields(self) -> bool:
        """True if values can be picked from it."""
        return self.kind in ("json", "sse", "ndjson")


def read_answers(spec: Specification, source: Mapping[str, Any], where: str) -> list[SpecAnswer]:
    """The answers of the first success: one, or a second that is a stream where there are both."""
    responses = as_object(source.get("responses"))
    found = sorted((str(status).upper(), each) for status, each in responses.items() if str(status)[:1] == "2")
    if not found and "default" in responses:
        found = [("200", responses["default"])]
    resolved = [(_status(status), spec.resolve(each, where)) for status, each in found]
    with_content = [(status, each) for status, each in resolved if next(members(each.get("content")), None)]
    if not with_content:
        return [SpecAnswer(kind="empty", status=resolved[0][0])] if resolved else [SpecAnswer(kind="json")]
    status, response = with_content[0]
    headers = {name.lower() for name, _ in members(response.get("headers"))}
    answers: dict[bool, SpecAnswer] = {}
    content = sorted(islice(members(response.get("content")), 20), key=lambda each: not is_json_type(each[0]))
    for media_type, each in content:
        kind = _kind_of(media_type)
        media = spec.resolve(each, where)
        streams = kind in ("sse", "ndjson")
        if streams in answers:
            spec.report.add("guessed", where, f"of its kinds of answer, {media_type} is left out")
            continue
        schema = media.get("schema", media.get("itemSchema"))
        event = None
        if kind == "sse":
            schema, event = _unwrap_event(spec, schema, where)
        root = find_root(spec, schema, where) if kind in ("json", "ndjson") else None
        answers[streams] = SpecAnswer(
            kind=kind,
            media_type=media_type,
            status=status,
            schema=schema,
            media=media,
            root=root,
            has_link="link" in headers,
            event=event,
        )
    if True in answers and False in answers and answers[False].kind != "json":
        del answers[False]
    return [answers[streams] for streams in (False, True) if streams in answers]


def _status(text: str) -> int:
    return int(text) if len(text) == 3 and text.isascii() and text.isdigit() else 200


def _kind_of(media_type: str) -> str:
    kind = media_type.partition(";")[0].strip().lower()
    if is_json_type(kind):
        return "json"
    if kind == "text/event-stream":
        return "sse"
    if "ndjson" in kind or "jsonl" in kind or kind == "application/stream+json":
        return "ndjson"
    if kind.endswith(("/xml", "+xml")):
        return "xml"
    return "text" if kind.startswith("text/") else "binary"


def _unwrap_event(spec: Specification, schema: Any, where: str) -> tuple[Any, Any]:
    """The schemas of a message's data and of its event's name, where the schema is that of a whole event."""
    flat = spec.flat(schema, where)
    properties = flat.get("properties", {})
    if "data" in properties and properties.keys() <= {"data", "event", "id", "retry", "comment"}:
        return properties["data"], properties.get("event")
    return schema, None


def find_root(spec: Specification, schema: Any, where: str) -> tuple[str, ...] | None:
    """Where the records of a list are: `()` for a bare array, the names that lead to one, None if it is not a list."""
    flat = spec.flat(schema, where)
    if flat.get("type") == "array":
        return ()
    if (found := _find_list(spec, flat, where)) is not None:
        return (found,)
    for name, each in members(flat.get("properties")):
        inner = spec.flat(each, where)
        if inner.get("type") == "object" and (found := _find_list(spec, inner, where)) in USUAL_ROOTS and found:
            return (name, found)
    return None


def _find_list(spec: Specification, flat: Flat, where: str) -> str | None:
    """The member that holds the records: a usual one, or the only list of objects."""
    if flat and id(flat) not in spec.lists:
        properties = dict(members(flat.get("properties")))
        arrays = {name: each for name, each in properties.items() if spec.flat(each, where).get("type") == "array"}
        usual = next((name for name in USUAL_ROOTS if name in arrays), None)
        if usual is None and len(arrays) == 1 and len(properties) <= _MAX_ENVELOPE:
            [(name, each)] = arrays.items()
            usual = name if spec.flat(spec.flat(each, where).get("items"), where).get("type") == "object" else None
        spec.lists[id(flat)] = usual
    return spec.lists.get(id(flat))


def read_fields(spec: Specification, schema: Any, where: str, root: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The fields of an answer's schema, or of a record at `root` in it; none if it is not an object."""
    flat = spec.flat(schema, where)
    for name in root:
        flat = spec.flat(flat.get("properties", {}).get(name), where)
    if flat.get("type") == "array":
        flat = spec.flat(flat.get("items"), where)
    found: dict[str, dict[str, Any]] = {}
    for names, steps, many, each in _walk(spec, flat, where, (), (), (), many=False):
        name = "_".join(names)
        if len(found) == MAX_FIELDS:
            spec.report.add("lost", where, f"the fields of the answer beyond the first {MAX_FIELDS}")
            break
        while name in found:
            name += "_"
        entry: dict[str, Any] = {"name": name, "type": read_type(each), "selector": list(steps)}
        if many:
            entry["multivalue"] = True
        text = shorten(each.get("description"), _DESCRIPTION)
        if text:
            entry["meta"] = {"description": text}
        found[name] = entry
    return list(found.values())


def _walk(
    spec: Specification,
    flat: Flat,
    where: str,
    names: tuple[str, ...],
    steps: tuple[str | int, ...],
    within: tuple[int, ...],
    *,
    many: bool,
) -> Iterator[tuple[tuple[str, ...], tuple[str | int, ...], bool, Flat]]:
    """Every leaf below an object: its names, its selector, whether there are many of it, its schema."""
    for name, schema in members(flat.get("properties")):
        each = spec.flat(schema, where)
        if each.get("writeOnly") is True or not name:
            continue
        here, there, described, levels = (*names, name), (*steps, name), each, 0
        while each.get("type") == "array" and levels < MAX_LEVELS:
            there, levels = (*there, 0), levels + 1
            each = spec.flat(each.get("items"), where)
        is_open = bool(each.get("properties")) and each.get("type") == "object" and each.get("variants", 1) == 1
        if is_open and len(here) < MAX_LEVELS and id(each) not in within:
            yield from _walk(spec, each, where, here, there, (*within, id(each)), many=many or levels > 0)
        else:
            yield here, there, many or levels > 0, {**each, "description": described.get("description")}
