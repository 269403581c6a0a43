"""A thread that runs one function after the other for an event loop.

It does what `run_in_executor` with a single thread does, in half of the time: an executor has futures of its own, with
a lock and a condition each, which are then chained to those of the loop. What it runs is its owner's.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")


class Worker:
    """One thread, from its making until `close`."""

    def __init__(self, name: str) -> None:
        self._asked: queue.SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        # Whoever forgets to close it shall not keep the process alive.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], R]) -> asyncio.Future[R]:
        """What the function gives or raises, once its turn has come; it runs even if nobody waits for it any more."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._asked.put((answer, call))
        return answer

    def close(self) -> None:
        """Waits for what was asked for, and ends the thread."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            _answer(*asked)
            # Nothing is held until the next one is asked for.
            del asked


def _answer(answer: asyncio.Future[Any], call: Callable[[], Any]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
        _tell(answer, answer.set_exception, error)
    else:
        _tell(answer, answer.set_result, result)


def _tell(answer: asyncio.Future[Any], tell: Callable[[Any], None], what: Any) -> None:
    def told() -> None:
        if not answer.done():
            tell(what)

    # The loop may have been closed meanwhile.
    with contextlib.suppress(RuntimeError):
        answer.get_loop().call_soon_threadsafe(told)
