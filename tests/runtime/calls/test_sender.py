"""One request until it is answered or given up. The clock is a number, so nothing here waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from connector.errors import BlockedAddress, MappingError, TransportError, UnknownOutcome
from connector.headers import Headers
from connector.messages import Request, Response, Stream
from connector.model.definition import Operation
from connector.parsing.connectors import parse_connector
from runtime.calls.limits import FEWEST, REST
from runtime.calls.sender import Sender

pytestmark = pytest.mark.anyio

ORIGIN = "https://api.example.com"
GET = Request("GET", f"{ORIGIN}/things")
POST = Request("POST", f"{ORIGIN}/things", headers=Headers(), body=b"{}")


def read_operation(name: str = "list", service: dict[str, Any] | None = None, **said: Any) -> Operation:
    operations = {
        "list": {"method": "GET"},
        "create": {"method": "POST", "bodyTemplate": "{}"},
        "other": {"method": "GET", "rateLimit": {"requests": 1, "per": 60}},
    }
    operations[name] |= said
    resource = {"handle": "things", "endpoint": "/things", "operations": operations}
    definition = {"handle": "demo", "service": {"baseURL": ORIGIN, **(service or {})}, "resources": [resource]}
    return parse_connector(definition).operation(f"things.{name}")


class World:
    """A provider that gives one outcome after the other, and a clock that only waiting moves."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.now = 1_700_000_000.0
        self.waits: list[float] = []
        self.requests: list[Request] = []
        #: What happens during the next wait.
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.sender = Sender(clock=self.read, sleep=self.sleep, monotonic=self.read, chance=lambda: 1.0)

    def read(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        self.now += seconds

    async def send(self, request: Request, *, operation: str, origin: str | None = None) -> Response:
        """As the client's."""
        assert origin in (ORIGIN, None)
        self.requests.append(request)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Response)
        return outcome

    async def ask(self, request: Request = GET, operation: Operation | None = None, connection: str = "demo") -> Any:
        operation = operation or read_operation("list" if request.method == "GET" else "create")
        return await self.sender.send(
            self, request, operation, authorise=lambda bare: bare, connection=connection, origin=ORIGIN
        )


async def test_P2_what_passes_is_asked_again_until_it_is_answered() -> None:
    world = World(Response(503), TransportError("broke off"), Response(200))
    sent = await world.ask()
    assert (sent.response.status, sent.attempts, world.waits) == (200, 3, [0.5, 1.0])


async def test_each_attempt_is_authorised_anew_after_the_wait_before_it() -> None:
    world = World(Response(503), Response(503), Response(200))
    operation = read_operation("list")

    def stamp(bare: Request) -> Request:
        assert "x-time" not in bare.headers
        return bare.with_header("X-Time", str(world.now))

    sent = await world.sender.send(world, GET, operation, authorise=stamp, connection="demo", origin=ORIGIN)
    times = [request.headers["X-Time"] for request in world.requests]
    assert times == ["1700000000.0", "1700000000.5", "1700000001.5"]
    assert (sent.request, sent.attempts) == (world.requests[-1], 3)


async def test_P2_after_four_attempts_the_last_answer_counts() -> None:
    world = World(Response(502))
    sent = await world.ask()
    assert (sent.response.status, sent.attempts, len(world.requests)) == (502, 4, 4)


async def test_P2_the_last_error_is_raised_as_it_is() -> None:
    world = World(TransportError("the name could not be resolved", sent=False))
    with pytest.raises(TransportError, match="could not be resolved") as caught:
        await world.ask(POST)
    assert (type(caught.value), len(world.requests)) == (TransportError, 4)


async def test_K12_an_unanswered_call_that_is_not_idempotent_ends_unknown_and_is_not_repeated() -> None:
    world = World(TransportError("no complete answer within 120 s"))
    with pytest.raises(UnknownOutcome, match="no complete answer within 120 s; the provider may have acted"):
        await world.ask(POST)
    assert (len(world.requests), world.waits) == (1, [])


@pytest.mark.parametrize("said", [True, {"header": "Idempotency-Key"}])
async def test_a_call_that_is_declared_idempotent_is_repeated(said: Any) -> None:
    world = World(TransportError("broke off"), Response(201))
    sent = await world.ask(POST, read_operation("create", idempotent=said))
    assert (sent.response.status, sent.attempts) == (201, 2)


async def test_a_body_that_is_used_up_is_not_sent_again() -> None:
    async def chunks() -> Any:
        yield b"x"

    body = Stream((chunks(),))
    world = World(Response(429))
    sent = await world.ask(Request("POST", f"{ORIGIN}/things", headers=Headers(), body=body))
    assert (sent.response.status, sent.attempts) == (429, 1)


