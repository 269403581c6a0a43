"""Providers that are asked: their definitions, through the poller, against the mock that is made from them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector.auth.tokens import Grant
from runtime import Catalog, Runtime
from runtime.events.poller import Poller
from runtime.journal.journal import Journal
from runtime.mock import MockProvider
from tests.doubles.standins import serving

pytestmark = pytest.mark.anyio
CATALOG = Catalog()


def raise_alarm(monitors: Any) -> None:
    monitors[0]["overall_state"] = "Alert"


def move_and_add(calendar: Any) -> None:
    first = calendar["items"][0]
    first["updated"] = "2026-01-03T09:00:00.000Z"
    calendar["items"].append({**first, "id": "demo0009", "summary": "Tug"})


@pytest.mark.parametrize(
    ("handle", "operation", "change", "expected"),
    [
        pytest.param(
            "datadog",
            "monitors.list",
            raise_alarm,
            [("monitors/monitor.alerted", "1", {"id": 1, "name": "Ships waiting 1", "overall_state": "Alert"})],
            id="datadog",
        ),
        pytest.param(
            "google-calendar",
            "events.list",
            move_and_add,
            [
                ("events/event.changed", "demo0001", {"id": "demo0001", "summary": "Freighter"}),
                ("events/event.changed", "demo0009", {"id": "demo0009", "summary": "Tug"}),
                ("events/event.created", "demo0009", {"id": "demo0009", "summary": "Tug"}),
            ],
            id="google-calendar",
        ),
    ],
)
async def test_what_is_new_at_a_provider_that_is_asked_is_an_event_once(
    handle: str, operation: str, change: Callable[[Any], None], expected: list[Any]
) -> None:
    case = json.loads((Path(__file__).parent / f"{handle}.json").read_text("utf-8"))[0]
    before: Any = copy.deepcopy(CATALOG.examples(handle)[operation])
    before["body"].pop("nextPageToken", None) if isinstance(before["body"], dict) else None
    after = copy.deepcopy(before)
    change(after["body"])
    now = 1_767_225_600.0
    provider = MockProvider([CATALOG.get(handle)], {handle: {operation: before}})

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        """As whatever the provider is by now."""
        await provider(scope, receive, send)

    async with serving(answer) as origin, await Journal.open("sqlite://") as journal:
        base = origin + provider.paths[handle]
        async with Runtime(
            secrets={handle: case["config"]}, base_urls={handle: base}, environ={}, journal=journal, clock=lambda: now
        ) as rt:
            if "grant" in case:
                rt.assume_grant(handle, Grant(token=case["grant"]["token"], issued_at=0.0))
            poller = Poller(rt, journal)
            work = [each.id for each in await poller.polls.of(handle)]
            for each in work:
                await poller.handle(each)
            # What was there before anybody asked is no news.
            assert await journal.events() == []
            provider = MockProvider([CATALOG.get(handle)], {handle: {operation: after}})
            for _ in range(2):
                now += 60
                for each in work:
                    await poller.handle(each)
        found = [(each.event.type, each.event.subject, each.event.data) for each in await journal.events()]
    found.sort(key=lambda each: each[:2])
    assert [each[:2] for each in found] == [each[:2] for each in expected]
    for (_, _, data), (_, _, fields) in zip(found, expected, strict=True):
        assert {name: data[name] for name in fields} == fields
