"""Small definitions, and what refuses them."""

from __future__ import annotations

from typing import Any

import pytest

from connector.errors import InvalidDefinition
from connector.parsing.connectors import Source, parse_connector

SERVICE: dict[str, Any] = {"handle": "demo", "service": {"baseURL": "https://demo.example/v1"}}
THINGS: dict[str, Any] = {
    "handle": "things",
    "meta": {"short": "Things", "description": "All things."},
    "endpoint": "/things",
    "fields": [{"name": "id", "type": "ID"}],
    "operations": {"read": {"method": "GET", "path": "/{{id}}"}, "list": {"method": "GET", "records": ["data"]}},
    "webhooks": [{"event": "made", "path": "/webhooks/demo/made", "payload": [{"name": "id", "type": "ID"}]}],
}
STEP: dict[str, Any] = {"type": "http", "http": {"method": "GET", "path": "/x"}}


def service(**block: Any) -> dict[str, Any]:
    return {"handle": "demo", "service": {"baseURL": "https://demo.example/v1", **block}}


def errors(*sources: Source | None, **more: Any) -> list[tuple[str, str]]:
    """What refuses a definition, as code and pointer."""
    with pytest.raises(InvalidDefinition) as caught:
        parse_connector(*sources, **more)  # type: ignore[arg-type]
    assert all(each.is_error for each in caught.value.problems)
    return [(each.code, each.pointer) for each in caught.value.problems]
