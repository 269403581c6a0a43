"""The way in from a specification: an operation's answer as its kind, fields, records, pagination and an example.

Fields are picked from the schema of the first success, a few levels deep; a list is recognised by its envelope, and
how it goes on by the names of parameters and members that the field has settled on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from connector.mapping import USUAL_ROOTS
from connector.spec_requests import is_json_type, read_type
from connector.spec_schemas import Flat, Specification, find_alternatives, is_number, members, shorten

#: Fields are picked so deep, and of one answer so many.
MAX_LEVELS = 4
MAX_FIELDS = 120
_DESCRIPTION = 200
_MAX_EXAMPLE = 64 * 1024
_MAX_SAMPLE = 400
_MAX_SAMPLE_LEVELS = 14

_SIZES = (
    "page_size",
    "pageSize",
    "per_page",
    "perPage",
    "limit",
    "size",
    "page[size]",
    "page[limit]",
    "count",
    "top",
    "$top",
    "max_results",
    "maxResults",
)
_PAGES = ("page", "page_number", "pageNumber", "page[number]", "pageNum", "p")
_OFFSETS = ("offset", "skip", "$skip", "start", "page[offset]", "startAt", "start_index", "startIndex")
_CURSORS = (
    *(
        "cursor",
        "page_token",
        "pageToken",
        "next_page_token",
        "nextPageToken",
        "next_token",
        "nextToken",
        "next_cursor",
    ),
    *("after", "page[after]", "page[cursor]", "start_cursor", "startCursor", "continuation_token", "continuationToken"),
    *("marker", "pageCursor", "page_cursor", "PageToken", "NextToken", "start_key"),
)
_NEXT_CURSORS = (
    *(
        "next_cursor",
        "nextCursor",
        "next_page_token",
        "nextPageToken",
        "next_token",
        "nextToken",
        "NextToken",
        "cursor",
    ),
    *(
        "end_cursor",
        "endCursor",
        "continuation_token",
        "continuationToken",
        "next_marker",
        "nextMarker",
        "after",
        "next",
    ),
)
_LAST_IDS = ("starting_after", "startingAfter", "after_id", "since_id")
_NEXT_URLS = (
    "next_url",
    "nextUrl",
    "next_page_url",
    "nextPageUrl",
    "next_page_uri",
    "next_link",
    "nextLink",
    "@odata.nextLink",
    "next",
)
_TOTALS = ("total", "total_count", "totalCount", "total_results", "totalResults", "count")
_MORE = ("has_more", "hasMore", "has_next", "hasNext", "has_next_page", "hasNextPage")
_BLOCKS = ("pagination", "paging", "meta", "page_info", "pageInfo", "response_metadata", "links", "_links")


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers: its kind, media type, status, schema, and whether it is a list.

    `root` is where the records of a list are; None for what is no list. `event` is the schema of the names of a
    stream's events, if they have any.
    """

    kind: str
    media_type: str = ""
    status: int = 200
    schema: Any = None
    media: Mapping[str, Any] = field(default_factory=dict)
    root: tuple[str, ...] | None = None
    has_link: bool = False
    event: Any = None


def read_answers(spec: Specification, source: Mapping[str, Any], where: str) -> list[Answer]:
    """The answers of the first success: one, or a second that is a stream where there are both."""
    responses = source.get("responses")
    found = sorted(
        (str(status).upper(), each)
        for status, each in (responses.items() if isinstance(responses, Mapping) else ())
        if str(status)[:1] == "2"
    )
    if not found and isinstance(responses, Mapping) and "default" in responses:
        found = [("200", responses["default"])]
    resolved = [(_status(status), spec.resolve(each, where)) for status, each in found]
    with_content = [(status, each) for status, each in resolved if next(members(each.get("content")), None)]
    if not with_content:
        return [Answer("empty" if resolved else "json", status=resolved[0][0] if resolved else 200)]
    status, response = with_content[0]
    headers = {name.lower() for name, _ in members(response.get("headers"))}
    answers: dict[bool, Answer] = {}
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
        answers[streams] = Answer(kind, media_type, status, schema, media, root, "link" in headers, event)
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
    """Where the records of a list are: `()` for a bare array, the names that lead to one, None for what is no list."""
    flat = spec.flat(schema, where)
    if flat.get("type") == "array":
        return ()
    found = _find_list(spec, flat, where)
    if found is not None:
        return (found,)
    for name, each in members(flat.get("properties")):
        inner = spec.flat(each, where)
        if inner.get("type") == "object" and (found := _find_list(spec, inner, where)) in USUAL_ROOTS and found:
            return (name, found)
    return None


