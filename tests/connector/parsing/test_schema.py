"""How a definition's text is read, what its schema refuses, and at which line and column."""

from __future__ import annotations

import importlib.resources
import json
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonschema
import pytest
import referencing
from hypothesis import assume, given
from hypothesis import strategies as st

from connector.errors import InvalidDefinition, Problem
from connector.parsing.schema import (
    KINDS,
    MAX_BYTES,
    MAX_NESTING,
    Document,
    Finding,
    Kind,
    Positions,
    _compile_named,
    find_shape_problems,
    fits,
    load_schema,
)
from connector.strict_json import nesting

SERVICE: dict[str, Any] = {"handle": "demo", "service": {"baseURL": "https://demo.example"}}
MISTRAL = Path(__file__).parents[3] / "definitions" / "mistral-ai"
SCHEMAS = importlib.resources.files("connector") / "schemas"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refusal(text: str, kind: Kind = "service", file: str | None = None) -> tuple[Problem, ...]:
    with pytest.raises(InvalidDefinition) as caught:
        Document.from_text(text, kind, file)
    return caught.value.problems


def shape(value: Any, kind: Kind = "resources") -> list[tuple[str, str, tuple[Any, ...]]]:
    return [(each.code, each.message, each.path) for each in find_shape_problems(value, kind)]


