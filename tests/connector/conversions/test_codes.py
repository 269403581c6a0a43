"""Conversions to and from encodings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.conversions.pipeline import ConversionError, Pipeline

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def convert(steps: Any, value: Any) -> Any:
    return Pipeline.from_json(steps if isinstance(steps, list) else [steps]).convert(value, {})


@given(TEXT)
def test_base64_is_read_again_in_either_alphabet(text: str) -> None:
    assert convert(["base64", "from_base64"], text) == text
    assert convert(["base64url", "from_base64"], text) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    )
)
def test_json_is_read_again(value: Any) -> None:
    if value is not None:
        assert convert(["json", "from_json"], value) == value


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), min_size=2, max_size=3), min_size=1
    )
)
def test_csv_is_read_again(rows: list[list[str]]) -> None:
    assert convert([{"csv": {"header": False}}, {"from_csv": {"header": False}}], rows) == rows


@pytest.mark.parametrize(
    ("step", "value", "made"),
    [
        ("csv", [{"a": 1, "b": None}, {"a": [1], "c": True}], "a,b,c\r\n1,,\r\n[1],,true\r\n"),
        ("csv", {"a": 1}, "a\r\n1\r\n"),
        ({"csv": {"header": False}}, [{"a": "x"}], "x\r\n"),
        ("csv", [1, "a,b"], '1\r\n"a,b"\r\n'),
        ("from_csv", "", []),
        ("from_csv", "a,b\n1\n\n", [{"a": "1", "b": None}]),
        ("from_base64", "aMO p\n", "hé"),
        ({"hash": "md5"}, "a", "0cc175b9c0f1b6a831c399e269772661"),
    ],
)
def test_values_are_encoded(step: Any, value: Any, made: Any) -> None:
    assert convert(step, value) == made


@pytest.mark.parametrize(
    ("step", "value", "message"),
    [
        ("from_base64", "a", "expected base64"),
        ("from_base64", "/w==", "not text in UTF-8"),
        ("from_json", '{"a":1,"a":2}', "duplicate key"),
        ("csv", [{"a": 1}, 2], "a list of objects"),
        ("from_csv", 'a\n"', "expected CSV"),
        ("from_csv", "a,a\n1,2", "duplicated in the first row"),
        ("from_csv", "a\n1,2", "more fields than the first one"),
        ("from_csv", "," * 1_000_001, "more than 1000000 fields"),
    ],
)
def test_what_cannot_be_read_is_refused(step: Any, value: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        convert(step, value)
