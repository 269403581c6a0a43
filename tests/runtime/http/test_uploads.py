"""Files that are read while they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connector.errors import InputError
from connector.messages import Request, Stream
from runtime.http import uploads
from tests.doubles.faults import MIB, FaultServer
from tests.doubles.streaming import runtime_for

pytestmark = pytest.mark.anyio


@pytest.fixture
async def provider() -> AsyncIterator[FaultServer]:
    async with FaultServer() as server:
        yield server


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


async def drain(stream: Stream) -> bytes:
    return b"".join([block async for block in uploads.read_stream(stream)])


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
