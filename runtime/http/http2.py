"""HTTP/2 on a wire: many requests at once, each on a stream of its own. h2 knows the frames; this is what moves them.

httpcore2's connection stands on h2 as well. Here a task reads the wire all the time, so that a connection which ends
while it is idle is noticed, a call that is given up resets its stream and frees its part of the window, and the head of
an answer is bounded with all that comes before it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, Literal

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import DenialOfServiceError, ProtocolError
from h2.settings import SettingCodes, Settings

from connector.errors import TransportError
from connector.messages import Request
from runtime.http.guard import Destination
from runtime.http.transport import MAYBE_SENT, NOT_SENT, Attempt, Fields
from runtime.http.uploads import ends_early, pieces_of
from runtime.http.wire import Wire

#: Bytes of one answer that may come before they are read, and of all answers on a connection.
_WINDOW: Final = 256 * 1024
_ALL_WINDOWS: Final = 32 * 1024 * 1024
#: Streams that we open at once, whatever the host allows.
_STREAMS: Final = 100
#: Bytes of a frame before its content, and the largest content that we allow (RFC 9113, section 4.1).
_FRAME: Final = 9
_CONTENT: Final = 16 * 1024
#: The type of a GOAWAY frame (RFC 9113, section 6.8).
_GOAWAY: Final = 7
#: Answers to frames of the host that it does not read; a host with more of them wants to fill our memory.
_UNREAD: Final = 1024 * 1024
#: Fields that HTTP/2 does not have, or has elsewhere (RFC 9113, section 8.2.2).
_OF_HTTP1: Final = frozenset(
    {b"connection", b"host", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)


class _Exchange:
    """One request and its answer on a stream."""

    __slots__ = ("arrived", "ended", "error", "head", "head_size", "id", "pieces", "sent", "writable")

    def __init__(self, stream: int) -> None:
        self.id = stream
        self.head: tuple[int, Fields] | None = None
        self.head_size = 0
        #: What has come and was not read yet, each with its part of the window.
        self.pieces: deque[tuple[bytes, int]] = deque()
        #: True once our request, and once the answer, is complete.
        self.sent = False
        self.ended = False
        self.error: TransportError | ConnectionResetError | None = None
        self.arrived = asyncio.Event()
        self.writable = asyncio.Event()

    def fail(self, error: TransportError | ConnectionResetError) -> None:
        if self.error is None and not self.ended:
            self.error = error
        self.arrived.set()
        self.writable.set()


class _Body:
    """The body of an answer, which frees its stream when it is closed."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], free: Callable[[], None]) -> None:
        self._pieces = pieces
        self._free = free

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        await self._pieces.aclose()
        self._free()


