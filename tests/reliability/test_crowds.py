"""Many requests at work at once: that they leave the event loop its time, and take no more connections than allowed."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import trustme

from connector.headers import Headers
from connector.messages import Event, Request
from runtime.config.keys import Key, Keys
from runtime.config.settings import Limits
from runtime.config.store import Store
from runtime.events.deliverer import LIMITS, Deliverer
from runtime.events.subscriptions import Endpoints, read_subscription
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.journal.entries import NewEvent
from runtime.journal.journal import Journal
from tests.doubles.http2_server import Http2Peer, serving_http2
from tests.doubles.raw import Peer, demo

pytestmark = pytest.mark.anyio


class Waiting:
    """A server that answers nobody until it is told to."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0
        self.changed = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                self.changed.set()
                await self.go_on.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def until(self, requests: int) -> None:
        async with asyncio.timeout(20):
            while self.requests < requests:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def waiting() -> AsyncIterator[tuple[Waiting, str]]:
    server = Waiting()
    async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
        yield server, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def test_there_are_no_more_connections_than_allowed_and_whoever_comes_next_uses_one_of_them(
    waiting: tuple[Waiting, str],
) -> None:
    server, url = waiting
    async with Client(Guard([url]), Limits(connections=70)) as client:
        calls = [
            asyncio.create_task(client.send(Request("GET", f"{url}/{number}", headers=Headers({})), operation="a.b"))
            for number in range(100)
        ]
        await server.until(70)
        assert server.connections == 70
        server.go_on.set()
        assert {(await each).body for each in calls} == {b"ok"}
        for _ in range(20):
            await client.send(Request("GET", url, headers=Headers({})), operation="a.b")
        assert server.connections == 70


async def test_S1_a_backlog_is_begun_a_few_at_a_time_and_who_hangs_lets_others_begin(tmp_path: Path) -> None:
    begun, first = 0, 0
    released = asyncio.Event()

    async def answer(_: httpx2.Request) -> httpx2.Response:
        nonlocal begun
        begun += 1
        await released.wait()
        return httpx2.Response(200)

    async with await Journal.open("sqlite://") as journal:
        endpoints = Endpoints(Store(tmp_path / "secrets.json", Keys({"CONNECTOR_KEY": Key.generate().to_text()})))
        client = Client(Guard(), LIMITS, transport=httpx2.MockTransport(answer))
        deliverer = Deliverer(journal, endpoints, client)
        for number in range(10):
            subscription, endpoint = read_subscription({"url": f"https://subscriber.example/{number}"})
            endpoints.save(subscription.id, endpoint)
            await journal.add_subscription(subscription)
        event = Event(id="", source="/a/default", type="a/b", subject=None, time="2026-11-22T12:00:00Z", data={})
        await journal.append([NewEvent("a", event, str(number)) for number in range(10)])
        waiting = await journal.deliveries(limit=1000)
        handling = [asyncio.create_task(deliverer.handle(each.id)) for each in waiting]
        async with asyncio.timeout(20):
            while begun < 100:
                # One turn of the event loop.
                before = begun
                await asyncio.sleep(0)
                first = max(first, begun - before)
        assert first <= 32
        released.set()
        await asyncio.gather(*handling)
        assert {each.state for each in await journal.deliveries(limit=1000)} == {"delivered"}


async def test_transport_22_a_burst_over_http2_takes_less_than_two_thirds_of_the_time_over_http1(
    tmp_path: Path,
) -> None:
    """A hundred calls over TLS on a fresh runtime, in turns; the median of the ratios counts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def respond(peer: Http2Peer) -> None:
        await peer.begin()
        async for asked in peer.requests():
            await peer.answer(asked)

    async def plain(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    async def burst(url: str, http2: str) -> float:
        environ = {"CONNECTOR_CA": str(tmp_path / "ca.pem"), "CONNECTOR_HTTP2": http2}
        async with demo(tmp_path, url, environ=environ) as rt:
            began = time.monotonic()
            await asyncio.gather(*(rt.call("demo", "s.get", {}) for _ in range(100)))
            return time.monotonic() - began

    async with serving_http2(respond, authority, "h2", "http/1.1", otherwise=plain) as server:
        ratios = [await burst(server.url, "1") / await burst(server.url, "") for _ in range(3)]
        assert server.connections <= 3 * (100 + 4)
    assert statistics.median(ratios) <= 0.6, ratios
