"""The server under the application, a process of its own where its end is looked at."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from uvicorn.server import ServerState

from connector.errors import ConfigurationError
from connector.events.signatures import sign
from runtime.config.settings import Limits
from runtime.journal.entries import Appended, NewEvent
from runtime.journal.journal import Journal
from runtime.server.serve import FastProtocol, Joined, listen, make_protocol
from tests.doubles.processes import process
from tests.doubles.served import PATH, SECRET, Served, served, settings_in

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["h11", "httptools"])
async def hurried(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """A server with little patience and room for few, over each of the parsers."""
    limits, fast = {"request_seconds": 0.5, "clients": 60}, request.param == "httptools"
    async with served(settings_in(tmp_path), limits=limits, fast=fast) as running:
        yield running


@pytest.fixture(params=["h11", "httptools"])
async def crowded(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """A server with room for few, and patience enough that they stay."""
    async with served(settings_in(tmp_path), limits={"clients": 60}, fast=request.param == "httptools") as running:
        yield running


async def closing(port: int, sent: bytes) -> float:
    """The seconds after which the server closed a connection on which only this was sent."""
    begun = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return time.monotonic() - begun


async def test_T70_half_sent_heads_and_bodies_are_closed_in_time_while_others_are_served(hurried: Served) -> None:
    halves = [
        b"", b"POST ", b"GET /healthz HTTP/1.1\r\nhost: x\r\n",
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc".encode(),
        b"POST /api/events/none/replay HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nabc",
    ]  # fmt: skip
    slow = [asyncio.create_task(closing(hurried.port, half)) for half in halves * 10]
    await asyncio.sleep(0.1)
    answers = [await hurried.send(id=f"m-{number}") for number in range(5)]
    assert {answer.status_code for answer in answers} == {202}
    took = await asyncio.gather(*slow)
    assert max(took) < 10
    assert min(took) > 0.3


async def test_T70_a_client_that_drips_is_closed_although_it_is_never_silent(hurried: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hurried.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nx-")
    begun = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while not reader.at_eof() and time.monotonic() - begun < 20:
            writer.write(b"a")
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1000), 0.05)
    writer.close()
    assert 0.3 < time.monotonic() - begun < 10


async def test_a_connection_is_kept_for_the_next_request_and_has_a_deadline_for_each(hurried: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hurried.port)
    for _ in range(4):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b'{"status": "ok"}')).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.2)
    writer.write(b"GET /healthz HTTP/1.1\r\nhos")
    assert b"408" in await asyncio.wait_for(reader.read(), 20)
    writer.close()


async def exchange(port: int, request: bytes) -> bytes:
    """What a server answers to exactly these bytes, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


def message(target: str = PATH, *, framing: str = "", body: bytes = b'{"id": "t"}', trailer: str = "") -> bytes:
    """A signed message, chunked if it has a trailer."""
    fields = {**sign([SECRET], "m", int(time.time()), body), "content-type": "application/json"}
    lines = [f"POST {target} HTTP/1.1", "host: x", "connection: close", *(f"{each}: {fields[each]}" for each in fields)]
    lines.append(framing or ("transfer-encoding: chunked" if trailer else f"content-length: {len(body)}"))
    sent = b"%x\r\n%s\r\n0\r\n%s\r\n\r\n" % (len(body), body, trailer.encode()) if trailer else body
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + sent


async def test_T67_a_message_is_taken_in_chunks_as_well_but_not_with_a_target_in_absolute_form(hurried: Served) -> None:
    sent = [message(), message(trailer="x: y"), message(f"http://x{PATH}")]
    assert [(await exchange(hurried.port, each))[9:12] for each in sent] == [b"202", b"202", b"404"]


async def test_T72_a_body_framed_in_two_ways_is_400_over_each_parser(hurried: Served) -> None:
    framings = [
        "content-length: 11\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 11",
        "content-length: 11\r\ncontent-length: 12", "content-length: -1", "content-length: +11",
    ]  # fmt: skip
    answers = [await exchange(hurried.port, message(framing=each)) for each in framings]
    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 400"}
    assert await hurried.journal.events() == []


async def test_T60_a_field_of_a_trailer_is_none_of_the_head(hurried: Served) -> None:
    unsigned = message(trailer="x: y").replace(b"webhook-signature:", b"webhook-other:")
    signature = next(line for line in message().split(b"\r\n") if line.startswith(b"webhook-signature:"))
    assert (await exchange(hurried.port, unsigned.replace(b"x: y", signature))).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n", b"x: %s\r\n" % (b"y" * 60_000)),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: ", b"y" * 60_000),
        (message(trailer="x: y")[:-4], b"y" * 60_000),
    ],
    ids=["fields", "one field", "a trailer"],
)
async def test_T70_a_head_or_a_trailer_that_is_too_large_is_refused_before_it_ends(
    hurried: Served, begin: bytes, more: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hurried.port)
    writer.write(begin)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while not reader.at_eof() and sent < 64 * 1024 * 1024:
            writer.write(more)
            await writer.drain()
            sent += len(more)
            await asyncio.sleep(0)
    writer.close()
    assert sent < 8 * 1024 * 1024


