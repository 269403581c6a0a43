"""HTTP/1.1 on a wire, spoken by h11: one request and its answer after the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, cast

import h11

from connector.errors import TransportError
from connector.messages import Request, Stream
from runtime.http.dial import certificate_refused, http2_hint
from runtime.http.guard import Destination
from runtime.http.transport import MAYBE_SENT, Attempt, Fields, Route
from runtime.http.uploads import ends_early, pieces_of
from runtime.http.wire import STORE, Wire

#: What h11 is told of a request whose head is written here: validating and framing one took it a tenth of the time of
#: a whole call. Only its method matters for what follows, which is to read the answer. All else goes through h11.
_PLAIN_REQUESTS: Final = {
    method: h11.Request(method=method, target="/", headers=[("Host", "-")])
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}
_END: Final = h11.EndOfMessage()
#: Fields on which h11 acts, and of which it allows one only.
_OF_THE_CONNECTION: Final = frozenset({b"connection", b"expect", b"host", b"proxy-connection", b"te", b"upgrade"})
_MOST_NAMES: Final = 4096
#: Names of no such fields.
_plain_names: set[bytes] = set()


class Http1:
    """A connection that serves one request at a time."""

    def __init__(self, wire: Wire, route: Route, head_bytes: int, now: float) -> None:
        self.wire = wire
        #: When it was made.
        self.born = now
        self._route = route
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=head_bytes)
        self._kept = self._closed = False

    async def ask(
        self, request: Request, destination: Destination, fields: Fields, attempt: Attempt
    ) -> tuple[int, Fields, AsyncGenerator[bytes, None]]:
        """Sends a request; returns the head of its answer, and its body yet to be read."""
        own_host = "host" in request.headers
        if not own_host:
            fields.insert(0, (b"Host", destination.origin.authority.encode("ascii")))
        body, wire, send = request.body, self.wire, self._protocol.send
        small = not isinstance(body, Stream) and len(body or b"") <= STORE
        plain = _PLAIN_REQUESTS.get(request.method) if small and not own_host else None
        written = b"" if plain is None else _write_head(request.method, destination.target, fields)
        if not written:
            head = h11.Request(method=request.method, target=destination.target, headers=fields)
        wire.sent = False
        attempt.waits("waiting for the source of its body", "caller")
        try:
            if written:
                send(cast("h11.Request", plain))
                send(_END)
                wire.begin(written)
                with contextlib.suppress(ConnectionResetError):  # who closes the connection may have answered before
                    await wire.write(cast("bytes", body or b""))
                answer = await self._read_head()
            elif not small:
                answer = await self._upload(head, request)
            else:
                wire.begin(send(head) or b"")
                content = send(h11.Data(cast("bytes", body))) or b"" if body else b""
                with contextlib.suppress(ConnectionResetError):
                    await wire.write(content + (send(_END) or b""))
                answer = await self._read_head()
        except (TransportError, ConnectionResetError) as error:
            raise self._explain(error) from None
        finally:
            attempt.sent = wire.sent
        return answer.status_code, answer.headers.raw_items(), self._read_body()

    async def _upload(self, head: h11.Request, request: Request) -> h11.Response:
        """Sends a large body, or one that comes piece by piece, until it ends or an answer says that it is in vain."""
        wire, send = self.wire, self._protocol.send
        wire.begin(send(head) or b"")
        async with contextlib.aclosing(pieces_of(request.body)) as pieces:
            first = await anext(pieces, b"")
            with contextlib.suppress(ConnectionResetError):
                await wire.write(send(h11.Data(first)) or b"")
            return await ends_early(self._send_rest(pieces), self._read_head(), lambda head: head.status_code >= 300)

    async def _send_rest(self, pieces: AsyncGenerator[bytes, None]) -> None:
        wire, send = self.wire, self._protocol.send
        with contextlib.suppress(ConnectionResetError):
            async for piece in pieces:
                # What has come is taken in first: a write that meets a reset would throw it away.
                if not wire.is_quiet():
                    await asyncio.sleep(0)
                await wire.write(send(h11.Data(piece)) or b"")
            await wire.write(send(h11.EndOfMessage()) or b"")

    async def _read_head(self) -> h11.Response:
        while isinstance(event := await self._receive(), h11.InformationalResponse):
            if event.status_code == 101:
                raise _switched()
        self.wire.end_head()
        return cast("h11.Response", event)

    async def _read_body(self) -> AsyncGenerator[bytes, None]:
        while isinstance(event := await self._receive(), h11.Data):
            yield bytes(event.data)

    async def _receive(self) -> Any:
        """What h11 makes of what comes next."""
        data = b""
        try:
            while (event := self._protocol.next_event()) is h11.NEED_DATA:
                data = await self.wire.read()
                self._protocol.receive_data(data)
        except h11.RemoteProtocolError as error:
            if _is_http2(data):
                raise self._speaks_http2() from None
            if "_SWITCH_" in str(error):  # a 101 that was not requested
                raise _switched() from None
            raise
        return event

    def _explain(self, error: TransportError | ConnectionResetError) -> TransportError | ConnectionResetError:
        """The error, or what is known beyond it."""
        wire = self.wire
        if not wire.sent and _is_http2(wire.unread):
            return self._speaks_http2()
        if wire.is_refused:
            return certificate_refused(self._route, sent=wire.sent)
        if wire.is_cut and not self._kept and not wire.heard:
            hint = f"if the host wants a client certificate, {self._route.variable('CONNECTOR_CERT')} names its file"
            message = "the connection was cut off before an answer came"
            return TransportError(message, hint=f"{hint}; {MAYBE_SENT}", sent=wire.sent)
        temporary = not isinstance(error, TransportError) or (error.temporary and error.sent)
        if self._kept and wire.sent and not wire.heard and temporary:
            # Which of the two was first, the end of the connection or the request, cannot be known (RFC 9110, 9.2.2).
            message = "the connection, which had been kept, was closed before an answer came"
            return TransportError(message, hint=MAYBE_SENT, blame="connection")
        return error

    def _speaks_http2(self) -> TransportError:
        message = "expected an answer in HTTP/1.1, but the host speaks HTTP/2"
        hint = f"{http2_hint(self._route)}; {MAYBE_SENT}"
        return TransportError(message, hint=hint, sent=self.wire.sent, temporary=False)

    def is_usable(self, oldest: float) -> bool:
        """True while another request may be sent: it was made after `oldest`, and the other side is quiet."""
        return self.born >= oldest and self.wire.is_quiet()

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
        self._kept = True
        return True

    def close(self) -> None:
        """Ends the connection."""
        self._closed = True
        self.wire.close()


def _write_head(method: str, target: str, fields: Fields) -> bytes:
    """The head of a request with valid fields; empty if one of them says something of the connection."""
    names = [name for name, _ in fields]
    if not _plain_names.issuperset(names):
        if len(_plain_names) > _MOST_NAMES:
            _plain_names.clear()
        _plain_names.update(name for name in names if name == b"Host" or name.lower() not in _OF_THE_CONNECTION)
        if not _plain_names.issuperset(names):
            return b""
    lines = b"".join([b"%s: %s\r\n" % field for field in fields])
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method.encode("ascii"), target.encode("ascii"), lines)


def _switched() -> TransportError:
    return TransportError("the host switched to another protocol than HTTP", hint=MAYBE_SENT, temporary=False)


def _is_http2(data: bytes) -> bool:
    """True for the SETTINGS frame with which a server begins to speak HTTP/2 (RFC 9113, section 3.4)."""
    return len(data) >= 9 and data[:2] == b"\0\0" and data[3] == 4 and data[5:9] == bytes(4)
