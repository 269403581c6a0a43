"""What changed between two definitions, and which changes break those who call."""

from __future__ import annotations

from typing import Any

import pytest

from connector.parsing.compare import Change, find_changes
from connector.parsing.connectors import parse_connector


def connector(operation: Any = None, *, service: Any = None, webhooks: Any = None, **operations: Any) -> Any:
    head = {"handle": "demo", "service": {"baseURL": "https://demo.example", **(service or {})}}
    made = {"do": {"method": "GET", **(operation or {})}, **operations}
    return parse_connector(head, [{"handle": "x", "endpoint": "/x", "operations": made, "webhooks": webhooks or []}])


def changes(old: Any, new: Any) -> list[tuple[str, str, str, bool]]:
    found = find_changes(old, new)
    assert all(isinstance(each, Change) for each in found)
    return [(each.kind, each.where, each.message, each.breaking) for each in found]


def test_nothing_changes_between_equals() -> None:
    assert changes(connector(), connector()) == []


def test_operations_come_and_go() -> None:
    more = connector(more={"method": "POST", "path": "/{{id}}"})
    assert changes(connector(), more) == [("added", "x.more", "the operation POST /x/{id}", False)]
    assert changes(more, connector()) == [("removed", "x.more", "the operation POST /x/{id}", True)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"method": "GET"}, {"method": "POST"}, [("it is POST /x, not GET /x", False)]),
        ({}, {"deprecated": True}, [("it is deprecated", False)]),
        ({}, {"response": "text"}, [("its answer is text, not json", True)]),
        ({}, {"records": []}, [("it returns records now", True)]),
        ({"records": []}, {}, [("it returns one object now", True)]),
        ({"records": []}, {"records": ["a"]}, [("its records are elsewhere in the answer", False)]),
        ({}, {"pagination": {"style": "link"}}, [("it goes on in another way", False)]),
        ({"pagination": {"style": "link"}}, {}, [("it has no pages now", False)]),
    ],
)
def test_an_operation_changes(old: Any, new: Any, said: list[tuple[str, bool]]) -> None:
    assert [(message, breaking) for _, _, message, breaking in changes(connector(old), connector(new))] == said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (None, {}, ("the input 'q'", False)),
        (None, {"required": True}, ("the required input 'q'", True)),
        (None, {"required": True, "default": "a"}, ("the input 'q'", False)),
        ({}, None, ("the input 'q'", True)),
        ({"type": "Integer"}, {"type": "Number"}, ("the input 'q' is Number, not Integer", False)),
        ({"type": "Integer"}, {"type": "Any"}, ("the input 'q' is Any, not Integer", False)),
        ({"type": "Number"}, {"type": "Integer"}, ("the input 'q' is Integer, not Number", True)),
        ({}, {"required": True}, ("the input 'q' is required", True)),
        ({"required": True}, {}, ("the input 'q' is no longer required", False)),
        ({}, {"default": "a"}, ("the input 'q' is a by default", False)),
        ({"default": "a"}, {}, None),
        ({"options": ["a", "b"]}, {"options": ["a"]}, ("the input 'q' takes a only", True)),
        ({}, {"options": ["a"]}, ("the input 'q' takes a only", True)),
        ({"options": ["a"]}, {"options": ["a", "b"]}, ("the input 'q' takes b as well", False)),
        ({"options": ["a"]}, {}, ("the input 'q' takes any value", False)),
        (
            {"type": "Integer", "maximum": 5},
            {"type": "Integer", "maximum": 4},
            ("the input 'q' has narrower bounds", True),
        ),
        ({"type": "Integer"}, {"type": "Integer", "minimum": 1}, ("the input 'q' has narrower bounds", True)),
        (
            {"type": "Integer", "minimum": 1},
            {"type": "Integer", "minimum": 0},
            ("the input 'q' has wider bounds", False),
        ),
        ({"nullable": True}, {}, ("the input 'q' may not be null", True)),
    ],
)
def test_an_input_changes(old: Any, new: Any, said: tuple[str, bool] | None) -> None:
    made = [
        connector({} if each is None else {"queryParams": {"q": {"type": "String", **each}}}) for each in (old, new)
    ]
    assert [(message, breaking) for _, _, message, breaking in changes(*made)] == ([] if said is None else [said])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ([{"name": "b", "type": "Any"}], [{"name": n, "type": "Any"} for n in "ab"], ("the field 'a'", False)),
        ([{"name": "a", "type": "Any"}], [], ("the field 'a'", True)),
        (
            [{"name": "a", "type": "Integer"}],
            [{"name": "a", "type": "String", "multivalue": True}],
            ("the field 'a' is many String, not Integer", True),
        ),
        (
            [{"name": "a", "type": "Integer"}],
            [{"name": "a", "type": "Integer", "selector": ["b"]}],
            ("the field 'a' is elsewhere in the answer", False),
        ),
    ],
)
def test_a_field_changes_of_an_answer_and_of_an_event(old: Any, new: Any, said: tuple[str, bool]) -> None:
    found = changes(connector({"fields": old}), connector({"fields": new}))
    assert [(message, breaking) for _, _, message, breaking in found] == [said]
    events = [connector(webhooks=[{"event": "e", "path": "/webhooks/e", "payload": each}]) for each in (old, new)]
    assert [(where, message) for _, where, message, _ in changes(*events)] == [("x/e", said[0])]


def test_triggers_come_go_and_move() -> None:
    one = connector(webhooks=[{"event": "e", "path": "/webhooks/e"}])
    moved = connector(webhooks=[{"event": "e", "path": "/webhooks/f"}])
    assert changes(connector(), one) == [("added", "x/e", "the trigger", False)]
    assert changes(one, connector()) == [("removed", "x/e", "the trigger", True)]
    assert changes(one, moved) == [("changed", "x/e", "its path is /webhooks/f, not /webhooks/e", True)]


def test_a_service_changes() -> None:
    bearer = {"auth": {"method": "bearer", "params": {"token": {"value": "{{t}}", "placeholders": [
        {"name": "t", "type": "String", "required": True}]}}}}  # fmt: skip
    assert changes(connector(), connector(service={"baseURL": "https://{{h}}.example"})) == [
        ("changed", "service", "the base URL is https://{h}.example, not https://demo.example", True),
        ("added", "service", "the value 'h' of a connection", True),
    ]
    assert changes(connector(), connector(service=bearer)) == [
        ("changed", "service", "auth is bearer, not none", False),
        ("added", "service", "the value 't' of a connection", True),
    ]
    assert changes(connector(service=bearer), connector()) == [
        ("changed", "service", "auth is none, not bearer", True),
        ("removed", "service", "the value 't' of a connection", False),
    ]
    free = {"params": [{"name": "v", "type": "String"}]}
    bound = {"params": [{"name": "v", "type": "String", "required": True}]}
    assert changes(connector(service=free), connector(service=bound)) == [
        ("changed", "service", "the value 'v' of a connection is required", True)
    ]
    assert changes(connector(service=bound), connector(service=free)) == []
