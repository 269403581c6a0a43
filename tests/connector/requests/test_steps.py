"""Custom operations: their steps as they are read, and how they run over one map of variables."""

from __future__ import annotations

import base64
import email
import email.policy
from typing import Any

import pytest

from connector.errors import InputError, InvalidDefinition, MappingError, MissingCredentials, UnknownOperation
from connector.parsing.connectors import find_problems, parse_connector
from connector.requests.steps import run_steps
from tests.doubles.steps import SERVICE, http, mime, needs, problems, read, run


def test_a_step_uses_the_inputs_and_what_the_steps_before_it_added() -> None:
    custom = read(
        http(
            bodyTemplate={"name": "{{name}}"}, fields=[{"name": "uploadId", "type": "ID", "selector": ["upload", "id"]}]
        ),
        http("PUT", "/things/{{uploadId}}", bodyTemplate={"name": "{{name}}", "size": "{{size}}"}),
        input=[needs("name"), needs("size", "Integer", required=False, default="3")],
        output=[{"name": "id", "type": "String"}],
    )
    calls, _ = run(custom, {"name": "a"}, {"uploadId": "u/7"})
    assert [(call.request.method, call.request.url, call.request.json) for call in calls] == [
        ("POST", "https://api.example.com/v1/things", {"name": "a"}),
        ("PUT", "https://api.example.com/v1/things/u%2F7", {"name": "a", "size": 3}),
    ]
    assert [call.is_last for call in calls] == [False, True]
    assert [each.name for each in calls[1].operation.fields] == ["id"]


def test_an_input_has_its_declared_type_in_every_step() -> None:
    custom = read(
        http("GET", "/things", queryParams={"tag": "{{tags}}"}),
        http(bodyTemplate='{"a": "{{tags}}", "b": {{any}}, "c": "{{number}}"}'),
        input=[needs("tags", "Array"), needs("any", "Any"), needs("number", "Integer")],
    )
    calls, _ = run(custom, {"tags": ["x", "y"], "any": {"z": 1}, "number": "5"}, {})
    assert calls[0].request.url.endswith("/things?tag=x&tag=y")
    assert calls[1].request.json == {"a": ["x", "y"], "b": {"z": 1}, "c": "5"}


def test_an_input_that_is_not_given_is_left_out_as_anywhere() -> None:
    custom = read(http(bodyTemplate={"a": "{{a}}", "b": 1}), input=[needs("a", required=False)])
    assert run(custom, {})[0][0].request.json == {"b": 1}


def test_inputs_are_checked_all_at_once_before_anything_is_sent() -> None:
    custom = read(http(bodyTemplate={"a": "{{a}}", "b": "{{b}}"}), input=[needs("a", "Integer"), needs("b")])
    with pytest.raises(InputError) as caught:
        run(custom, {"a": "x", "c": 1})
    assert sorted(each.name for each in caught.value.errors) == ["a", "b", "c"]
    assert "do: " in caught.value.message


def test_a_failure_names_operation_and_step() -> None:
    custom = read(mime(), http("GET", "/{{id}}"), input=[needs("id")])
    with pytest.raises(InputError, match="do, step 2: id: a path segment cannot be empty"):
        run(custom, {"id": ".."})
    alone = read(http("GET", "/{{id}}"), input=[needs("id")])
    with pytest.raises(InputError, match="^do: id: a path segment"):
        run(alone, {"id": ".."})


def test_an_answer_without_what_a_later_step_needs_is_the_providers_fault() -> None:
    custom = read(http(fields=[{"name": "id", "type": "ID"}]), http("GET", "/things/{{id}}"))
    with pytest.raises(MappingError, match="do, step 2: id is missing") as caught:
        run(custom, {}, {"id": None})
    assert "an earlier step holds no usable id" in caught.value.hint


def test_a_connection_value_is_known_to_every_step() -> None:
    custom = read(http("GET", "/{{account}}/things"), mime(subject="{{account}}"))
    assert custom.inputs == {}
    assert custom.from_connection == {"account"}
    calls, result = run(custom, {}, {})
    assert calls[0].request.url == "https://api.example.com/v1/acme/things"
    assert result is not None
    assert read_message(result.raw["raw"])["Subject"] == "acme"
    assert run(custom, {"account": "other"}, {})[0][0].request.url.endswith("/v1/other/things")


