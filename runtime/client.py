"""The HTTP client: one Request out, one Response back, within limits and through the egress guard.

This is the only module that knows httpx2 and httpcore2, and they are heavy to import (75 ms): import it where a call
is about to be made. It speaks HTTP/1.1, pools connections, adds the few header fields that every request needs, reads
and inflates the answer in bounded steps, and words what went wrong. It takes no decision: it follows no redirect,
never tries again, keeps no cookies, knows no authentication and reads no environment. What an answer means, 4xx and
5xx included, is said elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.metadata
import logging
import ssl
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, Self, cast

import httpcore2 as httpcore
import httpx2 as httpx

from connector.errors import MappingError, TransportError
from connector.messages import Headers, Request, Response, Stream
from runtime.guard import Guard, refuse_other_origin
from runtime.settings import Limits
from runtime.uploads import find_length, read_stream

#: How much is inflated before other tasks have their turn, in bytes; a bomb costs one step beyond its limit.
INFLATE_STEP: Final = 256 * 1024

#: How many chunks of a body are taken in before other tasks have their turn: a provider chooses their size.
CHUNKS_PER_TURN: Final = 256

#: The content codings that can be undone (RFC 9110, section 8.4.1), and the `wbits` with which zlib does it.
CODINGS: Final = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

DEFAULT_LIMITS: Final = Limits()

_NOT_SENT: Final = "the request was not sent, so it is safe to try again"
_MAYBE_SENT: Final = "the request may have been carried out; unless it is idempotent, look before sending it again"
_INVALID: Final = "look for line breaks and text outside ASCII in its method and header fields; it was not sent"

#: What the exceptions of the libraries below mean, by the name they have in both. Their own texts quote header fields
#: and are never shown.
_MEANINGS: Final = {
    "ConnectTimeout": ("no connection was made in time", _NOT_SENT),
    "ConnectError": ("no connection could be made", _NOT_SENT),
    "LocalProtocolError": ("the request is not valid HTTP/1.1", _INVALID),
    "RemoteProtocolError": ("expected an answer in HTTP/1.1, but what came is not one", _MAYBE_SENT),
    "ReadError": ("the connection broke before an answer came", _MAYBE_SENT),
}
_LIBRARY_ERRORS: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpx.TransportError,
)
_UNWORDED: Final = (TransportError, MappingError, *_LIBRARY_ERRORS)
_BROKEN_OFF: Final = (httpcore.RemoteProtocolError, httpcore.ReadError, httpx.RemoteProtocolError, httpx.ReadError)

_Fields = list[tuple[bytes, bytes]]


class _Failure(NamedTuple):
    """What an error says, apart from the exception that carried it."""

    kind: Callable[..., TransportError | MappingError]
    message: str
    hint: str
    again: Mapping[str, bool] = MappingProxyType({})

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
        self._transport: _Transport = (
            _Network(guard, limits, ssl_context or _system_trust()) if transport is None else _Substitute(transport)
        )
        self._inflating = asyncio.Lock()

    async def send(self, request: Request, *, operation: str, origin: str | None = None) -> Response:
        """Send a request and read its whole answer, whatever its status; a redirect is an answer like any other.

        `operation` is named in errors. `origin` is a URL of the origin that the request's credentials belong to: a
        request to any other is refused before a connection is made (hazards T29, T36).

        Raises BlockedAddress if the guard or `origin` forbids the URL, TransportError if no complete answer came within
        the limits, and MappingError if its body came but cannot be inflated. The errors hold the request masked.
        """
        deadline = asyncio.timeout(self._limits.deadline)
        try:
            if origin is not None:
                refuse_other_origin(request.url, origin)
            async with deadline:
                return await self._exchange(request)
        except _UNWORDED as error:
            failure = _find_meaning(error)
        except TimeoutError:
            if not deadline.expired():
                raise
            failure = _Failure(TransportError, f"no complete answer within {self._limits.deadline:g} s", _MAYBE_SENT)
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

    async def _open(self, request: Request, operation: str, origin: str | None) -> tuple[_Answer, Headers]:
        deadline = asyncio.timeout(self._limits.deadline)
        try:
            if origin is not None:
                refuse_other_origin(request.url, origin)
            async with deadline:
                answer = await self._transport.open(request, _header_fields(request))
                try:
                    return answer, _read_headers(answer)
                except TransportError:
                    await answer.stream.aclose()
                    raise
        except _UNWORDED as error:
            failure = _find_meaning(error)
        except TimeoutError:
            if not deadline.expired():
                raise
            failure = _Failure(TransportError, f"no answer within {self._limits.deadline:g} s", _MAYBE_SENT)
        raise failure.as_error(request, operation)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _exchange(self, request: Request) -> Response:
        answer = await self._transport.open(request, _header_fields(request))
        try:
            headers = _read_headers(answer)
            return Response(answer.status, headers, await self._read_body(answer.stream, headers))
        finally:
            # An answer that was not read to its end takes its connection with it: limits, errors, a cancelled call.
            await answer.stream.aclose()

    async def _read_body(self, stream: _Stream, headers: Headers) -> bytes:
        inflater = _find_inflater(headers)
        body = bytearray()  # not a list of pieces: 32 MiB in chunks of two bytes would be a gigabyte of them
        received = count = 0
        chunks = aiter(stream)
        try:
            async for chunk in chunks:
                received += len(chunk)
                count += 1
                self._refuse_beyond_limit(received)
                if not count % CHUNKS_PER_TURN:
                    await asyncio.sleep(0)
                if inflater is None:
                    body += chunk
                    continue
                # One body at a time: many bombs at once then need the memory of one, and the event loop waits for one
                # step of one of them (hazard T44). Nothing in here waits for a network.
                async with self._inflating:
                    for piece in inflater.feed(chunk):
                        body += piece
                        self._refuse_beyond_limit(len(body))
                        if len(piece) == INFLATE_STEP:
                            await asyncio.sleep(0)
        except _BROKEN_OFF:
            expected = headers.get("content-length", "an unknown number of")
            message = f"the answer broke off after {received} of {expected} bytes"
            raise TransportError(message, hint=_MAYBE_SENT) from None
        finally:
            if (close := getattr(chunks, "aclose", None)) is not None:
                await close()
        if inflater is not None and received:
            inflater.finish()
        return bytes(body)

    def _refuse_beyond_limit(self, size: int) -> None:
        if size > self._limits.response_bytes:
            raise _too_large(self._limits.response_bytes).as_error(None, "")


class StreamedResponse:
    """An answer whose body is still coming: its status and headers, and the body as an asynchronous iterator."""

    def __init__(
        self,
        status: int,
        headers: Headers,
        stream: _Stream,
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
        """The body in pieces, inflated; at most INFLATE_STEP bytes of it are held (hazard T44)."""
        chunks = aiter(self._stream)
        pieces = self._inflate(chunks)
        try:
            while True:
                try:
                    piece = await anext(pieces, None)
                except _UNWORDED as error:
                    failure = _find_meaning(error)
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
        inflater = _find_inflater(self.headers)
        received = given = count = 0
        try:
            while (chunk := await self._next(chunks)) is not None:
                received += len(chunk)
                count += 1
                for piece in [chunk] if inflater is None else inflater.feed(chunk):
                    given += len(piece)
                    if max(received, given) > self._limits.stream_bytes:
                        limit = self._limits.stream_bytes
                        raise _too_large(limit).as_error(self._request, "")
                    yield piece
                    if len(piece) == INFLATE_STEP:
                        await asyncio.sleep(0)
                if not count % CHUNKS_PER_TURN:
                    await asyncio.sleep(0)
        except _BROKEN_OFF:
            raise TransportError(f"the stream broke off after {received} bytes", hint=_MAYBE_SENT) from None
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
            raise TransportError(message, hint=_MAYBE_SENT) from None


class _Inflater:
    """Undoes one gzip or deflate coding, giving at most INFLATE_STEP bytes at a time (hazard T44)."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._zlib = zlib.decompressobj(CODINGS[coding])

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._zlib.eof:  # gzip may be several members, one after the other (RFC 1952, section 2.2)
                self._zlib = zlib.decompressobj(CODINGS[self._coding])
            try:
                piece = self._zlib.decompress(data, INFLATE_STEP)
            except zlib.error:
                message = f"the body is not what its Content-Encoding, {self._coding}, says"
                raise MappingError(message, hint=_MAYBE_SENT) from None
            data = self._zlib.unused_data or self._zlib.unconsumed_tail
            if piece:
                yield piece

    def finish(self) -> None:
        if not self._zlib.eof:
            raise MappingError(f"the {self._coding} data of the body ends too early", hint=_MAYBE_SENT)


