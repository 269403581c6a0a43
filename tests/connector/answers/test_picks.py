"""A value is picked from the body of an answer, its headers or its status."""

from __future__ import annotations

from connector.answers.pagination import Page
from connector.answers.picks import Pick
from connector.headers import Headers
from connector.messages import Request, Response
from connector.selectors import Selector

PAGE = Page(
    request=Request("GET", "https://api.example.com/v1/things"),
    response=Response(206, Headers({"X-Total-Count": "7"})),
    document={"total": 3, "x-total-count": 4},
    records=(),
    seen=0,
)


def test_each_part_of_an_answer_has_its_values() -> None:
    header = Pick(Selector.from_json(["x-total-count"]), "headers")
    body = Pick(Selector.from_json(["total"]))
    status = Pick(None, "status")
    assert [pick.find(PAGE) for pick in (header, body, status)] == ["7", 3, 206]


def test_a_document_alone_holds_what_is_in_the_body() -> None:
    header = Pick(Selector.from_json(["x-total-count"]), "headers")
    body = Pick(Selector.from_json(["total"]))
    status = Pick(None, "status")
    assert [pick.find_one(PAGE.document) for pick in (header, body, status)] == [None, 3, None]
