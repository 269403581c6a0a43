"""One connection each, and the head of every answer on it watched.

A Wire takes bytes and gives them. How it is made is `dial`'s, which wire a request travels on is `pool`'s, what the
bytes mean is an engine's (`http1`, `http2`), and how long all of it may take is the client's.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import ssl
from typing import Final, cast

from connector.errors import TransportError
from runtime.http.transport import MAYBE_SENT, NOT_SENT

#: What has come and was not read yet is at most this long, in bytes; until it is read, nothing more is taken in.
STORE: Final = 64 * 1024


class Wire(asyncio.BufferedProtocol):
    """A connection that watches the head of each answer: its size, and that it did not come before the request.

    h11 limits one head, but takes any number of interim answers (hazard T46). `sent` becomes True when the first
    bytes of a request are handed to the socket: until then the other side cannot have acted on it.
    """

    def __init__(self, head_bytes: int) -> None:
        self._head_bytes = head_bytes
        #: Bytes the head of the answer may still have; None once it is complete.
        self._left: int | None = None
        #: The head of a request until what follows it is there as well: one packet in place of two.
        self._head = b""
        self.sent = False
        #: True once a byte has come since the request began.
        self.heard = False
        self._store = memoryview(bytearray(STORE))
        self._start = self._end = 0
        self._ended = self._lost = False
        self._error: Exception | None = None
        self._reading: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None

    def begin(self, head: bytes) -> None:
        """Begins a request with its head; at least one `write` follows."""
        self._left = self._head_bytes
        self._head = head
        self.heard = False

    async def write(self, data: bytes) -> None:
        """Sends what follows the head of a request, its end being empty.

        Raises ConnectionResetError, and TransportError where the other side spoke before the request began.
        """
        if not self.sent and self.holds_bytes:
            # Nothing was asked yet: it is left over from an answer before, which may have been another tenant's.
            raise TransportError("an answer was there before its request was sent", hint=NOT_SENT, sent=False)
        if self._ended:
            raise ConnectionResetError
        self.sent = True
        if len(data) <= STORE:
            data = self._head + data
        else:
            self._transport.write(self._head)
        self._head = b""
        if data:
            await self.send(data)

    async def send(self, data: bytes) -> None:
        """Hands bytes to the socket, and waits while the other side takes no more of them."""
        if data:
            self._transport.write(data)
        if self._writing is not None:
            await asyncio.shield(self._writing)

    def push(self, data: bytes, most: int) -> None:
        """Hands bytes to the socket without waiting; a connection with more than `most` that wait is ended."""
        if self._ended:
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > most:
            self._transport.abort()

    async def read(self) -> bytes:
        """What has come, at most STORE bytes; empty at the end.

        Raises TransportError for a head that is too long or breaks off, ConnectionResetError where the connection did.
        """
        if self._left is None:
            return await self._take(STORE)
        if not self._left:
            message = f"the head of the answer is larger than {self._head_bytes} bytes"
            raise TransportError(message, hint=MAYBE_SENT, temporary=False)
        data = await self._take(self._left)
        if not data:
            message = "the connection was closed before the head of an answer was complete"
            raise TransportError(message, hint=MAYBE_SENT)
        self.heard = True
        self._left -= len(data)
        return data

    def end_head(self) -> None:
        """The head of the answer is complete."""
        self._left = None

    @property
    def protocol(self) -> str:
        """What was agreed on in the TLS handshake (ALPN), empty for nothing."""
        tls = self._transport.get_extra_info("ssl_object")
        return "" if tls is None else tls.selected_alpn_protocol() or ""

    @property
    def is_refused(self) -> bool:
        """True if the other side refused our certificate, or wanted one: TLS 1.3 does so behind the handshake."""
        return isinstance(self._error, ssl.SSLError) and "CERTIFICATE" in (self._error.reason or "")

    @property
    def is_cut(self) -> bool:
        """True if a TLS connection ended without a word, as it does where servers refuse a client and do not say so."""
        return self._error is not None and self._transport.get_extra_info("ssl_object") is not None

    @property
    def unread(self) -> bytes:
        """What has come and was not read."""
        return bytes(self._store[self._start : self._end])

    @property
    def holds_bytes(self) -> bool:
        """True while bytes have come that were not read."""
        return self._start < self._end

    def is_quiet(self) -> bool:
        """True while the other side neither closes the connection nor says anything unasked."""
        if self._ended or self.holds_bytes:
            return False
        # What came since the event loop last looked.
        number = self._transport.get_extra_info("socket").fileno()
        if not hasattr(select, "poll"):  # pragma: no cover - Windows
            return not select.select([number], [], [], 0)[0]
        probe = select.poll()
        probe.register(number, select.POLLIN)
        return not probe.poll(0)

    def close(self) -> None:
        """Ends the connection; its socket is closed in the next turn of the event loop."""
        if not self._lost:
            self._transport.abort()

    async def _take(self, size: int) -> bytes:
        while self._start == self._end:
            if self._error is not None:
                raise ConnectionResetError
            if self._ended:
                return b""
            self._reading = asyncio.get_running_loop().create_future()
            await self._reading
        stop = min(self._start + size, self._end)
        data = bytes(self._store[self._start : stop])
        self._start = stop
        if stop == self._end:
            self._start = self._end = 0
            self._transport.resume_reading()
        return data

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._store[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        self._end += nbytes
        if self._end == STORE:
            self._transport.pause_reading()
        _wake(self._reading)

    def eof_received(self) -> None:
        self._ended = True
        self._error = self._find_cut()
        _wake(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._take_in_the_rest()
        if not self._ended:
            # uvloop reports the end of a TLS connection that was not announced only here, and without an error.
            secure = self._transport.get_extra_info("ssl_object") is not None
            self._error = exc or (ConnectionResetError() if secure else None)
        self._ended = self._lost = True
        _wake(self._reading)
        self.resume_writing()

    def _find_cut(self) -> OSError | None:
        """An error for the end of a TLS connection that the other side did not announce (RFC 8446, section 6.1).

        Event loops take it for an end like any other, but anyone on the way can make it.
        """
        tls = self._transport.get_extra_info("ssl_object")
        if tls is None:
            return None
        try:
            return ConnectionResetError() if tls.read(1) else None
        except ssl.SSLZeroReturnError:
            return None
        except OSError as error:  # those of ssl as well
            return error

    def _take_in_the_rest(self) -> None:
        """What came before the reset that a write of ours met first: often the answer that says why."""
        opened = self._transport.get_extra_info("socket")
        if opened is None or self._transport.get_extra_info("ssl_object") is not None:
            return  # what is left is not plain text
        with contextlib.suppress(OSError), opened.dup() as plain:
            plain.settimeout(0)
            while (room := self.get_buffer(-1)) and (count := plain.recv_into(room)):
                self._end += count

    def pause_writing(self) -> None:
        self._writing = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        _wake(self._writing)
        self._writing = None


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