def every_path(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, value
    if isinstance(value, (dict, list)):
        for step, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from every_path(each, (*path, step))


# Reading text


def test_a_document_keeps_its_value_kind_text_and_file() -> None:
    document = Document.from_text('{"a": 1.5}', "service", "demo/service.json")
    assert document == Document(value={"a": 1.5}, kind="service", text='{"a": 1.5}', file="demo/service.json")


def test_a_byte_order_mark_is_passed_over_and_counts_as_no_column() -> None:
    document = Document.from_text('\ufeff{"a": 1}', "service")
    assert document.value == {"a": 1}
    assert document.problems([Finding("E_X", "x", ("a",))])[0].column == 7
    assert refusal("\ufeff[1,]")[0].column == refusal("[1,]")[0].column


def test_text_that_is_not_json_is_refused_where_it_ceases_to_be() -> None:
    assert refusal('{\n  "a": 1,\n  b: 2}', file="x.json") == (
        Problem(
            "E_JSON",
            "not JSON: expecting property name enclosed in double quotes",
            file="x.json",
            line=3,
            column=3,
        ),
    )


def test_without_a_file_the_kind_stands_for_it() -> None:
    assert refusal("", "overlay")[0].file == "overlay"


def test_T12_a_file_above_one_mebibyte_is_refused_and_one_of_exactly_that_is_read() -> None:
    frame = len('{"a":""}')
    assert Document.from_text('{"a":"%s"}' % ("x" * (MAX_BYTES - frame)), "service").value["a"][:1] == "x"
    assert [each.code for each in refusal('{"a":"%s"}' % ("x" * (MAX_BYTES - frame + 1)))] == ["E_LIMIT"]
    # Bytes count, not characters.
    assert [each.code for each in refusal('{"a":"%s"}' % ("é" * (MAX_BYTES // 2)))] == ["E_LIMIT"]


@pytest.mark.parametrize("opening", ["[", '{"a":', '[[{"":\n', '{"a":1,"a":', '[{"":'])
def test_T12_nesting_without_end_is_refused_fast_and_in_little_memory(opening: str) -> None:
    closing = {"[": "]", "{": "}"}
    whole = opening * 900 + "1" + "".join(closing[char] for char in reversed(opening * 900) if char in closing)
    for text in (opening * 100_000, whole):
        tracemalloc.start()
        started = time.process_time()
        problems = refusal(text)
        elapsed = time.process_time() - started
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert problems[0].code in ("E_LIMIT", "E_JSON")
        assert elapsed < 2
        assert peak < 50e6
    assert problems[0].code == "E_LIMIT"


def test_T12_fifty_megabytes_are_refused_before_they_are_read() -> None:
    text = "[" + "0," * 25_000_000 + "0]"
    tracemalloc.start()
    started = time.process_time()
    problems = refusal(text)
    assert time.process_time() - started < 0.5
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()
    assert [each.code for each in problems] == ["E_LIMIT"]


def test_a_file_nests_thirty_two_deep_and_no_deeper() -> None:
    assert nesting(Document.from_text("[" * MAX_NESTING + "]" * MAX_NESTING, "service").value) == MAX_NESTING
    assert [each.code for each in refusal("[" * (MAX_NESTING + 1) + "]" * (MAX_NESTING + 1))] == ["E_LIMIT"]


def test_at_the_deepest_level_there_is_still_a_place() -> None:
    document = Document.from_text("[" * MAX_NESTING + "1" + "]" * MAX_NESTING, "service")
    assert document.problems([Finding("E_X", "x", (0,) * MAX_NESTING)])[0].column == MAX_NESTING + 1


def test_a_doubled_key_does_not_hide_what_nests_too_deep_below_it() -> None:
    assert [each.code for each in refusal('{"a": %s, "a": 1}' % ("[" * 40 + "]" * 40))] == ["E_LIMIT"]


def test_a_number_of_five_thousand_digits_is_refused() -> None:
    assert [each.code for each in refusal("1" * 5000)] == ["E_LIMIT"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[1, NaN]", (1, 5)),
        ('{"a":\n  -Infinity}', (2, 3)),
        ('{"a": 1e999}', (1, 7)),
        (r'["x\ud800"]', (1, 2)),
        ('["x\ud800"]', (1, 2)),
        (r'{"\udc00": 1}', (1, 2)),
    ],
)
def test_what_a_parser_lets_pass_but_is_not_json_is_refused_at_its_place(text: str, place: tuple[int, int]) -> None:
    assert [(each.code, each.line, each.column) for each in refusal(text)] == [("E_JSON", *place)]


def test_an_escaped_character_beyond_the_first_plane_is_fine() -> None:
    assert Document.from_text(r'["\ud83d\ude00"]', "service").value == ["😀"]


def test_every_doubled_key_is_found_at_the_key() -> None:
    text = '{"a": 1,\n "a": {"b": [], "b": 2},\n "a": {"c": 3, "c": 4, "b": 5}}'
    document = Document.from_text(text, "service")
    assert document.value == {"a": {"c": 4, "b": 5}}
    assert [(each.code, each.pointer, each.line, each.column) for each in document.problems([])] == [
        ("E_JSON_DOUBLED_KEY", "/a", 2, 2),
        ("E_JSON_DOUBLED_KEY", "/a/b", 2, 17),
        ("E_JSON_DOUBLED_KEY", "/a", 3, 2),
        ("E_JSON_DOUBLED_KEY", "/a/c", 3, 16),
    ]


# Reading values


def test_parsed_json_is_copied_and_its_problems_have_no_line() -> None:
    value: dict[str, Any] = {"a": ({"b": 1},)}
    document = Document.from_value(value, "service")
    value["a"][0]["b"] = 2
    assert document.value == {"a": [{"b": 1}]}
    problem = document.problems([Finding("E_X", "x", ("a", 0, "b"))])[0]
    assert (problem.pointer, problem.line, problem.column) == ("/a/0/b", None, None)


def test_any_mapping_and_any_sequence_will_do() -> None:
    value = MappingProxyType({"a": deque([MappingProxyType({"b": range(2)})])})
    assert Document.from_value(value, "service").value == {"a": [{"b": [0, 1]}]}


@pytest.mark.parametrize("value", [{"a": object()}, {1, 2}, b"{}", {(1, 2): 3}])
def test_a_value_that_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidDefinition, match=r"x\.py E_JSON expected a JSON value"):
        Document.from_value(value, "service", "x.py")


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InvalidDefinition, match="E_JSON"):
        Document.from_value(value, "service")


def test_the_limits_hold_for_values_too() -> None:
    deep: list[Any] = []
    for _ in range(40):
        deep = [deep]
    for value in (deep, {"a": "x" * MAX_BYTES}, {"a": float("nan")}):
        with pytest.raises(InvalidDefinition) as caught:
            Document.from_value(value, "service")
        assert [(each.line, each.column) for each in caught.value.problems] == [(None, None)]


def test_keys_that_become_one_key_in_json_are_doubled() -> None:
    problems = Document.from_value({1: "a", "1": "b"}, "service").problems([])
    assert [(each.code, each.line) for each in problems] == [("E_JSON_DOUBLED_KEY", None)]


# Places


def test_a_place_is_that_of_the_value_of_the_key_or_of_what_encloses_it() -> None:
    positions = Positions('{\n  "a": [1, {"b": "x"}],\n  "é\\"": true\n}')
    assert positions.find(()) == (1, 1)
    assert positions.find(("a",)) == (2, 8)
    assert positions.find(("a",), at_key=True) == (2, 3)
    assert positions.find(("a", 1, "b")) == (2, 18)
    assert positions.find(("a", 1, "c", "d")) == (2, 12)
    assert positions.find(('é"',)) == (3, 10)
    assert positions.find(("missing",), at_key=True) == (1, 1)


@given(JSON, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_every_value_is_found_where_it_stands(value: Any, indent: int | str | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    positions = Positions(text)
    lines = text.split("\n")
    for path, each in every_path(value):
        line, column = positions.find(path)
        rest = "\n".join([lines[line - 1][column - 1 :], *lines[line:]])
        assert json.JSONDecoder().raw_decode(rest)[0] == each


def test_problems_come_in_the_order_of_the_file_with_pointer_and_file() -> None:
    document = Document.from_text('{"a/b": {"c~d": 1},\n "e": 2}', "service", "x.json")
    findings = [Finding("W_B", "second", ("e",), hint="do that", at_key=True), Finding("E_A", "first", ("a/b", "c~d"))]
    assert document.problems(iter(findings)) == [
        Problem("E_A", "first", pointer="/a~1b/c~0d", file="x.json", line=1, column=17),
        Problem("W_B", "second", hint="do that", pointer="/e", file="x.json", line=2, column=2),
    ]


def test_a_very_long_message_is_cut() -> None:
    document = Document(value={}, kind="service")
    assert len(document.problems([Finding("E_A", "x" * 10_000, ())])[0].message) < 500


def test_ten_thousand_problems_in_a_large_file_are_placed_fast() -> None:
    text = json.dumps({"service": {f"unknown{place}": place for place in range(40_000)}}, indent=0)
    findings = [Finding("W_X", "x", ("service", f"unknown{place}"), at_key=True) for place in range(10_000)]
    document = Document.from_text(text, "service")
    started = time.process_time()
    assert document.problems(findings)[-1].line == 10_002
    assert time.process_time() - started < 2


# Shape


def test_a_good_document_has_no_shape_problems() -> None:
    assert shape(SERVICE, "service") == []
    assert fits(SERVICE, "service")


@pytest.mark.parametrize("kind", ["service", "resources", "overlay"])
def test_the_fast_check_accepts_what_ships(kind: Kind) -> None:
    value = json.loads((MISTRAL / f"{kind}.json").read_text("utf-8"))
    assert fits(value, kind)
    assert shape(value, kind) == []


@pytest.mark.parametrize(("count", "accepted"), [(200, True), (201, False)])
def test_a_limit_is_what_may_be_reached(count: int, accepted: bool) -> None:
    as_object = {f"p{place}": {"type": "ID"} for place in range(count)}
    as_list = [{"name": name, "type": "ID"} for name in as_object]
    for placeholders in (as_object, as_list):
        template = {"value": "/x", "placeholders": placeholders}
        assert fits([{"handle": "a", "endpoint": template}], "resources") == accepted


def test_what_is_too_long_is_not_looked_at_one_by_one_and_what_is_not_is() -> None:
    fields = [{"name": "a", "type": 5}] + [{"name": f"f{place}", "type": "ID"} for place in range(1999)]
    resource = {"handle": "a", "endpoint": "", "fields": fields}
    assert [code for code, _, _ in shape([resource])] == ["E_SHAPE"]
    assert [code for code, _, _ in shape([{**resource, "fields": [*fields, fields[0]]}])] == ["E_LIMIT"]


@given(st.sampled_from(["Resource", "Auth", "Custom", "QueryParam", "BodyTemplate", "Placeholder"]), st.data())
def test_the_fast_check_agrees_with_json_schema(name: str, data: st.DataObject) -> None:
    schema = {**load_schema()["$defs"][name], "$defs": load_schema()["$defs"]}
    keys = st.sampled_from([*schema.get("properties", {}), "value", "x"])
    value = data.draw(st.dictionaries(keys, JSON, max_size=5) | JSON)
    # It is stricter in one thing only: 1.0 is no integer.
    assume("1.0" not in repr(value) and "0.0" not in repr(value))
    assert jsonschema.Draft202012Validator(schema).is_valid(value) == _compile_named(name)(value)


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        ("service", [], ("E_SHAPE", "expected an object, got a list", ())),
        ("service", None, ("E_SHAPE", "expected an object, got null", ())),
        (
            "service",
            {**SERVICE, "service": {"baseURL": 5}},
            ("E_SHAPE", "expected text or an object, got an integer", ("service", "baseURL")),
        ),
        ("service", {**SERVICE, "handle": "a b"}, ("E_NAME", "'a b' is not allowed here", ("handle",))),
        ("service", {**SERVICE, "handle": "demo\n"}, ("E_NAME", r"'demo\n' is not allowed here", ("handle",))),
        ("service", {**SERVICE, "hanlde": 1}, ("W_UNKNOWN_KEY", "unknown key 'hanlde'", ("hanlde",))),
        ("resources", [{"handle": "a"}], ("E_MISSING", "'endpoint' is missing", (0,))),
        ("resources", {"1": {"endpoint": ""}}, ("E_NAME", "'1' is not allowed here", ("1",))),
        (
            "resources",
            [{"handle": "a", "endpoint": "", "operations": [{"method": "GET"}]}],
            ("E_MISSING", "'handle' or 'name' is missing", (0, "operations", 0)),
        ),
        (
            "resources",
            [{"handle": "a", "endpoint": "", "fields": [{"name": "x", "type": "ID", "selector": [1.0]}]}],
            ("E_SHAPE", "expected text or an integer or an object, got a number", (0, "fields", 0, "selector", 0)),
        ),
        (
            "resources",
            [{"handle": "a", "endpoint": "", "fields": [{"name": "", "type": "ID"}]}],
            ("E_SHAPE", "is empty", (0, "fields", 0, "name")),
        ),
        (
            "resources",
            {"a": {"endpoint": "", "fields": [{"name": f"f{place}", "type": "ID"} for place in range(2001)]}},
            ("E_LIMIT", "more than 2000 entries", ("a", "fields")),
        ),
        ("operations", [{"handle": "a", "steps": []}], ("E_SHAPE", "is empty", (0, "steps"))),
        (
            "operations",
            {"a": {"steps": [{"type": "shell", "http": {"method": "GET"}}]}},
            ("E_SHAPE", "expected 'http' or 'mime_build'", ("a", "steps", 0, "type")),
        ),
        (
            "operations",
            {"a": {"steps": [{"type": "http"}]}},
            ("E_MISSING", "'http' or 'mime_build' is missing", ("a", "steps", 0)),
        ),
        ("overlay", {"resources": []}, ("E_SHAPE", "expected an object, got a list", ("resources",))),
    ],
)
def test_what_the_schema_refuses_is_said_in_plain_words(kind: Kind, value: Any, problem: tuple[Any, ...]) -> None:
    assert shape(value, kind) == [problem]
    assert fits(value, kind) == (problem[0] == "W_UNKNOWN_KEY")


def test_everything_that_is_missing_is_said_at_once_with_what_it_is_for() -> None:
    findings = list(find_shape_problems({}, "service"))
    assert [(each.message, each.missing) for each in findings] == [
        ("'handle' is missing", "handle"),
        ("'service' is missing", "service"),
    ]
    assert findings[0].hint == "The name of the connector, in commands and in programs."


NAMED: dict[str, Any] = {"$schema": "./connector.schema.json"}
DOCUMENTS: dict[Kind, dict[str, Any]] = {
    "service": SERVICE,
    "connector": SERVICE,
    "resources": {"pets": {"endpoint": "/pets"}},
    "operations": {"greet": {"steps": [{"type": "http", "http": {"method": "GET"}}]}},
    "overlay": {"status": "beta"},
    "automation": {"handle": "a", "on": "demo/pets/sold", "do": [{"call": "demo/pets.read"}]},
    "mapping": {"id": 7},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_of_any_kind_may_name_its_schema(kind: Kind) -> None:
    document = {**NAMED, **DOCUMENTS[kind]}
    assert shape(document, kind) == []
    assert fits(document, kind)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"mapping"}))
