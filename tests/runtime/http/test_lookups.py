"""Names that are looked up: those that hang stop no others (the case `transport-09`)."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from runtime.http.lookups import system_resolver

pytestmark = pytest.mark.anyio


class Names:
    """`socket.getaddrinfo`, which hangs for names that begin with `slow`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.lookups: list[str] = []

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        self.lookups.append(host)
        if host.startswith("slow"):
            self.gate.wait(10)
        if host.startswith("no"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.43.8", port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    yield names
    names.gate.set()


async def test_transport_09_forty_names_that_hang_stop_no_other_name_and_no_other_thread(names: Names) -> None:
    hanging = [asyncio.ensure_future(system_resolver(f"slow{number}.example", 443)) for number in range(40)]
    async with asyncio.timeout(5):
        assert await system_resolver("quick.example", 443) == ["192.0.43.8"]
        assert await asyncio.to_thread(sum, [1]) == 1
    for each in hanging:
        each.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_calls_that_need_the_same_name_wait_for_one_lookup(names: Names) -> None:
    waiting = [asyncio.ensure_future(system_resolver("slow.example", 443)) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    names.gate.set()
    assert await asyncio.gather(*waiting[1:]) == [["192.0.43.8"]] * 9
    assert names.lookups == ["slow.example"]
    await system_resolver("slow.example", 443)
    assert len(names.lookups) == 2


async def test_a_name_that_is_unknown_is_an_error_for_all_who_wait_and_is_looked_up_again(names: Names) -> None:
    for _ in range(2):
        outcomes = await asyncio.gather(*(system_resolver("no.example", 1) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [socket.gaierror] * 3
    assert len(names.lookups) == 2
