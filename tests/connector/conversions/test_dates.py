"""Conversions of dates: forms, zones, and times that a change of the clock doubles or skips."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.conversions.pipeline import ConversionError, Pipeline, PipelineError

BERLIN = "Europe/Berlin"


def date(value: Any, **argument: str) -> Any:
    return Pipeline.from_json([{"date": argument}]).convert(value, {})


def shift(value: Any, **argument: int) -> Any:
    return Pipeline.from_json([{"shift": argument}]).convert(value, {})


@pytest.mark.parametrize(
    ("value", "argument", "made"),
    [
        ("2026-05-01T12:00:00Z", {}, "2026-05-01T12:00:00Z"),
        ("2026-05-01t12:00:00.250z", {}, "2026-05-01T12:00:00.250Z"),
        ("2026-05-01 12:00:00,123456789+02:00", {}, "2026-05-01T10:00:00.123456Z"),
        ("2026-05-01T12:00-0530", {}, "2026-05-01T17:30:00Z"),
        ("2026-05-01", {}, "2026-05-01T00:00:00Z"),
        ("2026-05-01T12:00:00", {"zone": BERLIN}, "2026-05-01T12:00:00+02:00"),
        ("2026-05-01T12:00:00Z", {"zone": BERLIN}, "2026-05-01T14:00:00+02:00"),
        ("2026-05-01T23:30:00Z", {"to": "date", "zone": BERLIN}, "2026-05-02"),
        ("2026-05-01", {"from": "date", "to": "date"}, "2026-05-01"),
        ("2026-05-01", {"from": "date", "to": "unix", "zone": BERLIN}, 1777586400),
        ("2016-12-31T23:59:60Z", {}, "2017-01-01T00:00:00Z"),
        (0, {"from": "unix"}, "1970-01-01T00:00:00Z"),
        ("1767225600.5", {"from": "unix"}, "2026-01-01T00:00:00.500Z"),
        (-1, {"from": "unix"}, "1969-12-31T23:59:59Z"),
        (-0.5, {"from": "unix", "to": "unix"}, -0.5),
        (1767225600250, {"from": "unix_ms"}, "2026-01-01T00:00:00.250Z"),
        ("2026-01-01T00:00:00.25Z", {"to": "unix_ms"}, 1767225600250),
        ("2026-01-01T00:00:00Z", {"to": "unix"}, 1767225600),
        ("Sun, 06 Nov 1994 08:49:37 GMT", {"from": "http"}, "1994-11-06T08:49:37Z"),
        ("1994-11-06T09:49:37+01:00", {"to": "http"}, "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("31.12.2026", {"from": "%d.%m.%Y", "to": "date"}, "2026-12-31"),
        ("1/5/2026 3:07 pm", {"from": "%m/%d/%Y %I:%M %p"}, "2026-01-05T15:07:00Z"),
        ("1/5/2026 12:07 AM", {"from": "%m/%d/%Y %I:%M %p"}, "2026-01-05T00:07:00Z"),
        ("5 march 2026", {"from": "%d %B %Y", "to": "date"}, "2026-03-05"),
        ("Thu 05 Mar 2026 10:00:00.5 +0200", {"from": "%a %d %b %Y %H:%M:%S.%f %z"}, "2026-03-05T08:00:00.500Z"),
        ("100% 2026-01-02", {"from": "100%% %Y-%m-%d", "to": "date"}, "2026-01-02"),
        ("2026-03-05T15:04:05Z", {"to": "%A, %B %d %Y, %I:%M:%S %p (100%%) %a %b %z %H %f"},
         "Thursday, March 05 2026, 03:04:05 PM (100%) Thu Mar +0000 15 000000"),
        ("0999-03-05T00:04:05Z", {"to": "%Y %p"}, "0999 AM"),
    ],
)  # fmt: skip
def test_a_date_is_written_in_another_form(value: Any, argument: dict[str, str], made: Any) -> None:
    assert date(value, **argument) == made


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
        ("2026-03-29T02:30:00", "2026-03-29T01:30:00Z"),
    ],
    ids=["ambiguous: the first of both", "skipped: moved forward"],
)
def test_a_local_time_that_the_clock_doubles_or_skips_has_one_meaning(value: str, made: str) -> None:
    steps = [{"date": {"from": "iso", "to": "unix", "zone": BERLIN}}, {"date": {"from": "unix"}}]
    assert Pipeline.from_json(steps).convert(value, {}) == made


def test_what_is_skipped_is_written_as_the_time_that_it_becomes() -> None:
    assert date("2026-03-29T02:30:00", zone=BERLIN) == "2026-03-29T03:30:00+02:00"


@pytest.mark.parametrize(
    ("value", "argument"),
    [
        ("yesterday", {}),
        ("2026-02-30", {}),
        ("2026-13-01", {}),
        ("2026-05-01T25:00:00Z", {}),
        ("2026-05-01T12:00:00+99:00", {}),
        ("٢٠٢٦-05-01", {}),
        ("20260501", {}),
        ("2026-05-01T12:00:00Z", {"from": "date"}),
        ("9" * 20, {"from": "unix"}),
        ("1e300", {"from": "unix"}),
        ("soon", {"from": "unix"}),
        ("12/31/2026", {"from": "%d.%m.%Y"}),
        ("31.04.2026", {"from": "%d.%m.%Y"}),
    ],
)
def test_a_text_that_is_no_such_date_is_refused(value: str, argument: dict[str, str]) -> None:
    with pytest.raises(ConversionError, match="date: "):
        date(value, **argument)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"zone": "Europe/Atlantis"}, "unknown zone 'Europe/Atlantis'"),
        ({"zone": "../../etc/passwd"}, "unknown zone"),
        ({"from": "stardate"}, "unknown form 'stardate'"),
        ({"to": "soon"}, "unknown form 'soon'"),
        ({"from": "%Y-%m-%Q"}, "unknown directive '%Q'"),
        ({"from": "%H:%M"}, "a pattern that is read has a year, a month and a day"),
        ({"from": "%Y-%m-%d %I"}, "%I and %p go together"),
    ],
)
def test_a_form_that_cannot_be_used_is_refused_at_load(argument: dict[str, str], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        Pipeline.from_json([{"date": argument}])


@given(st.integers(-(10**10), 10**11))
def test_every_form_that_holds_a_moment_is_read_again(seconds: int) -> None:
    text = date(seconds, **{"from": "unix"})
    assert text == datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    for form in ("iso", "unix", "unix_ms", "http", "%a %d %B %Y %I:%M:%S %p %z"):
        there = Pipeline.from_json([{"date": {"to": form}}, {"date": {"from": form}}])
        assert there.convert(text, {}) == text


@pytest.mark.parametrize(
    ("value", "argument", "made"),
    [
        ("2026-01-05", {"days": -7}, "2025-12-29"),
        ("2026-01-31", {"months": 1}, "2026-02-28"),
        ("2024-02-29", {"years": 1}, "2025-02-28"),
        ("2026-01-05", {"hours": 1}, "2026-01-05T01:00:00Z"),
        ("2026-01-05T23:30:00+02:00", {"minutes": 45, "seconds": 1}, "2026-01-06T00:15:01+02:00"),
        ("2026-01-05T23:30:00", {"weeks": 1}, "2026-01-12T23:30:00"),
        ("2026-01-05T23:30:00Z", {"months": -13, "days": 1}, "2024-12-06T23:30:00Z"),
    ],
)
def test_a_date_is_moved(value: str, argument: dict[str, int], made: str) -> None:
    assert shift(value, **argument) == made


@pytest.mark.parametrize(
    ("value", "argument"), [("9999-12-31", {"days": 1}), ("0001-01-01", {"months": -1}), ("now", {"days": 1})]
)
def test_a_date_that_cannot_be_moved_is_refused(value: str, argument: dict[str, int]) -> None:
    with pytest.raises(ConversionError, match="shift: "):
        shift(value, **argument)


@given(st.dates(), st.integers(-1000, 1000))
def test_moving_there_and_back_is_the_same_day(day: Any, days: int) -> None:
    try:
        moved = shift(day.isoformat(), days=days)
    except ConversionError:
        return
    assert shift(moved, days=-days) == day.isoformat()
