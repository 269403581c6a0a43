"""Conversions of numbers: exact, whatever their size."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.conversions.pipeline import ConversionError, Pipeline, PipelineError

GERMAN = {"number": {"decimal": ",", "group": "."}}


def convert(step: Any, value: Any) -> Any:
    return Pipeline.from_json([step]).convert(value, {})


@pytest.mark.parametrize(
    ("step", "value", "made"),
    [
        ("number", " 12.50 ", 12.5),
        ("number", "-0.5", -0.5),
        ("number", "+7", 7),
        ("number", "\N{MINUS SIGN}7", -7),
        ("number", 3, 3),
        ("number", "12345678901234567890.1", "12345678901234567890.1"),
        (GERMAN, "1.234.567,89", 1234567.89),
        (GERMAN, "999", 999),
        (GERMAN, "-1.000", -1000),
        ({"number": {"decimal": ".", "group": "\N{NARROW NO-BREAK SPACE}"}}, "1\N{NARROW NO-BREAK SPACE}000.5", 1000.5),
        ("round", 2.5, 3),
        ("round", -2.5, -3),
        ({"round": 2}, 1.005, 1.01),
        ({"round": -2}, 149, 100),
        ({"round": {"digits": 0, "mode": "half_even"}}, 2.5, 2),
        ({"round": {"mode": "floor"}}, -1.1, -2),
        ({"round": {"mode": "ceiling"}}, 1.1, 2),
        ({"round": {"mode": "up"}}, 1.1, 2),
        ({"round": {"mode": "down"}}, 1.9, 1),
        ({"add": 0.2}, 0.1, 0.3),
        ({"add": "-1"}, "3", 2),
        ({"multiply": 100}, 19.99, 1999),
        ({"multiply": "0.001"}, 1, 0.001),
        ("abs", "-1.50", 1.5),
        ("format", 1234.5, "1234.5"),
        ({"format": {"decimals": 0}}, 2.5, "3"),
        ({"format": {"decimals": 2, "group": ","}}, -1234567.891, "-1,234,567.89"),
        ("sum", [0.1, "0.2", None], 0.3),
        ("sum", [], 0),
    ],
)
def test_numbers_are_calculated_exactly(step: Any, value: Any, made: Any) -> None:
    found = convert(step, value)
    assert (found, type(found)) == (made, type(made))


@pytest.mark.parametrize(
    ("step", "value"),
    [
        ("number", "1,5"),
        ("number", "12e3"),
        ("number", ""),
        ("number", "1 000"),
        ("number", "٣"),
        ("number", "1."),
        ("number", ".5"),
        ("number", "--1"),
        (GERMAN, "1.23"),
        (GERMAN, "1234.567"),
        (GERMAN, ".123"),
        ("abs", "one"),
        ({"add": 1}, True),
    ],
)
def test_what_is_not_a_number_is_refused(step: Any, value: Any) -> None:
    with pytest.raises(ConversionError):
        convert(step, value)


def test_a_result_that_cannot_be_exact_is_refused() -> None:
    with pytest.raises(ConversionError, match="more than 100 digits"):
        convert({"multiply": "1." + "1" * 90}, "1." + "1" * 90)
    with pytest.raises(ConversionError, match="more than 100 digits"):
        convert("sum", ["1e200", "1e-200"])


def test_the_two_marks_of_a_number_differ() -> None:
    with pytest.raises(PipelineError, match="'decimal' and 'group' are the same"):
        Pipeline.from_json([{"number": {"decimal": ".", "group": "."}}])


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_a_number_that_is_written_is_read_again(number: Decimal) -> None:
    marks = {"decimal": ",", "group": "."}
    pipeline = Pipeline.from_json([{"format": {**marks, "decimals": 4}}, {"number": marks}, {"multiply": 10000}])
    assert pipeline.convert(str(number), {}) == int(number * 10000)


@given(st.lists(st.integers(-(10**9), 10**9), max_size=10))
def test_a_sum_of_cents_is_the_sum_of_the_cents(cents: list[int]) -> None:
    pipeline = Pipeline.from_json([{"each": [{"multiply": "0.01"}]}, "sum", {"multiply": 100}])
    assert pipeline.convert(cents, {}) == sum(cents)
