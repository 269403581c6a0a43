"""Bodies: a tree with slots that is filled and then serialised, so that no value changes its shape (rules 2 to 4)."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.messages import Stream
from connector.requests.bodies import (
    BinaryBody,
    FormBody,
    GraphqlBody,
    JsonBody,
    MultipartBody,
    NdjsonBody,
    TextBody,
    WholeBody,
    XmlBody,
    find_body_kind,
)
from connector.requests.trees import BodyOptions, SlotUse
from connector.templates import TemplateSyntaxError, Unrenderable
from connector.xml import parse_xml


def sent(template: Any, **values: Any) -> Any:
    return json.loads(JsonBody.from_json(template, BodyOptions(frozenset({"list"}))).encode(values))


CHAT = (
    '{"model": "{{model}}", "messages": [{"role": "user", "content": "{{content}}"}], "temperature": {{temperature}}}'
)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param('x"}], "model":"mistral-large","tools":[{"a":"b', id="T13"),
        pytest.param("a\nb", id="T14-line break"),
        pytest.param("\\", id="T14-backslash"),
        pytest.param('"', id="T14-quote"),
        pytest.param("\u2028\u2029", id="T14-line separator"),
        pytest.param("\0", id="T14-NUL"),
        pytest.param("\U0001f600", id="T14-astral"),
        pytest.param("{{model}}", id="T08-placeholder"),
        pytest.param("{{maxTokens}}", id="T08-other placeholder"),
        pytest.param("\ue000" + "0\ue000\ue0010\ue001", id="the marks of slots"),
    ],
)
def test_a_value_stays_one_json_string(content: str) -> None:
    assert sent(CHAT, model="m", content=content, temperature=0.5) == {
        "model": "m",
        "messages": [{"role": "user", "content": content}],
        "temperature": 0.5,
    }


def test_the_bytes_are_utf_8_without_spaces() -> None:
    assert JsonBody.from_json('{"a": "{{x}}"}').encode({"x": "é"}) == '{"a":"é"}'.encode()


def test_a_body_whose_whole_template_is_left_out_is_empty() -> None:
    assert JsonBody.from_json("{{x}}").encode({}) == b""
    assert FormBody.from_json({"$if": "x", "a": "1"}).encode({}) == b""


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES, st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"), max_size=8))
def test_a_tree_and_its_text_send_the_same(bare: Any, text: str, fixed: str) -> None:
    inside = fixed.replace("{", "(")
    tree = {"a": "{{bare}}", "b": ["<{{text}}>", inside], inside + "k": {"c": "{{bare}}"}}
    as_text = json.dumps(tree).replace('"{{bare}}"', "{{bare}}")
    expected = {"a": bare, "b": [f"<{text}>", inside], inside + "k": {"c": bare}}
    assert expected == sent(tree, bare=bare, text=text)
    assert expected == sent(as_text, bare=bare, text=text)


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("a={{a}}&b={{b}}", {"a": "1&c=2", "b": "x y"}, [("a", "1&c=2"), ("b", "x y")]),
        ("a={{a}}&b={{b}}", {"b": "é"}, [("b", "é")]),
        ("a=x{{a}}&b=1", {}, [("a", "x"), ("b", "1")]),
        ("a=%7B%7Bx%7D%7D+y%26{{a}}", {"a": "+"}, [("a", "{{x}} y&+")]),
        ("items[0][price]={{p}}\n", {"p": "pr"}, [("items[0][price]", "pr")]),
        ("a={{list}}", {"list": ["1", "2"]}, [("a", "1"), ("a", "2")]),
        ('{ "a": "{{a}}", "b": {{b}}}', {"a": 1, "b": True}, [("a", "1"), ("b", "true")]),
        (
            {"card": {"number": "{{n}}", "x": ["{{n}}", 1]}},
            {"n": "4&2"},
            [("card[number]", "4&2"), ("card[x]", "4&2"), ("card[x]", "1")],
        ),
        ({"a": "1"}, {}, [("a", "1")]),
        ("{}", {}, []),
        ("a={{b}}", {}, []),
    ],
)
def test_a_form_keeps_each_value_in_its_field(template: Any, values: dict[str, Any], expected: Any) -> None:
    body = FormBody.from_json(template, BodyOptions(frozenset({"list"}))).encode(values)
    assert expected == urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)


@pytest.mark.parametrize("template", ["{{a}}={{b}}", "x{{a}}=1", ["a"], '["a"]', "a=1&&b=2", "", "a={{b|e}}"])
def test_a_form_that_cannot_be_read_is_refused_at_load(template: Any) -> None:
    with pytest.raises(TemplateSyntaxError):
        FormBody.from_json(template)


def test_a_form_tells_its_placeholders() -> None:
    assert list(FormBody.from_json("a={{a}}&b=1&c=x{{c}}").uses()) == [SlotUse("a", "quoted"), SlotUse("c", "text")]
    assert list(FormBody.from_json({"a": "{{a}}"}).uses()) == [SlotUse("a", "bare")]


def test_a_text_body_is_the_text_with_its_values() -> None:
    body = TextBody.from_json("Hello {{name}},\r\n{{rest}}\n")
    assert body.encode({"name": "<é>"}) == "Hello <é>,\r\n\n".encode()
    assert list(body.uses()) == [SlotUse("name", "text"), SlotUse("rest", "text")]
    assert TextBody.from_json("{{x}}").encode({}) == b""


def test_a_text_body_is_written_as_text() -> None:
    with pytest.raises(TemplateSyntaxError, match="as text"):
        TextBody.from_json({"a": 1})


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/json", JsonBody),
        ("Application/JSON; charset=utf-8", JsonBody),
        ("text/json", JsonBody),
        ("application/vnd.api+json", JsonBody),
        ("application/x-www-form-urlencoded", FormBody),
        ("text/plain", TextBody),
        ("text/markdown", TextBody),
        ("multipart/form-data; boundary=x", MultipartBody),
        ("text/xml", XmlBody),
        ("application/soap+xml", XmlBody),
        ("application/graphql+json", GraphqlBody),
        ("application/x-ndjson", NdjsonBody),
        ("application/jsonl", NdjsonBody),
        ("application/octet-stream", BinaryBody),
        ("image/png", BinaryBody),
        ("application/x-unheard-of", None),
        ("", None),
    ],
)
def test_the_content_type_says_which_kind_a_body_is(content_type: str, kind: Any) -> None:
    assert find_body_kind(content_type) is kind


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_T13_no_value_adds_a_field_to_a_form(first: str, second: str) -> None:
    body = FormBody.from_json("a={{a}}&b={{b}}").encode({"a": first, "b": second})
    assert urllib.parse.parse_qsl(body.decode(), keep_blank_values=True) == [("a", first), ("b", second)]


SOAP = '<?xml version="1.0"?><order id="{{id}}">{{note}}</order>'


def test_an_xml_body_escapes_its_values() -> None:
    body = XmlBody.from_json(SOAP)
    assert parse_xml(body.encode({"id": '"/>', "note": "<b>&amp;"})) == {"order": {"@id": '"/>', "#text": "<b>&amp;"}}
    assert parse_xml(body.encode({})) == {"order": {"@id": ""}}
    assert list(body.uses()) == [SlotUse("id", "text"), SlotUse("note", "text")]


def test_T14_what_xml_cannot_hold_names_its_input() -> None:
    with pytest.raises(Unrenderable) as caught:
        XmlBody.from_json(SOAP).encode({"note": "\0"})
    assert caught.value.name == "note"


@pytest.mark.parametrize(
    "template",
    [
        {"a": 1},
        "<a>",
        "<{{x}}/>",
        "<a {{x}}='1'/>",
        "<a><!-- {{x}} --></a>",
        "<a><![CDATA[{{x}}]]></a>",
        "<!DOCTYPE a><a>{{x}}</a>",
        "<a b={{x}}/>",
    ],
)
def test_T13_a_placeholder_where_xml_has_structure_is_refused_at_load(template: Any) -> None:
    with pytest.raises(TemplateSyntaxError):
        XmlBody.from_json(template)


QUERY = "query($id: ID!) {# a comment\n node(id: $id) { id } }"


@pytest.mark.parametrize(
    "template",
    [
        {"query": QUERY, "variables": {"id": "{{id}}"}},
        {"variables": {"id": "{{id}}"}, "query": QUERY},
        '{"query": "query { me }", "variables": {"id": "{{id}}"}}',
    ],
)
def test_a_graphql_body_takes_values_as_variables_only(template: Any) -> None:
    body = GraphqlBody.from_json(template)
    sent = json.loads(body.encode({"id": '") { x }'}))
    assert sent["variables"] == {"id": '") { x }'}
    assert [use.name for use in body.uses()] == ["id"]


def test_a_graphql_query_may_come_alone() -> None:
    assert json.loads(GraphqlBody.from_json({"query": QUERY}).encode({})) == {"query": QUERY}
    assert json.loads(GraphqlBody.from_json('{"query": "{ me }"}').encode({})) == {"query": "{ me }"}


@pytest.mark.parametrize("template", [{"query": "{{q}}"}, '{"query": "{{q}}"}', "[1]", {"a": 1}, ["a"], '{"query": 1}'])
def test_T13_a_graphql_query_with_a_placeholder_is_refused_at_load(template: Any) -> None:
    with pytest.raises(TemplateSyntaxError):
        GraphqlBody.from_json(template)


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("{{rows}}", {"rows": [{"a": "1\n2"}, 3]}, b'{"a":"1\\n2"}\n3\n'),
        ([{"a": "{{a}}"}, "{{b}}"], {"a": 1}, b'{"a":1}\n'),
        ({"a": "{{a}}"}, {"a": 1}, b'{"a":1}\n'),
        ("{{rows}}", {}, b""),
    ],
)
def test_an_ndjson_body_is_a_line_for_each_item(template: Any, values: dict[str, Any], expected: bytes) -> None:
    body = NdjsonBody.from_json(template)
    assert expected == body.encode(values)
    assert {use.place for use in body.uses()} == {"bare"}


async def _bytes() -> Any:
    yield b"x"


def test_a_binary_body_is_the_content_of_one_file() -> None:
    body = BinaryBody.from_json(" {{file}} ")
    source = _bytes()
    assert body.encode({"file": b"\xff"}) == b"\xff"
    assert body.encode({"file": "é"}) == "é".encode()
    assert body.encode({}) == b""
    assert body.encode({"file": source}) == Stream((source,))
    assert list(body.uses()) == [SlotUse("file", "file")]


@pytest.mark.parametrize("template", ["a{{file}}", {"a": 1}, "text"])
def test_a_binary_body_is_written_as_one_placeholder(template: Any) -> None:
    with pytest.raises(TemplateSyntaxError, match="one placeholder"):
        BinaryBody.from_json(template)


def test_a_file_that_is_read_while_it_is_sent_cannot_stand_in_json() -> None:
    with pytest.raises(Unrenderable, match="multipart or a binary"):
        JsonBody.from_json({"a": "x{{f}}"}).encode({"f": _bytes()})
    with pytest.raises(Unrenderable, match="multipart or a binary"):
        JsonBody.from_json({"a": "{{f}}"}).encode({"f": _bytes()})


# Lists in place of items, and conditions with a value


def test_a_body_whose_type_the_caller_chooses_takes_what_any_kind_takes_and_is_json_unless_told() -> None:
    body = WholeBody.from_json("{{body}}")
    assert (WholeBody.accepts("application/xml"), WholeBody.accepts("x/unheard-of")) == (True, False)
    assert body.encode({"body": {"a": 1}}) == b'{"a":1}'
