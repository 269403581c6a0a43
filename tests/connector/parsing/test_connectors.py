"""Whole definitions: every accepted shape, every refusal, every problem at once at its line and column."""

from __future__ import annotations

import copy
import json
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.auth.methods import NoAuth
from connector.errors import InvalidDefinition, Problem
from connector.model.definition import Connector, Operation
from connector.parsing.connectors import find_problems, merge_documents, parse_connector, read_connector
from connector.parsing.schema import Document
from tests.doubles.definitions import SERVICE, STEP, THINGS, errors

MISTRAL = Path(__file__).parents[3] / "definitions" / "mistral-ai"


def mistral(name: str) -> str:
    return (MISTRAL / f"{name}.json").read_text("utf-8")


def places(problems: list[Problem]) -> list[tuple[int | None, int | None, str]]:
    return [(each.line, each.column, each.code) for each in problems]


# Accepted shapes (language rule 19)


def test_service_and_resources_are_two_documents_or_one_connector_as_text_or_values() -> None:
    two = parse_connector(SERVICE, [THINGS])
    assert two.operation("things.read").name == "read"
    assert parse_connector({**SERVICE, "resources": [THINGS]}).operations.keys() == two.operations.keys()
    assert parse_connector(json.dumps(SERVICE), json.dumps([THINGS])).operations.keys() == two.operations.keys()
    assert parse_connector(json.dumps({**SERVICE, "resources": [THINGS]})).operations.keys() == two.operations.keys()
    assert (
        parse_connector(Document.from_value(SERVICE, "service"), (THINGS,)).operations.keys() == two.operations.keys()
    )


def test_resources_may_be_keyed_by_handle() -> None:
    keyed = {"things": {key: value for key, value in THINGS.items() if key != "handle"}}
    assert parse_connector(SERVICE, keyed) == parse_connector(SERVICE, [THINGS])
    assert parse_connector({**SERVICE, "resources": keyed}).resources["things"].short == "Things"


@pytest.mark.parametrize("name", ["handle", "name"])
def test_operations_may_be_a_list_with_handle_or_name(name: str) -> None:
    listed = [{name: "read", "method": "get", "path": "/{{id}}"}]
    connector = parse_connector(SERVICE, [{**THINGS, "operations": listed}])
    assert [(key, each.method) for key, each in connector.operations.items()] == [("things.read", "GET")]


def test_an_operation_is_split_from_its_resource_at_the_last_dot() -> None:
    connector = parse_connector(SERVICE, [{**THINGS, "handle": "my.things"}])
    assert connector.operation("my.things.read").name == "read"
    assert errors(SERVICE, [{**THINGS, "operations": {"a.b": {"method": "GET"}}}]) == [
        ("E_NAME", "/0/operations/a.b"),
    ]


def test_every_template_may_be_bare_text() -> None:
    bare = {
        "handle": "demo",
        "service": {
            "baseURL": "https://{{shop}}.example/admin",
            "headers": {"X-Account": "{{account}}", "X-Version": 3, "X-Flag": True},
            "auth": {"method": "api_token", "params": {"token": "{{apiToken}}"}},
            "probe": {"path": "/me"},
        },
        "resources": [
            {
                **THINGS,
                "endpoint": "/{{kind}}",
                "operations": {
                    "make": {
                        "method": "POST",
                        "path": "/{{id}}",
                        "headers": {"X-A": "{{a}}"},
                        "queryParams": {"b": "{{b}}"},
                        "bodyTemplate": '{"c": "{{c}}"}',
                    }
                },
            }
        ],
    }
    connector = parse_connector(bare)
    assert sorted(connector.operation("things.make").inputs) == ["a", "b", "c", "id", "kind"]
    assert sorted(connector.service.placeholders) == ["account", "apiToken", "shop"]
    assert connector.service.probe == "/me"
    assert [template.literal for _, template in connector.service.headers[1:]] == ["3", "true"]


def test_what_describes_a_connector_is_kept() -> None:
    meta = {"short": "Demo", "description": "A demo.", "icon": "x", "tags": ["a", "b"]}
    connector = parse_connector({**SERVICE, "status": "active", "meta": meta})
    assert (connector.handle, connector.status, connector.short, connector.description, connector.tags) == (
        "demo",
        "active",
        "Demo",
        "A demo.",
        ("a", "b"),
    )


