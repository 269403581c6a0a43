"""Whatever comes in, what goes out has the declared shape: every shipped operation, any value (T08, T13 to T26).

The request that is intended is worked out here from the text of the definition and the values, by other means than the
product's: if `build_request` does not refuse the inputs, it must have made exactly that. `CONNECTOR_EXAMPLES=5000` in
the environment makes a soak of it; the default takes seconds.
"""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connector.errors import InputError
from connector.model.definition import Connector, Operation
from connector.parsing.connectors import parse_connector
from connector.protocols import Moment
from connector.requests.build import build_request

MOMENT = Moment(time=1_800_000_000.0, nonce="n-1")
SHIPPED = Path(__file__).parents[2] / "definitions" / "mistral-ai"
EXAMPLES = int(os.environ.get("CONNECTOR_EXAMPLES", "60"))
TEXTS = {name: (SHIPPED / f"{name}.json").read_text("utf-8") for name in ("service", "resources", "overlay")}
CONNECTOR: Connector = parse_connector(TEXTS["service"], TEXTS["resources"], overlay=TEXTS["overlay"])
#: What the overlay adds beside the published operations has its own tests.
OPERATIONS = sorted(parse_connector(TEXTS["service"], TEXTS["resources"]).operations)
ORIGIN = "https://api.mistral.ai"

HOSTILE = [
    'x"}], "model":"mistral-large","tools":[{"a":"b',
    "{{apiToken}}",
    "{{maxTokens}}",
    "../../admin",
    "..",
    "%2e%2e%2f",
    "a?x=1#f&page=2",
    "a\r\nHost: evil.example",
    "\0\u2028\u202e",
    "https://evil.example/",
    "@evil.example",
    '0.7, "n": 1000',
    "NaN",
    "1e999",
    "1024",
    "\ud800",
    "\ue000" + "0\ue000\ue001" + "0\ue001",
    "$if",
    "",
]
SCALARS = (
    st.sampled_from(HOSTILE)
    | st.text(st.characters())
    | st.text(st.characters(codec="utf-8"), min_size=1)
    | st.integers()
    | st.sampled_from([2**63, 2**63 - 1, 2**2000, -1, 0])
    | st.floats()
    | st.booleans()
    | st.none()
)
ANYTHING = SCALARS | st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=4
)


def published(operation_id: str) -> tuple[str, Mapping[str, Any]]:
    """The endpoint and the operation as the files have them, the overlay's own templates in place."""
    handle, _, name = operation_id.rpartition(".")
    resource = next(each for each in json.loads(TEXTS["resources"]) if each["handle"] == handle)
    patch = json.loads(TEXTS["overlay"])["resources"].get(handle, {}).get("operations", {}).get(name, {})
    source = dict(resource["operations"][name])
    body = source.get("bodyTemplate")
    if body is not None:
        source["bodyTemplate"] = patch.get("bodyTemplate", {}).get("value", body["value"])
    source["queryParams"] = {**source["queryParams"], **patch.get("queryParams", {})}
    source["path"] = source["path"]["value"]
    source["method"] = patch.get("method", source["method"])
    return resource["endpoint"]["value"], source


def likely(operation: Operation) -> st.SearchStrategy[dict[str, Any]]:
    """Inputs of an operation: often of the declared type, sometimes anything, sometimes left out, rarely unknown."""
    members: dict[str, st.SearchStrategy[Any]] = {}
    fitting = {
        "String": st.text(st.characters(codec="utf-8"), min_size=1) | st.sampled_from(HOSTILE),
        "Integer": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 99).map(str),
        "Number": st.floats(0, 1.5) | st.sampled_from(["0.5", "1", 1]),
        "Boolean": st.booleans() | st.sampled_from(["true", "false"]),
        "Array": st.lists(SCALARS, max_size=3),
        "Object": st.dictionaries(st.text(), SCALARS, max_size=3),
    }
    for name, placeholder in operation.inputs.items():
        fits = fitting.get(placeholder.type, SCALARS)
        if placeholder.options:
            one = st.sampled_from(placeholder.options)
            fits = st.lists(one, max_size=3) if placeholder.type == "Array" else one
        members[name] = st.one_of(fits, fits, fits, ANYTHING)
    required = {name: value for name, value in members.items() if operation.inputs[name].required}
    optional = {name: value for name, value in members.items() if name not in required}
    full = st.fixed_dictionaries(required, optional=optional)
    partial = st.fixed_dictionaries({}, optional={**members, "unknown": ANYTHING})
    return st.one_of(full, full, full, partial)


def intend(kind: str, value: Any) -> Any:
    """A value that was not refused, as its declared type."""
    if kind == "String":
        return value if isinstance(value, str) else format(Decimal(repr(value)), "f")
    if kind == "Integer":
        return int(Decimal(value)) if isinstance(value, str) else int(value)
    if kind == "Number":
        return value if not isinstance(value, str) else float(value) if set(value) & set(".eE") else int(value)
    if kind == "Boolean":
        return value in (True, "true")
    return value


