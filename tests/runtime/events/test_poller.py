"""Polls, made against a provider that is a list, a journal that is real, and a clock that stands still."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.errors import JournalUnavailable
from runtime.events.poller import MAX_EVENTS, Poller
from runtime.journal.entries import StoredEvent
from runtime.journal.journal import Journal
from runtime.runtime import Runtime

pytestmark = pytest.mark.anyio
KEY = "canary-poll-credential"
PAGE = {"style": "page", "param": "page", "start": 0, "sizeParam": "size", "size": 100, "total": ["total"]}


def webhook(event: str, **more: Any) -> dict[str, Any]:
    fields = [{"name": name, "type": "String"} for name in ("id", "status")]
    return {"event": event, "path": f"/webhooks/demo/{event}", "payload": fields, **more}


def poll(when: Any, **more: Any) -> dict[str, Any]:
    return {"operation": "jobs.list", "interval": 60, "when": when, "start": "all", **more}


CREATED = webhook("job.created", after=["jobs.create"], poll=poll("new"))
DONE = webhook("job.done", poll=poll({"selector": ["status"], "in": ["DONE"]}))


@dataclass
class Provider:
    """Jobs, newest first, on pages; it answers as `refusal` says while there is one."""

    jobs: list[dict[str, Any]] = field(default_factory=list)
    refusal: Callable[[], httpx2.Response] | None = None
    answer: Callable[[httpx2.Request], httpx2.Response] | None = None
    asked: int = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if self.refusal is not None:
            return self.refusal()
        if self.answer is not None:
            return self.answer(request)
        if request.method == "POST":
            self.jobs.insert(0, {"id": f"own{len(self.jobs)}", "status": "NEW"})
            return httpx2.Response(200, json=self.jobs[0])
        page = int(request.url.params.get("page", 0))
        return httpx2.Response(200, json={"data": self.jobs[page * 100 :][:100], "total": len(self.jobs)})

    def add(self, *names: str, status: str = "NEW") -> None:
        for name in names:
            self.jobs.insert(0, {"id": name, "status": status})

    def set(self, name: str, status: str) -> None:
        next(job for job in self.jobs if job["id"] == name)["status"] = status


class World:
    """A provider, a journal, and a poller between them."""

    def __init__(
        self, folder: Path, journal: Journal, webhooks: list[dict[str, Any]], search: dict[str, Any] | None = None
    ) -> None:
        self.search = {} if search is None else {"search": search}
        self.asked: list[str] = []
        self.now = 1_000_000.0
        self.clock: list[float] = []
        self.provider = Provider()
        self.journal = journal
        self.write(folder, webhooks)
        self.folder = folder
        self.start()

    def write(self, folder: Path, webhooks: list[dict[str, Any]]) -> None:
        auth = {"method": "bearer", "params": {"token": "{{key}}"}}
        operations = {
            "list": {"method": "GET", "records": ["data"], "pagination": PAGE},
            "create": {"method": "POST"},
            **self.search,
        }
        fields = [{"name": "id", "type": "String"}]
        resource = {"handle": "jobs", "endpoint": "/jobs", "fields": fields, "operations": operations}
        service = {"baseURL": "https://demo.example", "auth": auth, "retry": {"attempts": 1}}
        if self.search:
            service["params"] = [{"name": "team", "type": "String", "default": "red"}]
        document = {"handle": "demo", "service": service, "resources": [{**resource, "webhooks": webhooks}]}
        (folder / "demo.json").write_text(json.dumps(document))

    def start(self, journal: Journal | None = None) -> Poller:
        self.runtime = Runtime(
            self.folder / "demo.json",
            secrets={"demo": {"key": KEY}, "demo:b": {"key": KEY}},
            transport=httpx2.MockTransport(self.provider),
            clock=lambda: self.now,
            environ={},
            journal=journal or self.journal,
        )
        self.poller = Poller(self.runtime, journal or self.journal, chance=lambda: 0.5)
        return self.poller

    async def poll(self, connection: str = "demo", id: str = "") -> list[str]:
        """One poll; what it made, as `trigger key`."""
        last = await self.journal.events(limit=1, newest_first=True)
        await self.poller.handle(id or f"{connection} jobs.list")
        after = last[0].seq if last else 0
        return [show(each) for each in await self.journal.events(after=after, limit=10_000)]

    async def state(self) -> dict[str, Any]:
        [found] = [each for each in await self.poller.polls.all() if each.connection == "demo"]
        return dict(await self.poller.status(found))


def show(stored: StoredEvent) -> str:
    return f"{stored.event.type.partition('/')[2]} {stored.event.subject}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with await Journal.open("sqlite://") as journal:
        yield World(tmp_path, journal, [CREATED, DONE])


async def test_a_thing_that_is_new_and_then_done_makes_one_event_of_each(world: World) -> None:
    world.provider.add("a")
    assert await world.poll() == ["job.created a"]
    assert await world.poll() == []
    world.provider.set("a", "DONE")
    assert await world.poll() == ["job.done a"]
    assert await world.poll() == []
    [created, done] = await world.journal.events()
    assert (created.event.source, created.event.data) == ("/demo/default", {"id": "a", "status": "NEW"})
    assert (done.event.data, done.origin) == ({"id": "a", "status": "DONE"}, "poll")


async def test_triggers_that_ask_one_operation_ask_it_once(world: World) -> None:
    await world.poll()
    assert world.provider.asked == 1
    assert [each.id for each in await world.poller.polls.all()] == ["demo jobs.list", "demo:b jobs.list"]


async def test_connections_see_events_of_their_own(world: World) -> None:
    world.provider.add("a")
    assert await world.poll() == ["job.created a"]
    assert await world.poll("demo:b") == ["job.created a"]
    assert [each.event.source for each in await world.journal.events()] == ["/demo/default", "/demo/b"]


async def test_a_thing_that_we_make_and_then_see_is_one_event(world: World) -> None:
    made = await world.runtime.call("demo", "jobs.create", {})
    assert made.warnings == ()
    [event] = await world.journal.events()
    assert (event.origin, show(event)) == ("after", "job.created own0")
    assert await world.poll() == []


async def test_P6_the_order_of_the_list_makes_no_event_and_hides_none(world: World) -> None:
    world.provider.add("a", "b", "c")
    assert sorted(await world.poll()) == ["job.created a", "job.created b", "job.created c"]
    world.provider.jobs.reverse()
    world.provider.add("d")
    world.provider.set("b", "DONE")
    assert sorted(await world.poll()) == ["job.created d", "job.done b"]


async def test_P6_a_state_that_comes_back_is_told_once(world: World) -> None:
    world.provider.add("a", status="DONE")
    assert await world.poll() == ["job.created a", "job.done a"]
    for status in ("NEW", "DONE", "NEW", "DONE"):
        world.provider.set("a", status)
        assert await world.poll() == []


async def test_P6_what_is_deleted_or_moves_to_another_page_is_neither_repeated_nor_lost(world: World) -> None:
    world.provider.add(*(f"j{number}" for number in range(150)))
    assert len(await world.poll()) == 150
    del world.provider.jobs[0]
    world.provider.add("new1", "new2")
    assert await world.poll() == ["job.created new2", "job.created new1"]


async def test_P6_many_new_things_are_told_in_several_polls_that_follow_at_once(world: World) -> None:
    world.provider.add(*(f"j{number}" for number in range(2 * MAX_EVENTS + 500)))
    told = await world.poll()
    assert len(told) == MAX_EVENTS
    assert (await world.state())["due"] == world.now
    for expected in (MAX_EVENTS, 500, 0):
        told += (more := await world.poll())
        assert len(more) == expected
    assert len(set(told)) == 2 * MAX_EVENTS + 500
    assert (await world.state())["due"] == world.now + 60


async def test_a_first_poll_begins_now_unless_told_and_later_triggers_do_so_too(tmp_path: Path) -> None:
    async with await Journal.open("sqlite://") as journal:
        now = {"poll": poll({"selector": ["status"], "in": ["DONE"]}, start="now")}
        world = World(tmp_path, journal, [{**DONE, **now}])
        world.provider.add("old", status="DONE")
        world.provider.add("running")
        assert await world.poll() == []
        world.provider.set("running", "DONE")
        assert await world.poll() == ["job.done running"]
        world.write(tmp_path, [{**DONE, **now}, webhook("job.created", poll=poll("new", start="now"))])
        world.start()
        world.provider.add("young", status="DONE")
        assert await world.poll() == ["job.done young"]
        world.provider.add("younger")
        assert await world.poll() == ["job.created younger"]


async def test_K9_K10_what_was_not_committed_is_polled_again_with_the_same_ids(world: World) -> None:
    world.provider.add("a", "b")
    before = await world.state()

    class Broken:
        """A journal that keeps nothing."""

        def __getattr__(self, name: str) -> Any:
            return getattr(world.journal, name)

        async def append(self, *_: Any, **__: Any) -> Any:
            raise JournalUnavailable("the disk is full")

    broken: Any = Broken()
    world.start(broken)
    with pytest.raises(JournalUnavailable):
        await world.poller.handle("demo jobs.list")
    assert await world.state() == before
    world.start()
    told = await world.poll()
    ids = [each.event.id for each in await world.journal.events()]
    assert sorted(told) == ["job.created a", "job.created b"]
    assert len(set(ids)) == 2


async def test_an_own_call_whose_event_cannot_be_kept_says_so(world: World) -> None:
    class Full:
        async def append(self, *_: Any) -> Any:
            raise JournalUnavailable("the disk is full")

    world.runtime.journal = Full()  # type: ignore[assignment]
    made = await world.runtime.call("demo", "jobs.create", {})
    assert made.ok
    assert made.warnings == ("the event of this call was not kept: the disk is full",)


async def test_two_pollers_and_a_restart_make_no_event_twice(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    async with await Journal.open(url) as journal:
        world = World(tmp_path, journal, [CREATED, DONE])
        world.provider.add("a", status="DONE")
        first, second = world.start(), world.start()
        await first.handle("demo jobs.list")
        await second.handle("demo jobs.list")
        assert len(await journal.events()) == 2
    async with await Journal.open(url) as journal:
        world.journal = journal
        world.start()
        assert await world.poll() == []
        world.provider.add("b")
        assert await world.poll() == ["job.created b"]


async def test_P1_a_limit_is_waited_for_and_other_failures_longer_each_time(world: World) -> None:
    await world.poll()
    waits = []
    answers = [httpx2.Response(429, headers={"Retry-After": "500"}), *[httpx2.Response(503) for _ in range(5)]]
    for answer in answers:
        world.provider.refusal = lambda answer=answer: answer  # type: ignore[misc]
        await world.poller.handle("demo jobs.list")
        waits.append((await world.state())["due"] - world.now)
        world.now += 700
    assert waits == [500, 240, 480, 960, 1920, 3600]
    assert (await world.state())["state"] == "failing"
    world.provider.refusal = None
    world.provider.add("a")
    world.now += 3600
    assert await world.poll() == ["job.created a"]
    assert (await world.state())["state"] == "ok"


async def test_P3_a_refused_credential_is_said_and_asked_about_once_in_fifteen_minutes(world: World) -> None:
    world.provider.refusal = lambda: httpx2.Response(401, json={"message": f"bad key {KEY}"})
    await world.poll()
    state = await world.state()
    assert (state["state"], state["due"] - world.now) == ("needs_reauth", 900)
    assert "bad key" in state["error"]
    assert KEY not in json.dumps(state)


async def test_report_15_a_403_that_is_a_limit_is_waited_for(world: World) -> None:
    world.provider.refusal = lambda: httpx2.Response(403, headers={"Retry-After": "5000"}, json={"message": "slow"})
    await world.poll()
    state = await world.state()
    assert (state["state"], state["due"] - world.now) == ("failing", 5000)


async def test_P5_five_failures_in_a_row_are_an_event_and_move_nothing(world: World) -> None:
    world.provider.refusal = lambda: httpx2.Response(200, content=b"<html>")
    for _ in range(4):
        assert await world.poll() == []
        world.now += 10_000
    assert await world.poll() == ["poll.failing jobs.list"]
    world.now += 10_000
    assert await world.poll() == []
    [alarm] = await world.journal.events()
    assert (alarm.event.data["failures"], alarm.origin) == (5, "system")
    world.provider.refusal = None
    world.provider.add("a")
    assert await world.poll() == ["job.created a"]


async def test_it_says_why_nothing_was_found(world: World) -> None:
    async def said(jobs: list[dict[str, Any]]) -> list[str]:
        world.provider.jobs = jobs
        await world.poll()
        return [each["said"] for each in (await world.state())["triggers"].values()]

    assert await said([]) == ["the list is empty"] * 2
    jobs = [{"id": "a", "status": "NEW"}, {"id": "b", "status": "RUN"}]
    waiting = "of 2 records none reached DONE anew; they are: NEW 1, RUN 1"
    assert await said(jobs) == ["2 of 2 records were news", waiting]
    assert await said(jobs) == ["none of 2 records is news", waiting]
    assert await said([{"no": 1}]) == ["none of 1 records has a key at $.id"] * 2
    mixed = [*jobs, {"no": 1}, {"no": 2}]  # report_36
    keyless = "2 of them have no key at $.id"
    assert (await said(mixed))[0] == f"none of 4 records is news; {keyless}"
    assert (await said([*mixed, {"id": "c"}]))[0] == f"1 of 5 records were news; {keyless}"
    world.provider.answer = lambda _: httpx2.Response(200, json={"data": {"1": {"id": 1}}})
    found = await said([])
    assert [each.partition(" at ")[0] for each in found] == ["records: no list"] * 2


async def test_every_poll_is_put_in_line_once_and_handed_out(world: World) -> None:
    handled: list[str] = []
    everything = asyncio.Event()

    async def handle(id: str) -> None:
        handled.append(id)
        await world.journal.unschedule("poll", [id])
        if len(handled) == 2:
            everything.set()

    await world.poller.schedule()
    await world.poller.schedule()
    running = asyncio.create_task(world.journal.dispatcher.run({"poll": handle}))
    await asyncio.wait_for(everything.wait(), 10)
    running.cancel()
    assert sorted(handled) == ["demo jobs.list", "demo:b jobs.list"]


async def test_a_poll_that_is_declared_no_more_is_not_made(world: World) -> None:
    await world.poller.handle("demo nothing.list")
    await world.poller.handle("nobody jobs.list")
    assert world.provider.asked == 0


DAY = 86400.0


@pytest.fixture(params=["sqlite", "postgresql"])
async def aging(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A world whose journal has the same clock, on either database."""
    url = "sqlite://" if request.param == "sqlite" else await request.getfixturevalue("postgres").empty()
    clock = [1_000_000.0]
    async with await Journal.open(url, clock=lambda: clock[0]) as journal:
        world = World(tmp_path, journal, [CREATED, DONE])
        world.clock = clock
        yield world


