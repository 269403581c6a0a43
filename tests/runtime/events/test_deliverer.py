"""Delivery: what a subscriber gets, what its answers mean, and what happens while it is slow, down or gone."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import standardwebhooks
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from sqlalchemy import Connection, text

from connector.errors import JournalUnavailable, TransportError
from connector.messages import Event
from runtime.config.keys import Key, Keys
from runtime.config.settings import Settings
from runtime.config.store import Store
from runtime.events.deliverer import LIMITS, PLACES, Deliverer
from runtime.events.subscriptions import RETRY_TABLE, Endpoints, read_subscription
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.http.options import Routes
from runtime.journal.dispatcher import LANE_LIMIT, Embedded
from runtime.journal.entries import EXHAUSTED, NewEvent, Subscription
from runtime.journal.journal import Journal
from runtime.journal.outbox import Outbox
from runtime.journal.space import disk_usage
from runtime.journal.storage.sqlite import SQLite
from tests.doubles.journals import SUCCEEDED
from tests.doubles.raw import Peer, serving

pytestmark = pytest.mark.anyio
HOUR, DAY = 3600.0, 86400.0
Answers = Callable[[httpx2.Request], httpx2.Response]


def new(name: str, *, subject: str = "job-1", trigger: str = SUCCEEDED, hops: int = 0, **data: Any) -> NewEvent:
    event = Event(
        id="",
        source="/mistral-ai/default",
        type=trigger,
        subject=subject,
        time="2026-11-22T12:00:00Z",
        data={"name": name, **data},
    )
    return NewEvent("mistral-ai", event, name, origin="poll", hops=hops)


class World:
    """A journal, a deliverer and a subscriber, under a clock that only moves when nothing is left to do."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        self.now = 1_800_000_000.0
        self.journal = journal
        self.store = Store(folder / "secrets.json", Keys({"CONNECTOR_KEY": Key.generate().to_text()}))
        self.endpoints = Endpoints(self.store)
        self.answer: Answers = lambda _: httpx2.Response(204)
        self.requests: list[tuple[float, httpx2.Request]] = []
        client = Client(Guard(), LIMITS, transport=httpx2.MockTransport(self._answer))
        self.deliverer = self.deliver_with(client)

    def deliver_with(self, client: Client) -> Deliverer:
        clock = self.clock
        return Deliverer(
            self.journal, self.endpoints, client, clock=clock, monotonic=clock, sleep=self.sleep, chance=lambda: 0.0
        )

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, until)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append((self.now, request))
        return self.answer(request)

    async def subscribe(self, **source: Any) -> Subscription:
        subscription, endpoint = read_subscription({"url": "https://subscriber.example/hook", **source})
        self.endpoints.save(subscription.id, endpoint)
        await self.journal.add_subscription(subscription)
        return subscription

    def names(self) -> list[str]:
        return [json.loads(request.content)["data"]["name"] for _, request in self.requests]

    async def due(self) -> list[tuple[str, float]]:
        query = text("SELECT id, due FROM work WHERE kind = 'delivery' ORDER BY due, id")
        return [tuple(row) for row in await self.journal.read(lambda connection: connection.execute(query).all())]

    async def run_until(self, end: float) -> None:
        """Hands out what is due as the dispatcher does, and lets the time pass in between."""
        while (line := await self.due()) and line[0][1] <= end:
            self.now = max(self.now, line[0][1])
            ready = [id for id, due in line if due <= self.now][:16]
            await asyncio.gather(*(self.deliverer.handle(id) for id in ready))
        self.now = max(self.now, end)

    async def states(self) -> Counter[str]:
        return Counter(each.state for each in await self.journal.deliveries(limit=100_000))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made: list[World] = []
    async with await Journal.open("sqlite://", clock=lambda: made[0].now if made else 1_800_000_000.0) as journal:
        made.append(World(journal, tmp_path))
        yield made[0]


def judge(request: httpx2.Request, secret: str, now: float) -> Any:
    """What the library of Standard Webhooks verifies of a delivery; its clock is the system's."""
    headers = dict(request.headers)
    stamped = standardwebhooks.Webhook(secret).sign(
        headers["webhook-id"],
        datetime.datetime.fromtimestamp(int(headers["webhook-timestamp"]), datetime.UTC),
        request.content.decode(),
    )
    assert stamped in headers["webhook-signature"].split(" ")
    assert abs(int(headers["webhook-timestamp"]) - now) <= 1
    return json.loads(request.content)


