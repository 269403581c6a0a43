"""What the mock says of a request that does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from connector.headers import Headers
from connector.messages import Request
from runtime.mock.provider import MockProvider
from tests.doubles.mistral import (
    CHAT,
    EXAMPLES,
    HOME,
    MISTRAL,
    TOKEN,
    changed,
    complaints,
    get,
    messages,
    post,
    without,
)

pytestmark = pytest.mark.anyio


HELLO = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("body", "location", "kind"),
    [
        (without("model"), ["model"], "missing"),
        (without("messages"), ["messages"], "missing"),
        (messages({"role": "user"}), ["messages", 0, "content"], "missing"),
        (messages({"content": "hi"}), ["messages", 0, "role"], "missing"),
        (messages({"role": "system", "content": "hi"}), ["messages", 0, "role"], "literal_error"),
        (messages({**HELLO, "name": "x"}), ["messages", 0, "name"], "extra_forbidden"),
        (messages("hi"), ["messages", 0], "dict_type"),
        (messages({"role": "user", "content": 5}), ["messages", 0, "content"], "string_type"),
        (messages({"role": "user", "content": None}), ["messages", 0, "content"], "string_type"),
        (messages({"role": "user", "content": ["hi"]}), ["messages", 0, "content"], "string_type"),
        (changed(messages=HELLO), ["messages"], "list_type"),
        (changed(messages=[]), ["messages"], "too_short"),
        (changed(messages=[HELLO, HELLO]), ["messages"], "too_long"),
        (changed(tools=[]), ["tools"], "extra_forbidden"),
        (changed(max_tokens="9"), ["max_tokens"], "integer_type"),
        (changed(max_tokens=True), ["max_tokens"], "integer_type"),
        (changed(max_tokens=1.5), ["max_tokens"], "integer_type"),
        (changed(max_tokens=2**63), ["max_tokens"], "integer_type"),
        (changed(max_tokens=None), ["max_tokens"], "integer_type"),
        (changed(temperature="0.7"), ["temperature"], "number_type"),
        (changed(temperature=1.6), ["temperature"], "value_error"),
        (changed(temperature=-0.1), ["temperature"], "value_error"),
        ([CHAT], [], "dict_type"),
        (None, [], "dict_type"),
    ],
)
def test_T15_a_body_unlike_its_template_is_422_and_says_where(body: Any, location: list[Any], kind: str) -> None:
    # Its custom operations take other bodies at the same path.
    provider = MockProvider([replace(MISTRAL, custom_operations={})], {"mistral-ai": EXAMPLES})
    assert [(["body", *location], kind)] == complaints(provider.answer(post(body)))


def test_everything_wrong_with_a_body_is_said_at_once_in_words_and_without_its_values(provider: MockProvider) -> None:
    response = provider.answer(post({"messages": [{"role": "user", "content": 12345}], "max_tokens": "s3cret"}))
    assert [location for location, _ in complaints(response)] == [
        ["body", "model"],
        ["body", "messages", 0, "content"],
        ["body", "max_tokens"],
    ]
    assert all(each.keys() == {"loc", "msg", "type"} and each["msg"] for each in json.loads(response.body)["detail"])
    assert b"12345" not in response.body
    assert b"s3cret" not in response.body


@pytest.mark.parametrize("body", [b"", b" \n"], ids=["none", "blank"])
def test_a_body_that_is_missing_is_422(provider: MockProvider, body: bytes) -> None:
    assert complaints(provider.answer(post(body))) == [(["body"], "missing")]


def test_a_body_where_none_is_declared_is_422(provider: MockProvider) -> None:
    url = f"{HOME}/batch/jobs/one/cancel"
    assert complaints(provider.answer(post({"a": 1}, url=url))) == [(["body"], "extra_forbidden")]
    assert provider.answer(Request("POST", url, headers=Headers(TOKEN))).status == 200


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", []),
        ("page=0&page_size=5&include_total=true&search=a%20b&purpose=batch", []),
        ("sample_type=pretrain&sample_type=instruct", []),
        ("search=", []),
        ("pages=1", [("pages", "extra_forbidden")]),
        ("page=one", [("page", "integer_parsing")]),
        ("page=1.5", [("page", "integer_parsing")]),
        ("page=", [("page", "integer_parsing")]),
        ("page=1&page=2", [("page", "too_long")]),
        ("include_total=1", [("include_total", "boolean_parsing")]),
        ("purpose=none", [("purpose", "string_parsing")]),
        ("sample_type=none", [("sample_type", "list_parsing")]),
        ("a&b=1", [("a", "extra_forbidden"), ("b", "extra_forbidden")]),
    ],
)
def test_T25_a_query_unlike_what_is_declared_is_422(
    provider: MockProvider, query: str, expected: list[tuple[str, str]]
) -> None:
    response = provider.answer(get(f"{HOME}/files?{query}"))
    assert [(["query", name], kind) for name, kind in expected] == (
        complaints(response) if response.status != 200 else []
    )
