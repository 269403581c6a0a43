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
from connector.requests.trees import BodyOptions, SlotUse, compile_tree
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


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        pytest.param('{"a": "{{x}}", "b": 1}', {}, {"b": 1}, id="T18-member"),
        pytest.param('{"a": {{x}}, "b": 1}', {}, {"b": 1}, id="T18-bare member"),
        pytest.param('["{{x}}", 1, {{y}}]', {}, [1], id="T18-item"),
        pytest.param('{"a": {"b": "{{x}}"}, "c": ["{{x}}"]}', {}, {"a": {}, "c": []}, id="T18-emptied stays"),
        pytest.param('{"a": "x{{x}}y"}', {}, {"a": "xy"}, id="T18-inside text"),
        pytest.param('{"a": "{{x}}"}', {"x": ""}, {"a": ""}, id="T18-empty text is supplied"),
        pytest.param('{"a": {{x}}}', {"x": 0}, {"a": 0}, id="T18-zero is supplied"),
        pytest.param('{"a": {{x}}}', {"x": False}, {"a": False}, id="T18-false is supplied"),
        pytest.param('{"a": {{x}}, "b": "{{x}}"}', {"x": None}, {"a": None, "b": None}, id="explicit null"),
        ('{"a": "{{x}}"}', {"x": 5}, {"a": "5"}),
        ('{"a": "{{x}}"}', {"x": 0.00001}, {"a": "0.00001"}),
        ('{"a": "{{x}}"}', {"x": True}, {"a": "true"}),
        ('{"a": "{{x}}"}', {"x": ["b"]}, {"a": '["b"]'}),
        ('{"a": "{{x}}"}', {"x": {"b": 1}}, {"a": '{"b":1}'}),
        ('{"a": "{{list}}"}', {"list": ["b"]}, {"a": ["b"]}),
        ('{"a": "{{list}}"}', {"list": {"b": 1}}, {"a": {"b": 1}}),
        ('{"a": {{x}}}', {"x": "text"}, {"a": "text"}),
        ('{"a": {{x}}}', {"x": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ('{"a": [1, {{x}}]}', {"x": [2, 3]}, {"a": [1, [2, 3]]}),
        ('{"a": "<{{x}}>"}', {"x": [1]}, {"a": "<[1]>"}),
        ('{"a": "<{{x}}{{y}}>"}', {"x": 1, "y": "b"}, {"a": "<1b>"}),
        ("{{x}}", {"x": {"b": 1}}, {"b": 1}),
        ('"{{x}}"', {"x": "b"}, "b"),
        ('{"a": "\\"{{x}}\\\\"}', {"x": 'b"'}, {"a": '"b"\\'}),
        ('{"\\u00e9": "\\ud83d\\ude00{{x}}"}', {"x": "!"}, {"é": "\U0001f600!"}),
        ('{"": "{{x}}"}', {"x": 1}, {"": "1"}),
        ('{"a": "", "b": null, "c": [1.5, true]}', {}, {"a": "", "b": None, "c": [1.5, True]}),
        ('{"a": "{{x}}"}', {"x": b"file"}, {"a": "file"}),
        ('{"a": {{x}}}', {"x": b"file"}, {"a": "file"}),
        ({"a": "{{x}}"}, {"x": 5}, {"a": 5}),
        ({"a": ["{{x}}", "v{{x}}", 1]}, {"x": 5}, {"a": [5, "v5", 1]}),
        ({"a": "{{x}}"}, {}, {}),
        (["{{x}}"], {"x": [1]}, [[1]]),
        ({"a": [1, {"b": "c"}], "d": None}, {}, {"a": [1, {"b": "c"}], "d": None}),
    ],
)
def test_slots_are_filled_and_absent_ones_dropped(template: Any, values: dict[str, Any], expected: Any) -> None:
    assert expected == sent(template, **values)


@pytest.mark.parametrize(
    "template",
    [
        '{"format": {"$if": "schema", "type": "json", "schema": {{schema}}}}',
        '{"format": {"$if": "{{schema}}", "type": "json", "schema": {{schema}}}}',
        {"format": {"$if": "schema", "type": "json", "schema": "{{schema}}"}},
    ],
    ids=["text", "text with braces", "object"],
)
def test_an_object_is_left_out_with_the_input_of_its_condition(template: Any) -> None:
    assert sent(template, schema={"a": 1}) == {"format": {"type": "json", "schema": {"a": 1}}}
    assert sent(template) == {}


def test_a_fixed_object_can_be_conditional() -> None:
    assert sent('[{"$if": "x", "a": 1}]') == []
    assert sent('[{"$if": "x", "a": 1}]', x=0) == [{"a": 1}]


def test_a_body_whose_whole_template_is_left_out_is_empty() -> None:
    assert JsonBody.from_json("{{x}}").encode({}) == b""
    assert FormBody.from_json({"$if": "x", "a": "1"}).encode({}) == b""


OCR = '{"type": "{{kind}}", "{{kind}}": "{{url}}"}'


def test_a_key_can_be_a_placeholder() -> None:
    assert sent(OCR, kind="image_url", url="u") == {"type": "image_url", "image_url": "u"}
    assert sent(OCR, kind="image_url") == {"type": "image_url"}
    assert sent(OCR, url="u") == {}
    assert sent({"{{k}}": "{{v}}"}, k=None, v=1) == {}


def test_a_body_tells_where_each_placeholder_stands() -> None:
    body = JsonBody.from_json('{"a": {{bare}}, "{{key}}": "{{quoted}}", "c": ["x{{text}}"], "d": {"$if": "condition"}}')
    fixed = frozenset({"a", "c", "d"})
    assert list(body.uses()) == [
        SlotUse("bare", "bare"),
        SlotUse("key", "key", fixed),
        SlotUse("quoted", "quoted"),
        SlotUse("text", "text"),
        SlotUse("condition", "condition"),
    ]
    assert list(JsonBody.from_json("{}").uses()) == []


