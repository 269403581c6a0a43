"""Strict JSON: what two readers could understand differently is refused, fast or not."""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.answers.mapping import (
    read_json,
)
from connector.errors import MappingError
from connector.strict_json import MAX_DEPTH, _fast_reader, parse_json
from tests.doubles.answers import JSON, answer


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"[" * 100_000, "nests too deeply", id="T47-depth 100,000"),
        pytest.param(b"[" * 300 + b"]" * 300, "nests too deeply", id="T47-depth 300"),
        pytest.param(b'{"n": 1e400}', "too large", id="T47-1e400"),
        pytest.param(b'{"n": -1E+400}', "too large", id="T47-minus 1e400"),
        pytest.param(b'{"n": ' + b"9" * 400 + b".0}", "too large", id="T47-400 digits"),
        pytest.param(b'{"a": 1, "a": 2}', "duplicate key", id="T47-doubled key"),
        pytest.param(
            b'{"a": 1, "a": 2, "n": 12345678901234567890}', "duplicate key", id="T47-doubled key beside a big number"
        ),
        pytest.param(b'{"a": "\\ud800"}', "surrogate", id="T47-lone surrogate"),
        pytest.param(b'{"\\uDFFF": 1}', "surrogate", id="T47-lone surrogate in a key"),
        pytest.param(b'{"n": NaN}', "NaN is not JSON", id="T47-NaN"),
        pytest.param(b'{"n": -Infinity}', "-Infinity is not JSON", id="T47-Infinity"),
        pytest.param('{"a": 1}'.encode("utf-16"), "not UTF-8", id="T47-UTF-16"),
        pytest.param('{"a": 1}'.encode("utf-16-le"), "not JSON", id="T47-UTF-16 without a mark"),
        pytest.param(b'{"a": "\xff"}', "not UTF-8", id="T47-Latin-1"),
        pytest.param(b"<html><body>Bad gateway</body></html>", "not JSON", id="T48-HTML"),
        pytest.param(b'{"a": [1, 2', "not JSON", id="T48-truncated"),
    ],
)
def test_what_two_readers_could_take_differently_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(MappingError, match=reason) as caught:
        read_json(answer(body, content_type="Text/HTML; charset=utf-8"))
    error = caught.value
    assert error.code == "E_RESPONSE"
    assert "(status 200, text/html)" in error.message
    assert body[:200].decode("utf-8", "replace") in error.message
    assert len(error.message) < 400
    assert error.response is not None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"n": ' + b"9" * 5000 + b"}", {"n": "9" * 5000}, id="T47-5,000 digits"),
        pytest.param(b'{"n": 9223372036854775807}', {"n": 2**63 - 1}, id="T47-2^63 - 1"),
        pytest.param(b'{"n": 9223372036854775808}', {"n": "9223372036854775808"}, id="T47-2^63"),
        pytest.param(b'{"n": -9223372036854775808}', {"n": -(2**63)}, id="T47-minus 2^63"),
        pytest.param(b'{"n": -9223372036854775809}', {"n": "-9223372036854775809"}, id="T47-below"),
        pytest.param(b'{"n": 1234567890123456789012.5}', {"n": 1234567890123456789012.5}, id="long fraction"),
        pytest.param(b'{"n": 1e100}', {"n": 1e100}, id="T47-1e100"),
        pytest.param(b'{"n": 1e-400}', {"n": 0.0}, id="T47-1e-400"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', {"a": 1}, id="T47-BOM"),
        pytest.param(b'{"a": "x\\u0000y"}', {"a": "x\0y"}, id="T47-NUL"),
        pytest.param(b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}, id="T47-whole pair"),
        pytest.param(json.dumps(["[" * 500]).encode(), ["[" * 500], id="brackets in a text"),
        pytest.param(
            b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH), id="as deep as allowed"
        ),
    ],
)
def test_what_is_unusual_but_clear_is_read(body: bytes, expected: Any) -> None:
    assert expected == read_json(answer(body))


@given(JSON, st.booleans())
def test_any_json_is_read_as_it_was_written(value: Any, escaped: bool) -> None:
    assert value == parse_json(json.dumps(value, ensure_ascii=escaped).encode())


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789eE.-\\ud8 ntf').map(str.encode))
def test_T47_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        document = parse_json(body)
    except ValueError:
        return
    assert document == json.loads(json.dumps(document, allow_nan=False))


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """JSON in any style of writing, sometimes with a member that stands twice or a byte that is another."""
    indent = draw(st.none() | st.just(1))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : "), (",", "\t:"), (",\n", ":")]))
    text = json.dumps(draw(NESTED), ensure_ascii=draw(st.booleans()), indent=indent, separators=separators)
    found = draw(
        st.sampled_from(["", '{"a":1,"a":2}', '{"a" :1, "a":2}', '{"a":"\\u0022:","a":""}', '{"":{"":1},"":0}'])
    )
    body = (f'{{"x":{text},"y":{found}}}' if found else text).encode("utf-8", "surrogatepass")
    place = draw(st.integers(0, len(body)))
    return body[:place] + draw(st.sampled_from([b"", b"", b"\\", b'"', b":", b"\xff", b" "])) + body[place:]


