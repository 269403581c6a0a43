"""Automations and mappings: read, compiled, and resolved in a context."""

from __future__ import annotations

from typing import Any

import pytest

from connector.errors import InputError
from connector.parsing.automations import parse_automation, parse_mapping
from tests.doubles.automations import AUTOMATION, CONTEXT


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
