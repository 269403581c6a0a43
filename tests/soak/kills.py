"""Kills a process that keeps and delivers events, again and again, at each point where it could hurt, and counts.

    python tests/soak/kills.py                      50 kills at each point, 1,000,000 acknowledged events
    python tests/soak/kills.py --kills 2 --events 2000    as the tests run it

A worker appends events, acknowledges them on a pipe, delivers some and polls for others; at the chosen point it kills
itself with SIGKILL. The next one sends again what was not acknowledged, as a provider does. In the end no acknowledged
event may be missing, none may be there twice, every delivery must have ended, and only what was under way at a kill may
have been delivered twice. It may be interrupted, and goes on where it was with the same `--folder`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from sqlalchemy import event

from connector.messages import Event
from runtime.journal.entries import Attempt, Checkpoint, Filter, NewEvent, Subscription, event_id
from runtime.journal.journal import Journal
from runtime.journal.storage.sqlite import SQLite

#: Where a worker is killed, and after how many passes of a hundred events each at most.
POINTS = {
    "K1": "an event was read, and no transaction began",
    "K2": "its row was inserted, and not committed",
    "K3": "it was committed, and not acknowledged",
    "K4": "it was acknowledged, and the dispatcher did not see it",
    "K5": "a delivery was handed out, and not sent",
    "K6": "it was sent, and no answer was read",
    "K7": "its answer was read, and not recorded",
    "K8": "it was being given up",
    "K9": "the answer of a poll was read, and not kept",
    "K10": "its events and its checkpoint were being committed",
}
WEBHOOK, DELIVERED, POLLED = "a/webhook", "a/delivered", "a/polled"
#: Events of one append, and appends at the same time.
BATCH, SENDERS = 10, 16
#: One append in so many has an event that is delivered; one delivery in so many is given up.
EVERY, DEAD = 4, 5
CONCURRENCY = 16


@dataclass
class Tally:
    """What is known outside of the workers, kept beside the journal so that a soak can go on."""

    sent: int = 0
    acknowledged: set[int] = field(default_factory=set)
    posted: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)

    def save(self, path: Path) -> None:
        document = {
            "sent": self.sent,
            "open": sorted(set(range(self.sent)) - self.acknowledged),
            "posted": self.posted,
            "kills": self.kills,
        }
        path.with_suffix(".new").write_text(json.dumps(document), "utf-8")
        path.with_suffix(".new").replace(path)

    @classmethod
    def load(cls, path: Path) -> Tally:
        if not path.exists():
            return cls()
        document = json.loads(path.read_text("utf-8"))
        acknowledged = set(range(document["sent"])) - set(document["open"])
        return cls(document["sent"], acknowledged, Counter(document["posted"]), Counter(document["kills"]))


class Fate:
    """Kills this process when a point was passed so many times."""

    def __init__(self, point: str | None, passes: int) -> None:
        self._point = point
        self._left = passes

    def meet(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, database: SQLite) -> None:
        """Meets the points that lie within a transaction: where the statement after theirs begins."""
        begins = {"INSERT INTO events": "K2", "INSERT INTO checkpoints": "K10"}
        before = ""

        def traced(statement: str) -> None:
            nonlocal before
            done, before = before, statement.replace("INSERT OR FAIL", "INSERT", 1)
            for begin, point in begins.items():
                if done.startswith(begin):
                    self.meet(point)
            if done.startswith("UPDATE deliveries") and "dead" in done:
                self.meet("K8")

        # As SQLite itself says them, values included.
        event.listen(database.engine, "checkout", lambda made, *_: made.set_trace_callback(traced))


def new(number: int, trigger: str) -> NewEvent:
    made = Event(
        id="",
        source="/mistral-ai/default",
        type=trigger,
        subject=str(number),
        time="2026-11-22T12:00:00Z",
        data={"number": number},
    )
    return NewEvent("mistral-ai", made, str(number), raw=b"x" * 200)


def trigger_of(number: int) -> str:
    return DELIVERED if number % (BATCH * EVERY) == 0 else WEBHOOK


async def work(url: str, fate: Fate, say: Callable[[str], None], numbers: list[int], *, finish: bool) -> None:
    """Sends these numbers, then new ones, until it is killed; `finish` sends only these and ends."""
    async with await Journal.open(url) as journal:
        assert isinstance(journal.database, SQLite)
        fate.watch(journal.database)
        if not await journal.subscriptions():
            await journal.add_subscription(Subscription("sub_1", "https://example.com/", Filter(triggers=(DELIVERED,))))
        queue = iter([numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)])
        beyond = (numbers[-1] if numbers else -1) + 1

        def take() -> list[int] | None:
            nonlocal beyond
            if (again := next(queue, None)) is not None:
                return again
            if finish:
                return None
            beyond += BATCH
            return list(range(beyond - BATCH, beyond))

        async def send() -> None:
            while (batch := take()) is not None:
                say(f"s {batch[0]} {batch[-1]}")
                fate.meet("K1")
                await journal.append([new(number, trigger_of(number)) for number in batch])
                fate.meet("K3")
                say("a " + " ".join(map(str, batch)))
                fate.meet("K4")

        async def deliver(id: str) -> None:
            delivery = await journal.delivery(id)
            fate.meet("K5")
            say(f"p {id}")
            fate.meet("K6")
            await asyncio.sleep(0)
            fate.meet("K7")
            attempt = Attempt(journal.now(), 0.0, 200)
            dead = int(delivery.id[-4:], 16) % DEAD == 0
            await journal.record_attempt(
                id, attempt, state="dead" if dead else "delivered", reason="410" if dead else ""
            )

        async def poll() -> None:
            while True:
                found = await journal.checkpoint("poll")
                cursor = found.state if found is not None else 0
                polled = [new(number, POLLED) for number in range(cursor, cursor + 5)]
                await asyncio.sleep(0.005)
                fate.meet("K9")
                await journal.append(polled, checkpoint=Checkpoint("poll", cursor + 5, journal.now()))

        background = [
            asyncio.create_task(journal.dispatcher.run({"delivery": deliver}, concurrency=CONCURRENCY)),
            asyncio.create_task(poll()),
        ]
        await asyncio.gather(*(send() for _ in range(SENDERS)))
        while (await journal.health()).pending:
            await asyncio.sleep(0.05)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


def run_worker(url: str, tally: Tally, point: str | None, passes: int) -> bool:
    """Runs one worker and counts what it says; True if it was killed."""
    numbers = sorted(set(range(tally.sent)) - tally.acknowledged)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(
                work(
                    url,
                    Fate(point, passes),
                    lambda line: _ignore(os.write(writing, line.encode() + b"\n")),
                    numbers or ([tally.sent - 1] if tally.sent else []),
                    finish=point is None,
                )
            )
            code = 0
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "r", encoding="ascii") as lines:
        for line in lines:
            kind, *words = line.split()
            if kind == "s":
                tally.sent = max(tally.sent, int(words[1]) + 1)
            elif kind == "a":
                tally.acknowledged.update(map(int, words))
            else:
                tally.posted[words[0]] += 1
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and (point is not None or os.waitstatus_to_exitcode(status)):
        raise SystemExit(f"the worker ended by itself at {point}: {status}")
    return os.WIFSIGNALED(status)


def _ignore(_: object) -> None:
    """What was written is of no interest."""


def judge(path: Path, tally: Tally) -> dict[str, Any]:
    """Compares the journal with what was acknowledged and posted."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)

    def numbers(trigger: str) -> Iterator[int]:
        rows = connection.execute('SELECT dedupe FROM events WHERE "trigger" = ?', (trigger,))
        return (int(json.loads(dedupe)) for (dedupe,) in rows)

    kept = Counter([*numbers(WEBHOOK), *numbers(DELIVERED)])
    polled = Counter(numbers(POLLED))
    (cursor,) = connection.execute("SELECT state FROM checkpoints").fetchone() or ("0",)
    states = dict(connection.execute("SELECT state, count(*) FROM deliveries GROUP BY state"))
    wanted = {number for number in kept if trigger_of(number) == DELIVERED}
    ids = {row[0] for row in connection.execute("SELECT event_id FROM deliveries")}
    expected = {event_id("mistral-ai", DELIVERED, str(number)) for number in wanted}
    (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
    twice = sum(count - 1 for count in tally.posted.values())
    killed = sum(tally.kills.values())
    return {
        "acknowledged": len(tally.acknowledged),
        "kills": dict(tally.kills),
        "lost": len(tally.acknowledged - kept.keys()),
        "twice_in_the_journal": sum(count - 1 for found in (kept, polled) for count in found.values()),
        "polled": len(polled),
        "poll_gaps": len(set(range(int(cursor))) ^ polled.keys()),
        "deliveries": states,
        "deliveries_absent": len(expected ^ ids),
        "never_posted": sum(states.values()) - len(tally.posted),
        "posted_again": twice,
        "posted_again_at_most": CONCURRENCY * killed,
        "integrity": sound,
    }


def holds(verdict: dict[str, Any]) -> bool:
    """Whether every invariant of the hazards holds."""
    zero = ("lost", "twice_in_the_journal", "poll_gaps", "deliveries_absent", "never_posted")
    return (
        all(verdict[name] == 0 for name in zero)
        and set(verdict["deliveries"]) <= {"delivered", "dead"}
        and verdict["posted_again"] <= verdict["posted_again_at_most"]
        and verdict["integrity"] == "ok"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--kills", type=int, default=50, help="at each point")
    options.add_argument("--events", type=int, default=1_000_000, help="acknowledged in all, at least")
    options.add_argument("--seconds", type=float, default=float("inf"), help="ends then, done or not")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "connector-kills")
    chosen = options.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    path, notes = chosen.folder / "journal.db", chosen.folder / "tally.json"
    tally = Tally.load(notes)
    chance = random.Random(chosen.seed + sum(tally.kills.values()))
    rounds = chosen.kills * len(POINTS)
    url, began = f"sqlite:///{path}", time.monotonic()
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        kills = progress.add_task("kills", total=rounds, completed=sum(tally.kills.values()))
        events = progress.add_task("events", total=chosen.events, completed=len(tally.acknowledged))
        while time.monotonic() - began < chosen.seconds:
            point = min(POINTS, key=lambda each: tally.kills[each])
            if tally.kills[point] >= chosen.kills and len(tally.acknowledged) >= chosen.events:
                break
            left = max(1, rounds - sum(tally.kills.values()))
            share = max(BATCH, (chosen.events - len(tally.acknowledged)) / left) / BATCH
            # The kinds of points are passed at different rates.
            rate = {"K2": 0.4, "K5": 1 / EVERY, "K6": 1 / EVERY, "K7": 1 / EVERY, "K8": 0.1, "K9": 0.05, "K10": 0.05}
            passes = chance.randint(1, 1 + int(2 * share * rate.get(point, 1.0)))
            if run_worker(url, tally, point, passes):
                tally.kills[point] += 1
                tally.save(notes)
            progress.update(kills, completed=sum(tally.kills.values()))
            progress.update(events, completed=len(tally.acknowledged))
    run_worker(url, tally, None, 0)
    tally.save(notes)
    verdict = judge(path, tally) | {"seconds": round(time.monotonic() - began)}
    print(json.dumps(verdict))  # noqa: T201 - its output
    sys.exit(not holds(verdict))


if __name__ == "__main__":
    main()
