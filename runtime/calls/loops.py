"""What belongs to one event loop, or to one process: connections that are open, and tasks that run.

A runtime may be used in a second loop, such as that of the next `asyncio.run`, and in the child of a fork. Each gets
connections of its own. A loop that ends properly (`asyncio.run` does) closes its connections; those of a parent process
are never touched again, since their sockets are the parent's as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: What a parent process left behind. It is kept, since to remove it would close sockets, and unregister them in the
#: parent's event loop.
_INHERITED: list[object] = []


def leave_to_parent(*left: object) -> None:
    """Keeps what belongs to the parent process, untouched, until this process ends."""
    _INHERITED.extend(left)


@dataclass(frozen=True, slots=True)
class Place:
    """An event loop of a process."""

    process: int
    loop: asyncio.AbstractEventLoop

    @classmethod
    def here(cls) -> Place:
        """The running loop; raises RuntimeError without one."""
        return cls(os.getpid(), asyncio.get_running_loop())


class PerLoop(Generic[T]):
    """One of a kind for each event loop, made when it is first needed there."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[Any]]) -> None:
        """`close` is awaited in the loop that it was made in."""
        self._make = make
        self._close = close
        self._process = os.getpid()
        self._made: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None, None]]] = {}

    def here(self) -> T:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        if self._process != os.getpid():
            leave_to_parent(self._made)
            self._process, self._made = os.getpid(), {}
        if (found := self._made.get(loop)) is not None:
            return found[0]
        for each in [each for each in self._made if each.is_closed()]:
            del self._made[each]
        made = self._make()
        self._made[loop] = made, _begin(self._end(loop, made))
        return made

    async def aclose(self) -> None:
        """Closes that of the running loop; the next use makes another one."""
        if self._process == os.getpid() and (found := self._made.get(asyncio.get_running_loop())) is not None:
            await found[1].aclose()

    async def _end(self, loop: asyncio.AbstractEventLoop, made: T) -> AsyncGenerator[None, None]:
        """Closes it when this generator is closed, which a loop does with every generator before it ends."""
        process = os.getpid()
        try:
            yield
        finally:
            if process == os.getpid():
                self._made.pop(loop, None)
                await self._close(made)


def _begin(generator: AsyncGenerator[None, None]) -> AsyncGenerator[None, None]:
    """The generator at its first `yield`, which makes it known to the loop."""
    with contextlib.suppress(StopIteration):
        generator.__anext__().send(None)
    return generator
