"""Stand-ins for real providers: a function from a call to an answer, served on a socket of its own.

    async with Standin(answer) as provider:
        async with provider.runtime("stripe", {"apiKey": "…"}) as rt: …
        provider.calls                                                    # what arrived, in order

What each provider does with a call is written in its test module, after the provider's own documentation. A stand-in
says what a provider says, errors included; the strictness about inputs is the mock provider's, which is made from the
definition and cannot contradict it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from runtime import Runtime
from runtime.mock import serve


@dataclass(frozen=True)
class Call:
    """One request as it arrived."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes

    @property
    def params(self) -> dict[str, str]:
        """The query, each name once."""
        return dict(self.query)

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form."""
        assert self.headers["content-type"] == "application/x-www-form-urlencoded"
        return dict(urllib.parse.parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The body as JSON."""
        assert self.headers["content-type"].partition(";")[0] == "application/json"
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What a stand-in says: a JSON document, or pieces of bytes one after the other."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes] | None = None


class Standin:
    """A provider on loopback that answers with a function and remembers what it was asked."""

    def __init__(self, answer: Callable[[Call], Answer]) -> None:
        self._answer = answer
        self._stack = contextlib.AsyncExitStack()
        self.calls: list[Call] = []
        #: How long a runtime of this stand-in would have waited, in seconds.
        self.waits: list[float] = []
        self.origin = ""

    async def __aenter__(self) -> Self:
        self.origin = await self._stack.enter_async_context(serving(self))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def runtime(
        self, connection: str, secrets: Mapping[str, Any], base: str = "", *, clock: float = 1_767_225_600.0
    ) -> Runtime:
        """A runtime whose connection leads here; it never waits, and its time stands still."""

        async def wait(seconds: float) -> None:
            self.waits.append(seconds)

        return Runtime(
            secrets={connection: dict(secrets)},
            base_urls={connection: self.origin + base},
            sleep=wait,
            clock=lambda: clock,
            environ={},
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (phase := (await receive())["type"]) != "lifespan.shutdown":
                await send({"type": f"{phase}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        call = Call(
            scope["method"],
            scope["raw_path"].decode(),
            tuple(urllib.parse.parse_qsl(scope["query_string"].decode(), keep_blank_values=True)),
            {name.decode(): value.decode("latin-1") for name, value in scope["headers"]},
            body,
        )
        self.calls.append(call)
        answer = self._answer(call)
        headers = {"content-type": "application/json", **answer.headers}
        pieces = [b"" if answer.body is None else json.dumps(answer.body).encode()]
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        for piece in pieces if answer.pieces is None else answer.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The origin at which an ASGI application is served while the block runs."""
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, "127.0.0.1", 0, ready.set_result))
    try:
        yield f"http://127.0.0.1:{await ready}"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
