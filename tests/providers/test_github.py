"""The GitHub connector against a stand-in: Link headers, both kinds of rate limit, files as they are."""

from __future__ import annotations

import pytest

from runtime import BlockedAddress, RateLimited, ResponseError
from tests.doubles.standins import Answer, Call, Standin

pytestmark = pytest.mark.anyio

TOKEN = {"token": "github_pat_canary"}
REPO = {"owner": "harbour", "repo": "logbook"}
NOW = 1_767_225_600


def issues(call: Call) -> Answer:
    """Five issues, with the links of https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api."""
    size, page = int(call.params.get("per_page", "30")), int(call.params.get("page", "1"))
    last = -(-5 // size)
    numbers = range(1, 6)[(page - 1) * size : page * size]
    base = f"http://{call.headers['host']}/repositories/1/issues?state=all&per_page={size}&page="
    links = [f'<{base}{page + 1}>; rel="next"', f'<{base}{last}>; rel="last"'] if page < last else []
    links += [f'<{base}{page - 1}>; rel="prev"', f'<{base}1>; rel="first"'] if page > 1 else []
    body = [{"id": number, "number": number, "title": f"Issue {number}", "labels": []} for number in numbers]
    return Answer(body, headers={"link": ", ".join(links)} if links else {})


async def test_a_list_is_read_to_its_end_by_its_link_headers() -> None:
    async with Standin(issues) as github, github.runtime("github", TOKEN) as rt:
        inputs = {**REPO, "state": "all", "per_page": 2}
        numbers = [record["number"] async for record in rt.records("github", "issues.list", inputs)]
    assert numbers == [1, 2, 3, 4, 5]
    paths = ["/repos/harbour/logbook/issues", "/repositories/1/issues", "/repositories/1/issues"]
    assert paths == [call.path for call in github.calls]
    assert {"2022-11-28"} == {call.headers["x-github-api-version"] for call in github.calls}
    assert {"application/vnd.github+json"} == {call.headers["accept"] for call in github.calls}


async def test_T38_a_link_to_another_origin_is_not_followed() -> None:
    elsewhere = Answer([{"id": 1}], headers={"link": '<https://elsewhere.example/issues?page=2>; rel="next"'})
    async with Standin(lambda _: elsewhere) as github, github.runtime("github", TOKEN) as rt:
        with pytest.raises(BlockedAddress):
            _ = [record async for record in rt.records("github", "issues.list", REPO)]
    assert len(github.calls) == 1


def exhausted(reset: int) -> Answer:
    """What GitHub says when the primary limit is used up: 403 or 429, nothing remaining, and when it begins anew."""
    headers = {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)}
    return Answer({"message": "API rate limit exceeded for user ID 1."}, 403, headers)


async def test_a_used_up_limit_is_waited_for_where_that_is_soon() -> None:
    answers = iter([exhausted(NOW + 20), Answer({"message": "Slow down."}, 403, {"retry-after": "7"})])
    created = Answer({"id": 1, "number": 8, "title": "Lamp"}, 201)
    async with Standin(lambda _: next(answers, created)) as github, github.runtime("github", TOKEN, clock=NOW) as rt:
        result = await rt.call("github", "issues.create", {**REPO, "title": "Lamp"})
    assert (result.attempts, (result.fields or {})["number"]) == (3, 8)
    assert github.waits[:1] + github.waits[-1:] == [20.0, 7.0]
    assert [call.json for call in github.calls] == [{"title": "Lamp"}] * 3


async def test_a_used_up_limit_that_ends_in_an_hour_is_said_and_not_waited_for() -> None:
    async with Standin(lambda _: exhausted(NOW + 3600)) as github, github.runtime("github", TOKEN, clock=NOW) as rt:
        with pytest.raises(RateLimited) as caught:
            await rt.call("github", "repos.read", REPO)
    assert (caught.value.retry_after, caught.value.status) == (3600.0, 403)
    assert caught.value.message.startswith("API rate limit exceeded for user ID 1. (")
    assert caught.value.hint.endswith("; wait 3600 s")
    assert (len(github.calls), github.waits) == (1, [])


async def test_a_403_that_is_no_limit_is_final() -> None:
    forbidden = Answer({"message": "Must have admin rights to Repository."}, 403, {"x-ratelimit-remaining": "4999"})
    async with Standin(lambda _: forbidden) as github, github.runtime("github", TOKEN) as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("github", "repos.delete", REPO)
    assert not isinstance(caught.value, RateLimited)
    assert caught.value.message == "Must have admin rights to Repository. (github repos.delete answered 403)"
    assert len(github.calls) == 1


async def test_a_renamed_repository_is_a_redirect_that_is_shown_and_not_followed() -> None:
    moved = Answer({"message": "Moved Permanently"}, 301, {"location": "https://api.github.com/repositories/1"})
    async with Standin(lambda _: moved) as github, github.runtime("github", TOKEN) as rt:
        with pytest.raises(ResponseError, match="a redirect to https://api.github.com/repositories/1"):
            await rt.call("github", "repos.read", REPO)


async def test_a_file_comes_as_it_is_piece_by_piece() -> None:
    content = bytes(range(256)) * 1000
    raw = Answer(pieces=[content[:100_000], content[100_000:]], headers={"content-type": "application/octet-stream"})
    inputs = {**REPO, "path": "charts/north sea.bin", "ref": "main"}
    async with Standin(lambda _: raw) as github, github.runtime("github", TOKEN) as rt:
        pieces = [chunk.raw async for chunk in rt.stream("github", "contents.download", inputs)]
    assert content == b"".join(pieces)
    assert github.calls[0].path == "/repos/harbour/logbook/contents/charts/north%20sea.bin"
    assert github.calls[0].headers["accept"] == "application/vnd.github.raw+json"


async def test_an_issue_is_closed_after_the_reason_was_said() -> None:
    def answer(call: Call) -> Answer:
        return Answer({"id": 1}, 201) if call.method == "POST" else Answer({"number": 7, **call.json})

    async with Standin(answer) as github, github.runtime("github", TOKEN) as rt:
        result = await rt.call("github", "close-issue", {**REPO, "issueNumber": 7, "comment": "Mended by #12."})
    assert (result.fields or {})["state_reason"] == "completed"
    issue = "/repos/harbour/logbook/issues/7"
    assert [(call.method, call.path, call.json) for call in github.calls] == [
        ("POST", f"{issue}/comments", {"body": "Mended by #12."}),
        ("PATCH", issue, {"state": "closed", "state_reason": "completed"}),
    ]
