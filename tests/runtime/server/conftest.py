"""Servers for the tests of routes: one on this machine, and one with an admin token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from runtime.config.catalog import Catalog
from runtime.mock import MockProvider
from tests.doubles.served import CANARY, KEY, TOKEN, Served, served, settings_in


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    """A server on loopback, without a token, whose provider is played."""
    settings = settings_in(tmp_path, CONNECTOR_SECRET__MISTRAL_AI__APITOKEN=CANARY)
    catalog = Catalog()
    provider = MockProvider([catalog.get("mistral-ai")], {"mistral-ai": catalog.examples("mistral-ai")})
    async with served(settings, transport=httpx2.ASGITransport(provider)) as running:
        yield running


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with an admin token and a store."""
    settings = settings_in(tmp_path, CONNECTOR_ADMIN_TOKEN=TOKEN, CONNECTOR_KEY=KEY)
    async with served(settings) as running:
        yield running
