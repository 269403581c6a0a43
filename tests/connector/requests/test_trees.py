"""Body trees: JSON with placeholders, compiled once and filled for each request."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

import pytest

from connector.requests.bodies import (
    FormBody,
    JsonBody,
)
from connector.requests.trees import BodyOptions, SlotUse, compile_tree
from connector.templates import TemplateSyntaxError, Unrenderable


def sent(template: Any, **values: Any) -> Any:
    return json.loads(JsonBody.from_json(template, BodyOptions(frozenset({"list"}))).encode(values))


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
