"""Clients of our own server and of applications in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx2
import pytest

from connector.errors import TransportError
from runtime.http.own import as_transport, in_process, open_client, read_small, translated

pytestmark = pytest.mark.anyio
Message = MutableMapping[str, Any]


async def echo(scope: Message, _: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    """Answers with the path, as often as its length says."""
    headers = [(b"x-token", dict(scope["headers"]).get(b"authorization", b""))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope["path"].encode() * 100})


async def test_an_application_is_called_without_a_socket() -> None:
    async with in_process(echo, {"Authorization": "Bearer t"}) as client:
        response = await client.get("/a")
        assert (response.headers["x-token"], response.content) == ("Bearer t", b"/a" * 100)
        assert await read_small(client, "/a", {}, 200) == b"/a" * 100
        assert await read_small(client, "/a", {}, 199) is None
    assert isinstance(as_transport(echo), httpx2.AsyncBaseTransport)


@pytest.mark.parametrize("url", ["http://[::1", "http://a:port"])
async def test_a_text_that_is_not_a_url_has_no_client(url: str) -> None:
    async with open_client(url) as client:
        assert client is None


async def test_a_server_that_is_not_there_is_a_transport_error_that_was_not_sent() -> None:
    async with open_client("http://127.0.0.1:1") as client:
        assert client is not None
        assert await read_small(client, "/healthz", {}, 10) is None
        with pytest.raises(TransportError, match="the running server does not answer") as caught, translated():
            await client.get("/")
    assert not caught.value.sent