async def test_T70_L2_whoever_comes_when_there_are_too_many_is_503_and_later_is_served(crowded: Served) -> None:
    held = [await asyncio.open_connection("127.0.0.1", crowded.port) for _ in range(60)]
    reader, writer = await asyncio.open_connection("127.0.0.1", crowded.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        assert b"503" in await asyncio.wait_for(reader.read(), 20)
    for _, each in [*held, (reader, writer)]:
        each.close()
    for _ in range(100):
        with contextlib.suppress(httpx2.TransportError):
            if (await crowded.send()).status_code == 202:
                return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not recover")


def test_L2_clients_are_no_more_than_the_files_that_may_be_open() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        assert make_protocol(Limits()).most == 192
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert make_protocol(Limits(clients=7)).most == 7


def test_without_the_extra_the_server_runs_on_what_is_always_there() -> None:
    program = (
        "import sys; sys.modules.update(httptools=None, uvloop=None)\n"
        "from runtime.server.serve import PlainProtocol, make_protocol, new_event_loop\n"
        "from runtime.config.settings import Limits\n"
        "loop = new_event_loop(); loop.close()\n"
        "print(issubclass(make_protocol(Limits()), PlainProtocol), type(loop).__module__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "asyncio.unix_events"]
    assert issubclass(make_protocol(Limits()), FastProtocol)


def test_a_port_that_is_taken_is_reported_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1, port {port}"):
            listen("127.0.0.1", port)
    with pytest.raises(ConfigurationError, match="there is no such port"):
        listen("127.0.0.1", 70000)


async def test_K14_an_interrupt_exits_130_and_ends_open_streams(tmp_path: Path) -> None:
    async with process(tmp_path) as (server, url), httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        async with client.stream("GET", url + "/api/events/stream") as answer:
            assert answer.status_code == 200
            server.send_signal(signal.SIGINT)
            with contextlib.suppress(httpx2.TransportError):
                said = [line async for line in answer.aiter_lines()]
                assert [line for line in said if line and not line.startswith(":")] == []
        assert await asyncio.wait_for(server.wait(), 60) == 130


async def test_a_second_server_on_one_journal_is_refused_and_so_is_a_public_address_without_a_token(
    tmp_path: Path,
) -> None:
    async with process(tmp_path):
        with pytest.raises(AssertionError, match="another process"):
            async with process(tmp_path):
                pass
        with pytest.raises(AssertionError, match="there is no admin token"):
            async with process(tmp_path, "--host", "0.0.0.0"):
                pass


class Cut:
    """A journal after whose commit the connection of the sender is gone, as if we had been killed there."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.cut = True

    async def append(self, events: list[NewEvent]) -> list[Appended]:
        answers = await self._journal.append(events)
        if self.cut:
            raise ConnectionResetError("killed after the commit")
        return answers


async def test_K3_a_message_that_was_kept_and_not_answered_is_one_event_when_it_comes_again(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path)) as server:
        cut = Cut(server.journal)
        server.lifespan.ingress.journal = cut  # type: ignore[assignment]
        assert (await server.send()).status_code == 500
        cut.cut = False
        assert (await server.send()).status_code == 202
        assert len(await server.journal.events()) == 1


class Segments(asyncio.Transport):
    """A transport that notes each piece that is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.pieces.append(b"closed")

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


async def test_the_head_of_an_answer_goes_with_its_body_and_waits_for_no_late_one() -> None:
    segments = Segments()
    joined = Joined(segments)
    joined.write(b"head ")
    joined.write(b"body")
    joined.write(b"head")
    await asyncio.sleep(0)
    joined.write(b"late")
    joined.close()
    assert segments.pieces == [b"head body", b"head", b"late", b"closed"]


@pytest.mark.parametrize("fast", [False, True], ids=["h11", "httptools"])
async def test_an_answer_leaves_in_one_segment(fast: bool) -> None:
    async def answer(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"kept"})

    config = uvicorn.Config(answer, http=make_protocol(Limits(), fast=fast), server_header=False, date_header=False)
    config.load()
    state, segments = ServerState(), Segments()
    protocol = config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]
    protocol.connection_made(segments)
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await asyncio.gather(*state.tasks)
    assert segments.pieces == [b"HTTP/1.1 202 Accepted\r\ncontent-length: 4\r\n\r\nkept"]
    protocol.connection_lost(None)


async def test_what_is_loaded_when_a_server_begins_is_no_more_collected(tmp_path: Path) -> None:
    # What came after it is what the application had to make for its end.
    looks = "gc.get_freeze_count(), len(gc.get_objects()), gc.get_threshold()[0], sys.getswitchinterval()"
    program = (
        "import atexit, gc, json, pathlib, sys; from runtime.cli import main; "
        f"atexit.register(lambda: pathlib.Path('tuned').write_text(json.dumps([{looks}]))); main()"
    )
    async with process(tmp_path, program=("-c", program)) as (server, _):
        server.terminate()
        assert await asyncio.wait_for(server.wait(), 60) == 0
    frozen, later, *settings = json.loads((tmp_path / "tuned").read_text("utf-8"))
    assert settings == [50000, 0.0005]
    assert frozen > 20 * later > 0
