"""Makes the recorded answer of an operation: the example in the specification if it fits, else one of the schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connector.openapi.answers import SpecAnswer
from connector.openapi.document import Flat, Specification, find_alternatives, members

_MAX_EXAMPLE = 64 * 1024
_MAX_SAMPLE = 400
_MAX_SAMPLE_LEVELS = 14


def read_example(spec: Specification, answer: SpecAnswer, where: str) -> dict[str, Any]:
    """A recorded answer: the example of the specification if it fits the schema, else one made from the schema."""
    recorded: dict[str, Any] = {"status": answer.status}
    if answer.kind == "empty" or answer.status in (204, 205):
        return recorded
    given = _given(spec, answer, where)
    if not answer.has_fields:
        media_type = "application/octet-stream" if "*" in answer.media_type else answer.media_type
        text = {"binary": "the content of a file", "text": "text"}.get(answer.kind, "<document/>")
        body = given if isinstance(given, str) and answer.kind != "xml" else text
        return {**recorded, "headers": {"Content-Type": media_type}, "body": body}
    if given is None or not fits(spec, answer.schema, given, where):
        if given is not None:
            spec.report.add("guessed", where, "its example does not fit its own schema, so one is made up")
        given = Sampler(spec, where).sample(answer.schema)
    if answer.kind == "json":
        return {**recorded, "body": given}
    text = json.dumps(given, ensure_ascii=False) + "\n"
    if answer.kind == "sse":
        name = "" if answer.event is None else f"event: {Sampler(spec, where).sample(answer.event)}\n"
        text = f"{name}data: {text}\ndata: [DONE]\n\n"
    return {**recorded, "headers": {"Content-Type": answer.media_type.partition(";")[0]}, "body": text}


def _given(spec: Specification, answer: SpecAnswer, where: str) -> Any:
    """The example in the specification, if there is one and it is not too large."""
    if "example" in answer.media:
        given = answer.media["example"]
    else:
        found = (spec.resolve(each, where) for _, each in members(answer.media.get("examples")))
        given = next((each["value"] for each in found if "value" in each), None)
    return given if len(json.dumps(given)) <= _MAX_EXAMPLE else None


# JSON Schema is not checked as a whole: a pattern or `uniqueItems` of a hostile specification would take hours, and an
# example that breaks one of them is still a good answer to read fields from.
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "object": Mapping,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def fits(spec: Specification, schema: Any, value: Any, where: str, levels: int = 4) -> bool:
    """True if a value has the types and the required members of a schema, a few levels deep."""
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
        for each in (flat.get("example"), flat.get("default"), *flat.get("examples", [])[:1]):
            if each is not None and fits(self.spec, schema, each, self.where):
                return each
        if flat.get("enum"):
            return flat["enum"][0]
        alternatives = find_alternatives(self.spec, target, self.where)
        if alternatives and "properties" not in target and levels > 0 and id(target) not in within:
            first = next(each for each in alternatives if "null" not in self.spec.flat(each, self.where))
            return self.sample(first, levels - 1, (*within, id(target)))
        if flat.get("type") not in ("object", "array"):
            return _scalar(flat)
        is_list = flat["type"] == "array"
        if levels == 0 or self.left < 0 or id(target) in within or (is_list and flat.get("maxItems") == 0):
            return [] if is_list else {}
        within = (*within, id(target))
        if not is_list:
            return self._object(flat, levels, within)
        fewest = flat.get("minItems", 1)
        return [self.sample(flat.get("items"), levels - 1, within)] * max(1, min(fewest, 5))

    def _object(self, flat: Flat, levels: int, within: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        required = set(flat.get("required", ()))
        for name, each in members(flat.get("properties")):
            holds_itself = id(self.spec.resolve(each, self.where)) in within
            if self.spec.flat(each, self.where).get("writeOnly") is True:
                continue
            if name in required or (self.left >= 0 and not holds_itself):
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
        text = _FORMATS.get(flat.get("format", ""), "text").ljust(min(flat.get("minLength", 0), 1000), "x")
        longest = flat.get("maxLength", -1)
        return text[:longest] if longest >= 0 else text
    return None if flat.get("nullable") else "text" if kind is None and not flat.get("mixed") else None
