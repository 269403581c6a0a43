"""What leaves: target and header fields as they were given (the case `transport-18`)."""

from __future__ import annotations

import h11
import pytest

from connector.errors import TransportError
from connector.headers import Headers
from connector.messages import Request, Stream
from runtime.http.client import Client
from runtime.http.fields import header_fields
from runtime.http.guard import Guard
from tests.doubles.raw import Peer, serving

pytestmark = pytest.mark.anyio

TARGET = "/a%2Fb%2f/..%2e//d;x=%7E?q=%20+&e=%c3%A9&e"


async def test_transport_18_target_and_fields_leave_as_they_were_given() -> None:
    heads = []

    async def play(peer: Peer) -> None:
        heads.append((await peer.request())[0].decode())
        await peer.answer()

    given = Headers({"X-b": "1", "x-A": "2", "Authorization": "Bearer x"})
    async with serving(play) as server, Client(Guard([server.url])) as client:
        await client.send(Request("POST", server.url + TARGET, headers=given, body=b"{}"), operation="a.b")
    line, *fields = heads[0].removesuffix("\r\n\r\n").split("\r\n")
    assert line == f"POST {TARGET} HTTP/1.1"
    assert fields[0] == f"Host: 127.0.0.1:{server.port}"
    assert fields[1:4] == ["X-b: 1", "x-A: 2", "Authorization: Bearer x"]
    assert [field.partition(":")[0] for field in fields[4:]] == ["User-Agent", "Accept-Encoding", "Content-Length"]


async def pieces() -> object:
    yield b""


LENGTHS = [
    ("GET", None, []),
    ("DELETE", None, []),
    ("POST", None, [(b"Content-Length", b"0")]),
    ("GET", b"", [(b"Content-Length", b"0")]),
    ("POST", b"12", [(b"Content-Length", b"2")]),
    ("POST", Stream((b"12", b"3")), [(b"Content-Length", b"3")]),
    ("POST", Stream((pieces(),)), [(b"Transfer-Encoding", b"chunked")]),
]


@pytest.mark.parametrize(("method", "body", "framing"), LENGTHS)
def test_the_length_is_the_bodys_whatever_was_declared(method: str, body: object, framing: object) -> None:
    declared = Headers({"content-Length": "99", "TRANSFER-Encoding": "gzip", "User-agent": "mine"})
    fields = header_fields(Request(method, "https://a.example", headers=declared, body=body))  # type: ignore[arg-type]
    assert fields == [(b"User-agent", b"mine"), (b"Accept-Encoding", b"gzip"), *framing]  # type: ignore[misc]


def test_text_outside_ascii_is_refused_and_not_shown() -> None:
    with pytest.raises(TransportError) as caught:
        header_fields(Request("GET", "https://a.example", headers=Headers({"X-A": "canary-é"})))
    assert "canary" not in f"{caught.value} {caught.value.hint}"
    assert (caught.value.sent, caught.value.temporary, caught.value.blame) == (False, False, "caller")


VALID = {"X-A": "b", "Authorization": "Bearer x", "X-Empty": ""}


@pytest.mark.parametrize("declared", [VALID, {"X-Odd": "a\tb"}, {"Connection": "close"}, {"Host": "elsewhere.example"}])
async def test_heads_that_are_written_here_are_those_that_h11_would_write(declared: dict[str, str]) -> None:
    """And a field that says something of the connection is left to h11, which acts on it."""
    seen = []

    async def play(peer: Peer) -> None:
        while True:
            seen.append(b"".join(await peer.request()))
            await peer.answer()

    async with serving(play) as server, Client(Guard([server.url])) as client:
        for method, body in (("POST", b"{}"), ("POST", None), ("GET", None), ("PURGE", None)):
            request = Request(method, f"{server.url}/a?b=c", headers=Headers(declared), body=body)
            await client.send(request, operation="a.b")
            fields = header_fields(request)
            if "Host" not in declared:
                fields.insert(0, (b"Host", server.url.removeprefix("http://").encode()))
            protocol = h11.Connection(h11.CLIENT)
            head = protocol.send(h11.Request(method=method, target="/a?b=c", headers=fields))
            assert seen.pop() == (head or b"") + (body or b"")
        assert server.connections == (4 if "Connection" in declared else 1)


@pytest.mark.parametrize(
    "fields", [{"X-A": "a\r\nX-Evil: 1"}, {"X A": "b"}, {"X:A": "b"}, {"X-A": "a\nb"}, {"": "b"}, {"X-A": "a\0"}]
)
async def test_T26_what_would_break_a_head_is_refused_however_it_is_written(fields: dict[str, str]) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.answer()

    async with serving(play) as server, Client(Guard([server.url])) as client:
        for method in ("GET", "PURGE"):
            with pytest.raises((TransportError, ValueError)):
                await client.send(Request(method, server.url, headers=Headers(fields)), operation="a.b")
        assert server.connections == 0
