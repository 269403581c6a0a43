"""The Slack connector against a stand-in: failures in a 200, cursors that are empty at the end, Retry-After."""

from __future__ import annotations

import pytest

from runtime import RateLimited, ResponseError
from tests.doubles.standins import Answer, Call, Standin

pytestmark = pytest.mark.anyio

VALUES = {"token": "xoxb-canary-token"}


def members(call: Call) -> Answer:
    """Five members, as https://api.slack.com/docs/pagination says: the last cursor is an empty text."""
    first, size = int(call.params.get("cursor", "0")), int(call.params.get("limit", "100"))
    last = min(first + size, 5)
    cursor = str(last) if last < 5 else ""
    ids = [f"U{number}" for number in range(first, last)]
    return Answer({"ok": True, "members": ids, "response_metadata": {"next_cursor": cursor}})


async def test_a_list_of_bare_ids_is_read_to_its_empty_cursor() -> None:
    async with Standin(members) as slack, slack.runtime("slack", VALUES, "/api") as rt:
        inputs = {"channel": "C1", "limit": 2}
        found = [record async for record in rt.records("slack", "conversations.members", inputs)]
    assert found == [{"id": f"U{number}"} for number in range(5)]
    assert [call.params.get("cursor") for call in slack.calls] == [None, "2", "4"]
    assert slack.calls[0].path == "/api/conversations.members"


async def test_what_is_not_ok_in_a_200_is_a_failure_with_slacks_word() -> None:
    refused = {"ok": False, "error": "channel_not_found", "response_metadata": {"messages": ["[ERROR] no channel"]}}
    async with Standin(lambda _: Answer(refused)) as slack, slack.runtime("slack", VALUES, "/api") as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("slack", "chat.postMessage", {"channel": "C1", "text": "Ahoy"})
    assert caught.value.message == "channel_not_found (slack chat.postMessage answered 200)"
    assert (caught.value.provider_code, caught.value.status) == ("channel_not_found", 200)
    assert caught.value.result.raw == refused
    assert len(slack.calls) == 1


async def test_a_failure_on_the_way_through_the_pages_is_one_too() -> None:
    def answer(call: Call) -> Answer:
        return Answer({"ok": False, "error": "invalid_cursor"}) if "cursor" in call.params else members(call)

    async with Standin(answer) as slack, slack.runtime("slack", VALUES, "/api") as rt:
        with pytest.raises(ResponseError, match="invalid_cursor"):
            _ = [record async for record in rt.records("slack", "conversations.members", {"channel": "C1", "limit": 2})]


async def test_a_message_waits_as_long_as_slack_says() -> None:
    answers = iter([Answer({"ok": False, "error": "ratelimited"}, 429, {"retry-after": "11"})])
    posted = Answer({"ok": True, "channel": "C1", "ts": "1.0", "message": {"text": "Ahoy"}})
    async with Standin(lambda _: next(answers, posted)) as slack, slack.runtime("slack", VALUES, "/api") as rt:
        result = await rt.call("slack", "chat.postMessage", {"channel": "C1", "text": "Ahoy"})
    assert (result.attempts, slack.waits, (result.fields or {})["text"]) == (2, [11.0], "Ahoy")
    assert [call.headers["content-type"] for call in slack.calls] == ["application/json; charset=utf-8"] * 2


async def test_a_wait_that_is_too_long_is_said() -> None:
    busy = Answer({"ok": False, "error": "ratelimited"}, 429, {"retry-after": "300"})
    async with Standin(lambda _: busy) as slack, slack.runtime("slack", VALUES, "/api") as rt:
        with pytest.raises(RateLimited) as caught:
            await rt.call("slack", "users.list", {})
    assert (caught.value.retry_after, len(slack.calls)) == (300.0, 1)


async def test_a_person_is_found_by_mail_and_sent_a_message_that_nobody_else_gets() -> None:
    def answer(call: Call) -> Answer:
        if call.path == "/api/users.lookupByEmail":
            return Answer({"ok": True, "user": {"id": f"U-{call.params['email']}"}})
        return Answer({"ok": True, "channel": "D1", "ts": "1.0", "message": {"text": call.json["text"]}})

    async with Standin(answer) as slack, slack.runtime("slack", VALUES, "/api") as rt:
        result = await rt.call("slack", "message-by-email", {"email": "bo+x@example.com", "text": "Ahoy"})
    assert result.fields == {"channel": "D1", "ts": "1.0", "text": "Ahoy"}
    assert slack.calls[1].json == {"channel": "U-bo+x@example.com", "text": "Ahoy"}


async def test_nobody_is_sent_anything_where_the_person_is_not_found() -> None:
    unknown = Answer({"ok": False, "error": "users_not_found"})
    async with Standin(lambda _: unknown) as slack, slack.runtime("slack", VALUES, "/api") as rt:
        with pytest.raises(ResponseError, match="users_not_found"):
            await rt.call("slack", "message-by-email", {"email": "x@example.com", "text": "Ahoy"})
    assert len(slack.calls) == 1
