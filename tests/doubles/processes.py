"""Processes for tests that look at the product from outside: `connector serve` itself, and a subscriber it delivers to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2

from connector.events.signatures import sign
from tests.doubles.served import DEMO, PATH, SECRET

ROOT = Path(__file__).parents[2]
MODULE = ("-m", "runtime")


@contextlib.asynccontextmanager
async def process(
    home: Path,
    *words: str,
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = MODULE,
    before: Sequence[str] = (),
    **options: Any,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`connector serve` as a process, and its URL once it answers; `before` are words in front of the command."""
    (home / "demo.json").write_text(json.dumps(DEMO), "utf-8")
    # A file, since a pipe that nobody reads would stop the server once it is full.
    errors = (home / "server.err").open("wb")
    started = await asyncio.create_subprocess_exec(
        *before, sys.executable, "-W", "error", *program, "serve", "--port", "0", "--json",
        "--definitions", str(home), *words,
        cwd=home,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")},
            "PYTHONPATH": str(ROOT),
            "CONNECTOR_SECRET__DEMO__WEBHOOKSECRET": SECRET,
            **(environment or {}),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        **options,
    )  # fmt: skip
    errors.close()
    assert started.stdout is not None
    try:
        text = b""
        while not text.endswith(b"}\n"):
            line = await asyncio.wait_for(started.stdout.readline(), 60)
            assert line, (home / "server.err").read_text("utf-8")
            text += line
        document = json.loads(text)
        assert "url" in document, document["detail"]
        yield started, document["url"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.wait()


def message(id: str, document: Any = None) -> tuple[bytes, dict[str, str]]:
    """The body and the header fields of a signed message to the demo's webhook."""
    body = json.dumps(document or {"id": "t"}).encode()
    return body, sign([SECRET], id, int(time.time()), body) | {"content-type": "application/json"}


async def post(client: httpx2.AsyncClient, url: str, id: str, document: Any = None) -> int:
    """Sends a signed message as a provider does; gives the status."""
    body, headers = message(id, document)
    return (await client.post(url + PATH, content=body, headers=headers)).status_code


@dataclass(frozen=True, slots=True)
class Arrival:
    """One delivery, as it came."""

    #: Seconds of the monotonic clock.
    at: float
    path: str
    #: The id of the message: the event's.
    id: str
    headers: Mapping[str, str]
    event: Mapping[str, Any]


class Subscriber:
    """Gets deliveries on a real socket and notes them; answers 204, or what `answer` says."""

    def __init__(self, answer: Callable[[Arrival], Awaitable[int]] | None = None, *, port: int = 0) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = port
        self.arrivals: list[Arrival] = []
        self.news = asyncio.Event()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """How often each message came, by path and id."""
        return Counter((each.path, each.id) for each in self.arrivals)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def until(self, holds: Callable[[], object], patience: float = 60.0) -> None:
        """Waits until it holds; looks again whenever something comes."""
        async with asyncio.timeout(patience):
            while not holds():
                self.news.clear()
                await self.news.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])
                }
                body = json.loads(await reader.readexactly(int(fields["content-length"])))
                arrival = Arrival(time.monotonic(), head.split(" ", 2)[1], fields["webhook-id"], fields, body)
                self.arrivals.append(arrival)
                self.news.set()
                status = 204 if self._answer is None else await self._answer(arrival)
                writer.write(b"HTTP/1.1 %d Said\r\ncontent-length: 0\r\n\r\n" % status)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side is gone, or the test is over
        finally:
            self._writers.discard(writer)
            writer.close()
