"""The thread that runs one function after the other for an event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runtime.journal.storage.worker import Worker

pytestmark = pytest.mark.anyio


async def test_functions_run_one_after_the_other_in_one_thread() -> None:
    worker, order = Worker("test"), []

    def note(number: int) -> tuple[int, str]:
        order.append(number)
        return number, threading.current_thread().name

    given = await asyncio.gather(*(worker.run(lambda number=number: note(number)) for number in range(20)))
    assert given == [(number, "test") for number in range(20)]
    assert order == list(range(20))
    worker.close()


async def test_what_a_function_raises_is_raised_to_who_asked_and_the_thread_goes_on() -> None:
    worker = Worker("test")
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    assert await worker.run(lambda: 2) == 2
    worker.close()


async def test_what_nobody_waits_for_any_more_runs_all_the_same() -> None:
    worker, may_go, ran = Worker("test"), threading.Event(), threading.Event()
    first, second = worker.run(may_go.wait), worker.run(ran.set)
    first.cancel()
    second.cancel()
    may_go.set()
    # Closing waits for what was asked for.
    await asyncio.to_thread(worker.close)
    assert ran.is_set()


def test_a_loop_that_was_closed_meanwhile_hears_nothing() -> None:
    may_go = threading.Event()

    async def ask() -> Worker:
        worker = Worker("test")
        worker.run(may_go.wait)
        return worker

    worker = asyncio.run(ask())
    may_go.set()
    worker.close()
    assert not threading.current_thread().name.startswith("test")
