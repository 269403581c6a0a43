"""Each problem of a definition has a file, a line and a column, whatever its code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connector.errors import Problem
from runtime.cli.root import cli
from runtime.config.catalog import Catalog, find_problems_in
from runtime.events.automations import lint_automations

ROOT = Path(__file__).parents[2]
Files = dict[str, Any]
BEARER = {"method": "bearer", "params": {"token": {"value": "{{key}}", "placeholders": [{"name": "key"}]}}}
AUTOMATION = {"handle": "auto", "on": "demo/things/made", "do": [{"call": "demo/things.read"}]}


def demo(*, service: Any = None, things: Any = None, **more: Any) -> Files:
    """The files of a connector `demo` with one resource `things`."""
    block = {"baseURL": "https://demo.example", **(service or {})}
    resource = {"handle": "things", "endpoint": "/things", **(things or {})}
    return {
        "demo/service.json": {"handle": "demo", "service": block},
        "demo/resources.json": [resource],
        **more.pop("files", {}),
        **more,
    }


def read(**operation: Any) -> Files:
    return demo(things={"operations": {"read": {"method": "GET", **operation}}})


def list_(**more: Any) -> Any:
    return {"operations": {"list": {"method": "GET", "records": ["data"], **more}}}


def query(**placeholder: Any) -> Files:
    return read(queryParams={"kind": {"type": "String", **placeholder}})


def post(template: Any, **headers: str) -> Files:
    return read(method="POST", bodyTemplate=template, headers=headers)


def webhook(**more: Any) -> Any:
    return {**list_(), "webhooks": [{"event": "made", "path": "/webhooks/demo/made", **more}]}


def example(value: Any, *, name: str = "things.list", things: Any = None) -> Files:
    return {**demo(things=things or list_()), f"demo/examples/{name}.json": value}


def custom(**step: Any) -> Files:
    operations = [{"handle": "do", "steps": [{"type": "http", "http": {"path": "/a", **step}}]}]
    return {**demo(), "demo/operations.json": operations}


FIELDS = {**list_(), "fields": [{"name": "id", "type": "Integer"}]}
#: By code: the files, which of them has the problem, and what is written at its line and column.
CASES: list[tuple[str, Files, str, str]] = [
    ("E_JSON", {"demo.json": '{"handle":\n  nonsense}'}, "demo.json", "nonsense"),
    ("E_JSON", example("no JSON"), "things.list.json", "no JSON"),
    ("E_JSON_DOUBLED_KEY", {"demo.json": '{"handle": "demo",\n "handle": "demo"}'}, "demo.json", '"handle"'),
    ("E_YAML", {"spec.yaml": "openapi: 3.1.0\na: [1\n"}, "spec.yaml", ""),
    ("E_OPENAPI", {"spec.yaml": "info: {}\nswagger: '2.0'\n"}, "spec.yaml", "swagger"),
    ("E_OPENAPI", {"spec.json": '{"info": {}, "openapi": "2"}'}, "spec.json", '"openapi"'),
    ("E_OPENAPI", {"spec.json": "[]"}, "spec.json", "[]"),
    ("E_LIMIT", {"demo.json": "[" * 40 + "]" * 40}, "demo.json", "["),
    ("E_LIMIT", example("[" * 300 + "]" * 300), "things.list.json", "["),
    ("E_LIMIT", example("[" * 200_000), "things.list.json", "["),
    ("E_SHAPE", demo(things={"operations": 5}), "resources.json", "5"),
    ("E_MISSING", {"demo.json": {"handle": "demo"}}, "demo.json", "{"),
    ("E_NAME", demo(things={"handle": "a b"}), "resources.json", '"a b"'),
    ("E_HANDLE", {"demo.json": {"handle": "other", "service": {"baseURL": "https://d.example"}}}, "demo.json", '"oth'),
    (
        "E_DOUBLED",
        demo(files={"demo/resources/a.json": [{"handle": "things", "endpoint": "/b"}]}),
        "a.json",
        '"things"',
    ),
    ("E_DOUBLED", {"automations/a.json": AUTOMATION, "automations/b.json": AUTOMATION}, "b.json", '"auto"'),
    ("E_TYPE", query(type="Strin"), "resources.json", '"Strin"'),
    ("E_DEFAULT", query(type="Integer", default="x"), "resources.json", '"x"'),
    ("E_BOUNDS", query(type="Integer", minimum=2, maximum=1), "resources.json", "2"),
    ("E_OPTION", query(type="Integer", options=["x"]), "resources.json", '"x"'),
    ("E_TEMPLATE_GRAMMAR", read(path="/{% if %}"), "resources.json", '"/{%'),
    ("E_HEADER", demo(service={"headers": {"Host": "x"}}), "service.json", '"Host"'),
    ("E_URL", demo(service={"baseURL": "nowhere"}), "service.json", '"nowhere"'),
    ("E_BODY", post('{"a": {{b}}', **{"Content-Type": "application/json"}), "resources.json", '"{'),
    ("E_BODY_KEY", post({"{{b}}": 1}), "resources.json", "{"),
    ("E_BODY_KIND", post("x", **{"Content-Type": "application/x-nonsense"}), "resources.json", ""),
    ("E_PAGINATION", demo(things=list_(pagination={"style": "nonsense"})), "resources.json", '"nonsense"'),
    (
        "E_UNKNOWN_OPTION",
        demo(things=list_(pagination={"style": "page", "param": "p", "last": ["id"]})),
        "resources.json",
        '"last"',
    ),
    ("E_AUTOMATION", {"automations/a.json": {**AUTOMATION, "on": "nonsense"}}, "a.json", '"nonsense"'),
    ("E_POLL", demo(things=webhook(poll={"operation": "things.list", "when": {"in": ["a"]}})), "resources.json", "{"),
    ("E_RESPONSE_KIND", read(response="nonsense"), "resources.json", '"nonsense"'),
    ("E_SELECTOR", demo(things={"fields": [{"name": "a", "selector": "$.a where b"}]}), "resources.json", '"$.a'),
    ("E_AUTH_METHOD", demo(service={"auth": {"method": "nonsense"}}), "service.json", '"nonsense"'),
    ("E_AUTH", demo(service={"auth": {"method": "bearer", "params": {}}}), "service.json", "{"),
    ("E_SIGNATURE_SCHEME", demo(service={"signature": {"scheme": "nonsense"}}), "service.json", '"nonsense"'),
    ("E_ENCODING", query(encoding="base64"), "resources.json", '"base64"'),
    (
        "E_CONVERSION",
        demo(things={"fields": [{"name": "a", "type": "Any", "convert": ["trim", "trimm"]}]}),
        "resources.json",
        '"trimm"',
    ),
    (
        "E_FROM",
        demo(things={"fields": [{"name": "a", "type": "Any", "from": "query"}]}),
        "resources.json",
        '"query"',
    ),
    ("E_CONTENT_TYPE", demo(things=webhook(contentType=["json", "yaml"])), "resources.json", '"yaml"'),
    ("E_CHALLENGE", demo(things=webhook(challenge={"query": "c", "algorithm": "md5"})), "resources.json", "{"),
    ("E_METHOD", custom(method="{{verb}}"), "operations.json", '"{{verb}}"'),
    ("E_WEBHOOK_PATH", demo(things=webhook(path="/made")), "resources.json", '"/made"'),
    ("W_UNKNOWN_KEY", demo(things={"nonsense": 1}), "resources.json", '"nonsense"'),
    ("W_UNDECLARED", read(path="/{{id}}"), "resources.json", '"/{{id}}"'),
    (
        "W_UNUSED",
        read(path={"value": "/a", "placeholders": [{"name": "id", "type": "String"}]}),
        "resources.json",
        "{",
    ),
    (
        "W_CONFLICT",
        read(
            path={"value": "/{{id}}", "placeholders": [{"name": "id", "type": "String"}]},
            queryParams={"id": {"type": "Integer"}},
        ),
        "resources.json",
        "",
    ),
    ("W_PLAIN_HTTP", demo(service={"baseURL": "http://demo.example", "auth": BEARER}), "service.json", '"http:'),
    (
        "W_SECRET_OUTSIDE_AUTH",
        demo(service={"auth": BEARER}, things={"operations": {"read": {"method": "GET", "path": "/{{key}}"}}}),
        "resources.json",
        '"/{{key}}"',
    ),
    ("W_OVERLAY_ADDRESS", demo(files={"demo/overlay.json": {"status": None}}), "overlay.json", '"status"'),
    ("W_RECORDS_INFERRED", demo(things={"operations": {"list": {"method": "GET"}}}), "resources.json", "{"),
    (
        "W_RECORDS_INFERRED",
        demo(files={"demo/overlay.json": {"resources": {"things": {"operations": {"list": {"method": "GET"}}}}}}),
        "overlay.json",
        "{",
    ),
    ("W_FIELDS_UNMATCHED", example({"body": {"data": [{"a": 1}]}}, things=FIELDS), "things.list.json", "{"),
    ("W_TRIGGER_OPERATION", demo(things=webhook(after=["things.list", "a.b"])), "resources.json", '"a.b"'),
    ("W_TRIGGER_OPERATION", demo(things=webhook(poll={"operation": "a.b"})), "resources.json", '"a.b"'),
    (
        "W_TRIGGER_OPERATION",
        demo(things=webhook(poll={"operation": "things.list", "inputs": {"nonsense": "v"}})),
        "resources.json",
        '"v"',
    ),
    ("W_AUTOMATION", {"automations/a.json": {**AUTOMATION, "on": "absent/things/made"}}, "a.json", '"absent/'),
    ("W_AUTOMATION", {"automations/a.json": {**AUTOMATION, "do": [{"call": "absent/a.b"}]}}, "a.json", '"absent/'),
    ("W_MAPPING", example([{"body": 7}, {"body": {"data": [{"id": "x"}]}}], things=FIELDS), "things.list.json", "7"),
    (
        "W_EXAMPLE_MISSING",
        {
            **demo(things={"operations": {"list": list_()["operations"]["list"], "read": {"method": "HEAD"}}}),
            "demo/examples/things.list.json": {"body": {"data": []}},
        },
        "resources.json",
        '{\n    "method": "HEAD"',
    ),
    (
        "W_EXAMPLE_MISSING",
        {**custom(method="GET"), "demo/examples/things.list.json": {"body": {}}},
        "operations.json",
        '{\n  "handle": "do"',
    ),
    ("W_EXAMPLE_SHAPE", example([{"body": {"data": []}}, 5]), "things.list.json", "5"),
    ("W_EXAMPLE_UNKNOWN", example({"body": {}}, name="things.lst"), "things.lst.json", "{"),
]


def find(folder: Path, files: Files) -> list[Problem]:
    """The problems of the files, as the command that reads them finds them."""
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value, indent=1), "utf-8")
    name = next(iter(files))
    if name.startswith("spec."):
        result = CliRunner().invoke(cli, ["import", "openapi", str(folder / name), "--json"])
        listed = json.loads(result.stdout)["problems"]
        return [Problem(**each) for each in listed]
    if name.startswith("automations/"):
        return lint_automations(folder / "automations", Catalog())
    return find_problems_in(folder)


@pytest.mark.parametrize(("code", "files", "file", "written"), CASES, ids=[f"{each[0]}-{each[2]}" for each in CASES])
def test_a_problem_is_at_what_is_meant(code: str, files: Files, file: str, written: str, tmp_path: Path) -> None:
    problems = find(tmp_path, files)
    found = [each for each in problems if each.code == code]
    assert found, problems
    for each in problems:
        assert Path(each.file or "-").is_file(), each
        assert None not in (each.line, each.column), each
    texts = [read_from(each) for each in found if Path(each.file or "-").name == file]
    assert [text for text in texts if text.startswith(written)], texts


def read_from(problem: Problem) -> str:
    """What is written where the problem is."""
    lines = Path(problem.file or "-").read_text("utf-8").splitlines(keepends=True)
    return "".join(lines[(problem.line or 0) - 1 :])[(problem.column or 0) - 1 :]


def test_every_code_has_a_case() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    section = reference.partition("\n## Problem codes\n")[2].partition("\n## ")[0]
    assert {code for code, *_ in CASES} == set(re.findall(r"^### `(\w+)`", section, re.MULTILINE))


def test_lint_shows_the_operation_of_a_single_file(tmp_path: Path) -> None:
    head = {"handle": "demo", "service": {"baseURL": "https://demo.example"}}
    things = {"handle": "things", "endpoint": "/things", "operations": {"list": {"method": "GET"}}}
    (tmp_path / "demo.json").write_text(json.dumps({**head, "resources": [things]}, indent=1), "utf-8")
    shown = CliRunner().invoke(cli, ["lint", str(tmp_path / "demo.json")]).stdout
    assert shown.startswith(f"{tmp_path / 'demo.json'}:11:13 W_RECORDS_INFERRED")
