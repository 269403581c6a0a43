"""A connector whose base URL holds a value of the connection."""

from __future__ import annotations

from typing import Any

from connector.model.definition import Connector
from connector.parsing.connectors import parse_connector


def connector(**service: Any) -> Connector:
    return parse_connector(
        {
            "handle": "demo",
            "service": {"baseURL": "https://{{shop}}.example/v1/", **service},
            "resources": [{"handle": "things", "endpoint": "/t", "operations": {"list": {"method": "GET"}}}],
        }
    )
