"""What fails before the first byte of a request has left: it is an error that says so, and never an unknown outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from connector.errors import TransportError, UnknownOutcome
from connector.messages import Request, Stream
from runtime.config.settings import Limits, Settings
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.http.transport import MAYBE_SENT, NOT_SENT
from runtime.runtime import Runtime
from tests.doubles.faults import FaultServer, black_hole

pytestmark = pytest.mark.anyio


@pytest.fixture
async def provider() -> AsyncIterator[FaultServer]:
    async with FaultServer() as server:
        yield server


async def unsent(client: Client, url: str, body: Any = b"{}") -> TransportError:
    """The error of a POST that is not sent."""
    request = Request("POST", url, body=body)
    with pytest.raises(TransportError) as caught:
        async with asyncio.timeout(20):
            await client.send(request, operation="a.b")
    error = caught.value
    assert (error.sent, error.temporary, error.hint) == (False, True, NOT_SENT)
    return error


def definition(handle: str, **operations: Any) -> dict[str, Any]:
    service = {"baseURL": "https://api.example.com", "auth": {"method": "none", "params": {}}}
    resource = {"handle": "s", "meta": {"short": "S"}, "endpoint": "/", "fields": [], "operations": operations}
    return {"handle": handle, "service": service, "resources": [resource]}


async def test_a_call_that_waits_for_a_connection_in_vain_was_not_sent(provider: FaultServer, tmp_path: Path) -> None:
    """transport-08: two calls take every connection of their tenant; another tenant and another provider go on."""
    operations = {
        "hang": {"method": "GET", "path": "half-open", "retry": {"attempts": 1}},
        "create": {"method": "POST", "path": "echo", "retry": {"attempts": 1}},
    }
    (tmp_path / "slow.json").write_text(json.dumps(definition("slow", **operations)), "utf-8")
    settings = Settings(limits=Limits(deadline=0.3, connections=2), base_urls={"slow": provider.origin})
    async with Runtime(tmp_path, settings=settings) as runtime:
        hanging = [asyncio.create_task(runtime.call("slow", "s.hang", {})) for _ in range(2)]
        async with asyncio.timeout(10):
            while len(provider.requests) < 2:
                await asyncio.sleep(0)
        with pytest.raises(TransportError, match="waiting for one of the 2 connections.*limit 'connections'") as caught:
            await runtime.call("slow", "s.create", {})
        assert not isinstance(caught.value, UnknownOutcome)
        assert (caught.value.sent, caught.value.hint, caught.value.blame) == (False, NOT_SENT, "caller")
        await asyncio.gather(*hanging, return_exceptions=True)
    assert len(provider.requests) == 2


async def test_streams_have_places_of_their_own(provider: FaultServer) -> None:
    async with Client(Guard({provider.origin}), Limits(deadline=0.2, connections=1)) as client:
        request = Request("GET", provider.url("/sse-then-silence"))
        async with client.stream(request, operation="a.b"):
            assert (await client.send(Request("GET", provider.url("/echo")), operation="a.b")).status == 200
            with pytest.raises(TransportError, match="waiting for one of the 1 connections") as caught:
                async with client.stream(request, operation="a.b"):
                    pass
    assert (caught.value.sent, caught.value.hint) == (False, NOT_SENT)


async def test_a_call_that_is_cancelled_while_it_waits_for_a_connection_frees_none(provider: FaultServer) -> None:
    async with Client(Guard({provider.origin}), Limits(connections=1)) as client:

        def begin(path: str) -> asyncio.Task[Any]:
            return asyncio.create_task(client.send(Request("GET", provider.url(path)), operation="a.b"))

        hanging = begin("/half-open")
        waiting = [begin("/echo") for _ in range(3)]
        async with asyncio.timeout(10):
            while not provider.requests:
                await asyncio.sleep(0)
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        for _ in range(50):
            await asyncio.sleep(0)
        assert provider.connections == 1
        hanging.cancel()
        assert [(await each).status for each in waiting[1:]] == [200, 200]
        hanging = begin("/half-open")
        # There is one place still, and not two.
        late = begin("/echo")
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(provider.requests) == 4
        hanging.cancel()
        assert (await late).status == 200


async def test_a_name_that_is_looked_up_too_long_was_not_asked() -> None:
    async def never(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    async with Client(Guard(resolver=never), Limits(deadline=0.1)) as client:
        assert "connecting to api.example.com" in (await unsent(client, "https://api.example.com/")).message


async def test_a_host_that_does_not_let_anyone_in_was_not_asked() -> None:
    with black_hole() as port:
        url = f"http://127.0.0.1:{port}"
        async with Client(Guard({url}), Limits(deadline=0.1)) as client:
            assert "connecting to" in (await unsent(client, url)).message


async def test_a_host_that_does_not_finish_the_handshake_was_not_asked() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(Guard({url}), Limits(deadline=0.1)) as client:
            assert "connecting to" in (await unsent(client, url)).message


async def test_an_upload_whose_source_stays_silent_was_not_sent(provider: FaultServer) -> None:
    async def silent() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b"never"

    async with Client(Guard({provider.origin}), Limits(deadline=0.2)) as client:
        error = await unsent(client, provider.url("/echo"), Stream((silent(),)))
    assert "waiting for the source of its body" in error.message
    assert provider.requests == []


async def test_an_upload_that_stops_after_its_first_piece_may_have_been_carried_out(provider: FaultServer) -> None:
    async def stops() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    async with Client(Guard({provider.origin}), Limits(deadline=0.2)) as client:
        request = Request("POST", provider.url("/echo"), body=Stream((stops(),)))
        with pytest.raises(TransportError, match=r"no complete answer within 0\.2 s") as caught:
            await client.send(request, operation="a.b")
    assert (caught.value.sent, caught.value.hint) == (True, MAYBE_SENT)


async def test_an_upload_whose_connection_breaks_before_its_first_piece_was_not_sent() -> None:
    gone = asyncio.Event()

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()
        gone.set()

    async def slow() -> AsyncIterator[bytes]:
        await gone.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        yield b"piece"

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(Guard({url})) as client:
            assert "closed before the head" in (await unsent(client, url, Stream((slow(),)))).message


async def test_a_file_that_has_become_shorter_than_declared_may_have_been_carried_out(
    provider: FaultServer, tmp_path: Path
) -> None:
    """The opposite: bytes left, so the error does not claim that none did."""
    file = tmp_path / "a.bin"
    file.write_bytes(b"12345")

    class Shrinking:
        """A path whose file is shorter when it is opened than when its length was taken."""

        def __init__(self) -> None:
            self.looks = 0

        def __fspath__(self) -> str:
            self.looks += 1
            if self.looks > 1:
                file.write_bytes(b"1")
            return str(file)

    async with Client(Guard({provider.origin})) as client:
        request = Request("POST", provider.url("/echo"), body=Stream((b"head", Shrinking())))
        with pytest.raises(TransportError, match="the length that was declared") as caught:
            await client.send(request, operation="a.b")
    assert caught.value.sent
    assert MAYBE_SENT in caught.value.hint


@pytest.mark.parametrize("kind", [httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol, httpx.ConnectTimeout])
async def test_errors_of_a_transport_from_before_it_sends_say_that_nothing_was_sent(
    kind: type[httpx.TransportError],
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise kind("words of the library", request=request)

    async with Client(Guard(), transport=httpx.MockTransport(fail)) as client:
        assert "library" not in (await unsent(client, "https://api.example.com/")).message
