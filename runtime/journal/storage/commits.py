"""The one writer of a database: concurrent writes are committed together (group commit).

A write is a function of a connection and a list of arguments that returns a list of results. Waiting writes of the same
function are one call, and all waiting writes share one transaction, so fifty concurrent appends cost one flush of the
disk. If the transaction fails, each write is retried in its own, so that none fails because of another. A write
returns only after its commit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

A = TypeVar("A")
R = TypeVar("R")
Write = Callable[[Connection, Sequence[A]], list[R]]
#: Runs a function in one transaction and commits it; raises what it raises, after rolling back.
Transact = Callable[[Callable[[Connection], Any]], Awaitable[Any]]

#: SQLITE_BUSY and SQLITE_LOCKED, without what extends them (https://www.sqlite.org/rescode.html).
_LOCKED = 5, 6
#: Writes in one transaction at most, so that a transaction stays short in a flood.
MOST = 1000
#: Seconds at most that a commit waits for other writes, after a shared one; no longer than that one took.
GATHERING = 0.001


@dataclass(slots=True)
class _Job:
    write: Write[Any, Any]
    argument: Any
    answer: asyncio.Future[Any] = field(repr=False)


class GroupCommit:
    """The queue before the one writer. It lives on the event loop that first writes."""

    def __init__(self, transact: Transact) -> None:
        self._transact = transact
        self._waiting: list[_Job] = []
        #: How many writes to wait for, and the event that is set when they are there.
        self._wanted = 0
        self._enough = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def write(self, write: Write[A, R], argument: A) -> R:
        """Commits one write, together with all others that wait; returns its result, after the commit.

        Raises the error of the write or of the database; then it was not committed, or that is unknown (a failed
        flush), and the same write may be requested again.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(write, argument, answer))
        if len(self._waiting) >= self._wanted:
            self._enough.set()
        if self._task is None:
            self._task = asyncio.create_task(self._commit_all())
        return await answer

    async def close(self) -> None:
        """Waits until all requested writes are committed."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                jobs, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                began = loop.time()
                await self._commit(jobs)
                if len(jobs) > 1:
                    await self._gather(len(jobs), min(loop.time() - began, GATHERING))
        finally:
            self._task = None

    async def _gather(self, count: int, seconds: float) -> None:
        """Waits briefly for as many writes as shared the last commit, so that they can be committed together."""
        self._wanted = count
        self._enough.clear()
        if len(self._waiting) < count:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._enough.wait()

    async def _commit(self, jobs: list[_Job]) -> None:
        groups: dict[Write[Any, Any], list[_Job]] = {}
        for job in jobs:
            groups.setdefault(job.write, []).append(job)
        ordered = [job for group in groups.values() for job in group]

        def run(connection: Connection) -> list[Any]:
            return [
                result
                for write, group in groups.items()
                for result in write(connection, [job.argument for job in group])
            ]

        try:
            results = await self._transact(run)
        except Exception as error:  # noqa: BLE001 - it belongs to the caller
            if len(jobs) == 1 or (isinstance(error, DBAPIError) and _is_nobodys_fault(error)):
                _fail(jobs, error)
            else:
                for job in jobs:
                    await self._commit([job])
        except BaseException as error:
            _fail(jobs, error)
            raise
        else:
            for job, result in zip(ordered, results, strict=True):
                # The caller may have been cancelled; its write is committed all the same.
                with contextlib.suppress(asyncio.InvalidStateError):
                    job.answer.set_result(result)


def _is_nobodys_fault(error: DBAPIError) -> bool:
    """Returns True if the database is gone, or was locked for the whole time-out, so that each write alone would fail.

    Retried one by one, each would wait for the time-out (hazard F4).
    """
    return error.connection_invalidated or getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _LOCKED


def _fail(jobs: list[_Job], error: BaseException) -> None:
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(error)
