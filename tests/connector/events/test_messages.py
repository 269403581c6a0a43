"""The kinds of inbound messages, by the media types that webhooks accept."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from connector.errors import InvalidDefinition, MappingError
from connector.events.mapping import explain_event, find_events, map_event
from connector.events.messages import MAX_FIELDS, MESSAGE_KINDS, find_kind
from connector.headers import Headers
from connector.messages import Request
from connector.model.definition import Webhook
from connector.parsing.connectors import find_problems, parse_connector

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
FORM = "application/x-www-form-urlencoded"
PAYLOAD = [
    {"name": "user", "type": "Any", "selector": ["payload", "user", "id"]},
    {"name": "tags", "type": "Array", "selector": ["tag"]},
    {"name": "labels", "type": "String", "selector": ["label", 0], "multivalue": True},
]


def definition(**members: Any) -> dict[str, Any]:
    hook = {"event": "made", "path": "/webhooks/demo/made", "payload": PAYLOAD, **members}
    things = {"handle": "things", "endpoint": "/things", "webhooks": [hook]}
    return {"handle": "demo", "service": {"baseURL": "https://demo.example"}, "resources": [things]}


def webhook(**members: Any) -> Webhook:
    (found,) = parse_connector(definition(**members)).webhooks
    return found


def arrived(body: bytes, content_type: str = "") -> Request:
    headers = Headers({"content-type": content_type} if content_type else {})
    return Request(method="POST", url="https://hooks.example/webhooks/demo/made", headers=headers, body=body)


def data(hook: Webhook, body: bytes, content_type: str = "") -> dict[str, Any]:
    return dict(map_event(hook, arrived(body, content_type), now=NOW).data)


def test_report_21_json_in_a_field_of_a_form_is_read_and_repeated_fields_are_lists() -> None:
    hook = webhook(contentType="form", form={"json": ["payload"]})
    body = b"payload=%7B%22user%22%3A%7B%22id%22%3A%22U1%22%7D%7D&tag=a&tag=b&label=c&label=d"
    assert data(hook, body, FORM) == {"user": "U1", "tags": ["a", "b"], "labels": ["c", "d"]}
    assert data(hook, b"tag=a&label=c", FORM) == {"user": None, "tags": ["a"], "labels": ["c"]}


def test_json_in_a_field_of_a_form_that_cannot_be_read_is_refused() -> None:
    hook = webhook(contentType="form", form={"json": ["payload"]})
    with pytest.raises(MappingError, match="cannot be read: it is not JSON"):
        data(hook, b"payload=%7B", FORM)


def test_each_of_several_fields_that_hold_json_is_read() -> None:
    hook = webhook(contentType="form", form={"json": ["tag"]})
    assert data(hook, b"tag=1&tag=%7B%22a%22%3A2%7D", FORM)["tags"] == [1, {"a": 2}]


def multipart(*parts: str) -> bytes:
    return "".join(f"--x\r\nContent-Disposition: form-data; {part}\r\n" for part in (*parts,)).encode() + b"--x--\r\n"


def test_report_22_the_parts_of_a_form_are_read_by_name_and_of_a_file_its_name() -> None:
    hook = webhook(contentType="multipart", form={"json": ["payload"]})
    body = multipart(
        'name="payload"\r\n\r\n{"user": {"id": "\u00fc"}}',
        'name="tag"\r\n\r\na',
        'name="label"; filename="l.txt"\r\n\r\nxyz',
    )
    found = data(hook, body, 'multipart/form-data; boundary="x"')
    assert found == {"user": "\u00fc", "tags": ["a"], "labels": ["l.txt"]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no parts",
        multipart('filename="a"\r\n\r\n1'),
        b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\n1\r\n--y--\r\n--x--\r\n",
        multipart('name="a"\r\n\r\n1')[:-8],
        multipart(*[f'name="n{n}"\r\n\r\n1' for n in range(MAX_FIELDS + 1)]),
         b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--x--\r\n',
    ],
)  # fmt: skip
def test_a_broken_multipart_body_is_refused(body: bytes) -> None:
    with pytest.raises(MappingError, match="the body of the message cannot be read"):
        data(webhook(contentType="multipart"), body, "multipart/form-data; boundary=x")


@pytest.mark.parametrize("content_type", ["text/plain; charset=UTF-8", "text/json"])
def test_T71_report_22_json_that_is_called_text_is_read_where_it_is_declared(content_type: str) -> None:
    hook = webhook(contentType=["json", "text"])
    assert find_kind(hook.accepts, arrived(b"{}", content_type)) == "text"
    assert data(hook, json.dumps({"payload": {"user": {"id": 1}}}).encode(), content_type)["user"] == 1
    assert find_kind(webhook().accepts, arrived(b"{}", content_type)) is None


def test_xml_is_read_where_it_is_declared() -> None:
    hook = webhook(contentType="xml", payload=[{"name": "id", "type": "String", "selector": ["a", "id"]}])
    assert data(hook, b"<a><id>7</id></a>", "text/xml") == {"id": "7"}


def test_report_22_an_empty_message_is_one_where_it_is_declared() -> None:
    hook = webhook(contentType=["json", "none"])
    assert data(hook, b"") == {"user": None, "tags": None, "labels": []}
    assert find_kind(hook.accepts, arrived(b'{"tag": ["a"]}')) == "json"
    with pytest.raises(MappingError, match="no media type"):
        data(webhook(contentType="none"), b"{}")
    with pytest.raises(MappingError, match="not JSON"):
        data(webhook(), b"")


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("application/json", "json"),
        ("Application/CloudEvents+JSON; charset=utf-8", "json"),
        (FORM, "form"),
        ("multipart/form-data; boundary=x", "multipart"),
        ("application/atom+xml", "xml"),
        ("application/octet-stream", None),
        ("json", None),
    ],
)
def test_the_kind_follows_the_media_type(media_type: str, kind: str | None) -> None:
    assert find_kind(MESSAGE_KINDS, arrived(b"{}", media_type)) == kind


def test_the_media_types_of_the_first_edition_name_the_same_kinds() -> None:
    assert webhook(contentType=["application/json", FORM, "json"]).accepts == ("json", "form")


def test_an_unknown_kind_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        webhook(contentType=["json", "yaml"])
    (found,) = (each for each in caught.value.problems if each.code == "E_CONTENT_TYPE")
    assert found.pointer == "/resources/0/webhooks/0/contentType/1"
    assert find_problems(json.dumps(definition()), kind="connector") == []


@pytest.mark.parametrize(
    ("records", "document", "found"),
    [
        (None, [1], [[1]]),
        ([], [{"id": 1}, {"id": 2}], [{"id": 1}, {"id": 2}]),
        (["events"], {"events": [{"id": 1}]}, [{"id": 1}]),
        (["events"], {"events": {"id": 1}}, [{"id": 1}]),
        (["events"], {"other": 1}, []),
    ],
)
def test_report_06_the_events_of_a_message_are_its_records(
    records: list[str] | None, document: Any, found: Any
) -> None:
    members = {} if records is None else {"records": records}
    assert find_events(webhook(**members), document) == found


def test_events_that_share_a_path_have_a_match_each() -> None:
    kinds = [{"selector": ["type"], "in": ["a"]}, {"selector": ["type"], "in": ["b"]}]
    source = definition()
    hook = source["resources"][0]["webhooks"][0]
    source["resources"][0]["webhooks"] = [{**hook, "event": each["in"][0], "match": each} for each in kinds]
    first, second = parse_connector(source).webhooks
    assert (find_events(first, {"type": "a"}), find_events(second, {"type": "a"})) == ([{"type": "a"}], [])
    del source["resources"][0]["webhooks"][1]["match"]
    (problem,) = find_problems(json.dumps(source), kind="connector")
    assert (problem.code, problem.pointer) == ("E_DOUBLED", "/resources/0/webhooks/1/path")
    assert "match" in problem.hint


def test_a_match_whose_selector_cannot_be_read_is_a_problem() -> None:
    text = json.dumps(definition(match={"selector": "$.a where b", "in": ["a"]}))
    assert {each.code for each in find_problems(text, kind="connector")} == {"E_SELECTOR"}


def test_a_kind_that_is_not_text_is_left_to_the_schema() -> None:
    problems = find_problems(json.dumps(definition(contentType=["json", 5])), kind="connector")
    assert [(each.code, each.pointer) for each in problems] == [("E_SHAPE", "/resources/0/webhooks/0/contentType/1")]


def test_report_06_a_message_in_which_no_field_is_found_is_explained() -> None:
    hook = webhook(payload=[{"name": "id", "type": "String"}])
    for document, said in (
        ({"id": "1"}, ""),
        ({"event": {"id": "1"}}, "0 of 1 fields matched; 1 of 1 match at $.event"),
    ):
        event = map_event(hook, arrived(json.dumps(document).encode()), now=NOW)
        assert explain_event(hook, document, event) == said
    empty = webhook(payload=[])
    assert explain_event(empty, {}, map_event(empty, arrived(b"{}"), now=NOW)) == ""