def test_unknown_keys_are_never_fatal_and_linted_at_the_key() -> None:
    text = '{"handle": "demo",\n "colour": 1,\n "service": {"baseURL": "https://demo.example", "bseURL": 2}}'
    assert parse_connector(text).handle == "demo"
    problems = find_problems(text, kind="service", file="service.json")
    assert problems == [
        Problem(
            "W_UNKNOWN_KEY",
            "unknown key 'colour'",
            hint="known: handle, meta, operations, resources, service, status",
            pointer="/colour",
            file="service.json",
            line=2,
            column=2,
        ),
        Problem(
            "W_UNKNOWN_KEY",
            "unknown key 'bseURL'",
            hint="did you mean 'baseURL'?",
            pointer="/service/bseURL",
            file="service.json",
            line=3,
            column=49,
        ),
    ]


def test_a_definition_with_nothing_but_a_base_url_is_enough() -> None:
    connector = parse_connector(SERVICE)
    assert isinstance(connector.service.auth, NoAuth)
    assert (connector.operations, connector.webhooks) == ({}, ())


def test_a_service_may_hold_resources_beside_those_of_its_own_document() -> None:
    whole = {**SERVICE, "resources": [THINGS], "operations": [{"handle": "a", "steps": [STEP]}]}
    connector = parse_connector(whole, [{**THINGS, "handle": "more", "webhooks": []}])
    assert list(connector.resources) == ["things", "more"]
    assert list(connector.custom_operations) == ["a", "api-request"]


# Custom operations


# The service block


# Resources and webhooks


def test_T12_two_handles_alike_are_refused_in_one_document_and_over_several() -> None:
    other = {**THINGS, "webhooks": []}
    assert errors(SERVICE, [THINGS, other]) == [("E_DOUBLED", "/1/handle")]
    _, problems = read_connector(SERVICE, [THINGS], more_resources=[[other]])
    assert [(each.code, each.pointer) for each in problems if each.is_error] == [("E_DOUBLED", "/0/handle")]


# Limits


def test_T12_a_resource_has_at_most_two_thousand_fields() -> None:
    fields = [{"name": f"f{place}", "type": "ID"} for place in range(2001)]
    assert len(parse_connector(SERVICE, [{**THINGS, "fields": fields[:2000]}]).resources["things"].fields) == 2000
    assert errors(SERVICE, [{**THINGS, "fields": fields}]) == [("E_LIMIT", "/0/fields")]


def test_T09_a_template_declares_at_most_two_hundred_placeholders() -> None:
    def path(count: int) -> dict[str, Any]:
        placeholders = {f"p{place}": {"type": "ID"} for place in range(count)}
        return {
            **THINGS,
            "operations": {"do": {"method": "GET", "path": {"value": "/x", "placeholders": placeholders}}},
        }

    assert parse_connector(SERVICE, [path(200)]).handle == "demo"
    assert errors(SERVICE, [path(10_000)]) == [("E_LIMIT", "/0/operations/do/path/placeholders")]


@pytest.mark.parametrize("name", ["__class__", "a b", "ａpiToken", "a" * 65, "", "a\n", "1a", "a-b"])
def test_T09_a_declared_name_is_a_letter_and_letters_digits_or_underscores(name: str) -> None:
    def declaring(placeholders: Any) -> list[tuple[str, str]]:
        path = {"value": "/x", "placeholders": placeholders}
        return errors(SERVICE, [{**THINGS, "operations": {"do": {"method": "GET", "path": path}}}])

    at = "/0/operations/do/path/placeholders"
    assert declaring([{"name": name, "type": "ID"}]) == [("E_NAME", f"{at}/0/name")]
    assert declaring({name: {"type": "ID"}}) == [("E_NAME", f"{at}/{name}")]


