"""`connector` as it is, which kills itself with SIGKILL at a point of a transaction: `killed_server.py serve …`.

`KILL_AT` names the point, and it counts once the file `KILL_ARMED` is there, which holds how often the point is passed
before it kills. With `--role api` nothing but messages is written, so each transaction is one of theirs; K5 is where a
delivery that was handed out is read, K7 and K8 are the transactions that record an outcome, K9 and K10 those that keep
what a poll found.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Pool, event

from runtime.cli import main

POINT, ARMED = os.environ["KILL_AT"], Path(os.environ["KILL_ARMED"])
#: Points of what the transaction has written, which are met right before its commit.
written: set[str] = set()
passed = 0


def meet(point: str, thread: str = "journal-writer") -> None:
    """Kills this process if that thread of it is at its point, often enough."""
    global passed  # noqa: PLW0603 - a counter of this process
    if point == POINT and threading.current_thread().name.startswith(thread) and ARMED.exists():
        passed += 1
        if passed >= int(ARMED.read_text("utf-8")):
            os.kill(os.getpid(), signal.SIGKILL)


def traced(statement: str) -> None:
    """What SQLite is about to do."""
    if statement.startswith("BEGIN IMMEDIATE"):
        # Messages were read and verified, or the answer of a poll.
        written.clear()
        meet("K1")
        meet("K9")
    elif statement.startswith(("INSERT INTO events", "INSERT OR FAIL INTO events")):
        written.add("K2")
    elif statement.startswith("UPDATE deliveries"):
        written.add("K8" if "'dead'" in statement else "K7")
    elif statement.startswith("INSERT INTO sightings"):
        written.add("K10")
    elif "FROM deliveries JOIN events" in statement:
        meet("K5", "journal-reader")
    elif statement.startswith("COMMIT"):
        for point in written:
            meet(point)


@event.listens_for(Pool, "connect")
def connected(connection: Any, _: Any) -> None:
    """A connection to SQLite was made."""
    connection.set_trace_callback(traced)


def returned(_frame: Any, kind: str, function: Any) -> None:
    """A function of C returned: the commit is done, and nobody was told."""
    if kind == "c_return" and "K2" in written and getattr(function, "__name__", "") == "commit":
        meet("K3")


threading.setprofile(returned)
main()
