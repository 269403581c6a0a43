"""HTTP/1.1 byte for byte: servers that answer too much, too early, too late or not at all (the cases `transport-…`)."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from connector.errors import ResponseError, TransportError, UnknownOutcome
from runtime.config.settings import Limits, Settings
from tests.doubles.raw import Peer, demo, serving

pytestmark = pytest.mark.anyio

#: What an event loop reports of a connection differs.
LOOPS = [pytest.param("asyncio", id="asyncio"), pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")]
OWN, FOREIGN = b'{"id":1}', b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + b'{"id":"other"}'
MIB = 1024 * 1024


async def call(rt: Any, operation: str = "get", **inputs: Any) -> Any:
    async with asyncio.timeout(10):
        return (await rt.call("demo", f"s.{operation}", inputs)).fields["id"]


async def test_transport_01_a_second_answer_behind_the_first_is_never_anyones(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        if peer.number == 0:
            await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + OWN + FOREIGN)
            await peer.hang()
        await peer.answer(b'{"id":2}')
        await peer.hang()

    async with serving(play) as server, demo(tmp_path, server) as rt:
        assert [await call(rt), await call(rt, "make")] == [1, 2]
        assert server.connections == 2


async def test_transport_02_the_body_of_an_answer_to_head_is_not_the_next_answer(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    async with serving(play) as server, demo(tmp_path, server) as rt:
        await rt.call("demo", "s.head", {})
        assert await call(rt, "make") == 1
        assert server.connections == 2


@pytest.mark.parametrize(
    "unasked",
    [b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", FOREIGN, b"\0"],
    ids=["408", "a whole answer", "a byte"],
)
async def test_transport_03_what_comes_unasked_on_a_kept_connection_is_nobodys(unasked: bytes, tmp_path: Path) -> None:
    spoken = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b'{"id":%d}' % peer.number)
        if peer.number == 0:
            await asyncio.sleep(0.05)
            await peer.write(unasked)
            spoken.set()
        await peer.hang()

    async with serving(play) as server, demo(tmp_path, server) as rt:
        assert await call(rt) == 0
        await spoken.wait()
        assert await call(rt, "make") == 1
        assert server.connections == 2


BODIES = ("bytes", "path", "iterator")


class Source:
    """An iterator without a known length, and how much of it was read."""

    def __init__(self, size: int) -> None:
        self.left = size

    async def __call__(self) -> AsyncIterator[bytes]:
        while self.left > 0:
            self.left -= 64 * 1024
            yield bytes(64 * 1024)
            await asyncio.sleep(0)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_of(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("then", ["reads on", "closes", "never reads"])
async def test_transport_10_an_answer_during_an_upload_ends_it(
    then: str, kind: str, secure: bool, authority: trustme.CA, tmp_path: Path
) -> None:
    async def play(peer: Peer) -> None:
        head = await peer.head()
        if b"/upload" not in head:
            await peer.answer()
            return
        words = b'{"message":"that is too large"}'
        await peer.answer(words, "413 Content Too Large", b"Connection: close")
        if then == "never reads":
            await asyncio.sleep(5)
        if then == "reads on":
            ends = time.monotonic() + 0.3
            while time.monotonic() < ends and await peer.reader.read(65536):
                pass
        peer.writer.close()

    size, source = 25 * MIB, Source(25 * MIB)
    (tmp_path / "body.bin").write_bytes(bytes(size))
    body: Any = {"bytes": bytes(size), "path": tmp_path / "body.bin", "iterator": source()}[kind]
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(pem)
    async with (
        serving(play, tls_of(authority) if secure else None) as server,
        demo(tmp_path, server, environ={"CONNECTOR_CA__DEMO": str(pem)}) as rt,
    ):
        began = time.monotonic()
        with pytest.raises(ResponseError, match="that is too large"):
            await call(rt, "upload", file=body)
        assert time.monotonic() - began < 1
        if kind == "iterator":
            assert source.left > 10 * MIB
        assert await call(rt) == 1
        assert server.connections == 2


async def test_transport_10_a_source_that_hangs_does_not_hold_back_an_answer(tmp_path: Path) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    async def play(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"{}", "403 Forbidden", b"Connection: close")

    async with serving(play) as server, demo(tmp_path, server) as rt:
        with pytest.raises(ResponseError):
            await call(rt, "upload", file=silent())
        await server.all_closed()


async def test_an_early_success_does_not_cut_an_upload_off(tmp_path: Path) -> None:
    """A server that begins to answer while it reads gets the whole body."""
    seen = 0

    async def play(peer: Peer) -> None:
        nonlocal seen
        await peer.head()
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n")
        seen = len(await peer.reader.readexactly(6 * MIB))
        await peer.write(OWN)

    async with serving(play) as server, demo(tmp_path, server) as rt:
        assert await call(rt, "upload", file=bytes(6 * MIB)) == 1
        assert seen == 6 * MIB


async def test_transport_11_an_answer_before_the_end_of_an_upload_leaves_the_next_call_whole(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        while True:
            head = await peer.head()
            if b"/upload" not in head:
                await peer.answer()
                continue
            await peer.answer(b'{"message":"who are you"}', "401 Unauthorized")
            await peer.reader.readexactly(6 * MIB)

    async with serving(play) as server, demo(tmp_path, server) as rt:
        for _ in range(2):
            with pytest.raises(ResponseError, match="who are you"):
                await call(rt, "upload", file=bytes(6 * MIB))
            assert await call(rt) == 1


@pytest.mark.parametrize("operation", ["get", "once", "make"])
@pytest.mark.parametrize("reset", [False, True])
async def test_transport_12_a_kept_connection_that_ends_under_a_request(
    operation: str, reset: bool, tmp_path: Path
) -> None:
    """`once` has an idempotency key; a call that is not idempotent may have been carried out."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        if peer.number < 2:
            await peer.request()
            if reset:
                peer.reset()
            return
        await peer.hang()

    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with serving(play) as server, demo(tmp_path, server, sleep=sleep) as rt:
        assert await asyncio.gather(call(rt), call(rt)) == [1, 1]  # two connections, and both are ended
        if operation == "make":
            with pytest.raises(UnknownOutcome):
                await call(rt, operation)
        else:
            assert await call(rt, operation) == 1
        assert (server.connections, waits) == (2 if operation == "make" else 3, [])


