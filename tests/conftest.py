"""What every test may ask for, and how Hypothesis looks for counter-examples."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.doubles.postgres import Server

# How long one example takes says more about the machine than about the code.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the runtime does."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    from tests.doubles.postgres import Server  # the language is tested without it

    # Its socket is in there, and the path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        server = Server(Path(folder) / "data")
        yield server
        server.stop()
