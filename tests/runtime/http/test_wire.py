"""One connection by itself: what is sent together, and what is held back while the other side is slow."""

from __future__ import annotations

import asyncio

import pytest

from runtime.http.wire import STORE, Wire

pytestmark = pytest.mark.anyio


class Recording(asyncio.Transport):
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[object] = []

    def write(self, data: object) -> None:
        self.told.append(data)

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")


def wire_on(transport: asyncio.Transport) -> Wire:
    wire = Wire(head_bytes=100)
    wire.connection_made(transport)
    return wire


def arrive(wire: Wire, data: bytes) -> None:
    wire.get_buffer(-1)[: len(data)] = data
    wire.buffer_updated(len(data))


async def test_the_head_of_a_request_travels_with_a_small_body_or_with_none() -> None:
    transport = Recording()
    wire = wire_on(transport)
    for body in (b"body", b""):
        wire.begin(b"head,")
        await wire.write(body)
        await wire.write(b"")
    assert transport.told == [b"head,body", b"head,"]


async def test_a_large_body_is_not_copied_to_be_joined_to_its_head() -> None:
    transport = Recording()
    wire = wire_on(transport)
    wire.begin(b"head,")
    body = bytes(STORE + 1)
    await wire.write(body)
    assert transport.told == [b"head,", body]
    assert transport.told[1] is body


async def test_who_writes_waits_until_the_other_side_takes_more() -> None:
    wire = wire_on(Recording())
    wire.begin(b"")
    wire.pause_writing()
    writing = asyncio.create_task(wire.write(b"more"))
    await asyncio.sleep(0)
    assert not writing.done()
    wire.resume_writing()
    await writing


async def test_no_more_is_taken_in_than_the_store_holds_until_it_is_read() -> None:
    transport = Recording()
    wire = wire_on(transport)
    arrive(wire, b"a" * (STORE - 1))
    arrive(wire, b"b")
    assert transport.told == ["pause"]
    assert len(wire.get_buffer(-1)) == 0
    assert await wire.read() == b"a" * (STORE - 1) + b"b"
    assert transport.told == ["pause", "resume"]


async def test_what_came_before_the_connection_broke_is_read_first() -> None:
    wire = wire_on(Recording())
    arrive(wire, b"last words")
    wire.connection_lost(OSError("reset"))
    assert await wire.read() == b"last words"
    with pytest.raises(ConnectionResetError):
        await wire.read()
    with pytest.raises(ConnectionResetError):
        await wire.write(b"too late")
