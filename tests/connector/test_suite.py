"""The language-neutral cases in `tests/suite/`: another implementation of the language passes the same files.

`requests.json`: a `definition` (or the shipped `connector`), an `operation`, `inputs` and the values of the connection
in `config`, with the `grant` it has, make the `request` as it leaves, after auth; or the inputs named in `refused` are.
`selectors.json`: a `selector` finds `values` in a `document`. `types.json`: a `value` is `converted` to a `type`, or
`refused`. `steps.json`: the `inputs` of a custom operation and the fields of each answer make its `requests`, and the
`raw` result of one that ends with no call. `pages.json`: a `pagination`, a `request` and its `answer` make the `next`
request, or none (`test_pagination.py`). `signatures.json`: by a `signature` block and `secrets`, at the time `now`, a
`request` is `verified`, or `refused` (`test_signatures.py`). `answers.json`: an `answer` to an operation with this
`response`, `fields` and `errors` is mapped to the `result`. `policies.json`: what `service` and `operation` say makes
the `policies`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connector.answers.mapping import map_response
from connector.auth.methods import GrantAuth
from connector.auth.tokens import Grant
from connector.errors import InputError
from connector.headers import Headers
from connector.messages import Response
from connector.model.definition import Connector, CustomOperation, Operation
from connector.parsing.connectors import parse_connector
from connector.protocols import Moment
from connector.requests.build import build_request
from connector.requests.steps import run_steps
from connector.selectors import Selector
from connector.types import convert

MOMENT = Moment(time=1_800_000_000.0, nonce="n-1")
ROOT = Path(__file__).parents[2]


def load(name: str) -> list[Any]:
    cases = json.loads((ROOT / "tests" / "suite" / f"{name}.json").read_text("utf-8"))
    return [pytest.param(case, id=case["description"].encode("ascii", "replace").decode()) for case in cases]


def connector_of(case: dict[str, Any]) -> Connector:
    if "definition" in case:
        return parse_connector(case["definition"])
    folder = ROOT / "definitions" / case["connector"]
    service, resources, overlay = (
        (folder / f"{part}.json").read_text("utf-8") for part in ("service", "resources", "overlay")
    )
    return parse_connector(service, resources, overlay=overlay)


@pytest.mark.parametrize("case", load("requests"))
def test_the_inputs_make_the_request(case: dict[str, Any]) -> None:
    connector = connector_of(case)
    operation = connector.operation(case["operation"])
    config = connector.service.configure(case["config"])
    if "refused" in case:
        with pytest.raises(InputError) as caught:
            build_request(operation, case["inputs"], config)
        assert case["refused"] == sorted(error.name for error in caught.value.errors)
        return
    bare = build_request(operation, case["inputs"], config)
    if isinstance(config.auth, GrantAuth):
        request = config.auth.with_grant(Grant.from_json(case.get("grant", {}))).apply(bare, config.values, MOMENT)
    else:
        request = config.auth.apply(bare, config.values, MOMENT)
    expected = case["request"]
    assert (expected["method"], expected["url"]) == (request.method, request.url)
    assert Headers(expected["headers"]) == request.headers
    if "json" in expected:
        assert expected["json"] == request.json
    else:
        assert expected["body"] == request.text


@pytest.mark.parametrize("case", load("steps"))
def test_the_steps_make_the_requests(case: dict[str, Any]) -> None:
    connector = connector_of(case)
    custom = connector.operation(case["operation"])
    assert isinstance(custom, CustomOperation)
    flow = run_steps(custom, case["inputs"], case["config"])
    found, answers, raw = [], iter(case.get("answers", [])), None
    try:
        call = next(flow)
        while True:
            found.append({"method": call.request.method, "url": call.request.url, "json": call.request.json})
            if call.is_last:
                break
            call = flow.send(next(answers))
    except StopIteration as end:
        raw = end.value.raw
    assert case["requests"] == found
    assert case.get("raw") == raw


@pytest.mark.parametrize("case", load("selectors"))
def test_the_selector_finds_the_values(case: dict[str, Any]) -> None:
    selector = Selector.from_json(case["selector"])
    find = selector.find_all if case["multivalue"] else selector.find_one
    assert case["values"] == find(case["document"])


@pytest.mark.parametrize("case", load("types"))
def test_the_value_is_converted_or_refused(case: dict[str, Any]) -> None:
    if case.get("refused"):
        with pytest.raises(ValueError, match="."):
            convert(case["value"], case["type"])
        return
    found = convert(case["value"], case["type"])
    assert case["converted"] == found
    assert type(case["converted"]) is type(found)


def operation_of(operation: dict[str, Any], **service: Any) -> Operation:
    resource = {"handle": "things", "endpoint": "/things", "operations": {"do": {"method": "GET", **operation}}}
    block = {"baseURL": "https://api.example.com/v1", **service}
    return parse_connector({"handle": "demo", "service": block, "resources": [resource]}).operation("things.do")


@pytest.mark.parametrize("case", load("answers"))
def test_the_answer_makes_the_result(case: dict[str, Any]) -> None:
    operation = operation_of({name: case[name] for name in ("response", "fields", "errors") if name in case})
    answer, expected = case["answer"], case["result"]
    result = map_response(operation, Response(answer["status"], Headers(answer["headers"]), answer["body"].encode()))
    raw = expected["raw_bytes"].encode() if "raw_bytes" in expected else expected["raw"]
    assert (expected.get("ok", True), expected["fields"], raw) == (result.ok, result.fields, result.raw)


@pytest.mark.parametrize("case", load("policies"))
def test_service_and_operation_make_the_policies(case: dict[str, Any]) -> None:
    operation = operation_of(case["operation"], **case["service"])
    limit, retry, errors = operation.policies.rate_limit, operation.policies.retry, operation.policies.errors
    found: dict[str, Any] = {
        "rateLimit": limit and {"requests": limit.requests, "per": limit.per, "concurrency": limit.concurrency},
        "retry": {"attempts": retry.attempts, "statuses": sorted(retry.statuses), "maxDelay": retry.max_delay},
        "errors": {
            "message": errors.message and errors.message.text,
            "code": errors.code and errors.code.text,
            "retryAfter": errors.retry_after,
            "statuses": {str(status): words for status, words in errors.statuses.items()},
        },
        "idempotent": operation.idempotent,
        "header": operation.idempotency_header,
    }
    assert case["policies"] == {name: found[name] for name in case["policies"]}
