"""Templates: one name between braces and nothing else, one pass, each value encoded for its place (rules 1, 2, 4)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.headers import MAX_HEADER, encode_header
from connector.templates import (
    PathTemplate,
    Placeholder,
    QueryPair,
    Slot,
    Template,
    TemplateSyntaxError,
    Unrenderable,
    render_query,
    split_template,
)
from connector.types import CONVERTORS


def declare(name: str, type_name: str, **more: Any) -> Placeholder:
    return Placeholder(name, CONVERTORS[type_name.lower()], **more)


def path(text: str, *multi: str) -> PathTemplate:
    return PathTemplate(Template.from_text(text), (), frozenset(multi))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("plain", ("plain",)),
        ("/{{ id }}/cancel", ("/", Slot("id"), "/cancel")),
        ("{{a}}{{b}}", (Slot("a"), Slot("b"))),
        ("{{\n a\t}}", (Slot("a"),)),
        ("a\r\nb\r{{x}}\n", ("a\r\nb\r", Slot("x"), "\n")),
        ("\ue000\r{{x}}", ("\ue000\r", Slot("x"))),
        pytest.param("{{x}} }} end", (Slot("x"), " }} end"), id="T07-lone closing braces"),
        pytest.param("}} {{x}}", ("}} ", Slot("x")), id="T07-closing braces first"),
        pytest.param("${x} {{y}}", ("${x} ", Slot("y")), id="T07-dollar"),
        pytest.param("${x}", ("${x}",), id="T07-dollar alone"),
        pytest.param("{x} %} #}", ("{x} %} #}",), id="T07-single braces"),
    ],
)
def test_a_template_is_text_with_names_between_braces(text: str, expected: tuple[str | Slot, ...]) -> None:
    assert expected == split_template(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{{ cycler.__init__.__globals__.os.popen('id').read() }}", id="T01"),
        pytest.param("{{ lipsum.__globals__['os'].environ }}", id="T02"),
        pytest.param("{{ x|attr('__class__') }}", id="T03-attr"),
        pytest.param("{{ ('{0.__class__}'|attr('format'))(x) }}", id="T03-format"),
        pytest.param("{{ x.y }}", id="T03-member"),
        pytest.param("{{ x() }}", id="T03-call"),
        pytest.param("{{ a+b }}", id="T03-sum"),
        pytest.param("{{ x|e }}", id="T03-filter"),
        pytest.param("{{ (x) }}", id="T03-parentheses"),
        pytest.param("{{ 'x' }}", id="T03-literal"),
        pytest.param("{{ 5 }}", id="T03-number"),
        pytest.param("{{ a b }}", id="T09-two names"),
        pytest.param("{% for a in range(99999) %}{% endfor %}", id="T04"),
        pytest.param("{{ 'a'*1000000000 }}", id="T05"),
        pytest.param("{{ " + "(" * 300 + "1" + ")" * 300 + " }}", id="T06-parentheses"),
        pytest.param("{{ " + "-" * 5000 + "1 }}", id="T06-signs"),
        pytest.param("{% include '/etc/passwd' %}", id="T07-include"),
        pytest.param("{# x #}", id="T07-comment"),
        pytest.param("{% raw %}{{x}}{% endraw %}", id="T07-raw"),
        pytest.param("{{- x -}}", id="T07-trim"),
        pytest.param("{{ x -}}", id="T07-trim after"),
        pytest.param("{{+ x }}", id="T07-plus"),
        pytest.param("{{{x}}}", id="T07-three"),
        pytest.param("{{x", id="T07-unclosed"),
        pytest.param("{{x}}{{", id="T07-open at the end"),
        pytest.param("{{}}", id="T07-nothing"),
        pytest.param("{{ x } }", id="T07-single closing"),
        pytest.param("{{ ] }}", id="T07-unbalanced"),
        pytest.param("{{ __class__ }}", id="T09-underscore"),
        pytest.param("{{ ａpiToken }}", id="T09-full width"),
        pytest.param("{{ " + "a" * 65 + " }}", id="T09-65 letters"),
        pytest.param("{{ x }}" * 201, id="T09-201 slots"),
        pytest.param("\r{{x}}" + "".join(map(chr, range(0xE000, 0xF8FF))), id="no stand-in left"),
    ],
)
def test_all_else_between_braces_is_refused(text: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        split_template(text)


@pytest.mark.parametrize("value", ["{{apiToken}}", "{{maxTokens}}", "{% raw %}", "{{"])
def test_T08_a_value_is_never_read_as_template_text(value: str) -> None:
    template = Template.from_text("<{{content}}|{{maxTokens}}>")
    assert template.render({"content": value, "maxTokens": 10, "apiToken": "secret"}) == f"<{value}|10>"


def test_T18_a_value_that_was_not_supplied_is_empty_within_a_longer_text() -> None:
    assert Template.from_text("a{{x}}b").render({}) == "ab"


def test_T18_a_template_that_is_one_slot_is_dropped_with_its_value() -> None:
    assert Template.from_text("{{x}}").render({}) is None


def test_a_template_knows_its_names_once_and_in_order() -> None:
    template = Template.from_text("{{b}}{{a}}{{b}}")
    assert template.names == ("b", "a")
    assert template.only_slot is None
    assert template.literal is None
    assert Template.from_text("{{b}}").only_slot == "b"
    assert Template.from_text("x").literal == "x"
    assert Template.from_text("x") == Template(("x",))


def test_a_value_that_cannot_be_encoded_names_its_placeholder_and_not_itself() -> None:
    with pytest.raises(Unrenderable) as caught:
        Template.from_text("x {{token}}").render_header({"token": "canary\r\n"})
    assert caught.value.name == "token"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nb", "a\0", "a\tb", "é", "\x7f", "\ud800", "x" * (MAX_HEADER + 1)], ids=repr
)
def test_T26_what_a_header_does_not_carry_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="a header value"):
        encode_header(value)


def test_spaces_at_the_ends_are_no_part_of_a_header_value() -> None:
    assert Template.from_text("v {{x}}").render_header({"x": " a b "}) == "v  a b"
    assert Template.from_text("Bearer {{x}}").render_header({}) == "Bearer"
    assert Template.from_text("{{x}}").render_header({}) is None


def test_a_query_pair_is_encoded_and_left_out_with_its_value() -> None:
    pair = QueryPair("created%5Bgte%5D", Template.from_text("{{x}}"))
    assert pair.render({"x": "a&b=c d"}) == "created%5Bgte%5D=a%26b%3Dc%20d"
    assert pair.render({"x": ""}) == "created%5Bgte%5D="
    assert pair.render({"x": True}) == "created%5Bgte%5D=true"
    assert pair.render({}) is None


def test_a_list_repeats_its_key() -> None:
    pair = QueryPair("tag", Template.from_text("{{tags}}"), repeats=True)
    assert pair.render({"tags": ["a&b", 1, True]}) == "tag=a%26b&tag=1&tag=true"
    assert pair.render({"tags": []}) is None
    assert pair.render({}) is None
    assert pair.render({"tags": None}) == "tag="


def test_a_query_is_what_is_left_of_its_pairs() -> None:
    pairs = [QueryPair("a", Template.from_text("{{a}}")), QueryPair("b", Template.from_text("1"))]
    assert render_query(pairs, {"a": "x"}) == "a=x&b=1"
    assert render_query(pairs, {}) == "b=1"


def test_a_path_value_is_one_segment() -> None:
    assert path("/files/{{id}}/content").render({"id": "a/../b"}) == "/files/a%2F..%2Fb/content"
    assert path("/files").render({}) == "/files"


def test_a_path_value_may_be_declared_to_hold_several_segments() -> None:
    assert path("/repos/{{name}}/pulls", "name").render({"name": "octo cat/hello"}) == "/repos/octo%20cat/hello/pulls"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        pytest.param("/files/{{id}}", {"id": ".."}, id="T19-dots"),
        pytest.param("/files/{{id}}", {"id": "."}, id="T19-dot"),
        pytest.param("/files/{{id}}", {"id": ""}, id="T19-empty"),
        pytest.param("/files/{{id}}", {}, id="T19-absent"),
        pytest.param("/files/{{id}}", {"id": None}, id="T19-null"),
        pytest.param("/files/{{id}}", {"id": "a\u202e"}, id="T23"),
        pytest.param("/files/.{{id}}", {"id": "."}, id="T19-dot after a dot"),
    ],
)
def test_a_path_value_that_would_change_the_path_is_refused(text: str, values: dict[str, Any]) -> None:
    with pytest.raises(Unrenderable) as caught:
        path(text).render(values)
    assert caught.value.name == "id"


def test_T21_an_escaped_dot_beside_fixed_text_makes_no_dot_segment() -> None:
    assert path("/files/%2e{{id}}").render({"id": "%2e"}) == "/files/%2e%252e"


def test_a_placeholder_holds_its_value_within_bounds() -> None:
    page = declare("page", "Integer", minimum=0, maximum=10)
    assert page.type == "Integer"
    assert page.read("3") == 3


@pytest.mark.parametrize("value", ["1.5", [1], -1, 11])
def test_T25_a_value_out_of_bounds_or_type_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        declare("page", "Integer", minimum=0, maximum=10).read(value)


def test_options_are_the_only_values_and_for_a_list_those_of_its_elements() -> None:
    one = declare("status", "String", options=("QUEUED", "RUNNING"))
    many = declare("status", "Array", options=("QUEUED", "RUNNING"))
    assert one.read("QUEUED") == "QUEUED"
    assert many.read(["RUNNING", "QUEUED"]) == ["RUNNING", "QUEUED"]
    with pytest.raises(ValueError, match="one of QUEUED, RUNNING"):
        one.read("queued")
    with pytest.raises(ValueError, match="one of QUEUED, RUNNING"):
        many.read(["QUEUED", "x"])


@given(st.text())
def test_any_text_is_either_a_template_or_refused_by_name(text: str) -> None:
    try:
        parts = split_template(text)
    except TemplateSyntaxError:
        return
    if not any(isinstance(part, Slot) for part in parts):
        assert text == "".join(map(str, parts))


@given(st.lists(st.sampled_from(["{{a}}", "{{ b }}", "\r", "\n", "}}", "x", "\ue000", "é"])))
def test_the_text_between_slots_is_kept_to_the_letter(pieces: list[str]) -> None:
    values = {"a": "<A>", "b": "<B>"}
    expected = "".join(pieces).replace("{{a}}", "<A>").replace("{{ b }}", "<B>")
    template = Template.from_text("".join(pieces))
    assert expected == (template.render(values) or "")
