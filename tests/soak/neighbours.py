"""One connector far beyond its rate, one subscriber slow and one flapping: what the others notice (T73, S2).

    PYTHONPATH=. python tests/soak/neighbours.py                 three minutes
    PYTHONPATH=. python tests/soak/neighbours.py --seconds 2     a short one

`connector serve` takes a steady stream of messages for a connector that behaves, and delivers them to a subscriber that
is well. In turns it is quiet beside that; another connector sends ten times what it may; and deliveries go to a
subscriber that takes 14 seconds for each, and to one that refuses every other one. Turns are short and change often,
so that whatever else the machine does meets all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from connector.events.signatures import sign
from runtime.config.keys import Key
from tests.doubles.processes import Arrival, Subscriber, message, process
from tests.doubles.served import DEMO, PATH, SECRET

#: Messages a second that a connector may send, and that the one which behaves does send.
RATE, STEADY = 50, 20
FLOODERS = 10
OTHER = "/webhooks/other/made"


async def slow(_: Arrival) -> int:
    await asyncio.sleep(14)
    return 204


def flapping() -> Any:
    count = 0

    async def answer(_: Arrival) -> int:
        nonlocal count
        count += 1
        return 500 if count % 2 else 204

    return answer


class Steady:
    """The connector that behaves: when each of its messages was sent, and how long it took."""

    def __init__(self, client: httpx2.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url
        self.turn = ""
        self.statuses: Counter[int] = Counter()
        #: By message: its turn, the moment, and seconds until it was acknowledged.
        self.sent: dict[int, tuple[str, float, float]] = {}

    async def run(self) -> None:
        sending: set[asyncio.Task[None]] = set()
        try:
            await self._run(sending)
        finally:
            await asyncio.wait(sending)

    async def _run(self, sending: set[asyncio.Task[None]]) -> None:
        number = 0
        while True:
            task = asyncio.create_task(self._send(number))
            sending.add(task)
            task.add_done_callback(sending.discard)
            number += 1
            await asyncio.sleep(1 / STEADY)

    async def _send(self, number: int) -> None:
        body = json.dumps({"id": "t", "size": number}).encode()
        headers = sign([SECRET], f"s-{number}", int(time.time()), body) | {"content-type": "application/json"}
        turn, began = self.turn, time.monotonic()
        answer = await self._client.post(self._url + OTHER, content=body, headers=headers)
        self.statuses[answer.status_code] += 1
        self.sent[number] = turn, began, time.monotonic() - began


async def send_many(port: int, rate: float, statuses: Counter[int], prefix: str) -> None:
    """Sends so many signed messages a second over one connection, until cancelled; whoever measures has little to do."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    made = []
    for number in range(200):
        body, headers = message(f"{prefix}-{number}")
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{fields}\r\n"
        made.append(head.encode() + body)
    with contextlib.closing(writer):
        for each in itertools.cycle(made):
            due = time.monotonic() + 1 / rate
            writer.write(each)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            statuses[int(answer.split(b" ")[1])] += 1
            await asyncio.sleep(max(0.0, due - time.monotonic()))


@contextlib.asynccontextmanager
async def sending(port: int, rate: float, statuses: Counter[int], prefix: str) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(send_many(port, rate / FLOODERS, statuses, f"{prefix}-{place}"))
        for place in range(FLOODERS)
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def show(values: list[float]) -> dict[str, float]:
    """Median, and the value that 99 of 100 do not exceed, in milliseconds."""
    return {
        "p50_ms": round(statistics.median(values) * 1e3, 1),
        "p99_ms": round(sorted(values)[int(len(values) * 0.99)] * 1e3, 1),
    }


async def run(home: Path, seconds: float, turns: int) -> dict[str, Any]:
    (home / "other.json").write_text(json.dumps(DEMO).replace("demo", "other"), "utf-8")
    flood: Counter[int] = Counter()
    troubled: Counter[int] = Counter()
    async with Subscriber() as well, Subscriber(slow) as late, Subscriber(flapping()) as unsteady:
        environment = {
            "CONNECTOR_KEY": Key.generate().to_text(),
            "CONNECTOR_SECRET__OTHER__WEBHOOKSECRET": SECRET,
            "CONNECTOR_LIMIT_WEBHOOK_RATE": str(RATE),
            "CONNECTOR_SUBSCRIBER_ORIGINS": f"{well.origin} {late.origin} {unsteady.origin}",
        }
        async with (
            process(home, environment=environment) as (_, url),
            httpx2.AsyncClient(trust_env=False, timeout=60) as client,
        ):
            port = urlsplit(url).port
            assert port is not None

            async def subscribe(subscriber: Subscriber, connection: str) -> str:
                source = {"url": subscriber.origin + "/hook", "trigger": "things/made", "connection": connection}
                answer = await client.post(url + "/api/subscriptions", json=source)
                return str(answer.raise_for_status().json()["id"])

            await subscribe(well, "other")
            steady = Steady(client, url)
            running = asyncio.create_task(steady.run())
            for _ in range(turns):
                steady.turn = "quiet"
                await asyncio.sleep(seconds)
                steady.turn = "flood"
                async with sending(port, 10 * RATE, flood, f"f{time.time_ns()}"):
                    await asyncio.sleep(seconds)
                steady.turn = ""
                await asyncio.sleep(1)
                ids = [await subscribe(late, "demo"), await subscribe(unsteady, "demo")]
                steady.turn = "trouble"
                async with sending(port, RATE / 4, troubled, f"t{time.time_ns()}"):
                    await asyncio.sleep(seconds)
                steady.turn = ""
                for id in ids:
                    (await client.delete(f"{url}/api/subscriptions/{id}")).raise_for_status()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await well.until(lambda: {each.event["data"]["size"] for each in well.arrivals} >= steady.sent.keys())
            arrived = {each.event["data"]["size"]: each.at for each in reversed(well.arrivals)}
    took: dict[str, dict[str, dict[str, float]]] = {}
    for turn in ("quiet", "flood", "trouble"):
        rows = [(number, began, waited) for number, (of, began, waited) in steady.sent.items() if of == turn]
        took[turn] = {
            "acknowledged": show([waited for _, _, waited in rows]),
            "delivered": show([arrived[number] - began for number, began, _ in rows]),
        }
    return {
        "messages": len(steady.sent),
        "statuses": dict(steady.statuses),
        **took,
        "acknowledged_in_flood_times": ratio(took, "flood", "acknowledged"),
        "delivered_in_trouble_times": ratio(took, "trouble", "delivered"),
        "flood_statuses": dict(flood),
        "to_the_slow_one": len(late.arrivals),
        "to_the_flapping_one": len(unsteady.arrivals),
    }


def ratio(took: Any, turn: str, what: str) -> float:
    """The p99 of a turn, in times of the quiet one's."""
    return round(took[turn][what]["p99_ms"] / took["quiet"][what]["p99_ms"], 2)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--seconds", type=float, default=10.0, help="of each turn")
    options.add_argument("--turns", type=int, default=6, help="of each kind")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdict = asyncio.run(run(Path(folder), chosen.seconds, chosen.turns))
    print(json.dumps(verdict))  # noqa: T201 - its output
    below = verdict["acknowledged_in_flood_times"] < 2 and verdict["delivered_in_trouble_times"] < 2
    sys.exit(not (below and set(verdict["statuses"]) == {202}))


if __name__ == "__main__":
    main()
