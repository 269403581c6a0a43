"""Every operation of every shipped connector: its golden requests, and a call over a socket to the mock provider.

`tests/providers/<handle>.json` holds the golden requests: `operation` with `inputs`, on a connection with the values
in `config` (and the `grant` it has, where its method obtains one), makes exactly this `request`, after auth.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.auth.methods import GrantAuth
from connector.auth.tokens import Grant
from connector.headers import Headers
from connector.messages import Stream
from connector.model.definition import Connector
from connector.protocols import Moment
from connector.requests.build import build_request
from runtime import Catalog, Runtime
from runtime.mock import MockProvider
from tests.doubles.standins import serving

MOMENT = Moment(time=1_800_000_000.0, nonce="n-1")
GOLDEN = Path(__file__).parent
CATALOG = Catalog()
#: The published connector has its requests in `tests/suite`.
HANDLES = [handle for handle in CATALOG.handles() if handle != "mistral-ai"]


def load(handle: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((GOLDEN / f"{handle}.json").read_text("utf-8"))
    return cases


def text_of(body: bytes | Stream | None) -> str | None:
    if isinstance(body, Stream):
        return b"".join(piece for piece in body.pieces if isinstance(piece, bytes)).decode()
    return None if body is None else body.decode()


CASES = [
    pytest.param(handle, case, id=f"{handle} {case['operation']}: {case['description']}")
    for handle in HANDLES
    for case in load(handle)
]


@pytest.mark.parametrize(("handle", "case"), CASES)
def test_the_inputs_make_exactly_the_golden_request(handle: str, case: dict[str, Any]) -> None:
    connector = CATALOG.get(handle)
    config = connector.service.configure(case["config"])
    request = build_request(connector.operation(case["operation"]), case["inputs"], config)
    if isinstance(config.auth, GrantAuth):
        request = config.auth.with_grant(Grant.from_json(case["grant"])).apply(request, config.values, MOMENT)
    else:
        request = config.auth.apply(request, config.values, MOMENT)
    expected = case["request"]
    assert (expected["method"], expected["url"]) == (request.method, request.url)
    assert Headers(expected["headers"]) == request.headers
    if "json" in expected:
        assert expected["json"] == json.loads(text_of(request.body) or "null")
    else:
        assert expected["body"] == text_of(request.body)


@pytest.mark.parametrize("handle", HANDLES)
def test_every_operation_has_a_golden_request(handle: str) -> None:
    assert set(CATALOG.get(handle).operations) == {case["operation"] for case in load(handle)}


@pytest.mark.parametrize("handle", HANDLES)
def test_the_definition_has_no_problems(handle: str) -> None:
    assert CATALOG.problems(handle) == []


@pytest.mark.parametrize("handle", HANDLES)
def test_everything_is_described(handle: str) -> None:
    assert list(undescribed(CATALOG.get(handle))) == []


def undescribed(connector: Connector) -> Iterator[str]:
    """What has no description of one line, by name."""
    for name, placeholder in connector.service.placeholders.items():
        yield from [] if placeholder.description else [f"value {name}"]
    for operation in connector.operations.values():
        if not operation.short or not operation.description or "\n" in operation.description:
            yield operation.id
        for name, placeholder in operation.inputs.items():
            yield from [] if placeholder.description else [f"{operation.id} input {name}"]
        yield from (f"{operation.id} field {each.name}" for each in operation.fields if not each.description)
    for custom in connector.custom_operations.values():
        yield from [] if custom.short and custom.description else [custom.handle]
        yield from (f"{custom.handle} input {name}" for name, each in custom.inputs.items() if not each.description)
        yield from (f"{custom.handle} output {each.name}" for each in custom.output if not each.description)
    for webhook in connector.webhooks:
        yield from [] if webhook.description else [webhook.id]
        yield from (f"{webhook.id} payload {each.name}" for each in webhook.payload if not each.description)


class Switch:
    """An application that hands each call on to whichever provider is current."""

    provider: MockProvider

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.provider(scope, receive, send)


@pytest.mark.anyio
@pytest.mark.parametrize("handle", HANDLES)
async def test_every_operation_is_called_over_a_socket_and_its_answer_is_mapped(handle: str) -> None:
    connector, examples = CATALOG.get(handle), CATALOG.examples(handle)
    cases = {case["operation"]: case for case in reversed(load(handle))}
    switch = Switch()
    async with serving(switch) as origin:
        for name, operation in connector.operations.items():
            # By itself, since operations may share method and path, as a folder and a file do at GitHub.
            switch.provider = MockProvider(
                [dataclasses.replace(connector, operations={name: operation})], {handle: examples}
            )
            base = origin + switch.provider.paths[handle]
            case = cases[name]
            async with Runtime(secrets={handle: case["config"]}, base_urls={handle: base}, environ={}) as rt:
                if "grant" in case:
                    rt.assume_grant(handle, Grant(token=case["grant"]["token"], issued_at=0.0))
                result = await rt.call(handle, name, case["inputs"])
            example = examples[name] if isinstance(examples[name], dict) else examples[name][0]
            raw = result.raw.decode() if isinstance(result.raw, bytes) else result.raw
            assert (name, True, example.get("status", 200), ()) == (name, result.ok, result.status, result.warnings)
            if operation.response in ("json", "binary"):
                assert (name, example.get("body")) == (name, raw)
            if operation.fields and operation.response in ("json", "sse") and "body" in example:
                rows = [result.fields] if result.records is None else result.records
                assert any(value not in (None, []) for value in (rows[0] or {}).values()), name
