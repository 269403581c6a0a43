"""All pages of a list, through a whole runtime whose provider is a function; nothing waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.errors import BlockedAddress, MappingError, RateLimited, ResponseError, UnknownOutcome
from connector.messages import Result
from runtime import Runtime
from runtime.calls.pages import join_pages

pytestmark = pytest.mark.anyio

BY_PAGE = {"style": "page", "param": "page", "start": 0, "sizeParam": "size", "size": 2, "total": ["total"]}
BY_URL = {"style": "next_url", "next": ["next"]}
TOKEN = "sk-canary-31415"


class Demo:
    """A connector `demo` with one list and one call that creates, before a provider that is a function."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[httpx2.Request] = []
        self.waits: list[float] = []

    def open(self, answer: Callable[[httpx2.Request], httpx2.Response], **said: Any) -> Runtime:
        def handle(request: httpx2.Request) -> httpx2.Response:
            self.asked.append(request)
            return answer(request)

        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)

        auth = {"method": "bearer", "params": {"token": "{{token}}"}}
        service = {"baseURL": "https://api.example.com", "auth": auth, **said.pop("service", {})}
        create = {"method": "POST", "bodyTemplate": "{}", **said.pop("create", {})}
        operations = {
            "list": {
                "method": "GET",
                "records": ["data"],
                "queryParams": {"page": {"type": "Integer"}, "size": {"type": "Integer"}},
                **said,
            },
            "create": create,
        }
        fields = [{"name": "id", "type": "String"}]
        resource = {"handle": "things", "endpoint": "/things", "fields": fields, "operations": operations}
        text = json.dumps({"handle": "demo", "service": service, "resources": [resource]})
        (self.folder / "demo.json").write_text(text)
        return Runtime(
            self.folder,
            secrets={"demo": {"token": TOKEN, "password": "correct horse"}},
            transport=httpx2.MockTransport(handle),
            environ={},
            clock=lambda: 1_700_000_000.0,
            sleep=sleep,
        )


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(tmp_path)


def serve_pages(request: httpx2.Request, *, of: int = 5) -> httpx2.Response:
    """Things 0 to `of`, two on a page."""
    page = int(request.url.params.get("page", "0"))
    data = [{"id": str(number)} for number in range(of)[page * 2 : page * 2 + 2]]
    return httpx2.Response(200, json={"data": data, "total": of})


def serve_circle(request: httpx2.Request) -> httpx2.Response:
    number = int(request.url.params.get("n", "0"))
    return httpx2.Response(200, json={"data": [{"id": str(number)}], "next": f"/things?n={1 - number}"})


async def read(runtime: Runtime, **settings: Any) -> list[Any]:
    async with runtime:
        return [record["id"] async for record in runtime.records("demo", "things.list", {}, **settings)]


async def test_the_records_of_all_pages_come_one_by_one(demo: Demo) -> None:
    assert await read(demo.open(serve_pages, pagination=BY_PAGE)) == ["0", "1", "2", "3", "4"]
    assert [request.url.query for request in demo.asked] == [b"", b"page=1", b"page=2"]
    assert {request.headers["authorization"] for request in demo.asked} == {f"Bearer {TOKEN}"}


async def test_pages_come_with_their_results(demo: Demo) -> None:
    async with demo.open(serve_pages, pagination=BY_PAGE) as rt:
        results = [result async for result in rt.pages("demo", "things.list", {"page": 1})]
    assert [len(result.records or ()) for result in results] == [2, 1, 0]
    assert [(result.truncated, result.warnings) for result in results] == [(False, ())] * 3


async def test_without_pagination_there_is_one_page(demo: Demo) -> None:
    async with demo.open(lambda _: httpx2.Response(200, json={"id": "a"})) as rt:
        results = [result async for result in rt.pages("demo", "things.create", {})]
    assert [result.fields for result in results] == [{"id": "a"}]


async def test_a_limit_on_pages_is_told_by_the_last(demo: Demo) -> None:
    async with demo.open(serve_pages, pagination=BY_PAGE) as rt:
        results = [result async for result in rt.pages("demo", "things.list", {}, max_pages=2)]
    assert [result.truncated for result in results] == [False, True]
    assert results[-1].warnings == ("there are more records; it ended after 2 pages",)
    assert await read(demo.open(serve_pages, pagination=BY_PAGE), max_pages=1) == ["0", "1"]


async def test_a_list_without_end_is_an_error_where_nobody_said_how_many_pages(demo: Demo) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        page = request.url.params.get("page", "0")
        return httpx2.Response(200, json={"data": [{"id": page}, {"id": page}], "total": None})

    with pytest.raises(MappingError, match="there are more than 1000 pages"):
        await read(demo.open(answer, pagination=BY_PAGE))
    assert len(demo.asked) == 1000


