"""Reads the text of a specification: JSON, or YAML with the core schema of YAML 1.2, within limits.

YAML is read from the events of PyYAML's parser. Its loaders follow YAML 1.1 (`1e-08` is text, `no` is false), and the
fast one composes nodes in C, where neither aliases nor depth can be limited; the one in Python takes ten times as long.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.errors import ConfigurationError, InvalidDefinition, Problem
from connector.strict_json import nesting
from connector.types import check_surrogates

#: A specification has at most this many bytes: 16 MiB as JSON, 8 MiB as YAML, which takes far longer to read.
MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_YAML_BYTES = 8 * 1024 * 1024
#: It holds at most this many values, each alias counted as all the values it repeats.
MAX_NODES = 1_000_000
#: It nests at most this deep.
MAX_DEPTH = 100

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0o([0-7]+)\Z|0x([0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
#: Longer texts are not read as numbers.
_LONGEST_NUMBER = 400
_CORE = "tag:yaml.org,2002:"
_TAGS = {
    "MappingStartEvent": (_CORE + "map",),
    "SequenceStartEvent": (_CORE + "seq",),
    "ScalarEvent": tuple(_CORE + name for name in ("str", "int", "float", "bool", "null")),
}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_spec(data: bytes, file: str) -> Any:
    """The value of a specification's text; raises InvalidDefinition with the place in the file.

    Text that begins with `{` or `[` is JSON, all else YAML; raises ConfigurationError if that needs PyYAML.
    """
    if len(data) > MAX_JSON_BYTES:
        raise _refused("E_LIMIT", f"the file is larger than {MAX_JSON_BYTES} bytes", file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refused("E_YAML", "the file is not UTF-8", file) from None
    if text.lstrip()[:1] in ("{", "["):
        return _parse_json(text, file)
    if len(data) > MAX_YAML_BYTES:
        hint = "as JSON it may be twice as large"
        raise _refused("E_LIMIT", f"the file is larger than {MAX_YAML_BYTES} bytes of YAML", file, hint=hint)
    return _parse_yaml(text, file)


def _refused(code: str, message: str, file: str, mark: Any = None, *, hint: str = "") -> InvalidDefinition:
    line, column = (0, 0) if mark is None else (mark.line, mark.column)
    return InvalidDefinition([Problem(code, message, hint=hint, file=file, line=line + 1, column=column + 1)])


def _parse_json(text: str, file: str) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not a JSON number")

    # Every value but the first follows one of these marks, so there are never more values than marks.
    if sum(map(text.count, ",[{")) > 2 * MAX_NODES:
        raise _refused("E_LIMIT", f"the file holds more than {MAX_NODES} values", file)
    try:
        value = json.loads(text, parse_constant=refuse)
        if _SURROGATE.search(text):
            check_surrogates(json.dumps(value, ensure_ascii=False))
    except json.JSONDecodeError as error:
        problem = Problem(
            "E_JSON",
            f"not JSON: {error.msg.lower()}",
            file=file,
            line=error.lineno,
            column=error.colno,
        )
        raise InvalidDefinition([problem]) from None
    except RecursionError:
        raise _refused("E_LIMIT", f"the file nests deeper than {MAX_DEPTH}", file) from None
    except ValueError as error:
        message = "a number is too long" if "digits" in str(error) else str(error)
        raise _refused("E_JSON", f"not JSON: {message}", file) from None
    if nesting(value) > MAX_DEPTH:
        raise _refused("E_LIMIT", f"the file nests deeper than {MAX_DEPTH}", file)
    return value


def _parse_yaml(text: str, file: str) -> Any:
    try:
        import yaml
    except ImportError:
        hint = "pip install 'connector-runtime[openapi]', or convert the file to JSON"
        raise ConfigurationError("PyYAML is needed to read a specification in YAML", hint=hint) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _YamlReader(file, yaml.parse(text, Loader=loader)).read()
    except yaml.MarkedYAMLError as error:
        raise _refused("E_YAML", f"not YAML: {error.problem}", file, error.problem_mark) from None
    except yaml.YAMLError:
        raise _refused("E_YAML", "not YAML: it holds a character that YAML does not allow", file) from None


@dataclass(slots=True)
class _YamlReader:
    """Builds values from the events of PyYAML's parser."""

    file: str
    events: Iterator[Any]
    count: int = 0
    #: The value of an anchor, its size in values, and how deep it nests.
    anchors: dict[str, tuple[Any, int, int]] = field(default_factory=dict)

    def read(self) -> Any:
        """The value of the one document; raises InvalidDefinition."""
        found: Any = None
        is_read = False
        for event in self.events:
            if type(event).__name__ == "DocumentStartEvent":
                if is_read:
                    raise self._refused(event, "the file holds more than one document")
                found, is_read = self._value(next(self.events), 0)[0], True
        return found

    def _refused(self, event: Any, message: str, code: str = "E_YAML") -> InvalidDefinition:
        return _refused(code, message, self.file, event.start_mark)

    def _value(self, event: Any, depth: int) -> tuple[Any, int]:
        """The value that begins with an event inside `depth` others, and how deep it nests itself."""
        kind, before = type(event).__name__, self.count
        if kind == "AliasEvent":
            if event.anchor not in self.anchors:
                raise self._refused(event, f"the alias *{event.anchor[:70]} has no anchor that ends before it")
            value, size, height = self.anchors[event.anchor]
            self._check_limits(event, size, depth + height)
            return value, height
        self._check_limits(event, 1, depth + (kind != "ScalarEvent"))
        if event.tag not in (None, "!", *_TAGS[kind]):
            raise self._refused(event, f"the tag {event.tag[:70]!r} is not in the core schema")
        height = 0
        if kind == "ScalarEvent":
            is_text = event.tag in ("!", _CORE + "str") or (event.tag is None and not event.implicit[0])
            value = event.value if is_text else read_plain(event.value)
        else:
            value, height = self._container(depth + 1, is_object=kind == "MappingStartEvent")
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, self.count - before, height)
        return value, height

    def _container(self, depth: int, *, is_object: bool) -> tuple[Any, int]:
        value: Any = {} if is_object else []
        height = 0
        while not type(event := next(self.events)).__name__.endswith("EndEvent"):
            each, inner = self._value(event, depth)
            if is_object:
                if inner:
                    raise self._refused(event, "a key must be text")
                # A key is its text, whatever it looks like: `200:`.
                key = getattr(event, "value", None)
                key = str(each) if key is None else key
                value[key], inner = self._value(next(self.events), depth)
            else:
                value.append(each)
            height = max(height, inner)
        return value, height + 1

    def _check_limits(self, event: Any, size: int, depth: int) -> None:
        self.count += size
        if depth > MAX_DEPTH:
            raise self._refused(event, f"the file nests deeper than {MAX_DEPTH}", "E_LIMIT")
        if self.count > MAX_NODES:
            raise self._refused(event, f"the file holds more than {MAX_NODES} values, aliases included", "E_LIMIT")


def read_plain(text: str) -> Any:
    """A plain scalar by the core schema (YAML 1.2.2, section 10.3.2); infinity and NaN stay text, as JSON has neither.

    >>> read_plain("1e-08"), read_plain("no"), read_plain("0o17")
    (1e-08, 'no', 15)
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER or text[0] not in "+-.0123456789":
        return text
    if _INTEGER.match(text):
        return int(text)
    if (based := _BASED.match(text)) is not None:
        return int(based[1], 8) if based[1] else int(based[2], 16)
    if _FLOAT.match(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
