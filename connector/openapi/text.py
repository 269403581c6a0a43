"""The text of a specification as JSON values: JSON, or YAML read with the core schema of YAML 1.2, within limits.

YAML is read from the events of PyYAML's parser, and not with one of its loaders: those follow YAML 1.1 (`1e-08` is
text to them, `no` is false), build what tags name, and multiply what aliases stand for. What the values mean is not
known here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.errors import ConfigurationError, InvalidDefinition, Problem
from connector.parsing.schema import nesting
from connector.types import check_surrogates

#: A specification has at most this many bytes: 16 MiB as JSON, 8 MiB as YAML, which takes far longer to read.
MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_YAML_BYTES = 8 * 1024 * 1024
#: It holds at most this many values, each alias counted as all that it stands for.
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
#: Longer than this nothing is a number that anybody wrote.
_LONGEST_NUMBER = 400
_CORE = "tag:yaml.org,2002:"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_spec(data: bytes, file: str) -> Any:
    """The value of a specification's text; raises InvalidDefinition with the place in the file.

    What begins with `{` is JSON, all else YAML, for which PyYAML is needed: ConfigurationError says how to install it.
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


def _refused(
    code: str, message: str, file: str, line: int = 1, column: int = 1, *, hint: str = ""
) -> InvalidDefinition:
    return InvalidDefinition([Problem(code, message, hint, "", file, line, column)])


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _parse_json(text: str, file: str) -> Any:
    # Every value but the first follows one of these marks, so there are never more values than marks.
    if sum(map(text.count, ",[{")) > 2 * MAX_NODES:
        raise _refused("E_LIMIT", f"the file holds more than {MAX_NODES} values", file)
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        if _SURROGATE.search(text):
            check_surrogates(json.dumps(value, ensure_ascii=False))
    except json.JSONDecodeError as error:
        raise _refused("E_JSON", f"not JSON: {error.msg.lower()}", file, error.lineno, error.colno) from None
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
        return _Builder(file).build(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        raise _refused("E_YAML", f"not YAML: {error.problem}", file, line, column) from None
    except yaml.YAMLError:
        raise _refused("E_YAML", "not YAML: it holds a character that no YAML may hold", file) from None


@dataclass(slots=True)
class _Open:
    """A list or an object that has begun: its value, its anchor, and how much there was before it."""

    value: Any
    anchor: str | None
    before: int
    #: The key whose value comes next, if one does.
    key: str | None = None
    #: How deep its deepest part nests, itself included.
    height: int = 1


@dataclass(slots=True)
class _Builder:
    """Values made from the events of a YAML parser, one after the other, without recursion."""

    file: str
    count: int = 0
    open: list[_Open] = field(default_factory=list)
    #: What an anchor stands for: the value, its size in values, and how deep it nests.
    anchors: dict[str, tuple[Any, int, int]] = field(default_factory=dict)
    root: Any = None

    def build(self, events: Iterator[Any]) -> Any:
        """The value of the one document; raises InvalidDefinition."""
        documents = 0
        for event in events:
            kind = type(event).__name__
            if kind == "ScalarEvent":
                self._add(event, self._scalar(event))
            elif kind in ("MappingStartEvent", "SequenceStartEvent"):
                self._check_tag(event, ("map", "seq"))
                self._begin(event, {} if kind == "MappingStartEvent" else [])
            elif kind in ("MappingEndEvent", "SequenceEndEvent"):
                done = self.open.pop()
                if done.anchor is not None:
                    self.anchors[done.anchor] = (done.value, self.count - done.before, done.height)
                if self.open:
                    self.open[-1].height = max(self.open[-1].height, done.height + 1)
            elif kind == "AliasEvent":
                self._alias(event)
            elif kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise self._refused(event, "the file holds more than one document")
        return self.root

    def _refused(self, event: Any, message: str, code: str = "E_YAML") -> InvalidDefinition:
        return _refused(code, message, self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _begin(self, event: Any, value: Any) -> None:
        if len(self.open) >= MAX_DEPTH:
            raise self._refused(event, f"the file nests deeper than {MAX_DEPTH}", "E_LIMIT")
        before = self.count
        self._add(event, value, is_container=True)
        self.open.append(_Open(value, event.anchor, before))

    def _add(self, event: Any, value: Any, *, is_container: bool = False) -> None:
        self._take(event, 1)
        if not is_container and getattr(event, "anchor", None) is not None:
            self.anchors[event.anchor] = (value, 1, 0)
        self._put(event, value, is_container=is_container)

    def _take(self, event: Any, size: int) -> None:
        self.count += size
        if self.count > MAX_NODES:
            raise self._refused(event, f"the file holds more than {MAX_NODES} values, aliases included", "E_LIMIT")

    def _put(self, event: Any, value: Any, *, is_container: bool) -> None:
        if not self.open:
            self.root = value
            return
        top = self.open[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            if is_container or isinstance(value, (dict, list)):
                raise self._refused(event, "a key is text")
            # Whatever it looks like (`200:`), a key is the text that stands there.
            top.key = event.value if hasattr(event, "value") else str(value)
        else:
            top.value[top.key] = value
            top.key = None

    def _alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            raise self._refused(event, f"the alias *{event.anchor[:70]} stands for nothing that ends before it")
        value, size, height = self.anchors[event.anchor]
        self._take(event, size)
        if len(self.open) + height > MAX_DEPTH:
            raise self._refused(event, f"the file nests deeper than {MAX_DEPTH}", "E_LIMIT")
        # An alias is never the root: nothing stands before that.
        self.open[-1].height = max(self.open[-1].height, height + 1)
        self._put(event, value, is_container=False)

    def _check_tag(self, event: Any, known: tuple[str, ...]) -> None:
        if event.tag not in (None, "!", *(_CORE + name for name in known)):
            raise self._refused(event, f"the tag {event.tag[:70]!r} is none of the core schema")

    def _scalar(self, event: Any) -> Any:
        self._check_tag(event, ("str", "int", "float", "bool", "null"))
        text: str = event.value
        if event.tag in ("!", _CORE + "str") or (event.tag is None and not event.implicit[0]):
            return text
        return read_plain(text)


def read_plain(text: str) -> Any:
    """A plain scalar by the core schema (YAML 1.2.2, section 10.3.2); infinity and NaN, which JSON lacks, stay text.

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
