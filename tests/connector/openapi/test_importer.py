"""A specification becomes a connector: services, names, inputs, fields, lists, streams, webhooks, examples, report."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from connector.answers.mapping import map_response
from connector.describe.samples import read_example
from connector.errors import InvalidDefinition
from connector.openapi.importer import MAX_OPERATIONS, from_openapi
from connector.parsing.connectors import read_connector
from connector.parsing.lint import find_lints
from connector.requests.build import build_request
from tests.doubles.spec_values import inputs_of, values_of
from tests.doubles.specifications import NAMES, call, load, notes, only, render, spec

# Whole specifications


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_can_be_called_and_reads_its_recorded_answer(name: str) -> None:
    imported = from_openapi(load(name))
    connector = imported.connector
    assert connector.operations
    for operation in connector.operations.values():
        values = values_of(operation.service)
        for full in (False, True):
            request = build_request(operation, inputs_of(operation, full=full), values)
            assert request.url.startswith("https://")
        for response in read_example(operation.id, imported.examples[operation.id]):
            assert map_response(operation, response).ok
    assert [problem for problem in find_lints(connector, imported.examples) if problem.is_error] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_a_connector_without_errors_and_always_the_same(name: str) -> None:
    imported = from_openapi(load(name))
    texts = imported.files()
    assert from_openapi(load(name)).files() == texts
    groups = [text for file, text in texts.items() if file.startswith("resources")]
    connector, problems = read_connector(texts["service.json"], groups[0], more_resources=groups[1:], lint=True)
    assert connector == imported.connector
    assert [problem for problem in problems if problem.code != "W_PLAIN_HTTP"] == []
    assert all(len(line) < 800 for text in groups for line in text.splitlines())


def test_a_petstore_keeps_its_limits_and_names() -> None:
    imported = from_openapi(load("petstore"))
    connector = imported.connector
    assert (connector.handle, connector.short, connector.description) == (
        "petstore",
        "Swagger Petstore - OpenAPI 3.0",
        "Pets for sale.",
    )
    assert list(connector.operations) == [
        "pet.read",
        "pet.create",
        "pet.update",
        "pet.delete",
        "pet.find-by-status",
        "pet.update-pet-with-form",
        "pet.upload-image",
        "store-inventory.read",
        "user-login.read",
    ]
    service = connector.service
    assert service.auth_methods == ("oauth2authorizationcode", "apikey")
    assert service.placeholders["region"].options == ("eu", "us")
    assert "id" not in connector.operation("pet.create").inputs
    assert connector.operation("pet.find-by-status").deprecated
    created = connector.operation("pet.create")
    assert created.inputs["status"].options == ("available", "pending", "sold")
    assert created.inputs["status"].default == "available"
    assert created.inputs["category"].schema is not None
    assert created.inputs["price"].minimum == 0
    fields = {each.name: (each.type, each.selector.text, each.multivalue) for each in created.fields}
    assert fields["category_name"] == ("String", "$.category.name", False)
    assert fields["tags_name"] == ("String", "$.tags[0].name", True)
    assert fields["photoUrls"] == ("String", "$.photoUrls[0]", True)
    assert "secret" not in fields
    assert imported.examples["store-inventory.read"] == {"status": 200, "body": {"sold": 3}}
    assert imported.examples["user-login.read"]["body"] == "welcome"
    assert render(imported, "pet.find-by-status", status="available,sold", tags=["a", "b"])[1].endswith(
        "?status=available%2Csold&tags=a&tags=b"
    )


def test_payments_send_forms_and_are_paged_by_the_last_id() -> None:
    imported = from_openapi(load("payments"))
    listed = imported.groups["customers"][0]["operations"]["list"]
    assert listed["pagination"] == {
        "style": "cursor",
        "param": "starting_after",
        "last": ["id"],
        "hasMore": ["has_more"],
    }
    assert listed["records"] == ["data"]
    url = render(imported, "customers.list", expandId="a", createdGte=5)[1]
    assert url == "https://api.payments.example/v1/customers?created%5Bgte%5D=5&expand%5Bid%5D=a&limit=10"
    sent = render(imported, "customers.create", expand=["a", "b"], metadata={"k": "v"})[2]
    assert sent == "expand%5B0%5D=a&expand%5B1%5D=b&metadata%5Bk%5D=v"
    assert imported.connector.service.auth_methods == ("basic", "bearer")
    assert "the query parameter 'created[in]': it nests too deeply, or another has its name" in notes(imported, "lost")


def test_a_forge_reads_alternatives_nulls_and_links() -> None:
    imported = from_openapi(load("forge"))
    issues = imported.groups["issues"][0]
    assert issues["operations"]["list"]["pagination"] == {"style": "link"}
    assert issues["operations"]["list"]["records"] == []
    created = imported.connector.operation("repos-issues.create")
    assert created.inputs["bodyRepo"].name == "bodyRepo"
    assert (created.inputs["milestone"].type, created.inputs["milestone"].nullable) == ("Any", True)
    assert (created.inputs["weight"].minimum, created.inputs["weight"].maximum) == (1, 8)
    assert created.inputs["assignees"].options == ("me", "you")
    method, url, sent = render(
        imported, "repos-issues.create", owner="o", repo="r", title="t", bodyRepo="b", milestone=None
    )
    assert (method, url) == ("POST", "https://forge.example/api/repos/o/r/issues")
    assert json.loads(sent) == {"title": "t", "repo": "b", "milestone": None, "lock": False}
    assert imported.connector.operation("repos-issues.replace").inputs.keys() == {"owner", "repo", "number", "text"}
    assert {"repos-issues.update-lock", "repos-issues.delete-lock", "chat.post-message", "status.get-status"} <= set(
        imported.connector.operations
    )
    assert imported.examples["repos-issues.list"]["body"][0]["title"] == "Found a bug"


def test_an_assistant_streams_and_has_webhooks() -> None:
    imported = from_openapi(load("events"), source_url="https://docs.assistant.example/spec/openapi.yaml")
    connector = imported.connector
    assert render(imported, "completions.create-stream", prompt="hi") == (
        "POST",
        "https://docs.assistant.example/v2/completions",
        '{"prompt":"hi","stream":true}',
    )
    assert render(imported, "completions.create", prompt="hi")[2] == '{"prompt":"hi"}'
    assert connector.operation("completions.create-stream").response == "sse"
    assert imported.examples["completions.create-stream"]["body"].startswith("event: delta\ndata: {")
    assert connector.operation("lines.create").response == "ndjson"
    assert [(each.id, each.path) for each in connector.webhooks] == [
        ("runs/run.finished", "/webhooks/assistant/run-finished"),
        ("webhooks/run finished", "/webhooks/assistant/run-finished-2"),
    ]
    assert [each.name for each in connector.webhooks[0].payload] == ["id", "run_ok"]
    runs = imported.groups["runs"][0]["operations"]
    assert runs["list"]["pagination"] == {"style": "cursor", "param": "cursor", "next": ["runs", "next_cursor"]}
    assert runs["list"]["records"] == ["runs", "results"]
    assert runs["query"]["pagination"]["in"] == "body"
    assert runs["query"]["records"] == ["results"]
    assert {each: connector.operation("runs.create").inputs[each].type for each in ("file", "more", "note")} == {
        "file": "File",
        "more": "File",
        "note": "String",
    }
    assert render(imported, "runs.list", filter={"a": "b"}, list=["x"])[1].endswith(
        "?filter=%7B%22a%22%3A%22b%22%7D&list=%5B%22x%22%5D"
    )
    signed = connector.service.auth
    names = [carrier.name.literal for carrier in signed.carriers]  # type: ignore[attr-defined]
    assert sorted(names) == ["X-Api-Key", "X-App-Key"]


# Refused documents


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "this is not an OpenAPI document"),
        ({"swagger": "2.0"}, "this is Swagger 2.0, not OpenAPI 3"),
        ({"openapi": "4.0.0"}, "this is not an OpenAPI document of version 3.0 or 3.1"),
        ({"openapi": 3.1}, "this is not an OpenAPI document of version 3.0 or 3.1"),
        ({"asyncapi": "3.0.0"}, "this is not an OpenAPI document of version 3.0 or 3.1"),
        (
            spec({f"/{number}": {"get": {}} for number in range(MAX_OPERATIONS + 1)}),
            "the document has 5001 operations; at most 5000 can be imported",
        ),
    ],
)
def test_other_documents_are_refused_with_a_hint(document: Any, message: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        from_openapi(document)
    (problem,) = caught.value.problems
    assert problem.message == message
    assert problem.hint


def test_what_the_language_would_refuse_is_taken_out_and_reported() -> None:
    paths = {
        "/ok": {"get": {}},
        "/a/../b": {"get": {}},
        "/x%": {"get": {"x-connector": {"resource": "no handle!"}}},
        "/y": {"get": {"x-connector": {"resource": "ok", "name": "no.name"}}},
        "relative": {"get": {}},
        "x-note": {},
    }
    webhooks = {"e": {"post": {"x-connector": {"path": "/elsewhere"}}}}
    imported = from_openapi(
        spec(paths, webhooks=webhooks, components={"securitySchemes": {"a": {"type": "http", "scheme": "bearer"}}})
    )
    assert list(imported.connector.operations) == ["ok.read"]
    assert len([note for note in imported.report.notes if note.kind == "lost"]) == 5


def test_x_connector_steers_the_import() -> None:
    imported = call(
        {
            "x-connector": {
                "resource": "people",
                "name": "invite",
                "records": ["rows"],
                "example": {"status": 200, "body": 1},
            },
            "parameters": [
                {"name": "q", "in": "query", "schema": {"type": "string"}, "x-connector": {"input": "search"}}
            ],
        }
    )
    assert list(imported.connector.operation("people.invite").inputs) == ["search"]
    assert only(imported)["records"] == ["rows"]
    assert imported.examples == {"people.invite": {"status": 200, "body": 1}}


# Mutated specifications


KINDS: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "x",
    [],
    {},
    [{}],
    {"$ref": "#"},
    {"$ref": "#/paths"},
    {"type": "object"},
    {"type": []},
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key in a document."""
    found: list[tuple[Any, Any]] = []
    level = [value]
    while level:
        each = level.pop()
        items = each.items() if isinstance(each, dict) else enumerate(each)
        for key, inner in items:
            found.append((each, key))
            if isinstance(inner, (dict, list)):
                level.append(inner)
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(NAMES), st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(KINDS)), min_size=1, max_size=6)
)
def test_a_mutated_specification_never_crashes_and_makes_a_definition_without_errors(name: str, changes: Any) -> None:
    document = copy.deepcopy(LOADED[name])
    for place, value in changes:
        known = places(document)
        holder, key = known[place % len(known)]
        holder[key] = copy.deepcopy(value)
    try:
        imported = from_openapi(document)
    except InvalidDefinition as error:
        event(error.problems[0].code)
    else:
        assert imported.files()["service.json"]