async def live(world: World, days: int) -> tuple[list[str], int]:
    """A poll every five days and what keeps the journal small; the events that came of it, and how much was forgotten."""
    told, forgotten = [], 0
    for _ in range(0, days, 5):
        world.now = world.clock[0] = world.now + 5 * DAY
        told += await world.poll()
        forgotten += (await world.journal.retain()).sightings
    return told, forgotten


async def test_what_is_listed_is_never_forgotten_nor_told_again(aging: World) -> None:
    aging.provider.add("a", status="DONE")
    aging.provider.add("b")
    assert len(await aging.poll()) == 3
    aging.provider.set("a", "NEW")
    await aging.journal.retain(events=0)
    assert await aging.journal.events() == []
    assert await live(aging, 100) == ([], 0)
    aging.provider.set("a", "DONE")
    assert await live(aging, 5) == ([], 0)


async def test_what_no_list_has_named_for_a_month_is_forgotten_and_not_told_again_while_its_event_is_kept(
    aging: World,
) -> None:
    aging.provider.add("a", "b", status="DONE")
    assert len(await aging.poll()) == 4
    [b, a] = aging.provider.jobs
    aging.provider.jobs = [b]
    assert await live(aging, 25) == ([], 0)
    assert await live(aging, 40) == ([], 2)
    known = await aging.journal.sightings("demo jobs/job.created", ["a", "b"])
    assert list(known) == ["b"]
    aging.provider.jobs = [a, b]
    assert await live(aging, 10) == ([], 0)


