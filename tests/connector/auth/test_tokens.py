"""Answers of a token endpoint: grants, refusals, outages; and how long a token lasts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from connector.auth.tokens import Grant, read_grant
from connector.errors import NeedsReauthorization, TransportError
from connector.headers import Headers
from connector.messages import Response

NOW = 1_800_000_000.0


def answer(document: Any, status: int = 200) -> Response:
    return Response(status, Headers({"Content-Type": "application/json"}), json.dumps(document).encode())


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"access_token": "t", "expires_in": 60}, Grant(token="t", issued_at=NOW, expires_at=NOW + 60)),
        (
            {"access_token": "t", "expires_in": "60", "refresh_token": "r"},
            Grant(token="t", issued_at=NOW, expires_at=NOW + 60, refresh_token="r"),
        ),
        ({"access_token": "t"}, Grant(token="t", issued_at=NOW)),
        ({"access_token": "t", "expires_in": "soon", "refresh_token": ""}, Grant(token="t", issued_at=NOW)),
        ({"access_token": "t", "expires_in": -1}, Grant(token="t", issued_at=NOW)),
        ({"access_token": "t", "expires_in": 1e300}, Grant(token="t", issued_at=NOW)),
    ],
)
def test_an_answer_becomes_a_grant(document: Mapping[str, Any], expected: Grant) -> None:
    assert expected == read_grant(answer(document), NOW)


def test_a_refresh_token_that_is_not_replaced_stays() -> None:
    assert (
        read_grant(
            answer({"access_token": "t"}),
            NOW,
            previous=Grant(token="o", issued_at=0.0, expires_at=1.0, refresh_token="r"),
        ).refresh_token
        == "r"
    )


def test_an_old_endpoint_may_answer_with_a_form() -> None:
    response = Response(200, Headers({"Content-Type": "application/x-www-form-urlencoded"}), b"access_token=t&scope=")
    assert read_grant(response, NOW) == Grant(token="t", issued_at=NOW)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (answer({"error": "invalid_grant", "error_description": "gone: canary"}, 400), "400: invalid_grant: gone: "),
        (answer({"error": "bad_code"}), "200: bad_code"),
        (answer({"access_token": 7, "message": "no"}), "200: no"),
        (answer([]), "no token, and no reason"),
        (Response(302, Headers({"Location": "https://evil.test"})), "302"),
        (Response(200, Headers({"Content-Type": "text/html"}), b"<html>"), "no token, and no reason"),
        (answer({"access_token": "line\nbreak"}), "cannot be sent in a header"),
        (answer({"access_token": ""}), "cannot be sent in a header"),
    ],
)
def test_a_refusal_says_why_and_repeats_no_secret(response: Response, words: str) -> None:
    with pytest.raises(NeedsReauthorization) as caught:
        read_grant(response, NOW, secrets=["canary"])
    assert words in caught.value.message
    assert "canary" not in caught.value.message


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_an_outage_is_no_refusal(status: int) -> None:
    with pytest.raises(TransportError, match=str(status)):
        read_grant(Response(status), NOW)


def test_a_grant_is_renewed_a_minute_before_it_ends_or_in_the_last_fifth_of_a_short_life() -> None:
    long, short = (
        Grant(token="t", issued_at=NOW, expires_at=NOW + 3600),
        Grant(token="t", issued_at=NOW, expires_at=NOW + 10),
    )
    assert [long.is_fresh(NOW + each) for each in (0, 3539, 3540)] == [True, True, False]
    assert [short.is_fresh(NOW + each) for each in (0, 7.9, 8)] == [True, True, False]
    assert [short.is_alive(NOW + each) for each in (9.9, 10)] == [True, False]
    assert Grant(token="t", issued_at=NOW).is_fresh(NOW + 1e9)
    assert Grant(token="t", issued_at=NOW).is_alive(NOW + 1e9)


def test_a_grant_is_stored_and_read_and_shows_no_token() -> None:
    grant = Grant(token="canary-a", issued_at=1.0, expires_at=2.0, refresh_token="canary-b")
    assert Grant.from_json(json.loads(json.dumps(grant.to_json()))) == grant
    assert Grant.from_json({}) is None
    assert "canary" not in repr(grant)


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain; charset=utf-8", "text/html", ""]
)
def test_report_17_a_form_is_read_whatever_its_type(content_type: str) -> None:
    headers = Headers({"Content-Type": content_type} if content_type else {})
    response = Response(200, headers, b"access_token=tk&expires=5184000&refresh_token=r%2F1\n")
    assert read_grant(response, NOW) == Grant(token="tk", issued_at=NOW, refresh_token="r/1")


@pytest.mark.parametrize("body", [b"<a href='?access_token=t'>", b"sorry access_token=t", b"=t", b"a", b"\xff=1"])
def test_what_only_resembles_a_form_is_none(body: bytes) -> None:
    with pytest.raises(NeedsReauthorization, match="no token, and no reason"):
        read_grant(Response(200, Headers({"Content-Type": "text/html"}), body), NOW)
