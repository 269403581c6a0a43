"""Processes of a host that renew one grant at once, over the host's own store: no grant is lost.

`python -m tests.soak.grants --processes 3 --calls 10000` prints how many calls, renewals and losses there were, and
fails if a refresh token was used twice or a call ended with NeedsReauthorization.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.doubles.rotating import Rotating, prepare, rotating

ROOT = Path(__file__).parents[2]


async def run(folder: Path, server: Rotating, *, processes: int, calls: int) -> Counter[str]:
    """Lets processes share so many calls; returns how many ended with which error."""
    path = prepare(folder, server)
    each = str(calls // processes)
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-m", "tests.doubles.rotating", str(path), server.url, each,
            cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(processes)
    ]  # fmt: skip
    failed = Counter[str]()
    for each_process in started:
        assert each_process.stdout is not None
        assert await each_process.stdout.readline() == b"ready\n"
    for output, _ in await asyncio.gather(*(process.communicate(b"\n") for process in started)):
        failed.update(json.loads(output))
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--good-for", type=int, default=50, help="calls that one access token is good for")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, rotating(options.good_for) as server:
        failed = asyncio.run(run(Path(folder), server, processes=options.processes, calls=options.calls))
    print(  # noqa: T201 - the result
        f"{options.processes} processes, {options.calls} calls, {server.renewals} renewals, "
        f"{server.reuses} refresh tokens used twice, failed: {dict(failed)}, {time.monotonic() - begun:.0f} s"
    )
    return 1 if server.reuses or failed["NeedsReauthorization"] else 0


if __name__ == "__main__":
    sys.exit(main())
