"""One connection each: made through the egress guard, and the head of every answer on it watched.

A Wire takes bytes and gives them. Which wire a request travels on is `network`'s, what the bytes mean is h11's, and how
long all of it may take is the client's.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from typing import Any, Final, cast

from connector.errors import TransportError
from runtime.config.settings import Limits
from runtime.http.guard import Guard, Origin

#: Hints of errors: whether a call that failed can be made again.
NOT_SENT: Final = "the request was not sent, so it is safe to try again"
MAYBE_SENT: Final = "the request may have been carried out; unless it is idempotent, look before sending it again"

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
            self._transport.write(data)
        if self._writing is not None:
            await self._writing

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
        self._left -= len(data)
        return data

    def end_head(self) -> None:
        """The head of the answer is complete."""
        self._left = None

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
        _wake(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = self._lost = True
        self._error = exc
        _wake(self._reading)
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writing = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        _wake(self._writing)
        self._writing = None


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


async def connect(guard: Guard, origin: Origin, limits: Limits, tls: ssl.SSLContext) -> Wire:
    """A new connection to an address that the guard gave; the name stays where it belongs, in SNI and Host (T34).

    Raises BlockedAddress, and TransportError where no connection was made in the time for it.
    """
    place = f"{origin.host} port {origin.port}"
    try:
        async with asyncio.timeout(limits.connect) as clock:
            addresses = await guard.resolve(origin.host, origin.port)
            for address in addresses:
                opened = await _open_socket(address, origin.port, limits.connect / len(addresses))
                if opened is not None:
                    break
    except TimeoutError:
        message = f"no connection to {place} in the time allowed for it, {limits.connect:g} s"
        raise TransportError(message, hint=NOT_SENT, sent=False) from None
    except OSError:
        message = f"the name {origin.host} could not be resolved"
        raise TransportError(message, hint=f"check its spelling; {NOT_SENT}", sent=False) from None
    if opened is None:
        message = f"no connection to {place}: none of its {len(addresses)} addresses accepted one"
        raise TransportError(message, hint=NOT_SENT, sent=False)
    secure: dict[str, Any] = {"ssl": tls, "server_hostname": origin.host} if origin.scheme == "https" else {}
    try:
        async with asyncio.timeout_at(clock.when()):
            make = asyncio.get_running_loop().create_connection
            return (await make(lambda: Wire(limits.head_bytes), sock=opened, **secure))[1]
    except ssl.SSLCertVerificationError as error:
        message = f"the certificate of the host is not trusted: {error.verify_message}"
    except TimeoutError:
        message = "the TLS handshake was not finished in the time allowed for a connection"
    except OSError:
        message = "the TLS handshake failed: the host may not speak TLS 1.2 or newer on this port"
    raise TransportError(message, hint=NOT_SENT, sent=False)


async def _open_socket(address: str, port: int, seconds: float) -> socket.socket | None:
    """A socket connected to an address; None where that is refused or takes longer."""
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.settimeout(0)
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(opened, (address, port))
    except (OSError, TimeoutError):
        opened.close()
        return None
    except BaseException:
        opened.close()
        raise
    return opened
