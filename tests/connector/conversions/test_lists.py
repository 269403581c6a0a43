"""Conversions of lists and objects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.conversions.pipeline import ConversionError, Pipeline


def convert(step: Any, value: Any) -> Any:
    return Pipeline.from_json([step]).convert(value, {})


@pytest.mark.parametrize(
    ("step", "value", "made"),
    [
        ("first", [], None),
        ("last", [], None),
        ({"at": -1}, [1, 2], 2),
        ({"at": 5}, [1, 2], None),
        ({"at": -3}, [1, 2], None),
        ("count", {"a": 1}, 1),
        ("unique", [1, True, 1.0, "1", {"a": 1}, {"a": 1}], [1, True, 1.0, "1", {"a": 1}]),
        ("sort", ["b", 2, None, "a", 1.5, {"x": 1}], [1.5, 2, "a", "b", {"x": 1}, None]),
        ({"sort": {"descending": True}}, [1, None, 3], [3, 1, None]),
        ({"sort": {"by": "a.b"}}, [{"a": {"b": 2}}, {}, {"a": {"b": 1}}], [{"a": {"b": 1}}, {"a": {"b": 2}}, {}]),
        ("flatten", [1, [2, [3]], []], [1, 2, [3]]),
        ("compact", [0, False, None, "", [], "a"], [0, False, [], "a"]),
        ("min", ["b", "a"], "a"),
        ("max", [1, 2.5, None], 2.5),
        ("max", [], None),
        ({"where": {"selector": ["on"]}}, [{"on": True}, {"on": False}, {}], [{"on": True}]),
        ({"where": {"in": [1, "a"]}}, [1, True, "a", "b"], [1, "a"]),
        ({"get": "$.a[0]"}, {"a": [7]}, 7),
        ({"pick": ["b", "z"]}, {"a": 1, "b": 2}, {"b": 2}),
        ("from_entries", [{"key": 1, "value": 2}, {"key": "b"}], {"1": 2, "b": None}),
    ],
)
def test_lists_and_objects_are_changed(step: Any, value: Any, made: Any) -> None:
    found = convert(step, value)
    assert (found, repr(found)) == (made, repr(made))


@pytest.mark.parametrize(
    ("step", "value"),
    [
        ("first", "a"),
        ("keys", [1]),
        ("count", "a"),
        ("min", [1, "a"]),
        ("max", [[1]]),
        ("sum", ["a"]),
        ("from_entries", [1]),
        ("from_entries", [{"value": 1}]),
        ({"join": ","}, [[1]]),
    ],
)
def test_what_is_no_list_or_object_is_refused(step: Any, value: Any) -> None:
    with pytest.raises(ConversionError):
        convert(step, value)


@given(st.dictionaries(st.text(max_size=5), st.integers()))
def test_entries_become_the_same_object_again(value: dict[str, int]) -> None:
    assert Pipeline.from_json(["entries", "from_entries"]).convert(value, {}) == value


@given(st.lists(st.integers() | st.text(max_size=3) | st.none()))
def test_sorting_keeps_every_element_and_is_the_same_twice(items: list[Any]) -> None:
    once = convert("sort", items)
    assert sorted(map(repr, once)) == sorted(map(repr, items))
    assert convert("sort", once) == once