class _Stream(Protocol):
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


class _Answer(NamedTuple):
    status: int
    fields: _Fields
    stream: _Stream


class _Transport(Protocol):
    """The seam: what is put here sends a request as far as the head of its answer. Another HTTP library fits in."""

    async def open(self, request: Request, fields: _Fields) -> _Answer: ...
    async def aclose(self) -> None: ...


class _Substitute:
    """A transport of httpx2 that stands in for the network."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self.aclose = transport.aclose

    async def open(self, request: Request, fields: _Fields) -> _Answer:
        answer = await self._transport.handle_async_request(
            httpx.Request(request.method, request.url, headers=fields, content=_content(request))
        )
        return _Answer(answer.status_code, answer.headers.raw, cast("_Stream", answer.stream))


class _Network:
    """The real network: httpcore2's pool of connections, each made through the guard."""

    def __init__(self, guard: Guard, limits: Limits, ssl_context: ssl.SSLContext) -> None:
        self._guard = guard
        self._extensions = {"timeout": {"connect": limits.connect}}
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=limits.connections,
            keepalive_expiry=limits.keepalive,
            network_backend=_GuardedBackend(guard, limits.head_bytes),
        )
        self.aclose = self._pool.aclose
        # At DEBUG its logger shows the header fields of answers, and values of requests that it refused (hazard T55).
        # A level that somebody set for it by name stays.
        logger = logging.getLogger("httpcore2")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)

    async def open(self, request: Request, fields: _Fields) -> _Answer:
        destination = self._guard.check(request.url)
        origin = destination.origin
        if "host" not in request.headers:
            fields.insert(0, (b"Host", origin.authority.encode("ascii")))
        url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=destination.target)
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                request.method, url, headers=fields, content=_content(request), extensions=self._extensions
            )
        )
        stream = cast("_Stream", answer.stream)
        wire = answer.extensions["network_stream"]
        try:
            if not isinstance(wire, _Wire):
                raise TransportError(
                    "the host switched to another protocol than HTTP", hint=_MAYBE_SENT, temporary=False
                )
            wire.end_head()
        except TransportError:
            await stream.aclose()
            raise
        return _Answer(answer.status, answer.headers, stream)


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
            raise TransportError(message, hint=_NOT_SENT, sent=False) from None
        except OSError:
            message = f"the name {host} could not be resolved"
            raise TransportError(message, hint=f"check its spelling; {_NOT_SENT}", sent=False) from None
        message = f"no connection to {host} port {port}: none of its {len(addresses)} addresses accepted one"
        raise TransportError(message, hint=_NOT_SENT, sent=False)


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
            raise TransportError(message, hint=_MAYBE_SENT, temporary=False)
        data = await self._stream.read(min(max_bytes, self._left), timeout)
        if not data:
            message = "the connection was closed before the head of an answer was complete"
            raise TransportError(message, hint=_MAYBE_SENT)
        self._left -= len(data)
        return data

    def end_head(self) -> None:
        """The head of the answer is complete."""
        if self._left == self._head_bytes:
            # Left over from the answer before, which may have been another tenant's.
            raise TransportError("an answer was there before its request was sent", hint=_MAYBE_SENT)
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
            raise TransportError(message, hint=_NOT_SENT, sent=False) from None
        except TimeoutError:
            await self.aclose()
            message = "the TLS handshake was not finished in the time allowed for a connection"
            raise TransportError(message, hint=_NOT_SENT, sent=False) from None
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


