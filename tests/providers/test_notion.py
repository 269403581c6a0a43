"""The Notion connector against a stand-in: cursors in the body and in the query, filters as they are given."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import ResponseError
from tests.doubles.standins import Answer, Call, Standin

pytestmark = pytest.mark.anyio

VALUES = {"token": "ntn_canary_token"}
FILTER = {
    "and": [{"property": "Status", "status": {"equals": "Open"}}, {"property": "Depth", "number": {"less_than": 2}}]
}


def page(number: int) -> dict[str, Any]:
    title = [{"plain_text": f"Page {number}"}]
    return {"object": "page", "id": f"p{number}", "properties": {"Name": {"type": "title", "title": title}}}


def pages(asked: Any, size: int) -> Answer:
    """Five pages, as https://developers.notion.com/reference/intro says of pagination."""
    first = int(str(asked or "c0").removeprefix("c"))
    last = min(first + size, 5)
    following = f"c{last}" if last < 5 else None
    results = [page(number) for number in range(first, last)]
    return Answer({"object": "list", "results": results, "next_cursor": following, "has_more": following is not None})


def answer(call: Call) -> Answer:
    if call.method == "POST":
        return pages(call.json.get("start_cursor"), call.json.get("page_size", 100))
    return pages(call.params.get("start_cursor"), int(call.params.get("page_size", "100")))


async def test_a_query_goes_on_with_the_cursor_in_its_body_and_the_filter_beside_it() -> None:
    async with Standin(answer) as notion, notion.runtime("notion", VALUES, "/v1") as rt:
        inputs = {"databaseId": "d1", "filter": FILTER, "pageSize": 2}
        found = [record async for record in rt.records("notion", "databases.query", inputs)]
    assert [record["title"] for record in found] == [[f"Page {number}"] for number in range(5)]
    bodies = [
        {"filter": FILTER, "page_size": 2, **more} for more in ({}, {"start_cursor": "c2"}, {"start_cursor": "c4"})
    ]
    assert [call.json for call in notion.calls] == bodies
    assert {call.headers["notion-version"] for call in notion.calls} == {"2022-06-28"}


async def test_a_list_goes_on_with_the_cursor_in_its_query() -> None:
    async with Standin(answer) as notion, notion.runtime("notion", VALUES, "/v1") as rt:
        found = [
            record["id"] async for record in rt.records("notion", "blocks.list", {"blockId": "p1", "page_size": 3})
        ]
    assert found == ["p0", "p1", "p2", "p3", "p4"]
    assert [call.params.get("start_cursor") for call in notion.calls] == [None, "c3"]


async def test_a_query_is_repeated_after_the_wait_that_notion_names() -> None:
    busy = {"object": "error", "status": 429, "code": "rate_limited", "message": "You have been rate limited."}
    answers = iter([Answer(busy, 429, {"retry-after": "3"})])
    async with (
        Standin(lambda call: next(answers, None) or answer(call)) as notion,
        notion.runtime("notion", VALUES, "/v1") as rt,
    ):
        result = await rt.call("notion", "databases.query", {"databaseId": "d1"})
    assert (result.attempts, notion.waits) == (2, [3.0])


async def test_notions_sentence_comes_first() -> None:
    said = {"object": "error", "status": 400, "code": "validation_error", "message": "body.filter should be defined."}
    async with Standin(lambda _: Answer(said, 400)) as notion, notion.runtime("notion", VALUES, "/v1") as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("notion", "pages.create", {"parentId": "d1", "properties": {}})
    assert caught.value.message == "body.filter should be defined. (notion pages.create answered 400)"
    assert caught.value.provider_code == "validation_error"
    assert notion.calls[0].json["parent"] == {"type": "database_id", "database_id": "d1"}
