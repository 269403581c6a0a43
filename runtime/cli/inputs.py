"""The inputs of a call as a command line has them: `name=text`, `name:=json`, `name=@file`, `--inputs -`.

Words become values by name. Declared types are only used where the spelling depends on them: a File takes a path, and
an Array collects repeated values. The language checks whether a value fits its input.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from connector.errors import InputError, InputProblem
from connector.templates import Placeholder

#: More digits than any number that can be sent has.
_MAX_DIGITS = 400


@dataclass(frozen=True, slots=True)
class Item:
    """One `name=text`, `name:=json`, `name=@file` or `name:=@file`: how the text behind the sign is to be read."""

    name: str
    kind: Literal["text", "json", "file", "json file"]
    text: str

    @classmethod
    def from_text(cls, word: str) -> Item:
        """Returns the word split at its first `=`; raises ValueError for a word without one.

        >>> Item.from_text("content=a=b")
        Item(name='content', kind='text', text='a=b')
        """
        name, sign, text = word.partition("=")
        as_json = name.endswith(":")
        name = name.removesuffix(":")
        if not sign or not name:
            raise ValueError("expected name=text, name:=json or name=@file")
        if text.startswith("@") and len(text) > 1:
            return cls(name, "json file" if as_json else "file", text[1:])
        return cls(name, "json" if as_json else "text", text)

    def read(self, declared: Placeholder | None) -> Any:
        """Returns the value; raises ValueError with a message that does not repeat it."""
        if self.kind == "text":
            return self.text
        if self.kind == "json":
            return read_json(self.text)
        path = Path(self.text)
        if self.kind == "file" and declared is not None and declared.type == "File":
            _check_readable(path)
            return path
        content = _read_file(path)
        text = _decode(content)
        return read_json(text) if self.kind == "json file" else text


def gather_inputs(
    operation: str, items: Iterable[Item], declared: Mapping[str, Placeholder], document: bytes | None = None
) -> dict[str, Any]:
    """Returns the values by name: those of `document` (a JSON object in UTF-8), then those of the items, which win.

    An Array input collects its `name=text` items, so `tag=a tag=b` is a list of two. Raises InputError, all problems at
    once: files that cannot be read, text that is not JSON, a name given twice.
    """
    problems: list[InputProblem] = []
    values: dict[str, Any] = {}
    if document is not None:
        try:
            given = read_json(_decode(document))
            if not isinstance(given, dict):
                raise ValueError("expected one JSON object of inputs by name")
            values = given
        except ValueError as error:
            problems.append(InputProblem("--inputs", f"--inputs: {error}"))
    seen: dict[str, bool] = {}
    for item in items:
        placeholder = declared.get(item.name)
        collects = placeholder is not None and placeholder.type == "Array" and item.kind in ("text", "file")
        try:
            value = item.read(placeholder)
            if item.name in seen and not (collects and seen[item.name]):
                raise ValueError("it is given twice")
            if collects:
                value = [*values[item.name], value] if item.name in seen else [value]
            seen[item.name] = collects
            values[item.name] = value
        except ValueError as error:
            problems.append(InputProblem(item.name, f"{item.name}: {error}"))
    if problems:
        raise InputError(operation, problems, hint="inputs are name=text, name:=json or name=@file")
    return values


def read_json(text: str) -> Any:
    """Returns the text as JSON without duplicate keys; raises ValueError, which does not repeat the text."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(members)
        if len(found) != len(members):
            raise ValueError("duplicate key")
        return found

    def integer(digits: str) -> int:
        if len(digits) > _MAX_DIGITS:
            raise ValueError("a number has too many digits")
        return int(digits)

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_int=integer)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"it is not JSON ({error.msg.lower()} at {where})") from None
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def _decode(content: bytes) -> str:
    try:
        # Windows editors put a byte order mark in front, which is never meant to be sent.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("what is in the file is not UTF-8 text") from None


def _check_readable(path: Path) -> None:
    """Raises ValueError for a path that is not a readable file; its content is read when it is sent."""
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise ValueError(f"{path}: {(error.strerror or 'it cannot be read').lower()}") from None
    except ValueError:
        raise ValueError("the name of the file holds a NUL") from None


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {(error.strerror or 'it cannot be read').lower()}") from None
    except ValueError:
        raise ValueError("the name of the file holds a NUL") from None
