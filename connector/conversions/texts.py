"""Conversions of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from connector.conversions.row import MAX_TEXT, Apply, Conversion, plain, read_list, read_text
from connector.templates import Slot, split_template

_TEXT = {"type": "string"}
_MARK = {"type": "string", "minLength": 1}


def on_text(function: Callable[[str], Any]) -> Apply:
    """A conversion of the value as text."""
    return lambda value, _: function(value if type(value) is str else read_text(value))


def _split(mark: str) -> Apply:
    return on_text(lambda text: text.split(mark) if text else [])


def _join(mark: str) -> Apply:
    def join(value: Any, _: Mapping[str, Any]) -> str:
        return mark.join(read_text(each) for each in read_list(value) if each is not None)

    return join


def _replace(argument: Mapping[str, str]) -> Apply:
    old, new = argument["from"], argument["to"]

    def replace(text: str) -> str:
        if len(text) + text.count(old) * (len(new) - len(old)) > MAX_TEXT:
            raise ValueError(f"the text would have more than {MAX_TEXT} characters")
        return text.replace(old, new)

    return on_text(replace)


def _after(mark: str) -> Apply:
    def cut(text: str) -> str | None:
        _, found, rest = text.partition(mark)
        return rest if found else None

    return on_text(cut)


def _slice(argument: Mapping[str, int]) -> Apply:
    start, end = argument.get("from"), argument.get("to")
    return on_text(lambda text: text[start:end])


def _truncate(argument: Any) -> Apply:
    length, end = (argument, "") if isinstance(argument, int) else (argument["length"], argument.get("end", ""))
    if len(end) > length:
        raise ValueError("'end' is longer than 'length'")
    return on_text(lambda text: text if len(text) <= length else text[: length - len(end)] + end)


def _template(source: str) -> Apply:
    parts = split_template(source)

    def fill(value: Any, names: Mapping[str, Any]) -> str | None:
        found = [
            part if isinstance(part, str) else value if part.name == "value" else names.get(part.name) for part in parts
        ]
        # A text with a gap in it would look like a value.
        return None if None in found else "".join(map(read_text, found))

    return fill


def names_in(source: str) -> tuple[str, ...]:
    """The names that a template takes from other values."""
    return tuple(part.name for part in split_template(source) if isinstance(part, Slot) and part.name != "value")


TEXTS: Mapping[str, Conversion] = {
    "trim": Conversion(
        accepts="text",
        returns="text",
        compile=plain(lambda value: read_text(value).strip()),
        description="Removes white space at both ends.",
        example=(None, " a ", "a"),
    ),
    "lower": Conversion(
        accepts="text",
        returns="text",
        compile=plain(lambda value: read_text(value).lower()),
        description="Makes all letters small.",
        example=(None, "Ab", "ab"),
    ),
    "upper": Conversion(
        accepts="text",
        returns="text",
        compile=plain(lambda value: read_text(value).upper()),
        description="Makes all letters capitals.",
        example=(None, "Ab", "AB"),
    ),
    "split": Conversion(
        accepts="text",
        returns="list",
        compile=_split,
        description="Splits a text at each occurrence of the argument. An empty text is an empty list.",
        example=(",", "a,b", ["a", "b"]),
        argument=_MARK,
    ),
    "join": Conversion(
        accepts="list",
        returns="text",
        compile=_join,
        description="Joins the elements of a list, with the argument between them. Null elements are left out.",
        example=(", ", ["a", None, 2], "a, 2"),
        argument=_TEXT,
    ),
    "replace": Conversion(
        accepts="text",
        returns="text",
        compile=_replace,
        description="Replaces each occurrence of one text by another.",
        example=({"from": "-", "to": ""}, "1-2-3", "123"),
        argument={
            "type": "object",
            "properties": {"from": _MARK, "to": _TEXT},
            "required": ["from", "to"],
            "additionalProperties": False,
        },
    ),
    "before": Conversion(
        accepts="text",
        returns="text",
        compile=lambda mark: on_text(lambda text: text.partition(mark)[0]),
        description="Keeps what is before the first occurrence of the argument; the whole text if there is none.",
        example=("@", "ann@example.com", "ann"),
        argument=_MARK,
    ),
    "after": Conversion(
        accepts="text",
        returns="text",
        compile=_after,
        description="Keeps what is after the first occurrence of the argument; null if there is none.",
        example=("@", "ann@example.com", "example.com"),
        argument=_MARK,
    ),
    "slice": Conversion(
        accepts="text",
        returns="text",
        compile=_slice,
        description=(
            "Keeps the characters from `from` (counted from 0) up to `to`; negative numbers count from the end."
        ),
        example=({"from": 0, "to": 3}, "abcdef", "abc"),
        argument={
            "type": "object",
            "properties": {"from": {"type": "integer"}, "to": {"type": "integer"}},
            "minProperties": 1,
            "additionalProperties": False,
        },
    ),
    "truncate": Conversion(
        accepts="text",
        returns="text",
        compile=_truncate,
        description="Shortens a text to so many characters; `end` is then its last part, and counts.",
        example=({"length": 4, "end": "…"}, "abcdef", "abc…"),
        argument={
            "type": ["integer", "object"],
            "minimum": 0,
            "properties": {"length": {"type": "integer", "minimum": 0}, "end": _TEXT},
            "required": ["length"],
            "additionalProperties": False,
        },
    ),
    "template": Conversion(
        accepts="any",
        returns="text",
        compile=_template,
        description=(
            "Fills a text: `{{value}}` is the value, other names are other fields or inputs. Null if one is null."
        ),
        example=("{{value}} €", 5, "5 €"),
        argument=_TEXT,
    ),
}
