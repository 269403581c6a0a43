"""A journal on each database, for every test of this folder that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from runtime.journal.journal import Journal
from tests.doubles.clock import Clock
from tests.doubles.postgres import Server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
async def journal(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Journal]:
    url = "sqlite://"
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        url = await server.empty()
    async with await Journal.open(url, clock=clock) as opened:
        yield opened
