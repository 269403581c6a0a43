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
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, cast

import httpx2 as httpx

from connector.messages import Request, Stream
from runtime.config.settings import Limits
from runtime.http.dial import dial
from runtime.http.fields import header_fields
from runtime.http.guard import Guard, Origin
from runtime.http.http1 import Http1
from runtime.http.places import Lane, Places
from runtime.http.transport import Answer, Attempt, ByteStream, Route
from runtime.http.trust import Trusts
from runtime.http.uploads import read_stream

#: Seconds after which a connection is not used again, so that a name which has moved is followed however busy it is.
AGE: Final = 300.0

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

    async def open(self, request: Request, route: Route, attempt: Attempt, *, streamed: bool = False) -> Answer:
        """Sends the request over a connection that is kept, or a new one that the guard allows."""
        destination = self._guard.check(request.url)
        fields = header_fields(request)
        key = (route, destination.origin)
        lane = await self._places.take(route.tenant, destination.origin, attempt, streamed=streamed)
        try:
            connection = self._find(key) or await self._connect(key, attempt)
        except BaseException:
            self._places.leave(lane)
            raise
        self._busy.add(connection)
        try:
            status, headers, body = await connection.ask(request, destination, fields, attempt)
        except BaseException as error:
            connection.close()
            self._give_back(connection, key, lane)
            if getattr(error, "blame", "") == "connection":
                self._idle.close(of=key)  # what had ended one of them may have ended all
            raise
        return Answer(status, headers, _Body(body, functools.partial(self._give_back, connection, key, lane)))

    async def aclose(self) -> None:
        """Closes every connection, those in use as well."""
        for connection in self._busy:
            connection.close()
        self._idle.close(keep=0)
        await asyncio.sleep(0)  # their sockets are closed in the next turn of the loop

    def _find(self, key: _Key) -> Http1 | None:
        """A connection that was kept for this route and origin."""
        now = self._monotonic()
        self._idle.close(older=now - self._limits.keepalive)
        while (connection := self._idle.take(key)) is not None:
            if connection.is_usable(now - AGE):
                return connection
            connection.close()
        return None

    async def _connect(self, key: _Key, attempt: Attempt) -> Http1:
        route, origin = key
        self._idle.close(keep=self._limits.all_connections - self._places.taken)
        attempt.waits(f"connecting to {origin.host} port {origin.port}", "origin")
        wire = await dial(self._guard, origin, route, self._limits, self._trusts)
        return Http1(wire, route, self._limits.head_bytes, self._monotonic())

    def _give_back(self, connection: Http1, key: _Key, lane: Lane) -> None:
        self._busy.remove(connection)
        if connection.begin_again():
            self._idle.put(key, connection, self._monotonic())
        else:
            connection.close()
        self._places.leave(lane)


class _Idle:
    """Connections that wait for a request: found by their key, given up by the time that they have waited."""

    def __init__(self) -> None:
        #: Whose each is and since when it waits, the one that has waited longest first.
        self._since: dict[Http1, tuple[_Key, float]] = {}
        self._of: dict[_Key, list[Http1]] = {}

    def put(self, key: _Key, connection: Http1, now: float) -> None:
        self._since[connection] = key, now
        self._of.setdefault(key, []).append(connection)

    def take(self, key: _Key) -> Http1 | None:
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

    def _remove(self, connection: Http1) -> Http1:
        key, _ = self._since.pop(connection)
        waiting = self._of[key]
        waiting.remove(connection)
        if not waiting:
            del self._of[key]
        return connection


class _Body:
    """The body of an answer; it lets its connection go once."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], let_go: Callable[[], None]) -> None:
        self._pieces = pieces
        self._let_go: Callable[[], None] | None = let_go

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        let_go, self._let_go = self._let_go, None
        if let_go is not None:
            await self._pieces.aclose()
            let_go()