async def test_a_single_call_says_whether_there_are_more_pages(demo: Demo) -> None:
    async with demo.open(serve_pages, pagination=BY_PAGE) as rt:
        assert (await rt.call("demo", "things.list", {})).truncated is True
        assert (await rt.call("demo", "things.list", {"page": 3})).truncated is False
    async with demo.open(lambda _: httpx2.Response(200, json={"data": [], "next": "ftp://x"}), pagination=BY_URL) as rt:
        assert (await rt.call("demo", "things.list", {})).truncated is True


async def test_a_page_that_leads_back_is_an_error(demo: Demo) -> None:
    with pytest.raises(MappingError, match="go in a circle: it leads to a page that was read already"):
        await read(demo.open(serve_circle, pagination=BY_URL))
    assert len(demo.asked) == 3


async def test_report_10_a_cursor_that_is_still_there_at_the_end_ends_the_walk(demo: Demo) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        data = [] if "after" in request.url.params else [{"id": "a"}]
        return httpx2.Response(200, json={"data": data, "next": ">7"})

    by_cursor = {"style": "cursor", "param": "after", "next": ["next"]}
    assert await read(demo.open(answer, pagination=by_cursor)) == ["a"]


@pytest.mark.parametrize("style", ["query", "body"])
async def test_report_11_a_scroll_with_one_cursor_is_read_to_its_end(demo: Demo, style: str) -> None:
    left = [{"data": [{"id": str(number)}], "scroll": "abc"} for number in (1, 2, 3)] + [{"data": [], "scroll": "abc"}]
    scroll = {"style": "cursor", "param": "scroll", "next": ["scroll"], "in": style}
    answer = demo.open(lambda _: httpx2.Response(200, json=left.pop(0)), pagination=scroll, method="POST")
    assert await read(answer) == ["1", "2", "3"]


async def test_a_circle_whose_bytes_differ_is_noticed_by_its_records(demo: Demo) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        number = int(request.url.params.get("n", "0"))
        document = {"data": [{"id": str(number)}], "next": f"/things?n={1 - number}", "at": len(demo.asked)}
        return httpx2.Response(200, json=document)

    with pytest.raises(MappingError, match="it leads to a page that was read already"):
        await read(demo.open(answer, pagination=BY_URL))
    assert len(demo.asked) == 5


async def test_report_35_a_status_beyond_the_last_page_ends_the_walk(demo: Demo) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        page = int(request.url.params.get("page", "1"))
        return httpx2.Response(404) if page > 2 else httpx2.Response(200, json={"data": [{"id": f"{page}a"}]})

    paging = {"style": "page", "param": "page", "end": {"statuses": [404]}}
    assert await read(demo.open(answer, pagination=paging)) == ["1a", "2a"]
    with pytest.raises(ResponseError, match="404"):
        await read(demo.open(answer, pagination={"style": "page", "param": "page"}))
    with pytest.raises(ResponseError, match="404"):  # a first page that is not there is not the end of a list
        await read(demo.open(lambda _: httpx2.Response(404), pagination=paging))


async def test_report_35_fewer_records_than_a_header_counts_are_reported(demo: Demo) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        data = [{"id": "a"}] if "page" not in request.url.params else []
        return httpx2.Response(200, json={"data": data}, headers={"X-Total-Count": "9"})

    paging = {"style": "page", "param": "page", "total": {"from": "headers", "selector": ["X-Total-Count"]}}
    async with demo.open(answer, pagination=paging) as rt:
        results = [result async for result in rt.pages("demo", "things.list", {})]
    assert results[-1].warnings == ("1 records came, where the provider counts 9",)


@pytest.mark.parametrize(
    ("following", "error"), [("ftp://x", MappingError), ("https://evil.example/", BlockedAddress), (5, MappingError)]
)
async def test_report_32_the_records_of_a_page_come_before_the_error_of_the_next(
    demo: Demo, following: Any, error: type[Exception]
) -> None:
    answer = httpx2.Response(200, json={"data": [{"id": "a"}], "next": following})
    async with demo.open(lambda _: answer, pagination=BY_URL) as rt:
        records = rt.records("demo", "things.list", {})
        assert (await anext(records))["id"] == "a"
        with pytest.raises(error):
            await anext(records)


async def test_a_provider_that_does_not_know_the_parameter_is_noticed(demo: Demo) -> None:
    answer = httpx2.Response(200, json={"data": [{"id": "a"}, {"id": "b"}]})
    with pytest.raises(MappingError, match="two pages that follow each other are the same"):
        await read(demo.open(lambda _: answer, pagination=BY_PAGE))
    assert len(demo.asked) == 2


