"""Definitions that are edited while the server runs: taken when they are valid, and only then."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.errors import InvalidDefinition, UnknownConnector
from runtime.runtime import Runtime
from runtime.server.app import create_app, follow_definitions
from runtime.server.reload import Reloader
from tests.doubles.served import DEMO, settings_in

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]


def demo(path: str = "/webhooks/demo/made", *, handle: str = "demo", base: str = "https://demo.example") -> Any:
    resource = {
        "handle": "things",
        "endpoint": "/things",
        "operations": {"read": {"method": "GET"}},
        "webhooks": [{"event": "made", "path": path}],
    }
    return {"handle": handle, "service": {"baseURL": base}, "resources": [resource]}


class World:
    """An application whose definitions are a folder, and what it logged."""

    def __init__(self, home: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.folder = home / "definitions"
        self.runtime = Runtime(settings=settings_in(home, demo()))
        self.app = create_app(self.runtime, reload=True)
        self.lifespan = self.app.state.lifespan
        self.caplog = caplog
        caplog.set_level(logging.INFO, "runtime.server.reload")

    @property
    def reloader(self) -> Reloader:
        reloader: Reloader = self.lifespan.reloader
        return reloader

    @property
    def paths(self) -> set[str]:
        """The paths of webhooks of the operator's connectors."""
        routes = self.lifespan.ingress.routes.items()
        return {path.decode() for path, route in routes if not route.connector.short}

    def write(self, value: Any, name: str = "demo.json") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
        return path

    def logged(self) -> list[str]:
        """What was logged since the last time."""
        messages = [f"{each.levelname} {each.getMessage()}" for each in self.caplog.records]
        self.caplog.clear()
        return messages


@pytest.fixture
def world(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> World:
    return World(tmp_path, caplog)


async def test_an_edited_definition_is_used_by_calls_and_webhooks(world: World) -> None:
    assert world.paths == {"/webhooks/demo/made"}
    assert await world.reloader.look() == []
    world.write(demo("/webhooks/demo/new", base="https://other.example"))
    assert world.runtime.render("demo", "things.read", {}).url == "https://demo.example/things"
    assert await world.reloader.look() == ["demo"]
    assert world.paths == {"/webhooks/demo/new"}
    assert world.runtime.render("demo", "things.read", {}).url == "https://other.example/things"
    assert world.logged() == ["INFO demo: the edited definition is in use"]
    assert await world.reloader.look() == []


async def test_a_half_written_definition_leaves_the_one_before_until_it_is_whole(world: World) -> None:
    before, text = world.runtime.catalog.get("demo"), json.dumps(demo("/webhooks/demo/new"), indent=1)
    path = world.write(text[:60])
    assert await world.reloader.look() == []
    assert world.runtime.catalog.get("demo") is before
    assert world.paths == {"/webhooks/demo/made"}
    [first, last] = world.logged()
    assert first.startswith(f"WARNING {path}:")
    assert " E_JSON " in first
    assert last == "WARNING demo: its definition has 1 problems; the previous one stays in use"
    assert await world.reloader.look() == []
    assert world.logged() == []
    world.write(text)
    assert await world.reloader.look() == ["demo"]
    assert world.paths == {"/webhooks/demo/new"}


async def test_a_definition_that_means_nothing_is_logged_with_file_line_column_and_code(world: World) -> None:
    broken = demo()
    broken["resources"][0]["operations"]["read"]["response"] = "nonsense"
    path = world.write(json.dumps(broken, indent=1))
    assert await world.reloader.look() == []
    assert world.logged()[0].startswith(f"WARNING {path}:13:18 E_RESPONSE_KIND ")


async def test_an_edit_is_seen_although_time_and_size_are_the_same(world: World) -> None:
    path = world.folder / "demo.json"
    status = path.stat()
    beside = world.write(demo("/webhooks/demo/edam"), ".demo.json")
    os.utime(beside, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert beside.stat().st_size == status.st_size
    beside.replace(path)
    assert await world.reloader.look() == ["demo"]
    assert world.paths == {"/webhooks/demo/edam"}


async def test_every_file_of_a_folder_counts(world: World) -> None:
    head = {"handle": "more", "service": {"baseURL": "https://more.example"}}
    things = {"handle": "things", "endpoint": "/things", "operations": {"read": {"method": "GET"}}}
    world.write(head, "more/service.json")
    assert await world.reloader.look() == ["more"]
    for name, value, operation in (
        ("resources.json", [things], "things.read"),
        ("resources/b.json", [{**things, "handle": "others"}], "others.read"),
        ("overlay.json", {"resources": {"things": {"operations": {"list": {"method": "GET"}}}}}, "things.list"),
        (
            "operations.json",
            [{"handle": "do", "steps": [{"type": "http", "http": {"method": "GET", "path": "/a"}}]}],
            "do",
        ),
    ):
        world.write(value, f"more/{name}")
        assert await world.reloader.look() == ["more"], name
        assert world.runtime.find("more", operation)[1].id == operation
    (world.folder / "more" / "overlay.json").unlink()
    assert await world.reloader.look() == ["more"]
    assert "things.list" not in world.runtime.catalog.get("more").operations


async def test_a_new_connector_is_known_once_it_is_there_and_used_once_it_is_valid(world: World) -> None:
    with pytest.raises(UnknownConnector):
        world.runtime.catalog.get("other")
    world.write("{", "other.json")
    assert await world.reloader.look() == []
    assert world.logged()[-1] == "WARNING other: its definition has 1 problems; there is none to use"
    with pytest.raises(InvalidDefinition):
        world.runtime.catalog.get("other")
    world.write(demo("/webhooks/other/made", handle="other"), "other.json")
    assert await world.reloader.look() == ["other"]
    assert world.paths == {"/webhooks/demo/made", "/webhooks/other/made"}


async def test_a_webhook_path_that_another_connector_has_is_refused(world: World) -> None:
    world.write(demo(handle="other"), "other.json")
    assert await world.reloader.look() == []
    assert "both have the webhook path /webhooks/demo/made" in world.logged()[-1]
    assert world.paths == {"/webhooks/demo/made"}


async def test_a_definition_that_is_deleted_stays_until_a_restart(world: World) -> None:
    before = world.runtime.catalog.get("demo")
    (world.folder / "demo.json").rename(world.folder / "demo.bak")
    assert await world.reloader.look() == []
    assert world.logged() == ["WARNING demo: its definition is gone; the previous one stays in use until a restart"]
    assert world.runtime.catalog.get("demo") is before
    assert await world.reloader.look() == []
    assert world.logged() == []
    (world.folder / "demo.bak").rename(world.folder / "demo.json")
    assert await world.reloader.look() == ["demo"]


async def test_without_reload_nothing_looks(tmp_path: Path) -> None:
    assert create_app(Runtime(settings=settings_in(tmp_path, demo()))).state.lifespan.reloader is None


async def test_a_failure_of_one_look_does_not_end_them(world: World) -> None:
    looks: asyncio.Queue[None] = asyncio.Queue()
    waiting = asyncio.Event()

    async def wait() -> None:
        waiting.set()
        await looks.get()
        waiting.clear()

    class Broken:
        async def follow(self, handles: list[str]) -> None:
            raise RuntimeError(str(handles))

    following = asyncio.create_task(follow_definitions(world.reloader, Broken(), wait))  # type: ignore[arg-type]
    for path in ("/webhooks/demo/a", "/webhooks/demo/b"):
        await waiting.wait()
        world.write(demo(path))
        looks.put_nowait(None)
        async with asyncio.timeout(10):
            while not any("could not be taken: RuntimeError" in each for each in world.logged()):
                await asyncio.sleep(0)
        assert world.paths == {path}
    following.cancel()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Path, str, str, Path]]:
    """A definition, a server that follows it, one that does not, and what the first one logged."""
    definition, log = tmp_path / "demo.json", tmp_path / "log"
    definition.write_text(json.dumps(DEMO), "utf-8")
    running: list[subprocess.Popen[str]] = []
    urls: list[str] = []
    try:
        with log.open("w") as stderr:
            for more in ([], ["--no-reload"]):
                words = ["serve", "--port", "0", "--json", "--definitions", str(definition), *more]
                home = tmp_path / f"home{len(running)}"
                environ = {**os.environ, "PYTHONPATH": str(ROOT), "CONNECTOR_HOME": str(home)}
                server = subprocess.Popen(
                    [sys.executable, "-m", "runtime", *words],
                    cwd=tmp_path, env=environ, text=True, stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL if more else stderr,
                )  # fmt: skip
                running.append(server)
                assert server.stdout is not None
                urls.append(json.loads("".join(server.stdout.readline() for _ in range(3)))["url"])
        yield definition, urls[0], urls[1], log
    finally:
        for server in running:
            server.terminate()
            server.communicate()


