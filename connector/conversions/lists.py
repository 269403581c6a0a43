"""Conversions of lists and objects."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from connector.conversions.numbers import add_all
from connector.conversions.row import Apply, Conversion, read_decimal, read_list, read_text
from connector.selectors import Selector
from connector.strict_json import same_json
from connector.types import describe

_SELECTOR = {"type": ["array", "string"], "items": {"type": ["string", "integer"]}}


def _object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise ValueError(f"expected an object, got {describe(value)}")
    return value


def onread_list(function: Callable[[list[Any]], Any]) -> Callable[[Any], Apply]:
    """Makes a `compile` of a function of a list, for rows without an argument."""
    return lambda _: lambda value, _names: function(read_list(value))


def on_object(function: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Apply]:
    """Makes a `compile` of a function of an object, for rows without an argument."""
    return lambda _: lambda value, _names: function(_object(value))


def _at(index: int) -> Apply:
    def find(value: Any, _: Mapping[str, Any]) -> Any:
        items = read_list(value)
        return items[index] if -len(items) <= index < len(items) else None

    return find


def _count(value: Any, _: Mapping[str, Any]) -> int:
    if not isinstance(value, (list, dict)):
        raise ValueError(f"expected a list or an object, got {describe(value)}")
    return len(value)


def _identity(value: Any) -> str:
    """A text that is the same for the same JSON value."""
    return json.dumps(value, sort_keys=True, default=float)


def _unique(items: list[Any]) -> list[Any]:
    found: dict[str, Any] = {}
    for each in items:
        found.setdefault(_identity(each), each)
    return list(found.values())


def _rank(value: Any) -> tuple[int, Any]:
    """An order over numbers, texts, and all else, each among themselves."""
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return 0, read_decimal(value)
    return (1, value) if isinstance(value, str) else (2, _identity(value))


def _sort(argument: Mapping[str, Any] | None) -> Apply:
    by = Selector.from_json(argument["by"]) if argument and "by" in argument else None
    reverse = bool((argument or {}).get("descending", False))

    def sort(value: Any, _: Mapping[str, Any]) -> list[Any]:
        keyed = [(each if by is None else by.find_one(each), each) for each in read_list(value)]
        known = sorted(
            (pair for pair in keyed if pair[0] is not None), key=lambda pair: _rank(pair[0]), reverse=reverse
        )
        # What has nothing to sort by comes last, in either order.
        return [each for _, each in known] + [each for key, each in keyed if key is None]

    return sort


def _flatten(items: list[Any]) -> list[Any]:
    return [inner for each in items for inner in (each if type(each) is list else [each])]


def _extreme(choose: Callable[..., Any]) -> Callable[[Any], Apply]:
    def find(items: list[Any]) -> Any:
        known = [each for each in items if each is not None]
        if any(isinstance(each, (list, dict, bool)) for each in known) or len({_rank(each)[0] for each in known}) > 1:
            raise ValueError("expected numbers, or texts")
        return choose(known, key=_rank) if known else None

    return onread_list(find)


def _where(argument: Mapping[str, Any]) -> Apply:
    selector = Selector.from_json(argument.get("selector", []))
    if "in" in argument:
        values = argument["in"]
        return lambda value, _: [
            each for each in read_list(value) if any(same_json(selector.find_one(each), one) for one in values)
        ]
    return lambda value, _: [
        each for each in read_list(value) if selector.find_one(each) not in (None, False, "", [], {})
    ]


def _get(argument: Any) -> Apply:
    find = Selector.from_json(argument).find_one
    return lambda value, _: find(value)


def _pick(names: list[str]) -> Apply:
    return lambda value, _: {name: each for name, each in _object(value).items() if name in names}


def _from_entries(items: list[Any]) -> dict[str, Any]:
    found = {}
    for each in items:
        if type(each) is not dict or "key" not in each:
            raise ValueError("expected objects with `key` and `value`")
        found[read_text(each["key"])] = each.get("value")
    return found


_ON_LIST = functools.partial(Conversion, accepts="list")
_ON_OBJECT = functools.partial(Conversion, accepts="object")

LISTS: Mapping[str, Conversion] = {
    "first": _ON_LIST(
        returns="any",
        compile=onread_list(lambda items: items[0] if items else None),
        description="The first element of a list; null if there is none.",
        example=(None, ["a", "b"], "a"),
    ),
    "last": _ON_LIST(
        returns="any",
        compile=onread_list(lambda items: items[-1] if items else None),
        description="The last element of a list; null if there is none.",
        example=(None, ["a", "b"], "b"),
    ),
    "at": _ON_LIST(
        returns="any",
        compile=_at,
        description=(
            "The element at an index, counted from 0, or from the end if it is negative; null if there is none."
        ),
        example=(1, ["a", "b"], "b"),
        argument={"type": "integer"},
    ),
    "count": Conversion(
        accepts="any",
        returns="number",
        compile=lambda _: _count,
        description="How many elements a list has, or members an object.",
        example=(None, ["a", "b"], 2),
    ),
    "unique": _ON_LIST(
        returns="list",
        compile=onread_list(_unique),
        description="Removes elements that are there before.",
        example=(None, [1, 2, 1], [1, 2]),
    ),
    "sort": _ON_LIST(
        returns="list",
        compile=_sort,
        description="Sorts a list, by what `by` selects in each element; numbers come before texts, and null is last.",
        example=({"by": ["n"], "descending": True}, [{"n": 1}, {"n": 2}], [{"n": 2}, {"n": 1}]),
        argument={
            "type": "object",
            "properties": {"by": _SELECTOR, "descending": {"type": "boolean"}},
            "additionalProperties": False,
        },
        optional=True,
    ),
    "reverse": _ON_LIST(
        returns="list",
        compile=onread_list(lambda items: items[::-1]),
        description="Reverses a list.",
        example=(None, [1, 2], [2, 1]),
    ),
    "flatten": _ON_LIST(
        returns="list",
        compile=onread_list(_flatten),
        description="Makes one list of a list of lists.",
        example=(None, [[1], [2, 3]], [1, 2, 3]),
    ),
    "compact": _ON_LIST(
        returns="list",
        compile=onread_list(lambda items: [each for each in items if each is not None and each != ""]),
        description="Removes null and empty texts.",
        example=(None, ["a", None, ""], ["a"]),
    ),
    "sum": _ON_LIST(
        returns="number",
        compile=lambda _: lambda value, names: add_all(read_list(value), names),
        description="The exact sum of the numbers in a list.",
        example=(None, [0.1, 0.2], 0.3),
    ),
    "min": _ON_LIST(
        returns="any",
        compile=_extreme(min),
        description="The smallest number of a list, or the first text in order; null if it is empty.",
        example=(None, [2, 1], 1),
    ),
    "max": _ON_LIST(
        returns="any",
        compile=_extreme(max),
        description="The largest number of a list, or the last text in order; null if it is empty.",
        example=(None, [2, 1], 2),
    ),
    "where": _ON_LIST(
        returns="list",
        compile=_where,
        description=(
            "Keeps the elements in which `selector` finds one of the values in `in`; without `in`, anything but "
            "null, false or something empty."
        ),
        example=({"selector": ["type"], "in": ["a"]}, [{"type": "a"}, {"type": "b"}], [{"type": "a"}]),
        argument={
            "type": "object",
            "properties": {"selector": _SELECTOR, "in": {"type": "array", "minItems": 1}},
            "minProperties": 1,
            "additionalProperties": False,
        },
    ),
    "get": Conversion(
        accepts="any",
        returns="any",
        compile=_get,
        description="What a selector finds in the value.",
        example=(["owner", "name"], {"owner": {"name": "Ann"}}, "Ann"),
        argument=_SELECTOR,
    ),
    "pick": _ON_OBJECT(
        returns="object",
        compile=_pick,
        description="Keeps the members with these names.",
        example=(["a"], {"a": 1, "b": 2}, {"a": 1}),
        argument={"type": "array", "items": {"type": "string"}, "minItems": 1},
    ),
    "keys": _ON_OBJECT(
        returns="list",
        compile=on_object(list),
        description="The names of the members of an object.",
        example=(None, {"a": 1, "b": 2}, ["a", "b"]),
    ),
    "values": _ON_OBJECT(
        returns="list",
        compile=on_object(lambda members: list(members.values())),
        description="The values of the members of an object.",
        example=(None, {"a": 1, "b": 2}, [1, 2]),
    ),
    "entries": _ON_OBJECT(
        returns="list",
        compile=on_object(lambda members: [{"key": key, "value": value} for key, value in members.items()]),
        description="Makes a list of the members of an object, each with `key` and `value`.",
        example=(None, {"a": 1}, [{"key": "a", "value": 1}]),
    ),
    "from_entries": _ON_LIST(
        returns="object",
        compile=onread_list(_from_entries),
        description="Makes an object of a list of `key` and `value`.",
        example=(None, [{"key": "a", "value": 1}], {"a": 1}),
    ),
}