def test_the_name_of_a_schema_is_text(kind: Kind) -> None:
    document = {**DOCUMENTS[kind], "$schema": 7}
    assert shape(document, kind) == [("E_SHAPE", "expected text, got an integer", ("$schema",))]
    assert not fits(document, kind)


@pytest.mark.parametrize("member", ["resources", "operations"])
def test_only_a_whole_document_names_its_schema(member: Kind) -> None:
    document = {**SERVICE, member: {**NAMED, **DOCUMENTS[member]}}
    assert ("E_NAME", "'$schema' is not allowed here", (member, "$schema")) in shape(document, "connector")
    assert [code for code, _, _ in shape({**SERVICE, "service": {**SERVICE["service"], **NAMED}}, "connector")] == [
        "W_UNKNOWN_KEY"
    ]


def test_the_known_keys_of_a_hint_are_those_of_the_language() -> None:
    [finding] = find_shape_problems({**SERVICE, "colour": 1}, "service")
    assert finding.hint == "known: handle, meta, operations, resources, service, status"


def test_a_hint_is_the_first_sentence_of_a_description() -> None:
    [finding] = find_shape_problems({**SERVICE, "status": 5}, "service")
    assert finding.hint == "The state of the connector, for people: `active`, for example."


@pytest.mark.parametrize(
    ("auth", "fields"), [({}, [{"name": "a"}]), ({"method": 7}, [{"name": "a", "type": 7}])], ids=["missing", "no text"]
)
def test_a_hint_lists_the_names_to_choose_from(auth: dict[str, Any], fields: list[Any]) -> None:
    findings = find_shape_problems({**SERVICE, "service": {"baseURL": "https://a.example", "auth": auth}}, "service")
    findings += find_shape_problems({"pets": {"endpoint": "/pets", "fields": fields}}, "resources")
    method, type_ = (each.hint for each in findings)
    assert " Known: none, api_token, apikey, bearer, basic, oauth2_client_credentials" in method
    assert " Known: String, ID, Integer, Int, Number" in type_