LOADED = {name: load(name) for name in NAMES}


def test_x_connector_of_the_document_holds_what_openapi_cannot_express() -> None:
    own = {
        "handle": "own",
        "status": "beta",
        "meta": {"short": "Own"},
        "service": {
            "auth": {"method": "bearer", "params": {"token": "{{key}}"}},
            "rateLimit": {"requests": 1, "per": 1},
        },
        "operations": [{"handle": "ask", "steps": [{"type": "http", "http": {"method": "GET", "path": "/x"}}]}],
    }
    tags = [{"name": "parts", "x-connector": {"meta": {"short": "Parts"}, "fields": []}}, "x"]
    path = {"name": "part_id", "in": "path", "schema": {"type": "string"}, "x-connector": {"multi": True}}
    operation = {
        "tags": ["parts"],
        "parameters": [path],
        "x-connector": {"resource": "parts", "name": "read", "path": {"value": "/parts/{{part_id}}", "placeholders": []}, "fields": [{"name": "id", "type": "Integer"}]},
    }  # fmt: skip
    document = spec({"/v1/parts/{part_id}": {"get": operation}}, tags=tags, **{"x-connector": own})
    imported = from_openapi(document)
    connector = imported.connector
    assert (connector.handle, connector.status, connector.short) == ("own", "beta", "Own")
    assert connector.service.auth_methods == ("bearer",)
    assert "operations.json" in imported.files()
    assert "ask" in connector.custom_operations
    assert imported.handle == "own"
    assert connector.operation("parts.read").path.path.parts[0] == "/parts/"
    plain = {**operation, "x-connector": {"resource": "parts", "name": "read"}}
    imported = from_openapi(spec({"/v1/parts/{part_id}": {"get": plain}}, **{"x-connector": own}))
    assert imported.connector.operation("parts.read").path.multi == {"part_id"}


def test_what_an_x_connector_gets_wrong_is_taken_out_as_well() -> None:
    own = {"service": {"auth": {"method": "nope"}, "authOptions": [{"method": "basic"}]}}
    imported = from_openapi(spec({"/a": {"get": {}}}, **{"x-connector": own}))
    assert imported.service["service"]["auth"] == {"method": "none"}
    with pytest.raises(InvalidDefinition, match="is not allowed here"):
        from_openapi(spec(), handle="no handle!")
