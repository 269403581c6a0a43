"""Clients of our own server and of applications in this process, which no guard stands before.

Neither proxies nor netrc are read from the environment, and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx2

from connector.errors import TransportError

#: Seconds that the server may take for each piece of an answer, and for a whole small one.
_TIMEOUT, _SMALL_TIMEOUT = 30.0, 2.0


@contextlib.asynccontextmanager
async def open_client(url: str) -> AsyncIterator[httpx2.AsyncClient | None]:
    """Yields a client with one connection to a server; None for a text that is not a URL."""
    limits = httpx2.Limits(max_connections=1)
    try:
        opened = httpx2.AsyncClient(base_url=url, trust_env=False, timeout=_TIMEOUT, limits=limits)
    except (httpx2.InvalidURL, ValueError):
        yield None
        return
    async with opened as client:
        yield client


def in_process(app: Any, headers: Mapping[str, str]) -> httpx2.AsyncClient:
    """Returns a client of an ASGI application, without a socket."""
    return httpx2.AsyncClient(base_url="http://localhost", transport=as_transport(app), headers=dict(headers))


def as_transport(app: Any) -> httpx2.AsyncBaseTransport:
    """Returns an ASGI application in the place of a network (`Runtime(transport=…)`)."""
    return httpx2.ASGITransport(app=app)


async def read_small(client: httpx2.AsyncClient, path: str, query: Mapping[str, str], limit: int) -> bytes | None:
    """Returns a small answer; None where none came in two seconds, or it is larger than `limit` bytes."""
    text = b""
    try:
        async with asyncio.timeout(_SMALL_TIMEOUT), client.stream("GET", path, params=dict(query)) as response:
            async for piece in response.aiter_raw():
                text += piece
                if len(text) > limit:
                    return None
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError):
        return None
    return text


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raises TransportError for the failures of a connection."""
    try:
        yield
    except httpx2.HTTPError as error:
        sent = not isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout))
        why = str(error) or type(error).__name__
        raise TransportError(f"the running server does not answer: {why}", sent=sent) from None
