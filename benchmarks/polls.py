"""A thousand polls of the shipped connector at the cadence it declares, in one process beside the provider's.

At the start all of them are due at once: that says how many can be made in a second. Then each is made every minute,
with the jitter it has, for a little more than a minute: that says how late they are, and how much of a core they take.
Each reads a list of twenty jobs that were seen before, as nearly every poll does.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.measuring import Row, time_flush
from runtime.events.deliverer import CONCURRENCY
from runtime.events.poller import Poller
from runtime.events.polls import Poll
from runtime.journal.entries import NewEvent
from runtime.journal.journal import Journal
from runtime.runtime import Runtime

#: Connections of the connector, each with three lists that are polled for seven triggers.
CONNECTIONS = 334
#: Seconds that are measured at the declared cadence: a minute, its jitter, and some.
SECONDS = 70.0
_JOBS = [{"id": f"job-{number}", "status": "SUCCESS", "created_at": 1760000000 + number} for number in range(20)]


def measure_polls() -> list[Row]:
    """Polls in a second, and what a thousand of them take."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.polls"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            return asyncio.run(_measure(f"http://127.0.0.1:{int(process.stdout.readline())}/v1"))
        finally:
            process.terminate()


class Watched(Poller):
    """Notes how late each poll is."""

    def __init__(self, runtime: Runtime, journal: Journal) -> None:
        super().__init__(runtime, journal)
        self.due: dict[str, float] = {}
        self.made: list[float] = []
        self.failed = 0
        self._saved = asyncio.Condition()

    async def all_made(self, count: int) -> None:
        """Waits until so many polls were made."""
        async with self._saved:
            await self._saved.wait_for(lambda: len(self.due) >= count)

    async def handle(self, id: str) -> None:
        """Makes a poll."""
        self.made.append(self._journal.now() - self.due.get(id, self._journal.now()))
        await super().handle(id)

    async def _save(self, poll: Poll, state: Mapping[str, Any], events: list[NewEvent]) -> None:
        self.due[poll.id] = state["due"]
        self.failed += state["state"] != "ok"
        await super()._save(poll, state, events)
        async with self._saved:
            self._saved.notify_all()


async def _measure(url: str) -> list[Row]:
    names = [f"mistral-ai:team-{number}" for number in range(CONNECTIONS)]
    with tempfile.TemporaryDirectory(dir=".") as folder:
        async with await Journal.open(f"sqlite:///{folder}/journal.db") as journal:
            secrets, urls = {name: {"apiToken": "none"} for name in names}, dict.fromkeys(names, url)
            async with Runtime(secrets=secrets, base_urls=urls, environ={}, journal=journal) as runtime:
                return await _poll(Watched(runtime, journal), journal, Path(folder))


async def _poll(poller: Watched, journal: Journal, folder: Path) -> list[Row]:
    await poller.schedule()
    count = len(await poller.polls.all())
    begun, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(journal.dispatcher.run({"poll": poller.handle}, concurrency=CONCURRENCY))
    await poller.all_made(count)
    rate, each = count / (time.perf_counter() - begun), (time.process_time() - cpu) / count
    flushes = [time_flush(folder) for _ in range(100)]
    poller.made.clear()
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(SECONDS)
    taken = (time.process_time() - cpu) / (time.perf_counter() - begun)
    late = sorted(poller.made)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return [
        Row("a flush to the disk, p50", statistics.median(flushes), "ms"),
        Row("polls", count, "polls"),
        Row("polls made in a second, all due at once", rate, "1/s"),
        Row("CPU of one", each * 1e3, "ms"),
        Row(f"polls made in {SECONDS:g} s", len(late), "polls"),
        Row("a poll is late, p50", late[len(late) // 2] * 1e3, "ms"),
        Row("a poll is late, p99", late[int(len(late) * 0.99)] * 1e3, "ms", None, 6000),
        Row("of one core", taken * 100, "%", None, 100),
        Row("polls that failed", poller.failed, "polls", None, 0),
    ]


class Provider(asyncio.Protocol):
    """Answers every GET with a list of jobs."""

    body = json.dumps({"object": "list", "data": _JOBS, "total": len(_JOBS), "has_more": False}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answers when the head is there."""
        self.buffer += data
        if self.buffer.endswith(b"\r\n\r\n"):
            self.buffer = b""
            self.transport.write(self.answer)  # type: ignore[attr-defined] - a stream transport


async def serve() -> None:
    """Serves on a free port, which is printed, until the process is stopped."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