async def test_fewer_records_than_the_provider_counts_are_said_aloud(demo: Demo) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        data = [{"id": "a"}] if "page" not in request.url.params else []
        return httpx2.Response(200, json={"data": data, "total": 9})

    async with demo.open(answer, pagination=BY_PAGE) as rt:
        results = [result async for result in rt.pages("demo", "things.list", {})]
    assert results[-1].warnings == ("1 records came, where the provider counts 9",)


@pytest.mark.parametrize("where", ["http://169.254.169.254/latest", "https://evil.example/things", "//evil.example/x"])
async def test_T38_a_next_page_at_another_origin_is_refused(demo: Demo, where: str) -> None:
    answer = httpx2.Response(200, json={"data": [{"id": "a"}], "next": where})
    with pytest.raises(BlockedAddress, match="the next page would be at another origin"):
        await read(demo.open(lambda _: answer, pagination=BY_URL))
    assert [request.url.host for request in demo.asked] == ["api.example.com"]


async def test_T53_a_next_page_whose_address_holds_the_token_is_read_and_not_shown(demo: Demo) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        following = None if "k" in request.url.params else f"/things?k={TOKEN}"
        return httpx2.Response(200, json={"data": [{"id": "a"}], "next": following})

    async with demo.open(answer, pagination=BY_URL) as rt:
        results = [result async for result in rt.pages("demo", "things.list", {})]
    assert demo.asked[1].url.params["k"] == TOKEN
    assert TOKEN not in repr(results)


async def test_a_list_that_declares_no_pagination_and_has_more_says_so(demo: Demo) -> None:
    async with demo.open(serve_pages) as rt:
        result = await rt.call("demo", "things.list", {})
    assert result.warnings == ("these are not all records: total is 5, and the definition declares no `pagination`",)


async def test_P2_every_page_is_tried_again_by_itself(demo: Demo) -> None:
    failed: set[str] = set()

    def answer(request: httpx2.Request) -> httpx2.Response:
        if str(request.url) not in failed:
            failed.add(str(request.url))
            return httpx2.Response(503)
        return serve_pages(request)

    async with demo.open(answer, pagination=BY_PAGE) as rt:
        results = [result async for result in rt.pages("demo", "things.list", {})]
    assert [result.attempts for result in results] == [2, 2, 2]
    assert join_pages(results).attempts == 6


async def test_P1_a_429_that_lasts_is_an_error_with_its_wait(demo: Demo) -> None:
    answer = httpx2.Response(429, headers={"Retry-After": "7"}, json={"message": "slow down"})
    async with demo.open(lambda _: answer) as rt:
        with pytest.raises(RateLimited, match="slow down") as caught:
            await rt.call("demo", "things.create", {})
    assert (caught.value.retry_after, caught.value.result.attempts, demo.waits) == (7.0, 4, [7.0, 7.0, 7.0])


async def test_the_key_of_a_call_is_the_same_on_every_attempt_and_another_for_the_next(demo: Demo) -> None:
    failing = [True, False, False]

    def answer(request: httpx2.Request) -> httpx2.Response:
        if failing.pop(0):
            raise httpx2.ReadError("reset", request=request)
        return httpx2.Response(200, json={"id": "a"})

    async with demo.open(answer, create={"idempotent": {"header": "Idempotency-Key"}}) as rt:
        result = await rt.call("demo", "things.create", {})
        await rt.call("demo", "things.create", {})
    keys = [request.headers["idempotency-key"] for request in demo.asked]
    assert (result.attempts, keys[0] == keys[1], keys[1] == keys[2]) == (2, True, False)


async def test_K12_an_unanswered_call_that_is_not_idempotent_ends_unknown(demo: Demo) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadError("reset", request=request)

    async with demo.open(answer) as rt:
        with pytest.raises(UnknownOutcome, match="demo things.create: .*; the provider may have acted"):
            await rt.call("demo", "things.create", {})
    assert (len(demo.asked), demo.waits) == (1, [])


async def test_P2_a_connection_that_was_not_made_is_tried_again_for_every_method(demo: Demo) -> None:
    failing = [True, False]

    def answer(request: httpx2.Request) -> httpx2.Response:
        if failing.pop(0):
            raise httpx2.ConnectError("refused", request=request)
        return httpx2.Response(200, json={"id": "a"})

    async with demo.open(answer) as rt:
        assert (await rt.call("demo", "things.create", {})).attempts == 2


async def test_the_definition_says_where_the_providers_words_and_code_are_and_what_a_status_means(demo: Demo) -> None:
    errors = {"message": ["why", "text"], "code": ["why", "id"], "statuses": {"404": "there is no such thing"}}
    answer = httpx2.Response(404, json={"message": "not this", "why": {"text": "gone fishing", "id": 12}})
    async with demo.open(lambda _: answer, service={"errors": errors}) as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("demo", "things.create", {})
    error = caught.value
    assert error.message == "gone fishing (demo things.create answered 404)"
    assert (error.provider_code, error.hint) == ("12", "there is no such thing")