def test_an_open_list_of_names_is_for_editors_only() -> None:
    written = schema_files()["definition.schema.json"]["$defs"]
    assert "String" in written["Type"]["enum"]
    assert "enum" not in load_schema()["$defs"]["Type"]
    assert written["Step"]["properties"]["type"]["enum"] == ["http", "mime_build"]
    assert load_schema()["$defs"]["Step"]["properties"]["type"]["enum"] == ["http", "mime_build"]


def test_the_schema_has_a_name_of_its_own() -> None:
    assert load_schema()["$id"] == "urn:connector-runtime:definition:1"


def test_an_unknown_key_is_shown_at_the_key_with_the_nearest_known_one() -> None:
    [finding] = find_shape_problems({**SERVICE, "hanlde": 1}, "service")
    assert (finding.at_key, finding.hint) == (True, "did you mean 'handle'?")


def test_a_member_named_as_in_a_template_makes_no_template_of_a_json_body() -> None:
    def body(template: Any) -> list[Any]:
        operations = {"x": {"method": "POST", "bodyTemplate": template}}
        return shape([{"handle": "a", "endpoint": "", "operations": operations}])

    assert body({"value": 1, "unit": "m"}) == []
    assert body({"placeholders": 1}) == []
    assert body({"value": 1}) == [
        (
            "E_SHAPE",
            "expected text or an object or a list or null, got an integer",
            (0, "operations", "x", "bodyTemplate", "value"),
        )
    ]
    assert [code for code, _, _ in body({"value": "x", "placeholders": [], "note": ""})] == ["W_UNKNOWN_KEY"]


