"""A server that speaks HTTP/2, frame by frame where a play wants it so.

    async with serving_http2(play, tls) as server: ...

A play is a coroutine of an Http2Peer. `requests` yields the requests as they are complete; what is written in answer is
h2's, and `frame` writes one that h2 would not.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import trustme

from tests.doubles.raw import Peer, Raw, serving


@dataclass
class Asked:
    """A request: its stream, its fields and its body."""

    stream: int
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""

    @property
    def path(self) -> str:
        return dict(self.fields)[b":path"].decode()


class Http2Peer:
    """One connection as its server sees it."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.number = peer.number
        config = h2.config.H2Configuration(
            client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self.asked: dict[int, Asked] = {}
        #: Streams that the client reset.
        self.reset: list[int] = []

    async def begin(self, **settings: int) -> None:
        self.h2.initiate_connection()
        if settings:
            codes = {name: getattr(h2.settings.SettingCodes, name) for name in settings}
            self.h2.update_settings({codes[name]: value for name, value in settings.items()})
        await self.flush()

    async def flush(self) -> None:
        await self.peer.write(self.h2.data_to_send())

    async def requests(self, *, whole: bool = True) -> AsyncIterator[Asked]:
        """Requests as they come; whole ones, or as soon as their head has come."""
        while data := await self.peer.reader.read(65536):
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.asked[event.stream_id] = asked = Asked(event.stream_id, list(event.headers))
                    if not whole:
                        yield asked
                elif isinstance(event, h2.events.DataReceived):
                    self.asked[event.stream_id].body += event.data
                    with contextlib.suppress(h2.exceptions.ProtocolError):
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded) and whole:
                    yield self.asked[event.stream_id]
                elif isinstance(event, h2.events.StreamReset):
                    self.reset.append(event.stream_id)
            await self.flush()

    async def answer(
        self, asked: Asked, body: bytes = b'{"id":1}', status: int = 200, *, end: bool = True, **fields: str
    ) -> None:
        head = [(":status", str(status)), ("content-type", "application/json"), *fields.items()]
        self.h2.send_headers(asked.stream, head, end_stream=not body and end)
        if body:
            self.h2.send_data(asked.stream, body, end_stream=end)
        await self.flush()

    async def frame(self, kind: int, content: bytes, *, flags: int = 0, stream: int = 0) -> None:
        """One frame, whatever h2 thinks of it (RFC 9113, section 4.1)."""
        await self.flush()
        await self.peer.write(len(content).to_bytes(3, "big"), bytes([kind, flags]), stream.to_bytes(4, "big"), content)

    async def go_away(self, last: int, code: int = 0) -> None:
        await self.frame(7, last.to_bytes(4, "big") + code.to_bytes(4, "big"))


def tls_for(authority: trustme.CA, *protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(list(protocols))
    return context


@contextlib.asynccontextmanager
async def serving_http2(
    play: Callable[[Http2Peer], Awaitable[None]], authority: trustme.CA, *protocols: str, otherwise: Any = None
) -> AsyncIterator[Raw]:
    """A TLS server that offers these protocols, `h2` alone by default; `otherwise` plays where HTTP/1.1 was chosen."""

    async def choose(peer: Peer) -> None:
        chosen = peer.writer.get_extra_info("ssl_object").selected_alpn_protocol()
        if chosen == "h2" or otherwise is None:
            await play(Http2Peer(peer))
        else:
            await otherwise(peer)

    async with serving(choose, tls_for(authority, *(protocols or ("h2",)))) as raw:
        yield raw


@dataclass
class Log:
    """What plays note."""

    seen: list[Any] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
