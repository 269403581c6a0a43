"""The HTTP interface asked by the command line: that of the running server, or else of this very process.

A journal in a file belongs to one process, so a verb asks the server if there is one (it says so in its home), and
otherwise opens the journal itself and asks the same routes without a socket. So every verb is written once.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.errors import ConnectorError, JournalUnavailable, RequestRefused, TransportError
from runtime.serving import SERVER_FILE

if TYPE_CHECKING:
    from runtime.settings import Settings

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class RemoteServer:
    """A server that runs here."""

    host: str
    port: int
    token: str | None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the document that it answers; raises TransportError where it does not."""
        with _Exchange(self, method, path, body, "application/json") as response:
            text = response.read()
            return response.status, json.loads(text) if text else None

    def lines(self, path: str) -> Iterator[str]:
        """The `data` of each message of a stream, without end."""
        with _Exchange(self, "GET", path, None, "text/event-stream") as response:
            if response.status != 200:
                _refuse(response.status, json.loads(response.read()))
            for line in response:
                if line.startswith(b"data: "):
                    yield line[6:].decode().rstrip("\n")


class _Exchange:
    """One request, and its answer while the block lasts."""

    def __init__(self, server: RemoteServer, method: str, path: str, body: Any, accept: str) -> None:
        self._connection = http.client.HTTPConnection(
            server.host, server.port, timeout=None if "stream" in accept else _TIMEOUT
        )
        self._request = (method, path, None if body is None else json.dumps(body))
        self._headers = {"Accept": accept}
        if body is not None:
            self._headers["Content-Type"] = "application/json"
        if server.token is not None:
            self._headers["Authorization"] = f"Bearer {server.token}"

    def __enter__(self) -> http.client.HTTPResponse:
        try:
            self._connection.request(*self._request, headers=self._headers)
            return self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise TransportError(f"the running server does not answer: {error}", sent=False) from None

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def find_server(settings: Settings) -> RemoteServer | None:
    """The server that runs with this home, or None."""
    try:
        url = json.loads((settings.home / SERVER_FILE).read_text("utf-8"))["url"]
        place = urllib.parse.urlsplit(url)
        server = RemoteServer(place.hostname or "127.0.0.1", place.port or 80, settings.admin_token)
        return server if server.ask("GET", "/healthz")[0] == 200 else None
    except (OSError, ValueError, KeyError, TypeError, TransportError):
        return None


def ask(settings: Settings, method: str, path: str, body: Any = None) -> Any:
    """The document that a route answers, of the running server or of this process; raises what it refuses."""
    server = find_server(settings)
    status, document = (
        server.ask(method, path, body) if server else asyncio.run(_ask_here(settings, method, path, body))
    )
    if status >= 400:
        _refuse(status, document)
    return document


async def _ask_here(settings: Settings, method: str, path: str, body: Any) -> tuple[int, Any]:
    from runtime.app import create_app
    from runtime.runtime import Runtime

    # To read every connector takes longer than all the rest.
    app = create_app(Runtime(settings=settings), roles=("api",), webhooks=path.startswith("/api/webhooks"))
    async with app.router.lifespan_context(app):
        return await _ask_application(app, settings.admin_token, method, path, body)


async def _ask_application(app: Any, token: str | None, method: str, path: str, body: Any) -> tuple[int, Any]:
    """One request to an ASGI application, without a socket."""
    raw_path, _, query = path.partition("?")
    content = b"" if body is None else json.dumps(body).encode()
    headers = [(b"host", b"localhost"), (b"content-length", str(len(content)).encode())]
    if body is not None:
        headers.append((b"content-type", b"application/json"))
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 0),
        "scheme": "http",
        "method": method,
        "root_path": "",
        "path": urllib.parse.unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "headers": headers,
    }
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await app(scope, receive, send)
    text = b"".join(each.get("body", b"") for each in messages[1:])
    return messages[0]["status"], json.loads(text) if text else None


def _refuse(status: int, document: Any) -> None:
    message, hint = str(document.get("detail", "")), str(document.get("hint", ""))
    error: ConnectorError = RequestRefused(status, message, hint=hint, document=document)
    raise JournalUnavailable(message, hint=hint) if status == 503 else error
