"""The HTTP interface that commands use: that of the running server, or of this process if no server runs.

A journal in a file belongs to one process. A command therefore uses the server of its home if one runs; otherwise it
opens the journal itself and uses the same routes without a socket, so every command is written once.

A server receives the admin token only after it has proved, on the same connection, that it is the announced server of
the home; any other program on that port counts as no server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from connector.answers.streams import SseDecoder
from connector.errors import ConfigurationError, JournalUnavailable, RequestRefused, TransportError
from runtime.server.announcement import StartKey, find_announcement

if TYPE_CHECKING:
    import httpx2

    from runtime.config.settings import Settings

#: Bytes that the answer with the proof, and a message of a stream, may have.
_PROOF_BYTES, _MESSAGE_BYTES = 1024, 64 * 1024 * 1024


def ask(settings: Settings, method: str, path: str, body: Any = None) -> Any:
    """Requests a route of the running server or of this process, and returns its document.

    Raises RequestRefused and JournalUnavailable for what the route refuses, TransportError where the server fails.
    """
    return asyncio.run(_ask(settings, method, path, body))


def is_running(settings: Settings) -> bool:
    """Returns True if a server runs with this home."""

    async def find() -> bool:
        async with _server(settings) as client:
            return client is not None

    return asyncio.run(find())


def follow(settings: Settings, path: str, show: Callable[[str], object]) -> None:
    """Shows the data of each message of a stream of the running server, until the stream ends.

    Raises ConfigurationError where no server runs, and else as `ask` does.
    """
    asyncio.run(_follow(settings, path, show))


async def _ask(settings: Settings, method: str, path: str, body: Any) -> Any:
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(_server(settings))
        if client is None:
            client = await stack.enter_async_context(_here(settings, path))
        from runtime.http.own import translated

        with translated():
            response = await client.request(method, path, json=body)
        return _read(response)


async def _follow(settings: Settings, path: str, show: Callable[[str], object]) -> None:
    async with _server(settings) as client:
        if client is None:
            raise ConfigurationError("no server runs with this home", hint="start one: connector serve")
        decoder = SseDecoder(_MESSAGE_BYTES)
        from runtime.http.own import translated

        with translated():
            async with client.stream("GET", path, headers={"Accept": "text/event-stream"}, timeout=None) as response:
                if response.status_code != 200:
                    await response.aread()
                    _read(response)
                async for piece in response.aiter_bytes():
                    for message in decoder.feed(piece):
                        show(message.data.decode())


@contextlib.asynccontextmanager
async def _server(settings: Settings) -> AsyncIterator[httpx2.AsyncClient | None]:
    """A client of the server that runs with this home, or None."""
    found = find_announcement(settings.home)
    if found is None:
        yield None
        return
    from runtime.http.own import open_client

    async with open_client(found.url) as client:
        if client is not None and await _is_ours(client, found.key):
            client.headers.update(_credentials(settings))
            yield client
        else:
            yield None


async def _is_ours(client: httpx2.AsyncClient, key: StartKey) -> bool:
    """Returns True if the server proves that it knows the key of the announced start."""
    from runtime.http.own import read_small

    challenge = secrets.token_hex(32)
    text = await read_small(client, "/healthz", {"challenge": challenge}, _PROOF_BYTES)
    try:
        return text is not None and key.is_proved_by(challenge, json.loads(text)["proof"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


@contextlib.asynccontextmanager
async def _here(settings: Settings, path: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the same routes in this process."""
    from runtime.http.own import in_process
    from runtime.runtime import Runtime
    from runtime.server.app import create_app

    # To read every connector takes longer than all the rest.
    app = create_app(Runtime(settings=settings), roles=("api",), webhooks=path.startswith("/api/webhooks"))
    async with app.router.lifespan_context(app), in_process(app, _credentials(settings)) as client:
        yield client


def _credentials(settings: Settings) -> dict[str, str]:
    return {} if settings.admin_token is None else {"Authorization": f"Bearer {settings.admin_token}"}


def _read(response: httpx2.Response) -> Any:
    """The document of an answer; raises what it refuses."""
    try:
        document = json.loads(response.content) if response.content else None
    except (ValueError, RecursionError):
        raise TransportError(f"the running server answered {response.status_code} without JSON") from None
    if response.status_code < 400:
        return document
    told = document if isinstance(document, Mapping) else {}
    message, hint = str(told.get("detail", "")), str(told.get("hint", ""))
    if response.status_code == 503:
        raise JournalUnavailable(message, hint=hint)
    raise RequestRefused(response.status_code, message, hint=hint, document=told)
