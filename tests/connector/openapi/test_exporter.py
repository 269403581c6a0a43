"""A connector as OpenAPI 3.1: the document is valid, correct by itself, and leads back to the same requests."""

from __future__ import annotations

import copy
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate

from connector.messages import Request
from connector.model.definition import Connector, Operation
from connector.openapi.exporter import to_openapi
from connector.openapi.importer import from_openapi
from connector.parsing.connectors import merge_documents, parse_connector
from connector.parsing.schema import Document
from connector.requests.build import build_request
from runtime.config.catalog import Catalog
from tests.doubles.spec_values import inputs_of, values_of

CATALOG = Catalog()


def exported(definition: Any) -> tuple[Connector, dict[str, Any]]:
    """A connector and its document, as it is after a way through a file."""
    connector = parse_connector(definition)
    document = to_openapi(connector, merge_documents(Document.from_value(definition, "connector")))
    return connector, json.loads(json.dumps(document))


def whole(
    operations: Any, *, resource: Any = None, webhooks: Any = None, customs: Any = None, **service: Any
) -> dict[str, Any]:
    head = {"handle": "demo", "service": {"baseURL": "https://demo.example/v1", **service}}
    made = {"handle": "things", "endpoint": "/things", "operations": operations, **(resource or {})}
    return {**head, "resources": [{**made, "webhooks": webhooks or []}], "operations": customs or []}


def requests(operation: Operation) -> Iterator[tuple[bool, Request]]:
    for full in (False, True):
        yield full, build_request(operation, inputs_of(operation, full=full), values_of(operation.service))


def assert_same_requests(connector: Connector, document: Any) -> Connector:
    again = from_openapi(copy.deepcopy(document)).connector
    assert sorted(again.operations) == sorted(connector.operations)
    for operation in connector.operations.values():
        twin = again.operation(operation.id)
        for full, request in requests(operation):
            other = build_request(twin, inputs_of(operation, full=full), values_of(operation.service))
            assert (other.method, other.url, other.body) == (request.method, request.url, request.body)
            assert sorted(other.headers.items()) == sorted(request.headers.items())
        assert twin.fields == operation.fields
        assert (twin.records, twin.pagination) == (operation.records, operation.pagination)
        assert (twin.response, twin.deprecated) == (operation.response, operation.deprecated)
    assert again.webhooks == connector.webhooks
    assert again.custom_operations.keys() == connector.custom_operations.keys()
    assert again.service.auth == connector.service.auth
    return again


def complaints(document: Any, operation: Operation, request: Request) -> Iterator[str]:
    """The parts of a request that the plain part of its document does not allow."""
    written = next(
        each for item in document["paths"].values() for each in item.values() if each["operationId"] == operation.id
    )
    parameters = {(each["in"], each["name"]): each for each in written.get("parameters", ())}
    sent = urllib.parse.parse_qs(urllib.parse.urlsplit(request.url).query, keep_blank_values=True)
    for name in sent:
        if ("query", name) not in parameters:
            yield f"query {name}"
    for (place, name), each in parameters.items():
        if place == "query" and each["required"] and name not in sent:
            yield f"no query {name}"
        if place == "header" and each["required"] and name not in request.headers:
            yield f"no header {name}"
    kind = request.headers.get("content-type", "").partition(";")[0]
    if "requestBody" not in written:
        if request.body:
            yield "a body"
        return
    content = written["requestBody"]["content"]
    if request.body is None:
        if written["requestBody"]["required"]:
            yield "no body"
    elif kind not in content:
        yield f"type {kind}"
    elif kind == "application/json":
        validator = jsonschema.Draft202012Validator(content[kind]["schema"])
        yield from (each.message for each in validator.iter_errors(request.json))


@pytest.mark.parametrize("handle", CATALOG.handles())
def test_a_shipped_connector_is_a_valid_document_that_leads_back_to_the_same_requests(handle: str) -> None:
    connector, definition = CATALOG.get(handle), CATALOG.definition(handle)
    document = to_openapi(connector, definition)
    assert to_openapi(connector, definition) == document
    document = json.loads(json.dumps(document))
    validate(document)
    assert_same_requests(connector, document)


@pytest.mark.parametrize("handle", CATALOG.handles())
def test_the_plain_part_of_the_document_allows_every_request(handle: str) -> None:
    connector = CATALOG.get(handle)
    document = to_openapi(connector, CATALOG.definition(handle))
    said = {
        f"{operation.id} {'full' if full else 'minimal'}": found
        for operation in connector.operations.values()
        for full, request in requests(operation)
        if (found := list(complaints(document, operation, request)))
    }
    assert said == {}


def placeholder(name: str, kind: str = "String", **members: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **members}