def test_errors_are_found_behind_any_number_of_unknown_keys_and_both_are_counted_out() -> None:
    noise = {f"unknown{place}": 1 for place in range(1500)}
    findings = find_shape_problems({**noise, "handle": 5}, "service")
    codes = [each.code for each in findings]
    assert (codes.count("E_SHAPE"), codes.count("E_MISSING"), codes.count("W_UNKNOWN_KEY")) == (1, 1, 1000)
    assert len(find_shape_problems([[]] * 2000, "resources")) == 1000


@pytest.mark.parametrize(
    "bomb",
    [
        {"$ref": "http://127.0.0.1:9333/x"},
        {"$ref": "#"},
        {"$ref": "#/$defs/Connector", "$defs": {"Connector": {"$ref": "#"}}},
        {"pattern": "^(a+)+$", "default": "a" * 32 + "!"},
        {"allOf": [{"allOf": [{"allOf": [{}] * 20}] * 20}] * 20},
        {"uniqueItems": True, "items": [{"a": place} for place in range(2000)]},
        {"$dynamicRef": "#meta", "$schema": "http://127.0.0.1:9333/x", "$id": "http://127.0.0.1:9333/y"},
    ],
    ids=lambda bomb: next(iter(bomb)),
)
def test_T52_a_schema_inside_a_definition_is_an_unknown_key_and_never_followed(bomb: dict[str, Any]) -> None:
    started = time.process_time()
    findings = list(find_shape_problems({**SERVICE, **bomb}, "service"))
    assert time.process_time() - started < 2
    assert {each.code for each in findings} == {"W_UNKNOWN_KEY"}


