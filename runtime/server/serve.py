"""The server under the application: uvicorn with a deadline for requests, a limit on clients, and an orderly end.

uvicorn has no deadline for a request, so a client that sends a byte at a time would hold a connection for ever (hazard
T70). `RequestDeadline` closes it, and refuses clients when there are too many. It extends uvicorn's protocol over h11,
or over httptools where the platform has it.
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
except ImportError:  # a platform without wheels of it
    HttpToolsProtocol = asyncio.Protocol  # type: ignore[assignment, misc]  # never used then

from connector.errors import ConfigurationError
from runtime.config.settings import Limits

#: Seconds that answers in progress may take after the order to stop (hazard K14).
GRACE = 20
#: Seconds after which a waiting thread gets the interpreter. The thread that commits waits for it after each statement;
#: with Python's default of 5 ms the 99th percentile of a webhook's answer is several times as long.
SWITCHING = 0.0005
#: New objects after which the collector runs. A message makes dozens, which all go by themselves; with Python's default
#: the collector took a twentieth of the time of each message.
COLLECTING = 50_000
#: File descriptors kept for the journal, providers and subscribers.
_OWN_FILES = 64
_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Joined:
    """A transport that sends the head of an answer together with the beginning of its body, in one TCP segment.

    A second segment costs both sides as much as the first: over h11, messages a second fell to a third without this.
    A head whose body is late is sent alone, in the next turn of the loop.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: bytes | None = None
        # Used with every request.
        self.is_closing, self.resume_reading = transport.is_closing, transport.resume_reading

    def write(self, data: bytes) -> None:
        """Holds the first piece, and sends it with the next one."""
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
    """A deadline for each request, and a limit on clients, for a protocol of uvicorn."""

    #: Seconds for a request to arrive, to its last byte.
    patience = 10.0
    #: The most clients at once.
    most = 1000
    #: The most bytes of the head of a request.
    head_bytes = 64 * 1024
    _deadline: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Accepts a client, or refuses it if there are too many."""
        if len(self.connections) >= self.most:  # type: ignore[attr-defined]  # as the protocol below
            self._refused = True
            self.transport = transport
            transport.write(_TOO_MANY)
            transport.close()
            return
        super().connection_made(Joined(transport))  # type: ignore[arg-type]  # it has what uvicorn uses
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Reads on; the deadline holds until the request is complete."""
        if self._refused:
            return
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Removes the client."""
        self._rest()
        if not self._refused:
            super().connection_lost(exc)

    def awaits(self) -> bool:
        """True while a request, or the rest of one, is still to arrive."""
        raise NotImplementedError

    def answers(self) -> bool:
        """True while an answer is being sent."""
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
        """See RequestDeadline."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def answers(self) -> bool:
        """See RequestDeadline."""
        return self.conn.our_state is not h11.IDLE and (self.cycle is None or self.cycle.response_started)


class FastProtocol(RequestDeadline, HttpToolsProtocol):
    """Over httptools, which takes a quarter of the time; it refuses itself what h11 would refuse."""

    #: True from the first byte of a request to the end of its head, and from there to its last byte.
    _in_head = _in_body = False
    #: Bytes since the head was complete or a piece of the body arrived.
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
        """The head is complete; its target is used as it came, in whatever form (hazard T67)."""
        self._in_head, self._in_body, self._pending = False, True, 0
        super().on_headers_complete()
        self.scope["raw_path"] = self.url.partition(b"?")[0]
        # Fields of a trailer are dropped: they would pass for those of the head, which a proxy has checked.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """A piece of the body arrived."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._in_body, self._pending = False, 0
        super().on_message_complete()

    def awaits(self) -> bool:
        """See RequestDeadline."""
        return self._in_head or self._in_body or self.cycle is None or self.cycle.response_complete

    def answers(self) -> bool:
        """See RequestDeadline."""
        return not self._in_head and self.cycle is not None and self.cycle.response_started


def make_protocol(limits: Limits, *, fast: bool = True) -> type[asyncio.Protocol]:
    """The protocol with an operator's limits; fewer clients if the process may open few files (hazard L2).

    With `fast` it is over httptools, if that is installed.
    """
    most = limits.clients
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = max(1, min(most, soft - _OWN_FILES)) if soft > 0 else most
    chosen = {"patience": limits.request_seconds, "most": most, "head_bytes": limits.head_bytes}
    return type("Protocol", (FastProtocol if fast and hasattr(HttpToolsProtocol, "on_url") else PlainProtocol,), chosen)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The event loop of the server: uvloop's if it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class Server(uvicorn.Server):
    """uvicorn's server, which ends in order and ends streams as well."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping
        #: True if it was interrupted (SIGINT) rather than terminated.
        self.interrupted = False
        #: Called as soon as requests are answered.
        self.on_ready: Callable[[], None] = lambda: None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to answer."""
        await super().startup(sockets)
        self.on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends at SIGTERM and SIGINT; a second SIGINT does not wait."""
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
        """Accepts no more clients, lets answers finish within the grace, and closes the application."""
        self._stopping.set()
        await super().shutdown(sockets)


def tune_process() -> None:
    """Sets how threads switch and what is collected; only for a process that does nothing but serve."""
    sys.setswitchinterval(SWITCHING)
    # What is loaded by now stays; collecting it would hold up every request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTING)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises ConfigurationError if the address cannot be used."""
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
    """Serves an application until the process receives the order to stop; returns True if it was interrupted.

    The caller runs the lifespan, and so sees its errors. `on_ready` is called as soon as requests are answered; for
    `fast` see `make_protocol`.
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
        # Even if cancelled it ends in order.
        server.should_exit = True
        await running
    return server.interrupted
