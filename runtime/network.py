"""The network under the client: connections made through the egress guard, and the head of each answer watched.

With the client, these are the only modules that know httpx2 and httpcore2. A Transport takes a request as far as the
head of its answer; the real one is a pool of connections, and a transport of httpx2 can stand in for it. Reading
bodies, time limits and the words for what went wrong are the client's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, NamedTuple, Protocol, cast

import httpcore2 as httpcore
import httpx2 as httpx

from connector.errors import TransportError
from connector.messages import Request, Stream
from runtime.guard import Guard
from runtime.settings import Limits
from runtime.uploads import read_stream

#: Hints of errors: whether a call that failed can be made again.
NOT_SENT: Final = "the request was not sent, so it is safe to try again"
MAYBE_SENT: Final = "the request may have been carried out; unless it is idempotent, look before sending it again"

#: Connections of one pool at most.
_POOL: Final = 32

#: Header fields as they travel.
Fields = list[tuple[bytes, bytes]]


class ByteStream(Protocol):
    """The body of an answer as it comes."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Its pieces."""

    async def aclose(self) -> None:
        """Lets the connection go."""


class Answer(NamedTuple):
    """The head of an answer, and its body yet to be read."""

    status: int
    fields: Fields
    stream: ByteStream


class Transport(Protocol):
    """The seam: what is put here sends a request as far as the head of its answer. Another HTTP library fits in."""

    async def open(self, request: Request, fields: Fields) -> Answer:
        """Sends the request; gives the head of its answer."""

    async def aclose(self) -> None:
        """Closes every connection."""


class Substitute:
    """A transport of httpx2 that stands in for the network."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self.aclose = transport.aclose

    async def open(self, request: Request, fields: Fields) -> Answer:
        """Hands the request to the stand-in."""
        answer = await self._transport.handle_async_request(
            httpx.Request(request.method, request.url, headers=fields, content=_content(request))
        )
        return Answer(answer.status_code, answer.headers.raw, cast("ByteStream", answer.stream))


class Network:
    """The real network: pools of connections of httpcore2's, each connection made through the guard.

    Whenever a request begins or ends, httpcore2 looks at every connection of its pool, so that hundreds at work in one
    pool would keep the event loop from all else. Here a pool has few; a request goes to the pool that its origin
    always goes to, where the connections are that can be used again, or to the next one that is not full.
    """

    def __init__(self, guard: Guard, limits: Limits, ssl_context: ssl.SSLContext) -> None:
        self._guard = guard
        self._extensions = {"timeout": {"connect": limits.connect}}
        count = -(-limits.connections // _POOL)
        backend = _GuardedBackend(guard, limits.head_bytes)
        self._pools = [
            _Pool(
                httpcore.AsyncConnectionPool(
                    ssl_context=ssl_context,
                    max_connections=size,
                    keepalive_expiry=limits.keepalive,
                    network_backend=backend,
                ),
                size,
            )
            for size in (limits.connections // count + (place < limits.connections % count) for place in range(count))
        ]
        # At DEBUG its logger shows the header fields of answers, and values of requests that it refused (hazard T55).
        # A level that somebody set for it by name stays.
        logger = logging.getLogger("httpcore2")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)

    async def open(self, request: Request, fields: Fields) -> Answer:
        """Sends the request over a connection of a pool, or a new one that the guard allows."""
        destination = self._guard.check(request.url)
        origin = destination.origin
        if "host" not in request.headers:
            fields.insert(0, (b"Host", origin.authority.encode("ascii")))
        url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=destination.target)
        answer = await self._find_pool(origin.authority).open(
            httpcore.Request(
                request.method, url, headers=fields, content=_content(request), extensions=self._extensions
            )
        )
        stream = cast("ByteStream", answer.stream)
        wire = answer.extensions["network_stream"]
        try:
            if not isinstance(wire, _Wire):
                raise TransportError(
                    "the host switched to another protocol than HTTP", hint=MAYBE_SENT, temporary=False
                )
            wire.end_head()
        except TransportError:
            await stream.aclose()
            raise
        return Answer(answer.status, answer.headers, stream)

    def _find_pool(self, authority: str) -> _Pool:
        count, home = len(self._pools), hash(authority)
        for place in range(count):
            pool = self._pools[(home + place) % count]
            if pool.at_work < pool.size:
                return pool
        return self._pools[home % count]

    async def aclose(self) -> None:
        """Closes every connection."""
        for pool in self._pools:
            await pool.aclose()


class _Pool:
    """A pool, and how many requests it is at work with."""

    def __init__(self, pool: httpcore.AsyncConnectionPool, size: int) -> None:
        self._pool = pool
        self.aclose = pool.aclose
        self.size = size
        self.at_work = 0

    async def open(self, request: httpcore.Request) -> httpcore.Response:
        """The head of the answer; the request is at work until its stream is closed."""
        self.at_work += 1
        try:
            answer = await self._pool.handle_async_request(request)
        except BaseException:
            self.at_work -= 1
            raise
        answer.stream = _Counted(cast("ByteStream", answer.stream), self)
        return answer


class _Counted:
    """A body that says to its pool when it is done with."""

    def __init__(self, stream: ByteStream, pool: _Pool) -> None:
        self._stream = stream
        self._pool: _Pool | None = pool

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        if self._pool is not None:
            self._pool.at_work -= 1
            self._pool = None
        await self._stream.aclose()


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Makes connections to addresses the guard gave; the name stays where it belongs, in SNI and Host (T34)."""

    def __init__(self, guard: Guard, head_bytes: int) -> None:
        self._guard = guard
        self._head_bytes = head_bytes
        self._tcp = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout) as clock:
                addresses = await self._guard.resolve(host, port)
                share = None if timeout is None else timeout / len(addresses)
                for address in addresses:
                    with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                        connecting = self._tcp.connect_tcp(address, port, share, local_address, socket_options)
                        return _Wire(await connecting, self._head_bytes, clock.when())
        except TimeoutError:
            message = f"no connection to {host} port {port} in the time allowed for it, {timeout:g} s"
            raise TransportError(message, hint=NOT_SENT, sent=False) from None
        except OSError:
            message = f"the name {host} could not be resolved"
            raise TransportError(message, hint=f"check its spelling; {NOT_SENT}", sent=False) from None
        message = f"no connection to {host} port {port}: none of its {len(addresses)} addresses accepted one"
        raise TransportError(message, hint=NOT_SENT, sent=False)


