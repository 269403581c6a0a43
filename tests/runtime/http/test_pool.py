"""Which connection a request takes: one that is kept, if it still stands and nobody spoke on it, else a new one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import trustme

from connector.errors import TransportError
from connector.messages import Request, Stream
from runtime.config.settings import Limits
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.http.pool import Network
from runtime.http.transport import NOT_SENT, Attempt, Route
from tests.doubles.faults import MIB, FaultServer
from tests.doubles.http2_server import Http2Peer, serving_http2
from tests.doubles.raw import Peer

pytestmark = pytest.mark.anyio

FIRST = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"


@contextlib.contextmanager
def provider(*plays: Callable[[socket.socket], None]) -> Iterator[str]:
    """A provider in a thread of its own, which does not wait for our event loop; each connection gets its play."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for play in plays:
                connection, _ = server.accept()
                with connection:
                    play(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive(), "not every connection was made"


async def ask(client: Client, url: str, body: bytes | None = None) -> bytes:
    request = Request("GET" if body is None else "POST", url, body=body)
    return (await client.send(request, operation="files.list")).body


async def test_P2_a_connection_that_was_closed_meanwhile_is_not_used_again() -> None:
    """Even if our event loop had no turn to see it."""
    closed = threading.Event()

    def close(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(FIRST)
        connection.shutdown(socket.SHUT_WR)
        closed.set()

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(SECOND)

    with provider(close, answer) as url:
        async with Client(Guard({url})) as client:
            assert await ask(client, url) == b"first"
            closed.wait(10)
            assert await ask(client, url) == b"second"


@pytest.mark.parametrize("turns", [0, 10], ids=["before our event loop saw it", "after"])
async def test_T46_a_connection_on_which_somebody_spoke_unasked_is_not_used_again(turns: int) -> None:
    spoken, asked = threading.Event(), threading.Event()

    def speak(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(FIRST)
        asked.wait(10)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nanother's")
        spoken.set()

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(SECOND)

    with provider(speak, answer) as url:
        async with Client(Guard({url})) as client:
            assert await ask(client, url) == b"first"
            asked.set()
            spoken.wait(10)
            for _ in range(turns):
                await asyncio.sleep(0)
            assert await ask(client, url) == b"second"


#: What a hostile or broken provider writes behind an answer, in the same segment.
SMUGGLED = {
    "the beginning of a head": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\nX-Smuggled: ",
    "one byte": b"H",
    "a whole second answer": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nanother's",
}
ENDINGS = {
    "content-length": ("GET", FIRST, b"first"),
    "chunked": ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n", b"first"),
    "no body": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b""),
}


@pytest.mark.parametrize("behind", SMUGGLED.values(), ids=list(SMUGGLED))
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=list(ENDINGS))
@pytest.mark.parametrize("streamed", [False, True], ids=["read whole", "streamed"])
async def test_T46_bytes_behind_an_answer_are_never_those_of_the_next(
    ending: tuple[str, bytes, bytes], behind: bytes, streamed: bool
) -> None:
    method, answer, body = ending

    def smuggle(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer + behind)
        # Where the connection is used again, what began as an answer becomes a whole one.
        if connection.recv(4096):
            connection.sendall(b"\r\n\r\nanother's")

    def reply(connection: socket.socket) -> None:
        assert connection.recv(4096).startswith(b"POST ")
        connection.sendall(SECOND)

    with provider(smuggle, reply) as url:
        async with Client(Guard({url})) as client:
            request = Request(method, url)
            if streamed:
                async with client.stream(request, operation="files.list") as opened:
                    assert (await opened.read()).body == body
            else:
                assert (await client.send(request, operation="files.list")).body == body
            assert await ask(client, url, b"{}") == b"second"


async def test_T46_the_body_that_follows_an_answer_to_HEAD_is_not_the_next_answer() -> None:
    def with_body(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(FIRST)
        assert connection.recv(4096) == b""

    def reply(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(SECOND)

    with provider(with_body, reply) as url:
        async with Client(Guard({url})) as client:
            assert (await client.send(Request("HEAD", url), operation="files.list")).body == b""
            assert await ask(client, url, b"{}") == b"second"


async def test_T46_what_comes_while_a_source_is_read_is_not_the_answer() -> None:
    """The head of an upload leaves with its first piece; until then nothing was asked, and nothing can answer."""
    unasked, seen = threading.Event(), threading.Event()

    def speak(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(FIRST)
        unasked.wait(10)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nanother's")
        seen.set()
        assert connection.recv(4096) == b""

    async def slow() -> AsyncIterator[bytes]:
        unasked.set()
        await asyncio.to_thread(seen.wait, 10)
        for _ in range(10):
            await asyncio.sleep(0)
        yield b"piece"

    with provider(speak) as url:
        async with Client(Guard({url})) as client:
            assert await ask(client, url) == b"first"
            with pytest.raises(TransportError, match="before its request") as caught:
                await client.send(Request("POST", url, body=Stream((slow(),))), operation="files.create")
    assert not caught.value.sent
    assert caught.value.hint == NOT_SENT


async def test_who_answers_before_all_was_sent_and_closes_is_heard() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(MIB):
            pass

    with provider(refuse) as url:
        async with Client(Guard({url}), Limits(deadline=10)) as client:
            answer = await client.send(Request("POST", url, body=bytes(16 * MIB)), operation="files.create")
    assert answer.status == 413


async def test_a_connection_is_given_up_after_its_time_and_for_one_to_another_origin() -> None:
    async with FaultServer() as one, FaultServer() as other:
        async with Client(Guard({one.origin, other.origin}), Limits(all_connections=1)) as client:
            await ask(client, one.url("/echo"))
            await ask(client, other.url("/echo"))
            await one.all_closed()
            await ask(client, other.url("/echo"))
            assert (one.connections, other.connections) == (1, 1)
        async with Client(Guard({one.origin}), Limits(keepalive=0)) as client:
            await ask(client, one.url("/echo"))
            await ask(client, one.url("/echo"))
        assert one.connections == 3


async def test_a_client_that_is_closed_ends_the_calls_under_way() -> None:
    def wait(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(FIRST[:-1])
        assert connection.recv(4096) == b""

    with provider(wait) as url:
        client = Client(Guard({url}))
        async with client.stream(Request("GET", url), operation="files.list") as answer:
            pieces = aiter(answer)
            assert await anext(pieces) == b"firs"
            await client.aclose()
            with pytest.raises(TransportError, match="the stream broke off after 4 bytes"):
                await anext(pieces)


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
async def test_transport_25_a_name_that_has_moved_is_followed_after_five_minutes_at_most(
    http2: bool, tmp_path: Path
) -> None:
    """However busy its connection is: it has an age as well as an idle time."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    now = [1000.0]

    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            await peer.answer(asked)

    async def plain(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    async with serving_http2(play, authority, "h2", "http/1.1", otherwise=plain) as server:
        origin = server.url
        network = Network(Guard([origin]), Limits(), None, lambda: now[0])
        route = Route(trust=str(tmp_path / "ca.pem"), http2=http2)

        async def once() -> None:
            answer = await network.open(Request("GET", origin), route, Attempt())
            async for _ in answer.stream:
                pass
            await answer.stream.aclose()

        for _ in range(30):
            await once()
            now[0] += 9.9
        assert server.connections == 1
        now[0] += 9.9
        await once()
        await once()
        assert server.connections == 2
        await network.aclose()
        await server.all_closed()


async def test_transport_03_quiet_kept_connections_of_one_tenant_do_not_serve_another() -> None:
    async with FaultServer() as one, Client(Guard({one.origin})) as client:
        for tenant in ("a", "b", "a", "b"):
            await ask(client.for_tenant(tenant), one.url("/echo"))
        assert one.connections == 2