def hostile() -> Iterator[tuple[str, Any]]:
    few, many = (
        ",".join(f'{{"name":"f{place}","type":"ID"}}' for place in range(count)) for count in (35_000, 100_000)
    )
    yield "as many fields as a file holds", f'[{{"handle":"a","endpoint":"","fields":[{few}]}}]'
    yield "a hundred thousand fields", f'[{{"handle":"a","endpoint":"","fields":[{many}]}}]'
    yield "resources of one handle", "[" + ",".join(['{"handle":"a","endpoint":"/"}'] * 30_000) + "]"
    yield "a name of a megabyte", f'[{{"handle":"{"a" * 1_000_000}-","endpoint":""}}]'
    yield "one level of everything", "[" + ",".join(["[]"] * 300_000) + "]"
    yield "brackets", "[" * 100_000


@pytest.mark.parametrize("text", [text for _, text in hostile()], ids=[f"T12 {name}" for name, _ in hostile()])
def test_a_hostile_document_is_refused_in_bounded_time_and_memory(text: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidDefinition) as caught:
        parse_connector(SERVICE, text)
    # What grows with the square takes minutes. Whoever traces each line, for coverage, takes four times as long.
    assert time.process_time() - started < (5 if sys.gettrace() is None else 20)
    assert all(len(each.message) < 500 for each in caught.value.problems)


def test_T12_a_large_refused_document_takes_little_memory() -> None:
    tracemalloc.start()
    with pytest.raises(InvalidDefinition):
        parse_connector(SERVICE, "[" * 1_000_000)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


# All problems at once, each at its place

SERVICE_WITH_TEN_MISTAKES = """\
{
  "handle": "my demo",
  "status": 5,
  "hnadle": "x",
  "service": {
    "baseURL": "ftp://demo.example",
    "headers": {
      "Host": "demo.example",
      "X-A": "{{ a.b }}",
      "x-a": "1"
    },
    "probe": {"expectedStatus": 200},
    "auth": {"method": "telepathy", "scopes": [1]},
    "auth": {"method": "telepathy"}
  }
}
"""

RESOURCES_WITH_TEN_MISTAKES = """\
[
  {
    "handle": "things",
    "endpoint": "https://evil.example",
    "fields": [
      {"name": "id", "type": "Strnig"},
      {"name": "name", "typ": "String", "type": "String"},
      {"name": "size", "type": "Integer", "selector": {"a": 1}}
    ],
    "operations": {
      "list": {"path": ""},
      "make": {
        "method": "POST",
        "bodyTemplate": {
          "value": "{\\"n\\": {{n}}}",
          "placeholders": [{"name": "n", "type": "Integer", "default": "many"}]
        }
      },
      "read": {"method": "GET", "path": "/{{ id|e }}"},
      "drop": {"method": "DELETE", "method": "GET"}
    },
    "webhooks": [
      {"event": "made", "path": "/webhooks/../admin"}
    ]
  },
  {"handle": "things", "endpoint": "/more"}
]
"""


def test_a_service_with_ten_mistakes_gives_ten_problems_at_their_places() -> None:
    problems = find_problems(SERVICE_WITH_TEN_MISTAKES, kind="service", file="service.json")
    assert places(problems) == [
        (2, 13, "E_NAME"),
        (3, 13, "E_SHAPE"),
        (4, 3, "W_UNKNOWN_KEY"),
        (6, 16, "E_URL"),
        (8, 7, "E_HEADER"),
        (9, 14, "E_TEMPLATE_GRAMMAR"),
        (10, 7, "E_DOUBLED"),
        (12, 14, "E_MISSING"),
        (14, 5, "E_JSON_DOUBLED_KEY"),
        (14, 24, "E_AUTH_METHOD"),
    ]
    assert {each.file for each in problems} == {"service.json"}


def test_resources_with_ten_mistakes_give_ten_problems_at_their_places() -> None:
    problems = find_problems(RESOURCES_WITH_TEN_MISTAKES, kind="resources", file="resources.json")
    assert places(problems) == [
        (4, 17, "E_URL"),
        (6, 30, "E_TYPE"),
        (7, 24, "W_UNKNOWN_KEY"),
        (8, 55, "E_SHAPE"),
        (11, 15, "E_MISSING"),
        (16, 72, "E_DEFAULT"),
        (19, 41, "E_TEMPLATE_GRAMMAR"),
        (20, 36, "E_JSON_DOUBLED_KEY"),
        (23, 33, "E_WEBHOOK_PATH"),
        (26, 14, "E_DOUBLED"),
    ]
    assert [each.pointer for each in problems][:3] == ["/0/endpoint", "/0/fields/0/type", "/0/fields/1/typ"]


