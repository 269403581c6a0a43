"""The network under the client: which connection a request takes, and what stands in for all of them.

A Transport takes a request as far as the head of its answer. The real one is a pool of connections on which h11 speaks
HTTP/1.1, and a transport of httpx2 can stand in for it. Reading bodies, time limits and the words for what went wrong
are the client's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, NamedTuple, Protocol, cast

import h11
import httpx2 as httpx

from connector.errors import TransportError
from connector.messages import Request, Stream
from runtime.config.settings import Limits
from runtime.http.guard import Guard, Origin
from runtime.http.uploads import read_stream
from runtime.http.wire import MAYBE_SENT, Wire, connect

#: Header fields as they travel.
Fields = list[tuple[bytes, bytes]]


class ByteStream(Protocol):
    """The body of an answer as it comes."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Its pieces."""

    async def aclose(self) -> None:
        """Lets the connection go."""


class HttpAnswer(NamedTuple):
    """The head of an answer, and its body yet to be read."""

    status: int
    fields: Fields
    stream: ByteStream


class Attempt:
    """How far one attempt to send a request has come, for the caller that stops waiting for it.

    `sent` is False while no byte of the request can have left, and `step` is what the attempt waits for until then.
    """

    __slots__ = ("sent", "step")

    def __init__(self) -> None:
        self.sent = False
        self.step = "being prepared"


class Transport(Protocol):
    """The seam: what is put here sends a request as far as the head of its answer. Another HTTP library fits in."""

    async def open(self, request: Request, fields: Fields, attempt: Attempt) -> HttpAnswer:
        """Sends the request, keeping `attempt` up to date; returns the head of its answer."""

    async def aclose(self) -> None:
        """Closes every connection."""


