"""What a made provider answers: recorded examples, and answers made up from fields and selectors."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from connector.answers.mapping import map_response
from connector.describe.samples import (
    LENGTH,
    MAX_INDEX,
    cut_page,
    find_progress,
    make_answers,
    read_example,
    sample_message,
)
from connector.errors import ConfigurationError
from connector.events.mapping import make_event
from connector.messages import Request, Response
from connector.model.definition import Connector, Operation, Webhook
from connector.parsing.connectors import parse_connector

NOW = datetime.datetime(2026, 11, 26, 12, 0, tzinfo=datetime.UTC)
EVERY_TYPE = [
    {"name": name.lower(), "type": name, "selector": ["all", name.lower()]}
    for name in ("String", "Integer", "Number", "Boolean", "Array", "Object", "Date", "DateTime", "Any")
]


def connector(fields: Any = (), webhooks: Any = (), **operations: Any) -> Connector:
    resource = {"handle": "jobs", "endpoint": "/jobs", "fields": list(fields), "webhooks": list(webhooks)}
    resource["operations"] = operations or {"read": {"method": "GET"}}
    return parse_connector({"handle": "demo", "service": {"baseURL": "https://demo.example"}, "resources": [resource]})


def operation(fields: Any = (), name: str = "read", **more: Any) -> Operation:
    return connector(fields, **{name: {"method": "GET", **more}}).operations[f"jobs.{name}"]


def webhook(payload: Any, **more: Any) -> Webhook:
    hook = {"event": "done", "path": "/webhooks/demo/done", "payload": payload, **more}
    return connector(webhooks=[hook]).webhooks[0]


def document(response: Response) -> Any:
    return json.loads(response.body)


def test_an_example_is_an_answer_or_a_list_of_them() -> None:
    one = {"status": 201, "headers": {"X-Id": "7", "Content-Length": "9"}, "body": {"a": "é"}}
    [made] = read_example("jobs.read", one)
    assert (made.status, dict(made.headers)) == (201, {"Content-Type": "application/json", "X-Id": "7"})
    assert made.body == '{"a":"é"}'.encode()
    assert read_example("jobs.read", [one, {}]) == (made, Response(200))
    assert read_example("jobs.read", []) == ()


@pytest.mark.parametrize(
    ("content_type", "sent"),
    [("text/plain", b"a"), ("application/problem+json", b'"a"'), (None, b'"a"')],
)
def test_text_in_an_example_is_json_unless_its_type_is_another(content_type: str | None, sent: bytes) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    [made] = read_example("jobs.read", {"headers": headers, "body": "a"})
    assert made.body == sent


@pytest.mark.parametrize(
    ("example", "sentence"),
    [
        (7, "jobs.read is not an object"),
        ([{}, "x"], r"jobs\.read\[1\] is not an object"),
        ({"status": True}, "status is not 200 to 599"),
        ({"status": 600}, "status is not 200 to 599"),
        ({"headers": []}, "headers are not texts by name"),
        ({"headers": {"X": 1}}, "headers are not texts by name"),
        ({"headers": {"X": "a\r\nb"}}, "headers are not texts by name"),
    ],
)
def test_an_example_that_is_not_an_answer_is_refused(example: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        read_example("jobs.read", example)


def test_a_made_up_answer_fits_every_field_without_a_warning() -> None:
    fields = [*EVERY_TYPE, {"name": "tags", "type": "String", "selector": ["tags", 0, "name"], "multivalue": True}]
    made = operation(fields)
    [answer] = make_answers(made, None)
    result = map_response(made, answer)
    assert result.warnings == ()
    assert result.fields == {
        "string": "string",
        "integer": 1,
        "number": 1.5,
        "boolean": True,
        "array": ["array-1", "array-2"],
        "object": {"name": "object"},
        "date": "2026-01-02",
        "datetime": "2026-01-02T09:00:00Z",
        "any": "any",
        "tags": ["tags-1", "tags-2"],
    }


@pytest.mark.parametrize("records", [["data"], ["data", "*"], None, "$..rows[*]"], ids=str)
def test_a_made_up_list_has_several_records_and_no_two_alike(records: Any) -> None:
    declared = {} if records is None else {"records": records}
    made = operation([{"name": "id", "type": "String"}, {"name": "size", "type": "Integer"}], "list", **declared)
    [answer] = make_answers(made, None)
    result = map_response(made, answer)
    assert result.records == [{"id": "id-1", "size": 1}, {"id": "id-2", "size": 2}]


def test_an_index_makes_a_list_of_that_length_and_no_longer_one_than_is_useful() -> None:
    fields = [
        {"name": "third", "type": "String", "selector": ["rows", 2]},
        {"name": "far", "type": "String", "selector": ["others", MAX_INDEX + 1]},
        {"name": "sliced", "type": "String", "selector": "$.some[0:1]"},
    ]
    [answer] = make_answers(operation(fields), None)
    assert document(answer) == {"rows": ["third-1", "third-2", "third-3"]}
    [empty] = make_answers(operation(), None)
    assert document(empty) == {}


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "body"),
    [
        ("empty", 204, "", b""),
        ("text", 200, "text/plain", b"made-up text"),
        ("binary", 200, "application/octet-stream", bytes(range(256))),
        ("xml", 200, "application/xml", b"<id>id</id>"),
        ("sse", 200, "text/event-stream", b'data: {"id":"id-1"}\n\ndata: {"id":"id-2"}\n\ndata: [DONE]\n\n'),
        ("ndjson", 200, "application/x-ndjson", b'{"id":"id-1"}\n{"id":"id-2"}\n'),
        ({"kind": "ndjson", "done": "end"}, 200, "application/x-ndjson", b'{"id":"id-1"}\n{"id":"id-2"}\nend\n'),
    ],
    ids=str,
)
def test_every_kind_of_answer_is_made_up_in_its_own_form(
    kind: Any, status: int, content_type: str, body: bytes
) -> None:
    made = operation([{"name": "id", "type": "String"}], response=kind)
    [answer] = make_answers(made, None)
    assert (answer.status, answer.content_type, answer.body) == (status, content_type, body)
    assert map_response(made, answer).ok


def test_xml_has_one_root() -> None:
    two = operation([{"name": "a", "type": "String"}, {"name": "b", "type": "Integer"}], response="xml")
    assert make_answers(two, None)[0].body == b"<document><a>a</a><b>1</b></document>"
    rooted = operation([{"name": "id", "type": "String", "selector": ["order", "id"]}], response="xml")
    assert make_answers(rooted, None)[0].body == b"<order><id>id</id></order>"
    listed = operation([{"name": "id", "type": "String", "selector": [0]}], response="xml")
    assert make_answers(listed, None)[0].body == b"<document><item>id-1</item><item>id-2</item></document>"


STATES = {"operation": "jobs.read", "when": {"selector": ["state"], "in": ["SUCCESS", "FAILED"]}}


def test_a_job_moves_through_its_words_and_other_calls_answer_as_it_begins() -> None:
    done = {"event": "done", "path": "/webhooks/demo/done", "poll": STATES}
    more = {"event": "more", "path": "/webhooks/demo/more", "poll": {"operation": "jobs.read"}}
    by_number = {"operation": "jobs.read", "when": {"selector": ["code"], "in": [3]}}
    coded = {"event": "coded", "path": "/webhooks/demo/coded", "poll": by_number}
    plain = {"event": "plain", "path": "/webhooks/demo/plain"}
    state = [{"name": "state", "type": "String"}, {"name": "status", "type": "Integer"}]
    made = connector(state, [more, plain, coded, done], read={"method": "GET"}, create={"method": "POST"})
    progress = find_progress(made)
    assert list(progress) == ["jobs"]
    answers = make_answers(made.operations["jobs.read"], progress["jobs"])
    assert [document(each)["state"] for each in answers] == ["QUEUED", "RUNNING", "SUCCESS"]
    assert [document(each)["status"] for each in answers] == [1, 1, 1]
    [created] = make_answers(made.operations["jobs.create"], progress["jobs"])
    assert document(created)["state"] == "QUEUED"
    [still] = make_answers(operation([{"name": "id", "type": "String"}]), progress["jobs"])
    assert document(still) == {"id": "id"}


def test_the_words_of_a_job_are_written_as_its_last_one_is() -> None:
    low = {"operation": "read", "when": {"selector": ["state"], "in": ["done"]}}
    found = find_progress(connector(webhooks=[{"event": "e", "path": "/webhooks/demo/e", "poll": low}]))
    assert found["jobs"].words == ("queued", "running", "done")


PAGED = {
    "records": ["data"],
    "pagination": {"style": "page", "param": "page", "size": 2},
}


def test_a_page_of_a_recorded_list_is_the_one_that_is_requested() -> None:
    made = operation([{"name": "id", "type": "Integer"}], "list", **PAGED)
    [whole] = read_example("jobs.list", {"body": {"data": [1, 2, 3], "more": True}})

    def page(number: int, response: Response = whole, of: Operation = made) -> Response:
        return cut_page(of, Request("GET", f"https://demo.example/jobs?page={number}"), response)

    assert [document(page(number))["data"] for number in (1, 2, 3)] == [[1, 2], [3], []]
    assert document(page(1))["more"] is True
    short = read_example("jobs.list", {"body": {"data": [1]}})[0]
    assert page(1, short) is short
    for other in ({"body": {"data": 7}}, {"status": 404, "body": {"data": [1, 2, 3]}}):
        [response] = read_example("jobs.list", other)
        assert page(2, response) is response
    assert page(2, whole, operation(name="list", records=["data"])) is whole


PAYLOAD = [{"name": "id", "type": "String"}, {"name": "size", "type": "Integer", "selector": ["bytes"]}]


def test_a_sample_message_is_made_up_from_the_payload() -> None:
    assert sample_message(webhook(PAYLOAD), {}) == {"id": "id", "bytes": 1}
    polled = webhook(PAYLOAD, poll=STATES)
    assert sample_message(polled, {}) == {"id": "id", "bytes": 1, "state": "SUCCESS"}
    nested = {**STATES, "when": {"selector": ["bytes", "state"], "in": ["SUCCESS"]}}
    assert sample_message(webhook(PAYLOAD, poll=nested), {}) == {"id": "id", "bytes": 1}
    sliced = {**STATES, "when": {"selector": "$.a[0:1]", "in": ["SUCCESS"]}}
    assert sample_message(webhook(PAYLOAD, poll=sliced), {}) == {"id": "id", "bytes": 1}
    event = make_event(polled, sample_message(polled, {}), id="1", connection="default", now=NOW)
    assert event.data == {"id": "id", "size": 1}


def test_a_sample_message_is_a_recorded_answer_where_there_is_one() -> None:
    recorded = {"body": {"id": "j1", "bytes": 5}}
    assert sample_message(webhook(PAYLOAD, after=["jobs.create"]), {"jobs.create": recorded}) == recorded["body"]
    polled = webhook(PAYLOAD, poll=STATES)
    rows = [{"id": "j1", "state": "NEW"}, {"id": "j2", "state": "FAILED"}]
    for body in (rows, {"total": 2, "data": rows}):
        assert sample_message(polled, {"jobs.read": {"body": body}}) == rows[1]


@pytest.mark.parametrize(
    "example",
    [[], {"headers": {"Content-Type": "text/event-stream"}, "body": "data: x"}, {"body": [{"state": "NEW"}]}],
    ids=["no-answer", "a-stream", "nothing-that-makes-the-event"],
)
def test_a_sample_message_is_made_up_where_the_recorded_answer_makes_no_event(example: Any) -> None:
    polled = webhook(PAYLOAD, poll=STATES)
    assert sample_message(polled, {"jobs.read": example}) == {"id": "id", "bytes": 1, "state": "SUCCESS"}


def test_every_made_up_list_has_more_than_one_element() -> None:
    fields = [{"name": "id", "type": "String", "selector": ["rows", "*", "id"]}]
    assert len(document(make_answers(operation(fields), None)[0])["rows"]) == LENGTH