def supplied(operation: Operation, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Every value that counts, by name: given or defaulted."""
    values = {}
    for name, placeholder in operation.inputs.items():
        value = placeholder.default if inputs.get(name) is None else intend(placeholder.type, inputs[name])
        if value is not None:
            values[name] = value
    return values


ABSENT = object()


def fill(node: Any, values: Mapping[str, Any]) -> Any:
    """The tree of a template text whose slots were turned into objects of one member."""
    if isinstance(node, dict):
        if set(node) == {"$bare"}:
            return values.get(node["$bare"], ABSENT)
        if set(node) == {"$quoted"}:
            return values.get(node["$quoted"], ABSENT)
        members = {
            (str(values.get(key[5:], "")) if key.startswith("$key:") else key): fill(item, values)
            for key, item in node.items()
        }
        return {key: item for key, item in members.items() if item is not ABSENT}
    if isinstance(node, list):
        return [item for each in node if (item := fill(each, values)) is not ABSENT]
    return node


def intended_body(template: str, values: Mapping[str, Any]) -> Any:
    text = re.sub(r'"\{\{\s*(\w+)\s*\}\}"\s*:', r'"$key:\1":', template)
    text = re.sub(r'"\{\{\s*(\w+)\s*\}\}"', r'{"$quoted": "\1"}', text)
    text = re.sub(r"\{\{\s*(\w+)\s*\}\}", r'{"$bare": "\1"}', text)
    return fill(json.loads(text), values)


def query_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_any_inputs_make_the_intended_request_or_are_refused(operation_id: str) -> None:
    operation = CONNECTOR.operation(operation_id)
    endpoint, source = published(operation_id)
    config = CONNECTOR.service.configure({"apiToken": "sk-canary"})
    segments = ("/v1" + endpoint + source["path"]).split("/")

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(likely(operation))
    @example({})
    @example({"metadata": {"": None, "absent": None, "there": "x"}})
    def check(inputs: dict[str, Any]) -> None:
        try:
            request = build_request(operation, inputs, config)
        except InputError:
            return
        values = supplied(operation, inputs)
        url = urllib.parse.urlsplit(request.url)
        assert f"{url.scheme}://{url.netloc}" == ORIGIN
        assert url.fragment == ""
        assert request.url.isascii()
        filled = [values[each[2:-2]] if each.startswith("{{") else each for each in segments]
        assert filled == [urllib.parse.unquote(each, errors="strict") for each in url.path.split("/")]
        assert not {".", "..", ""} & set(url.path.split("/")[1:])
        pairs = [
            (key, query_text(each))
            for name, param in source["queryParams"].items()
            if name in values
            for key, value in (values[name].items() if param.get("explode") else [(name, values[name])])
            # A member that is null is one that is not there, as an input is.
            if value is not None
            for each in (
                value
                if isinstance(value, list) and (param.get("explode") or operation.inputs[name].type == "Array")
                else [value]
            )
        ]
        assert pairs == urllib.parse.parse_qsl(
            url.query, keep_blank_values=True, strict_parsing=bool(url.query), errors="strict"
        )
        declared = {"accept"} if source["bodyTemplate"] is None else {"accept", "content-type"}
        assert declared == {name.lower() for name in request.headers}
        if source["bodyTemplate"] is None:
            assert request.body is None
        else:
            assert request.body is not None
            assert intended_body(source["bodyTemplate"], values) == json.loads(request.body.decode())
        assert "sk-canary" not in request.url + repr(request)
        with_auth = CONNECTOR.service.auth.apply(request, config.values, MOMENT)
        assert {name.lower() for name in with_auth.headers} == {*declared, "authorization"}
        assert (with_auth.url, with_auth.body) == (request.url, request.body)

    check()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text(st.characters(codec="utf-8")), st.floats(0, 1.5), st.integers(-(2**63), 2**63 - 1))
def test_any_text_that_can_be_encoded_and_any_number_in_bounds_is_sent(text: str, number: float, count: int) -> None:
    inputs = {"model": text, "content": text, "temperature": number, "maxTokens": count}
    request = build_request(CONNECTOR.operation("chat-completions.create"), inputs, {"apiToken": "k"})
    assert request.json == {
        "model": text,
        "messages": [{"role": "user", "content": text}],
        "temperature": number,
        "max_tokens": count,
    }


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_any_list_of_text_repeats_its_key(items: list[str]) -> None:
    request = build_request(CONNECTOR.operation("files.list"), {"mimetypes": items}, {"apiToken": "k"})
    query = urllib.parse.urlsplit(request.url).query
    assert [("mimetypes", item) for item in items] == urllib.parse.parse_qsl(query, keep_blank_values=True)