@pytest.mark.parametrize("error", [BlockedAddress("no"), MappingError("the gzip data ends too early")])
async def test_what_would_fail_again_is_not_repeated(error: Exception) -> None:
    world = World(error)
    with pytest.raises(type(error)):
        await world.ask()
    assert len(world.requests) == 1


async def test_P1_a_429_waits_as_told_for_every_method() -> None:
    for request in (GET, POST):
        world = World(Response(429, Headers({"Retry-After": "7"})), Response(200))
        sent = await world.ask(request)
        assert (sent.response.status, sent.attempts, world.waits) == (200, 2, [7.0])


async def test_P1_a_time_since_the_epoch_is_told_too() -> None:
    world = World(Response(429, Headers({"X-RateLimit-Reset": "1700000009"})), Response(200))
    await world.ask()
    assert world.waits == [9.0]


async def test_P1_a_wait_beyond_the_deadline_ends_the_call_at_once() -> None:
    world = World(Response(429, Headers({"Retry-After": "3600"})))
    sent = await world.ask()
    assert (sent.response.status, sent.attempts, world.waits) == (429, 1, [])


async def test_P1_a_429_holds_back_its_connection_and_no_other() -> None:
    world = World(Response(429, Headers({"Retry-After": "7"})), Response(200))

    async def come() -> None:
        await world.ask(connection="demo:other")
        assert world.waits == [7.0]
        await world.ask(connection="demo")
        assert world.waits == [7.0, 7.0]

    world.meanwhile = come
    await world.ask()
    assert len(world.requests) == 4


async def test_the_rate_of_a_connection_is_shared_by_its_operations_but_for_one_that_has_its_own() -> None:
    world = World(Response(200))
    service = {"rateLimit": {"requests": 2, "per": 10}}
    shared, own = read_operation("list", service), read_operation("other", service)
    for _ in range(3):
        await world.ask(GET, shared)
    assert world.waits == [10.0]
    await world.ask(GET, own)
    await world.ask(GET, shared, connection="demo:other")
    assert world.waits == [10.0]
    await world.ask(GET, own)
    assert world.waits == [10.0, 60.0]


async def test_P4_a_slot_is_freed_whatever_becomes_of_its_call() -> None:
    operation = read_operation("list", {"rateLimit": {"concurrency": 1}, "retry": {"attempts": 1}})
    world = World(TransportError("no complete answer within 120 s"), MappingError("x"), Response(200))
    for kind in (TransportError, MappingError):
        with pytest.raises(kind):
            await world.ask(GET, operation)
    assert (await world.ask(GET, operation)).response.status == 200


async def test_P4_a_cancelled_call_frees_its_slot_and_no_more_are_under_way_than_may_be() -> None:
    operation = read_operation("list", {"rateLimit": {"concurrency": 1}})
    world = World(Response(200))
    begun, gate = asyncio.Event(), asyncio.Event()
    send = world.send

    async def hang(request: Request, *, operation: str, origin: str | None = None) -> Response:
        begun.set()
        await gate.wait()
        return await send(request, operation=operation, origin=origin)

    world.send = hang  # type: ignore[method-assign]
    stuck = asyncio.create_task(world.ask(GET, operation))
    await begun.wait()
    following = asyncio.create_task(world.ask(GET, operation))
    await asyncio.sleep(0)
    assert world.requests == []
    stuck.cancel()
    gate.set()
    assert (await following).response.status == 200
    assert stuck.cancelled()
    assert len(world.requests) == 1


async def test_P2_an_origin_that_fails_too_often_is_left_alone_and_tried_again_after_a_rest() -> None:
    operation = read_operation("list", retry={"attempts": 1})
    world = World(Response(500))
    for _ in range(FEWEST):
        await world.ask(GET, operation)
    with pytest.raises(TransportError, match="too many of the last calls to https://api.example.com failed") as caught:
        await world.ask(GET, operation)
    assert (caught.value.sent, len(world.requests)) == (False, FEWEST)
    world.now += REST
    world.outcomes = [MappingError("the gzip data ends too early"), Response(200)]
    with pytest.raises(MappingError):
        await world.ask(GET, operation)
    assert (await world.ask(GET, operation)).response.status == 200
    assert (await world.ask(GET, operation)).response.status == 200


async def test_K11_a_token_request_that_may_have_been_answered_is_not_sent_again() -> None:
    world = World(TransportError("broke off"))
    with pytest.raises(TransportError, match="broke off"):
        await world.sender.ask(world, POST, label="demo token", connection="demo", origin=None)
    assert len(world.requests) == 1


async def test_P2_a_token_request_is_counted_under_its_own_origin() -> None:
    world = World(Response(500))
    operation = read_operation("list", retry={"attempts": 1})
    token = Request("POST", "https://login.example.com/token")
    for _ in range(FEWEST):
        await world.sender.ask(world, token, label="demo token", connection="demo", origin=None)
    with pytest.raises(TransportError, match="calls to https://login.example.com failed"):
        await world.sender.ask(world, token, label="demo token", connection="demo", origin=None)
    assert (await world.ask(GET, operation)).response.status == 500