class Http2:
    """A connection that serves many requests at once."""

    def __init__(self, wire: Wire, head_bytes: int, now: float) -> None:
        self.wire = wire
        #: When it was made.
        self.born = now
        #: How many requests the pool has given it, and not taken back.
        self.users = 0
        self._head_bytes = head_bytes
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.decoder.max_header_list_size = head_bytes
        self._rest = b""
        self._exchanges: dict[int, _Exchange] = {}
        #: Requests that wait for a stream.
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._ending = self._served = self._retired = False
        self._reader: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Sends what a connection begins with, and reads from now on."""
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: self._head_bytes,
            },
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_ALL_WINDOWS)
        self._reader = asyncio.create_task(self._read())
        await self._send()

    def is_usable(self, oldest: float) -> bool:
        """True while another request may be sent: it was made after `oldest`, and the host is not ending it."""
        return self.born >= oldest and not self._ending

    def retire(self) -> None:
        """Lets no further request begin; the connection ends with the last one that is under way."""
        self._retired = self._ending = True
        self._close_if_done()

    async def ask(
        self, request: Request, destination: Destination, fields: Fields, attempt: Attempt
    ) -> tuple[int, Fields, _Body]:
        """Sends a request; returns the head of its answer, and its body yet to be read."""
        attempt.waits("waiting for the source of its body", "caller")
        async with contextlib.aclosing(pieces_of(request.body)) as pieces:
            first = await anext(pieces, b"")
            attempt.waits(f"waiting for one of the streams that {destination.origin.host} allows", "origin")
            await self._wait_for_stream()
            exchange = self._open(request, destination, fields, has_body=bool(first))
            try:
                attempt.sent = True
                if first and first == request.body and len(first) <= self._window(exchange):
                    self._h2.send_data(exchange.id, first, end_stream=True)
                    first, exchange.sent = b"", True
                await self._send()
                if first:
                    sending = self._send_body(exchange, first, pieces)
                    head = await ends_early(sending, self._read_head(exchange), lambda head: head[0] >= 300)
                else:
                    head = await self._read_head(exchange)
            except BaseException as error:
                if exchange.error is not None:
                    attempt.sent = getattr(exchange.error, "sent", True)
                self._close(exchange)
                if isinstance(error, ProtocolError):
                    raise ConnectionResetError from None
                raise
        self._served = True
        return *head, _Body(self._read_body(exchange), lambda: self._close(exchange))

    def _open(self, request: Request, destination: Destination, fields: Fields, *, has_body: bool) -> _Exchange:
        authority = request.headers.get("host", destination.origin.authority)
        head = [
            (b":method", request.method.encode("ascii")),
            (b":scheme", destination.origin.scheme.encode("ascii")),
            (b":authority", authority.encode("ascii")),
            (b":path", destination.target.encode("ascii")),
        ]
        head += [(name.lower(), value) for name, value in fields if name.lower() not in _OF_HTTP1]
        try:
            exchange = _Exchange(self._h2.get_next_available_stream_id())
            self._h2.send_headers(exchange.id, head, end_stream=not has_body)
        except ProtocolError:
            self.retire()  # nothing of it has left, and what h2 thinks of its state is not to be relied on
            message = "the request is not valid HTTP/2, or the connection has no stream left"
            raise TransportError(message, hint=NOT_SENT, sent=False, blame="connection") from None
        exchange.sent = not has_body
        self._exchanges[exchange.id] = exchange
        return exchange

    async def _wait_for_stream(self) -> None:
        while not self._ending and len(self._exchanges) >= self._most():
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except BaseException:
                self._admit()
                raise
        if self._ending:
            message = "the connection was ended before the request was sent"
            raise TransportError(message, hint=NOT_SENT, sent=False, blame="connection")

    def _most(self) -> int:
        return min(_STREAMS, self._h2.remote_settings.max_concurrent_streams)

    def _admit(self) -> None:
        """Wakes those who wait for a stream, as many as there is room for; all of them if the connection ends."""
        room = len(self._waiting) if self._ending else self._most() - len(self._exchanges)
        while self._waiting and room > 0:
            if not (place := self._waiting.popleft()).done():
                place.set_result(None)
                room -= 1

    # What is sent.

    async def _send_body(self, exchange: _Exchange, piece: bytes, pieces: AsyncGenerator[bytes, None]) -> None:
        try:
            while piece:
                start = 0
                while start < len(piece):
                    while (window := self._window(exchange)) <= 0:
                        exchange.writable.clear()
                        await exchange.writable.wait()
                    self._h2.send_data(exchange.id, piece[start : start + window])
                    start += window
                    await self._send()
                piece = await anext(pieces, b"")
            self._h2.end_stream(exchange.id)
            exchange.sent = True
            await self._send()
        except ProtocolError:
            # The host has closed the stream: with an answer, which says what it needs, or with an error.
            if not exchange.ended:
                raise ConnectionResetError from None

    def _window(self, exchange: _Exchange) -> int:
        if exchange.error is not None:
            raise exchange.error
        return min(self._h2.local_flow_control_window(exchange.id), self._h2.max_outbound_frame_size)

    async def _send(self) -> None:
        await self.wire.send(self._h2.data_to_send())

    # What comes.

    async def _read_head(self, exchange: _Exchange) -> tuple[int, Fields]:
        while exchange.head is None:
            if exchange.error is not None:
                raise exchange.error
            exchange.arrived.clear()
            await exchange.arrived.wait()
        return exchange.head

    async def _read_body(self, exchange: _Exchange) -> AsyncGenerator[bytes, None]:
        while True:
            if exchange.pieces:
                data, size = exchange.pieces.popleft()
                self._acknowledge(exchange, size)
                if data:
                    yield data
            elif exchange.error is not None:
                raise exchange.error
            elif exchange.ended:
                return
            else:
                exchange.arrived.clear()
                await exchange.arrived.wait()

    def _acknowledge(self, exchange: _Exchange, size: int) -> None:
        with contextlib.suppress(ProtocolError):
            self._h2.acknowledge_received_data(size, exchange.id)
        self._push()

    def _close(self, exchange: _Exchange) -> None:
        """Frees a stream; one that has not ended is reset."""
        if self._exchanges.pop(exchange.id, None) is None:
            return
        with contextlib.suppress(ProtocolError):
            for _, size in exchange.pieces:
                self._h2.acknowledge_received_data(size, exchange.id)
            if not (exchange.sent and exchange.ended):
                self._h2.reset_stream(exchange.id, ErrorCodes.CANCEL)
        exchange.pieces.clear()
        self._push()
        self._admit()
        self._close_if_done()

    def _push(self) -> None:
        """Sends what answers the host's frames, without waiting for the host to read it."""
        if data := self._h2.data_to_send():
            self.wire.push(data, _UNREAD)

    def _close_if_done(self) -> None:
        if self._retired and not self._exchanges and not self._waiting:
            self.close()

    async def _read(self) -> None:
        error: TransportError | ConnectionResetError = ConnectionResetError()
        try:
            while data := await self.wire.read():
                self._take_in(data)
                self._push()
        except DenialOfServiceError:
            message = f"the head of the answer is larger than {self._head_bytes} bytes"
            error = TransportError(message, hint=MAYBE_SENT, temporary=False)
        except ProtocolError:
            message = "expected an answer in HTTP/2, but what came is not one"
            error = TransportError(message, hint=MAYBE_SENT)
        except (TransportError, ConnectionResetError):
            pass
        self._end(error)

    def _end(self, error: TransportError | ConnectionResetError) -> None:
        """The connection has ended, and with it every answer that is not complete."""
        self._ending = True
        with contextlib.suppress(ProtocolError):
            self._push()  # says why, if it was an error of the host
        for exchange in list(self._exchanges.values()):
            if exchange.head is None and isinstance(error, ConnectionResetError):
                message = "the connection was closed before an answer came"
                kept: Literal["connection", "origin"] = "connection" if self._served else "origin"
                exchange.fail(TransportError(message, hint=MAYBE_SENT, blame=kept))
            else:
                exchange.fail(error)
        self._admit()
        self.wire.close()

    def _take_in(self, data: bytes) -> None:
        """Hands frames to h2, one by one, since it takes GOAWAY for the end of all streams (RFC 9113, section 6.8)."""
        data, start = self._rest + data, 0
        while len(data) - start >= _FRAME:
            size = int.from_bytes(data[start : start + 3], "big")
            end = start + _FRAME + min(size, _CONTENT + 1)  # h2 refuses a larger one
            if len(data) < end:
                break
            if data[start + 3] == _GOAWAY and size >= 8:
                self._go_away(int.from_bytes(data[start + _FRAME : start + _FRAME + 4], "big") & 0x7FFFFFFF)
            else:
                for event in self._h2.receive_data(data[start:end]):
                    self._handle(event)
            start = end
        self._rest = data[start:]

    def _go_away(self, last: int) -> None:
        """The host begins with no request after `last`, and finishes those before."""
        self._ending = True
        for exchange in list(self._exchanges.values()):
            if exchange.id > last:
                message = "the host ended the connection before it began with the request"
                exchange.fail(TransportError(message, hint=NOT_SENT, sent=False, blame="connection"))
        self._admit()

    def _handle(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            self._admit()
            self._wake_all()
        elif isinstance(event, WindowUpdated) and not event.stream_id:
            self._wake_all()
        exchange = self._exchanges.get(getattr(event, "stream_id", None) or 0)
        if exchange is None:
            if isinstance(event, DataReceived):
                with contextlib.suppress(ProtocolError):  # of a stream that was given up
                    self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            return
        if handle := _HANDLERS.get(type(event)):
            handle(self, exchange, event)

    def _wake_all(self) -> None:
        for exchange in self._exchanges.values():
            exchange.writable.set()

    def _on_window(self, exchange: _Exchange, _event: Event) -> None:
        exchange.writable.set()

    def _on_head(self, exchange: _Exchange, event: Event) -> None:
        fields: Fields = [(bytes(name), bytes(value)) for name, value in event.headers]  # type: ignore[attr-defined]
        exchange.head_size += sum(len(name) + len(value) + 32 for name, value in fields)
        if exchange.head_size > self._head_bytes:
            message = f"the head of the answer is larger than {self._head_bytes} bytes"
            exchange.fail(TransportError(message, hint=MAYBE_SENT, temporary=False))
        elif isinstance(event, ResponseReceived):
            status = next(value for name, value in fields if name == b":status")
            exchange.head = int(status), [field for field in fields if not field[0].startswith(b":")]
            exchange.arrived.set()

    def _on_data(self, exchange: _Exchange, event: Event) -> None:
        exchange.pieces.append((event.data, event.flow_controlled_length))  # type: ignore[attr-defined]
        exchange.arrived.set()

    def _on_end(self, exchange: _Exchange, _event: Event) -> None:
        exchange.ended = True
        exchange.arrived.set()

    def _on_reset(self, exchange: _Exchange, event: Event) -> None:
        if event.error_code == ErrorCodes.REFUSED_STREAM:  # type: ignore[attr-defined]
            message = "the host refused the request before it began with it"
            exchange.fail(TransportError(message, hint=NOT_SENT, sent=False))
        elif exchange.head is None:
            exchange.fail(TransportError("the host reset the request before an answer came", hint=MAYBE_SENT))
        else:
            exchange.fail(ConnectionResetError())

    def close(self) -> None:
        """Ends the connection."""
        self._ending = True
        self.wire.close()

    async def closed(self) -> None:
        """Waits until nothing of a connection that was closed is left."""
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)


_HANDLERS: Final[dict[type, Callable[[Http2, _Exchange, Event], None]]] = {
    WindowUpdated: Http2._on_window,  # noqa: SLF001 - the table of its own methods
    ResponseReceived: Http2._on_head,  # noqa: SLF001
    InformationalResponseReceived: Http2._on_head,  # noqa: SLF001
    DataReceived: Http2._on_data,  # noqa: SLF001
    StreamEnded: Http2._on_end,  # noqa: SLF001
    StreamReset: Http2._on_reset,  # noqa: SLF001
}
