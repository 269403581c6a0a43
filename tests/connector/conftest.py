"""The shipped connector of Mistral, read without the runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector import parse_connector
from connector.model.definition import Connector

SHIPPED = Path(__file__).parents[2] / "definitions" / "mistral-ai"


@pytest.fixture(scope="session")
def mistral() -> Connector:
    service, resources, overlay = (
        (SHIPPED / f"{name}.json").read_text("utf-8") for name in ("service", "resources", "overlay")
    )
    return parse_connector(service, resources, overlay=overlay)
