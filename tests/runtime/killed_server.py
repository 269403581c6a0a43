"""`connector` as it is, which kills itself with SIGKILL at a point of a transaction: `killed_server.py serve …`.

`KILL_AT` names the point, and it counts once the file `KILL_ARMED` is there, which holds how often the point is passed
before it kills. With `--role api` nothing but messages is written, so each transaction is one of theirs.
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
inserted = False
passed = 0


def meet(point: str) -> None:
    """Kills this process if it is at its point, often enough."""
    global passed  # noqa: PLW0603 - a counter of this process
    if point == POINT and threading.current_thread().name.startswith("journal-writer") and ARMED.exists():
        passed += 1
        if passed >= int(ARMED.read_text("utf-8")):
            os.kill(os.getpid(), signal.SIGKILL)


def traced(statement: str) -> None:
    """What SQLite is about to do."""
    global inserted  # noqa: PLW0603 - of the one transaction that there is at a time
    if statement.startswith("BEGIN IMMEDIATE"):
        # Messages were read and verified.
        inserted = False
        meet("K1")
    elif statement.startswith(("INSERT INTO events", "INSERT OR FAIL INTO events")):
        inserted = True
    elif statement.startswith("COMMIT") and inserted:
        meet("K2")


@event.listens_for(Pool, "connect")
def connected(connection: Any, _: Any) -> None:
    """A connection to SQLite was made."""
    connection.set_trace_callback(traced)


def returned(_frame: Any, kind: str, function: Any) -> None:
    """A function of C returned: the commit is done, and nobody was told."""
    if kind == "c_return" and inserted and getattr(function, "__name__", "") == "commit":
        meet("K3")


threading.setprofile(returned)
main()
