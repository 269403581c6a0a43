"""Kinds of answers: what each asks for, and what of it comes out; streams mapped message by message."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from connector.answers.kinds import RESPONSE_KINDS
from connector.answers.mapping import ChunkReader, combine, map_response, map_turns
from connector.answers.streams import MESSAGES_PER_TURN, PART
from connector.errors import InvalidDefinition, MappingError
from connector.headers import Headers
from connector.messages import Chunk, Response
from connector.model.definition import Operation
from connector.model.policies import ErrorMap, Policies, Sign
from connector.parsing.connectors import find_problems, parse_connector
from connector.requests.build import build_request
from connector.selectors import Selector

FIELDS = [
    {"name": "text", "type": "String", "selector": ["delta"]},
    {"name": "n", "type": "Integer", "selector": ["n"]},
]


def operation(response: Any, name: str = "do", **more: Any) -> Operation:
    source = {"method": "GET", "response": response, "fields": FIELDS, **more}
    resource = {"handle": "a", "meta": {"short": "A"}, "endpoint": "/a", "fields": [], "operations": {name: source}}
    service = {"baseURL": "https://api.example.com"}
    return parse_connector({"handle": "demo", "service": service, "resources": [resource]}).operation(f"a.{name}")


def answer(body: bytes, content_type: str = "") -> Response:
    return Response(200, Headers({"Content-Type": content_type} if content_type else {}), body)


@pytest.mark.parametrize("kind", RESPONSE_KINDS)
def test_each_kind_asks_for_what_it_reads(kind: str) -> None:
    accept = build_request(operation(kind), {}, {}).headers.get("accept")
    assert accept == RESPONSE_KINDS[kind].accept


@pytest.mark.parametrize("kind", [kind for kind in RESPONSE_KINDS if kind not in {"sse", "ndjson"}])
def test_an_empty_answer_of_any_kind_is_a_success_without_fields(kind: str) -> None:
    for response in (answer(b""), Response(204)):
        result = map_response(operation(kind), response)
        assert (result.ok, result.fields, result.raw) == (True, None, None)


def test_a_binary_answer_is_its_bytes_even_if_they_are_spaces() -> None:
    assert map_response(operation("binary"), answer(b" \n")).raw == b" \n"
    assert map_response(operation("text"), answer(b"a\xff")).raw == "a\ufffd"
    assert map_response(operation("empty"), answer(b"{")).raw is None


XML = b"<list><item><delta>a</delta><n>1</n></item>%s</list>"


@pytest.mark.parametrize("more", [b"", b"<item><delta>b</delta></item>"], ids=["one", "two"])
def test_the_records_of_xml_may_be_one(more: bytes) -> None:
    result = map_response(operation("xml", records=["list", "item"]), answer(XML % more))
    assert result.records is not None
    assert result.records[0] == {"text": "a", "n": 1}
    assert len(result.records) == (2 if more else 1)


def test_xml_that_cannot_be_read_says_that_xml_was_expected() -> None:
    with pytest.raises(MappingError, match="not XML") as caught:
        map_response(operation("xml"), answer(b"{}"))
    assert "expects XML" in caught.value.hint


SSE = b'data: {"delta":"Hel","n":1}\n\ndata: {"delta":"lo"}\n\ndata: {"delta":null,"n":"x"}\n\ndata: [DONE]\n\n'
JOINED = {"kind": "sse", "done": "[DONE]", "join": ["text"]}


def test_a_stream_is_taken_together() -> None:
    result = map_response(operation(JOINED), answer(SSE, "text/event-stream"))
    assert result.fields == {"text": "Hello", "n": "x"}
    assert [each.get("n") for each in result.raw] == [1, None, "x"]
    assert result.warnings == ("field 'n' stays raw: expected an integer, got other text",)


TYPED = {"kind": "sse", "done": ["end", "stopped"], "join": ["text"]}


@pytest.mark.parametrize("last", ["end", "stopped"])
def test_an_event_of_that_name_is_the_last_of_a_stream_and_counts(last: str) -> None:
    body = b'data: {"delta":"a"}\n\nevent: %b\ndata: {"n":2}\n\ndata: {"n":3}\n\n' % last.encode()
    result = map_response(operation(TYPED), answer(body, "text/event-stream"))
    assert (result.fields, result.raw) == ({"text": "a", "n": 2}, [{"delta": "a"}, {"n": 2}])


def test_P5_a_stream_without_any_of_its_last_events_is_not_whole() -> None:
    with pytest.raises(MappingError, match="the stream ended before 'end' or 'stopped'"):
        map_response(operation(TYPED), answer(b'data: {"delta":"a"}\n\n'))


def test_a_message_that_says_that_it_failed_is_the_end_of_the_stream() -> None:
    failing = dataclasses.replace(operation(TYPED), policies=read_failing())
    body = b'data: {"delta":"a"}\n\nevent: error\ndata: {"type":"error","message":"busy"}\n\ndata: {"n":3}\n\n'
    result = map_response(failing, answer(body, "text/event-stream"))
    assert (result.ok, result.status, result.raw) == (False, 200, {"type": "error", "message": "busy"})
    assert result.fields is None


def read_failing() -> Policies:
    sign = Sign(Selector.from_json(["type"]), ("error",))
    return Policies(errors=ErrorMap(when=(sign,)))


def test_a_joined_field_that_is_no_text_is_written_as_text() -> None:
    chunks = [Chunk(fields={"text": 1, "n": None}, raw=None), Chunk(fields={"text": True, "n": None}, raw=None)]
    assert combine(operation(JOINED), chunks).fields == {"text": "1true", "n": None}
    assert combine(operation(JOINED), []).fields == {"text": None, "n": None}


def test_each_line_of_a_list_is_a_record() -> None:
    result = map_response(operation("ndjson", "list"), answer(b'{"delta":"a"}\n{"delta":"b"}'))
    assert result.records == [{"text": "a", "n": None}, {"text": "b", "n": None}]


def test_a_stream_without_fields_gives_its_messages() -> None:
    result = map_response(operation("sse", fields=[]), answer(b"data: 1\n\ndata: hi\n\ndata: [DONE]\n\ndata: 2\n\n"))
    assert (result.fields, result.raw) == (None, [1, "hi"])


def test_own_fields_of_an_answer_win() -> None:
    own = [{"name": "own", "type": "String", "selector": ["delta"]}]
    result = map_response(operation({"kind": "ndjson", "fields": own}), answer(b'{"delta":"a"}'))
    assert result.fields == {"own": "a"}


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        pytest.param(SSE[:60], "", "ended before", id="P5-cut off"),
        pytest.param(b"data: {\n\n", "", "not JSON", id="T48-truncated"),
        pytest.param(b"data: 5\n\n", "", "single JSON value", id="T48-scalar"),
        pytest.param(b'data: {"n":1e999}\n\n', "", "too large", id="T47-infinite"),
        pytest.param(b'data: {"n":1,"n":2}\n\n', "", "duplicate key", id="T47-doubled"),
        pytest.param(b"data: " + b"[" * 100_000 + b"\n\n", "", "deeply", id="T47-depth"),
        pytest.param(b"<html>", "text/html", "it is not a stream", id="T48-another type"),
    ],
)
def test_a_stream_that_cannot_be_read_is_refused(body: bytes, content_type: str, message: str) -> None:
    with pytest.raises(MappingError, match=message):
        map_response(operation(JOINED), answer(body, content_type))


def test_T53_a_secret_in_a_message_is_masked() -> None:
    reader = ChunkReader(operation("sse"), "sse", limit=100, hidden=["s3cret"])
    assert [chunk.fields for chunk in reader.feed(b'data: {"delta":"a s3cret"}\n\n')] == [{"text": "a ***", "n": None}]


def test_a_message_beyond_its_limit_is_a_mapping_error() -> None:
    reader = ChunkReader(operation("ndjson"), "ndjson", limit=10)
    with pytest.raises(MappingError, match="larger than 10 bytes"):
        list(reader.feed(b"x" * 20))


@pytest.mark.parametrize(
    "response", ["ndjsn", {"kind": "ndjsn"}, {"kind": "sse", "join": ["txt"]}], ids=["kind", "kind inside", "join"]
)
def test_an_unknown_kind_or_field_is_refused_with_the_nearest(response: Any) -> None:
    with pytest.raises(InvalidDefinition, match="E_RESPONSE_KIND") as caught:
        operation(response)
    assert "did you mean" in caught.value.problems[0].hint


def test_an_unknown_style_of_lists_is_refused() -> None:
    form = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}, "bodyTemplate": {"a": "1"}}
    with pytest.raises(InvalidDefinition, match="E_BODY unknown style of lists 'php'"):
        operation("json", form={"lists": "php"}, **form)


def test_the_schema_knows_both_shapes_of_a_response() -> None:
    operation = '{"method":"GET","response":%s}'
    text = '[{"handle":"a","meta":{"short":"A"},"endpoint":"/a","fields":[],"operations":{"b":' + operation + "}}]"
    assert find_problems(text % '{"kind":"sse","done":"x","join":[],"fields":[]}', kind="resources") == []
    assert [each.code for each in find_problems(text % "5", kind="resources")] == ["E_SHAPE"]


@pytest.mark.parametrize(("count", "refused"), [(10, False), (11, True)])
def test_T44_a_stream_of_too_many_messages_for_one_result_is_refused(
    monkeypatch: pytest.MonkeyPatch, count: int, refused: bool
) -> None:
    monkeypatch.setattr("connector.answers.mapping.MAX_VALUES", 100)
    found, response = operation("ndjson", fields=[]), answer(b"1\n" * count, "application/x-ndjson")
    if not refused:
        assert map_response(found, response).raw == [1] * count
        return
    with pytest.raises(MappingError, match="more than 10 messages"):
        map_response(found, response)


def test_a_stream_that_is_read_whole_leaves_turns_to_others() -> None:
    found, response = operation("ndjson", fields=[]), answer(b"1\n" * 10_000, "application/x-ndjson")
    turns = sum(1 for _ in map_turns(found, response))
    assert turns >= 10_000 // MESSAGES_PER_TURN


@pytest.mark.parametrize("kind", ["sse", "ndjson"])
def test_a_stream_of_many_parts_is_read_as_one(kind: str) -> None:
    line = b"data: 1\r\n\r\n" if kind == "sse" else b"1\r\n"
    found, response = operation(kind, fields=[]), answer(line * PART, "text/event-stream" if kind == "sse" else "")
    assert map_response(found, response).raw == [1] * PART


def test_redteam_11_a_message_shows_a_secret_neither_in_its_data_nor_in_its_event_or_id() -> None:
    reader = ChunkReader(operation("sse"), "sse", limit=1000, hidden=["tok-0123"])
    sent = b'event: tok-0123\nid: 7-tok-0123\ndata: {"a":"tok-0\\u003123"}\n\n'
    (chunk,) = reader.feed(sent)
    assert (chunk.raw, chunk.event, chunk.id) == ({"a": "***"}, "***", "7-***")
