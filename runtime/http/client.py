"""The HTTP client: one Request out, one Response back, within limits and through the egress guard.

With `pool` below it, this module alone knows httpx2 and httpcore2, and they are heavy to import (75 ms): import it
where a call is about to be made. It reads and inflates the answer in bounded steps, whole or as it comes, and words
what went wrong. It takes no decision: it follows no redirect, never tries again, keeps no cookies, knows no
authentication and reads no environment. What an answer means, 4xx and 5xx included, is said elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

import h11
import httpcore2 as httpcore
import httpx2 as httpx

from connector.errors import MappingError, TransportError
from connector.headers import Headers
from connector.messages import Request, Response
from runtime.config.settings import Limits
from runtime.http.fields import INVALID
from runtime.http.guard import Guard, refuse_other_origin
from runtime.http.inflate import find_inflater, share_of
from runtime.http.pool import Httpx2Transport, Network
from runtime.http.transport import MAYBE_SENT, NOT_SENT, Answer, Attempt, ByteStream, Route, Transport
from runtime.http.turns import Turns

#: How many chunks of a body are taken in before other tasks have their turn: a provider chooses their size.
CHUNKS_PER_TURN: Final = 256

#: The part of the deadline that has to be left for a request that waited for a connection.
_LEFT: Final = 0.05

DEFAULT_LIMITS: Final = Limits()

#: What the exceptions of the libraries below mean, by the name they have in both. Their own texts quote header fields
#: and are never shown.
_MEANINGS: Final = {
    "ConnectTimeout": ("no connection was made in time", NOT_SENT),
    "ConnectError": ("no connection could be made", NOT_SENT),
    "PoolTimeout": ("no connection was free in time", NOT_SENT),
    "ProxyError": ("the proxy made no connection", NOT_SENT),
    "UnsupportedProtocol": ("the transport does not speak the protocol of the URL", NOT_SENT),
    "LocalProtocolError": ("the request is not valid HTTP/1.1", INVALID),
    "RemoteProtocolError": ("expected an answer in HTTP/1.1, but what came is not one", MAYBE_SENT),
    "ReadError": ("the connection broke before an answer came", MAYBE_SENT),
    "ConnectionResetError": ("the connection broke before an answer came", MAYBE_SENT),
}
_LIBRARY_ERRORS: Final = (
    ConnectionResetError,
    h11.ProtocolError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpx.TransportError,
)
_UNWORDED: Final = (TransportError, MappingError, *_LIBRARY_ERRORS)
_BROKEN_OFF: Final = (
    *(ConnectionResetError, h11.RemoteProtocolError),
    *(httpcore.RemoteProtocolError, httpcore.ReadError, httpx.RemoteProtocolError, httpx.ReadError),
)


class _Failure(NamedTuple):
    """What an error says, apart from the exception that carried it."""

    kind: Callable[..., TransportError | MappingError]
    message: str
    hint: str
    again: Mapping[str, Any] = MappingProxyType({})

    def as_error(self, request: Request | None, operation: str) -> TransportError | MappingError:
        masked = None if request is None else request.masked()
        return self.kind(self.message, hint=self.hint, operation=operation, request=masked, **self.again)


class Client:
    """Sends requests. One serves a whole runtime: from call to call it keeps connections and nothing else (T49).

        async with Client(Guard()) as client:
            response = await client.send(request, operation="files.list")

    `transport`, any async transport of httpx2 (MockTransport, ASGITransport), stands in for the network, and then the
    guard is not asked. `ssl_context` stands in for the trust in the system's certificate authorities.
    """

    def __init__(
        self,
        guard: Guard,
        limits: Limits = DEFAULT_LIMITS,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        # A transport is driven directly, without httpx2.AsyncClient around it: that one would add a cookie jar (T49),
        # redirects (T35), proxies and a netrc file from the environment (T41), event hooks, log lines at INFO with
        # whole URLs in them (T55), and about as much CPU again.
        self._limits = limits
        self._transport: Transport = (
            Network(guard, limits, ssl_context) if transport is None else Httpx2Transport(transport)
        )
        self._inflating = asyncio.Lock()
        self._route = Route()
        self._under_way = _UnderWay()

    def along(self, route: Route) -> Self:
        """The same client, for the requests of one tenant and the way that they take; closed together with it."""
        other = copy.copy(self)
        other._route = route  # noqa: SLF001 - one of this class
        return other

    def for_tenant(self, tenant: str) -> Self:
        """The same client for the requests of another tenant, which take the same way."""
        return self.along(dataclasses.replace(self._route, tenant=tenant))

    async def send(self, request: Request, *, operation: str, origin: str | None = None) -> Response:
        """Send a request and read its whole answer, whatever its status; a redirect is an answer like any other.

        `operation` is named in errors. `origin` is a URL of the origin that the request's credentials belong to: a
        request to any other is refused before a connection is made (hazards T29, T36).

        Raises BlockedAddress if the guard or `origin` forbids the URL, TransportError if no complete answer came within
        the limits, and MappingError if its body came but cannot be inflated. The errors hold the request masked.
        """
        deadline, attempt = self._begin()
        try:
            if origin is not None:
                refuse_other_origin(request.url, origin)
            async with deadline:
                self._under_way.enter(deadline)
                return await self._exchange(request, attempt)
        except _UNWORDED as error:
            failure = self._find_failure(error, attempt)
        except TimeoutError:
            if not deadline.expired():
                raise
            failure = self._find_delay(attempt, "no complete answer")
        finally:
            self._under_way.leave(deadline)
        # Made anew out here, the error keeps alive neither the half-read answer nor, as its `__context__`, an exception
        # of the libraries with a header field in its text.
        raise failure.as_error(request, operation)

    @contextlib.asynccontextmanager
    async def stream(
        self, request: Request, *, operation: str, origin: str | None = None
    ) -> AsyncIterator[StreamedResponse]:
        """Send a request and give its answer as soon as its head has come; the body is read as it is asked for.

        The limits are `deadline` to the head, and then `idle`, `stream_deadline` and `stream_bytes`. Leaving the block
        before the end closes the connection. Raises as `send` does, and so does reading the body.
        """
        ends = asyncio.get_running_loop().time() + self._limits.stream_deadline
        answer, headers = await self._open(request, operation, origin)
        try:
            yield StreamedResponse(
                answer.status,
                headers,
                answer.stream,
                limits=self._limits,
                ends=ends,
                request=request,
                operation=operation,
            )
        finally:
            await answer.stream.aclose()

    async def _open(self, request: Request, operation: str, origin: str | None) -> tuple[Answer, Headers]:
        deadline, attempt = self._begin()
        try:
            if origin is not None:
                refuse_other_origin(request.url, origin)
            async with deadline:
                self._under_way.enter(deadline)
                answer = await self._transport.open(request, self._route, attempt, streamed=True)
                try:
                    return answer, _read_headers(answer)
                except TransportError:
                    await answer.stream.aclose()
                    raise
        except _UNWORDED as error:
            failure = self._find_failure(error, attempt)
        except TimeoutError:
            if not deadline.expired():
                raise
            failure = self._find_delay(attempt, "no answer")
        finally:
            self._under_way.leave(deadline)
        raise failure.as_error(request, operation)

    def _begin(self) -> tuple[asyncio.Timeout, Attempt]:
        ends = asyncio.get_running_loop().time() + self._limits.deadline
        return asyncio.timeout_at(ends), Attempt(latest=ends - _LEFT * self._limits.deadline)

    def _find_delay(self, attempt: Attempt, missing: str) -> _Failure:
        """What it means that the deadline has passed, or was brought forward since the client was closed."""
        if self._under_way.closed:
            return _closed(sent=attempt.sent)
        seconds = f"within {self._limits.deadline:g} s"
        if attempt.sent:
            return _Failure(TransportError, f"{missing} {seconds}", MAYBE_SENT)
        message = f"the request was not sent {seconds}: it was still {attempt.step}"
        return _Failure(TransportError, message, NOT_SENT, {"sent": False, "blame": attempt.blame})

    def _find_failure(self, error: Exception, attempt: Attempt) -> _Failure:
        """What an error means; whatever happens once the client is closed happens since it is."""
        return _closed(sent=attempt.sent) if self._under_way.closed else _find_meaning(error, attempt)

    async def aclose(self) -> None:
        """Closes all connections; requests under way end with TransportError."""
        self._under_way.close()
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _exchange(self, request: Request, attempt: Attempt) -> Response:
        answer = await self._transport.open(request, self._route, attempt)
        try:
            headers = _read_headers(answer)
            return Response(answer.status, headers, await self._read_body(answer.stream, headers, answer.status))
        finally:
            # An answer that was not read to its end takes its connection with it: limits, errors, a cancelled call.
            await answer.stream.aclose()

    async def _read_body(self, stream: ByteStream, headers: Headers, status: int) -> bytes:
        inflater = find_inflater(headers, status)
        body = bytearray()  # not a list of pieces: 32 MiB in chunks of two bytes would be a gigabyte of them
        received, turns = 0, Turns()
        chunks = aiter(stream)
        try:
            async for chunk in chunks:
                received += len(chunk)
                self._refuse_beyond_limit(received)
                await turns.spend(1 / CHUNKS_PER_TURN)
                if inflater is None:
                    body += chunk
                    continue
                # One body at a time: many bombs at once then need the memory of one, and the event loop waits for one
                # step of one of them (hazard T44). Nothing in here waits for a network.
                async with self._inflating:
                    for piece in inflater.feed(chunk):
                        body += piece
                        self._refuse_beyond_limit(len(body))
                        await turns.spend(share_of(piece))
        except _BROKEN_OFF:
            expected = headers.get("content-length", "an unknown number of")
            message = f"the answer broke off after {received} of {expected} bytes"
            raise TransportError(message, hint=MAYBE_SENT) from None
        finally:
            if (close := getattr(chunks, "aclose", None)) is not None:
                await close()
        if inflater is not None and received:
            inflater.finish()
        return bytes(body)

    def _refuse_beyond_limit(self, size: int) -> None:
        if size > self._limits.response_bytes:
            raise _too_large(self._limits.response_bytes).as_error(None, "")


class _UnderWay:
    """The requests that are under way, by their deadlines: closing a client ends them all at once."""

    def __init__(self) -> None:
        self.closed = False
        self._deadlines: set[asyncio.Timeout] = set()

    def enter(self, deadline: asyncio.Timeout) -> None:
        """Notes a request; raises TransportError if the client is closed."""
        if self.closed:
            raise _closed(sent=False).as_error(None, "")
        self._deadlines.add(deadline)

    def leave(self, deadline: asyncio.Timeout) -> None:
        """The request has ended."""
        self._deadlines.discard(deadline)

    def close(self) -> None:
        self.closed = True
        for deadline in self._deadlines:
            deadline.reschedule(asyncio.get_running_loop().time())


class StreamedResponse:
    """An answer whose body is still coming: its status and headers, and the body as an asynchronous iterator."""

    def __init__(
        self,
        status: int,
        headers: Headers,
        stream: ByteStream,
        *,
        limits: Limits,
        ends: float,
        request: Request,
        operation: str,
    ) -> None:
        self.status = status
        self.headers = headers
        self._stream = stream
        self._limits = limits
        self._ends = ends
        self._request = request
        self._operation = operation

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return Response(self.status, self.headers).content_type

    async def read(self) -> Response:
        """The whole answer; raises TransportError for one beyond `response_bytes`."""
        body = bytearray()
        async for piece in self:
            body += piece
            if len(body) > self._limits.response_bytes:
                raise _too_large(self._limits.response_bytes).as_error(self._request, self._operation)
        return Response(self.status, self.headers, bytes(body))

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """The body in pieces, inflated; no more than one step of it is held (hazard T44)."""
        chunks = aiter(self._stream)
        pieces = self._inflate(chunks)
        try:
            while True:
                try:
                    piece = await anext(pieces, None)
                except _UNWORDED as error:
                    failure = _find_meaning(error, None)
                else:
                    if piece is None:
                        return
                    yield piece
                    continue
                raise failure.as_error(self._request, self._operation)
        finally:
            await pieces.aclose()
            if (close := getattr(chunks, "aclose", None)) is not None:
                await close()

    async def _inflate(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        inflater = find_inflater(self.headers, self.status)
        received, given, turns = 0, 0, Turns()
        try:
            while (chunk := await self._next(chunks)) is not None:
                received += len(chunk)
                for piece in [chunk] if inflater is None else inflater.feed(chunk):
                    given += len(piece)
                    if max(received, given) > self._limits.stream_bytes:
                        limit = self._limits.stream_bytes
                        raise _too_large(limit).as_error(self._request, "")
                    if piece:
                        yield piece
                    if inflater is not None:
                        await turns.spend(share_of(piece))
                await turns.spend(1 / CHUNKS_PER_TURN)
        except _BROKEN_OFF:
            raise TransportError(f"the stream broke off after {received} bytes", hint=MAYBE_SENT) from None
        if inflater is not None and received:
            inflater.finish()

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        until = min(asyncio.get_running_loop().time() + self._limits.idle, self._ends)
        clock = asyncio.timeout_at(until)
        try:
            async with clock:
                return await anext(chunks, None)
        except TimeoutError:
            if not clock.expired():
                raise
            message = f"the stream was silent for {self._limits.idle:g} s"
            if until == self._ends:
                message = f"the stream did not end within {self._limits.stream_deadline:g} s"
            raise TransportError(message, hint=MAYBE_SENT) from None


def _read_headers(answer: Answer) -> Headers:
    headers = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers)
    if "content-length" in headers and "transfer-encoding" in headers:
        # Which of them counts is what a proxy and we could disagree on (RFC 9112, section 6.3).
        message = "the answer states its length twice, in Content-Length and in Transfer-Encoding"
        raise TransportError(message, hint=MAYBE_SENT)
    return headers


def _find_meaning(error: Exception, attempt: Attempt | None) -> _Failure:
    """What an error means, without the texts of the libraries; `attempt` is None once the answer has begun."""
    sent = attempt is None or attempt.sent
    if sent and isinstance(error, h11.LocalProtocolError):
        message = "the body did not have the length that was declared, so it was not sent to its end"
        return _Failure(TransportError, message, f"a file must not change while it is sent; {MAYBE_SENT}")
    failure = _read_error(error)
    if sent or failure.kind is MappingError:
        return failure
    # The connection broke, or was spoken on, before a byte of the request was handed to it.
    hint = failure.hint.replace(MAYBE_SENT, NOT_SENT)
    return failure._replace(hint=hint, again={**failure.again, "sent": False})


def _read_error(error: Exception) -> _Failure:
    if isinstance(error, TransportError):
        again = {"sent": error.sent, "temporary": error.temporary, "blame": error.blame}
        return _Failure(type(error), error.message, error.hint, again)
    if isinstance(error, MappingError):
        return _Failure(MappingError, error.message, error.hint)
    message, hint = _MEANINGS.get(type(error).__name__, ("no usable answer came", MAYBE_SENT))
    return _Failure(TransportError, message, hint, {"sent": hint is MAYBE_SENT, "temporary": hint is not INVALID})


def _closed(*, sent: bool) -> _Failure:
    again = {"sent": sent, "temporary": False, "blame": "caller"}
    return _Failure(TransportError, "the runtime was closed", MAYBE_SENT if sent else NOT_SENT, again)


def _too_large(limit: int) -> _Failure:
    hint = f"an operator can raise the limit; {MAYBE_SENT}"
    return _Failure(TransportError, f"the answer is larger than {limit} bytes", hint, {"temporary": False})
