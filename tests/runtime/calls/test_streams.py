"""Streams of providers that misbehave, over real sockets; what is sent piece by piece; files that come so."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connector.errors import BlockedAddress, InputError, MappingError, ResponseError, TransportError
from connector.messages import Chunk, Request, Stream
from runtime.config.settings import Limits, Settings
from runtime.http import uploads
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.runtime import Runtime
from tests.doubles.faults import MIB, FaultServer

pytestmark = pytest.mark.anyio

SECRET = "canary-of-a-secret"
N = [{"name": "n", "type": "Integer", "selector": ["n"]}]


@pytest.fixture
async def provider() -> AsyncIterator[FaultServer]:
    async with FaultServer() as server:
        yield server


def definition(**operations: Any) -> dict[str, Any]:
    auth = {"method": "bearer", "params": {"token": "{{token}}"}}
    resource = {"handle": "s", "meta": {"short": "S"}, "endpoint": "/", "fields": N, "operations": operations}
    return {"handle": "demo", "service": {"baseURL": "https://api.example.com", "auth": auth}, "resources": [resource]}


def reading(path: str, **more: Any) -> dict[str, Any]:
    return {"method": "GET", "path": path, "response": {"kind": "sse", "done": "[DONE]"}, **more}


@contextlib.asynccontextmanager
async def runtime_for(
    provider: FaultServer, folder: Path, limits: Limits | None = None, **operations: Any
) -> AsyncIterator[Runtime]:
    (folder / "demo.json").write_text(json.dumps(definition(**operations)), "utf-8")
    settings = Settings(limits=limits or Limits(), base_urls={"demo": provider.origin})
    async with Runtime(folder, settings=settings, secrets={"demo": {"token": SECRET}}) as runtime:
        yield runtime


async def collect(runtime: Runtime, operation: str = "s.read", inputs: dict[str, Any] | None = None) -> list[Chunk]:
    async with asyncio.timeout(20):
        return [chunk async for chunk in runtime.stream("demo", operation, inputs or {})]


async def test_each_message_is_a_chunk_as_it_comes(provider: FaultServer, tmp_path: Path) -> None:
    async with runtime_for(provider, tmp_path, read=reading("sse")) as runtime:
        assert await collect(runtime) == [Chunk({"n": 1}, {"n": 1}), Chunk({"n": 2}, {"n": 2})]
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


def sending(template: Any, content_type: str) -> dict[str, Any]:
    body = {"value": template, "placeholders": [{"name": "file", "type": "File", "required": True}]}
    headers = {"Content-Type": content_type}
    return {"method": "POST", "path": "echo", "headers": headers, "bodyTemplate": body, "fields": []}


BINARY = sending("{{file}}", "application/octet-stream")
PARTS = sending({"file": "{{file}}"}, "multipart/form-data")
TEXT = sending({"file": "{{file}}"}, "application/json")


async def of(*pieces: Any) -> AsyncIterator[Any]:
    for piece in pieces:
        yield piece


async def test_a_path_is_sent_with_its_length(provider: FaultServer, tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(bytes(range(256)) * 4096)
    async with runtime_for(provider, tmp_path, send=BINARY) as runtime:
        await runtime.call("demo", "s.send", {"file": file})
    assert provider.requests[0].body == file.read_bytes()
    assert provider.requests[0].values("content-length") == [str(MIB)]


async def test_an_iterator_is_sent_in_chunks(provider: FaultServer, tmp_path: Path) -> None:
    async with runtime_for(provider, tmp_path, send=BINARY) as runtime:
        await runtime.call("demo", "s.send", {"file": of(b"one ", b"two")})
    assert provider.requests[0].body == b"one two"
    assert provider.requests[0].values("content-length") == []


async def test_a_file_stands_between_the_boundaries(provider: FaultServer, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"x,y")
    async with runtime_for(provider, tmp_path, send=PARTS) as runtime:
        await runtime.call("demo", "s.send", {"file": file})
    received = provider.requests[0]
    boundary = received.values("content-type")[0].partition("boundary=")[2].encode()
    assert received.body.startswith(b"--" + boundary + b"\r\n")
    assert b'filename="a.csv"' in received.body
    assert received.body.endswith(b"\r\n\r\nx,y\r\n--" + boundary + b"--\r\n")


async def test_a_path_is_read_beforehand_where_the_body_is_in_memory(provider: FaultServer, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"text")
    async with runtime_for(provider, tmp_path, send=TEXT) as runtime:
        assert runtime.render("demo", "s.send", {"file": file}).json == {"file": "text"}
        with pytest.raises(InputError, match="no such file"):
            await runtime.call("demo", "s.send", {"file": tmp_path / "gone"})
    assert provider.requests == []


@pytest.mark.parametrize(
    ("source", "message"),
    [(Path("gone"), "no such file"), (of("text"), "an iterator of a file yields bytes")],
    ids=["a path", "an iterator of text"],
)
async def test_a_source_that_cannot_be_read_is_an_input_error(
    provider: FaultServer, tmp_path: Path, source: Any, message: str
) -> None:
    async with runtime_for(provider, tmp_path, send=BINARY) as runtime:
        with pytest.raises(InputError, match=message):
            await runtime.call("demo", "s.send", {"file": source})


async def drain(stream: Stream) -> bytes:
    return b"".join([block async for block in uploads.read_stream(stream)])


async def test_an_iterator_is_not_sent_twice() -> None:
    stream = Stream((b"a", of(b"b")))
    assert await drain(stream) == b"ab"
    with pytest.raises(InputError, match="only once"):
        await drain(stream)


async def test_T13_a_file_that_holds_the_boundary_is_refused() -> None:
    with pytest.raises(InputError, match="boundary"):
        await drain(Stream((of(b"x--bound", b"ary"),), b"--boundary"))
    assert await drain(Stream((of(b"x--bound", b"less"),), b"--boundary")) == b"x--boundless"


async def test_a_file_that_vanishes_or_shrinks_is_an_input_error(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    with pytest.raises(InputError, match="no such file"):
        await drain(Stream((file,)))
    file.write_bytes(bytes(2 * uploads.BLOCK))
    blocks = uploads.read_stream(Stream((file,)))
    await anext(blocks)
    file.write_bytes(b"")
    with pytest.raises(InputError, match="shorter"):
        await anext(blocks)


def test_a_stream_in_memory_and_on_disk_has_a_length(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"four")
    assert uploads.find_length(Stream((b"123", file))) == 7
    assert uploads.find_length(Stream((b"123", of(b"x")))) is None


def test_a_request_with_a_stream_is_shown_and_masked() -> None:
    request = Request(
        "POST", "https://x.example/", body=Stream((b"s3cret", Path("a.txt"))), secrets=frozenset({"s3cret"})
    )
    assert request.masked().text == "***<content of a.txt>"
    assert request.json is None
    assert request == Request("POST", "https://x.example/", body=Stream((b"s3cret", Path("a.txt"))))


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
