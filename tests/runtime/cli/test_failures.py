"""A failure becomes an exit code by its class, words that begin with the provider's own, and a problem document."""

from __future__ import annotations

import click
import pytest

from connector import errors
from connector.errors import (
    BlockedAddress,
    ConfigurationError,
    ConnectorError,
    InputError,
    InputProblem,
    InvalidDefinition,
    JournalUnavailable,
    MappingError,
    MissingCredentials,
    NeedsReauthorization,
    NotInJournal,
    OriginChanged,
    Problem,
    RateLimited,
    RequestRefused,
    ResponseError,
    TransportError,
    UnknownConnector,
    UnknownOperation,
    UnknownOutcome,
)
from connector.headers import Headers
from connector.messages import Request, Response, Result
from runtime.cli.failures import EXIT_CODES, describe_failure, exit_code, failure_document
from runtime.problems import problem

REQUEST = Request("GET", "https://api.example.com/v1/things", headers=Headers({"Authorization": "Bearer ***"}))


def answered(status: int) -> ResponseError:
    result = Result(ok=False, status=status, request=REQUEST)
    return ResponseError(
        "no such thing", hint="try this", operation="x things.list", result=result, response=Response(status)
    )


FAILURES = [
    (ConnectorError("x"), 1),
    (ZeroDivisionError("x"), 1),
    (JournalUnavailable("x"), 1),
    (ConfigurationError("x"), 2),
    (NotInJournal("event", "x"), 2),
    (RequestRefused(404, "x"), 2),
    (UnknownConnector("a", ["b"]), 2),
    (UnknownOperation("a", "b", ["c"]), 2),
    (click.UsageError("x"), 2),
    (click.FileError("x"), 2),
    (InvalidDefinition([]), 3),
    (answered(302), 4),
    (answered(404), 4),
    (answered(499), 4),
    (
        RateLimited("x", operation="o", result=Result(ok=False, status=429), response=Response(429), retry_after=None),
        4,
    ),
    (answered(500), 5),
    (answered(599), 5),
    (MappingError("x"), 5),
    (InputError("o", []), 6),
    (MissingCredentials("o", []), 6),
    (NeedsReauthorization("o", []), 6),
    (OriginChanged("o", {}, ""), 6),
    (TransportError("x"), 7),
    (UnknownOutcome("x"), 7),
    (BlockedAddress("x"), 7),
    (click.Abort(), 130),
    (KeyboardInterrupt(), 130),
]


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=lambda value: type(value).__name__)
def test_the_nearest_class_decides_on_the_exit_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=lambda value: type(value).__name__)
def test_an_error_of_a_server_exits_as_if_it_had_arisen_here(error: BaseException, code: int) -> None:
    if isinstance(error, ConnectorError):
        status, document, _ = problem(error)
        told = RequestRefused(status, document["detail"], hint=document["hint"], document=document)
        assert (exit_code(told), failure_document(told)) == (code, document)


def test_every_error_of_the_product_is_tried_here() -> None:
    tree = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ConnectorError)}
    untried = {each.__name__ for each in tree - {type(error) for error, _ in FAILURES}}
    assert untried == {"InvalidSignature"}  # no command receives events
    assert {EXIT_CODES[click.Abort], EXIT_CODES[ConfigurationError]} == {130, 2}


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=lambda value: type(value).__name__)
def test_every_failure_has_words_and_a_document(error: BaseException, code: int) -> None:
    assert code
    document = failure_document(error)
    assert {"type", "title", "detail", "code", "hint"} <= document.keys()
    assert document["code"].startswith("E_")
    assert next(kind for kind, _ in describe_failure(error)) in {"error", "note"}


def test_the_providers_own_words_come_first_then_status_request_and_hint() -> None:
    assert list(describe_failure(answered(404))) == [
        ("error", "no such thing"),
        ("status", "404"),
        ("request", "GET https://api.example.com/v1/things"),
        ("hint", "try this"),
    ]


def test_a_network_failure_names_the_request() -> None:
    error = TransportError("no connection", hint="try again", operation="x things.list", request=REQUEST)
    assert list(describe_failure(error)) == [
        ("error", "x things.list: no connection"),
        ("request", "GET https://api.example.com/v1/things"),
        ("hint", "try again"),
    ]


def test_every_wrong_input_has_its_line() -> None:
    one, two = InputProblem("a", "a is missing"), InputProblem("b", "b: expected text")
    assert list(describe_failure(InputError("things.list", [one, two], hint="see"))) == [
        ("error", "things.list: 2 inputs are not right"),
        ("", "a is missing"),
        ("", "b: expected text"),
        ("hint", "see"),
    ]
    assert list(describe_failure(InputError("things.list", [one]))) == [("error", "things.list: a is missing")]


def test_every_problem_of_a_definition_is_said() -> None:
    problems = [
        Problem("E_A", "first", hint="do", file="a.json", line=1, column=2),
        Problem("E_B", "second", pointer="/x"),
    ]
    assert list(describe_failure(InvalidDefinition(problems))) == [
        ("error", "2 problems in the definition"),
        ("", "a.json:1:2 E_A first"),
        ("hint", "do"),
        ("", "/x E_B second"),
    ]


def test_the_text_of_an_unforeseen_error_is_not_shown() -> None:
    def fail() -> None:
        raise ZeroDivisionError("s3cret")

    with pytest.raises(ZeroDivisionError) as caught:
        fail()
    assert "s3cret" not in str(failure_document(caught.value)) + str(list(describe_failure(caught.value)))
    assert failure_document(caught.value)["detail"].startswith("ZeroDivisionError at test_failures.py:")
    assert failure_document(OSError(28, "No space left on device"))["detail"] == "no space left on device"


def test_a_usage_error_says_where_to_read_on() -> None:
    document = failure_document(click.UsageError("no such option"))
    assert (document["code"], document["detail"], document["hint"]) == (
        "E_USAGE",
        "no such option",
        "see: connector --help",
    )