@pytest.mark.parametrize("anyio_backend", LOOPS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_transport_13_a_reset_is_not_the_end_of_an_answer(
    streamed: bool, secure: bool, authority: trustme.CA, tmp_path: Path
) -> None:
    """Over TLS an end without close_notify is none either (RFC 8446, section 6.1)."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", OWN)
        await asyncio.sleep(0.02)
        if secure:
            with peer.writer.get_extra_info("socket").dup() as under:  # TLS says nothing
                under.shutdown(socket.SHUT_RDWR)
        peer.reset()

    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(pem)
    async with (
        serving(play, tls_of(authority) if secure else None) as server,
        demo(tmp_path, server, retry=1, environ={"CONNECTOR_CA__DEMO": str(pem)}) as rt,
    ):

        async def listen() -> None:
            async for _ in rt.stream("demo", "s.listen", {}):
                pass

        with pytest.raises(TransportError, match="broke off"):
            await (listen() if streamed else call(rt))


async def test_transport_14_interim_answers_come_before_the_answer(tmp_path: Path) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"

    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.write(b"HTTP/1.1 100 Continue\r\n\r\n", hint, hint)
            await peer.answer()

    async with serving(play) as server, demo(tmp_path, server) as rt:
        assert [await call(rt), await call(rt)] == [1, 1]
        assert server.connections == 1


async def test_transport_14_interim_answers_without_end_are_refused(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        while True:
            await peer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 100)

    async with serving(play) as server, demo(tmp_path, server) as rt:
        began = time.monotonic()
        with pytest.raises(TransportError, match="larger than 65536 bytes"):
            await call(rt)
        assert time.monotonic() - began < 0.5
        assert server.connections == 1
        await server.all_closed()


async def test_transport_14_a_change_of_protocol_that_nobody_asked_for_is_an_error(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n")
        await peer.hang()

    async with serving(play) as server, demo(tmp_path, server) as rt:
        with pytest.raises(TransportError, match="another protocol"):
            await call(rt)
        assert server.connections == 1


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_transport_15_extensions_and_trailers_of_chunks_are_read_over(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.write(
                CHUNKED, b'4;a=b;c="d"\r\n{"id\r\n', b'4;x\r\n":1}\r\n', b"0;last\r\nX-Sum: 1\r\nX-B: 2\r\n\r\n"
            )

    async with serving(play) as server, demo(tmp_path, server) as rt:
        assert [await call(rt), await call(rt, "make")] == [1, 1]
        assert server.connections == 1


@pytest.mark.parametrize("line", [b"X: " + b"x" * MIB, b"X: y\r\n" * 200_000, b""], ids=["one", "many", "extension"])
async def test_transport_15_trailers_and_extensions_without_end_are_refused(line: bytes, tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.write(CHUNKED, b"8\r\n" + OWN + b"\r\n", b"0\r\n" + line if line else b"8;" + b"x" * MIB)
        await peer.hang()

    async with serving(play) as server, demo(tmp_path, server, retry=1) as rt:
        with pytest.raises(TransportError, match="broke off|not one"):
            await call(rt)
        await server.all_closed()


async def test_transport_16_calls_that_are_given_up_disturb_no_others(tmp_path: Path) -> None:
    chance = random.Random(16)

    async def play(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            await asyncio.sleep(0.01)
            await peer.answer(body)

    from connector.messages import Request
    from runtime.http.client import Client
    from runtime.http.guard import Guard

    async with serving(play) as server, Client(Guard([server.url])) as client:

        async def echo(number: int, seconds: float) -> None:
            body = b"%d" % number
            async with asyncio.timeout(seconds):
                answer = await client.send(Request("POST", server.url, body=body), operation="a.b")
            assert answer.body == body

        for start in range(0, 800, 40):
            tasks = [echo(start + number, chance.random() * 0.03) for number in range(40)]
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert outcome is None or type(outcome) is TimeoutError
        await asyncio.gather(*(echo(number, 5) for number in range(1000, 1020)))
        network: Any = client._transport  # noqa: SLF001
        assert (network._places.taken, len(network._busy)) == (0, 0)  # noqa: SLF001
        await client.aclose()
        await server.all_closed()


async def test_transport_27_closing_a_runtime_ends_every_call(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        if peer.number:
            await peer.hang()
        await peer.answer()
        await peer.hang()

    settings, before = Settings(limits=Limits(connections=20)), asyncio.all_tasks()
    async with serving(play) as server:
        rt = demo(tmp_path, server, settings=settings)
        assert await call(rt) == 1
        calls = [asyncio.create_task(rt.call("demo", f"s.{name}", {})) for name in ["get", "make"] * 25]
        async with asyncio.timeout(10):
            while server.connections < 20:
                await asyncio.sleep(0.001)
        async with asyncio.timeout(1):
            await rt.aclose()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await server.all_closed()
    assert all(isinstance(outcome, TransportError) for outcome in outcomes), outcomes
    assert asyncio.all_tasks() == before


async def test_transport_27_closing_a_runtime_ends_calls_that_wait_to_be_sent_again(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"{}", "503 Service Unavailable", b"Retry-After: 30")
        await peer.hang()

    async with serving(play) as server:
        rt = demo(tmp_path, server)
        waiting = asyncio.create_task(rt.call("demo", "s.get", {}))
        async with asyncio.timeout(5):
            while not server.connections:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
        assert not waiting.done()
        async with asyncio.timeout(1):
            await rt.aclose()
            with pytest.raises(ResponseError):
                await waiting