def test_a_server_takes_an_edited_definition_and_keeps_the_one_before_while_it_is_half_written(
    servers: tuple[Path, str, str, Path],
) -> None:
    definition, url, other, log = servers

    def operations(base: str) -> set[str]:
        listed = httpx2.get(f"{base}/api/connectors/demo/operations", trust_env=False).json()
        return {each["id"] for each in listed if each["id"].startswith("things")}

    def until(met: Any) -> None:
        end = time.monotonic() + 30
        while not met():
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)

    before = {"things.read", "things.list"}
    edited = json.loads(json.dumps(DEMO))
    edited["resources"][0]["operations"]["create"] = {"method": "POST"}
    edited["resources"][0]["webhooks"][0]["path"] = "/webhooks/demo/renamed"
    text = json.dumps(edited, indent=1)
    definition.write_text(text[: len(text) // 2], "utf-8")
    until(lambda: f"{definition}:" in log.read_text())
    assert " E_JSON " in log.read_text()
    assert operations(url) == before
    definition.write_text(text, "utf-8")
    until(lambda: operations(url) == before | {"things.create"})
    # A webhook without a signature is refused as such, one that is not there is not found.
    assert httpx2.post(f"{url}/webhooks/demo/renamed", json={}, trust_env=False).status_code == 401
    assert httpx2.post(f"{url}/webhooks/demo/made", json={}, trust_env=False).status_code == 404
    assert operations(other) == before


async def test_a_definition_that_is_repaired_is_logged_as_in_use_again(world: World) -> None:
    world.write("{")
    await world.reloader.look()
    world.logged()
    world.write(demo("/webhooks/demo/other"))
    await world.reloader.look()
    assert world.logged() == ["WARNING demo: its definition is valid again and in use"]
