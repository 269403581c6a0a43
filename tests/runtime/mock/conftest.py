"""A mock of Mistral, for the tests of this folder."""

from __future__ import annotations

import pytest

from runtime.mock.provider import MockProvider
from tests.doubles.mistral import EXAMPLES, MISTRAL


@pytest.fixture
def provider() -> MockProvider:
    return MockProvider([MISTRAL], {"mistral-ai": EXAMPLES})
