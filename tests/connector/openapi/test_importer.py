"""A specification becomes a connector: services, names, inputs, fields, lists, streams, webhooks, examples, report."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from connector.answers.mapping import map_response
from connector.describe.samples import read_example
from connector.errors import InvalidDefinition
from connector.openapi.files import MAX_FILE, split_group
from connector.openapi.importer import MAX_OPERATIONS, Imported, from_openapi
from connector.openapi.text import parse_spec
from connector.parsing.connectors import read_connector
from connector.parsing.lint import find_lints
from connector.requests.build import build_request
from tests.doubles.spec_values import inputs_of, values_of

FOLDER = Path(__file__).parents[2] / "specs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
OBJECT: dict[str, Any] = {"type": "object"}


def load(name: str) -> Any:
    return parse_spec((FOLDER / f"{name}.yaml").read_bytes(), name)


def spec(paths: Any = None, **members: Any) -> dict[str, Any]:
    """A document with these paths, and whatever else."""
    base = {"openapi": "3.1.0", "info": {"title": "Demo", "version": "1"}, "servers": [{"url": "https://demo.example"}]}
    return {**base, "paths": paths or {}, **members}


def call(operation: Any, path: str = "/things", method: str = "post", **members: Any) -> Imported:
    return from_openapi(spec({path: {method: operation}}, **members))


def body(schema: Any, media_type: str = "application/json", **members: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {media_type: {"schema": schema, **members}}}}


def answer(schema: Any, media_type: str = "application/json", **members: Any) -> dict[str, Any]:
    return {"responses": {"200": {"description": "ok", "content": {media_type: {"schema": schema, **members}}}}}


def query(schema: Any, **members: Any) -> dict[str, Any]:
    return {"parameters": [{"name": "q", "in": "query", "schema": schema, **members}]}


def only(imported: Imported) -> Any:
    """The definition of the one operation."""
    (group,) = imported.groups.values()
    (operation,) = group[0]["operations"].values()
    return operation


def notes(imported: Imported, kind: str) -> list[str]:
    return [note.message for note in imported.report.notes if note.kind == kind]


def render(imported: Imported, name: str, **inputs: Any) -> tuple[str, str, Any]:
    operation = imported.connector.operation(name)
    request = build_request(operation, inputs, values_of(operation.service))
    return request.method, request.url, request.text


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


def test_a_petstore_keeps_what_it_says() -> None:
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


def test_payments_send_forms_and_go_on_by_the_last_id() -> None:
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


def test_an_assistant_streams_and_tells_of_events() -> None:
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
def test_what_is_no_specification_is_refused_with_a_hint(document: Any, message: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        from_openapi(document)
    (problem,) = caught.value.problems
    assert problem.message == message
    assert problem.hint


# Services


@pytest.mark.parametrize(
    ("servers", "url", "base"),
    [
        ([], "", "{{baseURL}}"),
        ([{"url": "v1"}], "", "{{baseURL}}/v1"),
        ([{"url": "/v1"}], "https://demo.example/spec.json", "https://demo.example/v1"),
        ([{"url": "http://a.example"}, {"url": "https://b.example/x/?y#z"}], "", "https://b.example/x"),
        (
            [{"url": "{scheme}://a.example", "variables": {"scheme": {"enum": ["http", "https"]}}}],
            "",
            "https://a.example",
        ),
        ([{"url": "{scheme}://a.example", "variables": {"scheme": {"default": "http"}}}], "", "http://a.example"),
        ([{"url": "https://a.example/{path}", "variables": {"path": {"default": "a/b"}}}], "", "https://a.example/a/b"),
        ([{"url": "{whole}", "variables": {"whole": {"default": "https://a.example/b"}}}], "", "https://a.example/b"),
        (
            [{"url": "https://{a-b}.example", "variables": {"a-b": {"default": "c", "enum": ["d"]}}}],
            "",
            "https://{{aB}}.example",
        ),
        ([{"url": "https://{a}.{A_}.example", "variables": []}], "", "https://{{a}}.{{a2}}.example"),
        ([{"url": "https://{x}.example", "variables": {"x": {"default": []}}}], "", "https://{{x}}.example"),
        ("none", "", "{{baseURL}}"),
    ],
)
def test_a_server_becomes_the_base_url(servers: Any, url: str, base: str) -> None:
    imported = from_openapi(spec(servers=servers), source_url=url)
    assert imported.service["service"]["baseURL"]["value"] == base


def test_segments_that_all_paths_share_belong_to_the_base_url() -> None:
    imported = from_openapi(spec({"/api/v1/a": {"get": {}}, "/api/v1/b/{c}": {"get": {}}}))
    assert imported.service["service"]["baseURL"] == {"value": "https://demo.example/api/v1"}
    assert render(imported, "b.read", c="1")[1] == "https://demo.example/api/v1/b/1"


KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}


@pytest.mark.parametrize(
    ("schemes", "methods", "lost"),
    [
        ({"a": {"type": "http", "scheme": "Bearer"}}, ["bearer"], []),
        ({"a": {"type": "http", "scheme": "basic"}}, ["basic"], []),
        ({"a": {"type": "http", "scheme": "digest"}}, ["none"], ["the HTTP scheme 'digest' is not an auth method here"]),
        ({"a": KEY}, ["apikey"], []),
        ({"a": {**KEY, "in": "query"}}, ["apikey"], []),
        ({"a": {**KEY, "in": "cookie"}}, ["apikey"], []),
        ({"a": {**KEY, "name": "Authorization"}}, ["apikey"], []),
        ({"a": {**KEY, "name": "Authorization", "description": "Bearer and the token"}}, ["apikey"], []),
        ({"a": {**KEY, "name": "Host"}}, ["none"], ["its key cannot be sent as 'Host': Host cannot be set: it belongs to the transport"]),
        ({"a": {"type": "mutualTLS"}}, ["none"], ["a client certificate is not an auth method here"]),
        ({"a": {"type": "magic"}}, ["none"], ["'magic' is not an auth method here"]),
        ({"a": {"type": "openIdConnect"}}, ["bearer"], ["OpenID Connect is not an auth method here"]),
        ({"a": {"type": "oauth2", "flows": {"password": {}}}}, ["bearer"], ["the OAuth flow 'password'"]),
        (
            {"a": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://x.example/t", "scopes": {}}}}},
            ["oauth2_client_credentials"],
            [],
        ),
        (
            {"a": {"type": "oauth2", "flows": {"authorizationCode": {"tokenUrl": "://"}}}},
            ["oauth2_authorization_code"],
            [],
        ),
        ({"a": KEY, "b": {**KEY, "name": "Y"}}, ["apikey"], ["a second way to authenticate with apikey"]),
        ({"a": {"$ref": "#/nowhere"}}, ["none"], ["the reference '#/nowhere' leads nowhere"]),
        ("none", ["none"], []),
    ],
)  # fmt: skip
def test_a_security_scheme_becomes_a_method(schemes: Any, methods: list[str], lost: list[str]) -> None:
    imported = from_openapi(spec({"/a": {"get": {}}}, components={"securitySchemes": schemes}))
    service = imported.service["service"]
    assert [each["method"] for each in (service["auth"], *service.get("authOptions", ()))] == methods
    assert notes(imported, "lost") == lost


@pytest.mark.parametrize(
    ("schemes", "headers", "lost"),
    [
        ({"a": {"type": "http", "scheme": "bearer"}, "b": KEY}, ["Authorization", "X-Key"], 0),
        ({"a": KEY, "b": {**KEY, "in": "query"}}, ["X-Key"], 1),
        ({"a": KEY, "b": {**KEY, "name": "Host"}}, ["X-Key"], 1),
        ({"a": {**KEY, "in": "query"}, "b": {**KEY, "in": "cookie"}}, [], 2),
    ],
)
def test_schemes_that_are_demanded_together_travel_together(schemes: Any, headers: list[str], lost: int) -> None:
    imported = from_openapi(spec(components={"securitySchemes": schemes}, security=[{"a": [], "b": []}, "x"]))
    auth = imported.service["service"]["auth"]
    sent = [each["headerName"]["value"] for each in auth["params"].values() if "headerName" in each]
    assert (sent, len(notes(imported, "lost"))) == (headers, lost)


def test_scopes_are_those_that_operations_demand_and_a_token_never_takes_the_name_of_a_server_variable() -> None:
    flow = {"authorizationUrl": "https://x.example/a", "tokenUrl": "/t", "scopes": {"read": "", "write": ""}}
    schemes = {"o": {"type": "oauth2", "flows": {"authorizationCode": flow}}, "t": {"type": "http", "scheme": "bearer"}}
    imported = from_openapi(
        spec(
            {"/a": {"get": {"security": [{"o": ["read", "other"]}, {"t": []}]}, "put": {"security": [{}]}}},
            components={"securitySchemes": schemes},
            servers=[{"url": "https://{token}.example", "variables": {"token": {"default": "x"}}}],
        )
    )
    auth = imported.service["service"]["auth"]
    assert auth == {
        "method": "oauth2_authorization_code",
        "params": {"authURL": {"value": "https://x.example/a"}},
        "scopes": ["read"],
    }
    assert imported.service["service"]["authOptions"][0]["params"]["token"]["value"] == "{{tokenSecret}}"


# Inputs


@pytest.mark.parametrize(
    ("parameter", "declared", "lost"),
    [
        ({"schema": {"type": "integer", "default": 3, "maximum": 5}}, {"type": "Integer", "maximum": 5, "default": 3}, []),
        ({"schema": {"type": "integer", "minimum": 5, "maximum": 3}}, {"type": "Integer"}, []),
        ({"schema": {"type": "string", "default": 3}}, {"type": "String"}, []),
        ({"schema": {"type": "string", "format": "date", "default": "x"}}, {"type": "Date"}, []),
        ({"schema": {"type": "string", "pattern": "^a"}}, {"type": "String", "schema": {"type": "string", "pattern": "^a"}}, []),
        ({"schema": {"enum": [1, 2]}}, {"type": "Integer", "options": [1, 2]}, []),
        ({"schema": {"enum": [1, "a"]}}, {"type": "Any", "schema": {"enum": [1, "a"]}}, []),
        ({"schema": {"enum": ["a", None]}}, {"type": "String", "options": ["a"], "nullable": True}, []),
        ({"schema": {"enum": []}}, {"type": "Any"}, []),
        ({"schema": {"minimum": "1", "items": {}}}, {"type": "Array"}, []),
        ({"schema": {"type": "null"}}, {"type": "Any", "nullable": True, "schema": {"type": "null"}}, []),
        ({"schema": {"enum": [None]}}, {"type": "Any", "nullable": True, "schema": {"type": "null"}}, []),
        ({"schema": {"type": ["integer", "number"]}}, {"type": "Number"}, []),
        ({"schema": {"type": 7}, "required": True, "description": "What\n it is."}, {"type": "Any", "description": "What it is.", "required": True}, []),
        ({"schema": {"oneOf": [{"type": "integer"}, {"type": "number"}]}}, {"type": "Number"}, []),
        ({"schema": {"oneOf": [{"enum": ["a"]}, {"enum": ["b", "a"]}]}}, {"type": "String", "options": ["a", "b"]}, []),
        ({"schema": {"oneOf": [{"type": "string"}, {"type": "string", "enum": ["a"]}]}}, {"type": "String"}, []),
        ({"schema": {"allOf": [{"type": "boolean"}, {"default": True}]}}, {"type": "Boolean", "default": True}, []),
        ({"style": "form", "explode": False, "schema": OBJECT}, None, ["the query parameter 'q': an object in the style 'form'"]),
        ({"style": "pipeDelimited", "explode": False, "schema": {"type": "array", "items": {"enum": ["a"]}}},
         {"type": "String", "description": "Several values are written with '|' between them."}, []),
        ({"content": {"application/json": {"schema": OBJECT}}}, {"type": "Object"}, []),
        ({"schema": {"type": "object"}}, {"type": "Object", "explode": True}, []),
        ({"style": "deepObject", "schema": {"type": "object"}}, None, ["the query parameter 'q': an object whose members are not known"]),
    ],
)  # fmt: skip
def test_a_query_parameter_becomes_an_input(parameter: Any, declared: Any, lost: list[str]) -> None:
    imported = call({"parameters": [{"name": "q", "in": "query", **parameter}]})
    assert only(imported).get("queryParams", {"q": None}) == {"q": declared}
    assert notes(imported, "lost") == lost


def test_a_default_outside_its_own_bounds_is_left_out() -> None:
    imported = call(query({"type": "string", "enum": ["a"], "default": "b"}))
    assert only(imported)["queryParams"]["q"] == {"type": "String", "options": ["a"]}
    assert notes(imported, "guessed") == ["the default of q is not one of its own values, and is left out"]


def test_the_members_of_an_exploded_object_are_parameters_of_their_own() -> None:
    shape = {"type": "object", "properties": {"a": {"type": "string"}, "q": {"type": "integer"}, "b\n": {}}}
    imported = call(
        {"parameters": [{"name": "q", "in": "query", "schema": shape}, {"name": "r", "in": "query", "schema": shape}]}
    )
    assert list(only(imported)["queryParams"]) == ["a", "q"]
    assert len(notes(imported, "lost")) == 3


def test_paths_take_every_style_and_parameters_that_nobody_declared() -> None:
    labelled = {"name": "a", "in": "path", "style": "label", "schema": {"type": "array", "nullable": True}}
    matrix = {"name": "b", "in": "path", "style": "matrix", "schema": {"type": "string"}}
    imported = call({"parameters": [labelled, matrix, {"in": "path"}, "x"]}, "/x/{a}/y/{b}/z({c})/{c}", "get")
    assert render(imported, "x-y.read", a="1", b="2", c="3")[1] == "https://demo.example/x/.1/y/;b=2/z(3)/3"
    assert notes(imported, "guessed") == ["the path parameter 'c' is not declared; it is taken as text"]


def test_headers_and_cookies() -> None:
    def parameter(name: str, place: str, **members: Any) -> dict[str, Any]:
        return {"name": name, "in": place, "schema": {"type": "string"}, **members}

    parameters = [
        parameter("Accept", "header"),
        parameter("Host", "header"),
        parameter("X-Ids", "header", schema={"type": "array", "items": {"enum": ["a"]}}),
        parameter("sid", "cookie", required=True),
        parameter("theme", "cookie"),
        parameter("q", "body"),
    ]
    imported = call({"parameters": parameters}, method="get")
    operation = imported.connector.operation("things.read")
    request = build_request(operation, {"sid": "1", "xIds": "a,b"}, {})
    assert dict(request.headers) == {"Accept": "application/json", "X-Ids": "a,b", "Cookie": "sid=1"}
    assert len(notes(imported, "lost")) == 2


def test_one_name_in_several_places_is_several_inputs() -> None:
    parameters = [{"name": "id", "in": place, "schema": {"type": "string"}} for place in ("path", "query", "header")]
    imported = call(
        {
            "parameters": parameters,
            **body({"type": "object", "properties": {"id": {"type": "string"}, "_id": {}, "i d": {}}}),
        },
        "/things/{id}",
        "put",
    )
    assert list(imported.connector.operation("things.update").inputs) == [
        "id",
        "headerId",
        "queryId",
        "bodyId",
        "bodyId2",
        "iD",
    ]


@pytest.mark.parametrize(
    ("request_body", "template", "guessed", "lost"),
    [
        (body({"type": "array"}), {"value": "{{body}}", "placeholders": [{"name": "body", "type": "Array"}]}, 0, 0),
        (body({}), {"value": "{{body}}", "placeholders": [{"name": "body", "type": "Any"}]}, 0, 0),
        (body({"type": "object", "properties": {"a": {"readOnly": True}}}), {"value": "{{body}}", "placeholders": [
            {"name": "body", "type": "Object", "schema": {"type": "object", "properties": {"a": {}}}}]}, 0, 0),
        (body({"type": "string"}, "text/csv"), {"value": "{{text}}", "placeholders": [{"name": "text", "type": "String"}]}, 0, 0),
        (body({}, "image/*"), {"value": "{{file}}", "placeholders": [{"name": "file", "type": "File"}]}, 0, 0),
        (body({}, "application/xml"), None, 0, 1),
        (body({"type": "object", "properties": {"a": {"const": "x"}}, "required": ["a"]}), {"value": {"a": "x"}}, 1, 0),
        (body({"type": "object", "properties": {"a": {"const": "{{x}}"}}, "required": ["a"]}), {"value": {"a": "{{a}}"}, "placeholders": [
            {"name": "a", "type": "String", "required": True, "options": ["{{x}}"]}]}, 1, 0),
        (body({"type": "object", "properties": {"a": {"const": [1]}}}), {"value": {"a": "{{a}}"}, "placeholders": [
            {"name": "a", "type": "Any", "schema": {"enum": [[1]]}}]}, 0, 0),
        (body({"type": "object", "properties": {"$if": {}, "a": {}}, "additionalProperties": {"type": "string"}}),
         {"value": {"a": "{{a}}"}, "placeholders": [{"name": "a", "type": "Any"}]}, 0, 2),
        (body({"oneOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"]}, {"type": "object", "properties": {"b": {}}}]}),
         {"value": {"a": "{{a}}", "b": "{{b}}"}, "placeholders": [{"name": "a", "type": "Any"}, {"name": "b", "type": "Any"}]}, 1, 0),
        ({"requestBody": {"content": {"multipart/form-data": {"schema": {"type": "object"}}}}}, {"value": {}}, 0, 0),
        ({"requestBody": {"content": {}}}, None, 0, 0),
        ({"requestBody": "x"}, None, 0, 0),
    ],
)  # fmt: skip
def test_a_body_becomes_a_template(request_body: Any, template: Any, guessed: int, lost: int) -> None:
    imported = call(request_body)
    assert only(imported).get("bodyTemplate") == template
    assert (len(notes(imported, "guessed")), len(notes(imported, "lost"))) == (guessed, lost)


def test_a_body_with_more_members_than_a_template_takes_is_one_input() -> None:
    imported = call(body({"type": "object", "properties": {f"p{number}": {} for number in range(201)}}))
    assert only(imported)["bodyTemplate"]["value"] == "{{body}}"


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        (["application/x-www-form-urlencoded", "application/json"], None),
        (["text/plain", "application/merge-patch+json"], "application/merge-patch+json"),
        (["application/xml", "text/plain", "multipart/form-data"], "multipart/form-data"),
        (["application/xml", "text/plain"], "text/plain"),
    ],
)
def test_of_several_kinds_of_body_the_best_is_taken(content: list[str], taken: str | None) -> None:
    imported = call({"requestBody": {"content": {kind: {"schema": OBJECT} for kind in content}}})
    assert only(imported).get("headers", {}).get("Content-Type") == taken


# Answers


@pytest.mark.parametrize(
    ("responses", "kind"),
    [
        ({}, "json"),
        ("x", "json"),
        ({"2XX": {"content": {"text/html": {}}}}, "text"),
        ({"201": {"description": "made"}, "202": {"content": {"application/json": {}}}}, "json"),
        ({"default": {"content": {"application/pdf": {}}}}, "binary"),
        ({"default": {}, "404": {}}, "empty"),
        ({"200": {"content": {"text/event-stream": {}}}}, "sse"),
        ({"200": {"content": {"image/png": {}, "text/event-stream": {}}}}, "sse"),
    ],
)
def test_the_first_success_says_what_is_answered(responses: Any, kind: str) -> None:
    imported = call({"responses": responses}, method="get")
    (operation,) = imported.connector.operations.values()
    assert operation.response == kind


@pytest.mark.parametrize(
    ("schema", "records"),
    [
        ({"type": "array"}, []),
        ({"properties": {"pets": {"type": "array", "items": OBJECT}, "n": {}}}, ["pets"]),
        ({"properties": {"pets": {"type": "array"}, "data": {"type": "array"}}}, ["data"]),
        ({"properties": {"x": {"properties": {"items": {"type": "array"}}}}}, ["x", "items"]),
        ({"properties": {"x": {"properties": {"pets": {"type": "array", "items": OBJECT}}}}}, None),
        ({"properties": {"ids": {"type": "array", "items": {"type": "string"}}}}, None),
        ({"properties": {"a": {"type": "array", "items": OBJECT}, **{f"p{number}": {} for number in range(7)}}}, None),
    ],
)
def test_the_records_of_a_list_are_found(schema: Any, records: Any) -> None:
    imported = call(answer(schema), method="get")
    assert only(imported).get("records") == records


PAGE = {"type": "object", "properties": {"data": {"type": "array", "items": OBJECT}, "total": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("params", "more", "pagination"),
    [
        ({"page": {"type": "integer", "default": 0}}, {}, {"style": "page", "param": "page", "start": 0, "total": ["total"]}),
        ({"page": {"type": "integer"}, "size": {"type": "integer", "default": 5}}, {},
         {"style": "page", "param": "page", "sizeParam": "size", "size": 5, "total": ["total"]}),
        ({"offset": {"type": "integer"}}, {"has_more": {"type": "boolean"}},
         {"style": "offset", "param": "offset", "total": ["total"], "hasMore": ["has_more"]}),
        ({"cursor": {"type": "string"}}, {"meta": {"properties": {"next_cursor": {"type": "string"}}}},
         {"style": "cursor", "param": "cursor", "next": ["meta", "next_cursor"]}),
        ({"cursor": {"type": "string"}}, {}, None),
        ({"PageNumber": {"type": "integer"}, "page-size": {"type": "integer"}}, {"HasMore": {"type": "boolean"}},
         {"style": "page", "param": "PageNumber", "sizeParam": "page-size", "total": ["total"], "hasMore": ["HasMore"]}),
        ({}, {"next_url": {"type": "string"}}, {"style": "next_url", "next": ["next_url"]}),
        ({}, {}, None),
    ],
)  # fmt: skip
def test_pagination_is_recognised(params: Any, more: Any, pagination: Any) -> None:
    parameters = [{"name": name, "in": "query", "schema": schema} for name, schema in params.items()]
    schema = {"type": "object", "properties": {**PAGE["properties"], **more}}
    imported = call({"parameters": parameters, **answer(schema)}, method="get")
    assert only(imported).get("pagination") == pagination


def test_fields_end_where_a_schema_holds_itself_and_where_there_are_too_many() -> None:
    node: dict[str, Any] = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "child": {"$ref": "#/components/schemas/N"}},
    }
    imported = call(answer({"$ref": "#/components/schemas/N"}), method="get", components={"schemas": {"N": node}})
    assert [each.name for each in imported.connector.operation("things.read").fields] == [
        "id",
        "child_id",
        "child_child",
    ]
    wide = {"properties": {**{f"p{number}": {} for number in range(200)}}}
    imported = call(answer(wide), method="get")
    assert len(imported.connector.operation("things.read").fields) == 120
    twice = {
        "properties": {
            "a": {"properties": {"b": {}}},
            "a_b": {},
            "": {},
            "empty": {"type": "array", "items": {"type": "array"}},
        }
    }
    imported = call(answer(twice), method="get")
    assert [each.name for each in imported.connector.operation("things.read").fields] == ["a_b", "a_b_", "empty"]


@pytest.mark.parametrize(
    ("schema", "example", "recorded"),
    [
        ({"type": "integer"}, 7, 7),
        ({"type": "integer"}, "seven", 1),
        ({"type": "integer"}, True, 1),
        ({"type": "integer", "minimum": 5}, None, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, None, 6),
        ({"type": "number", "maximum": -2}, None, -2),
        ({"type": "number", "exclusiveMaximum": -2}, None, -3),
        ({"type": "string", "minLength": 6}, None, "textxx"),
        ({"type": "string", "maxLength": 2}, None, "te"),
        ({"type": "string", "format": "uuid"}, None, "7f8de1c4-52a8-4d1b-9f07-3a4be7a1c0de"),
        ({"type": "string", "examples": ["mine"]}, None, "mine"),
        ({"type": "string", "example": 3, "enum": ["a"]}, None, "a"),
        ({"type": "boolean"}, None, True),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, None, [1, 1]),
        ({"type": "array", "items": {"type": "integer"}}, ["x"], [1]),
        ({"type": "array", "maxItems": 0}, None, []),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {}, {"a": "text"}),
        ({"type": "object", "properties": {"a": {"type": "string", "writeOnly": True}}}, None, {}),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": None}, {"a": "text"}),
        ({"type": ["string", "null"]}, None, "text"),
        ({"nullable": True}, None, None),
        ({"type": ["string", "object"]}, None, "text"),
        ({"oneOf": [{"type": "null"}, {"type": "integer"}, {"type": "string"}]}, None, 1),
        ({"oneOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {}}}]}, {"b": "x"}, {"b": "x"}),
        ({"oneOf": [{"type": "object"}, {"type": "array"}]}, [], []),
    ],
)
def test_an_example_is_the_given_one_if_it_fits_else_one_that_does(schema: Any, example: Any, recorded: Any) -> None:
    imported = call(answer(schema, **({} if example is None else {"example": example})))
    assert imported.examples["things.create"]["body"] == recorded


def test_examples_are_found_by_reference_and_not_taken_where_they_are_huge() -> None:
    imported = call(answer({"type": "string"}, examples={"a": {"externalValue": "x"}, "b": {"value": "given"}}))
    assert imported.examples["things.create"]["body"] == "given"
    imported = call(answer({"type": "string"}, example="x" * 70_000))
    assert imported.examples["things.create"]["body"] == "text"


def test_an_example_of_a_schema_that_holds_itself_ends() -> None:
    node = {
        "type": "object",
        "required": ["next"],
        "properties": {"next": {"$ref": "#/components/schemas/N"}, "other": {"$ref": "#/components/schemas/N"},
                       "many": {"type": "array", "items": {"$ref": "#/components/schemas/N"}}},
    }  # fmt: skip
    wide = {"type": "object", "properties": {f"p{number}": {"type": "array", "items": OBJECT} for number in range(500)}}
    schemas = {"N": node, "L": {"type": "array", "items": {"$ref": "#/components/schemas/L"}}, "W": wide}
    for name, recorded in (("N", {"next": {}, "many": [{}]}), ("L", [[]])):
        imported = call(answer({"$ref": f"#/components/schemas/{name}"}), components={"schemas": schemas})
        assert imported.examples["things.create"]["body"] == recorded
    imported = call(answer({"$ref": "#/components/schemas/W"}), components={"schemas": schemas})
    assert 100 < len(imported.examples["things.create"]["body"]) < 400


# References and schemas


@pytest.mark.parametrize(
    ("reference", "lost"),
    [
        ("other.yaml#/Pet", "the reference 'other.yaml#/Pet' leads out of the file; bundle the files into one first"),
        ("http://127.0.0.1:9333/x", "the reference 'http://127.0.0.1:9333/x' leads out of the file; bundle the files into one first"),
        ("#/components/schemas/Loop", "the reference '#/components/schemas/Loop' leads to itself"),
        ("#/components/schemas/Gone", "the reference '#/components/schemas/Gone' leads nowhere"),
        ("#/servers/9", "the reference '#/servers/9' leads nowhere"),
        ("#/openapi/x", "the reference '#/openapi/x' leads nowhere"),
    ],
)  # fmt: skip
def test_T52_a_reference_that_cannot_be_followed_is_said_and_never_fetched(reference: str, lost: str) -> None:
    components = {"schemas": {"Loop": {"$ref": "#/components/schemas/Loop"}}}
    imported = call(body({"type": "object", "properties": {"a": {"$ref": reference}}}), components=components)
    assert lost in notes(imported, "lost")
    assert list(imported.connector.operation("things.create").inputs) == ["a"]


def test_references_are_unescaped_and_lead_into_lists() -> None:
    components = {"schemas": {"a/b c": {"oneOf": [{"type": "integer"}]}}}
    imported = call(query({"$ref": "#/components/schemas/a~1b%20c/oneOf/0"}), components=components)
    assert only(imported)["queryParams"]["q"] == {"type": "Integer"}


def test_T52_parts_that_double_are_read_once() -> None:
    schemas: dict[str, Any] = {"S0": {"type": "object", "properties": {"a": {"type": "string"}}}}
    for number in range(1, 30):
        double = [{"$ref": f"#/components/schemas/S{number - 1}"}] * 2
        schemas[f"S{number}"] = {"allOf": double, "anyOf": double}
    imported = call(body({"$ref": "#/components/schemas/S20"}), components={"schemas": schemas})
    assert list(imported.connector.operation("things.create").inputs) == ["a"]
    deep = {"type": "string"}
    for _ in range(120):
        deep = {"allOf": [deep]}
    assert "a schema nests too deeply to be read" in notes(call(query(deep)), "lost")


def test_a_kept_schema_is_cut_where_it_holds_itself_or_nests_too_deeply() -> None:
    node = {"type": "object", "additionalProperties": False, "properties": {
        "next": {"$ref": "#/components/schemas/N"}, "many": {"type": "array", "items": {"anyOf": [
            {"$ref": "#/components/schemas/N"}, {"type": "string", "enum": ["a", None], "description": "A word."}, {"type": "null"}]}},
        "any": {"anyOf": [{}, {"type": "string"}]}, "both": {"type": ["string", "integer"]},
        "extra": {"type": "object", "additionalProperties": {"type": "integer"}}}}  # fmt: skip
    imported = call(
        body({"type": "object", "properties": {"n": {"$ref": "#/components/schemas/N"}}}),
        components={"schemas": {"N": node}},
    )
    assert imported.connector.operation("things.create").inputs["n"].schema == {
        "type": "object",
        "properties": {
            "next": {"type": "object"},
            "many": {
                "type": "array",
                "items": {"anyOf": [{"type": "object"}, {"type": ["string", "null"], "enum": ["a", None], "description": "A word."}, {"type": "null"}]},
            },
            "any": {},
            "both": {"type": ["string", "integer"]},
            "extra": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
        "additionalProperties": False,
    }  # fmt: skip
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(12):
        deep = {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"anyOf": [deep, {"type": "array", "items": deep}]}},
        }
    imported = call(body({"type": "object", "properties": {"n": deep}}))
    assert len(json.dumps(imported.connector.operation("things.create").inputs["n"].schema)) < 20_000


# What the language would refuse


def test_what_the_language_would_refuse_is_taken_out_and_said() -> None:
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


def test_a_large_connector_is_split_into_a_file_for_each_tag() -> None:
    wide = {
        "type": "object",
        "properties": {f"p{number}": {"type": "string", "description": "x" * 290} for number in range(150)},
    }
    paths = {
        f"/{group}{number}": {"post": {"tags": [group], **body(wide)}}
        for group in ("alpha", "beta")
        for number in range(3)
    }
    texts = from_openapi(spec(paths)).files()
    assert [name for name in texts if not name.startswith("examples")] == [
        "service.json",
        "resources/alpha.json",
        "resources/beta.json",
    ]


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


# Whatever comes


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
def test_a_mutated_specification_never_crashes_and_gives_a_definition_without_errors(name: str, changes: Any) -> None:
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


def test_x_connector_of_the_document_says_what_no_specification_can() -> None:
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


def test_files_are_split_and_a_resource_that_no_file_holds_loses_its_schemas() -> None:
    def resource(name: str, size: int) -> dict[str, Any]:
        declared = {"name": "a", "type": "Object", "schema": {"description": "x" * size}}
        return {"handle": name, "meta": {"schema": "kept"}, "operations": {"do": {"placeholders": [declared]}}}

    parts = list(split_group([resource("a", MAX_FILE // 2), resource("b", MAX_FILE // 2), resource("c", 2 * MAX_FILE)]))
    assert [[each["handle"] for each in part] for part in parts] == [["a"], ["b", "c"]]
    assert parts[1][1]["operations"]["do"]["placeholders"] == [{"name": "a", "type": "Object"}]
    assert parts[1][1]["meta"] == {"schema": "kept"}
