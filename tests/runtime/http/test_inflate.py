"""Compressed bodies, inflated step by step within limits."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import sys
import textwrap
import time
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from connector.errors import MappingError, TransportError
from connector.headers import Headers
from connector.messages import Request, Response
from runtime.config.settings import Limits
from runtime.http.client import DEFAULT_LIMITS, Client
from runtime.http.guard import Guard
from runtime.http.inflate import find_inflater
from tests.doubles.faults import MIB, TEXT, FaultServer

pytestmark = pytest.mark.anyio


ROOT = Path(__file__).parents[3]


SECRET = "canary-of-a-secret"


@pytest.fixture
async def provider() -> AsyncIterator[FaultServer]:
    async with FaultServer() as server:
        yield server


class Loopback:
    """A resolver for which every name is on loopback; counts the lookups."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses or ("127.0.0.1",)
        self.lookups = 0

    async def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.lookups += 1
        return self.addresses


def client_for(server: FaultServer, limits: Limits = DEFAULT_LIMITS, **options: Any) -> Client:
    return Client(Guard({server.origin}, Loopback()), limits, **options)


async def get(client: Client, url: str, **fields: str) -> Response:
    return await client.send(Request("GET", url, headers=Headers(fields)), operation="files.list")


async def failure_of(client: Client, url: str) -> TransportError | MappingError:
    """What a call ends with; the checks that hold for every failure are made here."""
    headers = Headers({"Authorization": f"Bearer {SECRET}"})
    request = Request("POST", f"{url}?key={SECRET}", headers=headers, body=SECRET.encode(), secrets=frozenset({SECRET}))
    with pytest.raises((TransportError, MappingError)) as caught:
        async with asyncio.timeout(20):
            await client.send(request, operation="files.list")
    error = caught.value
    assert isinstance(error, TransportError | MappingError)
    assert error.message.startswith("files.list: ")
    assert error.operation == "files.list"
    assert error.hint
    assert error.request == request.masked()
    assert error.__context__ is None
    shown = "".join(traceback.format_exception(error)) + error.hint
    assert SECRET not in shown
    assert "canary-of-the-provider" not in shown
    return error


@contextlib.asynccontextmanager
async def turns_of_the_loop() -> AsyncIterator[list[float]]:
    """How long a task that always wants to run had to wait for its turn, in seconds.

    The time is the CPU time of the thread of the event loop: what else the machine is doing does not count.
    """
    turns: list[float] = []

    async def take_turns() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            turns.append(time.thread_time() - before)

    task = asyncio.create_task(take_turns())
    try:
        yield turns
    finally:
        task.cancel()


async def run_python(code: str, origin: str, **environment: str) -> str:
    """Run the body of a coroutine in a process of its own; give what it printed."""
    prelude = """
        import asyncio, resource, sys
        from connector.errors import TransportError
        from connector.messages import Request
        from runtime.http.client import Client
        from runtime.http.guard import Guard
        from runtime.config.settings import Limits
        origin = sys.argv[1]
        async def loopback(host, port):
            return ["127.0.0.1"]
        async def main():
        """
    program = textwrap.dedent(prelude) + textwrap.indent(textwrap.dedent(code), "    ") + "\nasyncio.run(main())\n"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, origin),
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


@pytest.mark.parametrize("path", ["/gzip", "/gzip-members", "/gzip-crumbs", "/deflate"])
async def test_a_compressed_body_is_inflated(provider: FaultServer, path: str) -> None:
    async with client_for(provider) as client:
        assert (await get(client, provider.url(path))).body == TEXT


async def test_a_body_of_exactly_one_step_and_an_empty_one_are_inflated(provider: FaultServer) -> None:
    async with client_for(provider) as client:
        assert (await get(client, provider.url("/gzip-of-one-step"))).body == bytes(256 * 1024)
        assert (await get(client, provider.url("/gzip-of-nothing"))).body == b""


async def test_T44_a_bomb_ends_at_the_limit_and_costs_no_more_memory_than_that(provider: FaultServer) -> None:
    limits = Limits(response_bytes=4 * MIB)
    async with client_for(provider, limits) as client:
        await failure_of(client, provider.url("/bomb"))  # once before: the server makes its bomb
        tracemalloc.start()
        try:
            error = await failure_of(client, provider.url("/bomb"))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert f"larger than {4 * MIB} bytes" in error.message
    assert peak < 8 * MIB, "the limit, a step, what was received, and room for the bytearray to grow"


