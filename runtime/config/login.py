"""The end of a login: a server on 127.0.0.1 that the browser is sent to with the code, for a short time.

RFC 8252, section 7.3: a native application receives the code on a loopback address, at a port that is free. Only a
request with the state of this login counts, so that no page can slip in a code of its own; any other is answered and
forgotten. Nothing of a request is ever shown in a page.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import urllib.parse
from collections.abc import Callable
from typing import Self

from connector.errors import ConfigurationError, InputProblem, NeedsReauthorization

PATH = "/callback"
#: Seconds for which a login may take.
PATIENCE = 300.0
#: Bytes of a request's head, and seconds to send it.
_HEAD_BYTES = 16 * 1024
_HEAD_SECONDS = 10.0
_DONE = "It was allowed. You may close this window."


class Loopback:
    """Waits for the code of one login.

    >>> async with Loopback("mistral-ai", state) as loopback:     # doctest: +SKIP
    ...     show(authorization_url(service, values, loopback.redirect_uri, state, verifier))
    ...     code = await loopback.code()
    """

    def __init__(self, connection: str, state: str, *, port: int = 0, patience: float = PATIENCE) -> None:
        """`connection` is named in errors; `port` 0 takes a free one; `patience` are the seconds to wait."""
        self._connection = connection
        self._state = state
        self._port = port
        self._patience = patience
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._code: asyncio.Future[str]

    async def __aenter__(self) -> Self:
        self._code = asyncio.get_running_loop().create_future()
        try:
            self._server = await asyncio.start_server(self._answer, "127.0.0.1", self._port, limit=_HEAD_BYTES)
        except OSError as error:
            reason = (error.strerror or "it cannot be used").lower()
            raise ConfigurationError(f"port {self._port} of 127.0.0.1: {reason}") from None
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._open:
                writer.close()
            await self._server.wait_closed()

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends the browser."""
        return f"http://127.0.0.1:{self._port}{PATH}"

    async def code(self) -> str:
        """The code; raises NeedsReauthorization if it was refused, or if it did not arrive in time."""
        try:
            async with asyncio.timeout(self._patience):
                return await self._code
        except TimeoutError:
            raise self._failure(f"no one allowed it within {self._patience:g} s") from None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        finish = None
        # A browser opens connections that it never uses, and leaves when it likes.
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status, text, finish = self._read(head.partition(b"\r\n")[0].decode("ascii", "replace"))
            with contextlib.suppress(OSError):
                writer.write(_page(status, text))
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self._open.discard(writer)
        # The page comes first: the task that waits for the code stops this server.
        if finish is not None and not self._code.done():
            finish()

    def _read(self, line: str) -> tuple[str, str, Callable[[], None] | None]:
        """What to answer to a request line, and how it ends the wait, if it does."""
        method, _, rest = line.partition(" ")
        target = urllib.parse.urlsplit(rest.partition(" ")[0])
        if method != "GET" or target.path != PATH:
            return "404 Not Found", "There is nothing here.", None
        query = dict(urllib.parse.parse_qsl(target.query))
        if not hmac.compare_digest(query.get("state", "").encode(), self._state.encode()):
            return "400 Bad Request", "This is not the login that was begun.", None
        if query.get("code"):
            return "200 OK", _DONE, lambda: self._code.set_result(query["code"])
        # RFC 6749, section 4.1.2.1
        words = ": ".join(query[name] for name in ("error", "error_description") if query.get(name))
        said = "".join(char if char.isprintable() else " " for char in words)[:200]
        failure = self._failure(f"the provider refused: {said or 'it sent no code'}")
        return "200 OK", "It was not allowed. You may close this window.", lambda: self._code.set_exception(failure)

    def _failure(self, reason: str) -> NeedsReauthorization:
        hint = f"run again: connector connections login {self._connection}"
        return NeedsReauthorization(self._connection, [InputProblem("grant", reason)], hint=hint)


def _page(status: str, text: str) -> bytes:
    body = text.encode()
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body
