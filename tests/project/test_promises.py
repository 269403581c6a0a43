"""Promises across modules: every kind has its suite case and its place in the schema, the door is complete."""

from __future__ import annotations

import importlib
import importlib.resources
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import connector
import connector.errors
from connector.answers.kinds import RESPONSE_KINDS
from connector.answers.pagination import PAGINATION_STYLES
from connector.answers.streams import STREAM_KINDS
from connector.auth.methods import AUTH_METHODS, find_auth_method
from connector.conversions.pipeline import CONVERSIONS
from connector.digests import ALGORITHMS, ENCODINGS, KEY_ENCODINGS
from connector.events.messages import MEDIA_TYPES, MESSAGE_KINDS
from connector.events.public_keys import PUBLIC_KEYS
from connector.events.signatures import SIGNATURE_SCHEMES, TIMESTAMPS
from connector.model.polls import STARTS
from connector.parsing.connectors import parse_connector
from connector.parsing.steps import STEP_TYPES
from connector.protocols import method_key
from connector.requests.bodies import BODY_KINDS
from connector.requests.trees import LIST_STYLES
from connector.types import CONVERTORS, FILE_ENCODINGS

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(folder.name for folder in (ROOT / "definitions").iterdir() if folder.is_dir())


def suite(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((ROOT / "tests" / "suite" / f"{name}.json").read_text("utf-8"))
    return cases


def schema(definition: str) -> str:
    text = importlib.resources.files("connector").joinpath("schemas/definition.schema.json").read_text("utf-8")
    return json.dumps(json.loads(text)["$defs"][definition])


def test_every_auth_method_has_a_case_in_the_suite() -> None:
    used = {
        case["definition"]["service"].get("auth", {}).get("method", "none")
        for case in suite("requests")
        if "definition" in case
    }
    rows = {id(find_auth_method(method)) for method in used}
    assert [name for name, row in AUTH_METHODS.items() if id(row) not in rows] == []


def test_every_kind_of_body_has_a_case_in_the_suite() -> None:
    kinds = set()
    for case in suite("requests"):
        if "definition" in case:
            kinds.add(type(parse_connector(case["definition"]).operation(case["operation"]).body))
    assert [name for name, kind in BODY_KINDS.items() if kind not in kinds] == []


def test_every_type_and_alias_has_a_case_in_the_suite() -> None:
    used = {case["type"].lower() for case in suite("types")}
    assert sorted(CONVERTORS) == sorted(used)


def test_every_signature_scheme_has_a_case_in_the_suite_and_stands_in_the_schema() -> None:
    used = {case["signature"]["scheme"] for case in suite("signatures") if case["signature"] and "verified" in case}
    assert used == set(SIGNATURE_SCHEMES)
    assert [name for name in SIGNATURE_SCHEMES if name not in schema("Signature")] == []


def test_every_type_of_step_has_a_case_in_the_suite_and_a_branch_in_the_schema() -> None:
    used = {
        step["type"] for case in suite("steps") for each in case["definition"]["operations"] for step in each["steps"]
    }
    assert sorted(STEP_TYPES) == sorted(used)
    assert [kind for kind in STEP_TYPES if f'"{kind}"' not in schema("Step")] == []


def test_the_schema_names_every_type_and_alias() -> None:
    described = schema("Type")
    names = {name for row in CONVERTORS.values() for name in (row.name, *row.aliases)}
    assert sorted(name for name in names if name not in described) == []


#: The lists of names in the schema that the tables of the language extend, each with the names that ship.
OPEN: dict[str, set[str]] = {
    "Auth.method": set(AUTH_METHODS),
    "Signature.scheme": set(SIGNATURE_SCHEMES),
    "Signature.algorithm": {*ALGORITHMS, *PUBLIC_KEYS},
    "Signature.encoding": set(ENCODINGS),
    "Signature.keyEncoding": set(KEY_ENCODINGS),
    "Signature.timestamp": set(TIMESTAMPS),
    "ConversionName": {name for name, row in CONVERSIONS.items() if row.argument is None or row.optional},
    "MessageKind": {*MESSAGE_KINDS, *MEDIA_TYPES},
    "Challenge.algorithm": set(ALGORITHMS),
    "Challenge.encoding": set(ENCODINGS),
    "Operation.method": {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"},
    "FormStyle.lists": set(LIST_STYLES),
    "Pagination.style": set(PAGINATION_STYLES),
    "Response.kind": set(RESPONSE_KINDS),
    "Placeholder.encoding": set(FILE_ENCODINGS),
    "InputMeta.encoding": set(FILE_ENCODINGS),
    "Poll.start": set(STARTS),
    "Type": set(CONVERTORS),
}


def test_the_open_lists_of_the_schema_are_the_names_that_ship() -> None:
    text = importlib.resources.files("connector").joinpath("schemas/definition.schema.json").read_text("utf-8")
    definitions = json.loads(text)["$defs"]
    places = {name: part for name, part in definitions.items() if "enum" in part}
    places |= {
        f"{name}.{member}": each
        for name, part in definitions.items()
        for member, each in part.get("properties", {}).items()
        if "enum" in each
    }
    found = {place: each["enum"] for place, each in places.items() if each.get("x-open")}
    keys = {"Auth.method": method_key, "Type": str.lower}
    assert {place: {keys.get(place, str)(name) for name in names} for place, names in found.items()} == OPEN
    described = [each for each in places.values() if "enumDescriptions" in each]
    assert [each["enum"] for each in described if len(each["enum"]) != len(each["enumDescriptions"])] == []
    assert set(STEP_TYPES) == set(places["Step.type"]["enum"])


def kind_of(case: dict[str, Any]) -> str:
    response = case["response"]
    return str(response if isinstance(response, str) else response["kind"])


#: For each table: its names as a definition writes them, the part of the schema that has to name each, and the names
#: that cases of the suite are about. Their headings in the reference `tests/project/test_docs.py` compares.
KINDS: dict[str, tuple[set[str], str, Callable[[], set[str]]]] = {
    "auth methods": (
        set(AUTH_METHODS),
        "Auth",
        lambda: {
            method_key(case["definition"]["service"].get("auth", {}).get("method", "none"))
            for case in suite("requests")
            if "definition" in case
        },
    ),
    "pagination styles": (
        set(PAGINATION_STYLES),
        "Pagination",
        lambda: {case["pagination"]["style"] for case in suite("pages")},
    ),
    "response kinds": (set(RESPONSE_KINDS), "Response", lambda: {kind_of(case) for case in suite("answers")}),
    "stream kinds": (set(STREAM_KINDS), "Response", lambda: {kind_of(case) for case in suite("answers")}),
    "body kinds": (
        set(BODY_KINDS),
        "BodyTemplate",
        lambda: {
            name
            for case in suite("requests")
            if "definition" in case
            for name, kind in BODY_KINDS.items()
            if type(parse_connector(case["definition"]).operation(case["operation"]).body) is kind
        },
    ),
    "policies": (
        {"rateLimit", "retry", "errors", "idempotent"},
        "Operation",
        lambda: {name for case in suite("policies") for name in case["policies"]} - {"header"},
    ),
    "types": (
        {row.name.lower() for row in CONVERTORS.values()},
        "Type",
        lambda: {case["type"].lower() for case in suite("types")} & {row.name.lower() for row in CONVERTORS.values()},
    ),
}


@pytest.mark.parametrize("table", KINDS)
def test_every_row_of_a_table_is_in_the_schema_and_has_a_case_in_the_suite(table: str) -> None:
    rows, part, cases = KINDS[table]
    words = {method_key(word) for word in re.findall(r"[A-Za-z_]\w*", schema(part))}
    assert sorted(row for row in rows if method_key(row) not in words) == []
    assert sorted(rows - cases()) == []
    assert rows


def test_no_two_cases_of_the_suite_have_one_description() -> None:
    for name in ("requests", "selectors", "types", "pages", "signatures", "steps", "answers", "policies"):
        described = [case["description"] for case in suite(name)]
        assert len(described) == len(set(described))


MODULES = [each.name for each in pkgutil.iter_modules(connector.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_thing_of_a_module_says_what_it_is(name: str) -> None:
    module = importlib.import_module(f"connector.{name}")
    assert module.__doc__
    own = {
        key: value
        for key, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
        and not key.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
    }
    methods = {
        f"{owner}.{key}": value
        for owner, thing in own.items()
        if inspect.isclass(thing)
        for key, value in vars(thing).items()
        if not key.startswith("_") and (inspect.isfunction(value) or isinstance(value, (property, classmethod)))
    }
    silent = [key for key, value in {**own, **methods}.items() if not getattr(value, "__doc__", None)]
    assert silent == []


@pytest.mark.parametrize("handle", SHIPPED)
def test_every_shipped_connector_parses(handle: str) -> None:
    folder = ROOT / "definitions" / handle
    parts = {name: folder / f"{name}.json" for name in ("service", "resources", "overlay")}
    texts = {name: path.read_text("utf-8") for name, path in parts.items() if path.exists()}
    found = parse_connector(texts["service"], texts.get("resources"), overlay=texts.get("overlay"))
    assert found.handle == handle
    assert found.operations


def test_importing_the_language_loads_nothing_heavy() -> None:
    heavy = [
        "jinja2",
        "jsonschema",
        "referencing",
        "jsonpath_ng",
        "httpx2",
        "asyncio",
        "decimal",
        "hashlib",
        "datetime",
    ]
    code = f"import sys, connector; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"


def test_the_language_touches_no_clock_file_socket_or_environment() -> None:
    forbidden = {"os", "time", "socket", "asyncio", "httpx2", "sqlite3", "fastapi"}
    imported = {
        (path.stem, line.split()[1].partition(".")[0])
        for path in (ROOT / "connector").rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if line.strip().startswith(("import ", "from "))
    }
    assert sorted(pair for pair in imported if pair[1] in forbidden) == []