TEMPLATES: dict[str, dict[str, Any]] = {
    "nested": {"method": "POST", "bodyTemplate": {"value": {
        "messages": [{"role": "user", "content": "{{content}}"}], "n": "{{n}}", "fixed": True, "maybe": {"$if": "n", "x": "{{n}}"},
        "two": ["{{content}}", 1]}, "placeholders": [placeholder("content", required=True), placeholder("n", "Integer", maximum=5)]}},
    "text": {"method": "POST", "bodyTemplate": {"value": '{"a": "{{n}}", "b": "x {{content}}", "c": "{{list}}"}', "placeholders": [
        placeholder("content", required=True), placeholder("n", "Integer", default="3"), placeholder("list", "Array")]}},
    "key": {"method": "POST", "bodyTemplate": {"value": {"type": "{{kind}}", "{{kind}}": "{{url}}"}, "placeholders": [
        placeholder("kind", options=["a", "b"], required=True), placeholder("url", required=True)]}},
    "undeclared": {"method": "POST", "bodyTemplate": {"value": {"a": "{{a}}"}, "placeholders": []}},
    "spread": {"method": "POST", "bodyTemplate": {"value": {"all": [{"$spread": "{{list}}"}, 1]}, "placeholders": [placeholder("list", "Array")]}},
    "chosen": {"method": "POST", "path": "/chosen", "headers": {"headers": {"value": "{{headers}}", "placeholders": [placeholder("headers", "Object", explode=True)]}},
               "bodyTemplate": {"value": "{{body}}", "placeholders": [placeholder("body", "Any")]}},
    "maybe": {"method": "POST", "bodyTemplate": {"value": {"$if": "n", "a": 1}, "placeholders": [placeholder("n", "Integer")]}},
    "fixed-form": {"method": "POST", "path": "/fixed", "headers": {"Content-Type": "application/x-www-form-urlencoded"}, "bodyTemplate": {"value": {"a": 1}}},
    "constant": {"method": "POST", "bodyTemplate": {"value": {"a": 1}}},
    "whole": {"method": "PUT", "bodyTemplate": {"value": "{{body}}", "placeholders": [placeholder("body", "Any")]}},
    "form": {"method": "POST", "path": "/form", "headers": {"Content-Type": "application/x-www-form-urlencoded"}, "bodyTemplate": {
        "value": "a={{a}}&b=2", "placeholders": [placeholder("a", required=True)]}, "form": {"lists": "brackets"}},
    "nested-form": {"method": "POST", "path": "/nested", "headers": {"Content-Type": "application/x-www-form-urlencoded"},
                    "bodyTemplate": {"value": {"o": {"a": "{{a}}"}, "l": []}, "placeholders": [placeholder("a")]}},
    "parts": {"method": "POST", "path": "/parts", "headers": {"Content-Type": "multipart/form-data"}, "bodyTemplate": {
        "value": {"f": "{{f}}", "g": {"$file": "{{g}}", "filename": "x"}, "a": "{{a}}", "b": 1},
        "placeholders": [placeholder("f", "File", required=True), placeholder("g", "File"), placeholder("a")]}},
    "no-parts": {"method": "PUT", "path": "/parts", "headers": {"Content-Type": "multipart/form-data"}, "bodyTemplate": {
        "value": {"g": "{{g}}"}, "placeholders": [placeholder("g", "File")]}},
    "file": {"method": "PUT", "path": "/file", "headers": {"Content-Type": "application/octet-stream"}, "bodyTemplate": {
        "value": "{{f}}", "placeholders": [placeholder("f", "File", required=True)]}, "response": "binary"},
    "words": {"method": "PUT", "path": "/words", "headers": {"Content-Type": "text/plain"}, "response": "text",
              "bodyTemplate": {"value": "say {{a}}", "placeholders": [placeholder("a")]}},
    "xml": {"method": "PUT", "path": "/xml", "headers": {"Content-Type": "application/xml"}, "response": "xml",
            "bodyTemplate": {"value": "<a>{{a}}</a>", "placeholders": [placeholder("a")]}},
    "lines": {"method": "PUT", "path": "/lines", "headers": {"Content-Type": "application/x-ndjson"}, "response": "ndjson",
              "bodyTemplate": {"value": "{{a}}", "placeholders": [placeholder("a", "Array", required=True)]}},
    "graph": {"method": "POST", "path": "/graph", "headers": {"Content-Type": "application/graphql"},
              "bodyTemplate": {"value": {"query": "{ a }", "variables": {"v": "{{v}}"}}, "placeholders": [placeholder("v")]}},
    "stream": {"method": "POST", "response": {"kind": "sse", "done": "END"}, "deprecated": True,
               "fields": [{"name": "t", "type": "String", "selector": ["a", 0, "t"], "multivalue": True}]},
    "nothing": {"method": "DELETE", "path": "/{{id}}", "response": "empty", "meta": {"short": "Gone", "description": "For ever."}},
    "queried": {"method": "GET", "path": {"value": "/{{id}}?alt=json&n={{n}}", "placeholders": [placeholder("id"), placeholder("n", "Integer")]}},
    "twice": {"method": "GET", "path": "/twice?a=1", "queryParams": {"a": {"type": "String"}}},
    "many": {"method": "GET", "path": {"value": "/file/{{path}}", "placeholders": [placeholder("path", multi=True)]}},
    "verb": {"method": "GET", "path": ":batch"},
    "plain": {"method": "GET", "path": "/plain", "queryParams": {
        "a": {"type": "Integer", "minimum": 1, "maximum": 9, "default": "2", "description": "A number."},
        "b": {"type": "Array", "options": ["x", "y"]}, "c": {"type": "Boolean"}, "d": {"type": "Object"}, "e": {"type": "DateTime", "required": True},
        "h": {"type": "Object", "explode": True}, "f": {"type": "Any"}, "g": {"type": "Number", "nullable": True}},
        "records": ["data"], "pagination": {"style": "page", "param": "a"}, "rateLimit": {"requests": 2, "per": 1}},
    "odd": {"method": "GET", "path": "/odd", "headers": {"X-Fixed": "1", "X-Given": "{{given}}", "X-Mixed": "v{{given}}"}, "queryParams": [
        {"name": "created[gte]", "value": "{{since}}", "placeholders": [placeholder("since", required=True)]},
        {"name": "fixed", "value": "a b"}, {"name": "mixed", "value": "v{{since}}"}, {"name": "page[size]", "type": "Integer"},
        {"name": "list", "type": "Array", "default": "[1]"}]},
}  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_form_of_request_leads_back_to_itself(name: str) -> None:
    connector, document = exported(whole({name: TEMPLATES[name]}))
    validate(document)
    assert_same_requests(connector, document)
    operation = connector.operation(f"things.{name}")
    for _, request in requests(operation):
        assert list(complaints(document, operation, request)) == []


