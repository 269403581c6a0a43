"""The pieces of a definition: templates, placeholders, headers, query parameters, selectors, fields."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from connector.parsing.reader import Reader
from connector.templates import Placeholder, Slot, Template
from tests.doubles.operations import AT


def codes(reader: Reader) -> list[tuple[str, tuple[Any, ...]]]:
    return [(each.code, each.path) for each in reader.findings]


def read_template(source: Any, *, constants: bool = False) -> tuple[Template, dict[str, Placeholder], Reader]:
    reader = Reader()
    template, declared = reader.template(source, AT, constants=constants)
    return template, {name: each.placeholder for name, each in declared.items()}, reader


def read_placeholder(source: dict[str, Any], **more: Any) -> tuple[Placeholder, Reader]:
    reader = Reader()
    return reader.placeholder("x", source, AT, **more), reader


# Templates


def test_a_template_is_bare_text_or_an_object_with_its_placeholders() -> None:
    parts = ("/", Slot("id"))
    assert read_template("/{{id}}")[:2] == (Template(parts), {})
    assert read_template({"value": "/{{ id }}"})[:2] == (Template(parts), {})
    template, declared, reader = read_template({"value": "/{{id}}", "placeholders": [{"name": "id", "type": "ID"}]})
    assert (template.parts, list(declared), reader.findings) == (parts, ["id"], [])


def test_placeholders_may_be_keyed_by_name() -> None:
    as_list = read_template({"value": "{{a}}", "placeholders": [{"name": "a", "type": "Int"}]})
    as_object = read_template({"value": "{{a}}", "placeholders": {"a": {"type": "Int"}}})
    assert as_list[:2] == as_object[:2]


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (1.5, "1.5"), (True, "true"), (False, "false")])
def test_a_constant_is_its_text_where_constants_are_allowed(value: Any, text: str) -> None:
    assert read_template(value, constants=True)[0] == Template((text,))
    assert read_template({"value": value}, constants=True)[0] == Template((text,))
    assert read_template(value)[0] == Template(())


@pytest.mark.parametrize("source", [None, [], {}, {"value": None}, {"value": ["x"]}, {"placeholders": 3}])
def test_what_is_misshapen_is_left_to_the_schema(source: Any) -> None:
    template, declared, reader = read_template(source)
    assert (template, declared, reader.findings) == (Template(()), {}, [])


GRAMMAR = [
    ("T01", "{{ cycler.__init__.__globals__.os.popen('id').read() }}"),
    ("T02", "{{ lipsum.__globals__['os'].environ }}"),
    ("T03-attr", "{{ x|attr('__class__') }}"),
    ("T03-format", "{{ ('{0.__class__}'|attr('format'))(x) }}"),
    ("T03-member", "{{ x.y }}"),
    ("T03-call", "{{ x() }}"),
    ("T03-sum", "{{ a+b }}"),
    ("T03-filter", "{{ x|e }}"),
    ("T04", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
    ("T05-times", "{{ 'a'*1000000000 }}"),
    ("T05-ljust", "{{ ''.ljust(999999999) }}"),
    ("T05-format", "{{ '%999999999d'|format(1) }}"),
    ("T05-center", "{{ x|center(999999999) }}"),
    ("T06-parens", "{{ " + "(" * 300 + "1" + ")" * 300 + " }}"),
    ("T06-minus", "{{ " + "-" * 5000 + "1 }}"),
    ("T07-include", "{% include '/etc/passwd' %}"),
    ("T07-comment", "{# x #}"),
    ("T07-dash", "{{- x -}}"),
    ("T07-triple", "{{{x}}}"),
    ("T07-open", "{{x"),
    ("T07-open-after", "{{x}}{{"),
    ("T09-dunder", "{{ __class__ }}"),
    ("T09-space", "{{ a b }}"),
    ("T09-fullwidth", "{{ ａpiToken }}"),
    ("T09-long", "{{ " + "a" * 1_000_000 + " }}"),
    ("T09-many", "{{ a }}" * 10_000),
    ("T58", "{{ apiToken.secret }}"),
]


@pytest.mark.parametrize("text", [text for _, text in GRAMMAR], ids=[name for name, _ in GRAMMAR])
def test_what_is_no_name_between_braces_is_refused_at_load(text: str) -> None:
    read_template("{{ warm }}{{ up.x }}")
    started = time.process_time()
    template, _, reader = read_template({"value": f"before {text}"})
    assert time.process_time() - started < 1
    tracemalloc.start()
    read_template(text)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert template == Template(())
    assert codes(reader) == [("E_TEMPLATE_GRAMMAR", (*AT, "value"))]
    assert len(reader.findings[0].message) < 300


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{{ok}} and {{ x|e }}", "{{ x|e }}"),
        ("{{ok}} and {% raw %}", "{% raw %}"),
        ("{{ok}} and {# x #}", "{# x #}"),
        ("{{ok}} and {{x", "{{x"),
    ],
)
def test_a_refusal_shows_the_part_that_is_meant(text: str, named: str) -> None:
    message = read_template(text)[2].findings[0].message
    assert message.startswith(repr(named))


@pytest.mark.parametrize(
    "text", ["}}", "${x}", "a }} b", "{x}", "{ {x} }", "%}", "\r\n"], ids=lambda text: f"T07 {text!r}"
)
def test_text_without_markup_is_literal(text: str) -> None:
    template, _, reader = read_template(text)
    assert (template.literal, reader.findings) == (text, [])


# Placeholders


@pytest.mark.parametrize(
    ("written", "name"),
    [
        *[(word, "Integer") for word in ("Int", "int", "INTEGER")],
        *[(word, "Boolean") for word in ("Bool", "boolean")],
        *[(word, "Number") for word in ("Float", "number")],
        *[(word, "Any") for word in ("JSON", "json", "Any")],
        *[(word, "String") for word in ("ID", "id", "sTrInG")],
        ("Date", "Date"),
        ("datetime", "DateTime"),
        ("array", "Array"),
        ("OBJECT", "Object"),
        ("file", "File"),
    ],
)
def test_types_are_known_in_any_case_and_by_their_aliases(written: str, name: str) -> None:
    placeholder, reader = read_placeholder({"type": written})
    assert (placeholder.type, reader.findings) == (name, [])


def test_an_unknown_type_is_an_error_at_the_type() -> None:
    placeholder, reader = read_placeholder({"type": "Strnig"})
    assert placeholder.type == "Any"
    assert codes(reader) == [("E_TYPE", (*AT, "type"))]
    assert reader.findings[0].hint.startswith("did you mean 'String'? known: String, Integer, Number, ")


def test_everything_a_placeholder_declares_is_read() -> None:
    source = {
        "type": "Integer",
        "description": "how many",
        "label": "Count",
        "required": True,
        "default": "2",
        "options": ["1", 2, "3"],
        "minimum": 1,
        "maximum": 3.5,
        "nullable": True,
        "multi": True,
    }
    placeholder, reader = read_placeholder(source)
    assert reader.findings == []
    assert placeholder == Placeholder(
        "x",
        placeholder.convertor,
        description="how many",
        required=True,
        default=2,
        label="Count",
        options=(1, 2, 3),
        minimum=1,
        maximum=3.5,
        nullable=True,
        multi=True,
    )


@pytest.mark.parametrize(
    ("kind", "default", "value"),
    [
        ("Number", "0.7", 0.7),
        ("Integer", "1024", 1024),
        ("Boolean", "false", False),
        ("String", "", ""),
        ("String", 5, "5"),
        ("Array", '["a"]', ["a"]),
        ("Array", ["a"], ["a"]),
        ("Object", '{"a": 1}', {"a": 1}),
        ("Any", {"a": [1]}, {"a": [1]}),
        ("String", None, None),
    ],
)
def test_a_default_is_read_as_its_type(kind: str, default: Any, value: Any) -> None:
    placeholder, reader = read_placeholder({"type": kind, "default": default})
    assert (placeholder.default, reader.findings) == (value, [])


@pytest.mark.parametrize(
    "source",
    [
        {"type": "Number", "default": '0.7, "n": 1000'},
        {"type": "Integer", "default": "abc"},
        {"type": "Integer", "default": "1.5"},
        {"type": "Boolean", "default": "yes"},
        {"type": "Array", "default": "a,b"},
        {"type": "String", "default": {"a": 1}},
        {"type": "String", "default": "c", "options": ["a", "b"]},
        {"type": "Number", "default": "3", "maximum": 2},
        {"type": "Number", "default": "0", "minimum": 1},
    ],
    ids=lambda source: f"T11 {source['type']} {source['default']!r}",
)
def test_a_default_that_its_own_placeholder_would_refuse_is_an_error(source: dict[str, Any]) -> None:
    placeholder, reader = read_placeholder(source)
    assert placeholder.default is None
    assert codes(reader) == [("E_DEFAULT", (*AT, "default"))]


def test_an_option_that_is_not_of_the_type_or_out_of_bounds_is_an_error() -> None:
    placeholder, reader = read_placeholder({"type": "Integer", "options": [1, "a", "2", 9], "maximum": 5})
    assert placeholder.options == (1, 2)
    assert codes(reader) == [("E_OPTION", (*AT, "options", 1)), ("E_OPTION", (*AT, "options", 3))]


def test_the_options_of_an_array_are_those_of_its_elements() -> None:
    placeholder, reader = read_placeholder({"type": "Array", "options": ["a", "b"], "default": '["b"]'})
    assert (placeholder.options, placeholder.default, reader.findings) == (("a", "b"), ["b"], [])


def test_a_minimum_above_the_maximum_is_one_error() -> None:
    _, reader = read_placeholder({"type": "Integer", "minimum": 2, "maximum": 1, "default": "1", "options": [1]})
    assert codes(reader) == [("E_BOUNDS", (*AT, "minimum"))]


def test_a_minimum_may_be_the_maximum() -> None:
    assert read_placeholder({"type": "Integer", "minimum": 2, "maximum": 2, "default": "2"})[1].findings == []


def test_an_input_of_a_custom_operation_keeps_the_rest_in_its_meta() -> None:
    source = {"type": "Integer", "required": True, "meta": {"label": "N", "default": "x", "options": ["y"]}}
    placeholder, reader = read_placeholder(source, inside="meta")
    assert (placeholder.required, placeholder.label, placeholder.default) == (True, "N", None)
    assert codes(reader) == [("E_OPTION", (*AT, "meta", "options", 0)), ("E_DEFAULT", (*AT, "meta", "default"))]
    assert read_placeholder({"type": "Integer", "meta": 5}, inside="meta")[1].findings == []


def test_T09_a_placeholder_that_stands_twice_is_an_error_at_its_second_name() -> None:
    reader = Reader()
    declared = reader.placeholders([{"name": "a", "type": "ID"}, {"name": "a", "type": "Int"}], AT)
    assert declared["a"].placeholder.type == "String"
    assert codes(reader) == [("E_DOUBLED", (*AT, 1, "name"))]


# Lists of named things


def test_items_are_named_in_a_list_or_by_the_keys_of_an_object() -> None:
    reader = Reader()
    a, b = {"handle": "a"}, {"name": "b"}
    assert list(reader.items([a, b], AT, "handle", "name")) == [("a", a, (*AT, 0)), ("b", b, (*AT, 1))]
    assert list(reader.items({"a": a, "b": b}, AT, "handle")) == [("a", a, (*AT, "a")), ("b", b, (*AT, "b"))]


def test_items_that_are_misshapen_are_passed_over() -> None:
    reader = Reader()
    assert list(reader.items([5, {}, {"name": 3}, {"name": "a"}], AT, "name")) == [("a", {"name": "a"}, (*AT, 3))]
    assert list(reader.items({"a": 5}, AT, "name")) == []


# Headers


def test_header_values_are_templates_numbers_or_booleans() -> None:
    reader = Reader()
    source = {"A": "x", "B": 5, "C": True, "D": {"value": "{{d}}", "placeholders": {"d": {"type": "ID"}}}}
    headers = list(reader.headers(source, AT))
    assert [(name, template.parts, list(declared)) for name, template, declared, _ in headers] == [
        ("A", ("x",), []),
        ("B", ("5",), []),
        ("C", ("true",), []),
        ("D", (Slot("d"),), ["d"]),
    ]
    assert headers[3][3] == (*AT, "D", "value")


@pytest.mark.parametrize(
    "name",
    ["Host", "host", "Content-Length", "Transfer-Encoding", "Connection", ":authority", "X A", "", "X\r\nY", "é"],
    ids=lambda name: f"T27 {name!r}",
)
def test_a_header_that_is_no_token_or_frames_the_message_is_refused(name: str) -> None:
    reader = Reader()
    list(reader.headers({name: "x"}, AT))
    assert [(each.code, each.path, each.at_key) for each in reader.findings] == [("E_HEADER", (*AT, name), True)]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "\0", "é"])
def test_T26_a_header_value_that_no_header_carries_is_refused_at_load(value: str) -> None:
    reader = Reader()
    list(reader.headers({"X-A": {"value": value}}, AT))
    assert codes(reader) == [("E_HEADER", (*AT, "X-A", "value"))]


def test_a_header_that_stands_twice_in_another_case_is_an_error() -> None:
    reader = Reader()
    assert [name for name, *_ in reader.headers({"X-a": "1", "x-A": "2"}, AT)] == ["X-a"]
    assert codes(reader) == [("E_DOUBLED", (*AT, "x-A"))]


# Query parameters


def test_query_parameters_are_inputs_or_templates_by_name_or_in_a_list() -> None:
    by_name = {"page": {"type": "Int"}, "fixed": "a b", "n": 5, "mixed": {"value": "x-{{y}}"}}
    listed = [{"name": "page", "type": "Int"}, {"name": "mixed", "value": "x-{{y}}"}]
    reader = Reader()
    pairs = list(reader.query(by_name, AT))
    assert [(pair.name, pair.value.parts) for pair, _, _ in pairs] == [
        ("page", (Slot("page"),)),
        ("fixed", ("a%20b",)),
        ("n", ("5",)),
        ("mixed", ("x-", Slot("y"))),
    ]
    assert pairs[0][1]["page"].placeholder.type == "Integer"
    again = list(reader.query(listed, AT))
    assert [pair for pair, _, _ in again] == [pairs[0][0], pairs[3][0]]
    assert again[1][2] == (*AT, 1, "value")
    assert reader.findings == []


def test_the_name_of_a_parameter_is_the_providers_own() -> None:
    reader = Reader()
    source = {name: {"type": "ID"} for name in ("created[gte]", "$top", "page-size")}
    pairs = [(pair.name, list(declared)) for pair, declared, _ in reader.query(source, AT)]
    assert pairs == [
        ("created%5Bgte%5D", ["created[gte]"]),
        ("%24top", ["$top"]),
        ("page-size", ["page-size"]),
    ]


# Selectors and fields


@pytest.mark.parametrize("source", [["data", 0, "id"], "data.0.id", "$.data[0].id", "$['data'][0]['id']"])
def test_a_selector_is_a_list_dotted_text_or_jsonpath(source: Any) -> None:
    selector = Reader().selector(source, AT)
    assert selector is not None
    assert selector.find_one({"data": [{"id": 7}]}) == 7


@pytest.mark.parametrize("source", ["a..b", "", "$[", "$[?(@.n =~ '^(a+)+$')]"])
def test_a_selector_that_cannot_be_read_is_an_error(source: str) -> None:
    reader = Reader()
    assert reader.selector(source, AT) is None
    assert codes(reader) == [("E_SELECTOR", AT)]


@pytest.mark.parametrize("source", [5, None, {}, [True], [1.0], [["a"]]])
def test_a_selector_of_another_shape_is_left_to_the_schema(source: Any) -> None:
    reader = Reader()
    assert (reader.selector(source, AT), reader.findings) == (None, [])


def test_a_field_without_a_selector_is_the_member_of_its_name() -> None:
    for source in ({"name": "a", "type": "Int"}, {"name": "a", "type": "Int", "selector": []}):
        [field] = Reader().fields([source], AT)
        assert field.selector.find_one({"a": 1}) == 1
    [dotted] = Reader().fields([{"name": "a.b", "type": "Int"}], AT)
    assert dotted.selector.find_one({"a.b": 1}) == 1


def test_a_field_is_described_by_its_meta() -> None:
    fields = Reader().fields(
        [
            {"name": "a", "type": "Int", "multivalue": True, "meta": {"short": "s", "description": "d"}},
            {"name": "b", "type": "Int", "meta": {"short": "s"}},
            {"name": "c", "type": "Int", "selector": 5},
        ],
        AT,
    )
    assert [(each.name, each.multivalue, each.description) for each in fields] == [("a", True, "d"), ("b", False, "s")]
