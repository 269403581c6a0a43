"""What tests of the runtime share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.postgres import Server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    # Its socket is in there, and the path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        server = Server(Path(folder) / "data")
        yield server
        server.stop()
