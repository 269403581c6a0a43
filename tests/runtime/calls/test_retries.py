"""Whether a call is sent again, and after how long: decisions only, so nothing waits."""

from __future__ import annotations

import pytest

from connector.errors import BlockedAddress, TransportError
from connector.headers import Headers
from connector.messages import Response
from connector.model.policies import Retry
from runtime.calls.retries import GiveUp, RetryAfter, decide, read_reset, read_wait

NOT_SENT = TransportError("no connection", sent=False)
BROKEN = TransportError("broke off")
RETRY = Retry()
TOTAL = 60.0
NOW = 1_700_000_000.0


def choose(
    outcome: Response | TransportError,
    *,
    idempotent: bool = True,
    attempt: int = 1,
    elapsed: float = 0.0,
    told: float | None = None,
    retry: Retry = RETRY,
    chance: float = 1.0,
) -> RetryAfter | GiveUp:
    return decide(
        outcome, retry, idempotent=idempotent, attempt=attempt, elapsed=elapsed, total=TOTAL, chance=chance, told=told
    )


@pytest.mark.parametrize(
    ("outcome", "idempotent", "again"),
    [
        pytest.param(Response(500), True, True, id="P2 500"),
        pytest.param(Response(502), True, True, id="P2 502"),
        pytest.param(Response(503), True, True, id="P2 503"),
        pytest.param(Response(504), True, True, id="P2 504"),
        pytest.param(Response(501), True, False, id="501 is final"),
        pytest.param(Response(404), True, False, id="404 is final"),
        pytest.param(Response(503), False, False, id="K12 a POST that was answered 503"),
        pytest.param(Response(429), False, True, id="P1 a POST that was answered 429"),
        pytest.param(Response(429), True, True, id="P1 a GET that was answered 429"),
        pytest.param(Response(403), True, False, id="a 403 is final"),
        pytest.param(Response(403, Headers({"X-RateLimit-Remaining": "9"})), True, False, id="a 403 with calls left"),
        pytest.param(Response(403, Headers({"X-RateLimit-Remaining": "0"})), False, True, id="P1 a 403 for a limit"),
        pytest.param(Response(403, Headers({"Retry-After": "7"})), False, True, id="P1 a 403 that names a time"),
        pytest.param(NOT_SENT, False, True, id="P2 a POST that was not sent"),
        pytest.param(BROKEN, True, True, id="P2 a GET whose connection broke"),
        pytest.param(BROKEN, False, False, id="K12 a POST whose connection broke"),
        pytest.param(BlockedAddress("no"), True, False, id="a blocked address"),
        pytest.param(TransportError("too large", temporary=False), True, False, id="what would fail again"),
    ],
)
def test_what_is_sent_again(outcome: Response | TransportError, idempotent: bool, again: bool) -> None:
    assert isinstance(choose(outcome, idempotent=idempotent), RetryAfter if again else GiveUp)


def test_P2_there_are_four_attempts_unless_told() -> None:
    kinds = [type(choose(Response(503), attempt=attempt)) for attempt in (1, 2, 3, 4)]
    assert kinds == [RetryAfter, RetryAfter, RetryAfter, GiveUp]
    assert isinstance(choose(Response(503), retry=Retry(attempts=1)), GiveUp)


def test_the_definition_says_which_statuses_pass() -> None:
    retry = Retry(statuses=frozenset({409}))
    assert isinstance(choose(Response(409), retry=retry), RetryAfter)
    assert isinstance(choose(Response(503), retry=retry), GiveUp)


def test_P2_the_wait_doubles_up_to_its_limit_and_jitter_takes_any_part_of_it() -> None:
    delays = [choose(Response(503), attempt=attempt, retry=Retry(10, max_delay=3)) for attempt in range(1, 6)]
    assert delays == [RetryAfter(0.5), RetryAfter(1.0), RetryAfter(2.0), RetryAfter(3), RetryAfter(3)]
    assert choose(Response(503), chance=0.0) == RetryAfter(0.0)
    assert choose(Response(503), attempt=3, chance=0.25) == RetryAfter(0.5)


def test_P1_a_provider_that_names_a_time_is_taken_at_its_word() -> None:
    assert choose(Response(429), told=7.0) == RetryAfter(7.0, told=True)
    assert choose(Response(429), told=0.0) == RetryAfter(0.5, told=True)


def test_P1_a_wait_that_is_too_long_is_not_begun() -> None:
    assert choose(Response(429), told=61.0) == GiveUp("the wait would be too long")
    assert choose(Response(429), told=7.0, retry=Retry(max_delay=5)) == GiveUp("the wait would be too long")
    assert choose(Response(429), told=30.0, elapsed=TOTAL - 29) == GiveUp("the wait would be too long")
    assert choose(Response(503), elapsed=TOTAL) == GiveUp("the wait would be too long")


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("1700000030", 30.0),
        ("1700000030000", 30.0),
        ("1600000000", 0.0),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1e9", None),
        ("٣", None),
        ("9" * 400, None),
        ("Tue, 14 Nov 99999 22:13:30 GMT", None),
    ],
)
def test_P1_a_time_to_wait_is_read_in_every_form(text: str, wait: float | None) -> None:
    assert read_reset(text, NOW) == wait


@pytest.mark.parametrize(
    ("status", "fields", "wait"),
    [
        (429, {"Retry-After": "3", "X-RateLimit-Reset": "9"}, 3.0),
        (503, {"Retry-After": "3"}, 3.0),
        (429, {"retry-after-ms": "250"}, 0.25),
        (429, {"X-RateLimit-Reset": "1700000009"}, 9.0),
        (429, {"RateLimit-Reset": "9"}, 9.0),
        (429, {"X-Rate-Limit-Reset": "9"}, 9.0),
        (429, {"RateLimit": '"default";r=0;t=12'}, 12.0),
        (503, {"X-RateLimit-Reset": "9"}, None),
        (429, {"X-RateLimit-Reset": "later"}, None),
        (429, {}, None),
    ],
)
def test_P1_the_headers_of_a_limit_say_when_it_ends(status: int, fields: dict[str, str], wait: float | None) -> None:
    assert read_wait(Response(status, Headers(fields)), NOW) == wait


def test_P1_the_header_that_the_definition_names_counts_first() -> None:
    answer = Response(429, Headers({"X-Rest": "2", "Retry-After": "9"}))
    assert read_wait(answer, NOW, "X-Rest") == 2.0
    assert read_wait(answer, NOW, "X-None") == 9.0
