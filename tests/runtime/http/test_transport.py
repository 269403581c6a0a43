"""The seam: what a route is, and that two of them never share anything."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from connector.errors import TransportError
from runtime.config.settings import Limits, Settings
from runtime.http.transport import Attempt, Proxy, Route, Transport
from tests.doubles.raw import Peer, demo, serving

pytestmark = pytest.mark.anyio


def test_whatever_differs_between_two_routes_makes_them_other_keys() -> None:
    routes = {
        Route(),
        Route(tenant="demo:a"),
        Route(proxy=Proxy("a", 1)),
        Route(proxy=Proxy("a", 1, "Basic x")),
        Route(trust="ca.pem"),
        Route(certificate="a.pem"),
        Route(http2=True),
    }
    assert len(routes) == 7


def test_hints_name_the_variable_of_the_connection() -> None:
    assert Route(settings_of="mistral-ai:team-b").variable("CONNECTOR_CA") == "CONNECTOR_CA__MISTRAL_AI__TEAM_B"
    assert Route(tenant="sub_1").variable("CONNECTOR_PROXY") == "CONNECTOR_PROXY"


def test_the_eight_promises_are_written_where_a_transport_is_described() -> None:
    assert [line.strip()[0] for line in (Transport.__doc__ or "").splitlines() if line.strip()[:1].isdigit()] == list(
        "12345678"
    )


def test_an_attempt_was_not_sent_until_it_says_so() -> None:
    attempt = Attempt()
    assert (attempt.sent, attempt.blame) == (False, "caller")


async def slow(peer: Peer) -> None:
    while True:
        await peer.request()
        await asyncio.sleep(1.5)
        await peer.answer()


async def quick(peer: Peer) -> None:
    while True:
        head, _ = await peer.request()
        if b"/other" not in head:
            await asyncio.sleep(1.0)
        await peer.answer()


async def timed(rt: Any, connection: str, operation: str) -> float:
    began = time.monotonic()
    assert (await rt.call(connection, operation, {})).status == 200
    return time.monotonic() - began


async def test_transport_04_three_hundred_slow_calls_keep_no_other_origin_waiting(tmp_path: Path) -> None:
    async with serving(quick) as one, serving(quick) as other:
        async with demo(tmp_path, one, other, handles=("demo", "else")) as rt:
            calls = [asyncio.create_task(rt.call("demo", "s.get", {})) for _ in range(300)]
            await asyncio.sleep(0.3)
            assert await timed(rt, "else", "s.other") < 0.3
            assert {(await each).status for each in calls} == {200}
        assert one.connections == 100


async def test_transport_05_three_hundred_slow_calls_keep_no_other_tenant_waiting(tmp_path: Path) -> None:
    """E6 as well."""
    async with serving(quick) as server, demo(tmp_path, server) as rt:
        calls = [asyncio.create_task(rt.call("demo:a", "s.get", {})) for _ in range(300)]
        await asyncio.sleep(0.3)
        assert await timed(rt, "demo:b", "s.other") < 0.3
        for each in calls:
            each.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_transport_08_a_post_that_waits_behind_a_slow_call_was_not_sent(tmp_path: Path) -> None:
    settings = Settings(limits=Limits(connections=1, deadline=0.3))
    async with serving(slow) as server, demo(tmp_path, server, retry=1, settings=settings) as rt:
        first = asyncio.create_task(rt.call("demo", "s.get", {}))
        await asyncio.sleep(0)
        with pytest.raises(TransportError, match="waiting for one of the 1 connections.*'connections'") as caught:
            await rt.call("demo", "s.make", {})
        assert (caught.value.sent, type(caught.value)) == (False, TransportError)
        await asyncio.gather(first, return_exceptions=True)


PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from tests.doubles.raw import demo
rt = demo(Path(sys.argv[1]), sys.argv[2], retry=1)

async def call(operation):
    async with asyncio.timeout(5):
        return (await rt.call("demo", operation, {})).status

print(asyncio.run(call("s.get")), asyncio.run(call("s.make")), asyncio.run(call("s.get")), flush=True)

def child():
    print(asyncio.run(call("s.make")), flush=True)

if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
else:
    child()
    sys.stdout.flush()
    os._exit(0)
print(asyncio.run(call("s.get")))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
async def test_E3_every_event_loop_and_every_process_has_connections_of_its_own(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    async with serving(play) as server:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path), server.url],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        await server.all_closed()
    assert (done.stdout, done.stderr) == ("200 200 200\n200\n200\n", "")
    assert server.connections == 5
