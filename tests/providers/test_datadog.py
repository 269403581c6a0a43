"""The Datadog connector against a stand-in: two keys, pages by number and by cursor, limits that end in seconds."""

from __future__ import annotations

import pytest

from runtime import MissingCredentials, ResponseError, Runtime
from tests.doubles.standins import Answer, Call, Standin

pytestmark = pytest.mark.anyio

VALUES = {"apiKey": "canary-api-key", "applicationKey": "canary-app-key"}


def monitors(call: Call) -> Answer:
    """Five monitors; without a page all of them come, as https://docs.datadoghq.com/api/latest/monitors/ says."""
    everything = [{"id": number, "name": f"M{number}", "overall_state": "OK"} for number in range(5)]
    if "page" not in call.params:
        return Answer(everything)
    size, page = int(call.params["page_size"]), int(call.params["page"])
    return Answer(everything[page * size : (page + 1) * size])


def search(call: Call) -> Answer:
    """Five entries by cursor: `meta.page.after` is left out on the last page."""
    page = call.json["page"]
    first = int(page.get("cursor", "0"))
    last = min(first + page.get("limit", 10), 5)
    meta = {"page": {"after": str(last)}} if last < 5 else {"page": {}}
    data = [{"id": str(number), "attributes": {"message": f"Line {number}"}} for number in range(first, last)]
    return Answer({"data": data, "meta": meta})


async def test_monitors_are_read_page_by_page_from_the_first_on() -> None:
    async with Standin(monitors) as datadog, datadog.runtime("datadog", VALUES) as rt:
        found = [record["id"] async for record in rt.records("datadog", "monitors.list", {"page_size": 2})]
    assert found == [0, 1, 2, 3, 4]
    assert [call.params["page"] for call in datadog.calls] == ["0", "1", "2"]
    keys = {(call.headers["dd-api-key"], call.headers["dd-application-key"]) for call in datadog.calls}
    assert keys == {("canary-api-key", "canary-app-key")}


async def test_logs_are_searched_with_the_cursor_in_the_body() -> None:
    async with Standin(search) as datadog, datadog.runtime("datadog", VALUES) as rt:
        inputs = {"query": "service:web", "limit": 2}
        found = [record["message"] async for record in rt.records("datadog", "logs.search", inputs)]
    assert found == [f"Line {number}" for number in range(5)]
    assert [call.json["page"] for call in datadog.calls] == [
        {"limit": 2},
        {"limit": 2, "cursor": "2"},
        {"limit": 2, "cursor": "4"},
    ]
    assert datadog.calls[0].json["filter"] == {"query": "service:web", "from": "now-15m", "to": "now"}


async def test_events_go_on_with_a_cursor_whose_name_has_brackets() -> None:
    pages = iter([{"page": {"after": "a=b&c"}}, {}])
    async with (
        Standin(lambda _: Answer({"data": [{"id": "e"}], "meta": next(pages)})) as datadog,
        datadog.runtime("datadog", VALUES) as rt,
    ):
        found = [record async for record in rt.pages("datadog", "events.list", {"filter[query]": "x"}, max_pages=3)]
    assert len(found) == 2
    assert [call.params for call in datadog.calls] == [
        {"filter[query]": "x"},
        {"filter[query]": "x", "page[cursor]": "a=b&c"},
    ]


async def test_the_reset_of_a_limit_is_waited_for_in_seconds() -> None:
    busy = Answer({"errors": ["Rate limit exceeded"]}, 429, {"x-ratelimit-reset": "17", "x-ratelimit-remaining": "0"})
    answers = iter([busy])
    taken = Answer({"errors": []}, 202)
    async with Standin(lambda _: next(answers, taken)) as datadog, datadog.runtime("datadog", VALUES) as rt:
        inputs = {"metric": "harbour.ships", "points": [{"timestamp": 1, "value": 2.5}]}
        result = await rt.call("datadog", "metrics.submit", inputs)
    assert (result.attempts, datadog.waits) == (2, [17.0])
    assert datadog.calls[1].json == {"series": [{"metric": "harbour.ships", "type": 3, "points": inputs["points"]}]}


async def test_all_that_datadog_says_is_said() -> None:
    said = Answer({"errors": ["Invalid query", "No such tag"]}, 400)
    async with Standin(lambda _: said) as datadog, datadog.runtime("datadog", VALUES) as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("datadog", "metrics.query", {"from": 1, "to": 2, "query": "avg:x{*}"})
    assert caught.value.message == "Invalid query; No such tag (datadog metrics.query answered 400)"


async def test_a_site_is_one_of_those_there_are() -> None:
    values = {**VALUES, "site": "evil.example"}
    async with Runtime(secrets={"datadog": values}, environ={}) as rt:
        with pytest.raises(MissingCredentials, match=r"site: expected one of datadoghq\.com"):
            rt.render("datadog", "monitors.list", {})


async def test_the_site_is_a_part_of_the_host() -> None:
    async with Runtime(secrets={"datadog": {**VALUES, "site": "us5.datadoghq.com"}}, environ={}) as rt:
        request = rt.render("datadog", "monitors.read", {"monitorId": 7})
    assert request.url == "https://api.us5.datadoghq.com/api/v1/monitor/7"
    assert request.headers["dd-api-key"] == "***"
