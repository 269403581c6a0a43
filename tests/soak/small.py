"""`connector serve` with 256 files, 256 MiB of memory and one processor, and more clients than it has room for (L2).

    PYTHONPATH=. python tests/soak/small.py                  a minute of it
    PYTHONPATH=. python tests/soak/small.py --seconds 5      a short one

Clients come all at once, each with a connection of its own, and every tenth message is half a mebibyte; one subscriber
is slow. Whoever is turned away must be told so with 503, what was acknowledged must be kept and delivered, and once the
crowd is gone everything must be as before. The limits are those of `prlimit` (files, and memory that is written to) and
`taskset`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from runtime.config.keys import Key
from tests.doubles.processes import Arrival, Subscriber, message, post, process
from tests.doubles.served import PATH

MEMORY, FILES = 256 * 1024 * 1024, 256
LIMITED = ("prlimit", f"--data={MEMORY}", f"--nofile={FILES}:{FILES}", "taskset", "-c", "0")
CLIENTS = 500
LARGE = "x" * 512 * 1024


async def slow(_: Arrival) -> int:
    await asyncio.sleep(2)
    return 204


class Crowd:
    """Clients that connect, send one message, read the answer, and come again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._number = 0
        self.acknowledged: set[str] = set()
        #: By status; `cut` where there was no answer.
        self.answers: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds

        async def come() -> None:
            while time.monotonic() < until:
                self._number += 1
                await self._send(f"m-{self._number}", large=self._number % 10 == 0)

        await asyncio.gather(*(come() for _ in range(CLIENTS)))

    async def _send(self, id: str, *, large: bool) -> None:
        body, headers = message(id, {"id": "t", "note": LARGE} if large else None)
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n{fields}\r\n"
        status = "cut"
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            with contextlib.closing(writer), contextlib.suppress(OSError):
                writer.write(head.encode() + body)
                line = await asyncio.wait_for(reader.readline(), 60)
                status = line[9:12].decode() or "cut"
        self.answers[status] += 1
        if status == "202":
            self.acknowledged.add(id)


def peak(pid: int, name: str) -> int:
    """Mebibytes of a process."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
    assert found is not None
    return int(found[1]) // 1024


async def run(home: Path, seconds: float) -> dict[str, Any]:
    async with Subscriber() as well, Subscriber(slow) as late:
        environment = {
            "CONNECTOR_KEY": Key.generate().to_text(),
            "CONNECTOR_SUBSCRIBER_ORIGINS": f"{well.origin} {late.origin}",
        }
        async with (
            process(home, environment=environment, before=LIMITED) as (server, url),
            httpx2.AsyncClient(trust_env=False, timeout=60) as client,
        ):
            for each in (well, late):
                source = {"url": each.origin + "/hook", "trigger": "things/made"}
                (await client.post(url + "/api/subscriptions", json=source)).raise_for_status()
            port = urlsplit(url).port
            assert port is not None
            crowd = Crowd(port)
            began = time.monotonic()
            await crowd.run(seconds)
            took, most = time.monotonic() - began, peak(server.pid, "VmHWM")
            # The crowd is gone.
            after = [await post(client, url, f"after-{number}") for number in range(20)]
            wanted = len(crowd.acknowledged) + len(after)
            began = time.monotonic()
            await well.until(lambda: len(well.counts) >= wanted, 300)
            drained = time.monotonic() - began
            files = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
            server.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(server.wait(), 60)
        errors = (home / "server.err").read_text("utf-8")
    with contextlib.closing(sqlite3.connect(home / ".connector" / "journal.db")) as journal:
        kept = Counter(json.loads(dedupe) for (dedupe,) in journal.execute("SELECT dedupe FROM events"))
    return {
        "clients": CLIENTS,
        "seconds": round(took, 1),
        "answers": dict(crowd.answers),
        "acknowledged": len(crowd.acknowledged),
        "lost": len(crowd.acknowledged - kept.keys()),
        "twice_in_the_journal": sum(count - 1 for count in kept.values()),
        "memory_at_most_mib": most,
        "files_after": files,
        "after_the_crowd": dict(Counter(map(str, after))),
        "delivered_after_seconds": round(drained, 1),
        "exit_code": code,
        "tracebacks": errors.count("Traceback"),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--seconds", type=float, default=60.0)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdict = asyncio.run(run(Path(folder), chosen.seconds))
    print(json.dumps(verdict))  # noqa: T201 - its output
    zero = ("lost", "twice_in_the_journal", "exit_code", "tracebacks")
    shed = verdict["answers"].get("503", 0) > 0 and set(verdict["after_the_crowd"]) == {"202"}
    sys.exit(not (shed and not any(verdict[name] for name in zero)))


if __name__ == "__main__":
    main()
