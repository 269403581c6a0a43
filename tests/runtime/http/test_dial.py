"""How a connection is made: addresses that race, what hangs, and proxies (the cases `transport-06` to `-09`, `-20`, `-21`)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import socket
import time
import traceback
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme

from connector.errors import BlockedAddress, TransportError
from connector.messages import Request
from runtime.config.settings import Limits
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.http.options import HttpOptions, read_proxy
from runtime.http.transport import NOT_SENT, Route
from tests.doubles.raw import Peer, Play, Raw, demo, serving
from tests.runtime.http.test_http1 import tls_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def respond(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer()


@contextlib.contextmanager
def never_accepting(port: int) -> Iterator[None]:
    """`[::1]` at a port where connections hang, since its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_INET6))
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("::1", port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket(socket.AF_INET6))
            filler.setblocking(False)
            filler.connect_ex(("::1", port))
        yield


def resolving(*addresses: str) -> Any:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return resolve


async def get(client: Client, url: str) -> int:
    return (await client.send(Request("GET", url), operation="a.b")).status


async def test_transport_06_an_address_that_hangs_costs_a_quarter_of_a_second() -> None:
    async with serving(respond) as server:
        url = f"http://two.example:{server.port}"
        with never_accepting(server.port):
            for _ in range(2):  # whichever call it is
                async with Client(Guard([url], resolving("::1", "127.0.0.1"))) as client:
                    began = time.monotonic()
                    assert await get(client, url) == 200
                    assert time.monotonic() - began < 0.6


async def test_transport_06_an_address_that_refuses_costs_nothing() -> None:
    async with serving(respond) as server:
        url = f"http://two.example:{server.port}"
        async with Client(Guard([url], resolving("127.0.0.2", "127.0.0.1"))) as client:
            # 127.0.0.2 is not listened on, so it is refused at once.
            began = time.monotonic()
            assert await get(client, url) == 200
            assert time.monotonic() - began < 0.2


async def test_transport_07_no_address_is_tried_if_one_of_them_is_internal() -> None:
    """Not even the public one, which would win a race."""
    async with serving(respond) as server:
        guard = Guard(["http://127.0.0.9:1"], resolving("192.0.43.8", "127.0.0.1"))
        async with Client(guard, Limits(connect=2)) as client:
            began = time.monotonic()
            with pytest.raises(BlockedAddress):
                await client.send(Request("GET", "https://two.example/"), operation="a.b")
            assert time.monotonic() - began < 0.2
        assert server.connections == 0


async def not_sent(client: Client, url: str, words: str) -> TransportError:
    with pytest.raises(TransportError, match=words) as caught:
        await client.send(Request("POST", url, body=b"{}"), operation="a.b")
    error = caught.value
    assert (error.sent, error.hint.endswith(NOT_SENT)) == (False, True)
    return error


async def test_transport_09_what_hangs_before_the_request_ends_within_connect() -> None:
    async def sleeping(_host: str, _port: int) -> Sequence[str]:
        await asyncio.sleep(20)
        return ()

    async def hang(peer: Peer) -> None:
        await peer.hang()

    limits = Limits(connect=0.2)
    async with serving(hang) as server:
        began = time.monotonic()
        async with Client(Guard(resolver=sleeping), limits) as client:
            await not_sent(client, "https://slow.example", r"no connection to slow.example port 443 .* 0\.2 s")
        url = f"https://127.0.0.1:{server.port}"
        async with Client(Guard([url]), limits) as client:
            await not_sent(client, url, "handshake")
            proxy = read_proxy(f"http://127.0.0.1:{server.port}", "CONNECTOR_PROXY")
            await not_sent(client.along(Route(proxy=proxy)), url, f"through the proxy 127.0.0.1 port {server.port}")
        assert time.monotonic() - began < 2
        await server.all_closed()


# --- proxies ---------------------------------------------------------------------------------------------------------

PASSWORD = "canary-of-a-proxy"


class Tunnels:
    """A proxy that tunnels; `targets` are those that were requested, with the authorization they came with."""

    def __init__(self, answer: bytes = b"", *, wants: str = "") -> None:
        self.answer = answer
        self.wants = wants
        self.targets: list[str] = []

    async def __call__(self, peer: Peer) -> None:
        head = (await peer.head()).decode().split("\r\n")
        method, target, _ = head[0].split()
        assert method == "CONNECT"
        self.targets.append(target)
        fields = dict(line.split(": ", 1) for line in head[1:] if line)
        assert set(fields) <= {"Host", "Proxy-Authorization"}
        if self.answer:
            await peer.write(self.answer)
            await peer.hang()
        if self.wants and fields.get("Proxy-Authorization") != self.wants:
            await peer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno")
            return
        port = target.rpartition(":")[2]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        await peer.write(b"HTTP/1.1 200 Connected\r\nVia: x\r\n\r\n")

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        try:
            await asyncio.gather(copy(peer.reader, writer), copy(reader, peer.writer))
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def through(
    play: Play, tunnels: Tunnels, *, authority: trustme.CA | None = None
) -> AsyncIterator[tuple[Raw, Raw]]:
    async with serving(play, tls_of(authority) if authority else None) as origin, serving(tunnels) as proxy:
        yield origin, proxy


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_transport_20_every_request_goes_through_a_tunnel_and_the_origin_proves_its_name(
    secure: bool, authority: trustme.CA, tmp_path: Path
) -> None:
    wants = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    tunnels = Tunnels(wants=wants)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with through(respond, tunnels, authority=authority if secure else None) as (origin, proxy):
        environ = {
            "CONNECTOR_PROXY__DEMO": f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}",
            "CONNECTOR_CA__DEMO": str(tmp_path / "ca.pem"),
        }
        async with demo(tmp_path, origin, environ=environ) as rt:
            assert [(await rt.call("demo", "s.get", {})).status for _ in range(2)] == [200, 200]
        assert tunnels.targets == [f"127.0.0.1:{origin.port}"]
        if secure:
            async with demo(tmp_path, origin, retry=1, environ={**environ, "CONNECTOR_CA__DEMO": ""}) as rt:
                with pytest.raises(TransportError, match="not trusted"):
                    await rt.call("demo", "s.get", {})


