"""Taking messages: each verified and durably kept before its 202, beside a bare Starlette handler that parses JSON.

Both servers are uvicorn in a process of their own, and a third process sends them the same signed messages: over fifty
connections as fast as they are answered, then a thousand a second whether answered or not. The time of a flush to the
disk stands beside it.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import Row
from connector.signatures import sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATH = "/webhooks/bench/made"
CONNECTIONS = 50
#: Seconds of each spell, and messages a second when they come whether answered or not.
SECONDS = 4.0
RATE = 1000
ROUNDS = 3
_FIELDS = [{"name": "id", "type": "String"}]
_DEFINITION = {
    "handle": "bench",
    "service": {"baseURL": "https://bench.example"},
    "resources": [
        {"handle": "things", "endpoint": "/t", "webhooks": [{"event": "made", "path": PATH, "payload": _FIELDS}]}
    ],
}


def measure_ingest() -> list[Row]:
    """Throughput and time of an answer, ours against the bare handler's, in turns."""
    found: dict[str, list[dict[str, float]]] = {"bare": [], "ours": []}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        home = Path(folder)
        (home / "bench.json").write_text(json.dumps(_DEFINITION), "utf-8")
        flushes = [_flush(home) for _ in range(300)]
        for turn in range(ROUNDS):
            for name, figures in found.items():
                figures.append(_run(name, home, turn))
    bare, ours = (
        {key: statistics.median(each[key] for each in found[name]) for key in found[name][0]}
        for name in ("bare", "ours")
    )
    slower = bare["throughput"] / ours["throughput"]
    lost = sum(each["failed"] for each in found["ours"])
    return [
        Row("a flush to the disk, p50", statistics.median(flushes) * 1e3, "ms"),
        Row("a flush to the disk, p99", sorted(flushes)[-3] * 1e3, "ms"),
        Row("messages a second, bare handler", bare["throughput"], "1/s"),
        Row("messages a second, verified and kept", ours["throughput"], "1/s", slower, 2.5),
        Row(f"p99 at {RATE:,} a second, bare handler", bare["p99"], "ms"),
        Row(f"p99 at {RATE:,} a second, verified and kept", ours["p99"], "ms", ours["p99"] / bare["p99"], 5),
        Row("p50 of the same, bare handler", bare["p50"], "ms"),
        Row("p50 of the same, verified and kept", ours["p50"], "ms"),
        Row("answers other than 2xx", lost, ""),
    ]  # fmt: skip


def _flush(home: Path) -> float:
    """The seconds that it takes to write 4 KiB and have them on the disk."""
    with (home / "flush").open("ab") as file:
        begun = time.perf_counter()
        file.write(b"x" * 4096)
        file.flush()
        os.fdatasync(file.fileno())
        return time.perf_counter() - begun


def _run(name: str, home: Path, turn: int) -> dict[str, float]:
    """One spell of each kind against one server."""
    environment = {
        **os.environ,
        "CONNECTOR_HOME": str(home / f"state-{turn}"),
        "CONNECTOR_LIMIT_WEBHOOK_RATE": "1000000000",
        "CONNECTOR_SECRET__BENCH__WEBHOOKSECRET": SECRET,
    }
    ours = ["-m", "runtime", "serve", "--port", "0", "--json", "--role", "api", "--definitions", str(home)]
    words = ours if name == "ours" else ["-m", "benchmarks.ingest", "bare"]
    with subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as server:
        assert server.stdout is not None  # noqa: S101 - it is piped
        text = ""
        while not text.endswith("}\n"):
            text += server.stdout.readline()
        port = json.loads(text)["url"].rpartition(":")[2]
        try:
            command = [sys.executable, "-m", "benchmarks.ingest", "load", port, f"{name}-{turn}"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own
        finally:
            server.terminate()
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def _serve_bare() -> None:
    import socket

    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def take(request: Request) -> Response:
        await request.json()
        return Response(status_code=202)

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    app = Starlette(routes=[Route(PATH, take, methods=["POST"])])
    uvicorn.Server(uvicorn.Config(app, http="h11", log_config=None, access_log=False)).run([listener])


def _messages(label: str, count: int) -> list[bytes]:
    """Signed requests, each with an id of its own and 1 KiB of body."""
    now, made = int(time.time()), []
    for number in range(count):
        body = json.dumps({"id": f"{label}-{number}", "text": "x" * 980}).encode()
        fields = "".join(
            f"{name}: {value}\r\n" for name, value in sign([SECRET], f"{label}-{number}", now, body).items()
        )
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        made.append(f"{head}{fields}\r\n".encode() + body)
    return made


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> bool:
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
    return head.startswith(b"HTTP/1.1 2")


async def _load(port: int, label: str) -> dict[str, float]:
    closed, opened = _messages(label + "-c", 40_000), _messages(label + "-o", int(RATE * SECONDS))
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    for each in connections:
        await _exchange(*each, closed.pop())
    failed, count = 0, 0
    begun = time.perf_counter()

    async def hurry(pair: Any) -> None:
        nonlocal failed, count
        while closed and time.perf_counter() - begun < SECONDS:
            failed += not await _exchange(*pair, closed.pop())
            count += 1

    await asyncio.gather(*(hurry(pair) for pair in connections))
    throughput = count / (time.perf_counter() - begun)
    free: asyncio.Queue[Any] = asyncio.Queue()
    for each in connections:
        free.put_nowait(each)
    times: list[float] = []

    async def one(message: bytes, due: float) -> None:
        nonlocal failed
        pair = await free.get()
        failed += not await _exchange(*pair, message)
        # From when it was due: what waits for a connection has waited.
        times.append((time.perf_counter() - due) * 1e3)
        free.put_nowait(pair)

    begun, tasks = time.perf_counter(), []
    for number, message in enumerate(opened):
        due = begun + number / RATE
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(message, due)))
    await asyncio.gather(*tasks)
    times.sort()
    return {
        "throughput": throughput,
        "p50": times[len(times) // 2],
        "p99": times[int(len(times) * 0.99)],
        "failed": float(failed),
    }


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        _serve_bare()
    else:
        print(json.dumps(asyncio.run(_load(int(sys.argv[2]), sys.argv[3]))))
