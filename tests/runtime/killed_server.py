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

from sqlalchemy import Engine, Pool, event

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


@event.listens_for(Engine, "begin")
def begins(_: Any) -> None:
    """The messages were read and verified, and their transaction has not begun."""
    meet("K1")


@event.listens_for(Engine, "after_cursor_execute")
def executed(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
    """Rows were inserted, and not committed."""
    global inserted  # noqa: PLW0603 - of the one transaction that there is at a time
    if statement.startswith("INSERT INTO events"):
        inserted = True
        meet("K2")


@event.listens_for(Pool, "checkin")
def ended(*_: Any) -> None:
    """The transaction was committed, and nobody was told."""
    global inserted  # noqa: PLW0603 - as above
    if inserted:
        inserted = False
        meet("K3")


main()
