"""Every operation of the shipped Mistral connector, judged by Mistral's own OpenAPI file (`mistral_judge`).

`mistral_operations.json` names the endpoint of each operation, and has values for the inputs whose type is not enough.
Every request is made twice: with the inputs that are required, and with all of them.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from connector.describe.samples import read_example
from connector.headers import Headers
from connector.messages import Request, Response
from connector.model.definition import Operation
from connector.protocols import Moment
from connector.requests.build import build_request
from connector.templates import Placeholder
from runtime.config.catalog import Catalog
from tests.acceptance.mistral_judge import (
    BESIDE,
    DEFECTS,
    VARIABLE,
    Spec,
    answer_complaints,
    complaints,
    find_spec,
    load_spec,
)

MOMENT = Moment(time=1_800_000_000.0, nonce="n-1")
TABLE: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "mistral_operations.json").read_text("utf-8"))
CONNECTOR = Catalog().get("mistral-ai")
EXAMPLES = Catalog().examples("mistral-ai")
UUID = "5d2c9f0e-8a4b-4c1d-9e7f-0a1b2c3d4e5f"
#: Values by type, for inputs without a value in the table.
VALUES = {"String": "text", "Integer": 3, "Number": 0.5, "Boolean": True, "DateTime": "2026-01-02T03:04:05Z"}


@pytest.fixture(scope="module")
def spec() -> Spec:
    path = find_spec()
    if path is None:
        pytest.skip(f"Mistral's OpenAPI file is neither at {VARIABLE} nor at {BESIDE}")
    return load_spec(path)


def value_of(placeholder: Placeholder, given: dict[str, Any]) -> Any:
    """A value for one input: from the table, its first option, its least number, else by its type."""
    if placeholder.name in given:
        return given[placeholder.name]
    if placeholder.options:
        return list(placeholder.options) if placeholder.type == "Array" else placeholder.options[0]
    if placeholder.type == "File":
        return b"a,b\n1,2\n"
    if placeholder.type == "String" and placeholder.name.endswith("Id"):
        return UUID
    if placeholder.type == "Array":
        return ["text"]
    value = VALUES[placeholder.type]
    return placeholder.minimum if placeholder.minimum is not None else value


def inputs_of(operation: Operation, *, full: bool) -> dict[str, Any]:
    """The inputs that are required, or all that there are."""
    given = TABLE[operation.id].get("inputs", {})
    return {
        name: value_of(each, given)
        for name, each in operation.inputs.items()
        if full or (each.required and each.default is None)
    }


def request_of(operation: Operation, *, full: bool) -> Request:
    """The request as it would leave."""
    config = operation.service.configure({"apiToken": "test-key"})
    return config.auth.apply(build_request(operation, inputs_of(operation, full=full), config), config.values, MOMENT)


@pytest.mark.parametrize("full", [False, True], ids=["minimal", "full"])
def test_the_request_of_every_endpoint_is_valid(spec: Spec, full: bool, capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        name: complaints(spec, row["endpoint"], request_of(CONNECTOR.operation(name), full=full))
        for name, row in TABLE.items()
    }
    wrong = {name: said for name, said in found.items() if said}
    valid = {row["number"] for row in TABLE.values()} - {TABLE[name]["number"] for name in wrong}
    with capsys.disabled():
        inputs = "all" if full else "the required"
        sys.stdout.write(f"\n{len(valid)} of {len(spec.endpoints())} endpoints: valid requests with {inputs} inputs\n")
    assert wrong == {}
    assert {row["endpoint"] for row in TABLE.values()} == set(spec.endpoints())


def test_every_parameter_and_every_member_of_a_body_that_the_file_declares_can_be_given(spec: Spec) -> None:
    given: dict[str, set[str]] = {}
    for name, row in TABLE.items():
        operation = CONNECTOR.operation(name)
        request = request_of(operation, full=True)
        found = given.setdefault(row["endpoint"], set())
        found |= {urllib.parse.unquote(pair.name) for pair in operation.query}
        found |= {header.lower() for header in request.headers}
        if request.body is not None:
            is_json = request.headers["content-type"] == "application/json"
            found |= set(request.json) if is_json else set(re.findall(r'form-data; name="(\w+)"', request.text or ""))
    for endpoint, names in given.items():
        _, declared = spec.operation(endpoint)
        wanted = {each["name"] for each in declared.get("parameters", ()) if each["in"] != "path"}
        for content in declared.get("requestBody", {}).get("content", {}).values():
            wanted |= set(spec.properties(content["schema"]) or {})
        assert sorted(wanted - names) == [], endpoint


def test_the_example_of_every_operation_is_valid(spec: Spec) -> None:
    found = {
        name: [
            said
            for answer in read_example(name, EXAMPLES[name])
            for said in answer_complaints(spec, row["endpoint"], answer)
        ]
        for name, row in TABLE.items()
    }
    assert {name: said for name, said in found.items() if said} == {}


def test_the_table_has_every_operation() -> None:
    assert sorted(CONNECTOR.operations) == sorted(TABLE)


# The judge itself: each thing that it is to see, it sees.

SERVER = "https://api.mistral.ai/v1"
AUTH = {"Authorization": "Bearer k", "Accept": "application/json"}
SENT = {**AUTH, "Content-Type": "application/json"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n%b\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"%b\r\n\r\nabc\r\n--b--\r\n'
)
SEEN = [
    ("GET /v1/models", "", {}, None, "header: no Authorization: Bearer <token>"),
    ("GET /v1/models", "?page=1", AUTH, None, "query: 'page' is not declared"),
    ("GET /v1/models", "/", AUTH, None, "path: /v1/models/ is not /v1/models"),
    ("GET /v1/files", "?page=one", AUTH, None, "query: page: 'one' is not of type 'integer'"),
    ("GET /v1/files", "?page=1&page=2", AUTH, None, "query: page: it is duplicated"),
    ("GET /v1/batch/jobs", "?status=queued", AUTH, None, "query: status: 'queued' is not valid"),
    ("GET /v1/batch/jobs", "?metadata=%7B%7D", AUTH, None, "query: 'metadata' is an object"),
    ("GET /v1/batch/jobs", "?created_after=now", AUTH, None, "query: created_after: 'now' is not valid"),
    ("GET /v1/conversations", "?metadata=k", AUTH, None, "query: metadata is not one JSON text"),
    ("DELETE /v1/agents/{agent_id}/aliases", "", AUTH, None, "query: alias is missing"),
    ("GET /v1/files/{file_id}", "", AUTH, None, "path: file_id: '{file_id}' is not a 'uuid'"),
    ("GET /v1/files/{file_id}/content", "", AUTH, None, "Accept: application/json takes none of"),
    ("GET /v1/models", "", {**AUTH, "X-Other": "1"}, None, "header: X-Other is not declared"),
    ("GET /v1/models", "", AUTH, b"{}", "body: none is declared"),
    ("POST /v1/chat/completions", "", SENT, None, "body: it is missing"),
    ("POST /v1/chat/completions", "", SENT, b"{", "body: it is not JSON"),
    ("POST /v1/chat/completions", "", AUTH, b"{}", "body: no type is not declared"),
    ("POST /v1/chat/completions", "", SENT, {**CHAT, "temperature": 2}, "body: ['temperature'] 2 is not valid"),
    ("POST /v1/chat/completions", "", SENT, {**CHAT, "max_token": 2}, "body: Additional properties are not allowed"),
    ("POST /v1/chat/completions", "", SENT, {**CHAT, "stream": True}, "Accept: application/json where the answer is"),
    ("POST /v1/libraries", "", SENT, {"nam": "x"}, "body: 'name' is a required property"),
    ("POST /v1/conversations#stream", "", SENT, {"inputs": "hi", "stream": False}, "body: ['stream'] False is not one"),
    (
        "POST /v1/files",
        "",
        {**AUTH, "Content-Type": "multipart/form-data; boundary=b"},
        FORM % (b"ocr", b""),
        "body: part",
    ),
    (
        "POST /v1/files",
        "",
        {**AUTH, "Content-Type": "multipart/form-data; boundary=b"},
        FORM % (b"other", b'; filename="a"'),
        "body: ['purpose'] 'other' is not one of",
    ),
]


@pytest.mark.parametrize(("endpoint", "after", "headers", "body", "complaint"), SEEN)
def test_the_judge_sees(
    spec: Spec, endpoint: str, after: str, headers: dict[str, str], body: Any, complaint: str
) -> None:
    path = endpoint.partition(" /v1")[2].partition("#")[0]
    sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = Request(endpoint.partition(" ")[0], f"{SERVER}{path}{after}", headers=Headers(headers.items()), body=sent)
    found = complaints(spec, endpoint, request)
    assert [each for each in found if complaint in each], found


def test_the_judge_sees_a_wrong_method_and_a_wrong_answer(spec: Spec) -> None:
    request = Request("POST", f"{SERVER}/models", headers=Headers(AUTH.items()))
    assert complaints(spec, "GET /v1/models", request) == ["method: POST, not GET"]
    json_type = Headers({"Content-Type": "application/json"})
    assert answer_complaints(spec, "GET /v1/models", Response(200, json_type, b'{"data": [{}]}')) != []
    assert answer_complaints(spec, "GET /v1/models", Response(201, json_type, b"{}")) != []
    assert answer_complaints(spec, "DELETE /v1/agents/{agent_id}", Response(204)) == []


def test_every_defect_of_the_file_is_still_there(spec: Spec) -> None:
    schemas = spec.document["components"]["schemas"]
    assert "level" in schemas["SharingDelete"]["required"]
    assert "level" not in schemas["SharingDelete"]["properties"]
    response = schemas["ChatCompletionResponse"]["allOf"][1]
    assert "data" in response["required"]
    assert "data" not in response["properties"]
    answers = spec.operation("POST /v1/agents/completions")[1]["responses"]["200"]["content"]
    assert list(answers) == ["application/json"]
    assert len(DEFECTS) == 3
