from __future__ import annotations

from typing import Any

import pytest

from connector.digests import hmac_text
from connector.errors import InvalidSignature, MappingError
from connector.events.mapping import map_event, read_message
from connector.headers import Headers
from connector.messages import Request
from connector.model.challenges import Challenge
from connector.parsing.connectors import parse_connector
from tests.doubles.challenges import META, TWITTER, definition

SLACK = {"if": ["type"], "in": ["url_verification"], "body": ["challenge"]}
ZOOM = {
    "if": ["event"], "in": ["endpoint.url_validation"], "body": ["payload", "plainToken"],
    "answer": {"plainToken": "{{challenge}}", "encryptedToken": "{{hmac}}"},
}  # fmt: skip


def read(challenge: Any) -> Challenge:
    (webhook,) = parse_connector(definition(challenge)).webhooks
    assert webhook.challenge is not None
    return webhook.challenge


def test_a_message_is_a_challenge_if_it_says_so() -> None:
    slack = read(SLACK)
    assert slack.find({"type": "url_verification", "challenge": "3eZbrw1a"}) == "3eZbrw1a"
    assert slack.find({"type": "event_callback", "challenge": "3eZbrw1a"}) is None
    for challenge in (None, "", 7, {"a": 1}, "x" * 1025):
        assert slack.find({"type": "url_verification", "challenge": challenge}) is None
    assert read({"body": ["challenge"]}).find({"challenge": "c"}) == "c"
    assert read(META).find({"challenge": "c"}) is None


def test_a_challenge_is_echoed_or_answered_with_its_hash() -> None:
    assert read(SLACK).reply("3eZbrw1a", ["secret"]) == "3eZbrw1a"
    assert read(ZOOM).reply("qgg8", ["newest", "older"]) == {
        "plainToken": "qgg8", "encryptedToken": hmac_text("sha256", "hex", "newest", b"qgg8"),
    }  # fmt: skip
    assert read(TWITTER).reply("foo", ["bar"]) == {
        "response_token": "sha256=" + hmac_text("sha256", "base64", "bar", b"foo")
    }
    with pytest.raises(InvalidSignature):
        read(ZOOM).reply("qgg8", [])


def test_a_challenge_in_the_query_may_ask_for_the_secret() -> None:
    asked = {"hub.challenge": "9", "hub.verify_token": "secret"}
    assert read(META).find_in_query(asked, ["other", "secret"]) == "9"
    assert read(META).find_in_query({}, ["secret"]) is None
    assert read(SLACK).find_in_query(asked, ["secret"]) is None
    assert read(TWITTER).find_in_query({"crc_token": "foo"}, []) == "foo"
    for token in ("", "secre", "secrets"):
        with pytest.raises(InvalidSignature):
            read(META).find_in_query(asked | {"hub.verify_token": token}, ["secret"])


def test_a_form_is_read_by_the_names_of_its_fields() -> None:
    payload = [{"name": "id", "type": "String", "selector": ["MessageSid"]}]
    (webhook,) = parse_connector(
        definition(META, contentType="application/x-www-form-urlencoded", payload=payload)
    ).webhooks
    assert webhook.accepts == ("form",)
    headers = Headers({"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})
    request = Request("POST", "https://x.example", headers=headers, body=b"MessageSid=SM1&Body=h%C3%A9&empty=")
    assert read_message(webhook, request) == {"MessageSid": "SM1", "Body": "hé", "empty": ""}
    import datetime

    event = map_event(webhook, request, now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    assert (event.data, event.subject) == ({"id": "SM1"}, "SM1")


@pytest.mark.parametrize("challenge", ["foo", "qgg8vlvZRS6UYooatFL8Aw", "a-b_c.d+e==", "1234567890"])
def test_a_token_is_signed(challenge: str) -> None:
    assert read(TWITTER).reply(challenge, ["bar"]) == {
        "response_token": "sha256=" + hmac_text("sha256", "base64", "bar", challenge.encode())
    }


@pytest.mark.parametrize(
    "challenge",
    ['{"id":1}', ' {"id":1}', "[1]", "\t[1]", "\ufeff{}", "id=1&n=2", "id=1", "a b", '"x"', "%7B%22id%22%3A1%7D", "1764.{}", "é",
     "https://hooks.example/x", "token\n", "v0:1764000000:{}"],
)  # fmt: skip
@pytest.mark.parametrize("block", [TWITTER, ZOOM], ids=["in the query", "in the body"])
def test_what_could_be_a_message_is_not_signed_for_a_stranger(block: Any, challenge: str) -> None:
    """The signature of a challenge must not be the signature of a message."""
    with pytest.raises(InvalidSignature):
        read(block).reply(challenge, ["bar"])


def test_what_is_only_echoed_may_be_any_text() -> None:
    assert read(SLACK).reply('{"id":1}', ["secret"]) == '{"id":1}'


def test_a_token_that_is_json_is_not_a_message_where_tokens_are_signed() -> None:
    (webhook,) = parse_connector(definition(TWITTER)).webhooks
    for body in (b"1234567890", b"true", b"null", b"-1.5"):
        with pytest.raises(MappingError):
            read_message(webhook, Request("POST", "https://x.example", headers=Headers(), body=body))
