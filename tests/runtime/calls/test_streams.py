"""Streams of providers that misbehave, over real sockets; what is sent piece by piece; files that come so."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connector.errors import BlockedAddress, MappingError, ResponseError, TransportError
from connector.messages import Chunk, Request
from runtime.config.settings import Limits
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.runtime import Runtime
from tests.doubles.faults import MIB, FaultServer
from tests.doubles.streaming import SECRET, runtime_for

pytestmark = pytest.mark.anyio


@pytest.fixture
async def provider() -> AsyncIterator[FaultServer]:
    async with FaultServer() as server:
        yield server


def reading(path: str, **more: Any) -> dict[str, Any]:
    return {"method": "GET", "path": path, "response": {"kind": "sse", "done": "[DONE]"}, **more}


async def collect(runtime: Runtime, operation: str = "s.read", inputs: dict[str, Any] | None = None) -> list[Chunk]:
    async with asyncio.timeout(20):
        return [chunk async for chunk in runtime.stream("demo", operation, inputs or {})]


async def test_each_message_is_a_chunk_as_it_comes(provider: FaultServer, tmp_path: Path) -> None:
    async with runtime_for(provider, tmp_path, read=reading("sse")) as runtime:
        assert await collect(runtime) == [Chunk(fields={"n": 1}, raw={"n": 1}), Chunk(fields={"n": 2}, raw={"n": 2})]
    assert provider.requests[0].values("accept") == ["text/event-stream"]
    assert provider.requests[0].values("authorization") == [f"Bearer {SECRET}"]


async def test_a_call_gives_the_chunks_together(provider: FaultServer, tmp_path: Path) -> None:
    async with runtime_for(provider, tmp_path, read=reading("sse")) as runtime:
        result = await runtime.call("demo", "s.read", {})
    assert (result.fields, result.raw) == ({"n": 2}, [{"n": 1}, {"n": 2}])


async def test_a_json_operation_may_answer_with_a_stream(provider: FaultServer, tmp_path: Path) -> None:
    async with runtime_for(provider, tmp_path, read={"method": "GET", "path": "sse"}) as runtime:
        assert [chunk.fields for chunk in await collect(runtime)] == [{"n": 1}, {"n": 2}]


async def test_one_document_is_one_chunk(provider: FaultServer, tmp_path: Path) -> None:
    fields = [{"name": "line", "type": "String", "selector": ["line"]}]
    operations = {"read": {"method": "GET", "path": "echo", "fields": fields}}
    async with runtime_for(provider, tmp_path, **operations) as runtime:
        assert [chunk.fields for chunk in await collect(runtime)] == [{"line": "GET /echo HTTP/1.1"}]


async def test_records_that_came_whole_are_a_chunk_each(provider: FaultServer, tmp_path: Path) -> None:
    operations = {"read": {"method": "GET", "path": "gzip", "records": ["data"], "fields": [{"name": "id"} | ID]}}
    async with runtime_for(provider, tmp_path, **operations) as runtime:
        chunks = await collect(runtime)
    assert (len(chunks), chunks[0].fields) == (1001, {"id": "file-1"})


ID = {"type": "String", "selector": ["id"]}
QUICK = Limits(deadline=5, idle=0.2, stream_deadline=0.4, stream_bytes=4 * MIB, message_bytes=MIB)


@pytest.mark.parametrize(
    ("path", "message", "kind"),
    [
        pytest.param("sse-then-silence", "silent for 0.2 s", TransportError, id="P4-silence"),
        pytest.param("sse-endless", "did not end within 0.4 s", TransportError, id="T45-endless"),
        pytest.param("sse-one-huge", "larger than 1048576 bytes", MappingError, id="T44-one huge message"),
        pytest.param("sse-bomb", "larger than", (TransportError, MappingError), id="T44-bomb"),
        pytest.param("sse-cut", "broke off after", TransportError, id="T46-cut"),
        pytest.param("sse-ended-early", "ended before '[DONE]'", MappingError, id="P5-ended early"),
        pytest.param("sse-garbage", "a number is too large", MappingError, id="T47-a message"),
        pytest.param("sse-html", "it is not a stream", MappingError, id="T48-another type"),
    ],
)
async def test_a_stream_that_misbehaves_ends_with_its_reason(
    provider: FaultServer, tmp_path: Path, path: str, message: str, kind: Any
) -> None:
    async with runtime_for(provider, tmp_path, QUICK, read=reading(path)) as runtime:
        with pytest.raises(kind) as caught:
            await collect(runtime)
        assert message in caught.value.message
        assert caught.value.message.startswith("demo s.read: ")
        assert caught.value.request is not None
        assert SECRET not in repr(dict(caught.value.request.headers))
        if path not in {"sse-ended-early", "sse-garbage", "sse-html"}:
            await provider.all_closed()


async def test_T44_a_bomb_in_a_stream_needs_little_memory(provider: FaultServer, tmp_path: Path) -> None:
    limits = Limits(stream_bytes=1024 * MIB, message_bytes=MIB)
    async with runtime_for(provider, tmp_path, limits, read=reading("sse-bomb")) as runtime:
        tracemalloc.start()
        try:
            with pytest.raises(MappingError, match="larger than"):
                await collect(runtime)
            assert tracemalloc.get_traced_memory()[1] < 16 * MIB
        finally:
            tracemalloc.stop()


async def test_leaving_a_stream_closes_its_connection(provider: FaultServer, tmp_path: Path) -> None:
    async with runtime_for(provider, tmp_path, read=reading("sse-then-silence")) as runtime:
        stream = runtime.stream("demo", "s.read", {})
        assert (await anext(stream)).fields == {"n": 1}
        await stream.aclose()
        await provider.all_closed()


async def test_a_cancelled_stream_closes_its_connection(provider: FaultServer, tmp_path: Path) -> None:
    async with runtime_for(provider, tmp_path, read=reading("sse-then-silence")) as runtime:
        seen = asyncio.Event()

        async def follow() -> None:
            async for _ in runtime.stream("demo", "s.read", {}):
                seen.set()

        task = asyncio.create_task(follow())
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await provider.all_closed()


async def test_a_refusal_is_raised_before_the_first_chunk(provider: FaultServer, tmp_path: Path) -> None:
    async with runtime_for(provider, tmp_path, read=reading("unauthorized")) as runtime:
        with pytest.raises(ResponseError) as caught:
            await collect(runtime)
    assert caught.value.status == 401


async def test_a_binary_answer_comes_in_pieces(provider: FaultServer, tmp_path: Path) -> None:
    operations = {"read": {"method": "GET", "path": "gzip-of-one-step", "response": "binary"}}
    async with runtime_for(provider, tmp_path, **operations) as runtime:
        pieces = await collect(runtime)
        whole = await runtime.call("demo", "s.read", {})
    assert b"".join(piece.raw for piece in pieces) == whole.raw == bytes(256 * 1024)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("half-open", "no answer within 0.3 s", id="P4-half open"),
        pytest.param("length-and-chunked", "its length twice", id="T46-two lengths"),
        pytest.param("close", "closed before the head", id="T46-closed"),
        pytest.param("garbage", "HTTP/1.1", id="P5-garbage"),
    ],
)
async def test_a_stream_whose_head_is_bad_never_begins(
    provider: FaultServer, tmp_path: Path, path: str, message: str
) -> None:
    no_more = {"retry": {"attempts": 1}}
    async with runtime_for(provider, tmp_path, Limits(deadline=0.3), read=reading(path, **no_more)) as runtime:
        with pytest.raises(TransportError, match=message) as caught:
            await collect(runtime)
        assert caught.value.__context__ is None or path == "close"
        await provider.all_closed()


async def test_another_origin_is_refused_before_a_stream_is_opened(provider: FaultServer) -> None:
    async with Client(Guard({provider.origin})) as client:
        with pytest.raises(BlockedAddress):
            async with client.stream(Request("GET", provider.url("/sse")), operation="a.b", origin="https://x.example"):
                pass
    assert provider.connections == 0
