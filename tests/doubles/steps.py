"""Custom operations of a few steps, and what runs of them request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.messages import Result
from connector.model.definition import Call, CustomOperation
from connector.parsing.connectors import parse_connector, read_connector
from connector.requests.steps import run_steps

CONFIG = {"token": "secret-token", "account": "acme"}
SERVICE: dict[str, Any] = {
    "handle": "demo",
    "service": {
        "baseURL": "https://api.example.com/v1",
        "auth": {"method": "bearer", "params": {"token": "{{token}}"}},
        "params": [{"name": name, "type": "String", "required": True} for name in ("account", "token")],
    },
}


def http(method: Any = "POST", path: Any = "/things", **more: Any) -> dict[str, Any]:
    return {"type": "http", "http": {"method": method, "path": path, **more}}


def mime(**parts: str) -> dict[str, Any]:
    return {"type": "mime_build", "mime_build": {"to": "a@b.c", "subject": "s", "body": "b", **parts}}


def needs(name: str, kind: str = "String", *, required: bool = True, **meta: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "required": required, "meta": meta}


def read(*steps: dict[str, Any], **custom: Any) -> CustomOperation:
    connector = parse_connector({**SERVICE, "operations": [{"handle": "do", "steps": list(steps), **custom}]})
    found = connector.operation("do")
    assert isinstance(found, CustomOperation)
    return found


def problems(*steps: dict[str, Any], **custom: Any) -> list[tuple[str, str]]:
    source = {**SERVICE, "operations": [{"handle": "do", "steps": list(steps), **custom}]}
    found = read_connector(source, lint=True)[1]
    return [(each.code, each.pointer.removeprefix("/operations/0")) for each in found]


def run(
    custom: CustomOperation, inputs: Mapping[str, Any], *answers: dict[str, Any]
) -> tuple[list[Call], Result | None]:
    """The calls, each answered with the fields that are given, and the result if the last step is no call."""
    flow = run_steps(custom, inputs, CONFIG)
    calls: list[Call] = []
    try:
        calls.append(next(flow))
        for fields in answers:
            calls.append(flow.send(fields))  # noqa: PERF401 - a generator that ends inside would hide where
    except StopIteration as end:
        return calls, end.value
    return calls, None
