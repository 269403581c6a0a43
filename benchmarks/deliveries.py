"""Deliveries to a subscriber process over a real socket: how many in a second, from an event's commit to its record.

To one subscriber, and to four at once. The floor is the same requests, signed, over bare httpx2, with nothing kept.
A flush is measured beside, on the same disk, since each commit waits for one. All take turns, and a turn in which the
host took the processors for others is made again. With CONNECTOR_BENCHMARK_POSTGRESQL, a URL, the same is measured
there.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import httpx2

from benchmarks.measuring import TRIES, Host, Row, time_flush
from connector.events.signatures import sign
from connector.messages import Event
from runtime.config.keys import Key, Keys
from runtime.config.store import Store
from runtime.events.deliverer import CONCURRENCY, LIMITS, Deliverer
from runtime.events.subscriptions import Endpoints, read_subscription
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.journal.entries import NewEvent
from runtime.journal.journal import Journal
from runtime.server.serve import new_event_loop, tune_process

EVENTS = 2000
ROUNDS = 5
#: Milliseconds of one delivery at most: a thousand a second embedded, and eight hundred by a worker on PostgreSQL.
BARS = {"SQLite": 1.0, "PostgreSQL": 1.25}


def measure_deliveries() -> list[Row]:
    """Embedded, and on PostgreSQL where there is one."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.deliveries"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            url = f"http://127.0.0.1:{int(process.stdout.readline())}/hook"
            tune_process()  # as `connector serve`, whose event loop it is as well
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                return runner.run(_measure(url))
        finally:
            process.terminate()


async def _measure(url: str) -> list[Row]:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        fresh = itertools.count()
        places = {"embedded, SQLite": lambda: f"sqlite:///{folder}/journal-{next(fresh)}.db"}
        if postgresql := os.environ.get("CONNECTOR_BENCHMARK_POSTGRESQL"):
            places["one worker, PostgreSQL"] = lambda: postgresql
        spells: dict[str, Callable[[], Awaitable[tuple[float, float]]]] = {"": lambda: _send_bare(url)}
        for (name, place), count in itertools.product(places.items(), (1, 4)):
            spells[f"to {count}, {name}"] = lambda place=place, count=count: _deliver(place(), Path(folder), url, count)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in spells}
        again = 0
        for _ in range(ROUNDS):
            for name, spell in spells.items():
                found, tries = await _undisturbed(spell)
                taken[name].append(found)
                again += tries - 1
        flush = statistics.median([time_flush(Path(folder)) for _ in range(200)])
    floor, floor_cpu = _median(taken.pop(""))
    rows = [
        Row("bare httpx2, 16 at once, nothing kept", floor, "in a second", 1.0),
        Row("bare httpx2, its CPU", floor_cpu, "µs each", 1.0),
        Row("one flush here", flush, "ms"),
    ]
    for name, figures in taken.items():
        rate, cpu = _median(figures)
        rows.append(Row(f"delivered, {name}", rate, "in a second", rate / floor))
        rows.append(Row(f"delivered, {name}, time of one", 1e3 / rate, "ms", None, BARS[name.split()[-1]]))
        rows.append(Row(f"delivered, {name}, CPU of this process", cpu, "µs each", cpu / floor_cpu))
    return [*rows, Row("turns made again, since the host took the processors", again, "turns")]


def _median(taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(rate for rate, _ in taken), statistics.median(cpu for _, cpu in taken)


async def _undisturbed(spell: Callable[[], Awaitable[tuple[float, float]]]) -> tuple[tuple[float, float], int]:
    """What a turn gives, and how often it was made to get there."""
    tries = 0
    while True:
        tries += 1
        host = Host()
        found = await spell()
        if tries == TRIES or not host.disturbs():
            return found, tries


class Taken:
    """What so many of something took: how many in a second, and microseconds of CPU each."""

    def __init__(self) -> None:
        self._start, self._cpu = time.perf_counter(), time.process_time()

    def each(self) -> tuple[float, float]:
        """Both, since it was made."""
        return EVENTS / (time.perf_counter() - self._start), (time.process_time() - self._cpu) / EVENTS * 1e6


async def _send_bare(url: str) -> tuple[float, float]:
    secret, body = "whsec_" + "QUJD" * 8, b'{"type":"batch-jobs/batch_job.succeeded","data":{"id":"job-1"}}'
    limits = httpx2.Limits(max_connections=16, max_keepalive_connections=16)
    async with httpx2.AsyncClient(trust_env=False, limits=limits) as client:

        async def some(lane: int) -> None:
            for number in range(EVENTS // 16):
                headers = sign([secret], f"evt_{lane}_{number}", int(time.time()), body)
                (await client.post(url, content=body, headers=headers)).raise_for_status()

        taken = Taken()
        await asyncio.gather(*map(some, range(16)))
        return taken.each()


async def _deliver(journal_url: str, folder: Path, url: str, subscribers: int) -> tuple[float, float]:
    """Deliveries in a second, of events that are all there at the start."""
    endpoints = Endpoints(Store(folder / "secrets.json", Keys({"CONNECTOR_KEY": Key.generate().to_text()})))
    (folder / "secrets.json").unlink(missing_ok=True)
    async with await Journal.open(journal_url) as journal, Client(Guard([url]), LIMITS) as client:
        subscriptions = []
        for _ in range(subscribers):
            subscription, endpoint = read_subscription({"url": url})
            endpoints.save(subscription.id, endpoint)
            await journal.add_subscription(subscription)
            subscriptions.append(subscription)
        numbers = range(EVENTS // subscribers)
        await asyncio.gather(*(journal.append([_event(f"{subscription.id} {number}")]) for number in numbers))
        deliverer = Deliverer(journal, endpoints, client)
        taken = Taken()
        running = asyncio.create_task(journal.dispatcher.run({"delivery": deliverer.handle}, concurrency=CONCURRENCY))
        while await journal.deliveries(state="pending", limit=1):  # noqa: ASYNC110 - nobody says so
            await asyncio.sleep(0.1)
        each = taken.each()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for subscription in subscriptions:
            await journal.remove_subscription(subscription.id)
    return each


def _event(key: str) -> NewEvent:
    data = {"id": "job-1", "model": "mistral-small-latest", "status": "SUCCESS", "total_requests": 100}
    event = Event(
        id="",
        source="/mistral-ai/default",
        type="batch-jobs/batch_job.succeeded",
        subject=key,
        time="2026-11-22T12:00:00Z",
        data=data,
    )
    return NewEvent("mistral-ai", event, key, origin="poll")


class Subscriber(asyncio.Protocol):
    """Answers every POST with 204, and keeps its connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answers when the head and the announced body are there."""
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) >= int(next(lines, b":0").partition(b":")[2]):
            self.buffer = b""
            self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")  # type: ignore[attr-defined] - a stream transport


async def serve() -> None:
    """Serves on a free port, which is printed, until the process is stopped."""
    server = await asyncio.get_running_loop().create_server(Subscriber, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