class Httpx2Transport:
    """A transport of httpx2 that stands in for the network."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self.aclose = transport.aclose

    async def open(self, request: Request, fields: Fields, attempt: Attempt) -> HttpAnswer:
        """Hands the request to the stand-in."""
        attempt.sent = True  # nothing is known of what it does
        content = read_stream(request.body) if isinstance(request.body, Stream) else request.body
        answer = await self._transport.handle_async_request(
            httpx.Request(request.method, request.url, headers=fields, content=content)
        )
        return HttpAnswer(answer.status_code, answer.headers.raw, cast("ByteStream", answer.stream))


class Network:
    """The real network: connections made through the guard, each kept for the next request to its origin."""

    def __init__(self, guard: Guard, limits: Limits, ssl_context: ssl.SSLContext) -> None:
        self._guard = guard
        self._limits = limits
        self._ssl = ssl_context
        self._ssl.set_alpn_protocols(["http/1.1"])
        #: As many as may be in use at once.
        self._places = asyncio.Semaphore(limits.connections)
        self._taken = 0
        self._busy: set[_Connection] = set()
        self._idle = _Idle()

    async def open(self, request: Request, fields: Fields, attempt: Attempt) -> HttpAnswer:
        """Sends the request over a connection that is kept, or a new one that the guard allows."""
        destination = self._guard.check(request.url)
        origin = destination.origin
        if "host" not in request.headers:
            fields.insert(0, (b"Host", origin.authority.encode("ascii")))
        head = h11.Request(method=request.method, target=destination.target, headers=fields)
        connection = await self._take(origin, attempt)
        attempt.step = "waiting for the source of its body"
        try:
            try:
                answer = await connection.ask(head, request.body)
            finally:
                attempt.sent = connection.wire.sent
        except BaseException:
            connection.close()
            self._give_back(connection)
            raise
        stream = _Body(connection, functools.partial(self._give_back, connection))
        return HttpAnswer(answer.status_code, answer.headers.raw_items(), stream)

    async def aclose(self) -> None:
        """Closes every connection, those in use as well."""
        for connection in self._busy:
            connection.close()
        self._idle.close(keep=0)
        await asyncio.sleep(0)  # their sockets are closed in the next turn of the loop

    async def _take(self, origin: Origin, attempt: Attempt) -> _Connection:
        """A connection to an origin for one request; waits while as many as there may be are in use."""
        attempt.step = f"waiting for one of the {self._limits.connections} connections, which are all in use"
        await self._places.acquire()
        self._taken += 1
        try:
            self._idle.close(older=time.monotonic() - self._limits.keepalive)
            while (connection := self._idle.take(origin)) is not None and not connection.wire.is_quiet():
                connection.close()
            if connection is None:
                self._idle.close(keep=self._limits.connections - self._taken)
                attempt.step = f"connecting to {origin.host} port {origin.port}"
                wire = await connect(self._guard, origin, self._limits, self._ssl)
                connection = _Connection(origin, wire, self._limits.head_bytes)
        except BaseException:
            self._leave()
            raise
        self._busy.add(connection)
        return connection

    def _give_back(self, connection: _Connection) -> None:
        self._busy.remove(connection)
        self._leave()
        if connection.begin_again():
            self._idle.put(connection)
        else:
            connection.close()

    def _leave(self) -> None:
        self._taken -= 1
        self._places.release()


class _Idle:
    """Connections that wait for a request: found by their origin, given up by the time that they have waited."""

    def __init__(self) -> None:
        #: Since when each waits, the one that has waited longest first; by a clock that never goes back.
        self._since: dict[_Connection, float] = {}
        self._of: dict[Origin, list[_Connection]] = {}

    def put(self, connection: _Connection) -> None:
        self._since[connection] = time.monotonic()
        self._of.setdefault(connection.origin, []).append(connection)

    def take(self, origin: Origin) -> _Connection | None:
        """The connection to that origin that was used last."""
        waiting = self._of.get(origin)
        return self._remove(waiting[-1]) if waiting else None

    def close(self, *, keep: float = math.inf, older: float = -math.inf) -> None:
        """Closes those that have waited longest: all but so many, and those that wait since before that time."""
        while self._since:
            connection, since = next(iter(self._since.items()))
            if len(self._since) <= keep and since >= older:
                return
            self._remove(connection).close()

    def _remove(self, connection: _Connection) -> _Connection:
        del self._since[connection]
        waiting = self._of[connection.origin]
        waiting.remove(connection)
        if not waiting:
            del self._of[connection.origin]
        return connection


class _Connection:
    """A wire on which h11 speaks HTTP/1.1, one request and its answer after the other."""

    def __init__(self, origin: Origin, wire: Wire, head_bytes: int) -> None:
        self.origin = origin
        self.wire = wire
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=head_bytes)
        self._closed = False

    async def ask(self, head: h11.Request, body: bytes | Stream | None) -> h11.Response:
        """Sends a request; gives the head of its answer."""
        with contextlib.suppress(ConnectionResetError):  # who closes the connection may have answered before
            await self._send(head, body)
        while isinstance(event := await self.receive(), h11.InformationalResponse):
            if event.status_code == 101:
                message = "the host switched to another protocol than HTTP"
                raise TransportError(message, hint=MAYBE_SENT, temporary=False)
        self.wire.end_head()
        return cast("h11.Response", event)

    async def _send(self, head: h11.Request, body: bytes | Stream | None) -> None:
        wire, send = self.wire, self._protocol.send
        wire.begin(send(head) or b"")
        if isinstance(body, Stream):
            async with contextlib.aclosing(read_stream(body)) as pieces:
                async for piece in pieces:
                    await wire.write(send(h11.Data(piece)) or b"")
        elif body:
            await wire.write(send(h11.Data(body)) or b"")
        await wire.write(send(h11.EndOfMessage()) or b"")

    async def receive(self) -> Any:
        """What h11 makes of what comes next."""
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            self._protocol.receive_data(await self.wire.read())
        return event

    def begin_again(self) -> bool:
        """True if both sides are done with a request and its answer, and another request may follow.

        Bytes behind the answer would be read as the next one (hazard T46), so they end the connection: what h11 holds,
        even if it is only the beginning of a head, and what it has not received yet.
        """
        protocol = self._protocol
        done = not self._closed and protocol.our_state is protocol.their_state is h11.DONE
        if not done or protocol.trailing_data[0] or self.wire.holds_bytes:
            return False
        protocol.start_next_cycle()
        self.wire.sent = False
        return True

    def close(self) -> None:
        """Ends the connection."""
        self._closed = True
        self.wire.close()


class _Body:
    """The body of an answer; it lets its connection go once."""

    def __init__(self, connection: _Connection, let_go: Callable[[], None]) -> None:
        self._connection = connection
        self._let_go: Callable[[], None] | None = let_go

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        while isinstance(event := await self._connection.receive(), h11.Data):
            yield bytes(event.data)

    async def aclose(self) -> None:
        let_go, self._let_go = self._let_go, None
        if let_go is not None:
            let_go()


@functools.cache
def system_trust() -> ssl.SSLContext:
    """TLS that trusts the certificate authorities of the system, whatever the environment says."""
    # Not `httpcore2.default_ssl_context()`: that one obeys SSL_CERT_FILE and SSL_CERT_DIR (hazard T41).
    return httpx.create_ssl_context(trust_env=False)
