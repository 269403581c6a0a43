"""Automations and mappings: read, compiled, and resolved in a context."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connector.errors import InputError, InvalidDefinition
from connector.parsing.automations import parse_automation, parse_mapping, read_automation
from connector.parsing.connectors import find_problems

CONTEXT = {
    "event": {"type": "jobs/done", "data": {"id": "j1", "count": 3, "files": ["f1", "f2"], "gone": None, "on": True}},
    "read": {"fields": {"name": "Ann"}, "raw": {"items": [{"n": 1}, {"n": 2}]}},
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        (7, 7),
        (None, None),
        (True, True),
        ("{{id}}", "j1"),
        ("{{count}}", 3),
        ("job {{id}} of {{count}}, {{gone}}{{nobody}}!", "job j1 of 3, !"),
        ({"from": "event", "selector": ["data", "files", 1]}, "f2"),
        ({"from": "event", "selector": "data.count", "type": "String"}, "3"),
        ({"from": "read", "selector": "$.raw.items[*].n"}, [1, 2]),
        ({"from": "read", "selector": "$..n", "default": 1}, [1, 2]),
        ({"from": "event", "selector": ["data", "none"], "default": "x"}, "x"),
        ({"from": "event", "selector": ["data", "none"], "default": None}, None),
        ({"from": "read"}, CONTEXT["read"]),
        ({"literal": {"from": "{{id}}"}}, {"from": "{{id}}"}),
        ({"template": "{{who}}: {{id}}", "values": {"who": {"from": "read", "selector": "fields.name"}}}, "Ann: j1"),
        ({"template": "{{who}}", "values": {"who": 7}}, 7),
        ([{"role": "user", "content": "{{id}}"}, "{{gone}}"], [{"role": "user", "content": "j1"}]),
        ({"a": "{{id}}", "b": "{{gone}}", "c": {}}, {"a": "j1", "c": {}}),
    ],
)
def test_a_value_of_a_mapping_comes_from_where_it_says(value: Any, expected: Any) -> None:
    assert parse_mapping({"input": value}).resolve(CONTEXT) == {"input": expected}


def test_T08_a_value_that_looks_like_a_template_stays_text() -> None:
    context = {"event": {"data": {"a": "{{b}}", "b": "secret"}}}
    assert parse_mapping({"x": "{{a}}", "y": "<{{a}}>"}).resolve(context) == {"x": "{{b}}", "y": "<{{b}}>"}


def test_what_is_not_there_is_not_supplied() -> None:
    mapping = parse_mapping({"a": "{{gone}}", "b": {"from": "event", "selector": ["no"]}, "c": {"from": "nobody"}})
    assert mapping.resolve({}) == mapping.resolve(CONTEXT) == {}


def test_every_value_that_cannot_be_converted_is_told_at_once_and_none_is_repeated() -> None:
    pick = {"from": "event", "selector": ["data", "id"], "type": "Integer"}
    with pytest.raises(InputError) as caught:
        parse_mapping({"a": pick, "b": pick, "c": 1}).resolve(CONTEXT, name="demo/read")
    assert [each.name for each in caught.value.errors] == ["a", "b"]
    assert caught.value.operation == "demo/read"
    assert "j1" not in str(caught.value)


@pytest.mark.parametrize("text", ["{{a.b}}", "{{ a|upper }}", "{% if a %}", "{{ 'x'*9 }}", "{{a()}}"])
def test_T01_T03_a_mapping_holds_plain_names_and_no_code(text: str) -> None:
    with pytest.raises(InvalidDefinition, match="E_TEMPLATE_GRAMMAR"):
        parse_mapping({"input": text})
    with pytest.raises(InvalidDefinition, match="E_TEMPLATE_GRAMMAR"):
        parse_mapping({"input": {"template": text}})


AUTOMATION: dict[str, Any] = {
    "handle": "fetch",
    "meta": {"short": "Fetch", "description": "Fetches the answers of a batch."},
    "on": "demo:b/jobs/job.done",
    "when": {"from": "event", "selector": ["data", "count"], "above": 0},
    "do": [
        {"name": "read", "call": "demo:b/jobs.read", "inputs": {"id": "{{id}}"}},
        {
            "call": "demo/files.content",
            "inputs": {"file": {"from": "read", "selector": ["fields", "file"]}},
            "when": [{"from": "read", "selector": ["fields", "file"], "exists": True}],
            "save": "{{id}}.jsonl",
        },
    ],
}


def test_an_automation_is_read_whole() -> None:
    found = parse_automation(json.dumps(AUTOMATION))
    assert (found.handle, found.connection, found.trigger) == ("fetch", "demo:b", "jobs/job.done")
    assert (found.short, found.description) == ("Fetch", "Fetches the answers of a batch.")
    names = [(step.name, step.connection, step.operation) for step in found.steps]
    assert names == [("read", "demo:b", "jobs.read"), ("step2", "demo", "files.content")]
    assert found.steps[1].save is not None
    assert found.steps[1].save.find(CONTEXT) == "j1.jsonl"
    assert found == parse_automation(AUTOMATION)


def test_it_wants_its_trigger_of_its_connection_where_its_conditions_hold() -> None:
    found = parse_automation(AUTOMATION)
    assert found.wants("demo:b", "jobs/job.done", CONTEXT)
    assert not found.wants("demo", "jobs/job.done", CONTEXT)
    assert not found.wants("demo:b", "jobs/job.failed", CONTEXT)
    assert not found.wants("demo:b", "jobs/job.done", {"event": {"data": {"count": 0}}})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"equals": 3}, [True, False, False]),
        ({"equals": 1}, [False, False, False]),
        ({"in": [3, "j1"]}, [True, False, True]),
        ({"exists": True}, [True, True, True]),
        ({"exists": False}, [False, False, False]),
        ({"above": 2}, [True, False, False]),
        ({"below": 3}, [False, False, False]),
        ({"above": "a"}, [False, False, True]),
        ({"contains": "j"}, [False, False, True]),
        ({"contains": 3}, [False, False, False]),
        ({"type": "Integer", "equals": 3}, [True, False, False]),
        ({"type": "Integer", "exists": False}, [False, True, True]),
    ],
)
def test_a_condition_compares_like_with_like(condition: dict[str, Any], expected: list[bool]) -> None:
    def holds(name: str) -> bool:
        when = {"from": "event", "selector": ["data", name], **condition}
        return parse_automation({**AUTOMATION, "when": when}).wants("demo:b", "jobs/job.done", CONTEXT)

    assert [holds(name) for name in ("count", "on", "id")] == expected


def test_conditions_are_alternatives_or_negated_where_they_say_so() -> None:
    yes, no = ({"from": "event", "selector": ["data", "count"], "equals": number} for number in (3, 4))
    files = {"from": "event", "selector": ["data", "files"], "contains": "f2"}

    def holds(when: Any) -> bool:
        return parse_automation({**AUTOMATION, "when": when}).wants("demo:b", "jobs/job.done", CONTEXT)

    assert holds([yes, files])
    assert not holds([yes, no])
    assert holds({"any": [yes, no]})
    assert not holds({"any": [no]})
    assert not holds({"not": yes})
    assert holds({"not": [no]})


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"on": "jobs"}, "E_AUTOMATION", "/on"),
        ({"handle": "a b"}, "E_NAME", "/handle"),
        ({"do": []}, "E_SHAPE", "/do"),
        ({"do": [{"inputs": {}}]}, "E_MISSING", "/do/0"),
        ({"do": [{"call": "files.read"}]}, "E_AUTOMATION", "/do/0/call"),
        ({"do": [{"call": "demo/a.b", "inputs": {"x": {"from": "later"}}}]}, "E_AUTOMATION", "/do/0/inputs/x/from"),
        (
            {"do": [{"call": "demo/a.b", "inputs": {"x": {"from": "event", "type": "Nil"}}}]},
            "E_TYPE",
            "/do/0/inputs/x/type",
        ),
        (
            {"do": [{"call": "demo/a.b", "inputs": {"x": {"from": "event", "selector": "a..b"}}}]},
            "E_SELECTOR",
            "/do/0/inputs/x/selector",
        ),
        ({"do": [{"name": "event", "call": "demo/a.b"}]}, "E_DOUBLED", "/do/0/name"),
        ({"do": [{"call": "demo/a.b", "save": "{{x.y}}"}]}, "E_TEMPLATE_GRAMMAR", "/do/0/save"),
        ({"when": {"from": "event"}}, "E_AUTOMATION", "/when"),
        ({"when": {"from": "event", "in": "abc"}}, "E_AUTOMATION", "/when"),
        ({"when": {"from": "event", "above": 1, "below": 2}}, "E_AUTOMATION", "/when"),
        ({"dooo": []}, "W_UNKNOWN_KEY", "/dooo"),
    ],
)
def test_what_is_wrong_with_an_automation_is_told_at_its_place(change: Any, code: str, pointer: str) -> None:
    _, problems = read_automation({**AUTOMATION, **change}, file="a.json")
    assert [(each.code, each.pointer, each.file) for each in problems] == [(code, pointer, "a.json")]


@pytest.mark.parametrize("source", ["[]", "7", '{"do": [7]}'])
def test_an_automation_that_is_none_is_refused(source: str) -> None:
    with pytest.raises(InvalidDefinition):
        parse_automation(source)


def test_the_problems_of_an_automation_are_found_with_line_and_column() -> None:
    text = '{\n  "handle": "fetch",\n  "on": "jobs",\n  "do": [{"call": "demo/a.b"}]\n}'
    [found] = find_problems(text, kind="automation", file="fetch.json")
    assert (found.code, found.line, found.column) == ("E_AUTOMATION", 3, 9)
    assert find_problems(json.dumps(AUTOMATION), kind="automation") == []
    assert find_problems("[]", kind="mapping")[0].code == "E_SHAPE"