def outcome(body: bytes) -> object:
    try:
        return repr(parse_json(body))
    except ValueError as error:
        return f"refused: {error}"


def both_outcomes(body: bytes) -> tuple[object, object]:
    """What comes of a body with orjson and without it."""
    pytest.importorskip("orjson", reason="the platform has no orjson")
    fast = outcome(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "orjson", None)  # as if it were not installed
        _fast_reader.cache_clear()
        strict = outcome(body)
    _fast_reader.cache_clear()
    return fast, strict


@given(documents())
def test_T47_the_fast_reader_reads_what_the_strict_one_reads_and_refuses_what_it_refuses(body: bytes) -> None:
    fast, strict = both_outcomes(body)
    assert strict == fast


def nest(depth: int, opening: str = "[", closing: str = "]", inside: str = "1") -> str:
    return opening * depth + inside + closing * depth


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1,"a":2}', "refused: duplicate key"),
        ('{"a":1,"a":":"}', "refused: duplicate key"),
        ('{"a" : 1,\n"a"\t:2}', "refused: duplicate key"),
        ('{"a":1,"a":2,"b":"\\u003a"}', "refused: duplicate key"),
        ('{"a":1,"a":2,"b":"\\u003A"}', "refused: duplicate key"),
        ('[{"b":{"a":1,"\\u0061":2}}]', "refused: duplicate key"),
        ('{"a":"\\u003a\\\\u003a"}', r"{'a': ':\\u003a'}"),
        ('{"a":"09:00:00","":{"":":"}}', "{'a': '09:00:00', '': {'': ':'}}"),
        ("[9223372036854775807,-9223372036854775808]", "[9223372036854775807, -9223372036854775808]"),
        ("[9223372036854775808,-9223372036854775809]", "['9223372036854775808', '-9223372036854775809']"),
        ("18446744073709551616", "'18446744073709551616'"),
        ("[1e308,1E+22,-0.0,0.12345678901234567890123]", "[1e+308, 1e+22, -0.0, 0.12345678901234568]"),
        ("1e309", "refused: a number is too large"),
        ("-1E+400", "refused: a number is too large"),
        ("9" * 400, repr("9" * 400)),
        ("9" * 400 + ".0", "refused: a number is too large"),
        ("NaN", "refused: NaN is not JSON"),
        ("-Infinity", "refused: -Infinity is not JSON"),
        ('"\\ud83d\\ude00"', "'\U0001f600'"),
        ('"\\ud800"', "refused: the text holds an unpaired surrogate, which cannot be encoded"),
        (nest(200), repr(json.loads(nest(200)))),
        (nest(201), "refused: it nests too deeply"),
        (nest(200, '{"a":', "}"), repr(json.loads(nest(200, '{"a":', "}")))),
        (nest(201, '{"a":', "}"), "refused: it nests too deeply"),
        (nest(201, inside=""), "refused: it nests too deeply"),
        (f'["{"]" * 300}",{nest(200)}]', "refused: it nests too deeply"),
        (f'["{"[" * 300}",{nest(199)}]', repr(["[" * 300, json.loads(nest(199))])),
        (f"[{nest(1)}{',[1]' * 300}]", repr([[1]] * 301)),
    ],
)
def test_T47_both_readers_agree_on_what_another_reader_could_understand_differently(text: str, expected: str) -> None:
    assert both_outcomes(text.encode()) == (expected, expected)


#: A document of many values is read by another reader, value by value.
PADDING = b'"' + b"x" * 1024 * 1024 + b'"'
LARGE = b"[" + b'"",' * 250_000 + PADDING


def test_a_large_document_is_read_like_a_small_one() -> None:
    parts = b'[{"a": [1, 1.5, -1e3, true, null, "\xc3\xa9\\u00e9"], "b": {}}, [], 9223372036854775808]'
    assert parse_json(LARGE + b"," + parts + b"]")[-1] == parse_json(parts)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (b',"\\ud800"', "unpaired surrogate"),
        (b',{"\\ud800": 1}', "unpaired surrogate"),
        (b',{"a": 1, "a": 2}', "duplicate key"),
        (b",NaN", "NaN is not JSON"),
        (b",1e999", "a number is too large"),
        (b",\xff", "it is not UTF-8"),
        (b",}", "it is not JSON"),
        (b"," + b"[" * 300 + b"]" * 300, "it nests too deeply"),
    ],
)
def test_a_large_document_is_refused_like_a_small_one(end: bytes, reason: str) -> None:
    small = b"[0" + end + b"]"
    with pytest.raises(ValueError, match=reason):
        parse_json(small)
    with pytest.raises(ValueError, match=reason):
        parse_json(LARGE + end + b"]")


@pytest.mark.parametrize("value", [b"1", b"[]", b'{"":1}'], ids=["numbers", "lists", "objects"])
def test_T44_a_document_of_too_many_values_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="it has more than 1000000 values"):
        parse_json(b"[" + (value + b",") * 1_000_001 + b"1]")


def test_reading_leaves_the_garbage_collector_as_it_was() -> None:
    parse_json(b"[1]")
    assert gc.isenabled()
    gc.disable()
    try:
        parse_json(b"[1]")
        assert not gc.isenabled()
    finally:
        gc.enable()
