"""What the journal holds, as values."""

from __future__ import annotations

import hashlib
import json

import pytest

from runtime.journal.entries import (
    event_id,
)
from runtime.journal.journal import Journal
from tests.doubles.journals import new

pytestmark = pytest.mark.anyio


async def test_T78_ids_are_of_our_own_making(journal: Journal) -> None:
    for appended in await journal.append([new("a.b\r\né"), new(None)]):
        assert appended.event_id.startswith("evt_")
        assert appended.event_id.removeprefix("evt_").isalnum()
        assert len(appended.event_id) == 36


async def test_ids_of_one_thing_are_the_same_everywhere() -> None:
    assert event_id("a", "b", "c") == "evt_" + hashlib.sha256(b'["a", "b", "c"]').hexdigest()[:32]
    assert event_id("a", "b", "c") != event_id("a", "bc", "")
    assert event_id("a", "b", None) != event_id("a", "b", None)
    assert json.dumps(event_id("a", "b", "\ud800"))