@pytest.mark.parametrize(
    ("name", "required"),
    [("nested", True), ("maybe", False), ("spread", True), ("whole", False), ("chosen", False), ("file", True),
     ("nested-form", False), ("fixed-form", True), ("lines", True), ("no-parts", True), ("words", True)],
)  # fmt: skip
def test_a_body_is_required_if_every_request_has_it(name: str, required: bool) -> None:
    _, document = exported(whole({name: TEMPLATES[name]}))
    ((operation,),) = (item.values() for item in document["paths"].values())
    assert operation["requestBody"]["required"] is required


def test_items_that_are_spread_are_described_as_items() -> None:
    listed = placeholder("list", "Array", options=["a"])
    template = {"value": {"all": [{"$spread": "{{list}}"}, 1]}, "placeholders": [listed]}
    _, document = exported(whole({"do": {"method": "POST", "bodyTemplate": template}}))
    schema = document["paths"]["/things"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["all"] == {"type": "array", "items": {"anyOf": [{"enum": ["a"]}, {"const": 1}]}}


def test_all_of_them_together_keep_their_paths_apart() -> None:
    definition = whole([{"name": name, **each} for name, each in TEMPLATES.items()], resource={
        "fields": [{"name": "id", "type": "Integer", "selector": ["id"], "meta": {"description": "Its id."}},
                   {"name": "deep", "type": "Any", "selector": "$..x"}, {"name": "again", "type": "String", "selector": ["id", "x"]}],
        "meta": {"short": "Things", "description": "All kinds."}})  # fmt: skip
    definition["meta"] = {"short": "Demo", "description": "Of everything."}
    connector, document = exported(definition)
    assert_same_requests(connector, document)
    assert {"/things", "/things#text", "/things#key"} <= document["paths"].keys()
    twice = {"a": {"method": "GET"}, "b": {"method": "GET"}}
    connector, document = exported({**whole(twice), "resources": [
        {"handle": "x", "endpoint": "/x", "operations": twice}, {"handle": "y", "endpoint": "/x", "operations": twice}]})  # fmt: skip
    assert list(document["paths"]) == ["/x", "/x#b", "/x#a", "/x#b-2"]
    assert_same_requests(connector, document)


KEYS = {"a": {"token": "{{a}}", "headerName": "X-A"}, "b": {"token": "{{b}}", "headerName": "{{h}}"}}
AUTHS: dict[str, tuple[Any, list[Any]]] = {
    "none": ({"method": "none"}, []),
    "bearer": ({"method": "bearer", "params": {"token": "{{t}}"}}, [{"type": "http", "scheme": "bearer"}]),
    "basic": ({"method": "basic", "params": {"username": "{{u}}"}}, [{"type": "http", "scheme": "basic"}]),
    "query": ({"method": "apikey", "in": "query", "name": "key", "params": {"k": "{{k}}"}}, [{"type": "apiKey", "in": "query", "name": "key"}]),
    "keys": ({"method": "api_token", "params": KEYS}, [{"type": "apiKey", "in": "header", "name": "X-A"}, {"type": "http", "scheme": "bearer"}]),
    "client": (
        {"method": "oauth2_client_credentials", "params": {"tokenURL": "https://a.example/t"}, "scopes": ["r", "w"]},
        [{"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://a.example/t", "scopes": {"r": "", "w": ""}}}}],
    ),
    "code": (
        {"method": "oauth2_authorization_code", "params": {"authURL": "https://a.example/a"}},
        [{"type": "oauth2", "flows": {"authorizationCode": {"authorizationUrl": "https://a.example/a", "tokenUrl": "https://provider.invalid", "scopes": {}}}}],
    ),
    "google": ({"method": "google_service_account"}, [{"type": "http", "scheme": "bearer", "description": "A token obtained by googleserviceaccount."}]),
}  # fmt: skip


