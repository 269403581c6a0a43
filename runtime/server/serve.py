"""The server under the application: few enough clients, none of them slow, and an end that loses nothing.

uvicorn has no deadline for a request, so a client that sends its header or its body a byte at a time would hold a
connection for ever (hazard T70). `RequestDeadline` closes it, and refuses clients when there are too many.
It is put before uvicorn's protocol over h11, or over httptools where the extra `speed` brings that. What is answered is
the application's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:  # without the extra `speed`
    HttpToolsProtocol = asyncio.Protocol  # type: ignore[assignment, misc]  # what nobody uses then

from connector.errors import ConfigurationError
from runtime.config.settings import Limits

#: Seconds that answers which have begun may take after the end was asked for (hazard K14).
GRACE = 20
#: Seconds after which a thread gets the interpreter that it waits for. The thread that commits waits for it after every
#: statement; with Python's own 5 ms one message of a hundred waited twice as long for its 202.
SWITCHING = 0.0005
#: New objects after which the collector looks at the youngest. A message makes dozens, which all go by themselves; with
#: Python's own 700 the collector took a twentieth of the time of each.
COLLECTING = 50_000
#: File descriptors that are not for clients: the journal, providers, subscribers.
_OWN_FILES = 64
_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Joined:
    """A transport that sends the head of an answer with the beginning of its body, in one segment.

    A second one would cost both sides as much as the first. A head whose body is late goes alone, in the next turn of
    the loop.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: bytes | None = None
        # What is asked for with every request.
        self.is_closing, self.resume_reading = transport.is_closing, transport.resume_reading

    def write(self, data: bytes) -> None:
        """Holds what comes first, and sends it with what comes next."""
        if not data:
            return
        if self._held is None:
            self._held = data
            asyncio.get_running_loop().call_soon(self._send)
        else:
            held, self._held = self._held, None
            self._transport.write(held + data)

    def _send(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._transport.write(held)

    def close(self) -> None:
        """Sends what is held, and closes."""
        self._send()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's."""
        return getattr(self._transport, name)


class RequestDeadline(asyncio.Protocol):
    """A deadline for each request, and a limit on clients, before a protocol of uvicorn; `make_protocol` says which."""

    #: Seconds for a request to come, to its last byte.
    patience = 10.0
    #: Clients at once.
    most = 1000
    #: Bytes that the head of a request may have.
    head_bytes = 64 * 1024
    _deadline: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Takes a client, or turns it away if there are too many."""
        if len(self.connections) >= self.most:  # type: ignore[attr-defined]  # as the protocol below
            self._refused = True
            self.transport = transport
            transport.write(_TOO_MANY)
            transport.close()
            return
        super().connection_made(Joined(transport))  # type: ignore[arg-type]  # what uvicorn asks for
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Reads on; the deadline holds until the request has come."""
        if self._refused:
            return
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the client."""
        self._rest()
        if not self._refused:
            super().connection_lost(exc)

    def awaits(self) -> bool:
        """True while a request is still to come, or the rest of one."""
        raise NotImplementedError

    def answers(self) -> bool:
        """True if the answer to a request has begun and not ended."""
        raise NotImplementedError

    def _watch(self) -> None:
        if self.awaits() and not self.transport.is_closing():
            if self._deadline is None:
                self._deadline = asyncio.get_running_loop().call_later(self.patience, self._end)
        else:
            self._rest()

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if not self.answers():
            self.transport.write(_TOO_SLOW)
        self.transport.close()


class PlainProtocol(RequestDeadline, H11Protocol):
    """Over h11, which is always there."""

    def awaits(self) -> bool:
        """See Patience."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def answers(self) -> bool:
        """See Patience."""
        return self.conn.our_state is not h11.IDLE and (self.cycle is None or self.cycle.response_started)


class FastProtocol(RequestDeadline, HttpToolsProtocol):
    """Over httptools, which takes a quarter of the time; what h11 refuses by itself is refused here."""

    #: True from the first byte of a request to the end of its head, and from there to its last byte.
    _in_head = _in_body = False
    #: Bytes that have come since the head was complete or a piece of the body was there.
    _pending = 0

    def data_received(self, data: bytes) -> None:
        """Reads on, unless a head, the frame of a chunk or a trailer is too large."""
        self._pending += len(data)
        super().data_received(data)
        if self._pending > self.head_bytes and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")
            self._rest()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there; its target counts as it came, whatever form it has (hazard T67)."""
        self._in_head, self._in_body, self._pending = False, True, 0
        super().on_headers_complete()
        self.scope["raw_path"] = self.url.partition(b"?")[0]
        # Fields of a trailer go nowhere: they would pass for those of the head, which a proxy has checked.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """A piece of the body is there."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._in_body, self._pending = False, 0
        super().on_message_complete()

    def awaits(self) -> bool:
        """See Patience."""
        return self._in_head or self._in_body or self.cycle is None or self.cycle.response_complete

    def answers(self) -> bool:
        """See Patience."""
        return not self._in_head and self.cycle is not None and self.cycle.response_started


def make_protocol(limits: Limits, *, fast: bool = True) -> type[asyncio.Protocol]:
    """The protocol with an operator's limits; clients are fewer where the process may open few files (hazard L2).

    `fast` takes httptools if it is there.
    """
    most = limits.clients
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = max(1, min(most, soft - _OWN_FILES)) if soft > 0 else most
    told = {"patience": limits.request_seconds, "most": most, "head_bytes": limits.head_bytes}
    return type("Protocol", (FastProtocol if fast and hasattr(HttpToolsProtocol, "on_url") else PlainProtocol,), told)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The event loop to serve on: uvloop's where the extra `speed` brings it."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class Server(uvicorn.Server):
    """uvicorn's server, which ends in order when it is told to and says so to streams."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping
        #: True if a person interrupted it, rather than a supervisor ending it.
        self.interrupted = False
        #: Called as soon as requests are answered.
        self.on_ready: Callable[[], None] = lambda: None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to answer."""
        await super().startup(sockets)
        self.on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes SIGTERM and SIGINT as the wish to end; a second SIGINT does not wait."""
        loop = asyncio.get_running_loop()
        taken = []
        for each in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
                loop.add_signal_handler(each, self._end, each)
                taken.append(each)
        try:
            yield
        finally:
            for each in taken:
                loop.remove_signal_handler(each)

    def _end(self, number: int) -> None:
        self.interrupted = self.interrupted or number == signal.SIGINT
        self.handle_exit(number, None)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no more clients, lets answers finish within the grace, and closes the application."""
        self._stopping.set()
        await super().shutdown(sockets)


def tune_process() -> None:
    """Settings of the whole process, which only who owns it may choose: how threads take turns, what is collected."""
    sys.setswitchinterval(SWITCHING)
    # What was loaded until now stays: a collector that walked through it would hold up every request meanwhile.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTING)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises ConfigurationError where there can be none."""
    try:
        if not 0 <= port <= 65535:
            raise OSError(errno.EINVAL, "there is no such port")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    except OSError as error:
        message = f"cannot listen on {host}, port {port}: {error.strerror}"
        raise ConfigurationError(message, hint="choose another port with --port; 0 takes a free one") from None


async def serve(
    app: Any,
    listener: socket.socket,
    *,
    limits: Limits,
    stopping: asyncio.Event,
    on_ready: Callable[[], None] = lambda: None,
    fast: bool = True,
) -> bool:
    """Serves an application until the process is told to end; gives True if a person interrupted it.

    Its lifespan is the caller's, whose errors are then said as they are. `on_ready` is called as soon as requests are
    answered; `fast` is `make_protocol`'s.
    """
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=make_protocol(limits, fast=fast),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=limits.head_bytes,
        backlog=2048,
    )
    server = Server(config, stopping)
    server.on_ready = on_ready
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(running)
    finally:
        # Cancelled itself, it still ends in order.
        server.should_exit = True
        await running
    return server.interrupted
