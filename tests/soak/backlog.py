"""`connector serve` on a journal of ten million events, a million of them still to be delivered (hazard L1).

    PYTHONPATH=. python tests/soak/backlog.py                                      10,000,000 and 1,000,000
    PYTHONPATH=. python tests/soak/backlog.py --events 1000000 --pending 100000    a short one

The rows are made by SQL, so that it takes minutes; ten million events take some 5 GB of disk in `--folder`. Measured
are a start until it is ready (beside one on an empty journal), the query that finds what is due, how long a message
takes until it is acknowledged, and the deliveries of the first seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

from runtime.config.keys import Key, Keys
from runtime.config.store import Store
from runtime.events.subscriptions import Endpoints, read_subscription
from runtime.journal.dispatcher import _find_due
from runtime.journal.journal import Journal
from tests.doubles.processes import Subscriber, post, process

SUBSCRIPTIONS = 50
_STEP = 250_000
_EVENTS = """
WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO events SELECT i, printf('evt_%032x', i), 'demo', 'things/made', '"old-' || i || '"', '/demo/default',
    '"t-' || (i % 1000) || '"', '2026-11-22T12:00:00Z', '{"id":"t-' || (i % 1000) || '","size":' || i || '}', 'webhook',
    ?, 0, 'application/json', zeroblob(100), zeroblob(32) FROM n
"""
_DELIVERIES = """
WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO deliveries SELECT i, printf('dlv_%032x', i), printf('evt_%032x', i), (SELECT id FROM ids WHERE place = i % ?),
    'pending', 0, ?, '', NULL, ?, ? FROM n
"""
_WORK = "INSERT INTO work (kind, id, lane, due) SELECT 'delivery', id, subscription, due FROM deliveries"


def fill(path: Path, events: int, pending: int) -> None:
    """Makes the rows; the newest events are those that are pending."""
    now = time.time() - 3600
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("CREATE TEMP TABLE ids AS SELECT row_number() OVER () - 1 AS place, id FROM subscriptions")
    for start in range(1, events + 1, _STEP):
        connection.execute(_EVENTS, (start, min(start + _STEP - 1, events), now))
    connection.execute(_DELIVERIES, (events - pending + 1, events, SUBSCRIPTIONS, now, now, now))
    connection.execute(_WORK)
    connection.execute("UPDATE counters SET events = ?", (events,))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def prepare(home: Path, origin: str, key: str) -> None:
    """An empty journal with its subscriptions, and their secrets beside it."""
    (home / ".connector").mkdir()
    endpoints = Endpoints(Store(home / ".connector" / "secrets.json", Keys({"CONNECTOR_KEY": key})))
    async with await Journal.open(f"sqlite:///{home}/.connector/journal.db") as journal:
        for number in range(SUBSCRIPTIONS):
            subscription, endpoint = read_subscription({"url": f"{origin}/{number}"})
            endpoints.save(subscription.id, endpoint)
            await journal.add_subscription(subscription)


async def time_claims(home: Path) -> list[float]:
    """Milliseconds of each of some looks for what is due of a lane."""
    times = []
    async with await Journal.open(f"sqlite:///{home}/.connector/journal.db") as journal:
        lanes = [each.id for each in await journal.subscriptions()]
        for turn in range(200):
            asked = [(("delivery", lanes[turn % len(lanes)]), 16, 16)]
            began = time.perf_counter()
            found = await journal.database.read(lambda connection: _find_due(connection, asked, time.time()))  # noqa: B023 - awaited
            times.append((time.perf_counter() - began) * 1e3)
            assert len(found[0].rows) > 16
    return times


async def start(home: Path, environment: dict[str, str], client: httpx2.AsyncClient) -> float:
    """Seconds from the start of a process until it is ready."""
    began = time.monotonic()
    async with process(home, environment=environment) as (_, url):
        assert (await client.get(url + "/readyz")).status_code == 200
        return time.monotonic() - began


async def run(folder: Path, events: int, pending: int) -> dict[str, Any]:
    key = Key.generate().to_text()
    async with Subscriber() as subscriber, httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        environment = {"CONNECTOR_KEY": key, "CONNECTOR_SUBSCRIBER_ORIGINS": subscriber.origin}
        environment["CONNECTOR_KEEP_EVENTS"] = str(2 * events)
        (folder / "empty").mkdir()
        empty = [await start(folder / "empty", environment, client) for _ in range(5)]
        home = folder / "full"
        home.mkdir()
        await prepare(home, subscriber.origin, key)
        began = time.monotonic()
        await asyncio.to_thread(fill, home / ".connector" / "journal.db", events, pending)
        filled = time.monotonic() - began
        size = sum(path.stat().st_size for path in (home / ".connector").iterdir())
        claims = await time_claims(home)
        full = [await start(home, environment, client) for _ in range(5)]
        subscriber.arrivals.clear()
        async with process(home, environment=environment) as (server, url):
            # The backlog is being delivered beside it.
            began, taken = time.monotonic(), []
            for number in range(200):
                sent = time.monotonic()
                assert await post(client, url, f"new-{number}") == 202
                taken.append((time.monotonic() - sent) * 1e3)
            arrived, seconds = len(subscriber.arrivals), time.monotonic() - began
            asked = time.monotonic()
            assert (await client.get(url + "/readyz")).json()["pending"] > 0
            readyz = (time.monotonic() - asked) * 1e3
            memory = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text("utf-8"))
            assert memory is not None
    return {
        "events": events,
        "pending": pending,
        "bytes_on_disk": size,
        "seconds_to_fill": round(filled),
        "ready_when_empty_seconds": round(statistics.median(empty), 2),
        "ready_when_full_seconds": round(statistics.median(full), 2),
        "claim_median_ms": round(statistics.median(claims), 2),
        "claim_p99_ms": round(sorted(claims)[int(len(claims) * 0.99)], 2),
        "acknowledged_p50_ms": round(statistics.median(taken), 1),
        "acknowledged_p99_ms": round(sorted(taken)[int(len(taken) * 0.99)], 1),
        "delivered_per_second": round(arrived / seconds),
        "readyz_ms": round(readyz, 1),
        "memory_mib": int(memory[1]) // 1024,
        "cores": os.cpu_count(),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--events", type=int, default=10_000_000)
    options.add_argument("--pending", type=int, default=1_000_000)
    options.add_argument("--folder", type=Path, help="where there is room for it")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        verdict = asyncio.run(run(Path(folder), chosen.events, chosen.pending))
    print(json.dumps(verdict))  # noqa: T201 - its output
    # Ready within two seconds of a start (I6), of which the program itself takes what it takes on an empty journal.
    longer = verdict["ready_when_full_seconds"] - verdict["ready_when_empty_seconds"]
    sys.exit(not (longer < 2 and verdict["claim_median_ms"] < 5))


if __name__ == "__main__":
    main()
