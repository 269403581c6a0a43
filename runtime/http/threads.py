"""Threads of our own for what blocks: names that are looked up, files that are read.

asyncio's default threads are few and shared with the host: six names that hang would stop every file and every other
name. These are daemons, so that none of them holds up the end of the process either.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: How long a thread without work stays, in seconds.
_IDLE: Final = 30.0


class Threads:
    """Runs functions in threads: as many at once as `limit`, the others wait."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)  # a child has none of its parent's threads

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads = self._idle = 0

    def run(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """The result of a function. A call that is cancelled no longer waits for it; its thread does."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        def work() -> None:
            result, failure = None, None
            try:
                result = function(*arguments)
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, result, failure)

        self._begin(work)
        return done

    def _begin(self, work: Callable[[], None]) -> None:
        with self._lock:
            start = self._idle <= self._tasks.qsize() and self._threads < self._limit
            self._threads += start
        self._tasks.put(work)
        if start:
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            try:
                work = self._tasks.get(timeout=_IDLE)
            except queue.Empty:
                work = None
            with self._lock:
                self._idle -= 1
                if work is None and self._tasks.empty():
                    self._threads -= 1
                    return
            if work is not None:
                work()


#: For files that are sent.
FILES: Final = Threads("connector-files", 32)
