"""Kills `connector serve` itself, again and again, while providers send it messages over HTTP, and counts.

    PYTHONPATH=. python tests/soak/servers.py               50 kills at each point
    PYTHONPATH=. python tests/soak/servers.py --kills 2     a short one

The points are those of hazards K1 to K4, and an end by SIGTERM (K14). What was not answered with 202 is sent again to
the next process, as a provider does. In the end what was acknowledged is compared with what the journal has and with
what the subscriber got. `kills.py` has the points that lie within a delivery and a poll.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2

from runtime.config.keys import Key
from runtime.journal.dispatcher import LANE_LIMIT
from tests.doubles.processes import MODULE, ROOT, Subscriber, post, process

POINTS = {
    "K1": "messages were read, and no transaction began",
    "K2": "they were inserted, and not committed",
    "K3": "they were committed, and not answered",
    "K4": "they were answered, and the dispatcher may not have seen them",
    "K14": "SIGTERM",
}
KILLED = (str(ROOT / "tests" / "doubles" / "killed_server.py"),)
#: Providers that send at the same time.
SENDERS = 32


class Providers:
    """Send messages until the server is gone, those first that were not acknowledged."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self._next = 0
        self.open: set[str] = set()
        self.acknowledged: set[str] = set()
        self.refused: Counter[int] = Counter()

    async def send(self, url: str, *, enough: int | None = None, anew: bool = True) -> None:
        """Sends until nobody answers, or until so many more were acknowledged; without `anew` only what is open."""
        again = sorted(self.open)
        goal = len(self.acknowledged) + enough if enough is not None else None

        async def work() -> None:
            while goal is None or len(self.acknowledged) < goal:
                if again:
                    id = again.pop()
                elif anew:
                    id = f"m-{self._next}"
                    self._next += 1
                else:
                    return
                self.open.add(id)
                try:
                    status = await post(self._client, url, id, {"id": id})
                except httpx2.TransportError:
                    return
                if status == 202:
                    self.acknowledged.add(id)
                    self.open.discard(id)
                else:
                    self.refused[status] += 1

        await asyncio.gather(*(work() for _ in range(SENDERS)))


async def run_round(home: Path, point: str, providers: Providers, environment: dict[str, str], chance: Any) -> float:
    """One process and its end; gives the seconds that an end in order took."""
    armed = home / "armed"
    at_commit = point in ("K1", "K2", "K3")
    if at_commit:
        armed.write_text(str(chance.randint(1, 30)), "utf-8")
        environment = {**environment, "KILL_AT": point, "KILL_ARMED": str(armed)}
    # Without a dispatcher all transactions are of messages.
    words = ("--role", "api") if at_commit else ()
    took = 0.0
    async with process(home, *words, environment=environment, program=KILLED if at_commit else MODULE) as (server, url):
        sending = asyncio.create_task(providers.send(url))
        if not at_commit:
            goal = len(providers.acknowledged) + chance.randint(1, 400)
            while len(providers.acknowledged) < goal:
                await asyncio.sleep(0.001)
            began = time.monotonic()
            server.send_signal(signal.SIGKILL if point == "K4" else signal.SIGTERM)
            code = await asyncio.wait_for(server.wait(), 60)
            took = time.monotonic() - began if point == "K14" else 0.0
            expected = 0 if point == "K14" else -signal.SIGKILL
        else:
            code, expected = await asyncio.wait_for(server.wait(), 120), -signal.SIGKILL
        await sending
    if code != expected:
        raise SystemExit(f"{point}: the server ended with {code}: {(home / 'server.err').read_text('utf-8')}")
    armed.unlink(missing_ok=True)
    return took


async def run(home: Path, kills: int, chance: random.Random) -> dict[str, Any]:
    began, slowest, done = time.monotonic(), 0.0, Counter[str]()
    async with Subscriber() as subscriber, httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        environment = {
            "CONNECTOR_KEY": Key.generate().to_text(),
            "CONNECTOR_SUBSCRIBER_ORIGINS": subscriber.origin,
        }
        providers = Providers(client)
        async with process(home, environment=environment) as (_, url):
            source = {"url": subscriber.origin + "/hook", "trigger": "things/made"}
            (await client.post(url + "/api/subscriptions", json=source)).raise_for_status()
        for _ in range(kills):
            for point in POINTS:
                slowest = max(slowest, await run_round(home, point, providers, environment, chance))
                done[point] += 1
        async with process(home, environment=environment) as (_, url):
            await providers.send(url, anew=False)
            while (await client.get(url + "/readyz")).json()["pending"]:
                await asyncio.sleep(0.1)
            ids = {id for _, id in subscriber.counts}
    with contextlib.closing(sqlite3.connect(home / ".connector" / "journal.db")) as journal:
        rows = journal.execute("SELECT dedupe, id FROM events").fetchall()
        states = dict(journal.execute("SELECT state, count(*) FROM deliveries GROUP BY state"))
        (sound,) = journal.execute("PRAGMA integrity_check").fetchone()
    kept = Counter(json.loads(dedupe) for dedupe, _ in rows)
    return {
        "acknowledged": len(providers.acknowledged),
        "kills": dict(done),
        "refused": dict(providers.refused),
        "lost": len(providers.acknowledged - kept.keys()),
        "twice_in_the_journal": sum(count - 1 for count in kept.values()),
        "deliveries": states,
        "never_delivered": len({id for _, id in rows} - ids),
        "delivered_again": len(subscriber.arrivals) - len(ids),
        "delivered_again_at_most": LANE_LIMIT * done["K4"],
        "slowest_end_seconds": round(slowest, 1),
        "integrity": sound,
        "seconds": round(time.monotonic() - began),
    }


def holds(verdict: dict[str, Any]) -> bool:
    """Whether nothing was lost or doubled, and every end was in time."""
    zero = ("lost", "twice_in_the_journal", "never_delivered")
    return (
        all(verdict[name] == 0 for name in zero)
        and set(verdict["deliveries"]) == {"delivered"}
        and verdict["delivered_again"] <= verdict["delivered_again_at_most"]
        and verdict["slowest_end_seconds"] <= 25
        and verdict["integrity"] == "ok"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--kills", type=int, default=50, help="at each point")
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdict = asyncio.run(run(Path(folder), chosen.kills, random.Random(chosen.seed)))
    print(json.dumps(verdict))  # noqa: T201 - its output
    sys.exit(not holds(verdict))


if __name__ == "__main__":
    main()
