"""Turns of the event loop that long work leaves to other tasks."""

from __future__ import annotations

import asyncio

import pytest

from runtime.http.turns import Turns

pytestmark = pytest.mark.anyio


async def test_other_tasks_run_after_each_whole_share_of_work_and_not_before() -> None:
    seen: list[str] = []
    turns, other = Turns(), asyncio.create_task(note(seen))
    await turns.spend(0.5)
    assert seen == []
    await turns.spend(0.5)
    assert seen == ["other"]
    await other


async def note(seen: list[str]) -> None:
    seen.append("other")
