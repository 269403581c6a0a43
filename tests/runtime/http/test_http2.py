"""HTTP/2 against servers that are busy, in a hurry or hostile (the cases `transport-22` to `-24`)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from h2.events import DataReceived
from h2.exceptions import StreamClosedError, StreamIDTooLowError

from connector.errors import ResponseError, TransportError, UnknownOutcome
from connector.headers import Headers
from connector.messages import Request
from runtime.config.settings import Limits, Settings
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.http.transport import Route
from tests.doubles.http2_server import Asked, Http2Peer, serving_http2
from tests.doubles.raw import Peer, demo, serving

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
INTERNAL_ERROR, REFUSED_STREAM = 2, 7


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def environ(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return {"CONNECTOR_CA": str(tmp_path / "ca.pem"), "CONNECTOR_HTTP2__DEMO": "1"}


async def call(rt: Any, operation: str = "get", connection: str = "demo", **inputs: Any) -> Any:
    async with asyncio.timeout(10):
        return (await rt.call(connection, f"s.{operation}", inputs)).fields["id"]


async def respond(peer: Http2Peer) -> None:
    await peer.begin()
    async for asked in peer.requests():
        await peer.answer(asked)


async def respond1(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer(b'{"id":"HTTP/1.1"}')


async def test_transport_22_a_hundred_calls_share_a_connection(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    paths = []

    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            paths.append(asked.path)
            await peer.answer(asked, b'{"id":"%s"}' % asked.body.strip(b'"'))

    async with serving_http2(play, authority, "h2", "http/1.1", otherwise=respond1) as server:
        client = Client(Guard([server.url]))
        way = client.along(Route(trust=environ["CONNECTOR_CA"], http2=True))

        async def echo(number: int) -> None:
            request = Request("POST", f"{server.url}/{number}", body=b'"%d"' % number)
            assert (await way.send(request, operation="a.b")).body == b'{"id":"%d"}' % number

        await asyncio.gather(*(echo(number) for number in range(100)))
        await asyncio.gather(*(echo(number) for number in range(100)))
        await client.aclose()
        assert sorted(paths) == sorted([f"/{number}" for number in range(100)] * 2)
        assert server.connections == 1
        await server.all_closed()


async def test_transport_22_without_the_variable_or_with_another_host_it_is_http1(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    both: Any = {"otherwise": respond1}
    async with serving_http2(respond, authority, "h2", "http/1.1", **both) as server:
        async with demo(tmp_path, server, environ=environ) as rt:
            assert await call(rt) == 1
        async with demo(tmp_path, server, environ={**environ, "CONNECTOR_HTTP2__DEMO": ""}) as rt:
            assert await call(rt) == "HTTP/1.1"
    plain = serving_http2(respond, authority, "http/1.1", **both)
    async with plain as server, demo(tmp_path, server, environ=environ) as rt:
        assert await asyncio.gather(*(call(rt) for _ in range(5))) == ["HTTP/1.1"] * 5
        for _ in range(5):
            assert await call(rt) == "HTTP/1.1"
        assert server.connections <= 5
    async with serving(respond1) as server, demo(tmp_path, server, environ=environ) as rt:
        assert await call(rt) == "HTTP/1.1"  # without TLS nothing can be agreed on


@pytest.mark.parametrize("first", [True, False], ids=["it begins", "it waits for us"])
async def test_transport_22_a_host_that_speaks_http2_only_is_reported_with_the_setting(
    first: bool, authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    async def play(peer: Http2Peer) -> None:
        if not first:
            await peer.peer.reader.read(65536)
        await peer.begin()
        await peer.peer.hang()

    plain = {**environ, "CONNECTOR_HTTP2__DEMO": ""}
    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=plain) as rt:
        with pytest.raises(TransportError, match="speaks HTTP/2") as caught:
            await call(rt, "make")
    assert "CONNECTOR_HTTP2__DEMO=1" in caught.value.hint


@pytest.mark.parametrize("last", [0, 1])
async def test_transport_23_a_request_that_the_host_did_not_begin_with_is_made_again(
    last: int, authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    """GOAWAY: those after the last one were not begun with, and the others are still answered (RFC 9113, 6.8)."""

    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        first = None
        async for asked in peer.requests():
            if peer.number:
                await peer.answer(asked, b'{"id":2}')
            elif last and first is None:
                first = asked
            else:
                await peer.go_away(last)
                if first is not None:
                    await asyncio.sleep(0.02)
                    await peer.answer(first, b'{"id":1}')

    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=environ) as rt:
        if last:
            one = asyncio.create_task(call(rt, "make"))
            await asyncio.sleep(0.05)
            assert [await call(rt, "make"), await one] == [2, 1]
        else:
            assert await call(rt, "make") == 2
        assert server.connections == 2


async def test_transport_23_a_stream_that_was_refused_is_made_again(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    refused = []

    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            if refused:
                await peer.answer(asked)
            else:
                refused.append(asked)
                peer.h2.reset_stream(asked.stream, REFUSED_STREAM)
                await peer.flush()

    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=environ) as rt:
        assert await call(rt, "make") == 1
        assert (len(refused), server.connections) == (1, 1)
        refused.clear()
        async with demo(tmp_path, server, environ=environ, retry=1) as once:
            with pytest.raises(TransportError, match="refused the request") as caught:
                await call(once, "make")
            assert (caught.value.sent, type(caught.value)) == (False, TransportError)


@pytest.mark.parametrize("after", ["nothing", "head", "a part"])
async def test_transport_23_a_stream_that_is_reset_is_never_a_whole_answer(
    after: str, authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            if "/other" in asked.path:
                await peer.answer(asked)
                continue
            if after != "nothing":
                await peer.answer(asked, b'{"id":1}' if after == "a part" else b"", end=False)
            peer.h2.reset_stream(asked.stream, INTERNAL_ERROR)
            await peer.flush()

    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=environ) as rt:
        with pytest.raises(UnknownOutcome):
            await call(rt, "make")
        assert await call(rt, "other") == 1
        assert server.connections == 1


async def test_transport_23_a_window_that_is_lowered_under_an_upload(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    sizes = []

    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        size, shrunk = 0, False
        while size < MIB:
            for event in peer.h2.receive_data(await peer.peer.reader.read(65536)):
                if not isinstance(event, DataReceived):
                    continue
                size += len(event.data or b"")
                if not shrunk:
                    shrunk = True
                    # SETTINGS_INITIAL_WINDOW_SIZE is 1 from now on, so the window is far below zero.
                    await peer.frame(4, (4).to_bytes(2, "big") + (1).to_bytes(4, "big"))
                    await asyncio.sleep(0.02)
                length = event.flow_controlled_length or 1
                peer.h2.increment_flow_control_window(length)
                peer.h2.increment_flow_control_window(length + 16384, 1)
            await peer.flush()
        sizes.append(size)
        await peer.answer(Asked(1, []))

    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=environ) as rt:
        assert await call(rt, "upload", file=bytes(MIB)) == 1
        assert sizes == [MIB]


async def test_transport_23_a_head_without_end_is_refused(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            fields = [(":status", "200"), *((f"x-{number}", "x" * 1000) for number in range(1000))]
            peer.h2.send_headers(asked.stream, fields, end_stream=True)
            await peer.flush()

    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=environ) as rt:
        with pytest.raises(TransportError, match="head of the answer is larger than 65536 bytes|not one"):
            await call(rt)
        await server.all_closed()


async def test_transport_23_interim_answers_without_end_are_refused(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    """As `transport-14`: the head is bounded with all that comes before it."""

    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            if "/other" in asked.path:
                await peer.answer(asked)
                continue
            for _ in range(1000):
                peer.h2.send_headers(asked.stream, [(":status", "103"), ("link", "</a.css>")])
            await peer.flush()

    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=environ) as rt:
        began = time.monotonic()
        with pytest.raises(TransportError, match="larger than 65536 bytes"):
            await call(rt)
        assert time.monotonic() - began < 0.5
        assert await call(rt, "other") == 1
        assert server.connections == 1


@pytest.mark.parametrize("body", [b'{"id":1', b'{"id":1}   '], ids=["short", "long"])
async def test_transport_23_an_answer_that_differs_from_its_length_is_refused(
    body: bytes, authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            await peer.answer(asked, body, **{"content-length": "8"})

    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=environ, retry=1) as rt:
        with pytest.raises(TransportError, match="not one|broke off"):
            await call(rt)


async def test_transport_24_what_http1_refuses_http2_refuses_too(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    seen = []

    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            seen.append(asked)
            await peer.answer(asked)

    async with serving_http2(play, authority) as server, Client(Guard([server.url])) as client:
        way = client.along(Route(trust=environ["CONNECTOR_CA"], http2=True))
        for field in ("a\r\nX-Evil: 1", "a\nb", "a\0b"):
            with pytest.raises((TransportError, ValueError)):
                await way.send(Request("GET", server.url, headers=Headers({"X-A": field})), operation="a.b")
        for path in ("/a b", "/a\r\nb"):
            with pytest.raises(TransportError):
                await way.send(Request("GET", server.url + path), operation="a.b")
        assert seen == []
        target = "/a%2Fb%2f/..%2e//d;x=%7E?q=%20+&e=%c3%A9&e"
        given = Headers({"X-b": "1", "x-A": "2", "Authorization": "Bearer x", "Host": "elsewhere.example"})
        await way.send(Request("POST", server.url + target, headers=given, body=b"{}"), operation="a.b")
        names = [(name.decode(), value.decode()) for name, value in seen[0].fields]
        assert names[:4] == [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "elsewhere.example"),
            (":path", target),
        ]
        assert names[4:7] == [("x-b", "1"), ("x-a", "2"), ("authorization", "Bearer x")]
        assert [name for name, _ in names[7:]] == ["user-agent", "accept-encoding", "content-length"]


async def test_transport_10_an_answer_during_an_upload_ends_it(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests(whole=False):
            if "/upload" not in asked.path:
                await peer.answer(asked)
                continue
            await peer.answer(asked, b'{"message":"that is too large"}', 413)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=environ) as rt:
        for body in (bytes(25 * MIB), pieces()):
            began = time.monotonic()
            with pytest.raises(ResponseError, match="that is too large"):
                await call(rt, "upload", file=body)
            assert time.monotonic() - began < 1
            assert await call(rt) == 1
        assert server.connections == 1


@pytest.mark.parametrize("operation", ["get", "once", "make"])
async def test_transport_12_a_kept_connection_that_ends_under_a_request(
    operation: str, authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            if not peer.number and asked.stream > 1:
                return
            await peer.answer(asked)

    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=environ, sleep=sleep) as rt:
        assert await call(rt) == 1
        if operation == "make":
            with pytest.raises(UnknownOutcome):
                await call(rt, operation)
        else:
            assert await call(rt, operation) == 1
        assert (server.connections, waits) == (1 if operation == "make" else 2, [])


@pytest.mark.parametrize("way", ["ends", "goes away"])
async def test_transport_03_a_connection_that_ended_while_it_was_idle_is_not_used(
    way: str, authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            await peer.answer(asked)
            if not peer.number:
                if way == "ends":
                    return
                await peer.go_away(asked.stream)

    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=environ) as rt:
        for _ in range(2):
            assert await call(rt, "make") == 1
            await asyncio.sleep(0.05)
        assert server.connections == 2


async def test_transport_16_calls_that_are_given_up_free_their_streams_and_their_part_of_the_window(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    """Each that is given up leaves an answer of which nothing was read; all of them are more than the window."""
    chance = random.Random(16)

    async def play(peer: Http2Peer) -> None:
        await peer.begin(MAX_CONCURRENT_STREAMS=10)
        async for asked in peer.requests():
            if asked.path == "/large":
                # The stream may have been given up by now, and be forgotten.
                with contextlib.suppress(StreamClosedError, StreamIDTooLowError):
                    peer.h2.send_headers(asked.stream, [(":status", "200")])
                    for _ in range(12):
                        peer.h2.send_data(asked.stream, bytes(16384))
                await peer.flush()
            else:
                await peer.answer(asked, asked.body)

    async with serving_http2(play, authority) as server, Client(Guard([server.url])) as client:
        way = client.along(Route(trust=environ["CONNECTOR_CA"], http2=True))

        async def large() -> None:
            async with asyncio.timeout(chance.random() * 0.05):
                await way.send(Request("GET", f"{server.url}/large"), operation="a.b")

        for _ in range(20):
            outcomes = await asyncio.gather(*(large() for _ in range(20)), return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {TimeoutError}
        for number in range(20):
            body = b"%d" % number
            async with asyncio.timeout(5):
                assert (await way.send(Request("POST", server.url, body=body), operation="a.b")).body == body
        network: Any = client._transport  # noqa: SLF001
        assert network._places.taken == 0  # noqa: SLF001
        assert server.connections == 1


async def test_a_stream_is_read_as_it_comes_and_leaving_it_ends_it_alone(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    peers: list[Http2Peer] = []

    async def play(peer: Http2Peer) -> None:
        peers.append(peer)
        await peer.begin()
        async for asked in peer.requests():
            if "/listen" in asked.path:
                peer.h2.send_headers(asked.stream, [(":status", "200"), ("content-type", "application/octet-stream")])
                peer.h2.send_data(asked.stream, b"first")
                await peer.flush()
            else:
                await peer.answer(asked)

    async with serving_http2(play, authority) as server, demo(tmp_path, server, environ=environ) as rt:
        chunks: Any = rt.stream("demo", "s.listen", {})
        assert (await anext(chunks)).raw == b"first"
        assert await call(rt) == 1
        await chunks.aclose()
        assert await call(rt) == 1
        assert (server.connections, peers[0].reset) == (1, [1])


async def test_transport_26_tenants_share_no_connection(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    async with serving_http2(respond, authority) as server, demo(tmp_path, server, environ=environ) as rt:
        for connection in ("demo:a", "demo:b", "demo:a", "demo:b"):
            assert await call(rt, "get", connection) == 1
        assert server.connections == 2


async def test_transport_27_closing_a_runtime_ends_every_call(
    authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    asked_for = asyncio.Event()

    async def play(peer: Http2Peer) -> None:
        await peer.begin(MAX_CONCURRENT_STREAMS=20)
        async for _ in peer.requests():
            if len(peer.asked) == 20:
                asked_for.set()

    settings, before = Settings(limits=Limits(connections=40)), asyncio.all_tasks()
    async with serving_http2(play, authority) as server:
        from dataclasses import replace

        rt = demo(tmp_path, server, settings=replace(settings, environment=environ))
        calls = [asyncio.create_task(rt.call("demo", f"s.{name}", {})) for name in ["get", "make"] * 25]
        await asked_for.wait()
        async with asyncio.timeout(1):
            await rt.aclose()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await server.all_closed()
    assert all(isinstance(outcome, TransportError) for outcome in outcomes), outcomes
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    "bytes_",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(100_000),
        b"\0\0\x08\x06\0\0\0\0\0canary!!" * 200_000,
    ],
    ids=["HTTP/1.1", "a huge frame", "pings"],
)
async def test_T46_what_is_not_http2_ends_the_connection_and_the_call(
    bytes_: bytes, authority: trustme.CA, environ: dict[str, str], tmp_path: Path
) -> None:
    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        peer.peer.writer.write(bytes_)
        await asyncio.sleep(1)

    settings = Settings(limits=Limits(deadline=0.5), environment=environ)
    async with serving_http2(play, authority) as server, demo(tmp_path, server, settings=settings, retry=1) as rt:
        with pytest.raises(TransportError):
            await call(rt)
        assert server.connections == 1


async def test_transport_16_answers_that_are_left_unread_give_their_part_of_the_window_back(
    authority: trustme.CA, environ: dict[str, str]
) -> None:
    """All of them together are more than the window of the connection."""
    sent = asyncio.Event()

    async def play(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            assert peer.h2.local_flow_control_window(asked.stream) > 200_000
            peer.h2.send_headers(asked.stream, [(":status", "200")])
            for _ in range(12):
                peer.h2.send_data(asked.stream, bytes(16384))
            await peer.flush()
            sent.set()

    async with serving_http2(play, authority) as server, Client(Guard([server.url])) as client:
        way = client.along(Route(trust=environ["CONNECTOR_CA"], http2=True))
        async with asyncio.timeout(20):
            for _ in range(200):
                sent.clear()
                async with way.stream(Request("GET", server.url), operation="a.b"):
                    await sent.wait()
                    for _ in range(20):
                        await asyncio.sleep(0)
        assert server.connections == 1
