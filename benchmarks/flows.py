"""Answers and bodies that flow: 10,000 server-sent events against a bare SSE client, and memory while 1 GB passes.

The provider is a process of its own. The floor of the events is httpx2's own SSE reader with `json.loads` of each
message. Memory is measured in a process for each direction: the peak over what the same process had after a small call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.measuring import Row
from runtime import Runtime

EVENTS = 10_000
GIGABYTE = 1_000_000_000
SMALL = 1000
ROUNDS = 7
_PIECE = bytes(256 * 1024)

DEFINITION = {
    "handle": "flows",
    "service": {"baseURL": "https://api.example.com/v1", "auth": {"method": "none"}},
    "resources": [
        {
            "handle": "things",
            "endpoint": "/things",
            "operations": {
                "listen": {
                    "method": "GET",
                    "path": "/events",
                    "response": {"kind": "sse", "join": ["content"]},
                    "fields": [
                        {"name": "id", "type": "String", "selector": ["id"]},
                        {"name": "content", "type": "String", "selector": ["choices", 0, "delta", "content"]},
                    ],
                },
                "download": {"method": "GET", "path": "/{{size}}", "response": "binary"},
                "upload": {
                    "method": "PUT",
                    "headers": {"Content-Type": "application/octet-stream"},
                    "bodyTemplate": {"value": "{{file}}", "placeholders": [{"name": "file", "type": "File"}]},
                },
            },
        }
    ],
}


def make_event(number: int) -> dict[str, Any]:
    """One chunk of a chat, as a model provider streams it."""
    delta = {"content": f" word{number}"}
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return {"id": "cmpl-1", "object": "chat.completion.chunk", "created": 1767225600, "model": "m", "choices": [choice]}


@contextlib.contextmanager
def _provider() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.flows", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as provider:  # noqa: S603
        try:
            assert provider.stdout is not None  # noqa: S101 - it was asked for
            yield f"http://127.0.0.1:{int(provider.stdout.readline())}/v1"
        finally:
            provider.terminate()


@contextlib.contextmanager
def _runtime(base: str) -> Iterator[Runtime]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "flows.json").write_text(json.dumps(DEFINITION), "utf-8")
        yield Runtime(folder, base_urls={"flows": base}, environ={})


def measure_events() -> list[Row]:
    """CPU of the reading process for 10,000 events, both readers in turns."""
    with _provider() as base, _runtime(base) as rt:
        return asyncio.run(_measure_events(rt, base))


async def _measure_events(rt: Runtime, base: str) -> list[Row]:
    async def ours() -> int:
        return len([chunk.fields async for chunk in rt.stream("flows", "things.listen", {})])

    async with rt, httpx2.AsyncClient(trust_env=False) as client:

        async def bare() -> int:
            headers = {"Accept": "text/event-stream"}
            async with client.stream("GET", f"{base}/things/events", headers=headers) as response:
                messages = [event.data async for event in httpx2.EventSource(response)]
                return len([json.loads(data) for data in messages if data != "[DONE]"])

        readers = {"bare httpx2 EventSource + json.loads": bare, "Runtime.stream, two fields mapped": ours}
        taken: dict[str, list[float]] = {name: [] for name in readers}
        for turn in range(ROUNDS + 1):
            for name, read in readers.items():
                start = time.process_time()
                count = await read()
                if count != EVENTS:
                    raise AssertionError(f"{name} read {count} events")
                if turn:
                    taken[name].append((time.process_time() - start) * 1e3)
    floor, mine = taken.values()
    ratio = statistics.median(one / other for one, other in zip(mine, floor, strict=True))
    name, other = taken
    return [
        Row(name, statistics.median(floor), "ms CPU", 1.0),
        Row(other, statistics.median(mine), "ms CPU", ratio, 1.5),
    ]


def measure_files() -> list[Row]:
    """Peak memory over idle, and the pace, of 1 GB down and up."""
    rows = []
    with _provider() as base:
        for direction in ("download", "upload"):
            command = [sys.executable, "-m", "benchmarks.flows", direction, base]
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own
            used, seconds = json.loads(done.stdout)
            rows += [
                Row(f"{direction} of 1 GB, peak over idle", used, "MB", None, 50.0),
                Row(f"{direction} of 1 GB", GIGABYTE / seconds / 1e6, "MB/s"),
            ]
    return rows


async def _pass(base: str, direction: str) -> None:
    with _runtime(base) as rt, tempfile.TemporaryDirectory() as folder:
        async with rt:
            file = Path(folder) / "file"
            await _once(rt, direction, SMALL, file)
            idle = _resident()
            start = time.perf_counter()
            await _once(rt, direction, GIGABYTE, file)
            print(json.dumps([_peak() - idle, time.perf_counter() - start]))


async def _once(rt: Runtime, direction: str, size: int, file: Path) -> None:
    if direction == "upload":
        with file.open("wb") as hole:
            hole.truncate(size)  # takes no room on the disk
        result = await rt.call("flows", "things.upload", {"file": file})
        passed = result.raw["size"]
    else:
        passed = 0
        async for chunk in rt.stream("flows", "things.download", {"size": size}):
            passed += len(chunk.raw)
    if passed != size:
        raise AssertionError(f"{passed} of {size} bytes passed")


def _resident() -> float:
    """Resident megabytes of this process now; where the system does not tell, the peak so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return _peak()
    return pages * resource.getpagesize() / 1e6


def _peak() -> float:
    """Peak resident megabytes of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


async def _serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            if method == "PUT":
                lines = head.lower().split("\r\n")
                left = size = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
                while left:
                    left -= len(await reader.read(min(left, len(_PIECE))))
                body = json.dumps({"size": size}).encode()
                writer.write(_head("application/json", len(body)) + body)
            elif path.endswith("/events"):
                messages = [*(json.dumps(make_event(number)) for number in range(EVENTS)), "[DONE]"]
                body = "".join(f"data: {message}\n\n" for message in messages).encode()
                writer.write(_head("text/event-stream", len(body)))
                for start in range(0, len(body), 4096):
                    writer.write(body[start : start + 4096])
                    await writer.drain()
            else:
                left = int(path.rpartition("/")[2])
                writer.write(_head("application/octet-stream", left))
                while left:
                    piece = _PIECE[:left]
                    writer.write(piece)
                    await writer.drain()
                    left -= len(piece)
            await writer.drain()
    writer.close()


def _head(media_type: str, length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n".encode()


async def _serve() -> None:
    server = await asyncio.start_server(_serve_one, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve() if sys.argv[1] == "serve" else _pass(sys.argv[2], sys.argv[1]))
