"""The one writer: what shares a commit, and what does not wait for company."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from runtime.journal.storage.commits import GroupCommit

pytestmark = pytest.mark.anyio


class Database:
    """Notes how many writes each transaction has; a commit takes as long as `pause`."""

    def __init__(self, pause: float) -> None:
        self.pause = pause
        self.sizes: list[int] = []

    async def transact(self, run: Callable[[Any], Any]) -> Any:
        results = run(None)
        self.sizes.append(len(results))
        await asyncio.sleep(self.pause)
        return results


def double(_: Any, given: Sequence[int]) -> list[int]:
    return [2 * each for each in given]


async def test_what_comes_after_a_shared_commit_shares_the_next_one_although_it_comes_bit_by_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # All that matters is that they come before it is over, however slow the machine.
    monkeypatch.setattr("runtime.journal.storage.commits.GATHERING", 10.0)
    database = Database(1.0)
    commits = GroupCommit(database.transact)

    async def send(number: int) -> int:
        first: int = await commits.write(double, number)
        for _ in range(number):
            await asyncio.sleep(0)  # answers and new requests do not come all in one turn of the loop
        return first + await commits.write(double, number)

    assert [4 * number for number in range(20)] == await asyncio.gather(*(send(number) for number in range(20)))
    await commits.close()
    assert database.sizes == [20, 20]


async def test_one_that_comes_alone_waits_for_nobody() -> None:
    database = Database(0.0)
    commits = GroupCommit(database.transact)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    assert [await commits.write(double, number) for number in range(3)] == [0, 2, 4]
    counting.cancel()
    assert database.sizes == [1, 1, 1]
    assert turns < 30