def test_the_mistakes_of_all_documents_are_known_together() -> None:
    both = [
        Document.from_text(SERVICE_WITH_TEN_MISTAKES, "service", "service.json"),
        Document.from_text(RESOURCES_WITH_TEN_MISTAKES, "resources", "resources.json"),
    ]
    with pytest.raises(InvalidDefinition) as caught:
        parse_connector(*both)
    files = [each.file for each in caught.value.problems]
    assert (files.count("service.json"), files.count("resources.json")) == (9, 9)
    assert str(caught.value).startswith("18 problems in the definition\n  service.json:2:13 E_NAME")


def test_a_document_without_a_file_is_called_by_its_kind() -> None:
    def files(*sources: Any, **more: Any) -> list[str | None]:
        return [each.file for each in read_connector(*sources, **more)[1]]

    assert files(5) == ["connector"]
    assert files(5, 5, operations=5, overlay=5) == ["service", "resources", "operations", "overlay"]


def test_documents_that_are_no_json_are_told_of_together() -> None:
    assert errors("{", "[", overlay="x", operations='{"a": NaN}') == [
        ("E_JSON", ""),
        ("E_JSON", ""),
        ("E_JSON", "/a"),
        ("E_JSON", ""),
    ]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("service", '{"handle": "a", "service": {"baseURL": "https://a.example"}}'),
        (
            "connector",
            '{"handle": "a", "service": {"baseURL": "https://a.example"}, "resources": [], "operations": []}',
        ),
        ("resources", '[{"handle": "a", "endpoint": "/a", "operations": {"b": {"method": "GET", "path": "/{{c}}"}}}]'),
        ("operations", '[{"handle": "a", "steps": [{"type": "http", "http": {"method": "GET", "path": "/{{c}}"}}]}]'),
        ("overlay", '{"service": {"probe": null}, "resources": {"a": {"operations": {"b": null}}}}'),
    ],
)
def test_a_good_document_of_any_kind_has_no_problems(kind: Any, text: str) -> None:
    assert find_problems(text, kind=kind) == []


@pytest.mark.parametrize(
    ("kind", "text", "place"),
    [
        ("service", '{"service": {}}', [(1, 1, "E_MISSING"), (1, 13, "E_MISSING")]),
        ("service", "[]", [(1, 1, "E_SHAPE")]),
        ("resources", '{"a": []}', [(1, 7, "E_SHAPE")]),
        ("resources", '"x"', [(1, 1, "E_SHAPE")]),
        ("operations", '[{"handle": "a", "steps": []}]', [(1, 27, "E_SHAPE")]),
        ("operations", "3", [(1, 1, "E_SHAPE")]),
        ("connector", '{"handle": "a"}', [(1, 1, "E_MISSING")]),
        ("overlay", '{"resources": [],\n "recourses": {}}', [(1, 15, "E_SHAPE"), (2, 2, "W_UNKNOWN_KEY")]),
        ("overlay", "{", [(1, 2, "E_JSON")]),
    ],
)
def test_a_document_of_any_kind_is_checked_by_itself(kind: Any, text: str, place: Any) -> None:
    problems = find_problems(text, kind=kind)
    assert places(problems) == place
    assert {each.file for each in problems} == {kind}


# Overlays


def overlaid(overlay: str, resources: Any = None) -> list[tuple[str | None, int | None, int | None, str]]:
    _, problems = read_connector(
        SERVICE,
        Document.from_text(json.dumps(resources or [THINGS], indent=1), "resources", "resources.json"),
        overlay=Document.from_text(overlay, "overlay", "overlay.json"),
        lint=True,
    )
    return [(each.file, each.line, each.column, each.code) for each in problems if each.code != "W_UNDECLARED"]


def test_a_problem_that_an_overlay_causes_is_shown_in_the_overlay() -> None:
    overlay = """\
{"service": {"baseURL": "ftp://x"},
 "resources": {"things": {
   "fields": {"id": {"type": "Strnig"}, "none": null},
   "operations": {
     "read": {"path": "/{{ id.x }}", "colour": 1},
     "list": {"method": null},
     "make": {"path": "/"}}}}}
"""
    assert overlaid(overlay) == [
        ("overlay.json", 1, 25, "E_URL"),
        ("overlay.json", 3, 30, "E_TYPE"),
        ("overlay.json", 3, 41, "W_OVERLAY_ADDRESS"),
        ("overlay.json", 5, 23, "E_TEMPLATE_GRAMMAR"),
        ("overlay.json", 5, 38, "W_UNKNOWN_KEY"),
        ("overlay.json", 6, 25, "E_MISSING"),
        ("overlay.json", 7, 14, "E_MISSING"),
    ]