@pytest.mark.parametrize("name", AUTHS)
def test_auth_becomes_security(name: str) -> None:
    auth, schemes = AUTHS[name]
    connector, document = exported(whole({"do": {"method": "GET"}}, auth=auth))
    validate(document)
    assert list(document.get("components", {}).get("securitySchemes", {}).values()) == schemes
    assert_same_requests(connector, document)


def test_options_of_auth_are_alternatives_and_a_method_of_others_is_a_token() -> None:
    options = {"auth": AUTHS["bearer"][0], "authOptions": [AUTHS["basic"][0]]}
    _, document = exported(whole({"do": {"method": "GET"}}, **options))
    assert document["security"] == [{"bearer": []}, {"basic": []}]


def test_parts_of_the_base_url_become_variables_of_the_server() -> None:
    base = {"value": "https://{{shop}}.example/{{v}}", "placeholders": [
        placeholder("shop", description="Its name."), placeholder("v", options=["v1", "v2"], default="v2")]}  # fmt: skip
    connector, document = exported(whole({"do": {"method": "GET"}}, baseURL=base))
    assert document["servers"] == [{"url": "https://{shop}.example/{v}", "variables": {
        "shop": {"default": "shop", "description": "Its name."}, "v": {"default": "v2", "enum": ["v1", "v2"]}}}]  # fmt: skip
    assert_same_requests(connector, document)
    _, document = exported(whole({"do": {"method": "GET"}}, baseURL="{{host}}/v1"))
    assert document["servers"][0]["variables"] == {"host": {"default": "https://provider.invalid"}}


def test_webhooks_and_custom_operations_come_along() -> None:
    webhooks = [{"event": "made", "path": "/webhooks/demo/made", "after": ["things.do"], "meta": {"short": "Made"},
                 "payload": [{"name": "id", "type": "String", "selector": ["data", "id"]}, {"name": "odd", "type": "Any", "selector": "$..x"}]},
                {"event": "gone", "path": "/webhooks/demo/gone"}]  # fmt: skip
    customs = {"ask": {"steps": [{"type": "http", "http": {"method": "GET", "path": "/x"}}]}}
    connector, document = exported(whole({"do": {"method": "GET", "path": "/{{account}}"}}, webhooks=webhooks, customs=customs,
                                         params=[placeholder("account", required=True)]))  # fmt: skip
    validate(document)
    assert list(document["webhooks"]) == ["things/made", "things/gone"]
    schema = document["webhooks"]["things/made"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {
        "type": "object",
        "properties": {"data": {"type": "object", "properties": {"id": {"type": ["string", "null"]}}}},
    }
    again = assert_same_requests(connector, document)
    assert again.operation("things.do").from_connection == {"account"}


def test_documents_are_merged_whatever_form_they_have() -> None:
    head = Document.from_value(
        {"handle": "demo", "service": {"baseURL": "https://a.example"}, "resources": {"a": {"endpoint": "/a"}}},
        "service",
    )
    groups = [
        Document.from_value(each, "resources")
        for each in ({"b": {"endpoint": "/b"}}, [{"handle": "c", "endpoint": "/c"}])
    ]
    customs = Document.from_value([{"handle": "ask", "steps": []}], "operations")
    overlay = Document.from_value({"resources": {"c": {"endpoint": "/d"}}, "status": "beta"}, "overlay")
    assert merge_documents(head, groups, overlay=overlay, operations=customs) == {
        "handle": "demo",
        "service": {"baseURL": "https://a.example"},
        "status": "beta",
        "resources": [
            {"handle": "a", "endpoint": "/a"},
            {"handle": "b", "endpoint": "/b"},
            {"handle": "c", "endpoint": "/d"},
        ],
        "operations": [{"handle": "ask", "steps": []}],
    }
