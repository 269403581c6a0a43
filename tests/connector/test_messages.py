"""The values that cross the wall: they compare by value, and no way of showing them shows a secret (T53, T54)."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import BlockedAddress, MappingError, RateLimited, ResponseError, TransportError
from connector.headers import Headers
from connector.messages import (
    MASK,
    Chunk,
    Event,
    Request,
    Response,
    Result,
    Stream,
    mask,
    mask_bytes,
    secret_forms,
    without_query,
)

CANARY = 'sk-"canary/é+%20'
FORMS = secret_forms(CANARY)


def test_requests_compare_by_value_and_not_by_their_secrets() -> None:
    one = Request("GET", "https://h/", headers=Headers({"A": "1"}), body=None, secrets=frozenset({"a"}))
    other = Request("GET", "https://h/", headers=Headers({"a": "1"}))
    assert one == other
    assert hash(one) == hash(other)


def test_a_header_is_set_in_place_of_any_of_its_name() -> None:
    request = Request("GET", "https://h/", headers=Headers({"authorization": "old", "B": "2"}))
    changed = request.with_header("Authorization", "new", secrets=["new"])
    assert changed.headers == {"Authorization": "new", "B": "2"}
    assert changed.secrets == {"new"}


def test_a_header_that_the_operation_declares_itself_wins() -> None:
    request = Request("GET", "https://h/", headers=Headers({"X-Key": "own"}), own_headers=frozenset({"x-key"}))
    assert request.with_header("X-KEY", "auth", secrets=["auth"]) is request


@pytest.mark.parametrize(
    ("body", "text", "parsed"),
    [
        (None, None, None),
        (b'{"a": 1}', '{"a": 1}', {"a": 1}),
        (b"\xff", "\ufffd", None),
        (b"a=b", "a=b", None),
        (b"[" * 100_000, "[" * 100_000, None),
    ],
    ids=["none", "json", "bytes", "form", "deep"],
)
def test_a_body_is_shown_as_text_and_as_json_where_it_is(body: bytes | None, text: str | None, parsed: object) -> None:
    request = Request("POST", "https://h/", body=body)
    assert (text, parsed) == (request.text, request.json)


def planted() -> Request:
    """A request with the canary in every place that a value can land in."""
    quoted, form = urllib.parse.quote(CANARY, safe=""), urllib.parse.quote_plus(CANARY)
    return Request(
        "POST",
        f"https://h/bot{quoted}/x?key={quoted}",
        headers=Headers({"Authorization": f"Bearer {CANARY}"}),
        body=json.dumps({"a": CANARY, "form": form}, ensure_ascii=False).encode(),
        secrets=FORMS,
    )


def shows(text: str | bytes) -> bool:
    """True if any form of the canary stands in the text."""
    text = text if isinstance(text, str) else text.decode()
    return any(form in text for form in FORMS) or "canary" in text


def test_T10_a_masked_request_holds_no_form_of_a_secret() -> None:
    masked = planted().masked()
    assert masked == Request(
        "POST",
        "https://h/bot***/x?key=***",
        headers=Headers({"Authorization": "Bearer ***"}),
        body=b'{"a": "***", "form": "***"}',
    )
    assert Request("GET", "https://h/").masked().body is None


def test_T54_a_request_is_shown_without_query_values_and_secrets() -> None:
    assert repr(planted()) == "<Request POST https://h/bot***/x?…>"
    assert repr(Request("GET", "https://h/x?token=SECRET")) == "<Request GET https://h/x?…>"


def test_T54_a_url_is_logged_without_query_values() -> None:
    assert without_query("https://h/x?token=SECRET") == "https://h/x?…"
    assert without_query("https://h/x") == "https://h/x"


def test_a_response_is_shown_by_status_type_and_size() -> None:
    response = Response(200, Headers({"content-type": "Text/HTML; charset=x"}), CANARY.encode())
    assert repr(response) == f"<Response 200 text/html, {len(CANARY.encode())} bytes>"
    assert repr(Response(204)) == "<Response 204 untyped, 0 bytes>"


@pytest.mark.parametrize(
    "echo",
    [
        CANARY,
        json.dumps(CANARY),
        json.dumps(CANARY, ensure_ascii=False),
        json.dumps(CANARY).replace("/", "\\/"),
        urllib.parse.quote(CANARY, safe=""),
        urllib.parse.quote_plus(CANARY),
    ],
    ids=["plain", "json", "json text", "json of PHP", "percent", "form"],
)
def test_T53_an_answer_that_echoes_a_secret_is_masked(echo: str) -> None:
    response = Response(401, Headers({"www-authenticate": f"Bearer {echo}"}), f"bad token {echo}!".encode())
    masked = response.masked(FORMS)
    assert not shows(masked.headers["www-authenticate"])
    assert not shows(masked.body)
    assert masked.body.endswith(b"***!") or masked.body.endswith(b'***"!')


def test_an_answer_without_a_secret_is_not_made_anew() -> None:
    response = Response(200, Headers({"x": "harmless"}), b"harmless")
    assert response.masked(FORMS) is response


def test_T53_the_longest_secret_is_masked_first() -> None:
    assert mask("abcdef abc", ["abc", "abcdef"]) == f"{MASK} {MASK}"
    assert mask_bytes(b"abcdef abc \xff", ["abc", "abcdef"]) == b"*** *** \xff"


def test_an_empty_secret_masks_nothing() -> None:
    assert secret_forms("") == frozenset()


@given(st.text(min_size=4))
def test_T53_any_secret_is_masked_in_text_and_bytes(secret: str) -> None:
    try:
        forms = secret_forms(secret)
    except UnicodeEncodeError:
        return
    assert secret not in mask(f"<{secret}>", forms).replace(MASK, "")
    assert json.dumps(secret)[1:-1].encode() not in mask_bytes(json.dumps([secret]).encode(), forms).replace(
        b"***", b""
    )


def test_no_error_that_carries_messages_shows_a_secret() -> None:
    request, response = planted(), Response(500, Headers({"x": CANARY}), CANARY.encode())
    result = Result(ok=False, status=500, raw="broken", request=request.masked())
    errors: list[MappingError | TransportError | ResponseError] = [
        MappingError("no", operation="o", request=request.masked(), response=response),
        TransportError("no", operation="o", request=request.masked()),
        BlockedAddress("no", operation="o", request=request.masked()),
        ResponseError("no", operation="o", result=result, response=response),
        RateLimited("no", operation="o", result=result, response=response, retry_after=1.0),
    ]
    for error in errors:
        assert not shows(f"{error} {error!r} {error.request!r} {getattr(error, 'response', None)!r}")


def test_a_result_shows_its_request_masked() -> None:
    assert not shows(repr(Result(ok=True, status=200, request=planted())))


def test_an_event_is_a_value() -> None:
    event = Event(id="1", source="/h/default", type="r/e", subject=None, time="2026-01-01T00:00:00Z", data={"a": 1})
    assert event == dataclasses.replace(event)


def test_secrets_in_the_bytes_of_a_stream_are_masked() -> None:
    request = Request("POST", "https://x.example/", body=Stream((b"a s3cret",), b"--b"), secrets=frozenset({"s3cret"}))
    assert request.masked().body == Stream((b"a ***",), b"--b")
    assert request.text == "a s3cret"
    assert request.json is None


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_E4_a_message_pickles_and_copies_as_it_is(again: Any) -> None:
    request = Request(
        "POST", "https://x.example/", headers=Headers({"A": "b"}), body=Stream((b"a", Path("b.txt")), b"--")
    )
    values = [
        request,
        Response(200, Headers({"A": "b"}), b"x"),
        Result(ok=True, status=200, fields={"a": [1]}, raw={"a": [1]}, warnings=("w",), request=request, run="r"),
        Chunk(fields={"a": 1}, raw="raw", event="e", id="1", warnings=("w",)),
        Event(id="1", source="/h", type="r/e", subject=None, time="2026-01-01T00:00:00Z", data={"a": 1}),
    ]
    assert [again(each) for each in values] == values


async def pieces() -> AsyncIterator[bytes]:
    yield b"once"


def test_E4_a_body_that_only_this_process_can_read_is_pickled_as_it_is_shown() -> None:
    source = pieces()
    stream = Stream((b"a ", source))
    assert copy.deepcopy(stream) is copy.copy(stream) is stream
    assert pickle.loads(pickle.dumps(stream)) == Stream((b"a ", b"<content of a stream>"))


PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=4, max_size=20)


@given(PRINTABLE, st.data())
def test_redteam_11_a_secret_in_json_is_masked_however_its_letters_are_escaped(
    secret: str, data: st.DataObject
) -> None:
    written = "".join(
        data.draw(st.sampled_from([json.dumps(letter)[1:-1], f"\\u{ord(letter):04x}", f"\\u{ord(letter):04X}"]))
        for letter in secret
    )
    body = f'{{"a": "\\\\: {written}"}}'.encode()
    assert json.loads(body)["a"] == "\\: " + secret
    masked = json.loads(Response(200, body=body).masked(secret_forms(secret)).body)
    assert secret not in masked["a"]


@pytest.mark.parametrize("written", ["tok&#45;123", "tok&#x2d;123", "tok&#x02D;1&#050;3"])
def test_redteam_11_a_secret_in_xml_is_masked_with_references_in_it(written: str) -> None:
    body = f"<a>{written} &#60; &#233;</a>".encode()
    assert Response(200, body=body).masked(["tok-123"]).body == b"<a>*** &#60; &#233;</a>"


@pytest.mark.parametrize("body", [rb'{"a": "\\u0074ok-123"}', b"<a>&#116;ok &#45; 123</a>", rb'{"a": "\u0074ok"}'])
def test_an_answer_with_escapes_and_without_a_secret_is_returned_as_it_is(body: bytes) -> None:
    response = Response(200, body=body)
    assert response.masked(["tok-123"]) is response
