"""Whose turn it is when places are taken. Nothing is connected here."""

from __future__ import annotations

import asyncio
import random

import pytest

from runtime.http.guard import Origin
from runtime.http.places import Lane, Places
from runtime.http.transport import Attempt

pytestmark = pytest.mark.anyio

ONE, OTHER = Origin("https", "one.example", 443), Origin("https", "other.example", 443)


class Callers:
    """Callers that take a place each, by name; notes who has one."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.entered: list[str] = []
        self.attempts: dict[str, Attempt] = {}

    def begin(self, tenant: str, name: str, origin: Origin = ONE, *, streamed: bool = False) -> asyncio.Task[Lane]:
        async def take() -> Lane:
            attempt = self.attempts[name] = Attempt()
            lane = await self.places.take(tenant, origin, attempt, streamed=streamed)
            self.entered.append(name)
            return lane

        return asyncio.create_task(take())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_transport_04_one_origin_or_tenant_that_is_full_keeps_no_other_waiting() -> None:
    callers = Callers(Places(1, 100))
    held = callers.begin("a", "a1")
    waiting = callers.begin("a", "a2")
    callers.begin("a", "elsewhere", OTHER)
    callers.begin("b", "b1")
    await settle()
    assert callers.entered == ["a1", "elsewhere", "b1"]
    assert "limit 'connections'" in callers.attempts["a2"].step
    callers.places.leave(held.result())
    await waiting
    assert callers.entered[-1] == "a2"


async def test_transport_05_within_a_tenant_the_first_is_served_first_and_tenants_take_turns() -> None:
    callers = Callers(Places(100, 1))
    lane = await callers.begin("a", "a0")
    tasks = {name: callers.begin(name[0], name) for name in ("a1", "a2", "a3", "b1", "b2", "c1")}
    await settle()
    assert "limit 'all_connections'" in callers.attempts["b1"].step
    for _ in range(6):
        callers.places.leave(lane)
        await settle()
        lane = tasks[callers.entered[-1]].result()
    assert callers.entered == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_tenant_with_many_origins_has_no_more_turns_than_others() -> None:
    callers = Callers(Places(100, 1))
    lane = await callers.begin("a", "a0")
    tasks = {name: callers.begin("a", name, Origin("https", f"{name}.example", 443)) for name in ("a1", "a2", "a3")}
    tasks["b1"] = callers.begin("b", "b1")
    await settle()
    for _ in range(4):
        callers.places.leave(lane)
        await settle()
        lane = tasks[callers.entered[-1]].result()
    assert callers.entered == ["a0", "a1", "b1", "a2", "a3"]


async def test_streams_take_half_of_all_places_at_most() -> None:
    callers = Callers(Places(100, 4))
    streams = [callers.begin("a", f"s{number}", streamed=True) for number in range(3)]
    calls = [callers.begin("a", f"c{number}") for number in range(3)]
    await settle()
    assert callers.entered == ["s0", "s1", "c0", "c1"]
    callers.places.leave(calls[0].result())
    await settle()
    assert callers.entered[-1] == "c2"
    callers.places.leave(streams[0].result())
    await settle()
    assert callers.entered[-1] == "s2"


async def test_transport_16_whatever_is_cancelled_no_place_is_lost_and_none_is_made() -> None:
    chance = random.Random(7)
    places = Places(3, 7)
    inside = 0

    async def use(tenant: str, origin: Origin, *, streamed: bool) -> None:
        nonlocal inside
        lane = await places.take(tenant, origin, Attempt(), streamed=streamed)
        try:
            inside += 1
            assert inside <= 7
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        finally:
            inside -= 1
            places.leave(lane)

    for _ in range(50):
        tasks = [
            asyncio.create_task(use(chance.choice("abc"), chance.choice([ONE, OTHER]), streamed=chance.random() < 0.3))
            for _ in range(40)
        ]
        for _ in range(20):
            chance.choice(tasks).cancel()
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks, return_exceptions=True)
    assert (places.taken, inside, places._lanes, places._ready) == (0, 0, {}, {False: {}, True: {}})  # noqa: SLF001