class _Wire(httpcore.AsyncNetworkStream):
    """A connection that watches the head of each answer: its size, and that it did not come before the request.

    h11 limits one head, but takes any number of interim answers (hazard T46).
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, head_bytes: int, connect_by: float | None = None) -> None:
        self._stream = stream
        self._head_bytes = head_bytes
        #: When the connection, TLS included, must be there; by the clock of the event loop.
        self._connect_by = connect_by
        #: Bytes the head may still have; None once it is complete.
        self._left: int | None = head_bytes

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._left = self._head_bytes
        await self._stream.write(buffer, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._left is None:
            return await self._stream.read(max_bytes, timeout)
        if not self._left:
            message = f"the head of the answer is larger than {self._head_bytes} bytes"
            raise TransportError(message, hint=MAYBE_SENT, temporary=False)
        data = await self._stream.read(min(max_bytes, self._left), timeout)
        if not data:
            message = "the connection was closed before the head of an answer was complete"
            raise TransportError(message, hint=MAYBE_SENT)
        self._left -= len(data)
        return data

    def end_head(self) -> None:
        """The head of the answer is complete."""
        if self._left == self._head_bytes:
            # Left over from the answer before, which may have been another tenant's.
            raise TransportError("an answer was there before its request was sent", hint=MAYBE_SENT)
        self._left = None

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout_at(self._connect_by):
                stream = await self._stream.start_tls(ssl_context, server_hostname)
        except httpcore.ConnectError as error:
            message = "the TLS handshake failed: the host may not speak TLS 1.2 or newer on this port"
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                message = f"the certificate of the host is not trusted: {error.__cause__.verify_message}"
            raise TransportError(message, hint=NOT_SENT, sent=False) from None
        except TimeoutError:
            await self.aclose()
            message = "the TLS handshake was not finished in the time allowed for a connection"
            raise TransportError(message, hint=NOT_SENT, sent=False) from None
        except BaseException:
            await self.aclose()  # a cancelled handshake would leave it open
            raise
        return _Wire(stream, self._head_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _content(request: Request) -> bytes | AsyncIterator[bytes] | None:
    return read_stream(request.body) if isinstance(request.body, Stream) else request.body


@functools.cache
def system_trust() -> ssl.SSLContext:
    """TLS that trusts the certificate authorities of the system, whatever the environment says."""
    # Not `httpcore2.default_ssl_context()`: that one obeys SSL_CERT_FILE and SSL_CERT_DIR (hazard T41).
    return httpx.create_ssl_context(trust_env=False)