def test_T52_nothing_outside_the_schema_is_fetched_for_it() -> None:
    text = json.dumps(load_schema())
    assert '"$ref": "http' not in text
    for _, value in every_path(load_schema()["$defs"]):
        if isinstance(value, dict) and "$ref" in value:
            assert value["$ref"].startswith("#/$defs/")


# The schema files


def schema_files() -> dict[str, Any]:
    return {file.name: json.loads(file.read_text("utf-8")) for file in SCHEMAS.iterdir()}


def test_there_is_one_schema_file_for_each_kind_of_document() -> None:
    assert set(schema_files()) == {f"{kind}.schema.json" for kind in (*KINDS, "definition")}


@pytest.mark.parametrize("name", sorted(schema_files()))
def test_each_schema_file_is_valid_json_schema(name: str) -> None:
    schema = schema_files()[name]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_schema_file_resolves_into_the_definition_of_its_kind(kind: Kind) -> None:
    files = schema_files()
    assert files[f"{kind}.schema.json"]["$ref"] == f"definition.schema.json#/$defs/{KINDS[kind]}"
    registry = referencing.Registry().with_resources(
        (name, referencing.Resource.from_contents(schema)) for name, schema in files.items()
    )
    validator = jsonschema.Draft202012Validator(files[f"{kind}.schema.json"], registry=registry)
    assert validator.is_valid(SERVICE) == (
        kind in ("service", "connector", "overlay", "mapping")
    )  # a mapping is any object
    assert not validator.is_valid(3)


def test_every_definition_of_the_schema_is_used() -> None:
    defined = load_schema()["$defs"]
    used = {
        value["$ref"].rpartition("/")[2]
        for _, value in every_path(defined)
        if isinstance(value, dict) and isinstance(value.get("$ref"), str)
    }
    assert used | set(KINDS.values()) == set(defined)


def test_everything_that_a_person_may_have_to_look_up_is_described() -> None:
    assert [name for name, schema in load_schema()["$defs"].items() if not schema.get("description")] == []


def test_the_schema_holds_only_keywords_that_the_fast_check_knows() -> None:
    known = {"$ref", "type", "properties", "required", "items", "additionalProperties", "propertyNames", "pattern"}
    known |= {"enum", "minItems", "maxItems", "maxProperties", "minLength", "allOf", "anyOf", "if", "then", "else"}
    known |= {"minimum", "maximum", "exclusiveMinimum"}
    annotations = {"title", "description", "default", "examples", "enumDescriptions", "x-open"}

    def keywords(schema: Any) -> Iterator[str]:
        for keyword, value in schema.items():
            yield keyword
            if keyword == "properties":
                for each in value.values():
                    yield from keywords(each)
            elif keyword in ("allOf", "anyOf"):
                for each in value:
                    yield from keywords(each)
            elif isinstance(value, dict) and keyword not in annotations:
                yield from keywords(value)

    used = {keyword for schema in load_schema()["$defs"].values() for keyword in keywords(schema)}
    assert used - annotations <= known
