"""Pipelines: compiled and checked at load, and applied to the values of fields and inputs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.answers.mapping import map_fields, map_response
from connector.conversions.pipeline import CONVERSIONS, MAX_STEPS, ConversionError, Pipeline, PipelineError
from connector.errors import InputError
from connector.messages import Response
from connector.model.definition import Operation
from connector.parsing.connectors import find_problems, parse_connector
from connector.requests.build import build_request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def convert(steps: Any, value: Any, **names: Any) -> Any:
    return Pipeline.from_json(steps).convert(value, names)


def step_of(name: str) -> Any:
    argument = CONVERSIONS[name].example[0]
    return name if argument is None else {name: argument}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_the_example_of_a_conversion_is_what_it_does(name: str) -> None:
    _, value, made = CONVERSIONS[name].example
    assert json.dumps(convert([step_of(name)], value)) == json.dumps(made)
    assert CONVERSIONS[name].description.endswith(".")


@pytest.mark.parametrize("name", CONVERSIONS)
@given(value=JSON)
def test_a_conversion_makes_json_or_a_conversion_error_of_any_value(name: str, value: Any) -> None:
    row = CONVERSIONS[name]
    pipeline = Pipeline.from_json([step_of(name)])
    try:
        made = pipeline.convert(value, {})
    except ConversionError:
        return
    json.dumps(made, allow_nan=False)
    if value is None and not row.takes_null:
        assert made is None
    kinds = {"text": str, "number": (int, float, str), "boolean": bool, "list": list, "object": dict}
    if made is not None and not isinstance(value, list) and row.returns in kinds:
        assert isinstance(made, kinds[row.returns])


def test_steps_run_from_left_to_right() -> None:
    assert convert([{"split": ","}, "trim", "upper", {"join": "+"}], "a, b") == "A+B"


def test_null_passes_through_all_but_default() -> None:
    assert convert(["trim", {"default": " x "}, "trim"], None) == "x"
    assert convert(["trim", "upper"], None) is None
    assert convert(["trim"], ["a ", None]) == ["a", None]


def test_a_step_for_single_values_converts_each_element_of_a_list_and_of_lists_in_it() -> None:
    assert convert(["trim"], [" a", [" b", None]]) == ["a", ["b", None]]


def test_each_has_steps_of_its_own() -> None:
    rows = [{"tags": ["b", "a"]}, {"tags": []}, None]
    assert convert([{"each": [{"get": ["tags"]}, "sort", "first"]}], rows) == ["a", None, None]
    with pytest.raises(ConversionError, match="each: expected a list, got other text"):
        convert([{"each": ["trim"]}], "a")


@pytest.mark.parametrize(
    ("steps", "path", "message", "hint"),
    [
        ("trim", (), "expected a list of conversions", 'write ["trim", {"round": 2}]'),
        ([5], (0,), "a step is a name, or an object with one member", 'write "trim" or {"round": 2}'),
        ([{}], (0,), "a step is a name, or an object with one member", 'write "trim" or {"round": 2}'),
        (["trimm"], (0,), "unknown conversion 'trimm'", "did you mean 'trim'?"),
        (["split"], (0,), "'split' needs an argument", "write {'split': ','}"),
        ([{"trim": 1}], (0, "trim"), "'trim' has no argument", "write 'trim'"),
        ([{"split": 5}], (0, "split"), "split: 5 is not of type 'string'", "for example ','"),
        (
            [{"number": {"decimals": ","}}],
            (0, "number", "decimals"),
            "unknown option 'decimals'",
            "did you mean 'decimal'?",
        ),
        (["trim", {"each": ["nix"]}], (1, "each", 0), "unknown conversion 'nix'", None),
        (["trim", {"add": 1}], (1,), "'trim' returns text, and 'add' needs a number", "put 'number' between them"),
        (["keys", "keys"], (1,), "'keys' returns a list, and 'keys' needs an object", "put 'first' between them"),
        (["entries", "not", "trim", "json", "first"], (4,), "'json' returns text, and 'first' needs a list", None),
        ([{"equals": 1}, "abs"], (1,), "'equals' returns true or false, and 'abs' needs a number", ""),
        ([{"date": {"to": "unix"}}, "not"], (1,), "'date' returns a number, and 'not' needs true or false", None),
        (["trim"] * (MAX_STEPS + 1), (MAX_STEPS,), f"a pipeline has at most {MAX_STEPS} steps", ""),
        ([{"template": "{{a b}}"}], (0, "template"), None, ""),
    ],
)
def test_a_pipeline_that_cannot_work_is_refused(
    steps: Any, path: tuple[Any, ...], message: str | None, hint: str | None
) -> None:
    with pytest.raises(PipelineError) as caught:
        Pipeline.from_json(steps)
    assert caught.value.path == path
    assert message is None or str(caught.value) == message
    assert hint is None or caught.value.hint == hint


def test_kinds_are_checked_across_default_and_what_may_be_anything() -> None:
    assert Pipeline.from_json(["trim", {"default": ""}]).kind == "text"
    assert Pipeline.from_json(["first", "abs"]).kind == "number"
    assert Pipeline.from_json(["abs", "trim"]).kind == "text"


def demo(*fields: dict[str, Any], **operation: Any) -> dict[str, Any]:
    things = {
        "handle": "things",
        "endpoint": "/things",
        "operations": {"read": {"method": "GET", "fields": list(fields), **operation}},
    }
    return {"handle": "demo", "service": {"baseURL": "https://demo.example"}, "resources": [things]}


def operation(*fields: dict[str, Any], **members: Any) -> Operation:
    return parse_connector(demo(*fields, **members)).operations["things.read"]


def mapped(document: Any, *fields: dict[str, Any], **members: Any) -> Any:
    result = map_response(operation(*fields, **members), Response(200, body=json.dumps(document).encode()))
    return result.records if result.records is not None else result.fields, result.warnings


def test_a_field_is_converted_before_it_becomes_a_value_of_its_type() -> None:
    price = {"name": "price", "type": "Number", "convert": [{"number": {"decimal": ",", "group": "."}}]}
    assert mapped({"price": "1.234,50"}, price) == ({"price": 1234.5}, ())


def test_a_value_that_cannot_be_converted_is_null_and_reported_once() -> None:
    fields = {"name": "n", "type": "Number", "convert": ["number"]}
    records = {"name": "n", "type": "Number"}
    found, warnings = mapped([{"n": "1"}, {"n": "one"}, {"n": "two"}], fields, records=[])
    assert found == [{"n": 1}, {"n": None}, {"n": None}]
    assert warnings == ("field 'n' is null: number: expected a number",)
    assert records["name"] == "n"


def test_a_template_takes_other_fields_of_the_same_record() -> None:
    fields = (
        {"name": "name", "type": "String", "selector": ["first"], "convert": [{"template": "{{value}} {{last}}"}]},
        {"name": "last", "type": "String", "convert": ["upper"]},
    )
    found, _ = mapped([{"first": "Ann", "last": "Lee"}, {"first": "Bo"}], *fields, records=[])
    assert found == [{"name": "Ann LEE", "last": "LEE"}, {"name": None, "last": None}]


def test_the_elements_of_a_multivalue_field_are_converted() -> None:
    tags = {"name": "tags", "type": "String", "selector": ["tags", 0], "multivalue": True}
    assert mapped({"tags": ["a ", "b"]}, {**tags, "convert": ["trim"]})[0] == {"tags": ["a", "b"]}
    assert mapped({"tags": ["a ", "b"]}, {**tags, "convert": ["first"]})[0] == {"tags": ["a "]}
    assert mapped({"tags": []}, {**tags, "convert": ["first"]})[0] == {"tags": []}


def problems(*fields: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = find_problems(json.dumps(demo(*fields)), kind="connector")
    return [(each.code, each.pointer.removeprefix("/resources/0/operations/read"), each.hint) for each in found]


def test_a_pipeline_is_checked_against_the_type_of_its_field() -> None:
    listed = {"name": "a", "type": "String", "convert": [{"split": ","}]}
    assert problems(listed) == [("E_CONVERSION", "/fields/0/convert", "add 'join' as the last step")]
    assert problems({**listed, "multivalue": True}) == []
    assert problems({**listed, "type": "Array"}) == []


def test_names_in_a_template_are_fields_without_such_names() -> None:
    one = {"name": "one", "type": "String", "convert": [{"template": "{{value}}{{tow}}"}]}
    two = {"name": "two", "type": "String", "convert": [{"template": "{{one}}"}]}
    assert problems(one, {"name": "two", "type": "String"}) == [
        ("E_CONVERSION", "/fields/0/convert", "did you mean 'two'?")
    ]
    assert [each[1] for each in problems(one, two)] == ["/fields/0/convert", "/fields/1/convert"]


def test_an_unknown_step_is_pointed_at() -> None:
    field = {"name": "a", "type": "Any", "convert": ["trim", {"lookup": {"mapp": {}}}]}
    ((code, pointer, hint),) = problems(field)
    assert (code, pointer, hint) == ("E_CONVERSION", "/fields/0/convert/1/lookup/mapp", "did you mean 'map'?")


def rendered(convert: Any, value: Any, kind: str = "String") -> str:
    params = {"q": {"type": kind, "convert": convert}}
    found = operation(queryParams=params)
    return build_request(found, {"q": value}, found.service.configure({})).url.partition("?")[2]


def test_an_input_is_converted_before_it_is_sent_and_refused_if_it_cannot_be() -> None:
    assert rendered(["trim", "lower"], " Ann ") == "q=ann"
    with pytest.raises(InputError, match="date: expected a date and time as in RFC 3339"):
        rendered([{"date": {"to": "unix"}}], "yesterday", "Integer")


def test_the_conversions_of_an_input_name_no_other_values() -> None:
    text = json.dumps(demo(queryParams={"q": {"type": "String", "convert": [{"template": "{{other}}"}]}}))
    (found,) = find_problems(text, kind="connector")
    assert (found.code, found.hint) == ("E_CONVERSION", "use {{value}}")


def test_without_a_report_a_value_that_cannot_be_converted_is_null() -> None:
    found = operation({"name": "n", "type": "Number", "convert": ["number"]})
    assert map_fields(found.fields, {"n": "one"}) == {"n": None}
