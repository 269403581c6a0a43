"""What conversions share: values as text and as exact decimals."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.conversions.row import finish, read_decimal, read_text


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (1, "1"), (1e22, "1" + "0" * 22), (Decimal("1E+2"), "100"), (True, "true")]
)
def test_a_single_value_has_a_text(value: Any, text: str) -> None:
    assert read_text(value) == text


@pytest.mark.parametrize("value", [None, [], {}])
def test_a_list_an_object_and_null_have_none(value: Any) -> None:
    with pytest.raises(ValueError, match="expected text"):
        read_text(value)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_number_survives_the_way_through_a_decimal(value: float) -> None:
    if abs(Decimal(value).adjusted()) <= 400:
        made = finish(read_decimal(value))
        # A large float is the number that it is written as.
        assert made == value or Decimal(repr(value)) == made
        assert json.dumps(finish([{"a": read_decimal(value)}])) == json.dumps([{"a": made}])


def test_a_decimal_that_no_float_holds_becomes_text() -> None:
    assert finish(Decimal("0.1234567890123456789")) == "0.1234567890123456789"
    assert finish(Decimal(123456789012345678901)) == 123456789012345678901


@pytest.mark.parametrize("value", [True, None, "", "1_000", "nan", "inf", "1e999999", "0x1", [1]])
def test_what_is_not_a_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="expected a"):
        read_decimal(value)