def _read_headers(answer: _Answer) -> Headers:
    headers = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.fields)
    if "content-length" in headers and "transfer-encoding" in headers:
        # Which of them counts is what a proxy and we could disagree on (RFC 9112, section 6.3).
        message = "the answer states its length twice, in Content-Length and in Transfer-Encoding"
        raise TransportError(message, hint=_MAYBE_SENT)
    return headers


def _find_meaning(error: Exception) -> _Failure:
    """What an error means, without the texts of the libraries."""
    if isinstance(error, TransportError):
        again = {"sent": error.sent, "temporary": error.temporary}
        return _Failure(type(error), error.message, error.hint, again)
    if isinstance(error, MappingError):
        return _Failure(MappingError, error.message, error.hint)
    message, hint = _MEANINGS.get(type(error).__name__, ("no usable answer came", _MAYBE_SENT))
    return _Failure(TransportError, message, hint, {"sent": hint is _MAYBE_SENT, "temporary": hint is not _INVALID})


def _too_large(limit: int) -> _Failure:
    hint = f"an operator can raise the limit; {_MAYBE_SENT}"
    return _Failure(TransportError, f"the answer is larger than {limit} bytes", hint, {"temporary": False})


def _header_fields(request: Request) -> _Fields:
    """The declared header fields, then those of ours that are not declared.

    How long the body is, is not for a declaration to say: a wrong length would let a body pass for the next request.
    """
    fields = [(name, text) for name, text in request.headers.items() if name.lower() not in _FRAMING]
    fields.extend((name, text) for name, text in _OUR_FIELDS if name not in request.headers)
    # Where a method gives a body a meaning, that there is none is said as well (RFC 9110, section 8.6).
    if isinstance(request.body, Stream):
        length = find_length(request.body)
        fields.append(("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length)))
    elif request.body is not None or request.method in {"POST", "PUT", "PATCH"}:
        fields.append(("Content-Length", str(len(request.body or b""))))
    try:
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in fields]
    except UnicodeEncodeError:
        raise TransportError("the request is not valid HTTP/1.1", hint=_INVALID, sent=False, temporary=False) from None


def _find_inflater(headers: Headers) -> _Inflater | None:
    coding = headers.get("content-encoding", "").strip().lower()
    if coding in {"", "identity"}:
        return None
    if coding not in CODINGS:
        hint = f"one of {', '.join(CODINGS)} is accepted, and only one; {_MAYBE_SENT}"
        raise MappingError("the body has a Content-Encoding that is not accepted", hint=hint)
    return _Inflater(coding)


@functools.cache
def _system_trust() -> ssl.SSLContext:
    # Not `httpcore2.default_ssl_context()`: that one obeys SSL_CERT_FILE and SSL_CERT_DIR (hazard T41).
    return httpx.create_ssl_context(trust_env=False)


def _user_agent() -> str:
    try:
        return f"connector-runtime/{importlib.metadata.version('connector-runtime')}"
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "connector-runtime/0"


_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_OUR_FIELDS: Final = (("User-Agent", _user_agent()), ("Accept-Encoding", "gzip"))
