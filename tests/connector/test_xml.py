"""XML: values escaped, templates checked, answers read to trees without resolving anything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.xml import MAX_DEPTH, count_marks, escape_value, parse_xml, show_xml

_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff"))


@given(_TEXTS, st.sampled_from(["\r", "\n", "\t", "\r\n", "]]>", "&amp;", '"', "'", "<a/>"]))
def test_T13_a_value_stays_one_text_and_one_attribute(value: str, hostile: str) -> None:
    value += hostile
    document = f'<a b="{escape_value(value)}"><c>{escape_value(value)}</c></a>'.encode()
    assert parse_xml(document) == {"a": {"@b": value, "c": value}}


@pytest.mark.parametrize(
    "value", ["\0", "\x1b", "\ud800", "\uffff"], ids=["T14-NUL", "T14-ESC", "T14-half", "T14-FFFF"]
)
def test_what_xml_cannot_hold_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="XML cannot carry"):
        escape_value(value)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("<a>x</a>", {"a": "x"}),
        ("<a/>", {"a": ""}),
        ("<a> </a>", {"a": " "}),
        ('<a b="1"> x </a>', {"a": {"@b": "1", "#text": "x"}}),
        ('<a b="1"> </a>', {"a": {"@b": "1"}}),
        ("<a><b>1</b><b>2</b><b>3</b></a>", {"a": {"b": ["1", "2", "3"]}}),
        ("<a>x<b>1</b>y</a>", {"a": {"b": "1", "#text": "xy"}}),
        ('<s:a xmlns:s="u" xmlns="v" s:c="1"><s:b/></s:a>', {"a": {"@c": "1", "b": ""}}),
        ("<a><![CDATA[<&]]></a>", {"a": "<&"}),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a>&#233;&lt;</a>", {"a": "é<"}),
    ],
)
def test_a_document_is_a_plain_tree(document: str, expected: Any) -> None:
    assert expected == parse_xml(document.encode())


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "document type", id="T47-an entity"),
        pytest.param('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type", id="T47-an external one"),
        pytest.param("<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1), "nests too deeply", id="T47-depth"),
        pytest.param("<a>&x;</a>", "not XML", id="T47-undeclared entity"),
        pytest.param("<a>", "not XML", id="T48-cut off"),
        pytest.param("{}", "not XML", id="T48-JSON"),
        pytest.param("<?xml version='1.0' encoding='nonsense'?><a/>", "not XML", id="an unknown encoding"),
    ],
)
def test_a_document_that_is_not_safe_or_not_xml_is_refused(document: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_xml(document.encode())


def test_as_deep_as_allowed_is_read() -> None:
    assert "a" in parse_xml(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH)


def test_a_tree_is_shown_as_the_document_it_came_from() -> None:
    tree = {"a": {"@b": '"1"', "#text": "x", "c": ["1", {"d": "<"}]}}
    assert parse_xml(show_xml(tree).encode()) == tree


def test_marks_are_counted_in_texts_and_attributes_only() -> None:
    assert count_marks('<a b="*"><!-- * --><?p *?>*<![CDATA[*]]><c>*</c></a>', "*") == 3


@pytest.mark.parametrize("text", ["<a>", "<!DOCTYPE a><a/>", "<?xml version='1.0' encoding='latin-1'?><a/>", ""])
def test_a_template_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        count_marks(text, "*")


@pytest.mark.parametrize("declaration", ["<?xml version='1.0'?>", "<?xml version='1.0' encoding='UTF-8'?>"])
def test_a_template_may_say_that_it_is_utf_8(declaration: str) -> None:
    assert count_marks(declaration + "<a>*</a>", "*") == 1


@pytest.mark.parametrize(
    "body",
    [b"<a>" + b"<b/>" * 2_000_001 + b"</a>", b"<a>" + b'<b c="" d=""/>' * 400_000 + b"</a>"],
    ids=["elements", "attributes"],
)
def test_T44_a_document_of_too_many_values_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="it has more than 1000000 values"):
        parse_xml(body)
