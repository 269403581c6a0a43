"""Large answers are read and mapped without stopping anything else, and those of too many values are refused."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from connector.errors import MappingError
from runtime.runtime import Runtime
from tests.doubles.faults import MIB

pytestmark = pytest.mark.anyio

#: No turn of the event loop may come later than this, in seconds of this process's CPU, since what else the machine does
#: says nothing about the code.
AT_MOST = 0.05
RECORDS = json.dumps([{"id": number, "name": f"name {number}"} for number in range(100_000)]).encode()
ANSWERS: dict[str, tuple[str, bytes, str]] = {
    "lists": ("json", b"[" + b"[]," * (10 * MIB) + b"[]]", "more than 1000000 values"),
    "numbers": ("json", b"[" + b"1," * (15 * MIB) + b"1]", "more than 1000000 values"),
    "texts": ("json", b"[" + b'"",' * (10 * MIB) + b"1]", "more than 1000000 values"),
    "depth": ("json", b"[" * (15 * MIB) + b"]" * (15 * MIB), "nests too deeply"),
    "elements": ("xml", b"<a>" + b"<b/>" * (7 * MIB) + b"</a>", "more than 1000000 values"),
    "records": ("json", RECORDS, ""),
    "one text": ("json", b'{"a":"' + b"x" * (31 * MIB) + b'"}', ""),
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Lag:
    """How late the turns of the event loop are: the CPU that all threads of the process use between two of them."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        while True:
            before = time.process_time()
            await asyncio.sleep(0.001)
            self.worst = max(self.worst, time.process_time() - before)

    async def measured(self, awaitable: Any) -> Any:
        watching = asyncio.create_task(self.watch())
        await asyncio.sleep(0.02)
        self.worst = 0.0
        try:
            return await awaitable
        finally:
            await asyncio.sleep(0.005)
            watching.cancel()


def runtime_for(folder: Path, kind: str, body: bytes) -> Runtime:
    service = {"baseURL": "https://api.example.com", "auth": {"method": "none", "params": {}}}
    read = {"method": "GET", "path": "/s", "response": kind, "retry": {"attempts": 1}}
    resource = {"handle": "s", "meta": {"short": "S"}, "endpoint": "", "fields": [], "operations": {"read": read}}
    (folder / "demo.json").write_text(json.dumps({"handle": "demo", "service": service, "resources": [resource]}))
    packed = gzip.compress(body, 1)

    class Compressed(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield packed

    def answer(_: httpx.Request) -> httpx.Response:
        headers = {"Content-Type": f"application/{kind}", "Content-Encoding": "gzip"}
        return httpx.Response(200, headers=headers, stream=Compressed())

    return Runtime(folder, transport=httpx.MockTransport(answer), environ={})


@pytest.mark.parametrize(("kind", "body", "refusal"), ANSWERS.values(), ids=list(ANSWERS))
async def test_T44_large_answers_do_not_stop_the_event_loop(
    kind: str, body: bytes, refusal: str, tmp_path: Path
) -> None:
    """The best of a few, since another process can keep the loop waiting while a thread of this one works."""
    lags = []
    async with runtime_for(tmp_path, kind, body) as rt:

        async def read() -> None:
            if refusal:
                with pytest.raises(MappingError, match=refusal):
                    await rt.call("demo", "s.read", {})
            else:
                assert (await rt.call("demo", "s.read", {})).ok

        for _ in range(5):
            lag = Lag()
            await lag.measured(read())
            lags.append(lag.worst)
            if lag.worst <= AT_MOST:
                break
    assert min(lags) <= AT_MOST, lags