def _find_list(spec: Specification, flat: Flat, where: str) -> str | None:
    """The member that holds the records: a usual one, or the only one that is a list of objects."""
    if not flat:
        return None
    if id(flat) not in spec.lists:
        spec.lists[id(flat)] = _search_list(spec, flat, where)
    return spec.lists[id(flat)]


def _search_list(spec: Specification, flat: Flat, where: str) -> str | None:
    arrays = [name for name, each in members(flat.get("properties")) if spec.flat(each, where).get("type") == "array"]
    usual = next((name for name in USUAL_ROOTS if name in arrays), None)
    if usual is not None:
        return usual
    objects = [
        name
        for name in arrays
        if spec.flat(spec.flat(flat["properties"][name], where).get("items"), where).get("type") == "object"
    ]
    others = len(flat.get("properties", ())) - len(arrays)
    return objects[0] if len(objects) == 1 and len(arrays) == 1 and others <= 6 else None


def read_fields(spec: Specification, schema: Any, where: str, root: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The fields of an answer's schema, or of a record at `root` in it; empty where it is no object."""
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
        here, there, in_list = (*names, name), (*steps, name), many
        described = each
        levels = 0
        while each.get("type") == "array" and levels < MAX_LEVELS:
            there, in_list, levels = (*there, 0), True, levels + 1
            each = spec.flat(each.get("items"), where)
        deeper = bool(each.get("properties")) and each.get("type") == "object"
        if deeper and len(here) < MAX_LEVELS and id(each) not in within and each.get("variants", 1) == 1:
            yield from _walk(spec, each, where, here, there, (*within, id(each)), many=in_list)
        elif levels:
            yield here, there, in_list, {**each, "description": described.get("description")}
        else:
            yield here, there, in_list, each


def find_pagination(
    spec: Specification, answer: Answer, where: str, query: Mapping[str, Flat], body: Mapping[str, Flat]
) -> dict[str, Any] | None:
    """How a list goes on, told by its parameters (`query`, members of a `body`) and its answer; None if it does not."""
    document = spec.flat(answer.schema, where)
    size = next((name for name in _SIZES if name in query), "")
    sized: dict[str, Any] = {"sizeParam": size} if size else {}
    default = query[size].get("default") if size else None
    if isinstance(default, int) and not isinstance(default, bool) and default > 0:
        sized["size"] = default
    if (total := _find(spec, document, where, _TOTALS, ("integer",))) is not None:
        sized["total"] = total
    more = _find(spec, document, where, _MORE, ("boolean",))
    flags = {} if more is None else {"hasMore": more}
    for places, param in ((query, "query"), (body, "body")):
        cursor = next((name for name in _CURSORS if name in places), None)
        following = _find(spec, document, where, _NEXT_CURSORS, ("string", "integer", None)) if cursor else None
        if cursor and following is not None:
            inside = {"in": "body"} if param == "body" else {}
            return {"style": "cursor", "param": cursor, **inside, "next": following, **flags}
    last = next((name for name in (*_LAST_IDS, "after") if name in query), None)
    if last and flags and answer.root is not None:
        return {"style": "cursor", "param": last, "last": ["id"], **flags}
    page = next(
        (name for name in _PAGES if name in query and read_type(query[name]) in ("Integer", "Number", "String")), None
    )
    if page:
        first = query[page].get("default", query[page].get("minimum", 1))
        start = {"start": 0} if first == 0 and is_number(first) else {}
        return {"style": "page", "param": page, **start, **sized, **flags}
    offset = next((name for name in _OFFSETS if name in query and read_type(query[name]) == "Integer"), None)
    if offset:
        return {"style": "offset", "param": offset, **sized, **flags}
    if answer.has_link:
        return {"style": "link"}
    following = _find(spec, document, where, _NEXT_URLS, ("string",))
    if following is not None and answer.root:
        return {"style": "next_url", "next": following}
    return None


def _find(
    spec: Specification, document: Flat, where: str, names: Sequence[str], types: Sequence[str | None]
) -> list[str] | None:
    """The selector of the first of some members, at the top of an answer or in one of the usual blocks of it."""
    properties = document.get("properties", {})
    places: list[tuple[list[str], Mapping[str, Any]]] = [([], properties)]
    for name, each in islice(members(properties), 50):
        inner = spec.flat(each, where)
        if inner.get("type") == "object" and "properties" in inner:
            usual = name in _BLOCKS
            places.insert(1 if usual else len(places), ([name], inner["properties"]))
    for name in names:
        for path, known in places:
            if name in known and spec.flat(known[name], where).get("type") in types:
                return [*path, name]
    return None


# Examples


def read_example(spec: Specification, answer: Answer, where: str) -> dict[str, Any]:
    """A recorded answer: the example of the specification if it fits the schema, else one made from the schema."""
    recorded: dict[str, Any] = {"status": answer.status}
    if answer.kind == "empty" or answer.status in (204, 205):
        return recorded
    if answer.kind in ("binary", "text", "xml"):
        media_type = "application/octet-stream" if "*" in answer.media_type else answer.media_type
        text = {"binary": "the content of a file", "text": "text"}.get(answer.kind, "<document/>")
        given = _given(spec, answer, where)
        body = given if isinstance(given, str) and answer.kind != "xml" else text
        return {**recorded, "headers": {"Content-Type": media_type}, "body": body}
    body = _given(spec, answer, where)
    if body is None or not fits(spec, answer.schema, body, where):
        if body is not None:
            spec.report.add("guessed", where, "its example does not fit its own schema, so one is made up")
        body = Sampler(spec, where).sample(answer.schema)
    if answer.kind == "json":
        return {**recorded, "body": body}
    text = json.dumps(body, ensure_ascii=False)
    if answer.kind == "sse":
        name = "" if answer.event is None else f"event: {Sampler(spec, where).sample(answer.event)}\n"
        text = f"{name}data: {text}\n\ndata: [DONE]\n\n"
    else:
        text += "\n"
    return {**recorded, "headers": {"Content-Type": answer.media_type.partition(";")[0]}, "body": text}


def _given(spec: Specification, answer: Answer, where: str) -> Any:
    """The example that a specification gives, if it is not too large."""
    given: Any = None
    if "example" in answer.media:
        given = answer.media["example"]
    else:
        for _, each in members(answer.media.get("examples")):
            found = spec.resolve(each, where)
            if "value" in found:
                given = found["value"]
                break
    if given is not None and len(json.dumps(given)) > _MAX_EXAMPLE:
        return None
    return given


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "object": Mapping,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def fits(spec: Specification, schema: Any, value: Any, where: str, levels: int = 4) -> bool:
    """True if a value has the types and the required members that a schema says, a few levels deep."""
    flat = spec.flat(schema, where)
    kind = flat.get("type")
    if value is None:
        return bool(flat.get("nullable")) or kind is None
    expected = _KINDS.get(kind) if isinstance(kind, str) else None
    if expected is not None and (not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean")):
        return False
    if levels == 0 or flat.get("variants", 1) > 1:
        return True
    if kind == "object" and isinstance(value, Mapping):
        known = flat.get("properties", {})
        return all(name in value for name in flat.get("required", ()) if name in known) and all(
            fits(spec, known[name], each, where, levels - 1) for name, each in value.items() if name in known
        )
    if kind == "array" and isinstance(value, list):
        return all(fits(spec, flat.get("items"), each, where, levels - 1) for each in value[:5])
    return True


@dataclass(slots=True)
class Sampler:
    """Values made up from schemas: examples and defaults where there are any, else something of the right type."""

    spec: Specification
    where: str
    left: int = _MAX_SAMPLE

    def sample(self, schema: Any, levels: int = _MAX_SAMPLE_LEVELS, within: tuple[int, ...] = ()) -> Any:
        """A value of the schema; a part that nests too deeply, or holds itself, is null or left out."""
        flat = self.spec.flat(schema, self.where)
        self.left -= 1
        target = self.spec.resolve(schema, self.where)
        given = [flat[key] for key in ("example", "default") if flat.get(key) is not None]
        given += flat.get("examples", [])[:1]
        for each in given:
            if fits(self.spec, schema, each, self.where):
                return each
        if flat.get("enum"):
            return flat["enum"][0]
        alternatives = find_alternatives(self.spec, target, self.where)
        if alternatives and "properties" not in target and levels > 0 and id(target) not in within:
            first = next(each for each in alternatives if "null" not in self.spec.flat(each, self.where))
            return self.sample(first, levels - 1, (*within, id(target)))
        kind = flat.get("type")
        if kind == "object":
            if levels == 0 or self.left < 0 or id(target) in within:
                return {}
            return self._object(flat, levels, (*within, id(target)))
        if kind == "array":
            if levels == 0 or self.left < 0 or id(target) in within or flat.get("maxItems") == 0:
                return []
            item = self.sample(flat.get("items"), levels - 1, (*within, id(target)))
            fewest = flat.get("minItems", 1)
            return [item] * max(1, min(fewest if isinstance(fewest, int) else 1, 5))
        return _scalar(flat)

    def _object(self, flat: Flat, levels: int, within: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        required = set(flat.get("required", ()))
        for name, each in members(flat.get("properties")):
            part = self.spec.flat(each, self.where)
            if part.get("writeOnly") is True or (self.left < 0 and name not in required):
                continue
            holds_itself = id(self.spec.resolve(each, self.where)) in within
            if holds_itself and name not in required:
                continue
            found[name] = self.sample(each, levels - 1, within)
        return found


_FORMATS = {
    "date-time": "2026-01-02T09:00:00Z",
    "date": "2026-01-02",
    "time": "09:00:00Z",
    "uuid": "7f8de1c4-52a8-4d1b-9f07-3a4be7a1c0de",
    "email": "name@mail.example",
    "uri": "https://mail.example/path",
    "url": "https://mail.example/path",
    "hostname": "mail.example",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "dGV4dA==",
    "duration": "PT1H",
}


def _scalar(flat: Flat) -> Any:
    kind = flat.get("type")
    if kind == "boolean":
        return True
    if kind in ("integer", "number"):
        low, high = flat.get("minimum", flat.get("exclusiveMinimum")), flat.get("maximum", flat.get("exclusiveMaximum"))
        number = 1
        if low is not None and number <= low:
            number = low if "minimum" in flat else low + 1
        if high is not None and number > high:
            number = high if "maximum" in flat else high - 1
        return number
    if kind == "string":
        text = _FORMATS.get(flat.get("format", "")) or "text"
        shortest, longest = flat.get("minLength"), flat.get("maxLength")
        if isinstance(shortest, int) and len(text) < min(shortest, 1000):
            text = text.ljust(min(shortest, 1000), "x")
        return text[:longest] if isinstance(longest, int) and longest >= 0 else text
    return None if flat.get("nullable") else "text" if kind is None and not flat.get("mixed") else None