async def test_a_429_says_what_it_means_here_too(demo: Demo) -> None:
    errors = {"statuses": {"429": "the free plan has 5 calls a day"}, "retryAfter": "X-Rest"}
    answer = httpx2.Response(429, headers={"X-Rest": "900"}, json={})
    async with demo.open(lambda _: answer, service={"errors": errors}) as rt:
        with pytest.raises(RateLimited) as caught:
            await rt.call("demo", "things.create", {})
    assert caught.value.hint == "the free plan has 5 calls a day; wait 900 s"
    assert (caught.value.retry_after, caught.value.result.attempts) == (900.0, 1)


async def test_report_14_a_status_that_may_pass_is_tried_again_whatever_its_coding(demo: Demo) -> None:
    answers = [
        httpx2.Response(503, headers={"Content-Encoding": "br"}, stream=httpx2.ByteStream(b"x")),
        httpx2.Response(200, json={"data": []}),
    ]
    async with demo.open(lambda _: answers.pop(0)) as rt:
        assert (await rt.call("demo", "things.list", {})).attempts == 2


async def test_report_30_only_a_redirect_is_called_one(demo: Demo) -> None:
    async with demo.open(lambda _: httpx2.Response(304)) as rt:
        assert (await rt.call("demo", "things.list", {})).status == 304
    async with demo.open(lambda _: httpx2.Response(300, json={"message": "choose"})) as rt:
        with pytest.raises(ResponseError, match=r"choose \(demo things.list answered 300\)"):
            await rt.call("demo", "things.list", {})


@pytest.mark.parametrize("status", [200, 400, 403])
async def test_report_15_a_limit_that_the_body_reports_is_waited_for(demo: Demo, status: int) -> None:
    sign = {"selector": ["error", "errors", 0, "reason"], "in": ["rateLimitExceeded"]}
    limit = {"statuses": [200, 400, 403], "when": sign, "retryAfter": ["rest"], "unit": "ms", "wait": 9}
    refusal = {"error": {"errors": [{"reason": "rateLimitExceeded"}], "message": "slow down"}, "rest": 2000}
    answers = [httpx2.Response(status, json=refusal), httpx2.Response(200, json={"id": "a"})]
    async with demo.open(lambda _: answers.pop(0), service={"errors": {"limit": limit}}) as rt:
        assert (await rt.call("demo", "things.create", {})).fields == {"id": "a"}
    assert demo.waits == [2.0]
    async with demo.open(lambda _: httpx2.Response(status, json=refusal), service={"errors": {"limit": limit}}) as rt:
        with pytest.raises(RateLimited, match="slow down") as caught:
            await rt.call("demo", "things.create", {})
    assert caught.value.retry_after == 2.0
    other = httpx2.Response(403, json={"error": {"errors": [{"reason": "forbidden"}]}})
    async with demo.open(lambda _: other, service={"errors": {"limit": limit}}) as rt:
        with pytest.raises(ResponseError) as refused:
            await rt.call("demo", "things.create", {})
    assert not isinstance(refused.value, RateLimited)


async def test_T53_a_failure_inside_a_200_raises_and_hides_what_it_echoes(demo: Demo) -> None:
    errors = {"message": ["error"], "when": {"selector": ["ok"], "in": [False]}}
    # A user name is hidden in failures only, since in a success it is often data.
    auth = {"method": "basic", "params": {"username": "{{token}}", "password": "{{password}}"}}
    answer = httpx2.Response(200, json={"ok": False, "error": f"no such user: {TOKEN}"})
    async with demo.open(lambda _: answer, service={"errors": errors, "auth": auth}) as rt:
        with pytest.raises(ResponseError, match=r"no such user: \*\*\* \(demo things.create answered 200\)") as caught:
            await rt.call("demo", "things.create", {})
    assert (caught.value.status, caught.value.result.ok) == (200, False)


def test_the_pages_of_one_walk_are_one_result() -> None:
    first = Result(
        ok=True, status=200, fields=None, records=[{"id": "a"}], raw={"n": 1}, warnings=("x",), attempts=2, run="r"
    )
    last = Result(
        ok=True, status=200, fields=None, records=[{"id": "b"}], raw={"n": 2}, warnings=("x", "y"), truncated=True
    )
    joined = join_pages([first, last])
    assert (joined.records, joined.raw) == ([{"id": "a"}, {"id": "b"}], [{"n": 1}, {"n": 2}])
    assert (joined.warnings, joined.attempts, joined.run, joined.truncated) == (("x", "y"), 3, "r", True)
    alone = Result(ok=True, status=204)
    assert join_pages([alone]) == alone
