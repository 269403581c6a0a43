"""The pace of one connection and the breaker of one origin: counts only, so nothing waits."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.model.policies import RateLimit
from runtime.calls.limits import FEWEST, REST, WINDOW, Breaker, Bucket, Pace

pytestmark = pytest.mark.anyio


async def take(pace: Pace, now: float) -> float:
    """When a call begins that comes now; nothing waits."""
    waited = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal waited
        waited = seconds

    await pace.enter(lambda: now + waited, sleep)
    pace.leave()
    return now + waited


def test_without_a_limit_nobody_waits() -> None:
    assert Pace(None).is_free


async def test_a_burst_begins_at_once_and_what_follows_waits_its_turn() -> None:
    pace = Pace(RateLimit(requests=2, per=10.0))
    assert [await take(pace, 0.0) for _ in range(4)] == [0.0, 0.0, 10.0, 10.0]
    assert await take(pace, 100.0) == 100.0


@given(
    st.integers(1, 5),
    st.floats(0.1, 100),
    st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=40),
)
def test_never_more_than_its_requests_begin_in_any_period(requests: int, per: float, gaps: list[float]) -> None:
    async def begin() -> list[float]:
        pace, now, begun = Pace(RateLimit(requests, per)), 0.0, list[float]()
        for gap in gaps:
            now += gap
            expected = pace.expected(now)
            begun.append(await take(pace, now))
            assert begun[-1] == pytest.approx(now + expected)
        return begun

    begun = asyncio.run(begin())
    for start in begun:
        assert len([each for each in begun if start <= each < start + per * 0.999]) <= requests


async def test_E7_what_is_expected_counts_those_who_wait_already() -> None:
    pace, gate = Pace(RateLimit(requests=2, per=10.0)), asyncio.Event()

    async def sleep(_: float) -> None:
        await gate.wait()

    expected, waiting = [], []
    for _ in range(7):
        expected.append(pace.expected(0.0))
        waiting.append(asyncio.create_task(pace.enter(lambda: 0.0, sleep)))
        for _ in range(3):
            await asyncio.sleep(0)
    assert expected == [0.0, 0.0, 10.0, 10.0, 20.0, 20.0, 30.0]
    with pytest.raises(TimeoutError):
        await pace.enter(lambda: 0.0, sleep, 29.0)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert pace.expected(0.0) == 10.0


async def test_a_connection_has_as_many_slots_as_it_may_use_at_once() -> None:
    pace = Pace(RateLimit(concurrency=2))
    assert [await take(pace, 0.0) for _ in range(9)] == [0.0] * 9
    await pace.enter(lambda: 0.0, asyncio.sleep)
    await pace.enter(lambda: 0.0, asyncio.sleep)
    with pytest.raises(TimeoutError):
        await pace.enter(lambda: 0.0, asyncio.sleep, 0.0)
    pace.leave()
    await pace.enter(lambda: 0.0, asyncio.sleep, 1.0)


def test_E3_a_pace_goes_on_in_another_event_loop() -> None:
    pace = Pace(RateLimit(requests=1, per=10.0, concurrency=1))

    async def two() -> list[float]:
        return list(await asyncio.gather(take(pace, 0.0), take(pace, 0.0)))

    assert [asyncio.run(two()), asyncio.run(two())] == [[0.0, 10.0], [20.0, 30.0]]


def test_P1_a_provider_that_asks_for_rest_gets_it() -> None:
    pace = Pace(None)
    pace.hold(10.0)
    pace.hold(4.0)
    assert (pace.held(3.0), pace.held(11.0)) == (7.0, 0.0)


def open_breaker(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for index in range(FEWEST):
        assert breaker.wait(now) == 0.0
        breaker.note(now, failed=index % 2 == 1)
    return breaker


def test_P2_half_of_ten_failures_open_the_breaker() -> None:
    assert open_breaker().wait(0.0) == REST


@pytest.mark.parametrize(("failures", "calls"), [(9, 9), (4, 10), (49, 100)])
def test_P2_fewer_calls_or_fewer_failures_do_not(failures: int, calls: int) -> None:
    breaker = Breaker()
    for index in range(calls):
        breaker.note(0.0, failed=index >= calls - failures)
    assert breaker.wait(0.0) == 0.0


def test_P2_what_is_older_than_the_window_does_not_count() -> None:
    breaker = Breaker()
    for _ in range(9):
        breaker.note(0.0, failed=True)
    breaker.note(WINDOW, failed=True)
    assert breaker.wait(WINDOW) == 0.0


def test_P2_after_its_rest_one_call_may_try() -> None:
    breaker = open_breaker()
    assert [breaker.wait(REST - 1), breaker.wait(REST), breaker.wait(REST)] == [1.0, 0.0, 1.0]
    breaker.note(REST, failed=False)
    assert [breaker.wait(REST), breaker.wait(REST)] == [0.0, 0.0]


def test_P2_a_try_that_fails_opens_it_again() -> None:
    breaker = open_breaker()
    assert breaker.wait(REST) == 0.0
    breaker.note(REST, failed=True)
    assert breaker.wait(REST + 1) == REST - 1


def test_P2_a_try_that_was_cancelled_leaves_room_for_another() -> None:
    breaker = open_breaker()
    assert breaker.wait(REST) == 0.0
    breaker.forget()
    assert breaker.wait(REST) == 0.0


def test_P2_a_late_answer_of_a_call_from_before_changes_nothing() -> None:
    breaker = open_breaker()
    breaker.note(1.0, failed=False)
    assert breaker.wait(1.0) == REST - 1


def test_T73_a_bucket_fills_again_as_time_passes_and_a_clock_that_is_set_back_does_not_close_it() -> None:
    bucket = Bucket(2)
    assert [bucket.try_take(100.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert [bucket.try_take(100.5) for _ in range(2)] == [0.0, 0.5]
    assert bucket.try_take(50.0) == 0.5
    assert bucket.try_take(50.5) == 0.0


def test_a_turn_that_is_refused_is_not_taken() -> None:
    bucket = Bucket(1)
    assert [bucket.try_take(10.0) for _ in range(3)] == [0.0, 1.0, 1.0]
