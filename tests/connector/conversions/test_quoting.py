"""The conversion `quote`: no value leaves its place."""

from __future__ import annotations

import html
import json
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.conversions.pipeline import ConversionError, Pipeline
from connector.conversions.quoting import QUOTES

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


def quote(language: str, text: str) -> str:
    return str(Pipeline.from_json([{"quote": language}]).convert(text, {}))


@pytest.mark.parametrize(
    ("language", "text", "made"),
    [
        ("soql", "O'Neil\\\n\"", "'O\\'Neil\\\\\\n\\\"'"),
        ("odata", "O'Neil", "'O''Neil'"),
        ("jql", 'a"b\\', '"a\\"b\\\\"'),
        ("lucene", 'a+b (c) "d" OR NOT <x', r"a\+b \(c\) \"d\" or not  x"),
        ("sql_like", "50%_\\", "50\\%\\_\\\\"),
        ("graphql", 'a"\n', '"a\\"\\n"'),
        ("html", "<b>&'\"", "&lt;b&gt;&amp;&#x27;&quot;"),
        ("xml", "<b>&'\"", "&lt;b&gt;&amp;&apos;&quot;"),
    ],
)
def test_a_text_is_quoted_for_its_language(language: str, text: str, made: str) -> None:
    assert quote(language, text) == made


def test_xml_cannot_carry_control_characters() -> None:
    with pytest.raises(ConversionError, match="control character"):
        quote("xml", "a\0")


@pytest.mark.parametrize(
    ("language", "closing"), [("soql", r"(?:[^'\\]|\\.)*"), ("odata", r"(?:[^']|'')*"), ("jql", r'(?:[^"\\]|\\.)*')]
)
@given(text=st.text(max_size=30))
def test_no_text_ends_its_quotation(language: str, closing: str, text: str) -> None:
    quoted = quote(language, text)
    assert re.fullmatch(closing, quoted[1:-1], re.DOTALL)
    assert quoted[0] == quoted[-1]


@given(TEXT)
def test_readers_of_the_languages_find_the_text_again(text: str) -> None:
    assert json.loads(quote("graphql", text)) == text
    assert html.unescape(quote("html", text)) == text
    parsed = ElementTree.fromstring(f"<a b='{quote('xml', text)}'>{quote('xml', text)}</a>")
    assert (parsed.text or "") == text
    assert set(QUOTES) == {"soql", "odata", "jql", "lucene", "sql_like", "graphql", "html", "xml"}
