"""Commands meet the wrong server: what listens where their server was is not sent the token, nor anything secret."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import stat
import urllib.parse
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.config.keys import Key
from tests.doubles.commands import run_in_thread
from tests.doubles.processes import process
from tests.doubles.served import DEMO

pytestmark = pytest.mark.anyio

TOKEN = "canary-admin-token"
ADD = ("subscriptions", "add", "https://example.com/hook?token=canary-url", "--trigger", "things/made", "--json")


class Home:
    """A home with an admin token and a key of its own."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path = path
        (path / "demo.json").write_text(json.dumps(DEMO), "utf-8")
        self.environment = {"CONNECTOR_ADMIN_TOKEN": TOKEN, "CONNECTOR_KEY": Key.generate().to_text()}

    def serve(self, *words: str) -> contextlib.AbstractAsyncContextManager[tuple[asyncio.subprocess.Process, str]]:
        return process(self.path, *words, environment=self.environment)

    async def kill_server(self) -> int:
        """Starts a server of this home and kills it with SIGKILL; returns its port, which its file still names."""
        async with self.serve() as (server, url):
            server.kill()
            await server.wait()
        assert self.announcement.exists()
        return urllib.parse.urlsplit(url).port or 0

    def move_server(self, port: int) -> None:
        """Lets the file of the server name another port of this machine."""
        document = json.loads(self.announcement.read_text())
        self.announcement.write_text(json.dumps(document | {"url": f"http://127.0.0.1:{port}"}))

    @property
    def announcement(self) -> Path:
        return self.path / ".connector" / "server.json"

    async def run(self, *words: str) -> tuple[int, str, str]:
        return await run_in_thread(self.path, *words, env=self.environment)

    async def subscriptions(self) -> list[Any]:
        code, out, err = await self.run("subscriptions", "list", "--json")
        assert code == 0, err
        return list(json.loads(out))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "one")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose server was killed, and whose file still names it."""
    home = Home(tmp_path_factory.mktemp("killed") / "one")
    asyncio.run(home.kill_server())
    return home.path / ".connector"


Answering = Callable[[bytes, asyncio.StreamWriter], Any]


@contextlib.asynccontextmanager
async def foreign(answer: Answering) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server of somebody else: its port, and what it was sent."""
    sent: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                sent.append(piece)
                await answer(piece, writer)
        except ConnectionError:
            pass  # the other side is gone
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], sent


def says(body: bytes, status: bytes = b"200 OK") -> Answering:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))

    return answer


async def echo(request: bytes, writer: asyncio.StreamWriter) -> None:
    """Repeats the target, and whatever it was asked, as its proof."""
    target = request.split(b" ")[1].decode()
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query).get("challenge", [""])[0]
    await says(json.dumps({"status": "ok", "proof": asked}).encode())(request, writer)


async def silence(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Takes everything and answers nothing."""


async def flood(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Answers without end."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Answers a byte at a time, and so is never silent."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.5)


@pytest.mark.parametrize(
    "answer",
    [
        says(b"{}"),
        says(b"[]"),
        says(b"not JSON"),
        says(b'{"status": "ok", "proof": "\xff"}'),
        says(b'{"status": "ok", "proof": 7}'),
        says(b'{"status": "ok"}', b"307 Away\r\nlocation: /healthz"),
        echo,
        silence,
        flood,
        drip,
    ],
    ids=["object", "array", "text", "bytes", "number", "redirect", "echo", "silence", "flood", "drip"],
)
async def test_a_foreign_server_where_ours_was_killed_is_sent_no_token_and_no_secret(
    home: Home, killed: Path, answer: Answering
) -> None:
    shutil.copytree(killed, home.path / ".connector")
    async with foreign(answer) as (port, sent):
        home.move_server(port)
        code, out, err = await home.run(*ADD)
    assert code == 0, err
    assert json.loads(out)["secret"].startswith("whsec_")
    assert sent, "it was never asked, so this shows nothing"
    assert b"canary" not in b"".join(sent)
    assert len(await home.subscriptions()) == 1


async def test_the_server_of_another_home_where_ours_was_killed_is_not_taken_for_ours(
    home: Home, tmp_path: Path
) -> None:
    port, other = await home.kill_server(), Home(tmp_path / "two")
    async with other.serve("--port", str(port)):
        code, _, err = await home.run(*ADD)
        assert code == 0, err
        code, _, err = await home.run("events", "tail")
        assert (code, "no server runs with this home" in err) == (2, True)
        assert await other.subscriptions() == []
    assert len(await home.subscriptions()) == 1


async def test_the_server_of_this_home_is_asked_even_if_a_proxy_is_named_in_the_environment(home: Home) -> None:
    home.environment |= {"HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
    async with home.serve() as (_, url):
        code, _, err = await home.run(*ADD)
        assert code == 0, err
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(trust_env=False, timeout=30, headers=headers) as client:
            assert len((await client.get(url + "/api/subscriptions")).json()) == 1


async def test_what_names_the_server_is_readable_by_its_owner_only_whatever_was_there(home: Home) -> None:
    folder = home.path / ".connector"
    folder.mkdir()
    file = folder / "server.json"
    file.write_text("{}")
    file.chmod(0o644)
    async with home.serve() as (_, url):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        key = json.loads(file.read_text())["key"]
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            answers = [
                await client.get(url + "/healthz", params=params)
                for params in ({}, {"challenge": ""}, {"challenge": "a" * 1000}, {"challenge": "n"}, {"challenge": "m"})
            ]
            described = (await client.get(url + "/openapi.json")).text
    assert [answer.status_code for answer in answers] == [200] * 5
    assert [sorted(answer.json()) for answer in answers] == [["status"]] * 3 + [["proof", "status"]] * 2
    assert answers[3].json() != answers[4].json()
    assert all(key not in text for text in (described, *(answer.text for answer in answers)))
    assert [path.name for path in folder.glob("server.json*")] == ["server.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"url": 1, "key": 2}', '{"url": "http://127.0.0.1:1"}', '{"url": "http://[", "key": "k"}'],
)
async def test_a_file_that_names_no_server_is_as_good_as_none(home: Home, text: str) -> None:
    assert (await home.run("journal", "migrate"))[0] == 0
    (home.path / ".connector" / "server.json").write_text(text)
    assert await home.subscriptions() == []
