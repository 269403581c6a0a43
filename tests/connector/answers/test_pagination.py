"""How a list goes on: every style over the cases of the suite, and what shows that a list has more."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from connector.answers.pagination import (
    PAGINATION_STYLES,
    Counted,
    ListEnd,
    Page,
    Pagination,
    end_of,
    explain_more,
    next_page,
    read_query,
    set_query,
)
from connector.errors import BlockedAddress, InvalidDefinition, MappingError
from connector.headers import Headers
from connector.messages import Request, Response
from connector.parsing.connectors import parse_connector

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "suite" / "pages.json").read_text("utf-8"))
URL = "https://api.example.com/v1/things"


def read_pagination(source: dict[str, Any]) -> Pagination | None:
    """A pagination as a whole definition has it."""
    operation = {"method": "GET", "records": ["data"], "pagination": source}
    resource = {"handle": "things", "endpoint": "/things", "operations": {"list": operation}}
    definition = {"handle": "demo", "service": {"baseURL": "https://api.example.com/v1"}, "resources": [resource]}
    return parse_connector(definition).operation("things.list").pagination


def read_page(case: dict[str, Any]) -> Page:
    source = case["request"]
    body = json.dumps(source["json"]).encode() if "json" in source else None
    request = Request(source["method"], source["url"], headers=Headers(source.get("headers", {})), body=body)
    document = case["answer"]["json"]
    records = document["data"] if isinstance(document, dict) else document
    response = Response(200, Headers(case["answer"].get("headers", {})), json.dumps(document).encode())
    return Page(
        request=request,
        response=response,
        document=document,
        records=tuple(records),
        seen=case.get("seen", len(records)),
    )


@pytest.mark.parametrize("case", [pytest.param(case, id=case["description"]) for case in CASES])
def test_a_page_leads_to_the_next(case: dict[str, Any]) -> None:
    pagination = read_pagination(case["pagination"])
    assert pagination is not None
    page = read_page(case)
    expected = case["next"]
    if expected in ("refused", "blocked"):
        with pytest.raises(MappingError if expected == "refused" else BlockedAddress, match=r"page|cursor|body"):
            next_page(pagination, page)
        return
    following = next_page(pagination, page)
    if expected is None:
        assert following is None
        return
    assert following is not None
    assert (expected["url"], case["request"]["method"]) == (following.url, following.method)
    assert Headers(expected.get("headers", case["request"].get("headers", {}))) == following.headers
    assert expected.get("json", case["request"].get("json")) == following.json


def test_every_style_has_a_case_in_the_suite() -> None:
    assert set(PAGINATION_STYLES) == {case["pagination"]["style"] for case in CASES}


def test_a_cursor_goes_into_a_form() -> None:
    pagination = read_pagination({"style": "cursor", "param": "cursor", "in": "body", "next": ["next"]})
    headers = Headers({"Content-Type": "application/x-www-form-urlencoded"})
    for body, expected in ((b"a=1&cursor=x&b=2", b"a=1&cursor=m%26&b=2"), (None, b"cursor=m%26")):
        request = Request("POST", URL, headers=headers, body=body)
        page = Page(request=request, response=Response(200), document={"next": "m&"}, records=(), seen=0)
        assert pagination is not None
        following = next_page(pagination, page)
        assert following is not None
        assert following.body == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"style": "pages", "param": "p"}, "unknown style of pagination 'pages'"),
        ({"style": "page"}, "`param` is the name of a parameter"),
        ({"style": "page", "param": ""}, "`param` is the name of a parameter"),
        ({"style": "page", "param": "p", "start": 2}, "`start` is the number of the first page"),
        ({"style": "page", "param": "p", "sizeParam": 5}, "`sizeParam` is the name of a parameter"),
        ({"style": "cursor", "param": "c"}, "a cursor is at `next`"),
        ({"style": "cursor", "param": "c", "next": ["a"], "last": ["b"]}, "a cursor is at `next`"),
        ({"style": "cursor", "param": "c", "next": ["a"], "in": "path"}, "`in` is one of query, body, header"),
        ({"style": "next_url"}, "`next` selects the address"),
        ({"style": "link", "end": {"is": 5}}, "`is` is the value of a `flag`"),
    ],
)
def test_a_pagination_that_cannot_work_is_refused_at_load(source: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        read_pagination(source)
    found = [problem for problem in caught.value.problems if problem.code == "E_PAGINATION"]
    assert [problem.message[: len(message)] for problem in found] == [message]
    assert found[0].pointer.startswith("/resources/0/operations/list/pagination")


@pytest.mark.parametrize(
    ("source", "option", "nearest"),
    [
        ({"style": "page", "param": "p", "cursor": ["next"]}, "cursor", "known: param, in, start"),
        ({"style": "page", "param": "p", "last": ["id"]}, "last", "known: param"),
        ({"style": "offset", "param": "p", "totalPages": ["n"]}, "totalPages", "did you mean 'total'?"),
        ({"style": "link", "param": "p"}, "param", "known: hasMore, end"),
        ({"style": "next_url", "next": ["n"], "size": 3}, "size", "known: next"),
        ({"style": "cursor", "param": "c", "next": ["n"], "total": ["n"]}, "total", "known: param"),
        ({"style": "link", "end": {"status": [404]}}, "status", "did you mean 'statuses'?"),
    ],
)
def test_an_option_that_a_style_does_not_know_is_refused(source: dict[str, Any], option: str, nearest: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        read_pagination(source)
    (found,) = (problem for problem in caught.value.problems if problem.code == "E_UNKNOWN_OPTION")
    assert found.pointer.endswith(f"/{option}")
    assert f"no option {option!r}; {nearest}" in found.message


@pytest.mark.parametrize(
    ("pick", "said"),
    [
        ({"from": "header", "selector": ["X-N"]}, "there is no 'header' here"),
        ({"from": "headers", "selector": ["a", "b"]}, "a header has one name"),
    ],
)
def test_a_pick_that_finds_nothing_is_refused(pick: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        read_pagination({"style": "page", "param": "p", "total": pick})
    assert said in [problem.message for problem in caught.value.problems if problem.code == "E_SELECTOR"]


def test_a_pick_without_a_selector_is_a_matter_of_shape() -> None:
    for pick in ({"from": "headers"}, {"from": "body", "selector": 5}):
        with contextlib.suppress(InvalidDefinition):
            counted = read_pagination({"style": "page", "param": "p", "total": pick})
            assert isinstance(counted, Counted)
            assert counted.total_at is None


def test_the_total_in_a_header_is_not_in_the_document() -> None:
    counted = read_pagination({"style": "page", "param": "p", "total": {"from": "headers", "selector": ["X-N"]}})
    assert isinstance(counted, Counted)
    assert counted.total({"X-N": 5}) is None


def test_a_number_goes_into_a_form_and_is_read_from_it() -> None:
    counted = read_pagination({"style": "page", "param": "page", "in": "body", "sizeParam": "n"})
    headers = Headers({"Content-Type": "application/x-www-form-urlencoded"})
    assert isinstance(counted, Counted)
    for body, expected in ((b"page=4&n=1", b"page=5&n=1"), (None, b"page=2")):
        request = Request("POST", URL, headers=headers, body=body)
        page = Page(request=request, response=Response(200), document={}, records=("a",), seen=1)
        following = counted.next_request(page)
        assert following is not None
        assert following.body == expected


def test_the_end_of_a_style_of_a_plug_in_is_its_own() -> None:
    class Range:
        """A style that declares no `end`."""

        def next_request(self, page: Page) -> Request | None:
            return page.request

        def total(self, document: Any) -> int | None:
            return None

        def at_start(self, request: Request) -> bool:
            return True

    assert end_of(Range()) == ListEnd()
    counted = read_pagination({"style": "page", "param": "p", "end": {"statuses": [404]}})
    assert counted is not None
    assert end_of(counted).statuses == {404}


def test_a_pagination_that_is_no_object_is_a_matter_of_shape() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        read_pagination("page")  # type: ignore[arg-type]
    assert [problem.pointer for problem in caught.value.problems] == ["/resources/0/operations/list/pagination"]


def test_the_first_page_and_the_total_are_known_where_they_can_be() -> None:
    counted = read_pagination({"style": "page", "param": "page", "start": 0, "total": ["total"]})
    assert counted is not None
    assert [counted.at_start(Request("GET", URL + query)) for query in ("", "?page=0", "?page=1")] == [
        True,
        True,
        False,
    ]
    assert [counted.total({"total": value}) for value in (5, "5", None, -1, True, 1.5)] == [
        5,
        5,
        None,
        None,
        None,
        None,
    ]
    plain = read_pagination({"style": "page", "param": "page"})
    assert plain is not None
    assert plain.total({"total": 5}) is None
    for source in ({"style": "link"}, {"style": "cursor", "param": "c", "next": ["n"]}):
        other = read_pagination(source)
        assert other is not None
        assert (other.total({"total": 5}), other.at_start(Request("GET", URL))) == (None, True)


@pytest.mark.parametrize(
    ("document", "headers", "said"),
    [
        ({"data": [], "has_more": True}, {}, "has_more is true"),
        ({"data": [], "has_more": False}, {}, ""),
        ({"data": [], "hasNextPage": True}, {}, "hasNextPage is true"),
        ({"data": [], "total": 3}, {}, "total is 3"),
        ({"data": [], "total": 2}, {}, ""),
        ({"data": [], "total": "many"}, {}, ""),
        ({"data": [], "pagination": {"has_more": True}}, {}, "pagination.has_more is true"),
        ({"data": [], "meta": {"total_count": 9}}, {}, "meta.total_count is 9"),
        ({"data": [], "meta": "x"}, {}, ""),
        ([], {"Link": '<https://x.example/?p=2>; rel="next"'}, "its Link header names a next page"),
        ([], {"Link": '<https://x.example/?p=2>; rel="prev"'}, ""),
        ("text", {}, ""),
    ],
)
def test_what_shows_that_a_list_has_more_is_seen(document: Any, headers: dict[str, str], said: str) -> None:
    assert explain_more(document, Headers(headers), 2) == said


def test_a_query_parameter_is_read_and_set_under_its_decoded_name() -> None:
    assert read_query(URL + "?a%5Bb%5D=1+2&c", "a[b]") == "1 2"
    assert read_query(URL + "?c", "c") == ""
    assert read_query(URL, "c") is None
    assert set_query(URL + "?a%5Bb%5D=1&c&a[b]=2", "a[b]", "3") == URL + "?a%5Bb%5D=3&c"


@pytest.mark.parametrize(
    ("source", "query", "records"),
    [
        ({"style": "page", "param": "page", "start": 0, "sizeParam": "size", "size": 3}, "", "abc"),
        ({"style": "page", "param": "page", "start": 0, "sizeParam": "size", "size": 3}, "?page=1&size=2", "cd"),
        ({"style": "page", "param": "page"}, "", "abcdef"),
        ({"style": "page", "param": "page", "size": 4}, "?page=2", "ef"),
        ({"style": "offset", "param": "skip", "size": 4}, "?skip=3", "def"),
        ({"style": "offset", "param": "skip"}, "?skip=3", "def"),
    ],
)
def test_a_request_asks_for_a_window_of_the_list(source: dict[str, Any], query: str, records: str) -> None:
    counted = read_pagination(source)
    assert isinstance(counted, Counted)
    assert "abcdef"[counted.window(Request("GET", URL + query))] == records