def test_a_value_that_the_connection_lacks_is_missed_by_the_step() -> None:
    with pytest.raises(MissingCredentials, match="account"):
        next(run_steps(read(http("GET", "/{{account}}")), {}, {"token": "t"}))


def read_message(raw: str) -> Any:
    padded = raw + "=" * (-len(raw) % 4)
    return email.message_from_bytes(base64.urlsafe_b64decode(padded), policy=email.policy.default)


def test_a_message_is_a_variable_of_the_steps_after_it() -> None:
    custom = read(
        mime(
            **{"to": "{{to}}", "subject": "Re: {{about}}", "body": "{{text}}", "from": "{{sender}}", "output": "letter"}
        ),
        http(bodyTemplate={"raw": "{{letter}}"}),
        input=[needs("to"), needs("about"), needs("text"), needs("sender", required=False)],
    )
    [call], _ = run(custom, {"to": "Zoë <zoe@example.com>", "about": "Grüße", "text": "{{about}}\n☃"})
    raw = call.request.json["raw"]
    assert not set("+/=") & set(raw)
    message = read_message(raw)
    assert (message["To"], message["Subject"]) == ("Zoë <zoe@example.com>", "Re: Grüße")
    assert (message["From"], message.get_content()) == (None, "{{about}}\r\n☃\r\n")


@pytest.mark.parametrize("name", ["to", "about", "sender"])
@pytest.mark.parametrize("value", ["a@b.c\r\nBcc: x@y.z", "a@b.c\u2028", "=?utf-8?q?=0D=0A?= <a@b.c>"])
def test_T26_a_value_cannot_add_a_header_to_a_message(name: str, value: str) -> None:
    custom = read(mime(**{"to": "{{to}}", "subject": "{{about}}", "from": "{{sender}}"}))
    with pytest.raises(InputError) as caught:
        run(custom, {"to": "a@b.c", "about": "s", "sender": "a@b.c", name: value})
    assert [each.name for each in caught.value.errors] == [name]
    assert "Bcc" not in str(caught.value)


def test_every_part_of_a_message_that_is_not_right_is_reported() -> None:
    custom = read(mime(to="{{to}}", subject="{{a}}{{b}}", body="{{text}}"), input=[needs("text", "File")])
    with pytest.raises(InputError) as caught:
        run(custom, {"to": "nobody", "a": "=", "b": "?x", "text": b"\xff"})
    assert [each.name for each in caught.value.errors] == ["to", "a", "text"]


def test_an_operation_that_ends_with_a_message_answers_its_variables() -> None:
    custom = read(mime(output="letter"), output=[{"name": "letter", "type": "String"}])
    calls, result = run(custom, {})
    assert (calls, custom.calls, custom.final) == ([], (), None)
    assert result is not None
    assert (result.ok, result.fields, result.attempts) == (True, result.raw, 0)
    assert [custom.fields, custom.lists, custom.response, custom.pagination] == [custom.output, False, "json", None]
    assert (custom.join, custom.id, custom.label) == (frozenset(), "do", "do")
    silent = run(read(mime()), {})[1]
    assert silent is not None
    assert silent.fields is None


def test_what_concerns_the_answer_is_the_last_calls() -> None:
    custom = read(
        http(),
        http(
            "GET",
            records=["data"],
            response={"kind": "sse", "join": ["text"]},
            pagination={"style": "link"},
            fields=[{"name": "lost", "type": "Any"}],
        ),
        output=[{"name": "text", "type": "String"}],
    )
    assert (custom.lists, custom.response, custom.join) == (True, "sse", {"text"})
    assert custom.pagination is not None
    assert [each.name for each in custom.fields] == ["text"]
    assert [each.name for each in read(http(fields=[{"name": "own", "type": "Any"}])).fields] == ["own"]


def test_places_are_those_of_all_steps() -> None:
    custom = read(
        http({"value": "{{how}}", "placeholders": {"how": {"type": "String", "options": ["GET", "post"]}}}, "/{{a}}"),
        http(bodyTemplate={"a": "{{a}}"}),
    )
    assert custom.places == {"how": ("method",), "a": ("path", "body")}