ANSWERS = {
    "407": (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "it answered 407"),
    "403": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\n" + b'{"id":9}', "it answered 403"),
    "502": (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "it answered 502"),
    "302": (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", "it answered 302"),
    "a long head": (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 1_000_000, "larger than 65536 bytes"),
    "many fields": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000, "larger than 65536 bytes"),
    "interim answers": (b"HTTP/1.1 103 Early\r\n\r\n" * 50_000, "larger than 65536 bytes"),
    "garbage": (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "did not answer in HTTP/1.1"),
    "an answer in the name of the origin": (
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + b'{"id":9}',
        "sent more than its answer",
    ),
}


@pytest.mark.parametrize(("answer", "words"), ANSWERS.values(), ids=list(ANSWERS))
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_transport_20_what_a_proxy_says_never_becomes_an_answer(
    answer: bytes, words: str, secure: bool, authority: trustme.CA, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    tunnels = Tunnels(answer)
    async with through(respond, tunnels, authority=authority if secure else None) as (origin, proxy):
        url = f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}"
        async with demo(tmp_path, origin, retry=1, http=HttpOptions(proxies={"demo": url})) as rt:
            with pytest.raises(TransportError, match=words) as caught:
                await rt.call("demo", "s.make", {})
            shown = "".join(traceback.format_exception(caught.value)) + caught.value.hint + repr(rt.settings)
        assert (caught.value.sent, type(caught.value)) == (False, TransportError)
        assert "proxy" in caught.value.message
        assert "CONNECTOR_PROXY__DEMO" in caught.value.hint
        for secret in (PASSWORD, base64.b64encode(f"user:{PASSWORD}".encode()).decode()):
            assert secret not in shown + caplog.text
        assert origin.connections == 0
        await proxy.all_closed()


async def test_transport_20_a_proxy_that_is_not_there(tmp_path: Path) -> None:
    http = HttpOptions(proxies={"*": "http://127.0.0.1:1"})
    async with demo(tmp_path, "http://127.0.0.1:2", retry=1, http=http) as rt:
        with pytest.raises(TransportError, match="no connection to the proxy 127.0.0.1 port 1") as caught:
            await rt.call("demo", "s.make", {})
    assert not caught.value.sent


async def test_transport_21_the_guard_comes_before_the_proxy() -> None:
    tunnels = Tunnels()
    async with serving(tunnels) as server:
        proxy = read_proxy(f"http://127.0.0.1:{server.port}", "CONNECTOR_PROXY")
        blind = read_proxy(f"http://127.0.0.1:{server.port}?names=proxy", "CONNECTOR_PROXY")
        guard = Guard(resolver=resolving("10.0.0.5"))
        async with Client(guard) as client:
            for route in (Route(proxy=proxy), Route(proxy=blind)):
                for url in ("https://10.0.0.5/", "https://metadata.google.internal/", "http://api.example.com/"):
                    with pytest.raises(BlockedAddress):
                        await get(client.along(route), url)
            with pytest.raises(BlockedAddress):
                await get(client.along(Route(proxy=proxy)), "https://rebound.example/")
        assert tunnels.targets == []


async def test_transport_21_a_proxy_is_given_the_address_that_was_checked() -> None:
    tunnels = Tunnels()
    async with through(respond, tunnels) as (origin, server):
        url = f"http://api.example.com:{origin.port}"
        client = Client(Guard([url], resolving("127.0.0.1", "::1")))
        for query in ("", "?names=proxy"):
            proxy = read_proxy(f"http://127.0.0.1:{server.port}{query}", "CONNECTOR_PROXY")
            assert await get(client.along(Route(proxy=proxy)), url) == 200
        await client.aclose()
        assert tunnels.targets == [f"127.0.0.1:{origin.port}", f"api.example.com:{origin.port}"]


async def test_a_proxy_that_reaches_one_address_only_is_asked_for_the_next() -> None:
    class Half(Tunnels):
        async def __call__(self, peer: Peer) -> None:
            if not self.targets:
                self.targets.append("first")
                await peer.head()
                await peer.write(b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n")
                return
            await super().__call__(peer)

    tunnels = Half()
    async with through(respond, tunnels) as (origin, server):
        url = f"http://api.example.com:{origin.port}"
        proxy = read_proxy(f"http://127.0.0.1:{server.port}", "CONNECTOR_PROXY")
        async with Client(Guard([url], resolving("127.0.0.3", "127.0.0.1"))) as client:
            assert await get(client.along(Route(proxy=proxy)), url) == 200
        assert tunnels.targets == ["first", f"127.0.0.1:{origin.port}"]


async def test_a_host_that_does_not_answer_is_reported_with_the_setting_of_a_proxy(tmp_path: Path) -> None:
    async with demo(tmp_path, "http://127.0.0.1:1", retry=1) as rt:
        with pytest.raises(TransportError, match="none of its 1 addresses") as caught:
            await rt.call("demo:team-b", "s.get", {})
    assert "CONNECTOR_PROXY__DEMO__TEAM_B" in caught.value.hint