class Crowd(httpx2.AsyncBaseTransport):
    """Counts the requests that it has at once, and answers one of them when nothing else goes on."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(50):
            await asyncio.sleep(0)
        self.now -= 1
        return httpx2.Response(204)


async def test_S2_an_endpoint_gets_so_many_requests_at_once_however_many_deliveries_are_at_work(world: World) -> None:
    await world.subscribe()
    await world.journal.append([new(f"e{number}", subject=f"job-{number}") for number in range(3 * PLACES)])
    crowd = Crowd()
    async with Client(Guard(), LIMITS, transport=crowd) as client:
        deliverer = world.deliver_with(client)
        await asyncio.gather(*(deliverer.handle(id) for id, _ in await world.due()))
    assert (crowd.most, await world.states()) == (PLACES, Counter(delivered=3 * PLACES))
    assert PLACES < LANE_LIMIT


class Failing(SQLite):
    """A database that is lost before its commits while it `fails`."""

    fails = False

    def _transact(self, run: Callable[[Connection], Any]) -> Any:
        def run_and_fail(connection: Connection) -> Any:
            result = run(connection)
            if self.fails:
                raise OSError("gone before the commit")
            return result

        return super()._transact(run_and_fail)


async def test_K7_what_was_answered_and_is_not_recorded_with_all_of_its_commit_is_sent_again(tmp_path: Path) -> None:
    database = Failing(tmp_path / "journal.db")
    now = 1_800_000_000.0
    async with Journal(database, Embedded(database, lambda: now), lambda: now, lambda: now, disk_usage) as journal:
        world = World(journal, tmp_path)
        await world.subscribe()
        await journal.append([new(f"e{number}") for number in range(5)])
        database.fails = True
        handled = (world.deliverer.handle(id) for id, _ in await world.due())
        told = await asyncio.gather(*handled, return_exceptions=True)
        assert {type(each) for each in told} == {JournalUnavailable}
        database.fails = False
        assert await world.states() == Counter(pending=5)
        await world.run_until(world.now)
        assert await world.states() == Counter(delivered=5)
    sent = Counter(request.headers["webhook-id"] for _, request in world.requests)
    assert sorted(sent.values()) == [2] * 5


async def test_a_subscriber_gets_a_signed_cloudevent(world: World) -> None:
    subscription = await world.subscribe(headers={"X-Team": "blue"})
    (appended,) = await world.journal.append([new("one", model="small")])
    await world.run_until(world.now)
    ((_, request),) = world.requests
    secret = world.endpoints.find(subscription.id).signing(world.now)[0]
    assert judge(request, secret, world.now)["id"] == appended.event_id
    event = from_http_event(HTTPMessage(dict(request.headers), request.content))
    assert (event.get_type(), event.get_source(), event.get_subject()) == (SUCCEEDED, "/mistral-ai/default", "job-1")
    assert event.get_data() == {"name": "one", "model": "small"}
    assert (request.headers["x-team"], request.headers["connector-hops"]) == ("blue", "1")
    (delivery,) = await world.journal.deliveries()
    (attempt,) = await world.journal.attempts(delivery.id)
    assert (delivery.state, delivery.attempts, delivery.due, attempt.status) == ("delivered", 1, None, 204)
    assert await world.due() == []


async def test_T78_the_id_of_a_message_can_be_read_in_one_way_only(world: World) -> None:
    await world.subscribe()
    await world.journal.append([new("dot.line\r\nbreak é", subject="a.b\r\n")])
    await world.run_until(world.now)
    assert re.fullmatch("[A-Za-z0-9_-]{1,128}", world.requests[0][1].headers["webhook-id"])


async def test_attempts_follow_the_table_and_end_dead_with_a_reason_and_an_event(world: World) -> None:
    await world.subscribe()
    told = await world.subscribe(url="https://other.example/", trigger=EXHAUSTED)
    world.answer = lambda request: httpx2.Response(
        500 if request.url.host == "subscriber.example" else 200, text="no\n"
    )
    start = world.now
    (appended,) = await world.journal.append([new("one")])
    await world.run_until(start + 76 * HOUR)
    times = [at - start for at, request in world.requests if request.url.host == "subscriber.example"]
    assert times == [sum(RETRY_TABLE[: count + 1]) for count in range(10)]
    (dead,) = await world.journal.deliveries(state="dead")
    assert (dead.reason, dead.attempts, dead.due) == ("answered 500: no", 10, None)
    assert [each.status for each in await world.journal.attempts(dead.id)] == [500] * 10
    (_, request) = world.requests[-1]
    said = json.loads(request.content)
    assert (said["type"], said["subject"], said["data"]["event"]) == (EXHAUSTED, dead.id, appended.event_id)
    assert [each.state for each in await world.journal.deliveries(subscription=told.id)] == ["delivered"]


async def test_the_death_of_a_message_about_a_death_makes_no_further_one(world: World) -> None:
    await world.subscribe(trigger=["*", EXHAUSTED])
    world.answer = lambda _: httpx2.Response(500)
    await world.journal.append([new("one")])
    await world.run_until(world.now + 4 * DAY)
    await world.run_until(world.now + 4 * DAY)
    assert [each.event.type for each in await world.journal.events()] == [SUCCEEDED, EXHAUSTED]


async def test_S1_what_failed_in_an_outage_is_delivered_soon_after_it_in_order(world: World) -> None:
    """Down for 24 hours with an event every ten minutes; each key keeps its order, new events are not starved."""
    await world.subscribe(ordered=True, rate=5)
    start, down = world.now, True
    world.answer = lambda _: httpx2.Response(503 if down else 200)
    count = int(DAY / 600)
    for number in range(count):
        await world.journal.append([new(f"{number:04}", subject=f"job-{number % 40}")])
        await world.run_until(start + (number + 1) * 600)
    assert await world.states() == {"pending": count}
    attempts = Counter(world.names())
    assert set(attempts) == {f"{number:04}" for number in range(40)}, "a later event of a job waits for the earlier one"
    table = [sum(RETRY_TABLE[: place + 1]) for place in range(10)]
    first = [at - start for at, request in world.requests if json.loads(request.content)["data"]["name"] == "0000"]
    assert first == [at for at in table if at < DAY]
    down, back = False, world.now
    world.requests.clear()
    for number in range(count, count + 20):
        await world.journal.append([new(f"{number:04}", subject="fresh")])
        await world.run_until(back + (number - count) * 60 + 10)
        assert f"{number:04}" in world.names(), "a new event waits for no backlog"
        await world.run_until(back + (number - count + 1) * 60)
    await world.run_until(back + HOUR / 2)
    assert await world.states() == {"delivered": count + 20}
    order: dict[int, list[int]] = {}
    for name in map(int, world.names()):
        order.setdefault(name % 40 if name < count else -1, []).append(name)
    assert all(names == sorted(names) for names in order.values())
    assert len(world.names()) == count + 20


async def test_a_single_failure_is_no_outage_and_is_logged_with_its_end(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.subscribe()
    poisoned = lambda request: json.loads(request.content)["data"]["name"] == "poison"  # noqa: E731
    world.answer = lambda request: httpx2.Response(500 if poisoned(request) else 200)
    await world.journal.append([new("poison")])
    await world.run_until(world.now + 20)
    await world.journal.append([new("good")])
    await world.run_until(world.now + 20)
    assert world.names() == ["poison", "poison", "good"]
    said = [each.getMessage().partition(": ")[2] for each in caplog.records if "deliveries" in each.getMessage()]
    assert said == ["deliveries fail: answered 500", "deliveries succeed again"]


async def test_S3_an_endpoint_that_fails_for_five_days_is_disabled_and_a_replay_brings_what_it_missed(
    world: World,
) -> None:
    subscription = await world.subscribe()
    world.answer = lambda _: httpx2.Response(500)
    start = world.now
    for day in range(6):
        await world.journal.append([new(f"day {day}")])
        await world.run_until(start + (day + 1) * DAY)
    changed = await world.journal.subscription(subscription.id)
    assert (changed.state, changed.reason) == ("disabled", "its endpoint failed for 5 days")
    # The first two went through the whole table; what was still pending after five days was given up.
    reasons = Counter(
        each.reason for each in await world.journal.deliveries(state="dead", subscription=subscription.id)
    )
    gone = "the subscription was disabled: its endpoint failed for 5 days"
    assert reasons == {"answered 500": 2, gone: 4}
    assert [each.action for each in await world.journal.audits()] == ["subscription.disabled"]
    world.requests.clear()
    world.answer = lambda _: httpx2.Response(200)
    await world.journal.change_subscription(subscription.id, state="enabled", reason="", memory={})
    replayed = await world.journal.redeliver(subscription=subscription.id, trigger=SUCCEEDED, since=start)
    await world.run_until(world.now)
    assert (replayed, sorted(world.names())) == (6, [f"day {day}" for day in range(6)])


async def test_T76_410_disables_the_subscription(world: World) -> None:
    subscription = await world.subscribe()
    world.answer = lambda _: httpx2.Response(410)
    await world.journal.append([new("one"), new("two")])
    await world.deliverer.handle((await world.due())[0][0])
    assert (await world.journal.subscription(subscription.id)).state == "disabled"
    await world.run_until(world.now + DAY)
    assert (len(world.requests), await world.states()) == (1, {"dead": 2})
    assert await world.journal.append([new("three")])
    assert await world.states() == {"dead": 2}


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (429, "7200", 7200),
        (503, "7200", 7200),
        (429, "999999999", 86400),
        (429, "2", 5),
        (429, "-1", 5),
        (429, "Thu, 01 Jan 1970 00:00:00 GMT", 5),
        (429, "abc", 5),
        (429, None, 5),
        (500, "7200", 5),
    ],
)
async def test_T76_a_subscriber_is_taken_at_its_word_within_bounds(
    world: World, status: int, retry_after: str | None, expected: float
) -> None:
    await world.subscribe()
    headers = {} if retry_after is None else {"retry-after": retry_after}
    world.answer = lambda _: httpx2.Response(status, headers=headers)
    start = world.now
    await world.journal.append([new("one")])
    await world.run_until(start)
    ((_, due),) = await world.due()
    assert due - start == expected


async def test_T76_while_a_subscriber_asks_for_rest_it_gets_nothing_and_no_attempt_is_used_up(world: World) -> None:
    subscription = await world.subscribe()
    world.answer = lambda _: httpx2.Response(429, headers={"retry-after": "3600"})
    start = world.now
    await world.journal.append([new("one")])
    await world.run_until(start)
    world.answer = lambda _: httpx2.Response(200)
    await world.journal.append([new("two")])
    await world.run_until(start + 3599)
    assert world.names() == ["one"]
    # The word outlives the process that heard it.
    world.deliverer = world.deliver_with(Client(Guard(), LIMITS, transport=httpx2.MockTransport(world._answer)))  # noqa: SLF001
    await world.run_until(start + 3601)
    assert (sorted(world.names()[1:]), await world.states()) == (["one", "two"], {"delivered": 2})
    assert [each.attempts for each in await world.journal.deliveries(subscription=subscription.id)] == [2, 1]


async def test_T76_a_redirect_is_a_failure(world: World) -> None:
    await world.subscribe()
    location = {"location": "http://169.254.169.254/latest?token=canary"}
    world.answer = lambda _: httpx2.Response(302, headers=location)
    await world.journal.append([new("one")])
    await world.run_until(world.now)
    (delivery,) = await world.journal.deliveries()
    expected = "answered 302: a redirect to http://169.254.169.254/latest?…, which is not followed"
    assert (len(world.requests), delivery.state, delivery.reason) == (1, "pending", expected)


async def test_T75_an_event_that_came_through_too_many_deliveries_is_a_loop(world: World) -> None:
    await world.subscribe()
    await world.journal.append([new("four", hops=4), new("five", hops=5)])
    await world.run_until(world.now)
    assert [(each.state, each.reason) for each in await world.journal.deliveries()] == [
        ("delivered", ""),
        ("dead", "a loop: the event came through 5 deliveries"),
    ]
    assert world.requests[0][1].headers["connector-hops"] == "5"


async def test_order_per_key_is_kept_where_it_is_asked_for(world: World) -> None:
    await world.subscribe(ordered=True)
    world.answer = lambda _: httpx2.Response(500 if world.names() in (["created"], ["other", "created"]) else 200)
    await world.journal.append([new("created"), new("succeeded"), new("other", subject="job-2")])
    await world.run_until(world.now)
    assert sorted(world.names()) == ["created", "other"]
    await world.run_until(world.now + 6)
    assert world.names()[2:] == ["created", "succeeded"]


async def test_a_breaker_opens_for_an_endpoint_that_keeps_failing_and_only_for_that_one(world: World) -> None:
    failing = await world.subscribe()
    other = await world.subscribe(url="https://other.example/")
    world.answer = lambda request: httpx2.Response(500 if request.url.host == "subscriber.example" else 200)
    await world.journal.append([new(f"{number:02}") for number in range(13)])
    start = world.now
    for each in await world.journal.deliveries(subscription=failing.id):
        await world.deliverer.handle(each.id)
    for each in await world.journal.deliveries(subscription=other.id):
        await world.deliverer.handle(each.id)
    at = [moment - start for moment, request in world.requests if request.url.host == "subscriber.example"]
    assert at == [0.0] * 10 + [30.0, 60.0, 90.0]
    assert [moment - start for moment, _ in world.requests[13:]] == [90.0] * 13
    # Waiting for the breaker uses up no attempt.
    assert {each.attempts for each in await world.journal.deliveries(subscription=failing.id)} == {1}


async def test_a_rate_is_kept(world: World) -> None:
    await world.subscribe(rate=10)
    await world.journal.append([new(str(number)) for number in range(60)])
    start = world.now
    await world.run_until(start)
    moments = [at - start for at, _ in world.requests]
    assert len(moments) == 60
    assert max(moments) >= 4.9


@pytest.mark.parametrize("point", ["K6", "K7"])
async def test_K6_K7_who_is_killed_around_an_answer_sends_again_with_the_same_id_and_a_new_signature(
    world: World, point: str
) -> None:
    subscription = await world.subscribe()
    world.answer = lambda _: httpx2.Response(200)
    await world.journal.append([new("one")])
    ((id, _),) = await world.due()
    broken = Deliverer(
        _Dies(world.journal),  # type: ignore[arg-type]  # a journal that ends the process before it records
        world.endpoints,
        Client(Guard(), LIMITS, transport=httpx2.MockTransport(world._answer)),  # noqa: SLF001
        clock=world.clock,
    )
    with pytest.raises(KilledError):
        await broken.handle(id)
    world.now += 60
    await world.run_until(world.now)
    (_, first), (_, second) = world.requests
    secret = world.endpoints.find(subscription.id).signing(world.now)[0]
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 60
    judge(second, secret, world.now)
    assert (await world.states(), len(await world.journal.attempts(id))) == ({"delivered": 1}, 1)


class KilledError(Exception):
    """The process is gone."""


class _Dies:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def record_attempt(self, *_: Any, **__: Any) -> None:
        raise KilledError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


async def test_K5_who_is_killed_before_the_request_has_used_up_no_attempt(world: World) -> None:
    await world.subscribe()
    reached = asyncio.Event()

    async def hang(_: httpx2.Request) -> httpx2.Response:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    await world.journal.append([new("one")])
    ((id, due),) = await world.due()
    client = Client(Guard(), LIMITS, transport=httpx2.MockTransport(hang))
    task = asyncio.create_task(world.deliver_with(client).handle(id))
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (delivery,) = await world.journal.deliveries()
    assert (delivery.state, delivery.attempts, await world.due()) == ("pending", 0, [(id, due)])


async def test_S2_a_subscriber_that_hangs_delays_no_other(tmp_path: Path) -> None:
    """Through the dispatcher, with a thousand deliveries waiting for the one that hangs."""
    released = asyncio.Event()
    seen: Counter[str] = Counter()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        seen[request.url.host] += 1
        if request.url.host == "slow.example":
            await released.wait()
        return httpx2.Response(200)

    async with await Journal.open("sqlite://") as journal:
        store = Store(tmp_path / "secrets.json", Keys({"CONNECTOR_KEY": Key.generate().to_text()}))
        endpoints = Endpoints(store)
        deliverer = Deliverer(journal, endpoints, Client(Guard(), LIMITS, transport=httpx2.MockTransport(answer)))
        for host in ("slow", "fast"):
            subscription, endpoint = read_subscription({"url": f"https://{host}.example/"})
            endpoints.save(subscription.id, endpoint)
            await journal.add_subscription(subscription)
        await journal.append([new(f"backlog {number}") for number in range(1000)])
        running = asyncio.create_task(journal.dispatcher.run({"delivery": deliverer.handle}, concurrency=100))
        async with asyncio.timeout(30):
            while seen["fast.example"] < 1000:
                await asyncio.sleep(0.01)
            await journal.append([new("fresh")])
            while seen["fast.example"] < 1001:
                await asyncio.sleep(0.01)
        assert seen["slow.example"] <= 16
        released.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_rotated_secret_signs_beside_the_new_one(world: World) -> None:
    subscription = await world.subscribe()
    before = world.endpoints.find(subscription.id)
    world.endpoints.save(subscription.id, before.rotated(world.now))
    await world.journal.append([new("one")])
    await world.run_until(world.now)
    after = world.endpoints.find(subscription.id)
    assert len(after.signing(world.now)) == 2
    for secret in after.signing(world.now):
        judge(world.requests[0][1], secret, world.now)


async def test_a_missing_secret_is_a_failure_that_says_so(world: World) -> None:
    subscription = await world.subscribe()
    world.endpoints.remove(subscription.id)
    await world.journal.append([new("one")])
    await world.run_until(world.now)
    (delivery,) = await world.journal.deliveries()
    assert delivery.reason == f"the signing secret of {subscription.id} is not in the encrypted store"
    assert world.requests == []


async def test_what_is_pending_for_a_subscription_that_is_gone_is_dead(world: World) -> None:
    subscription = await world.subscribe()
    await world.journal.append([new("one")])
    ((id, _),) = await world.due()
    await world.journal.remove_subscription(subscription.id)
    await world.deliverer.handle(id)
    (delivery,) = await world.journal.deliveries()
    assert (delivery.state, delivery.reason, world.requests) == ("dead", "the subscription was removed", [])


async def test_T55_no_secret_of_an_endpoint_is_in_the_journal(tmp_path: Path) -> None:
    async with await Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
        world = World(journal, tmp_path)
        canaries = {"query": "canary-in-query", "header": "canary-in-header"}
        subscription = await world.subscribe(
            url=f"https://subscriber.example/?token={canaries['query']}", headers={"Authorization": canaries["header"]}
        )
        canaries["secret"] = world.endpoints.find(subscription.id).secrets[0][0]
        echo = " ".join([canaries["header"], canaries["secret"]])
        world.answer = lambda request: httpx2.Response(400, text=f"what is {echo}?")
        await world.journal.append([new("one")])
        await world.run_until(world.now)
        assert (await journal.deliveries())[0].reason == "answered 400: what is *** ***?"
        assert world.requests[0][1].url.query == b"token=canary-in-query"
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert [name for name, canary in canaries.items() if canary.encode() in content] == []


class Hostile:
    """A subscriber on a real socket that answers with what it is given, byte for byte."""

    def __init__(self, pieces: Mapping[str, Any]) -> None:
        self.pieces = pieces
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.pieces["head"])
            for _ in range(self.pieces.get("count", 0)):
                writer.write(self.pieces["piece"])
                await writer.drain()
                await asyncio.sleep(self.pieces.get("pause", 0))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("pieces", "state", "status"),
    [
        (
            {"head": b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n", "piece": b"x" * 65536, "count": 15000},
            *("delivered", 200),
        ),
        ({"head": b"HTTP/1.1 200 OK\r\n\r\n", "piece": b"x", "count": 10**6, "pause": 0.05}, "delivered", 200),
        ({"head": b"HTTP/1.1 500 No\r\n\r\n", "piece": b"x" * 65536, "count": 10**6}, "pending", 500),
        ({"head": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"}, "delivered", 200),
        ({"head": b"nonsense\r\n\r\n"}, "pending", None),
        ({"head": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n"}, "pending", None),
        ({"head": b"", "piece": b"", "count": 10**6, "pause": 0.05}, "pending", None),
    ],
    ids=["a gigabyte", "a drip", "an endless failure", "too short", "nonsense", "a huge head", "silence"],
)
async def test_T77_an_answer_counts_by_its_status_within_limits_of_size_and_time(
    world: World, pieces: dict[str, Any], state: str, status: int | None
) -> None:
    subscriber = Hostile(pieces)
    async with await asyncio.start_server(subscriber, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        limits = replace(LIMITS, deadline=0.5, stream_deadline=0.5)
        await world.subscribe(url=f"{url}/hook")
        await world.journal.append([new("one")])
        ((id, _),) = await world.due()
        started = asyncio.get_running_loop().time()
        async with Client(Guard([url]), limits) as client:
            await world.deliver_with(client).handle(id)
        assert asyncio.get_running_loop().time() - started < 5
        delivery = await world.journal.delivery(id)
        (attempt,) = await world.journal.attempts(id)
        assert (delivery.state, attempt.status, subscriber.connections) == (state, status, 1)


async def test_T75_an_internal_subscriber_is_refused_unless_the_operator_named_its_origin(world: World) -> None:
    canary = Hostile({"head": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"})
    async with await asyncio.start_server(canary, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        hosts = ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"]
        for host in hosts:
            await world.subscribe(url=f"http://{host}:{port}/hook")
        await world.journal.append([new("one")])
        async with Client(Guard(), LIMITS) as client:
            world.deliverer = world.deliver_with(client)
            await world.run_until(world.now)
        assert canary.connections == 0
        reasons = [each.reason for each in await world.journal.deliveries()]
        assert len([reason for reason in reasons if "may not be contacted" in reason or "no plain" in reason]) == 6


async def test_what_waits_is_hastened_in_steps_and_at_the_rate_of_the_subscription(world: World) -> None:
    subscription = await world.subscribe(rate=100)
    world.answer = lambda _: httpx2.Response(500)
    await world.journal.append([new(str(number)) for number in range(5)])
    for id, _ in await world.due():
        await world.deliverer.handle(id)
    await Outbox(world.journal).hasten(subscription)
    assert [round(due - world.now, 2) for _, due in await world.due()] == [0.0, 0.01, 0.02, 0.03, 0.04]


async def test_transport_26_subscriptions_share_no_connection_and_take_the_way_that_is_set_for_all(
    world: World,
) -> None:
    """Two subscriptions of one origin, whose deliveries go through a proxy."""
    targets: list[bytes] = []
    kept: list[int] = []

    async def receive(peer: Peer) -> None:
        while True:
            await peer.request()
            kept.append(peer.number)
            await peer.answer()

    async def tunnel(peer: Peer) -> None:
        targets.append((await peer.head()).split()[1])
        await peer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await receive(peer)

    async with serving(receive) as subscriber, serving(tunnel) as proxy:
        for name in ("a", "b"):
            await world.subscribe(url=f"{subscriber.url}/{name}")
        await world.journal.append([new("one"), new("two")])
        settings = Settings(environment={"CONNECTOR_PROXY": proxy.url})
        async with Client(Guard([subscriber.url]), LIMITS) as client:
            deliverer = world.deliver_with(client.along(Routes(settings, tuple).of("")))
            for id, _ in await world.due():
                await deliverer.handle(id)
        assert {each.state for each in await world.journal.deliveries()} == {"delivered"}
    assert (subscriber.connections, targets) == (0, [f"127.0.0.1:{subscriber.port}".encode()] * 2)
    assert sorted(kept) == [0, 0, 1, 1]


async def test_transport_08_a_delivery_that_found_no_connection_of_ours_says_nothing_of_its_endpoint(
    world: World,
) -> None:
    class Full:
        """A client whose places are all taken."""

        def for_tenant(self, _: str) -> Full:
            return self

        @contextlib.asynccontextmanager
        async def stream(self, *_: object, **__: object) -> AsyncIterator[None]:
            raise TransportError("waiting for one of the 1 connections", sent=False, blame="caller")
            yield

    await world.subscribe()
    await world.journal.append([new(str(number)) for number in range(20)])
    deliverer = world.deliver_with(Full())  # type: ignore[arg-type] - what the deliverer uses of a client
    for id, _ in await world.due():
        await deliverer.handle(id)
    assert {(each.state, each.attempts) for each in await world.journal.deliveries()} == {("pending", 1)}
    (state,) = deliverer._known.values()  # noqa: SLF001
    assert state.breaker.opened is None
