"""Every error says who must act, carries fields, and ends with a hint."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

import connector
from connector import errors
from connector.errors import (
    BlockedAddress,
    ConfigurationError,
    ConnectorError,
    InputError,
    InputProblem,
    InvalidDefinition,
    InvalidSignature,
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
    did_you_mean,
    problem_document,
)
from connector.messages import Request, Response, Result

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, ConnectorError)]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = [line.replace("│", " ") for line in errors.__doc__.splitlines() if "──" in line]
    # Each level is indented by four more.
    tree: list[type] = [ConnectorError]
    for line in drawn:
        depth = line.index("──") // 4
        name = line.partition("── ")[2].split()[0]
        found = getattr(errors, name)
        tree = [*tree[:depth], found]
        assert found.__bases__ == (tree[depth - 1],)
    assert {line.partition("── ")[2].split()[0] for line in drawn} == {each.__name__ for each in CLASSES} - {
        "ConnectorError"
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_a_code_a_docstring_and_a_place_at_the_public_door(kind: type[ConnectorError]) -> None:
    assert kind.code.startswith("E_")
    assert kind.__doc__
    assert getattr(connector, kind.__name__) is kind


def test_codes_tell_errors_apart() -> None:
    assert len({each.code for each in CLASSES}) == len(CLASSES)


def test_a_problem_is_an_error_or_a_warning_by_its_code() -> None:
    assert Problem("E_X", "x").is_error
    assert not Problem("W_X", "x").is_error


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("E_X", "wrong", hint="do", pointer="/a", file="a.json", line=3, column=4), "a.json:3:4 E_X wrong"),
        (Problem("E_X", "wrong", hint="do", pointer="/a", file="a.json"), "a.json E_X wrong"),
        (Problem("E_X", "wrong", hint="do", pointer="/a"), "/a E_X wrong"),
        (Problem("E_X", "wrong"), "/ E_X wrong"),
    ],
)
def test_a_problem_is_shown_with_the_best_place_it_has(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_an_invalid_definition_lists_all_its_problems() -> None:
    one, two = Problem("E_A", "a", pointer="/a"), Problem("E_B", "b", pointer="/b")
    error = InvalidDefinition(iter([one, two]))
    assert error.problems == (one, two)
    assert str(error) == "2 problems in the definition\n  /a E_A a\n  /b E_B b"
    assert str(InvalidDefinition([one])) == "1 problem in the definition\n  /a E_A a"


def test_an_input_error_joins_what_is_wrong_with_each_input() -> None:
    for kind in (InputError, MissingCredentials):
        error = kind("things.read", [InputProblem("a", "a is missing"), InputProblem("b", "b: no")], hint="look")
        assert (str(error), error.operation, error.hint) == ("things.read: a is missing; b: no", "things.read", "look")
        assert [each.name for each in error.errors] == ["a", "b"]


def test_what_is_unknown_is_answered_with_the_nearest_that_is_known() -> None:
    operation = UnknownOperation("demo", "things.raed", {"things.read", "things.list"})
    assert (str(operation), operation.hint) == ("demo: no operation 'things.raed'", "did you mean 'things.read'?")
    handle = UnknownConnector("mistral", ["mistral-ai", "slack"])
    assert (str(handle), handle.hint) == ("no connector 'mistral'", "did you mean 'mistral-ai'?")


def test_T42_a_secret_that_was_entered_for_another_origin_names_both() -> None:
    names = ["apiToken", "secret"]
    error = OriginChanged("demo", dict.fromkeys(names, "https://old.example"), "https://new.example", hint="enter it")
    assert error.hint == "enter it"
    where = "was entered for https://old.example, and the connection leads to https://new.example now"
    assert [each.message for each in error.errors] == [f"{name} {where}" for name in names]
    nowhere = OriginChanged("demo", {"grant": ""}, "")
    assert str(nowhere) == "demo: grant was entered for nowhere, and the connection leads to nowhere now"
    assert (nowhere.origin, nowhere.entered) == ("nowhere", {"grant": ""})


def test_what_the_journal_lacks_or_cannot_do_is_said() -> None:
    lacking = NotInJournal("delivery", "dlv_1")
    assert (str(lacking), lacking.kind, lacking.id) == ("no delivery 'dlv_1' in the journal", "delivery", "dlv_1")
    full = JournalUnavailable("the disk is full", hint="make room", retry_after=30)
    assert (str(full), full.hint, full.retry_after) == ("the disk is full", "make room", 30)


def test_a_bad_signature_is_refused_without_a_reason() -> None:
    assert str(InvalidSignature.refused()) == "the message is not signed as its connection demands"


def test_a_request_to_us_that_is_refused_has_the_status_and_the_fields_of_its_answer() -> None:
    refused = RequestRefused(405, "no", hint="use POST", headers={"Allow": "POST"}, document={"code": "E_REQUEST"})
    assert (refused.status, refused.hint, refused.headers) == (405, "use POST", {"Allow": "POST"})
    assert problem_document(refused) == refused.document == {"code": "E_REQUEST"}
    assert (RequestRefused(400, "no").headers, RequestRefused(400, "no").document) == ({}, {})


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("lits", ["list", "read"], "did you mean 'list'?"),
        ("zzz", ["list", "read"], "known: list, read"),
        ("zzz", [], "none exist"),
    ],
)
def test_a_hint_names_the_nearest_or_lists_the_known(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint


@pytest.mark.parametrize("kind", [MappingError, TransportError, BlockedAddress])
def test_an_error_of_the_way_names_its_operation(kind: Any) -> None:
    request = Request("GET", "https://demo.example")
    error = kind("it broke", hint="wait", operation="a.b", request=request)
    assert (str(error), error.operation, error.request, error.hint) == ("a.b: it broke", "a.b", request, "wait")
    assert str(kind("it broke")) == "it broke"


def test_a_mapping_error_carries_the_answer() -> None:
    response = Response(200)
    assert MappingError("x", response=response).response is response


def test_what_the_provider_refused_carries_result_and_answer() -> None:
    result = Result(ok=False, status=429, request=Request("GET", "https://demo.example"))
    common: dict[str, Any] = {"operation": "a.b", "result": result, "response": Response(429), "hint": "wait"}
    refused = ResponseError("too much", **common)
    limited = RateLimited("too much", **common, retry_after=2.5)
    assert limited.retry_after == 2.5
    for error in (refused, limited):
        assert (str(error), error.status, error.request, error.hint) == ("too much", 429, result.request, "wait")
        assert (error.operation, error.result, error.response) == ("a.b", result, Response(429))


def test_every_json_form_of_an_error_shares_its_members() -> None:
    assert problem_document(ConfigurationError("no such file", hint="make it")) == {
        "type": "about:blank",
        "title": "A setting, a file or an address given by the operator cannot be used",
        "detail": "no such file",
        "code": "E_CONFIGURATION",
        "hint": "make it",
    }
    assert problem_document(InvalidSignature("no"))["code"] == "E_SIGNATURE"


def test_the_json_form_lists_inputs_and_problems() -> None:
    inputs = problem_document(InputError("a.b", [InputProblem("x", "x is missing")]))
    assert inputs["errors"] == [{"name": "x", "message": "x is missing"}]
    problem = Problem("E_A", "a", hint="do", pointer="/a", file="f.json", line=1, column=2)
    assert problem_document(InvalidDefinition([problem]))["problems"] == [
        {
            "file": "f.json",
            "line": 1,
            "column": 2,
            "pointer": "/a",
            "code": "E_A",
            "message": "a",
            "hint": "do",
        }
    ]


def test_an_error_without_a_docstring_is_titled_by_its_code() -> None:
    class Bare(ConnectorError):
        code = "E_BARE"

    assert problem_document(Bare("x"))["title"] == "E_BARE"


def made_errors() -> list[ConnectorError]:
    """An error of each class, with all its members."""
    request, problem = (
        Request("POST", "https://demo.example", body=b"{}"),
        Problem("E_A", "a", hint="do", pointer="/a", file="f", line=1, column=2),
    )
    result = Result(ok=False, status=429, raw={"a": [1]}, request=request, warnings=("w",))
    inputs, call = [InputProblem("x", "x is missing")], {"hint": "wait", "operation": "a.b", "request": request}
    refused: dict[str, Any] = {"operation": "a.b", "result": result, "response": Response(429, body=b"x")}
    return [
        ConnectorError("it broke", hint="mend it"),
        InvalidDefinition([problem, problem]),
        InputError("a.b", inputs, hint="see"),
        MissingCredentials("demo", inputs, hint="set"),
        NeedsReauthorization("demo", inputs),
        OriginChanged("demo", {"key": "https://a"}, "https://b", hint="enter"),
        UnknownOperation("demo", "a.c", ["a.b"]),
        UnknownConnector("dem", ["demo"]),
        ConfigurationError("no file", hint="make it"),
        NotInJournal("event", "e1"),
        JournalUnavailable("full", hint="free", retry_after=9.0),
        InvalidSignature.refused(),
        RequestRefused(429, "slow", hint="wait", headers={"Retry-After": "1"}, document={"code": "E_X"}),
        MappingError("no", response=Response(200, body=b"x"), hint="h", operation="a.b", request=request),
        TransportError("no", **call, sent=False, temporary=False),  # type: ignore[arg-type]
        UnknownOutcome("no", **call),  # type: ignore[arg-type]
        BlockedAddress("no", **call),
        ResponseError("said", **refused, hint="h", provider_code="c"),
        RateLimited("slow", **refused, retry_after=2.5),
    ]


def test_an_error_of_each_class_is_made() -> None:
    assert {type(each) for each in made_errors()} == set(CLASSES)


@pytest.mark.parametrize("error", made_errors(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "deep", "pickle"]
)
def test_E4_an_error_pickles_and_copies_as_it_is(error: ConnectorError, again: Any) -> None:
    error.add_note("a note")
    made = again(again(error))
    assert type(made) is type(error)
    assert (str(made), made.args, made.__dict__) == (str(error), error.args, error.__dict__)
    made.hint = "another"
    assert error.hint != "another"


def test_E4_an_error_of_somebody_else_below_ours_pickles_too() -> None:
    made = pickle.loads(pickle.dumps(Theirs(7)))
    assert (type(made), made.seven, str(made)) == (Theirs, 7, "7 of them")


class Theirs(ConnectorError):
    """An error of a host."""

    def __init__(self, seven: int) -> None:
        super().__init__(f"{seven} of them")
        self.seven = seven
