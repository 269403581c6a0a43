"""Which database a URL names."""

from __future__ import annotations

import pytest

from connector.errors import ConfigurationError
from runtime.journal.journal import Journal

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("url", ["mysql://x/y", "journal.db", ""])
async def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not a database for a journal"):
        await Journal.open(url)
