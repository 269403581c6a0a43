"""Servers on loopback that write the bytes they are given, and a connector that calls them.

    async with serving(play) as server:
        async with demo(tmp_path, server) as rt:
            await rt.call("demo", "s.get", {})

A play is a coroutine of a Peer: one connection as its server sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.runtime import Runtime


@dataclass
class Peer:
    """One connection as its server sees it; `number` counts them from 0."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> bytes:
        """The head of the next request; ConnectionError where none comes."""
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            raise ConnectionResetError from None

    async def request(self) -> tuple[bytes, bytes]:
        """Head and body (with Content-Length) of the next request."""
        head = await self.head()
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return head, await self.reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)

    async def write(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def answer(self, body: bytes = b'{"id":1}', status: str = "200 OK", *fields: bytes) -> None:
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % (status.encode(), len(body))
        await self.write(head, *(line + b"\r\n" for line in fields), b"\r\n", body)

    async def hang(self) -> None:
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        """Closes with RST in place of FIN."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Play = Callable[[Peer], Awaitable[None]]


@dataclass
class Raw:
    """A server, how many connections it has had, and how many are open."""

    port: int
    scheme: str = "http"
    connections: int = 0
    open: int = 0
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def all_closed(self) -> None:
        async with asyncio.timeout(5):
            while self.open:
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def serving(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Raw]:
    """Plays one after the other with each connection, whatever the client does meanwhile."""
    raw = Raw(0, "https" if tls else "http")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        raw.tasks.add(task)
        number, raw.connections, raw.open = raw.connections, raw.connections + 1, raw.open + 1
        try:
            await play(Peer(number, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            raw.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError, TimeoutError):
                await writer.wait_closed()
            raw.tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=2**22, backlog=500)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        tasks = list(raw.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


#: The operations of `demo`.
OPERATIONS: Mapping[str, Any] = {
    "get": {"method": "GET", "path": "get"},
    "other": {"method": "GET", "path": "other"},
    "head": {"method": "HEAD", "path": "get"},
    "make": {"method": "POST", "path": "make", "bodyTemplate": "{}"},
    "once": {"method": "POST", "path": "make", "bodyTemplate": "{}", "idempotent": {"header": "Idempotency-Key"}},
    "upload": {
        "method": "POST",
        "path": "upload",
        "headers": {"Content-Type": "application/octet-stream"},
        "bodyTemplate": {"value": "{{file}}", "placeholders": [{"name": "file", "type": "File", "required": True}]},
    },
    "listen": {"method": "GET", "path": "listen", "response": "binary"},
}


def demo(
    folder: Path, *servers: Raw | str, retry: int = 4, handles: tuple[str, ...] = ("demo",), **options: Any
) -> Runtime:
    """A runtime with a connector for each server: `demo`, or as the handles name them."""
    urls = {
        handle: server if isinstance(server, str) else server.url
        for handle, server in zip(handles, servers, strict=True)
    }
    for handle in handles:
        operations = {name: {**each, "retry": {"attempts": retry}} for name, each in OPERATIONS.items()}
        fields = [{"name": "id", "type": "Any"}]
        resource = {"handle": "s", "meta": {"short": "S"}, "endpoint": "/", "fields": fields, "operations": operations}
        service = {"baseURL": "https://api.example.com", "auth": {"method": "none", "params": {}}}
        text = json.dumps({"handle": handle, "service": service, "resources": [resource]})
        (folder / f"{handle}.json").write_text(text, "utf-8")
    return Runtime(folder, base_urls=urls, **{"environ": {}, **options})
