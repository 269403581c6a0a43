"""The network under the client: which connection a request takes, and what stands in for all of them.

Connections are kept by route and origin, so no two tenants ever share one. How many there are is `places`' to say, how
one is made is `dial`'s, and what is spoken on it an engine's. Reading bodies, time limits and the words for what went
wrong are the client's.
"""

from __future__ import annotations

import asyncio
import functools
import math
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, cast

import httpx2 as httpx

from connector.errors import TransportError
from connector.messages import Request, Stream
from runtime.config.settings import Limits
from runtime.http.dial import dial
from runtime.http.fields import header_fields
from runtime.http.guard import Guard, Origin
from runtime.http.http1 import Http1
from runtime.http.http2 import Http2
from runtime.http.places import Lane, Places
from runtime.http.transport import NOT_SENT, Answer, Attempt, ByteStream, Route
from runtime.http.trust import Trusts
from runtime.http.uploads import read_stream

#: Seconds after which a connection is not used again, so that a name which has moved is followed however busy it is.
AGE: Final = 300.0
#: Turns of the event loop in which what has come on a connection is read.
_TURNS: Final = 3

#: What a connection is kept by.
_Key = tuple[Route, Origin]


class Httpx2Transport:
    """A transport of httpx2 that stands in for the network."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self.aclose = transport.aclose

    async def open(self, request: Request, route: Route, attempt: Attempt, *, streamed: bool = False) -> Answer:  # noqa: ARG002 - it has no routes
        """Hands the request to the stand-in."""
        fields = header_fields(request)
        attempt.sent = True  # nothing is known of what it does
        content = read_stream(request.body) if isinstance(request.body, Stream) else request.body
        answer = await self._transport.handle_async_request(
            httpx.Request(request.method, request.url, headers=fields, content=content)
        )
        return Answer(answer.status_code, answer.headers.raw, cast("ByteStream", answer.stream))


class Network:
    """The real network: connections made through the guard, each kept for the next request of its route and origin."""

    def __init__(
        self,
        guard: Guard,
        limits: Limits,
        ssl_context: ssl.SSLContext | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guard = guard
        self._limits = limits
        self._trusts = Trusts(ssl_context)
        self._monotonic = monotonic
        self._places = Places(limits.connections, limits.all_connections)
        self._busy: set[Http1] = set()
        self._idle = _Idle()
        #: Connections of HTTP/2, and those that are being made where HTTP/2 is offered.
        self._shared: dict[_Key, Http2] = {}
        self._dialling: dict[_Key, _Dialling] = {}
        #: When a host that was offered HTTP/2 chose HTTP/1.1.
        self._plain: dict[_Key, float] = {}
        self._closed = False

    async def open(self, request: Request, route: Route, attempt: Attempt, *, streamed: bool = False) -> Answer:
        """Sends the request over a connection that is kept, or a new one that the guard allows."""
        destination = self._guard.check(request.url)
        fields = header_fields(request)
        key = (route, destination.origin)
        lane = await self._places.take(route.tenant, destination.origin, attempt, streamed=streamed)
        try:
            if route.http2 and destination.origin.scheme == "https":
                connection = await self._share(key, attempt)
            else:
                connection = self._find(key) or await self._connect(key, attempt)
        except BaseException:
            self._places.leave(lane)
            raise
        if isinstance(connection, Http1):
            self._busy.add(connection)
        try:
            status, headers, body = await connection.ask(request, destination, fields, attempt)
        except BaseException as error:
            if isinstance(connection, Http1):
                connection.close()
            self._give_back(connection, key, lane)
            if getattr(error, "blame", "") == "connection":
                self._idle.close(of=key)  # what had ended one of them may have ended all
            raise
        return Answer(status, headers, _Body(body, functools.partial(self._give_back, connection, key, lane)))

    async def aclose(self) -> None:
        """Closes every connection, those in use as well."""
        self._closed = True
        for connection in self._busy:
            connection.close()
        shared = list(self._shared.values())
        for connection2 in shared:
            connection2.close()
        dialling, self._dialling = list(self._dialling.values()), {}
        for each in dialling:
            each.task.cancel()
        self._idle.close(keep=0)
        await asyncio.gather(*(each.task for each in dialling), return_exceptions=True)
        await asyncio.gather(*(connection2.closed() for connection2 in shared))
        await asyncio.sleep(0)  # their sockets are closed in the next turn of the loop

    def _find(self, key: _Key) -> Http1 | Http2 | None:
        """A connection that was kept for this route and origin."""
        now = self._monotonic()
        self._idle.close(older=now - self._limits.keepalive)
        while (connection := self._idle.take(key)) is not None:
            if connection.is_usable(now - AGE):
                return connection
            connection.close()
        return None

    async def _connect(self, key: _Key, attempt: Attempt) -> Http1 | Http2:
        route, origin = key
        self._idle.close(keep=self._limits.all_connections - self._places.taken)
        attempt.waits(f"connecting to {origin.host} port {origin.port}", "origin")
        wire = await dial(self._guard, origin, route, self._limits, self._trusts)
        if wire.protocol != "h2":
            return Http1(wire, route, self._limits.head_bytes, self._monotonic())
        connection = Http2(wire, self._limits.head_bytes, self._monotonic())
        try:
            await connection.begin()
        except BaseException:
            connection.close()
            raise
        return connection

    async def _share(self, key: _Key, attempt: Attempt) -> Http1 | Http2:
        """A connection of HTTP/2 that others use as well, or one of HTTP/1.1 where the host speaks no other."""
        now = self._monotonic()
        found = self._find(key)
        if isinstance(found, Http1):
            return found
        shared = found or self._shared.get(key)
        if shared is not None:
            shared.users += 1
            try:
                # What came while it was idle, such as its end, is read before it is relied on.
                for _ in range(0 if found is None or found.wire.is_quiet() else _TURNS):
                    await asyncio.sleep(0)
            except BaseException:
                self._free(shared, key)
                raise
            if shared.is_usable(now - AGE):
                return shared
            self._free(shared, key)
        if self._plain.get(key, -math.inf) > now - AGE:
            return await self._connect(key, attempt)
        dialling = self._dialling.get(key)
        if dialling is None:
            dialling = self._dialling[key] = _Dialling(asyncio.create_task(self._connect_shared(key)))
        attempt.waits(f"connecting to {key[1].host} port {key[1].port}", "origin")
        dialling.waiting += 1
        try:
            connection = await asyncio.shield(dialling.task)
        except asyncio.CancelledError:
            if self._closed:
                raise TransportError("the runtime was closed", hint=NOT_SENT, sent=False, temporary=False) from None
            raise
        finally:
            dialling.waiting -= 1
            if not dialling.waiting and not dialling.task.done():
                if self._dialling.get(key) is dialling:
                    del self._dialling[key]
                dialling.task.cancel()
        if isinstance(connection, Http2):
            connection.users += 1
            return connection
        return self._find(key) or await self._connect(key, attempt)

    async def _connect_shared(self, key: _Key) -> Http1 | Http2:
        try:
            connection = await self._connect(key, Attempt())
            if isinstance(connection, Http2):
                if (former := self._shared.get(key)) is not None:
                    former.retire()
                self._shared[key] = connection
            else:
                self._plain[key] = self._monotonic()
                self._idle.put(key, connection, self._monotonic())
            return connection
        finally:
            dialling = self._dialling.get(key)
            if dialling is not None and dialling.task is asyncio.current_task():
                del self._dialling[key]

    def _give_back(self, connection: Http1 | Http2, key: _Key, lane: Lane) -> None:
        if isinstance(connection, Http1):
            self._busy.remove(connection)
            if connection.begin_again():
                self._idle.put(key, connection, self._monotonic())
            else:
                connection.close()
        else:
            self._free(connection, key)
        self._places.leave(lane)

    def _free(self, connection: Http2, key: _Key) -> None:
        """Takes back a connection that others may be using."""
        connection.users -= 1
        if connection.users:
            return
        if connection.is_usable(self._monotonic() - AGE):
            self._idle.put(key, connection, self._monotonic())
            return
        connection.close()
        if self._shared.get(key) is connection:
            del self._shared[key]


class _Dialling:
    """A connection that is being made for all who wait for it."""

    def __init__(self, task: asyncio.Task[Http1 | Http2]) -> None:
        self.task = task
        self.waiting = 0


class _Idle:
    """Connections that wait for a request: found by their key, given up by the time that they have waited."""

    def __init__(self) -> None:
        #: Whose each is and since when it waits, the one that has waited longest first.
        self._since: dict[Http1 | Http2, tuple[_Key, float]] = {}
        self._of: dict[_Key, list[Http1 | Http2]] = {}

    def put(self, key: _Key, connection: Http1 | Http2, now: float) -> None:
        self._since[connection] = key, now
        self._of.setdefault(key, []).append(connection)

    def take(self, key: _Key) -> Http1 | Http2 | None:
        """The connection of that key that was used last."""
        waiting = self._of.get(key)
        return self._remove(waiting[-1]) if waiting else None

    def close(self, *, keep: float = math.inf, older: float = -math.inf, of: _Key | None = None) -> None:
        """Closes those that have waited longest: all but so many, or since before a time; and those of a key."""
        for connection in list(self._of.get(of, ())) if of is not None else ():
            self._remove(connection).close()
        while self._since:
            connection, (_, since) = next(iter(self._since.items()))
            if len(self._since) <= keep and since >= older:
                return
            self._remove(connection).close()

    def _remove(self, connection: Http1 | Http2) -> Http1 | Http2:
        key, _ = self._since.pop(connection)
        waiting = self._of[key]
        waiting.remove(connection)
        if not waiting:
            del self._of[key]
        return connection


class _Body:
    """The body of an answer; it lets its connection go once."""

    def __init__(self, pieces: ByteStream, let_go: Callable[[], None]) -> None:
        self._pieces = pieces
        self._let_go: Callable[[], None] | None = let_go

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._pieces)

    async def aclose(self) -> None:
        let_go, self._let_go = self._let_go, None
        if let_go is not None:
            await self._pieces.aclose()
            let_go()
