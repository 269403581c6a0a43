"""A connector of one operation, for tests of what describes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connector.model.definition import Connector
from connector.parsing.connectors import parse_connector


def connector(params: Any, **operation: Any) -> Connector:
    """A connector of one operation, without the one that every connector has."""
    found = parse_connector(
        {
            "handle": "demo",
            "service": {"baseURL": "https://demo.example"},
            "resources": [
                {
                    "handle": "x.y",
                    "endpoint": "/x",
                    "operations": {"do": {"method": "GET", "queryParams": params, **operation}},
                }
            ],
        }
    )
    return replace(found, custom_operations={})