async def test_T44_a_hundred_bombs_at_once_cost_64_MB_and_no_more(provider: FaultServer) -> None:
    output = await run_python(
        """
        async with Client(Guard({origin}), Limits(response_bytes=8 * 1024 * 1024)) as client:
            await client.send(Request("GET", origin + "/gzip"), operation="files.list")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            bombs = (client.send(Request("GET", origin + "/bomb"), operation="files.list") for _ in range(100))
            ends = await asyncio.gather(*bombs, return_exceptions=True)
            print({type(end).__name__ for end in ends}, {end.message for end in ends})
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        """,
        provider.origin,
    )
    kinds, growth = output.splitlines()
    assert kinds == "{'TransportError'} {'files.list: the answer is larger than 8388608 bytes'}"
    assert int(growth) <= 64 * 1024


async def test_T44_a_bomb_leaves_the_event_loop_to_the_others(provider: FaultServer) -> None:
    async with client_for(provider) as client:
        await failure_of(client, provider.url("/bomb"))  # once before: the server makes its bomb
        async with turns_of_the_loop() as turns:
            await asyncio.gather(*(failure_of(client, provider.url("/bomb")) for _ in range(8)))
    assert max(turns) <= 0.05


async def test_T44_a_body_in_chunks_of_one_byte_leaves_the_event_loop_to_the_others(provider: FaultServer) -> None:
    async with client_for(provider) as client, turns_of_the_loop() as turns:
        assert (await get(client, provider.url("/crumbs"))).body == b"x" * 40_000
    assert max(turns) <= 0.05


@pytest.mark.parametrize("path", ["/double-gzip", "/double-gzip-in-two-fields", "/brotli"])
async def test_T44_more_than_one_coding_or_an_unknown_one_is_refused_unread(provider: FaultServer, path: str) -> None:
    async with client_for(provider) as client:
        error = await failure_of(client, provider.url(path))
    assert isinstance(error, MappingError)
    assert "Content-Encoding" in error.message


@pytest.mark.parametrize(
    ("path", "words"), [("/gzip-cut", "ends too early"), ("/gzip-garbage", "does not match its Content-Encoding")]
)
async def test_T44_a_body_that_cannot_be_inflated_is_no_answer(provider: FaultServer, path: str, words: str) -> None:
    async with client_for(provider) as client:
        error = await failure_of(client, provider.url(path))
    assert isinstance(error, MappingError)
    assert words in error.message


@pytest.mark.parametrize("path", ["/huge", "/endless"])
async def test_T44_a_body_that_does_not_end_ends_at_the_limit(provider: FaultServer, path: str) -> None:
    async with client_for(provider, Limits(response_bytes=MIB)) as client:
        error = await failure_of(client, provider.url(path))
        assert "larger than" in error.message
        await provider.all_closed()


def inflate(coding: str, data: bytes, status: int = 200, step: int = 100) -> bytes:
    inflater = find_inflater(Headers({"Content-Encoding": coding}), status)
    if inflater is None:
        return data
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    found = b"".join(piece for each in pieces for piece in inflater.feed(each))
    if data:
        inflater.finish()
    return found


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return coder.compress(data) + coder.flush()


@pytest.mark.parametrize("step", [1, 100])
@pytest.mark.parametrize(
    ("coding", "data"),
    [
        pytest.param("deflate", raw_deflate(TEXT), id="without the zlib header"),
        pytest.param("deflate", zlib.compress(TEXT), id="with it"),
        pytest.param("gzip", gzip.compress(TEXT) + bytes(1000), id="padded"),
        pytest.param("gzip", gzip.compress(TEXT) + bytes(9) + gzip.compress(b""), id="padded between members"),
        pytest.param("utf-8", TEXT, id="a charset"),
    ],
)
def test_report_14_what_every_client_reads_is_read(coding: str, data: bytes, step: int) -> None:
    assert inflate(coding, data, step=step) == TEXT


@pytest.mark.parametrize("status", [304, 400, 503])
@pytest.mark.parametrize(
    ("coding", "data"), [("br", b"\x0b\x02"), ("gzip, gzip", b"x"), ("gzip", b"nonsense"), ("deflate", b"x")]
)
def test_report_14_the_status_of_a_failure_counts_whatever_its_body(coding: str, data: bytes, status: int) -> None:
    assert inflate(coding, data, status) == b""
    with pytest.raises(MappingError):
        inflate(coding, data, 200)


def test_report_14_an_answer_without_a_body_has_nothing_to_undo() -> None:
    assert inflate("br", b"", 204) == b""
    with pytest.raises(MappingError, match="an answer of 200 has a Content-Encoding"):
        inflate("br", b"x", 200)
