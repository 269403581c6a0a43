"""What is polled for: inputs of the definition, of the connection and of an operator, and what nobody wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.errors import InputError, RequestRefused, UnknownOperation
from runtime.config.keys import Key, Keys
from runtime.config.store import Store
from runtime.events.poller import Poller
from runtime.journal.entries import Work
from runtime.journal.journal import Journal
from runtime.runtime import Runtime
from tests.runtime.events.test_poller import World, poll, webhook

pytestmark = pytest.mark.anyio
SEARCH = {
    "method": "GET",
    "path": "/{{team}}",
    "records": ["data"],
    "queryParams": {"kind": {"type": "String", "required": True}, "most": {"type": "Integer", "maximum": 9}},
}


def searched(event: str, **inputs: Any) -> dict[str, Any]:
    return webhook(event, poll=poll("new", operation="jobs.search", start="now", **inputs))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Jobs that are searched for by kind, in the team that a value of the connection names."""
    async with await Journal.open("sqlite://") as journal:
        made = World(tmp_path, journal, [searched("job.found"), searched("job.big", inputs={"kind": "big"})], SEARCH)
        made.asked = []

        def answer(request: httpx2.Request) -> httpx2.Response:
            made.asked.append(str(request.url.copy_with(scheme="http", host="x")))
            kind = request.url.params["kind"]
            return httpx2.Response(200, json={"data": [job for job in made.provider.jobs if job["status"] == kind]})

        made.provider.answer = answer
        yield made


async def row(world: World, event: str = "job.found") -> dict[str, Any]:
    rows = await world.poller.documents("demo")
    return next(each for each in rows if each["trigger"] == f"jobs/{event}")


async def poll_all(world: World) -> list[str]:
    told = []
    for each in await world.poller.polls.of("demo"):
        told += await world.poll("demo", each.id)
    return told


async def test_a_poll_that_lacks_an_input_says_so_and_sends_nothing(world: World) -> None:
    for _ in range(6):
        await poll_all(world)
    assert [each for each in world.asked if "kind=big" not in each] == []
    shown = await row(world)
    assert (shown["state"], shown["inputs"]) == ("needs_inputs", {})
    assert shown["error"].startswith("jobs.search: kind is missing")
    assert shown["error"].endswith("set them: connector triggers enable demo jobs/job.found NAME=VALUE")
    # Nobody is told of a failing provider.
    assert await world.journal.events() == []


async def test_inputs_come_from_the_definition_the_connection_and_the_operator(world: World) -> None:
    await world.poller.polls.choose("demo", "jobs/job.found", enabled=True, inputs={"kind": "small", "most": "3"})
    await poll_all(world)
    assert sorted(world.asked) == ["http://x/jobs/red?kind=big", "http://x/jobs/red?kind=small&most=3"]
    assert (await row(world))["state"] == "ok"
    assert (await row(world, "job.big"))["inputs"] == {"kind": "big"}
    work = [each.id for each in await world.poller.polls.of("demo")]
    assert len(set(work)) == 2


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "kind is missing"),
        ({"kind": "a", "sort": "up"}, "sort is not an input of this operation"),
        ({"kind": "a", "most": 10}, "most"),
    ],
)
async def test_wrong_inputs_are_refused_and_change_nothing(world: World, inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        await world.poller.polls.choose("demo", "jobs/job.found", enabled=True, inputs=inputs)
    assert (await row(world))["inputs"] == {}


async def test_other_inputs_are_another_poll_and_going_back_tells_nothing_again(world: World) -> None:
    async def choose(kind: str) -> None:
        await world.poller.polls.choose("demo", "jobs/job.found", enabled=True, inputs={"kind": kind})

    world.provider.add("s1", "s2", status="small")
    world.provider.add("t1", status="tall")
    await choose("small")
    assert await poll_all(world) == []
    world.provider.add("s3", status="small")
    assert await poll_all(world) == ["job.found s3"]
    await choose("tall")
    assert await poll_all(world) == []
    world.provider.add("t2", status="tall")
    world.provider.add("s4", status="small")
    assert await poll_all(world) == ["job.found t2"]
    await world.journal.retain(events=0)
    await choose("small")
    assert await poll_all(world) == ["job.found s4"]


async def test_what_is_disabled_is_not_polled_for_until_it_is_enabled_again_with_its_inputs(world: World) -> None:
    polls = world.poller.polls
    await polls.choose("demo", "jobs/job.found", enabled=True, inputs={"kind": "small"})
    await poll_all(world)
    await polls.choose("demo", "jobs/job.found", enabled=False)
    assert (await row(world))["state"] == "disabled"
    assert [each.inputs for each in await polls.of("demo")] == [{"kind": "big"}]
    with pytest.raises(RequestRefused, match="is disabled"):
        await world.poller.poll_now("demo", "jobs/job.found")
    await polls.choose("demo", "jobs/job.found", enabled=True)
    assert (await row(world))["inputs"] == {"kind": "small"}
    noted = [(each.action, each.target) for each in await world.journal.audits()]
    assert noted[:2] == [("trigger.enabled", "demo jobs/job.found"), ("trigger.disabled", "demo jobs/job.found")]
    with pytest.raises(UnknownOperation, match="no operation"):
        await polls.choose("demo", "jobs/job.fond", enabled=True)


async def test_work_of_a_poll_that_is_no_more_leaves_the_line(world: World) -> None:
    await world.poller.schedule()
    await world.journal.schedule([Work("poll", "demo jobs.search gone", world.now, "demo")])
    await world.poller.polls.choose("demo", "jobs/job.big", enabled=False)
    await world.poller.handle("demo jobs.search gone")
    rows = await world.journal.read(lambda connection: connection.exec_driver_sql("SELECT id FROM work").all())
    assert [each.id for each in rows if each.id.startswith("demo ")] == ["demo jobs.search"]


async def test_P3_a_poll_whose_credential_was_refused_is_due_at_once_when_another_is_entered(
    tmp_path: Path, world: World
) -> None:
    environment = {"CONNECTOR_KEY": Key.generate().to_text(), "CONNECTOR_HOME": str(tmp_path / "home")}
    path = tmp_path / "home" / "secrets.json"
    store = Store(path, Keys(environment), clock=lambda: world.now)

    def enter() -> None:
        store.write("demo", {"key": "a-key"}, origin="https://demo.example", kinds={"key": "secret"})

    async def due() -> float:
        rows = await world.journal.read(lambda connection: connection.exec_driver_sql("SELECT due FROM work").all())
        return float(rows[0].due)

    enter()
    world.write(tmp_path, [searched("job.big", inputs={"kind": "big"})])
    world.runtime = Runtime(
        tmp_path / "demo.json",
        transport=httpx2.MockTransport(lambda _: httpx2.Response(401)),
        clock=lambda: world.now,
        environ=environment,
        journal=world.journal,
    )
    poller = Poller(world.runtime, world.journal, chance=lambda: 0.5)
    [refused] = await poller.polls.all()
    await poller.handle(refused.id)
    assert await due() == world.now + 900
    world.now += 60
    await poller.schedule()
    assert await due() == world.now + 840
    enter()
    await poller.schedule()
    assert abs(await due() - world.journal.now()) < 60
