"""Processes that share a store renew one grant, against a real authorization server that takes each refresh token once."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runtime import Runtime
from runtime.config.keys import KEY_VARIABLE, Key
from tests.doubles.authorization_server import Server, serving
from tests.doubles.processes import ROOT
from tests.doubles.renewing import open_runtime
from tests.doubles.rotating import rotating
from tests.runtime.calls.test_tokens import CODE, definition
from tests.soak.grants import run

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        # A token that another process has renewed meanwhile is taken; what is judged is the token endpoint.
        running.api = lambda _: (200, {"id": "7"})
        yield running


@pytest.fixture
async def folder(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Definition and store of a connection whose token has expired."""
    monkeypatch.setenv(KEY_VARIABLE, Key.generate().to_text())
    (tmp_path / "demo.json").write_text(json.dumps(definition(CODE)))
    rt = open_runtime(tmp_path, server.url)
    bind(rt)
    await rt.vault.save_grant("demo", server.issue())
    return tmp_path


def bind(rt: Runtime) -> None:
    """Tells the vault of a runtime where the connection leads, as its first call does."""
    rt.authorization_url("demo", "http://127.0.0.1:1/callback", state="s", verifier="v" * 43)


class Renewer:
    """A process that renews."""

    def __init__(self, started: asyncio.subprocess.Process) -> None:
        assert started.stdin is not None
        assert started.stdout is not None
        self.process, self._out, self._in = started, started.stdout, started.stdin

    async def line(self) -> str:
        return (await asyncio.wait_for(self._out.readline(), 60)).decode().strip()

    def go(self) -> None:
        self._in.write(b"\n")


@contextlib.asynccontextmanager
async def renewers(folder: Path, server: Server, *, number: int, times: int) -> AsyncIterator[list[Renewer]]:
    """Processes that are about to renew, and begin when they are told to."""
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-m", "tests.doubles.renewing", str(folder), server.url, str(times), cwd=ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(number)
    ]  # fmt: skip
    try:
        made = [Renewer(each) for each in started]
        assert [await each.line() for each in made] == ["ready"] * number
        yield made
    finally:
        for each in started:
            with contextlib.suppress(ProcessLookupError):
                each.kill()
            await each.communicate()


async def test_K11_processes_that_renew_one_grant_at_once_never_use_a_refresh_token_twice(
    folder: Path, server: Server
) -> None:
    server.expires_in = 1e-6  # so that each call renews
    async with renewers(folder, server, number=3, times=10) as working:
        for each in working:
            each.go()
        assert [await each.line() for each in working] == ["done"] * 3
    used = [each["refresh_token"] for each in server.asked]
    assert len(used) == len(set(used)) == 30
    rt = open_runtime(folder, server.url)
    bind(rt)
    grant = rt.vault.grant("demo")
    assert "needs_reauth" not in grant
    assert grant["refresh_token"] == server.tokens[-1].fields["refresh_token"]


async def test_K11_a_process_that_waited_uses_what_the_other_one_saved(folder: Path, server: Server) -> None:
    arrived, may_answer = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(_: object) -> None:
        loop.call_soon_threadsafe(arrived.set)
        assert may_answer.wait(60)

    server.instead = hold
    async with renewers(folder, server, number=3, times=1) as working:
        for each in working:
            each.go()
        await asyncio.wait_for(arrived.wait(), 60)
        # Long enough for the other two to ask as well, if they did not wait.
        arrived.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(arrived.wait(), 1)
        may_answer.set()
        assert [await each.line() for each in working] == ["done"] * 3
    assert len(server.asked) == 1


async def test_K11_a_process_killed_in_the_middle_of_a_renewal_holds_up_no_other(folder: Path, server: Server) -> None:
    arrived, gone = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(_: object) -> tuple[int, object] | None:
        if gone.is_set():
            return None
        loop.call_soon_threadsafe(arrived.set)
        assert gone.wait(60)
        return 500, {}  # for no one: the provider has not rotated anything

    server.instead = hold
    async with renewers(folder, server, number=2, times=1) as (first, second):
        first.go()
        await asyncio.wait_for(arrived.wait(), 60)
        first.process.kill()
        await first.process.wait()
        gone.set()
        second.go()
        assert await second.line() == "done"
    assert len(server.asked) == 2


async def test_K11_whatever_waits_for_another_process_leaves_the_event_loop_free(folder: Path, server: Server) -> None:
    async with open_runtime(folder, server.url) as rt, contextlib.AsyncExitStack() as held:
        await held.enter_async_context(open_runtime(folder, server.url).vault.renewing("demo"))
        call = asyncio.create_task(rt.call("demo", "things.read", {}))
        (lock,) = (folder / "home").glob("secrets.json.grant-*.lock")
        # The thread that looks for a key, the lock, and its tries take turns with this.
        done, _ = await asyncio.wait({call}, timeout=0.3)
        assert (done, server.asked) == (set(), [])
        handle = os.open(lock, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)
        await held.aclose()
        assert (await call).ok
    assert len(server.asked) == 1


async def test_K11_a_login_waits_for_a_renewal_that_would_save_its_grant_over_it(folder: Path, server: Server) -> None:
    async with open_runtime(folder, server.url) as rt:
        async with open_runtime(folder, server.url).vault.renewing("demo"):
            login = asyncio.create_task(rt.log_in("demo", "code", "http://127.0.0.1:1/callback", verifier="v" * 43))
            done, _ = await asyncio.wait({login}, timeout=0.3)
            assert (done, server.asked) == (set(), [])
        server.instead = lambda _: (200, {"access_token": "canary-new", "token_type": "Bearer"})
        await login
        assert rt.vault.grant("demo")["token"] == "canary-new"


async def test_a_token_that_can_be_used_needs_no_lock(folder: Path, server: Server) -> None:
    async with open_runtime(folder, server.url) as rt:
        bind(rt)
        await rt.vault.save_grant("demo", {"token": "canary-lasting", "issued_at": 0.0})
        async with open_runtime(folder, server.url).vault.renewing("demo"):
            assert (await asyncio.wait_for(rt.call("demo", "things.read", {}), 30)).ok
    assert server.asked == []


@pytest.mark.parametrize("processes", [2, 3])
async def test_E2_processes_of_a_host_lose_no_grant_of_its_own_store(tmp_path: Path, processes: int) -> None:
    # `python -m tests.soak.grants` makes 10,000 calls.
    with rotating(30) as rotator:
        failed = await run(tmp_path, rotator, processes=processes, calls=150)
    assert (failed, rotator.reuses) == ({}, 0)
    assert rotator.renewals >= 5
