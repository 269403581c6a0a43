"""How a list goes on: every style over the cases of the suite, and what shows that a list has more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connector.answers.pagination import (
    PAGINATION_STYLES,
    Counted,
    Page,
    Pagination,
    explain_more,
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
            pagination.next_request(page)
        return
    following = pagination.next_request(page)
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
        following = pagination.next_request(page)
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
    ],
)
def test_a_pagination_that_cannot_work_is_refused_at_load(source: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        read_pagination(source)
    found = [problem for problem in caught.value.problems if problem.code == "E_PAGINATION"]
    assert [problem.message[: len(message)] for problem in found] == [message]
    assert found[0].pointer.startswith("/resources/0/operations/list/pagination")


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
