"""One runtime in several event loops, threads and processes: each has connections of its own, and none hangs."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import Runtime
from tests.doubles.embedded import SHOP, Provider, providing, write_shop
from tests.doubles.processes import ROOT


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as running:
        yield running


def open_runtime(folder: Path, provider: Provider, definition: Any = SHOP, **more: object) -> Runtime:
    write_shop(folder / "definitions", definition)
    return Runtime(folder / "definitions", base_urls={"shop": provider.url}, environ={}, **more)  # type: ignore[arg-type]


def test_E3_a_runtime_is_used_in_one_loop_after_another(tmp_path: Path, provider: Provider) -> None:
    rt = open_runtime(tmp_path, provider)
    for operation in ("things.list", "things.create", "things.list"):
        assert asyncio.run(asyncio.wait_for(rt.call("shop", operation, {}), 20)).ok
    assert len(set(provider.ports)) == 3
    # A loop that has ended left no socket behind, which would be a warning here.
    gc.collect()


def test_E3_calls_of_one_loop_share_a_connection(tmp_path: Path, provider: Provider) -> None:
    rt = open_runtime(tmp_path, provider)

    async def twice() -> None:
        async with rt:
            await rt.call("shop", "things.list", {})
            await rt.call("shop", "things.list", {})

    asyncio.run(twice())
    asyncio.run(twice())
    assert len(set(provider.ports)) == 2


def test_E3_two_loops_that_run_at_once_have_connections_of_their_own(tmp_path: Path, provider: Provider) -> None:
    rt, barrier = open_runtime(tmp_path, provider), threading.Barrier(2)
    failures: list[BaseException] = []

    async def call() -> None:
        for _ in range(5):
            barrier.wait(20)
            await rt.call("shop", "things.list", {})

    def work() -> None:
        try:
            asyncio.run(call())
        except BaseException as error:  # noqa: BLE001 - the test judges it
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert len(set(provider.ports)) == 2


def test_E3_a_journal_that_is_open_in_another_loop_is_not_waited_for(tmp_path: Path, provider: Provider) -> None:
    rt = open_runtime(tmp_path, provider, journal="sqlite://")

    async def within() -> None:
        async with rt:
            elsewhere = asyncio.to_thread(lambda: asyncio.run(rt.call("shop", "things.create", {})))
            assert "another event loop" in (await asyncio.wait_for(elsewhere, 20)).warnings[0]
            assert (await rt.call("shop", "things.create", {})).warnings == ()

    asyncio.run(within())


FORKED = """
import asyncio, os, sys, threading
from runtime import Runtime, SyncRuntime

definitions, url, journal, kind = sys.argv[1:]
options = {"base_urls": {"shop": url}, "environ": {}, "journal": journal}


def in_child(use):
    child = os.fork()
    if child == 0:
        try:
            use()
        except BaseException as error:  # noqa: BLE001 - the test judges it
            print("child:", type(error).__name__, error, flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


if kind == "sync":
    rt = SyncRuntime(definitions, **options)
    with rt:
        rt.call("shop", "things.list", {})
        in_child(lambda: rt.call("shop", "things.create", {}))
        assert rt.call("shop", "things.create", {}).warnings == ()
elif kind == "entered":
    rt = SyncRuntime(definitions, **options)

    def anew():
        # The file is the parent's, so the child has a journal of its own.
        with SyncRuntime(definitions, **{**options, "journal": "sqlite://"}) as own:
            assert own.call("shop", "things.create", {}).warnings == ()
        rt.close()

    with rt:
        rt.call("shop", "things.list", {})
        in_child(anew)
        rt.call("shop", "things.list", {})
    with rt:
        rt.call("shop", "things.list", {})
else:
    rt = Runtime(definitions, **{**options, "journal": None})

    async def main():
        async with rt:
            await rt.call("shop", "things.list", {})
            await asyncio.to_thread(in_child, lambda: asyncio.run(rt.call("shop", "things.list", {})))
            await rt.call("shop", "things.list", {})

    asyncio.run(main())
    in_child(lambda: asyncio.run(rt.call("shop", "things.list", {})))
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("kind", ["sync", "entered", "async"])
def test_E3_the_child_of_a_fork_never_uses_a_socket_of_its_parent(
    tmp_path: Path, provider: Provider, kind: str
) -> None:
    write_shop(tmp_path / "definitions")
    program = [sys.executable, "-c", textwrap.dedent(FORKED), str(tmp_path / "definitions"), provider.url]
    done = subprocess.run(
        [*program, f"sqlite:///{tmp_path}/x.db", kind],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr + done.stdout
    ports = provider.ports
    # The parent goes on with its own connection; the child's is another one.
    assert len(ports) >= 3
    assert ports[1] not in {ports[0], ports[2]}
    assert ports[0] == ports[2]


def test_E3_a_limit_of_concurrency_holds_in_one_loop_after_another(tmp_path: Path, provider: Provider) -> None:
    limited = {**SHOP, "service": {**SHOP["service"], "rateLimit": {"concurrency": 1}}}
    rt = open_runtime(tmp_path, provider, definition=limited)

    async def crowd() -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(*(rt.call("shop", "things.list", {}) for _ in range(5)))

    asyncio.run(crowd())
    asyncio.run(crowd())
    assert len(provider.ports) == 10
