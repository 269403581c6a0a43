"""Types: what becomes what without loss, and what is refused without being repeated (language rules 3 and 12)."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.types import (
    CONVERTORS,
    MAX_DEPTH,
    check_surrogates,
    convert,
    describe,
    find_convertor,
    read_default,
    to_text,
)


class Model(enum.StrEnum):
    SMALL = "mistral-small"


class OldModel(str, enum.Enum):  # noqa: UP042 - how they were written before StrEnum
    SMALL = "mistral-small"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "type_name", "expected"),
    [
        ("text", "String", "text"),
        ("", "String", ""),
        ("naïve \U0001f600", "String", "naïve \U0001f600"),
        (5, "String", "5"),
        (0.7, "String", "0.7"),
        (1e22, "String", "10000000000000000000000"),
        (2**63 + 1, "String", "9223372036854775809"),
        (Model.SMALL, "String", "mistral-small"),
        (OldModel.SMALL, "String", "mistral-small"),
        (Level.HIGH, "String", "3"),
        (1024, "Integer", 1024),
        (1.0, "Integer", 1),
        ("1024", "Integer", 1024),
        ("-7", "Integer", -7),
        ("3.0", "Integer", 3),
        (2**63 - 1, "Integer", 2**63 - 1),
        (-(2**63), "Integer", -(2**63)),
        (Level.HIGH, "Integer", 3),
        (0.7, "Number", 0.7),
        ("0.7", "Number", 0.7),
        ("1e3", "Number", 1000.0),
        ("-12", "Number", -12),
        ("0.30000000000000004", "Number", 0.30000000000000004),
        (2**64, "Number", 2**64),
        (True, "Boolean", True),
        ("true", "Boolean", True),
        ("false", "Boolean", False),
        (("a", 1), "Array", ["a", 1]),
        ([[None, True]], "Array", [[None, True]]),
        ({"a": {"b": [1]}}, "Object", {"a": {"b": [1]}}),
        (None, "Any", None),
        ("5", "Any", "5"),
        ({"a": (1, 2)}, "JSON", {"a": [1, 2]}),
        ("2026-01-02", "Date", "2026-01-02"),
        (1777902840, "DateTime", 1777902840),
        (datetime.date(2026, 1, 2), "Date", "2026-01-02"),
        (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "DateTime", "2026-01-02T00:00:00+00:00"),
        (b"\xff\x00", "File", b"\xff\x00"),
        ("text", "File", "text"),
    ],
)
def test_a_value_becomes_its_type_without_loss(value: Any, type_name: str, expected: Any) -> None:
    found = convert(value, type_name)
    assert expected == found
    assert type(expected) is type(found)


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        pytest.param('0.7, "n": 1000', "Number", id="T15-more members"),
        pytest.param("NaN", "Number", id="T16-NaN text"),
        pytest.param("Infinity", "Number", id="T16-Infinity text"),
        pytest.param("1e999", "Number", id="T16-1e999 text"),
        pytest.param(float("nan"), "Number", id="T16-NaN"),
        pytest.param(float("inf"), "Number", id="T16-Infinity"),
        pytest.param(float("-inf"), "Any", id="T16-infinity in Any"),
        pytest.param([float("nan")], "Array", id="T16-NaN in a list"),
        pytest.param(True, "Integer", id="T17-True"),
        pytest.param("", "Integer", id="T17-empty"),
        pytest.param(1.5, "Integer", id="T17-1.5"),
        pytest.param("1.5", "Integer", id="T17-1.5 text"),
        pytest.param(10**5000, "Integer", id="T17-10**5000"),
        pytest.param("1" * 5000, "Integer", id="T17-5000 digits"),
        pytest.param(2**63, "Integer", id="T17-2**63"),
        pytest.param(str(2**63), "Integer", id="T17-2**63 text"),
        pytest.param(-(2**63) - 1, "Integer", id="T17-below"),
        pytest.param(" 5", "Integer", id="T17-space"),
        pytest.param("٣", "Integer", id="T17-other digits"),
        pytest.param("007", "Integer", id="T17-leading zeros"),
        (float("inf"), "Integer"),
        (True, "Number"),
        pytest.param(10**5000, "Number", id="T17-10**5000 as a number"),
        pytest.param(10**5000, "String", id="T17-10**5000 as text"),
        (2**64 + 1, "Number"),
        ("0.123456789012345678901", "Number"),
        ("1e-400", "Number"),
        ("1e-99999999999999999999", "Number"),
        pytest.param("9" * 500, "Number", id="500 digits"),
        (None, "Number"),
        (True, "String"),
        ([], "String"),
        ({}, "String"),
        (b"x", "String"),
        pytest.param("\ud800", "String", id="T14-lone surrogate"),
        pytest.param(["\ud800"], "Array", id="T14-lone surrogate in a list"),
        pytest.param({"\udfff": 1}, "Object", id="T14-lone surrogate in a key"),
        ("yes", "Boolean"),
        (1, "Boolean"),
        ("[]", "Array"),
        ({}, "Array"),
        ([], "Object"),
        ({1: 2}, "Object"),
        ({"a": {1, 2}}, "Any"),
        (True, "Date"),
        ([], "File"),
    ],
)
def test_what_would_be_lost_is_refused_and_never_repeated(value: Any, type_name: str) -> None:
    with pytest.raises(ValueError, match="expected|cannot|large|more digits|not JSON") as caught:
        convert(value, type_name)
    if isinstance(value, str) and value.strip():
        assert value not in str(caught.value)


def test_a_value_may_nest_a_hundred_deep_and_no_deeper() -> None:
    def nest(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = [value]
        return value

    assert nest(MAX_DEPTH) == convert(nest(MAX_DEPTH), "Array")
    with pytest.raises(ValueError, match="nests deeper than 100"):
        convert(nest(MAX_DEPTH + 1), "Array")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1.0, "1.0"),
        (5e-7, "0.0000005"),
        ([1, "é"], '[1,"é"]'),
        ({"a": None}, '{"a":null}'),
        ("é".encode(), "é"),
    ],
)
def test_text_of_a_value_is_what_a_person_would_write(value: Any, expected: str) -> None:
    assert expected == to_text(value)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="not text"):
        to_text(b"\xff")


def test_T16_text_of_a_list_is_json_or_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        to_text([float("nan")])


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("int", "Integer"),
        ("INTEGER", "Integer"),
        ("float", "Number"),
        ("bool", "Boolean"),
        ("json", "Any"),
        ("id", "String"),
        ("datetime", "DateTime"),
    ],
)
def test_types_are_known_in_any_case_and_by_their_aliases(alias: str, name: str) -> None:
    convertor = find_convertor(alias)
    assert convertor is not None
    assert name == convertor.name


def test_an_unknown_type_is_none() -> None:
    assert find_convertor("varchar") is None


@pytest.mark.parametrize(
    ("default", "type_name", "expected"),
    [
        ("0.7", "Number", 0.7),
        ("1024", "Integer", 1024),
        ("true", "Boolean", True),
        ('["a"]', "Array", ["a"]),
        ('{"a": 1}', "Object", {"a": 1}),
        (["a"], "Array", ["a"]),
        ("5", "Any", "5"),
    ],
)
def test_a_default_is_text_that_reads_as_its_type(default: Any, type_name: str, expected: Any) -> None:
    assert expected == read_default(default, CONVERTORS[type_name.lower()])


@pytest.mark.parametrize("default", ["abc", pytest.param("[" * 100_000, id="deep"), "[NaN]", '{"a": 1}', '["\\ud800"]'])
def test_T11_a_default_that_does_not_read_as_its_type_is_refused(default: str) -> None:
    with pytest.raises(ValueError, match="expected|not JSON|surrogate"):
        read_default(default, CONVERTORS["array"])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "a boolean"),
        ("", "empty text"),
        ("secret", "other text"),
        (5, "another number"),
        ((), "a list"),
        ({}, "an object"),
        (b"", "a Python bytes"),
    ],
)
def test_a_value_is_described_in_the_words_of_json(value: Any, words: str) -> None:
    assert words == describe(value)


def test_every_type_describes_itself_to_tools() -> None:
    assert all(isinstance(row.json_schema, Mapping) for row in CONVERTORS.values())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(JSON)
def test_any_json_value_passes_as_it_is_and_can_be_sent(value: Any) -> None:
    assert value == convert(value, "Any")
    assert value == json.loads(json.dumps(convert(value, "Any"), allow_nan=False))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_as_text(value: float) -> None:
    assert value == float(to_text(value))


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_text_that_can_be_encoded_has_no_lone_surrogate(text: str) -> None:
    check_surrogates(text)