def test_a_problem_that_an_overlay_does_not_cause_stays_in_its_file() -> None:
    first = {"handle": "first", "endpoint": "/first"}
    bad = {**THINGS, "fields": [{"name": "a", "type": "ID"}, {"name": "b", "type": "Strnig"}]}
    overlay = '{"resources": {"first": null, "things": {"fields": {"a": null}}}}'
    [(file, line, _, code)] = overlaid(overlay, [first, bad])
    text = json.dumps([first, bad], indent=1).splitlines()
    assert (file, code) == ("resources.json", "E_TYPE")
    assert line is not None
    assert '"Strnig"' in text[line - 1]


def test_what_an_overlay_says_wrongly_is_said_once() -> None:
    assert overlaid('{"service": 5}') == [("overlay.json", 1, 13, "E_SHAPE")]
    assert overlaid('{"resources": {"things": 5}}') == [("overlay.json", 1, 26, "E_SHAPE")]
    assert overlaid('{"resources": []}') == [("overlay.json", 1, 15, "E_SHAPE")]
    assert overlaid("5") == [("overlay.json", 1, 1, "E_SHAPE")]
    assert overlaid('{"service": {}, "service": {}}') == [("overlay.json", 1, 17, "E_JSON_DOUBLED_KEY")]


def test_the_options_that_an_overlay_takes_from_a_key_are_missed_there() -> None:
    placeholders = [{"name": "kind", "type": "ID", "options": ["a"]}]
    make = {"method": "POST", "bodyTemplate": {"value": {"{{kind}}": 1}, "placeholders": placeholders}}
    overlay = (
        '{"resources": {"things": {"operations": {"make":\n'
        ' {"bodyTemplate": {"placeholders": {"kind": {"options": null}}}}}}}}'
    )
    assert overlaid(overlay, [{**THINGS, "operations": {"make": make}}]) == [("overlay.json", 2, 57, "E_BODY_KEY")]


def test_an_overlay_mends_a_definition_that_is_broken_without_it() -> None:
    broken = [{**THINGS, "operations": {"read": {"method": "GET", "path": "/{{ x.y }}"}, "bad": 5}}]
    overlay = {"resources": {"things": {"operations": {"read": {"path": "/{{x}}"}, "bad": None}}}}
    assert errors(SERVICE, broken) == [
        ("E_TEMPLATE_GRAMMAR", "/0/operations/read/path"),
        ("E_SHAPE", "/0/operations/bad"),
    ]
    assert list(parse_connector(SERVICE, broken, overlay=overlay).operations) == ["things.read"]


def test_an_overlay_reaches_every_document() -> None:
    custom = [{"handle": "a", "steps": [STEP]}]
    overlay = {
        "status": "beta",
        "resources": {
            "inside": {"endpoint": "/i"},
            "things": {"endpoint": "/t"},
            "more": {"endpoint": "/m"},
            "new": {"endpoint": "/n", "operations": {"do": {"method": "GET"}}},
        },
        "operations": {"a": {"meta": {"short": "A"}}, "b": {"steps": [STEP]}},
    }

    def resource(handle: str) -> dict[str, Any]:
        return {"handle": handle, "endpoint": "/x", "operations": {"do": {"method": "GET"}}}

    connector, problems = read_connector(
        {**SERVICE, "resources": [resource("inside")]},
        [resource("things")],
        more_resources=[{"more": resource("more")}],
        operations=custom,
        overlay=overlay,
    )
    assert connector is not None
    paths = {name: each.path.path.literal for name, each in connector.operations.items()}
    assert paths == {"inside.do": "/i", "things.do": "/t", "more.do": "/m", "new.do": "/n"}
    assert (connector.status, problems) == ("beta", [])
    assert [connector.custom_operations[name].short for name in ("a", "b")] == ["A", ""]


