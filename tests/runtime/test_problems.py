"""Errors as answers over HTTP: their status, their problem document and their header fields."""

from __future__ import annotations

import json

import pytest

from connector.errors import (
    BlockedAddress,
    InputError,
    InputProblem,
    InvalidSignature,
    JournalUnavailable,
    MissingCredentials,
    RateLimited,
    RequestRefused,
    UnknownOperation,
    UnknownOutcome,
)
from connector.messages import Response, Result
from runtime.problems import failure_document, problem, problem_bytes, status_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("demo", [InputProblem("size", "size: expected a number")]), 422),
        (BlockedAddress("an internal address"), 403),
        (UnknownOutcome("the provider may have acted"), 502),
        (RequestRefused(409, "taken"), 409),
        (MissingCredentials("demo", [InputProblem("key", "key is not set")]), 422),
        (UnknownOperation("demo", "things.red", ["things.read"]), 404),
        (ZeroDivisionError(), 500),
    ],
)
def test_an_error_has_the_status_of_its_nearest_class(error: Exception, status: int) -> None:
    assert status_of(error) == status
    assert problem(error)[1]["status"] == status


def test_a_journal_that_is_away_says_when_to_come_back_in_whole_seconds() -> None:
    assert problem(JournalUnavailable("the disk is full", retry_after=1.2))[2] == {"Retry-After": "2"}


def test_the_failure_of_a_provider_has_its_status_and_its_wait() -> None:
    answer = Response(429)
    result = Result(ok=False, status=429, raw=None)
    error = RateLimited("slow down", operation="demo", result=result, response=answer, retry_after=7.0)
    status, document, headers = problem(error)
    assert (status, document["provider_status"], headers["Retry-After"]) == (502, 429, "7")


def test_who_did_not_show_a_token_learns_how_to_show_one() -> None:
    assert problem(InvalidSignature.refused())[2] == {"WWW-Authenticate": 'Bearer realm="connector"'}


def test_an_error_that_was_not_foreseen_says_where_it_arose_and_nothing_else() -> None:
    try:
        raise ValueError("s3cret")
    except ValueError as error:
        document = failure_document(error)
    assert "s3cret" not in json.dumps(document)
    assert document["detail"].startswith("ValueError at test_problems.py:")
    assert failure_document(OSError(28, "No space left on device", "/a"))["detail"] == "/a: no space left on device"


def test_the_answer_is_a_problem_document_as_json() -> None:
    status, body, headers = problem_bytes(RequestRefused(405, "a webhook takes POST", headers={"Allow": "POST"}))
    assert (status, headers) == (405, {"Content-Type": "application/problem+json", "Allow": "POST"})
    assert json.loads(body)["detail"] == "a webhook takes POST"
