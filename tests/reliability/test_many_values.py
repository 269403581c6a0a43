"""Small answers that are many values: lines, messages and members of gzip leave the event loop its turns."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import json
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from connector.errors import MappingError
from connector.messages import Request
from runtime.config.settings import Limits
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.runtime import Runtime
from tests.doubles.faults import MIB

pytestmark = pytest.mark.anyio

MANY = 1_000_000
#: No turn may take a larger share of the time of a whole answer: how busy the machine is does not count.
SHARE = 0.05
#: Nor more seconds of the processor than this, where all of it is quick.
AT_MOST = 0.1


@contextlib.asynccontextmanager
async def turns_of_the_loop() -> AsyncIterator[list[float]]:
    """What each turn of the event loop took, in CPU seconds of its thread."""
    turns: list[float] = []

    async def tick() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            turns.append(time.thread_time() - before)

    task = asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        yield turns
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    finally:
        task.cancel()


def definition(kind: str) -> dict[str, Any]:
    service = {"baseURL": "https://api.example.com", "auth": {"method": "none", "params": {}}}
    read = {"method": "GET", "path": "/s", "response": kind}
    resource = {"handle": "s", "meta": {"short": "S"}, "endpoint": "", "fields": [], "operations": {"read": read}}
    return {"handle": "demo", "service": service, "resources": [resource]}


@functools.cache
def packed(line: bytes, count: int) -> bytes:
    return gzip.compress(line * count)


@contextlib.asynccontextmanager
async def runtime_for(folder: Path, kind: str, body: bytes) -> AsyncIterator[Runtime]:
    (folder / "demo.json").write_text(json.dumps(definition(kind)), "utf-8")
    types = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}
    headers = {"Content-Type": types[kind], "Content-Encoding": "gzip"}

    class Compressed(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield body

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=Compressed())

    async with Runtime(folder, transport=httpx.MockTransport(answer)) as runtime:
        yield runtime


FLOODS = {
    "comments": ("sse", b":\n", 2 * MANY),
    "empty lines": ("sse", b"\n", 2 * MANY),
    "carriage returns": ("sse", b"\r", 2 * MANY),
    "lines of data": ("sse", b"data\n", MANY),
    "data of one message": ("sse", b"data:x\n", MANY // 2),
    "empty lines of NDJSON": ("ndjson", b"\n", 4 * MANY),
    "messages": ("sse", b"data:1\n\n", MANY // 10),
    "lines of NDJSON": ("ndjson", b"1\n", MANY // 10),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("kind", "line", "count"), FLOODS.values(), ids=list(FLOODS))
async def test_T44_many_lines_in_few_bytes_leave_the_event_loop_its_turns(
    tmp_path: Path, kind: str, line: bytes, count: int, streamed: bool
) -> None:
    async with runtime_for(tmp_path, kind, packed(line, count)) as runtime, turns_of_the_loop() as turns:
        began = time.thread_time()
        with contextlib.suppress(MappingError):
            if streamed:
                async for _ in runtime.stream("demo", "s.read", {}):
                    pass
            else:
                await runtime.call("demo", "s.read", {})
        taken = time.thread_time() - began
    assert max(turns) < max(SHARE * taken, AT_MOST)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("kind", "line", "count"),
    [("sse", b":\n", 2 * MANY), ("sse", b"data:x\n", MANY // 4), ("ndjson", b"{}\n", MANY // 4)],
    ids=["comments", "data of one message", "messages"],
)
async def test_T44_many_lines_in_few_bytes_take_little_memory(
    tmp_path: Path, kind: str, line: bytes, count: int, streamed: bool
) -> None:
    body = packed(line, count)
    async with runtime_for(tmp_path, kind, body) as runtime:
        tracemalloc.start()
        try:
            with contextlib.suppress(MappingError):
                if streamed:
                    chunks: Any = runtime.stream("demo", "s.read", {})
                    async with asyncio.timeout(60), contextlib.aclosing(chunks):
                        count = 0
                        async for _ in chunks:
                            count += 1
                            if count == 50_000:
                                break
                else:
                    await runtime.call("demo", "s.read", {})
            # A text of its own for each line takes more.
            assert tracemalloc.get_traced_memory()[1] < 18 * MIB
        finally:
            tracemalloc.stop()


async def test_T44_a_stream_of_too_many_messages_for_one_result_is_refused(tmp_path: Path) -> None:
    async with runtime_for(tmp_path, "ndjson", packed(b"1\n", 100_001)) as runtime:
        with pytest.raises(MappingError, match="more than 100000 messages") as caught:
            await runtime.call("demo", "s.read", {})
    assert "Runtime.stream" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"x", bytes(250_000)], ids=["empty", "a byte", "nearly a step"])
async def test_T44_many_members_of_gzip_leave_the_event_loop_its_turns(content: bytes) -> None:
    member = gzip.compress(content)
    body = member * min(100_000, 64 * MIB // (len(content) + 640))

    class Compressed(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield body

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Compressed())

    async with Client(Guard(), Limits(response_bytes=100 * MIB), transport=httpx.MockTransport(answer)) as client:
        request = Request("GET", "https://api.example.com/")
        for streamed in (False, True):
            async with turns_of_the_loop() as turns:
                began = time.thread_time()
                if streamed:
                    async with client.stream(request, operation="a.b") as opened:
                        async for _ in opened:
                            pass
                else:
                    await client.send(request, operation="a.b")
                taken = time.thread_time() - began
            assert max(turns) < max(SHARE * taken, AT_MOST)
