"""Conversions that choose."""

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
        ({"default": 0}, None, 0),
        ({"default": 0}, "", ""),
        ({"default": None}, None, None),
        ({"lookup": {"map": {"1": "one"}}}, 1, "one"),
        ({"lookup": {"map": {"true": 1}, "else": None}}, True, 1),
        ({"lookup": {"map": {"a": 1}, "else": "other"}}, "b", "other"),
        ({"lookup": {"map": {"a": 1}, "else": 0}}, ["a", "b", None], [1, 0, None]),
        ({"equals": 1}, 1.0, True),
        ({"equals": 1}, True, False),
        ({"equals": [1]}, [1], True),
        ("not", False, True),
    ],
)
def test_a_value_is_chosen(step: Any, value: Any, made: Any) -> None:
    assert convert(step, value) == made


def test_an_unknown_value_is_a_failure_without_else() -> None:
    with pytest.raises(ConversionError, match="lookup: the value is not in the table"):
        convert({"lookup": {"map": {"a": 1}}}, "b")
    with pytest.raises(ConversionError, match="not: expected true or false, got other text"):
        convert("not", "true")


@given(st.dictionaries(st.text(), st.integers(), min_size=1))
def test_every_entry_of_a_table_is_found(table: dict[str, int]) -> None:
    assert convert({"lookup": {"map": table}}, list(table)) == list(table.values())