async def test_what_comes_back_after_its_event_is_gone_too_is_news(aging: World) -> None:
    aging.provider.add("a")
    assert len(await aging.poll()) == 1
    [a], aging.provider.jobs = aging.provider.jobs, []
    assert await live(aging, 70) == ([], 1)
    await aging.journal.retain(events=0)
    aging.provider.jobs = [a]
    assert await live(aging, 5) == (["job.created a"], 0)


async def test_time_without_a_poll_that_saw_the_whole_list_forgets_nothing(aging: World) -> None:
    aging.provider.add("a")
    assert await live(aging, 5) == (["job.created a"], 0)
    await aging.journal.retain(events=0)
    aging.provider.refusal = lambda: httpx2.Response(401)
    assert await live(aging, 90) == (["poll.failing jobs.list"], 0)
    aging.provider.refusal = None
    # A list that for once misses what it named before the time without polls.
    [a], aging.provider.jobs = aging.provider.jobs, []
    assert await live(aging, 5) == ([], 0)
    aging.provider.jobs = [a]
    assert await live(aging, 70) == ([], 0)


async def test_an_edited_interval_brings_the_next_poll_forward_and_a_longer_one_leaves_it(world: World) -> None:
    slow = webhook("job.created", poll=poll("new", interval=3600))
    world.write(world.folder, [slow])
    world.runtime.catalog.reload("demo")
    await world.poll()
    assert (await world.state())["due"] == world.now + 3600
    due: list[tuple[str, float]] = []

    async def schedule(work: Any, *, replace: bool = False) -> None:
        due.extend((each.id, each.due) for each in work if replace)

    world.journal.schedule = schedule  # type: ignore[method-assign]
    await world.poller.follow(["demo"])
    assert due == []
    world.write(world.folder, [webhook("job.created", poll=poll("new", interval=60))])
    world.runtime.catalog.reload("demo")
    await world.poller.follow(["other"])
    assert due == []
    await world.poller.follow(["demo"])
    assert due == [("demo jobs.list", world.now + 60)]


async def test_the_log_has_one_line_when_polls_begin_to_fail_and_one_when_they_succeed_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.provider.refusal = lambda: httpx2.Response(503, json={"message": "out\nof order"})
    await world.poll()
    world.now += 4000
    await world.poll()
    [line] = [each.getMessage() for each in caplog.records]
    assert line.startswith("demo jobs.list: polls fail (failing): ")
    assert "\n" not in line
    world.provider.refusal = None
    world.now += 4000
    await world.poll()
    assert caplog.records[-1].getMessage() == "demo jobs.list: polls succeed again"
