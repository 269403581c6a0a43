"""The page about definitions and the schema that it is made from: complete, the same, and true by example."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from connector.parsing.automations import parse_automation
from connector.parsing.connectors import find_problems, parse_connector
from connector.parsing.schema import KINDS, Kind
from connector.requests.build import build_request
from connector.types import CONVERTORS

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "definitions_page.py"
TEXT = (ROOT / "docs" / "definitions.md").read_text("utf-8")
SCHEMA: dict[str, Any] = json.loads((ROOT / "connector/schemas/definition.schema.json").read_text("utf-8"))
DEFINITIONS: dict[str, Any] = SCHEMA["$defs"]
PAGE = runpy.run_path(str(SCRIPT))
#: A document and what kind it is.
Placed = tuple[Kind, Any]

CONNECTOR: dict[str, Any] = {"handle": "petshop", "service": {"baseURL": "https://petshop.example/v1"}}
TOKEN = {"value": "{{apiKey}}", "placeholders": {"apiKey": {"type": "String", "required": True}}}
HMAC = {"scheme": "hmac", "header": "X-Signature"}
SUBSCRIBE = {"method": "POST", "path": "/hooks", "bodyTemplate": {"url": "{{webhookUrl}}"}}
AUTOMATION = {"handle": "a", "on": "petshop/pets/sold", "do": [{"call": "petshop/pets.read"}]}
USE = {
    "type": "http",
    "http": {"method": "POST", "path": "/x", "bodyTemplate": {"pet": "{{petId}}", "n": "{{newName}}"}},
}
ONE_INPUT = {"type": "http", "http": {"method": "POST", "path": "/x", "bodyTemplate": {"pet": "{{petId}}"}}}


def service(**members: Any) -> Placed:
    return "connector", {**CONNECTOR, "service": {**CONNECTOR["service"], **members}}


def resource(**members: Any) -> Placed:
    return "resources", [{"handle": "pets", "endpoint": "/pets", **members}]


def operation(**members: Any) -> Placed:
    return resource(operations={"read": {"method": "POST", **members}})


def webhook(**members: Any) -> Placed:
    return resource(webhooks=[{"event": "sold", "path": "/webhooks/petshop/sold", **members}])


def custom(**members: Any) -> Placed:
    return "operations", [{"handle": "greet", "steps": [USE], **members}]


def automation(**members: Any) -> Placed:
    return "automation", {**AUTOMATION, **members}


#: Where a value of each definition stands: the smallest document around it.
PLACES: Mapping[str, Callable[[Any], Placed]] = {
    "Connector": lambda value: ("connector", {**CONNECTOR, **value}),
    "Meta": lambda value: ("connector", {**CONNECTOR, "meta": value}),
    "ServiceBlock": lambda value: service(**value),
    "Probe": lambda value: service(probe=value),
    "Auth": lambda value: service(auth=value),
    "TokenExchange": lambda value: service(auth={"method": "token_exchange", "params": value}),
    "Credential": lambda value: service(auth={"method": "bearer", "params": {"token": value}}),
    "Refresh": lambda value: service(auth={"method": "oauth2_client_credentials", "refresh": value}),
    "Signature": lambda value: service(signature=value),
    "RateLimit": lambda value: service(rateLimit=value),
    "Retry": lambda value: service(retry=value),
    "ErrorMap": lambda value: service(errors=value),
    "LimitSign": lambda value: operation(errors={"limit": value}),
    "Sign": lambda value: service(errors={"when": value}),
    "Resources": lambda value: ("connector", {**CONNECTOR, "resources": value}),
    "Resource": lambda value: ("resources", [value]),
    "Operations": lambda value: resource(operations=value),
    "Operation": lambda value: resource(operations=[{"handle": "read", **value}]),
    "QueryParams": lambda value: operation(queryParams=value),
    "QueryParam": lambda value: operation(queryParams=[{"name": "limit", **value}]),
    "Headers": lambda value: operation(headers=value),
    "HeaderValue": lambda value: operation(headers={"X-Source": value}),
    "BodyTemplate": lambda value: operation(bodyTemplate=value),
    "FormStyle": lambda value: operation(form=value),
    "Pagination": lambda value: operation(pagination=value),
    "ListEnd": lambda value: operation(pagination={**LIST, "end": value}),
    "Pick": lambda value: operation(pagination={**LIST, "total": value}),
    "Idempotent": lambda value: operation(idempotent=value),
    "Response": lambda value: operation(response=value),
    "Ignored": lambda value: operation(response={"kind": "sse", "ignore": value}),
    "Fields": lambda value: resource(fields=value),
    "Field": lambda value: resource(fields=[value]),
    "Conversions": lambda value: resource(fields=[{"name": "id", "type": "Any", "convert": value}]),
    "ConversionName": lambda value: resource(fields=[{"name": "id", "type": "Any", "convert": [value]}]),
    "Conversion": lambda value: resource(fields=[{"name": "id", "type": "Any", "convert": [value]}]),
    "Webhook": lambda value: webhook(**value),
    "MessageKind": lambda value: webhook(contentType=value),
    "MessageForm": lambda value: webhook(contentType="form", form=value),
    "Challenge": lambda value: webhook(challenge=value),
    "Poll": lambda value: webhook(poll=value),
    "State": lambda value: webhook(poll={"operation": "pets.list", "when": value}),
    "CustomOperations": lambda value: ("connector", {**CONNECTOR, "operations": value}),
    "Custom": lambda value: ("operations", [value]),
    "Input": lambda value: custom(input=[value], steps=[ONE_INPUT]),
    "InputMeta": lambda value: custom(input=[{"name": "petId", "type": "Integer", "meta": value}], steps=[ONE_INPUT]),
    "Step": lambda value: custom(steps=[value]),
    "StepOperation": lambda value: custom(steps=[{"type": "http", "http": value}]),
    "MimeBuild": lambda value: custom(steps=[{"type": "mime_build", "mime_build": value}]),
    "Template": lambda value: operation(path=value),
    "PlaceholderList": lambda value: operation(path={"value": "/{{petId}}", "placeholders": value}),
    "Placeholder": lambda value: operation(bodyTemplate={"value": {"pet": "{{petId}}"}, "placeholders": [value]}),
    "Type": lambda value: resource(fields=[{"name": "id", "type": value}]),
    "Default": lambda value: operation(queryParams={"limit": {"type": "Integer", "default": value}}),
    "Options": lambda value: operation(queryParams={"kind": {"type": "String", "options": value}}),
    "ValueSchema": lambda value: operation(queryParams={"limit": {"type": "Integer", "schema": value}}),
    "Selector": lambda value: resource(fields=[{"name": "id", "type": "Integer", "selector": value}]),
    "Handle": lambda value: ("connector", {**CONNECTOR, "handle": value}),
    "OperationName": lambda value: resource(operations={value: {"method": "GET"}}),
    "PlaceholderName": lambda value: operation(
        path={"value": f"/{{{{{value}}}}}", "placeholders": {value: {"type": "Integer"}}}
    ),
    "WireName": lambda value: operation(queryParams={value: {"type": "Integer"}}),
    "ResourcesFile": lambda value: ("resources", value),
    "OperationsFile": lambda value: ("operations", value),
    "Overlay": lambda value: ("overlay", value),
    "Automation": lambda value: automation(**value),
    "AutomationStep": lambda value: automation(do=[value]),
    "Mapping": lambda value: automation(do=[{"call": "petshop/pets.read", "inputs": value}]),
    "Conditions": lambda value: automation(when=value),
}
GRANT = {"method": "oauth2_client_credentials"}
LIST = {"style": "page", "param": "page"}
#: What an object holds besides the member that is tried, by definition or by member.
OTHERS: Mapping[str, dict[str, Any]] = {
    "Probe": {"path": "/me"},
    "Auth": {"method": "bearer", "params": {"token": TOKEN}},
    "Auth.in": {"method": "bearer", "params": {"token": TOKEN}, "name": "key"},
    "Auth.oauthApp": {"method": "oauth2_authorization_code"},
    "Auth.scopes": GRANT,
    "Auth.refresh": GRANT,
    "TokenExchange": {"request": {"method": "POST", "path": "/login"}, "token": ["token"]},
    "Refresh.selector": {"in": ["token_expired"]},
    "Refresh.in": {"selector": ["error"]},
    "Signature": HMAC,
    "Signature.signed": {**HMAC, "timestampHeader": "X-Time"},
    "Signature.timestampPrefix": {**HMAC, "timestampHeader": "X-Time"},
    "Sign": {"selector": ["ok"]},
    "Resource": {"handle": "pets", "endpoint": "/pets"},
    "Operation": {"method": "GET"},
    "QueryParam": {"type": "Integer"},
    "QueryParam.explode": {"type": "Object"},
    "QueryParam.value": {},
    "QueryParam.placeholders": {"value": "{{field}}:asc"},
    "HeaderValue.placeholders": {"value": "{{source}}"},
    "BodyTemplate.placeholders": {"value": {"name": "{{name}}", "tags": ["{{tag}}"]}},
    "Pagination": LIST,
    "LimitSign": {"statuses": [403]},
    "ListEnd.is": {"flag": ["state"]},
    "Pick.from": {"selector": ["total"]},
    "Pick.selector": {"from": "headers"},
    "Pagination.in": {"style": "cursor", "param": "after", "next": ["next"]},
    "Pagination.next": {"style": "cursor", "param": "after"},
    "Pagination.last": {"style": "cursor", "param": "after"},
    "Response": {"kind": "sse"},
    "Response.join": {"kind": "sse", "fields": [{"name": "text", "type": "String"}]},
    "Field": {"name": "id", "type": "String"},
    "Webhook.unsubscribe": {"subscribe": SUBSCRIBE},
    "Webhook.renew": {"subscribe": SUBSCRIBE},
    "Webhook.renewEvery": {"subscribe": SUBSCRIBE, "renew": SUBSCRIBE},
    "Challenge": {"query": "challenge"},
    "Challenge.if": {"body": ["challenge"], "in": ["check"]},
    "Challenge.in": {"body": ["challenge"], "if": ["type"]},
    "Poll": {"operation": "pets.list"},
    "State": {"selector": ["status"], "in": ["sold"]},
    "Custom": {"handle": "rename", "steps": [USE]},
    "Input": {"name": "petId", "type": "Integer"},
    "Step": {"type": "http", "http": {"method": "GET"}},
    "Step.mime_build": {"type": "mime_build"},
    "StepOperation": {"method": "GET"},
    "MimeBuild": {"to": "{{to}}", "subject": "Hello", "body": "{{text}}"},
    "Template": {"value": "/{{petId}}"},
    "Placeholder": {"name": "petId", "type": "Integer"},
    "Placeholder.encoding": {"name": "petId", "type": "File"},
    "Placeholder.explode": {"name": "petId", "type": "Object"},
    "ResourcesFile": {"pets": {"endpoint": "/pets"}},
    "OperationsFile": {"greet": {"steps": [USE]}},
    "AutomationStep": {"call": "petshop/pets.read"},
}


def place(name: str, member: str, value: Any) -> Placed:
    if member == "encoding" and name == "InputMeta":
        return custom(input=[{"name": "petId", "type": "File", "meta": {member: value}}], steps=[ONE_INPUT])
    return PLACES[name]({**OTHERS.get(f"{name}.{member}", OTHERS.get(name, {})), member: value})


def every_member() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, schema in DEFINITIONS.items():
        yield from ((name, member, each) for member, each in PAGE["members_of"](schema).items())


def examples() -> Iterator[Any]:
    for name, schema in DEFINITIONS.items():
        yield from (pytest.param(PLACES[name](each), id=name) for each in schema["examples"])
    for name, member, schema in every_member():
        yield from (pytest.param(place(name, member, each), id=f"{name}.{member}") for each in schema["examples"])


def defaults() -> Iterator[Any]:
    for name, member, schema in every_member():
        if "default" in schema:
            written = place(name, member, schema["default"])
            others = OTHERS.get(f"{name}.{member}", OTHERS.get(name, {}))
            silent = PLACES[name]({key: value for key, value in others.items() if key != member})
            yield pytest.param(written, silent, id=f"{name}.{member}")


def every_object(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each place of the schema that has `properties`."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield path, schema["properties"]
        for key, each in schema.items():
            if key not in ("examples", "default"):
                yield from every_object(each, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, each in enumerate(schema):
            yield from every_object(each, f"{path}/{index}")


def test_every_key_of_the_schema_has_a_description_and_an_example() -> None:
    members = [(f"{path}/{key}", each) for path, keys in every_object(SCHEMA) for key, each in keys.items()]
    assert [place for place, each in members if not each.get("description") or not each.get("examples")] == []
    assert len(members) > 200
    whole = [name for name, each in DEFINITIONS.items() if not all(each.get(key) for key in ("title", "examples"))]
    assert whole == []


def test_every_key_of_the_schema_is_on_the_page() -> None:
    assert len(list(every_member())) == sum(len(keys) for _, keys in every_object(DEFINITIONS))


def test_the_page_is_what_the_schema_says() -> None:
    assert PAGE["make_page"](DEFINITIONS) == TEXT


def test_another_word_in_the_schema_is_another_page() -> None:
    changed = {**DEFINITIONS, "Meta": {**DEFINITIONS["Meta"], "description": "Something else."}}
    assert PAGE["make_page"](changed) != TEXT


def test_the_check_reports_a_page_that_differs(tmp_path: Path) -> None:
    for path in ("scripts/definitions_page.py", "connector/schemas/definition.schema.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text((ROOT / path).read_text("utf-8"), "utf-8")
    (tmp_path / "docs").mkdir()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(tmp_path / "scripts" / "definitions_page.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("--check").returncode == 1
    assert run().returncode == 0
    assert run("--check").returncode == 0
    page = tmp_path / "docs" / "definitions.md"
    assert page.read_text("utf-8") == TEXT
    page.write_text(TEXT + "more\n", "utf-8")
    assert "run: python scripts/definitions_page.py" in run("--check").stderr


def test_every_part_of_the_schema_has_one_heading_on_the_page() -> None:
    titles = re.findall(r"^### (.+)$", TEXT, re.MULTILINE)
    assert sorted(titles) == sorted(schema["title"] for schema in DEFINITIONS.values())
    parts = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert len({*titles, *parts}) == len(titles) + len(parts)


def test_the_parts_come_in_the_order_that_a_reader_needs() -> None:
    order = ["Connector", "Service", "Auth", "Resource", "Operation", "Field", "Webhook", "Poll", "Custom operation"]
    places = [TEXT.index(f"\n### {title}\n") for title in order]
    assert places == sorted(places)


@pytest.mark.parametrize("name", sorted({row.name for row in CONVERTORS.values()}))
def test_a_type_is_on_the_page_with_its_aliases(name: str) -> None:
    types = TEXT.partition("\n### Type\n")[2].partition("\n### ")[0]
    assert f"\n- `{name}`: " in types
    assert set(re.findall(rf"`(\w+)`: The same as {name}\.", types)) == set(CONVERTORS[name.lower()].aliases)


def test_every_definition_has_its_place_in_a_document() -> None:
    assert set(PLACES) == set(DEFINITIONS)
    members = {f"{name}.{member}" for name, member, _ in every_member()}
    assert [name for name in OTHERS if name not in {*members, *DEFINITIONS}] == []


@pytest.mark.parametrize("placed", list(examples()))
def test_an_example_has_no_problems(placed: Placed) -> None:
    kind, document = placed
    assert find_problems(json.dumps(document), kind=kind) == []


@pytest.mark.parametrize("placed", list(examples()))
def test_an_editor_accepts_an_example(placed: Placed) -> None:
    kind, document = placed
    schema = {"$ref": f"#/$defs/{KINDS[kind]}", "$defs": DEFINITIONS}
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)] == []


def read(placed: Placed) -> Any:
    kind, document = placed
    match kind:
        case "resources":
            return parse_connector(CONNECTOR, document)
        case "operations":
            return parse_connector(CONNECTOR, operations=document)
        case "automation":
            return parse_automation(document)
        case _:
            return parse_connector(document)


@pytest.mark.parametrize(("written", "silent"), list(defaults()))
def test_a_default_that_is_written_changes_nothing(written: Placed, silent: Placed) -> None:
    assert written != silent
    assert read(written) == read(silent)


def test_the_definition_of_the_introduction_has_no_problems_and_sends_what_the_page_shows() -> None:
    definition = TEXT.partition("```json\n")[2].partition("```")[0]
    assert find_problems(definition, kind="connector") == []
    found = parse_connector(definition)
    request = build_request(found.operation("pets.read"), {"petId": 7}, found.service.configure({}))
    assert f"sends `{request.method} {request.url}`" in TEXT


#: The documents of connectors that ship or are examples; the rest of a file's name is its kind.
SHIPPED = sorted(
    path
    for folder in ("definitions", "examples/definitions")
    for pattern in ("*/*.json", "*/resources/*.json")
    for path in (ROOT / folder).glob(pattern)
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: "/".join(path.parts[-3:]))
def test_an_editor_accepts_what_ships(path: Path) -> None:
    kind = "resources" if path.parent.name == "resources" else path.stem
    schema = {"$ref": f"#/$defs/{KINDS[kind]}", "$defs": DEFINITIONS}  # type: ignore[index]
    errors = jsonschema.Draft202012Validator(schema).iter_errors(json.loads(path.read_text("utf-8")))
    assert [error.message for error in errors] == []