def test_an_overlay_may_add_what_no_document_has_begun() -> None:
    overlay = {"resources": {"new": {"endpoint": "/n"}}, "operations": {"b": {"steps": [STEP]}}}
    connector = parse_connector(SERVICE, overlay=overlay)
    assert (list(connector.resources), list(connector.custom_operations)) == (["new"], ["b", "api-request"])


def test_an_overlay_on_a_misshapen_document_leaves_it_its_own_problem() -> None:
    overlay = {"service": {"probe": {"path": "/"}}, "resources": {"a": {"endpoint": "/"}}}
    assert errors([], 5, overlay=overlay) == [("E_SHAPE", ""), ("E_SHAPE", "")]


def test_nothing_at_all_lacks_everything() -> None:
    assert errors(None) == [("E_MISSING", ""), ("E_MISSING", "")]


# The promise: a Connector, or at least one error; with lint and without it the same


def good() -> dict[str, Any]:
    files = [each for each in json.loads(mistral("resources")) if each["handle"] in ("files", "ocr")]
    custom = {
        "handle": "x",
        "input": [{"name": "a", "type": "String", "meta": {"default": "b", "options": ["b", "c"]}}],
        "output": [{"name": "o", "type": "Any"}],
        "steps": [
            {
                "type": "http",
                "http": {
                    "method": {"value": "{{m}}", "placeholders": [{"name": "m", "type": "String", "options": ["GET"]}]},
                    "path": "/x",
                    "headers": {"A": "b"},
                    "queryParams": {"q": "1"},
                    "bodyTemplate": {"a": "{{a}}"},
                },
            },
            {"type": "mime_build", "mime_build": {"to": "a", "subject": "{{b}}", "body": "c"}},
        ],
    }
    return {**json.loads(mistral("service")), "resources": files, "operations": [custom]}


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, (dict, list)):
        for step, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths_of(each, (*path, step))


GOOD = good()
PATHS = list(paths_of(GOOD))
DELETED = object()
TEMPLATES = ["{{a}}", "{{a.b}}", "/{{a}}?b={{c}}", '{"a": {{a}}}', {"value": "{{a}}"}, {"value": 5}]
TEMPLATES += [{"value": "{{a}}", "placeholders": 3}, {"value": "{{a}}", "placeholders": [{"name": "a", "type": "Int"}]}]
JUNK: list[Any] = [
    None,
    True,
    5,
    -1,
    1.0,
    1e300,
    "",
    "x",
    "..",
    "/",
    "https://evil",
    "\ud800",
    "a" * 5000,
    [],
    {},
    [[]],
]
JUNK += [[1], ["x"], {"x": 1}, {"name": 1}, {"a": {"type": "String"}}, {"handle": "q"}, [{"handle": 1}], *TEMPLATES]
JUNK += [{"$if": "a"}, {"{{a}}": 1}, {"deep": [[[[[[[[[[]]]]]]]]]]}]


def mutate(document: Any, path: tuple[Any, ...], replacement: Any) -> Any:
    """A copy with the node at the path replaced, deleted, or (where it is gone already) left alone."""
    if not path:
        return document if replacement is DELETED else replacement
    document = copy.deepcopy(document)
    node = document
    try:
        for step in path[:-1]:
            node = node[step]
        if replacement is DELETED:
            del node[path[-1]]
        else:
            node[path[-1]] = copy.deepcopy(replacement)
    except (KeyError, IndexError, TypeError):
        pass
    return document


MUTATIONS = st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from([DELETED, *JUNK])), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MUTATIONS)
def test_whatever_is_wrong_with_a_definition_is_said(mutations: list[tuple[Any, Any]]) -> None:
    document = GOOD
    for path, replacement in mutations:
        document = mutate(document, path, replacement)
    connector, problems = read_connector(document)
    found = [each for each in problems if each.is_error]
    assert (connector is None) == bool(found)
    linted, lints = read_connector(document, lint=True)
    assert found == [each for each in lints if each.is_error]
    assert (linted is None) == (connector is None)
    if connector is None:
        with pytest.raises(InvalidDefinition) as caught:
            parse_connector(document)
        assert caught.value.problems == tuple(found)
    else:
        assert parse_connector(document).handle == connector.handle


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(paths_of(json.loads(mistral("overlay"))))), st.sampled_from([DELETED, *JUNK]))
def test_whatever_is_wrong_with_an_overlay_is_said(path: tuple[Any, ...], replacement: Any) -> None:
    overlay = mutate(json.loads(mistral("overlay")), path, replacement)
    connector, problems = read_connector(mistral("service"), mistral("resources"), overlay=overlay)
    assert (connector is None) == any(each.is_error for each in problems)
    assert {each.file for each in problems if each.is_error} <= {"overlay", "resources"}


