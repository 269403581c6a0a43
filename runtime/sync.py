"""SyncRuntime: a Runtime for code without an event loop, such as Django, Celery, RQ, and scripts.

It has a loop of its own in a thread, made at the first call, and again in the child of a fork. Any number of threads
may use it at once. What a call raises is what `Runtime` raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from connector.errors import ConfigurationError
from runtime.calls.loops import leave_to_parent
from runtime.runtime import Runtime

P = ParamSpec("P")
T = TypeVar("T")
_END: Final = object()


def _takes_what(
    made: Callable[P, object],
) -> Callable[[Callable[..., None]], Callable[Concatenate[SyncRuntime, P], None]]:
    """Lets a constructor take, for type checkers too, what another one takes."""
    del made
    return lambda constructor: constructor


def _waits(
    method: Callable[Concatenate[Runtime, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncRuntime, P], T]:
    """A method that waits for what an asynchronous one returns."""

    @functools.wraps(method)
    def wait(self: SyncRuntime, /, *args: P.args, **options: P.kwargs) -> T:
        return self.open_thread().run(method(self.runtime, *args, **options))

    return wait


def _runs(method: Callable[Concatenate[Runtime, P], T]) -> Callable[Concatenate[SyncRuntime, P], T]:
    """A method that runs in the thread of the loop, so that it is safe from any other."""

    @functools.wraps(method)
    def run(self: SyncRuntime, /, *args: P.args, **options: P.kwargs) -> T:
        async def work() -> T:
            return method(self.runtime, *args, **options)

        return self.open_thread().run(work())

    return run


def _iterates(
    method: Callable[Concatenate[Runtime, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[SyncRuntime, P], Generator[T, None, None]]:
    """A method that yields what an asynchronous generator yields, and closes it with its own iterator."""

    @functools.wraps(method)
    def iterate(self: SyncRuntime, /, *args: P.args, **options: P.kwargs) -> Generator[T, None, None]:
        thread, source = self.open_thread(), method(self.runtime, *args, **options)

        async def step() -> Any:
            return await anext(source, _END)

        async def end() -> None:
            await source.aclose()

        try:
            while (item := thread.run(step())) is not _END:
                yield item
        finally:
            thread.run(end())

    return iterate


class _Thread:
    """An event loop that runs in a thread until it is stopped, or the process ends."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="connector-runtime", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        with contextlib.closing(self.loop):
            self.loop.run_forever()
            # What still runs is cancelled, and what generators hold is closed, as `asyncio.run` does.
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns; it is cancelled if waiting for it is interrupted."""
        if threading.get_ident() == self.thread.ident:
            work.close()
            raise ConfigurationError(
                "a SyncRuntime was called by a function that runs in its own loop",
                hint="use the asynchronous Runtime in functions of @rt.on",
            )
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Ends the loop and its thread; in the child of a fork there is none to end."""
        if self.process == os.getpid() and not self.loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it was stopped already
                self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()


class SyncRuntime:
    """A `Runtime` whose calls wait for their results: the same arguments and methods, without `await`.

    >>> with SyncRuntime(secrets={"mistral-ai": {"apiToken": key}}) as rt:          # doctest: +SKIP
    ...     result = rt.call("mistral-ai", "models.list", {})
    """

    @_takes_what(Runtime)
    def __init__(self, *args: Any, **options: Any) -> None:
        """Takes what `Runtime` takes; raises ConfigurationError."""
        #: The runtime below, whose own methods belong to the loop of this one.
        self.runtime = Runtime(*args, **options)
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._thread: _Thread | None = None
        self._is_open = False

    def __enter__(self) -> Self:
        self.open_thread().run(self.runtime.__aenter__())
        self._is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes every connection to providers, and what was opened. It may be used again afterwards."""
        self._begin_anew_after_fork()
        with self._lock:
            thread, self._thread = self._thread, None
            is_open, self._is_open = self._is_open, False
        if thread is not None:
            thread.run(self.runtime.__aexit__() if is_open else self.runtime.aclose())
            thread.stop()

    call = _waits(Runtime.call)
    pages = _iterates(Runtime.pages)
    records = _iterates(Runtime.records)
    stream = _iterates(Runtime.stream)
    render = _runs(Runtime.render)
    map = _runs(Runtime.map)
    connections = _runs(Runtime.connections)
    forget = _runs(Runtime.forget)
    load = _waits(Runtime.load)
    set_values = _waits(Runtime.set_values)

    def open_thread(self) -> _Thread:
        """The thread of the loop, begun if it does not run in this process."""
        self._begin_anew_after_fork()
        with self._lock:
            if self._thread is None:
                self._thread = _Thread()
                weakref.finalize(self, self._thread.stop)
            return self._thread

    def _begin_anew_after_fork(self) -> None:
        if self._process != os.getpid():
            # The thread is the parent's, and so is a lock that another thread held.
            leave_to_parent(self._thread, self._lock)
            self._process, self._lock, self._thread, self._is_open = os.getpid(), threading.Lock(), None, False
