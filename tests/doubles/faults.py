"""A provider that misbehaves: a raw HTTP server on loopback where the path of a request names the fault.

    async with FaultServer() as server:
        await client.send(Request("GET", server.url("/drip")), operation="a.b")

`SCENARIOS` is the table of them. The server writes bytes itself, since no server library would write these. It listens
on a port of its own, records what it saw, and when its block ends no task or socket of it is left. Beside it stand two
sockets without HTTP: `Canary`, which must not be connected to, and `black_hole`, which never lets anyone in.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import json
import socket
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

MIB = 1024 * 1024

#: A body before and after gzip, for the scenarios that send a good one.
TEXT = b'{"object": "list", "data": [' + b'{"id": "file-1", "purpose": "batch"}, ' * 1000 + b"{}]}"


@dataclass(frozen=True)
class Received:
    """One request as it arrived: request line, header fields in lower case, body; and the name in the TLS greeting."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sni: str | None

    def values(self, name: str) -> list[str]:
        """Every value of one header field."""
        return [value for key, value in self.headers if key == name]


@dataclass
class Exchange:
    """What a scenario works with: the request, and the two directions of its connection."""

    request: Received
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    #: Whether the answer was a whole one, so that the connection can serve the next request.
    whole: bool = False

    async def write(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def answer(self, *fields: bytes, body: bytes = b"", status: bytes = b"200 OK") -> None:
        """Write a correct answer."""
        length = b"Content-Length: %d" % len(body)
        await self.write(b"\r\n".join((b"HTTP/1.1 " + status, length, *fields, b"", body)))
        self.whole = True

    async def hang(self) -> None:
        """Stay silent for as long as the other side keeps the connection."""
        await self.reader.read()

    def reset(self) -> None:
        """Close with RST in place of FIN."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Scenario = Callable[[Exchange], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(path: str) -> Callable[[Scenario], Scenario]:
    """Enter a coroutine into the table. When it returns, the connection is closed unless the answer was whole."""

    def enter(function: Scenario) -> Scenario:
        SCENARIOS[path] = function
        return function

    return enter


@functools.cache
def bomb(size: int = 300 * MIB) -> bytes:
    """Zeros in gzip, about a thousandth of `size` (hazard T44)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    zeros = bytes(MIB)
    return b"".join(packer.compress(zeros) for _ in range(size // MIB)) + packer.flush()


@scenario("/echo")
async def _echo(exchange: Exchange) -> None:
    request = exchange.request
    seen = {"line": request.line, "headers": request.headers, "body": request.body.decode("latin-1")}
    await exchange.answer(b"Content-Type: application/json", body=json.dumps(seen).encode())


@scenario("/gzip")
async def _gzip(exchange: Exchange) -> None:
    await exchange.answer(b"Content-Encoding: gzip", body=gzip.compress(TEXT))


@scenario("/gzip-members")
async def _gzip_members(exchange: Exchange) -> None:
    half = len(TEXT) // 2
    await exchange.answer(b"Content-Encoding: x-gzip", body=gzip.compress(TEXT[:half]) + gzip.compress(TEXT[half:]))


@scenario("/gzip-crumbs")
async def _gzip_crumbs(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
    await exchange.write(*(b"1\r\n%c\r\n" % byte for byte in gzip.compress(TEXT)), b"0\r\n\r\n")


@scenario("/deflate")
async def _deflate(exchange: Exchange) -> None:
    await exchange.answer(b"Content-Encoding: deflate", body=zlib.compress(TEXT))


@scenario("/gzip-of-one-step")
async def _gzip_of_one_step(exchange: Exchange) -> None:
    await exchange.answer(b"Content-Encoding: gzip", body=gzip.compress(bytes(256 * 1024)))


@scenario("/gzip-cut")
async def _gzip_cut(exchange: Exchange) -> None:
    await exchange.answer(b"Content-Encoding: gzip", body=gzip.compress(TEXT)[:-9])


@scenario("/gzip-garbage")
async def _gzip_garbage(exchange: Exchange) -> None:
    await exchange.answer(b"Content-Encoding: gzip", body=b"this is not gzip")


@scenario("/gzip-of-nothing")
async def _gzip_of_nothing(exchange: Exchange) -> None:
    await exchange.answer(b"Content-Encoding: gzip")


@scenario("/bomb")
async def _bomb(exchange: Exchange) -> None:
    await exchange.answer(b"Content-Encoding: gzip", body=bomb())


@scenario("/double-gzip")
async def _double_gzip(exchange: Exchange) -> None:
    await exchange.answer(b"Content-Encoding: gzip, gzip", body=gzip.compress(bomb()))


@scenario("/double-gzip-in-two-fields")
async def _double_gzip_in_two_fields(exchange: Exchange) -> None:
    await exchange.answer(b"Content-Encoding: gzip", b"Content-Encoding: gzip", body=gzip.compress(bomb()))


@scenario("/brotli")
async def _brotli(exchange: Exchange) -> None:
    await exchange.answer(b"Content-Encoding: br", body=b"\x0b\x02\x80hello\x03")


@scenario("/huge")
async def _huge(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while not exchange.writer.is_closing():
        await exchange.write(bytes(64 * 1024))


@scenario("/endless")
async def _endless(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not exchange.writer.is_closing():
        await exchange.write(b"10000\r\n", bytes(64 * 1024), b"\r\n")


@scenario("/crumbs")
async def _crumbs(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 40_000, b"0\r\n\r\n")


@scenario("/drip")
async def _drip(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not exchange.writer.is_closing():
        await exchange.write(b"x")
        await asyncio.sleep(0.01)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Bytes as one chunk of the chunked transfer coding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@scenario("/sse")
async def _sse(exchange: Exchange) -> None:
    await exchange.write(STREAM_HEAD, *(chunk(b'data: {"n": %d}\n\n' % number) for number in (1, 2)))
    await exchange.write(chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n")
    exchange.whole = True


@scenario("/sse-then-silence")
async def _sse_then_silence(exchange: Exchange) -> None:
    await exchange.write(STREAM_HEAD, chunk(b'data: {"n": 1}\n\n'))
    await exchange.hang()


@scenario("/sse-endless")
async def _sse_endless(exchange: Exchange) -> None:
    await exchange.write(STREAM_HEAD)
    while not exchange.writer.is_closing():
        await exchange.write(chunk(b'data: {"n": 1}\n\n'))
        await asyncio.sleep(0.01)


@scenario("/sse-one-huge")
async def _sse_one_huge(exchange: Exchange) -> None:
    await exchange.write(STREAM_HEAD, chunk(b"data: "))
    while not exchange.writer.is_closing():
        await exchange.write(chunk(b"x" * 64 * 1024))


@scenario("/sse-cut")
async def _sse_cut(exchange: Exchange) -> None:
    await exchange.write(STREAM_HEAD, chunk(b'data: {"n": 1}\n\n'))


@scenario("/sse-ended-early")
async def _sse_ended_early(exchange: Exchange) -> None:
    await exchange.write(STREAM_HEAD, chunk(b'data: {"n": 1}\n\n'), b"0\r\n\r\n")
    exchange.whole = True


@scenario("/sse-garbage")
async def _sse_garbage(exchange: Exchange) -> None:
    await exchange.write(STREAM_HEAD, chunk(b'data: {"n": 1}\n\ndata: {"n": 1e999}\n\n'), b"0\r\n\r\n")
    exchange.whole = True


@scenario("/sse-bomb")
async def _sse_bomb(exchange: Exchange) -> None:
    fields = b"Content-Type: text/event-stream", b"Content-Encoding: gzip"
    await exchange.answer(*fields, body=bomb())


@scenario("/sse-html")
async def _sse_html(exchange: Exchange) -> None:
    await exchange.answer(b"Content-Type: text/html", body=b"<title>Hello</title>")


@scenario("/drip-head")
async def _drip_head(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not exchange.writer.is_closing():
        await exchange.write(b"x")
        await asyncio.sleep(0.01)


@scenario("/drip-interim")
async def _drip_interim(exchange: Exchange) -> None:
    while not exchange.writer.is_closing():
        await exchange.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.01)


@scenario("/raw")
async def _raw(exchange: Exchange) -> None:
    await exchange.write(exchange.request.body)


@scenario("/half-open")
async def _half_open(exchange: Exchange) -> None:
    await exchange.hang()


@scenario("/half-a-body")
async def _half_a_body(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await exchange.hang()


@scenario("/short-body")
async def _short_body(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")


@scenario("/short-chunk")
async def _short_chunk(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this")


@scenario("/garbage")
async def _garbage(exchange: Exchange) -> None:
    await exchange.write(b"\x16\x03\x01 canary-of-the-provider \xff\r\n\r\n")


@scenario("/garbage-field")
async def _garbage_field(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\ncanary-of-the-provider\r\n\r\n")


@scenario("/two-lengths")
async def _two_lengths(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc")


@scenario("/length-and-chunked")
async def _length_and_chunked(exchange: Exchange) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    await exchange.write(head, b"2\r\nok\r\n0\r\n\r\n")
    await exchange.hang()


@scenario("/interim")
async def _interim(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
    await exchange.answer(body=b"ok")


@scenario("/interim-flood")
async def _interim_flood(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 5000)
    await exchange.answer(body=b"ok")
    await exchange.hang()


@scenario("/many-fields")
async def _many_fields(exchange: Exchange) -> None:
    await exchange.answer(*(b"X-Field-%d: %s" % (number, b"x" * 1000) for number in range(300)), body=b"ok")
    await exchange.hang()


@scenario("/some-fields")
async def _some_fields(exchange: Exchange) -> None:
    await exchange.answer(*(b"X-Field-%d: %s" % (number, b"x" * 1000) for number in range(40)), body=b"ok")


@scenario("/switch")
async def _switch(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n")
    await exchange.hang()


@scenario("/stray")
async def _stray(exchange: Exchange) -> None:
    stray = b"HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\nof another tenant: 4711"
    await exchange.write(b"HTTP/1.1 204 No Content\r\n\r\n", stray)
    exchange.whole = True


@scenario("/close")
async def _close(exchange: Exchange) -> None:
    exchange.writer.close()


@scenario("/reset")
async def _reset(exchange: Exchange) -> None:
    exchange.reset()


@scenario("/reset-in-body")
async def _reset_in_body(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
    await asyncio.sleep(0.01)  # a reset overtakes what the other side has not read yet
    exchange.reset()


@scenario("/cookie")
async def _cookie(exchange: Exchange) -> None:
    await exchange.answer(b"Set-Cookie: sid=tenantA; Path=/", body=b"ok")


@scenario("/unauthorized")
async def _unauthorized(exchange: Exchange) -> None:
    await exchange.answer(b'WWW-Authenticate: Basic realm="x"', status=b"401 Unauthorized")


@scenario("/redirect-inside")
async def _redirect_inside(exchange: Exchange) -> None:
    await exchange.answer(b"Location: http://169.254.169.254/latest/meta-data/", status=b"302 Found")


@scenario("/redirect-post")
async def _redirect_post(exchange: Exchange) -> None:
    await exchange.answer(b"Location: /echo", status=b"307 Temporary Redirect")


@scenario("/redirect-file")
async def _redirect_file(exchange: Exchange) -> None:
    await exchange.answer(b"Location: file:///etc/passwd", status=b"302 Found")


@scenario("/redirect-loop")
async def _redirect_loop(exchange: Exchange) -> None:
    await exchange.answer(b"Location: /redirect-loop", status=b"302 Found")


@scenario("/redirect-nowhere")
async def _redirect_nowhere(exchange: Exchange) -> None:
    await exchange.answer(status=b"302 Found")


@dataclass
class FaultServer:
    """See the module. `requests` are those that arrived, `connections` counts the accepted ones."""

    tls: ssl.SSLContext | None = None
    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = 0
    connections: int = 0
    requests: list[Received] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._sni: str | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._all_closed = asyncio.Event()
        if self.tls is not None:
            self.scheme = "https"
            self.tls.sni_callback = self._note_name
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def url(self, path: str) -> str:
        return self.origin + path

    async def all_closed(self) -> None:
        """Wait until the other side has given up every connection; TimeoutError if it keeps one."""
        async with asyncio.timeout(10):
            await self._all_closed.wait()

    def _note_name(self, _sock: object, name: str | None, _context: object) -> None:
        self._sni = name

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self._open.add(task)
        self._all_closed.clear()
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while (request := await self._read_request(reader)) is not None:
                    self.requests.append(request)
                    exchange = Exchange(request, reader, writer)
                    await SCENARIOS[request.line.split()[1].partition("?")[0]](exchange)
                    if not exchange.whole:
                        break
        except asyncio.CancelledError:
            pass  # the block of the server ended
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            self._open.discard(task)
            if not self._open:
                self._all_closed.set()

    async def _read_request(self, reader: asyncio.StreamReader) -> Received | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        line, *rest = head.decode("latin-1").split("\r\n")[:-2]
        pairs = tuple((name.lower(), value) for name, _, value in (each.partition(": ") for each in rest))
        if ("transfer-encoding", "chunked") in pairs:
            return Received(line, pairs, await _read_chunked(reader), self._sni)
        length = int(dict(pairs).get("content-length", 0))
        return Received(line, pairs, await reader.readexactly(length), self._sni)


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


@contextlib.asynccontextmanager
async def canary() -> AsyncIterator[Canary]:
    """A port on every loopback address that counts who connects."""
    seen = Canary()

    async def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        await server.wait_closed()


@dataclass
class Canary:
    """How often a port that nobody may connect to was connected to."""

    port: int = 0
    connections: int = 0


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port that answers no connection attempt: its queue is full and nobody accepts (Linux drops the SYN)."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
