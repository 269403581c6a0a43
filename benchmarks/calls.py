"""Whole calls over a real socket: the CPU of `Runtime.call` against bare httpx2 with hand-written body and mapping.

The provider is a process of its own, so that only the caller's CPU is counted; it answers at once and keeps
connections open. Rounds of both callers take turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import httpx2

from benchmarks.language import INPUTS, example, pick_fields, write_body
from benchmarks.measuring import Row
from runtime import Runtime

CALLS = 640
ROUNDS = 7


def measure_calls() -> list[Row]:
    """At 1 and at 32 concurrent calls."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.calls"], stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as provider:
        try:
            assert provider.stdout is not None  # noqa: S101 - it was asked for
            base = f"http://127.0.0.1:{int(provider.stdout.readline())}/v1"
            return asyncio.run(_measure(base))
        finally:
            provider.terminate()


async def _measure(base: str) -> list[Row]:
    rows: list[Row] = []
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    async with (
        httpx2.AsyncClient(trust_env=False, limits=limits, timeout=30) as client,
        Runtime(secrets={"mistral-ai": {"apiToken": "key"}}, base_urls={"mistral-ai": base}, environ={}) as rt,
    ):
        headers = {"authorization": "Bearer key", "content-type": "application/json", "accept": "application/json"}

        async def bare() -> None:
            response = await client.post(f"{base}/chat/completions", content=write_body(), headers=headers)
            response.raise_for_status()
            pick_fields(json.loads(response.content))

        async def ours() -> None:
            await rt.call("mistral-ai", "chat-completions.create", INPUTS)

        for concurrency in (1, 32):
            taken: dict[str, list[float]] = {"bare httpx2": [], "Runtime.call": []}
            for turn in range(ROUNDS + 1):
                for name, call in (("bare httpx2", bare), ("Runtime.call", ours)):
                    cpu = await _cpu(call, concurrency)
                    if turn:
                        taken[name].append(cpu)
            ratio = statistics.median(
                mine / floor for mine, floor in zip(taken["Runtime.call"], taken["bare httpx2"], strict=True)
            )
            for name, times in taken.items():
                is_ours = name == "Runtime.call"
                rows.append(
                    Row(
                        f"{name}, {concurrency} at once",
                        statistics.median(times),
                        "µs CPU",
                        ratio if is_ours else 1.0,
                        1.25 if is_ours else None,
                    )
                )
    return rows


async def _cpu(call: Callable[[], Awaitable[None]], concurrency: int) -> float:
    """Microseconds of CPU for one call, at so many at once."""

    async def some() -> None:
        for _ in range(CALLS // concurrency):
            await call()

    start = time.process_time()
    await asyncio.gather(*(some() for _ in range(concurrency)))
    return (time.process_time() - start) / CALLS * 1e6


class Provider(asyncio.Protocol):
    """Answers every request at once with the recorded chat completion."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answers when the head and the announced body are there."""
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) >= int(next(lines, b":0").partition(b":")[2]):
            self.buffer = b""
            self.transport.write(self.answer)  # type: ignore[attr-defined] - a stream transport


async def serve() -> None:
    """Serves on a free port, which is printed, until the process is stopped."""
    body = json.dumps(example()).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    Provider.answer = head.encode() + body
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