@pytest.mark.parametrize(
    "template",
    [
        '{"a": {{x}}',
        '{"a": {{x}}{{y}}}',
        '{"a": 1{{x}}}',
        "not JSON",
        '{"a": 1, "a": 2}',
        '{"a": "{{x}}", "b": 1, "b": 2}',
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": ' + "9" * 5000 + "}",
        '{"a": "\\ud800"}',
        '{"\\ud800": 1}',
        '{"a": "{{x|e}}"}',
        '{"{{x}}y": 1}',
        '{"{{x}}": 1, "{{y}}": 2}',
        '{"$if": "a b"}',
        '{"$if": "{{a}}{{b}}"}',
        '{"$if": 1}',
        "[" * 200 + "]" * 200,
        "[" * 100_000 + "]" * 100_000,
        {"a": float("inf")},
        {"a": "\ud800"},
    ],
    ids=lambda template: str(template)[:30].encode("ascii", "replace").decode(),
)
def test_a_json_template_that_could_not_be_sent_is_refused_at_load(template: Any) -> None:
    with pytest.raises(TemplateSyntaxError):
        JsonBody.from_json(template)


def test_a_template_that_uses_every_mark_is_refused_at_load() -> None:
    every = "".join(map(chr, range(0xE000, 0xF8FF)))
    with pytest.raises(TemplateSyntaxError, match="private use"):
        JsonBody.from_json(json.dumps({"a": every, "b": "{{x}}"}, ensure_ascii=False))


@pytest.mark.parametrize("template", ['{"a": "{{f}}"}', '{"a": {{f}}}'])
def test_a_file_that_is_no_text_cannot_stand_in_json(template: str) -> None:
    with pytest.raises(Unrenderable) as caught:
        JsonBody.from_json(template).encode({"f": b"\xff"})
    assert caught.value.name == "f"


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


def test_a_tree_refuses_what_is_no_template() -> None:
    with pytest.raises(TemplateSyntaxError):
        compile_tree({"a": ["{{ 1 }}"]})


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ("repeat", [("a", "1"), ("a", "2"), ("b[c]", "3")]),
        ("brackets", [("a[]", "1"), ("a[]", "2"), ("b[][c]", "3")]),
        ("indexes", [("a[0]", "1"), ("a[1]", "2"), ("b[0][c]", "3")]),
    ],
)
def test_a_form_writes_lists_in_the_style_of_its_provider(lists: Any, expected: list[tuple[str, str]]) -> None:
    body = FormBody.from_json({"a": "{{a}}", "b": [{"c": "{{c}}"}]}, BodyOptions(lists=lists))
    assert expected == urllib.parse.parse_qsl(body.encode({"a": [1, 2], "c": 3}).decode())


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


MESSAGES = {"list": [{"$if": "system", "text": "{{system}}"}, {"$spread": "{{history}}"}, {"text": "{{last}}"}]}


def test_the_items_of_a_list_stand_in_place_of_one() -> None:
    assert sent(MESSAGES, system="s", history=[1, {"a": "{{last}}"}], last="l") == {
        "list": [{"text": "s"}, 1, {"a": "{{last}}"}, {"text": "l"}]
    }
    assert sent(MESSAGES, history=[], last="l") == sent(MESSAGES, last="l") == {"list": [{"text": "l"}]}
    assert sent('{"a": [{"$spread": "{{items}}"}]}', items=["x"]) == {"a": ["x"]}


def test_what_is_no_list_does_not_stand_in_place_of_an_item() -> None:
    with pytest.raises(Unrenderable, match="expected a list") as caught:
        sent(MESSAGES, history="abc", last="l")
    assert caught.value.name == "history"


def test_a_list_in_place_of_an_item_is_a_use_of_its_name() -> None:
    assert [use.name for use in JsonBody.from_json(MESSAGES).uses()] == ["system", "system", "history", "last"]


@pytest.mark.parametrize(
    "template",
    [
        {"$spread": "{{a}}"},
        {"a": {"$spread": "{{a}}"}},
        [{"$spread": "{{a}}", "b": 1}],
        [{"$spread": "a"}],
        [{"$spread": "{{a}}b"}],
        [{"$spread": 5}],
        {"$if": {"a": []}, "b": 1},
        {"$if": {"a": 1, "b": 2}, "b": 1},
        {"$if": {}, "b": 1},
        {"$if": {"a b": 1}, "b": 1},
    ],
)
def test_a_list_or_a_condition_that_could_mean_anything_is_refused(template: Any) -> None:
    with pytest.raises(TemplateSyntaxError):
        JsonBody.from_json(template)


@pytest.mark.parametrize(
    ("expected", "given", "there"),
    [
        (True, True, True),
        (True, False, False),
        (True, 1, False),
        (0, False, False),
        ("a", "a", True),
        ("a", "b", False),
    ],
)
def test_an_object_may_depend_on_the_value_of_an_input(expected: Any, given: Any, there: bool) -> None:
    template = {"a": {"$if": {"x": expected}, "b": 1}}
    assert sent(template, x=given) == ({"a": {"b": 1}} if there else {})
    assert sent(template) == {}


def test_a_body_whose_type_the_caller_chooses_takes_what_any_kind_takes_and_is_json_unless_told() -> None:
    body = WholeBody.from_json("{{body}}")
    assert (WholeBody.accepts("application/xml"), WholeBody.accepts("x/unheard-of")) == (True, False)
    assert body.encode({"body": {"a": 1}}) == b'{"a":1}'