# The method


HOW = {"value": "{{how}}", "placeholders": {"how": {"type": "String", "options": ["get", "PUT"]}}}


def test_a_method_may_be_chosen_among_options() -> None:
    custom = read(http(HOW))
    [call], _ = run(custom, {"how": "get"})
    assert (call.request.method, call.operation.idempotent) == ("GET", True)
    [call], _ = run(custom, {"how": "PUT"})
    assert (call.request.method, call.operation.idempotent) == ("PUT", False)
    assert [call.operation.idempotent for call in run(read(http(HOW, idempotent=True)), {"how": "PUT"})[0]] == [True]


@pytest.mark.parametrize(
    ("given", "said"), [({}, "a required String"), ({"how": "DELETE"}, "expected one of get, PUT")]
)
def test_a_method_that_is_no_option_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(read(http(HOW)), given)


def test_a_method_that_an_optional_input_leaves_open_is_missing() -> None:
    custom = read(http("{{how}}"), input=[needs("how", required=False, options=["GET"])])
    with pytest.raises(InputError, match="how: it is missing"):
        run(custom, {})
    with_default = read(http("{{how}}"), input=[needs("how", required=False, options=["GET"], default="GET")])
    assert run(with_default, {})[0][0].request.method == "GET"


def test_the_options_of_a_method_may_stand_with_the_input() -> None:
    declared = {"value": "{{how}}", "placeholders": {"how": {"type": "String"}}}
    custom = read(http(declared), input=[needs("how", options=["PATCH"])])
    assert run(custom, {"how": "PATCH"})[0][0].request.method == "PATCH"


def test_a_fixed_method_may_stand_in_either_shape() -> None:
    assert run(read(http({"value": "put"})), {})[0][0].request.method == "PUT"


# The path


@pytest.mark.parametrize(
    ("path", "url"),
    [("/a/b", "/a/b"), ("a/b", "/a/b"), ("/a b/", "/a%20b/"), ("/", "/"), ("/@me/x:y", "/%40me/x%3Ay")],
)
def test_a_whole_path_may_be_a_value(path: str, url: str) -> None:
    custom = read(http("GET", "{{path}}"), input=[needs("path")])
    assert run(custom, {"path": path})[0][0].request.url == f"https://api.example.com/v1{url}"


def test_T20_a_path_that_is_only_begun_by_a_value_is_refused_dots() -> None:
    assert problems(http("GET", "{{a}}/../x"), input=[needs("a")]) == [("E_URL", "/steps/0/http/path")]


# What is wrong with a definition


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ({"type": "http", "mime_build": {"to": "a", "subject": "s", "body": "b"}}, ("E_MISSING", "/steps/0")),
        (mime(output="a b"), ("E_NAME", "/steps/0/mime_build/output")),
        (mime(subject="a\nb"), ("E_HEADER", "/steps/0/mime_build/subject")),
    ],
)
def test_a_step_that_cannot_work_is_refused(step: dict[str, Any], problem: tuple[str, str]) -> None:
    assert problems(step) == [problem]


def test_the_fixed_text_of_a_message_may_have_lines() -> None:
    assert problems(mime(body="a\nb")) == []


def test_a_misshapen_step_is_the_schemas_to_complain_about() -> None:
    assert problems({"type": "shell"}) == [("E_SHAPE", "/steps/0/type"), ("E_MISSING", "/steps/0")]
    assert problems({"type": "http"}) == [("E_MISSING", "/steps/0")]
    text = '[{"handle": "do", "steps": [{"type": "http", "http": {"method": "GET", "path": "/{{a}}"}}]}]'
    assert find_problems(text, kind="operations") == []


def test_a_connector_finds_operations_of_both_kinds() -> None:
    connector = parse_connector({**SERVICE, "operations": [{"handle": "send", "steps": [http()]}]})
    assert connector.operation("send") is connector.custom_operations["send"]
    with pytest.raises(UnknownOperation, match="no operation 'sent'") as caught:
        connector.operation("sent")
    assert "send" in caught.value.hint
    with pytest.raises(InvalidDefinition):
        read(http("{{a}}"))