# What ships


def shipped(*, lint: bool = False) -> tuple[Connector, list[Problem]]:
    connector, problems = read_connector(
        mistral("service"), mistral("resources"), overlay=mistral("overlay"), lint=lint
    )
    assert connector is not None
    return connector, problems


def test_the_shipped_connector_has_neither_errors_nor_warnings() -> None:
    connector, problems = shipped(lint=True)
    assert problems == []
    assert (len(connector.resources), len(connector.operations), len(connector.webhooks)) == (9, 30, 14)


def test_the_published_files_are_read_without_the_overlay_too() -> None:
    connector = parse_connector(mistral("service"), mistral("resources"))
    assert (len(connector.resources), len(connector.operations), len(connector.webhooks)) == (9, 19, 14)
    assert sum(len(each.fields) for each in connector.resources.values()) == 83
    assert sum(len(each.payload) for each in connector.webhooks) == 44


@pytest.mark.parametrize("kind", ["service", "resources", "overlay"])
def test_each_shipped_file_is_good_by_itself(kind: Any) -> None:
    assert find_problems(mistral(kind), kind=kind) == [] or kind == "resources"
    assert not any(each.is_error for each in find_problems(mistral(kind), kind=kind))


def test_a_second_definition_is_read_within_milliseconds() -> None:
    shipped()
    started = time.process_time()
    shipped()
    assert time.process_time() - started < 0.25


def outline(operation: Operation) -> dict[str, Any]:
    """What a call of it does, without the words that people read."""
    return {
        "method": operation.method,
        "path": operation.path,
        "query": {pair.name: pair.repeats for pair in operation.query},
        "body": operation.body,
        "inputs": {
            name: (each.type, each.required, each.default, each.options, each.minimum, each.maximum)
            for name, each in operation.inputs.items()
        },
        "fields": [(each.name, each.type, each.selector, each.multivalue) for each in operation.fields],
        "records": operation.records,
        "short": operation.short,
    }


def differences() -> dict[str, list[str]]:
    """What the overlay changes in what calls do and events hold."""
    before, (after, _) = parse_connector(mistral("service"), mistral("resources")), shipped()
    found: dict[str, list[str]] = {}
    for name, operation in after.operations.items():
        if name not in before.operations:
            found[name] = ["new"]
            continue
        old, new = outline(before.operations[name]), outline(operation)
        found[name] = [member for member, value in new.items() if old[member] != value]
    for old_hook, webhook in zip(before.webhooks, after.webhooks, strict=True):
        payloads = [[(each.name, each.type, each.selector) for each in hook.payload] for hook in (old_hook, webhook)]
        found[webhook.id] = [
            *(["after"] if webhook.after else []),
            *(["poll"] if webhook.poll else []),
            *(["payload"] if payloads[0] != payloads[1] else []),
        ]
    return {name: members for name, members in found.items() if members}