async def fail(world: World, connection: str) -> None:
    operation = read_operation("list", retry={"attempts": 1})
    world.outcomes = [Response(500)]
    for _ in range(FEWEST):
        await world.ask(GET, operation, connection)
    world.outcomes = [Response(200)]


async def test_transport_17_what_one_connection_does_wrong_stops_no_other() -> None:
    """E5 as well."""
    world = World(Response(500))
    await fail(world, "demo:a")
    with pytest.raises(TransportError, match="too many"):
        await world.ask(connection="demo:a")
    assert (await world.ask(connection="demo:b")).response.status == 200


async def test_transport_17_where_every_connection_fails_the_origin_rests_for_all() -> None:
    world = World(Response(500))
    await fail(world, "demo:a")
    await fail(world, "demo:b")
    sent = len(world.requests)
    with pytest.raises(TransportError, match="too many") as caught:
        await world.ask(connection="demo:c")
    assert (caught.value.sent, caught.value.blame, len(world.requests)) == (False, "caller", sent)
    world.now += REST
    assert (await world.ask(connection="demo:c")).response.status == 200


async def test_transport_17_one_connection_that_succeeds_shows_that_the_origin_works() -> None:
    world = World(Response(500))
    await fail(world, "demo:a")
    await world.ask(connection="demo:b")
    await fail(world, "demo:c")
    assert (await world.ask(connection="demo:d")).response.status == 200


@pytest.mark.parametrize("blame", ["caller", "origin"])
async def test_transport_08_a_call_that_fails_on_our_own_side_says_nothing_of_its_origin(blame: Any) -> None:
    operation = read_operation("list", retry={"attempts": 1})
    world = World(TransportError("waiting for one of the 1 connections", sent=False, blame=blame))
    for _ in range(FEWEST):
        with pytest.raises(TransportError):
            await world.ask(GET, operation)
    world.outcomes = [Response(200)]
    if blame == "origin":
        with pytest.raises(TransportError, match="too many"):
            await world.ask(GET, operation)
    else:
        assert (await world.ask(GET, operation)).response.status == 200


async def test_transport_12_a_kept_connection_that_had_ended_costs_an_idempotent_call_no_wait_and_no_attempt() -> None:
    ended = TransportError("the connection, which had been kept, was closed", blame="connection")
    world = World(ended, Response(200))
    sent = await world.ask(GET, read_operation("list", retry={"attempts": 1}))
    assert (sent.response.status, sent.attempts, world.waits) == (200, 2, [])
    world = World(ended, Response(201))
    assert (await world.ask(POST, read_operation("create", idempotent={"header": "Idempotency-Key"}))).attempts == 2
    assert world.waits == []
    world = World(ended)
    with pytest.raises(UnknownOutcome):
        await world.ask(POST)
    assert len(world.requests) == 1
    world = World(ended)
    with pytest.raises(TransportError):
        await world.ask(GET)
    assert (len(world.requests), len(world.waits)) == (5, 3)


async def test_E7_calls_that_were_cancelled_leave_the_queue() -> None:
    """Forty calls with a time-out, five in a second: after it the next one waits for none that no longer exists."""
    now, gate, world = [0.0], asyncio.Event(), World(Response(200))

    async def sleep(_: float) -> None:
        await gate.wait()

    sender = Sender(monotonic=lambda: now[0], chance=lambda: 0.0, sleep=sleep)
    operation = read_operation("list", {"rateLimit": {"requests": 5, "per": 1}})

    async def call() -> Any:
        return await sender.send(world, GET, operation, authorise=lambda bare: bare, connection="demo", origin=ORIGIN)

    calls = [asyncio.create_task(call()) for _ in range(40)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(world.requests) == 5
    for each in calls[5:]:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    now[0] = 1.2
    async with asyncio.timeout(1):
        assert (await call()).response.status == 200


async def refuse(world: World, operation: Operation) -> None:
    """One call waits already, so another one would wait for 30 seconds."""
    with pytest.raises(TransportError, match="no turn for it within 20 s") as caught:
        await world.ask(GET, operation)
    assert (caught.value.sent, caught.value.temporary, caught.value.blame) == (False, False, "caller")


async def test_E7_a_call_that_would_wait_beyond_its_deadline_is_refused_at_once() -> None:
    world = World(Response(200))
    world.sender = Sender(clock=world.read, sleep=world.sleep, monotonic=world.read, patience=20.0)
    operation = read_operation("list", {"rateLimit": {"requests": 1, "per": 15}})
    await world.ask(GET, operation)
    world.meanwhile = lambda: refuse(world, operation)
    await world.ask(GET, operation)
    assert (world.waits, len(world.requests), world.meanwhile) == ([15.0], 2, None)
