"""Automations and mappings read from documents, with every problem at its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connector.errors import InvalidDefinition
from connector.parsing.automations import parse_automation, parse_mapping, read_automation
from connector.parsing.connectors import find_problems
from tests.doubles.automations import AUTOMATION, CONTEXT


@pytest.mark.parametrize("text", ["{{a.b}}", "{{ a|upper }}", "{% if a %}", "{{ 'x'*9 }}", "{{a()}}"])
def test_T01_T03_a_mapping_holds_plain_names_and_no_code(text: str) -> None:
    with pytest.raises(InvalidDefinition, match="E_TEMPLATE_GRAMMAR"):
        parse_mapping({"input": text})
    with pytest.raises(InvalidDefinition, match="E_TEMPLATE_GRAMMAR"):
        parse_mapping({"input": {"template": text}})


def test_an_automation_is_read_whole() -> None:
    found = parse_automation(json.dumps(AUTOMATION))
    assert (found.handle, found.connection, found.trigger) == ("fetch", "demo:b", "jobs/job.done")
    assert (found.short, found.description) == ("Fetch", "Fetches the answers of a batch.")
    names = [(step.name, step.connection, step.operation) for step in found.steps]
    assert names == [("read", "demo:b", "jobs.read"), ("step2", "demo", "files.content")]
    assert found.steps[1].save is not None
    assert found.steps[1].save.find(CONTEXT) == "j1.jsonl"
    assert found == parse_automation(AUTOMATION)


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