def test_every_correction_of_the_overlay_is_known() -> None:
    assert differences() == {
        "chat-completions.create": ["inputs"],
        "chat-completions.complete": ["new"],
        "chat-completions.stream": ["new"],
        "fim-completions.create": ["inputs", "fields"],
        "fim-completions.stream": ["new"],
        "agents-completions.stream": ["new"],
        "embeddings.create": ["body", "inputs"],
        "models.list": ["query", "inputs", "records"],
        "models.delete": ["fields"],
        "files.list": ["query", "inputs", "fields", "records"],
        "files.read": ["fields"],
        "files.delete": ["fields"],
        "files.create": ["new"],
        "files.download": ["new"],
        "files.sign-url": ["new"],
        "fine-tuning-jobs.create": ["query", "body", "inputs"],
        "fine-tuning-jobs.cancel": ["new"],
        "fine-tuning-jobs.start": ["new"],
        "fine-tuning-jobs.list": ["query", "inputs", "records"],
        "fine-tuning-jobs.delete": ["method", "short"],
        "batch-jobs.list": ["query", "inputs", "records"],
        "batch-jobs.read": ["query", "inputs"],
        "batch-jobs.create": ["body", "inputs"],
        "batch-jobs.create-inline": ["new"],
        "batch-jobs.cancel": ["new"],
        "batch-jobs.delete": ["method", "short"],
        "ocr.create": ["body", "inputs"],
        "chat-completions/chat_completion.created": ["after"],
        "fim-completions/fim_completion.created": ["after", "payload"],
        "embeddings/embeddings.generated": ["after"],
        "models/model.deleted": ["after"],
        "files/file.uploaded": ["after", "poll", "payload"],
        "files/file.deleted": ["after"],
        "fine-tuning-jobs/fine_tuning_job.created": ["after", "poll"],
        "fine-tuning-jobs/fine_tuning_job.succeeded": ["poll"],
        "fine-tuning-jobs/fine_tuning_job.failed": ["poll"],
        "batch-jobs/batch_job.created": ["after", "poll"],
        "batch-jobs/batch_job.succeeded": ["poll"],
        "batch-jobs/batch_job.failed": ["poll"],
        "agents-completions/agent_completion.created": ["after"],
        "ocr/ocr.completed": ["after"],
    }


def test_the_overlay_mends_what_the_published_page_has_wrong() -> None:
    operations = shipped()[0].operations
    for name in ("fine-tuning-jobs.delete", "batch-jobs.delete"):
        assert operations[name].method == "POST"
    lists = [each for each in operations.values() if each.name == "list"]
    assert {each.records.text if each.records else None for each in lists} == {"$.data"}
    texts = {each.name: each.selector.text for each in operations["fim-completions.create"].fields}
    assert texts["choices_text"] == "$.choices[0].message.content"
    assert {each.name: each.selector.text for each in operations["files.list"].fields}["size"] == "$.bytes"
    body = operations["ocr.create"].body
    assert body is not None
    sent = json.loads(body.encode({"model": "m", "documentType": "image_url", "documentUrl": "u"}))
    assert sent["document"] == {"type": "image_url", "image_url": "u"}
    assert [pair.name for pair in operations["batch-jobs.list"].query if pair.explodes] == ["metadata"]


def test_a_jsonpath_with_an_operator_is_refused_at_its_place() -> None:
    things = {**THINGS, "fields": [{"name": "id", "selector": "$.a where $.b"}]}
    text = json.dumps([things], indent=1)
    found = find_problems(text, kind="resources", file="resources.json")
    [problem] = [each for each in found if each.code == "E_SELECTOR"]
    assert problem.file == "resources.json"
    assert problem.line is not None
    assert "where" in text.splitlines()[problem.line - 1]
    assert "without operators" in problem.message


def test_the_name_of_a_schema_is_no_part_of_a_definition() -> None:
    named: dict[str, Any] = {"$schema": "./x.schema.json"}
    service = {**named, "handle": "a", "service": {"baseURL": "https://a.example"}}
    resources = {**named, "pets": {"endpoint": "/pets", "operations": {"read": {"method": "GET"}}}}
    operations = {**named, "greet": {"steps": [{"type": "http", "http": {"method": "GET", "path": "/hello"}}]}}
    overlay = {**named, "status": "beta", "resources": {"pets": {"meta": {"short": "Pets"}}}}
    found = parse_connector(service, resources, operations=operations, overlay=overlay)
    assert [*found.resources, *found.operations] == ["pets", "pets.read"]
    assert "greet" in found.custom_operations
    merged = merge_documents(
        Document.from_value(service, "service"),
        [Document.from_value(resources, "resources")],
        overlay=Document.from_value(overlay, "overlay"),
        operations=Document.from_value(operations, "operations"),
    )
    assert merged == {
        "handle": "a",
        "status": "beta",
        "service": {"baseURL": "https://a.example"},
        "resources": [{"handle": "pets", **resources["pets"], "meta": {"short": "Pets"}}],
        "operations": [{"handle": "greet", **operations["greet"]}],
    }
