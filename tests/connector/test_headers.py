"""Header fields: found whatever the case, kept as written, and the Link header."""

from __future__ import annotations

import pytest

from connector.headers import Headers, find_link

CANARY = 'sk-"canary/é+%20'


def test_headers_are_found_whatever_their_case_and_kept_as_written() -> None:
    headers = Headers({"Content-Type": "a", "X-B": "b"})
    assert headers["content-TYPE"] == "a"
    assert list(headers) == ["Content-Type", "X-B"]
    assert len(headers) == 2
    assert headers.get("missing") is None


def test_a_repeated_header_has_its_values_joined() -> None:
    assert Headers([("Link", "a"), ("link", "b")])["LINK"] == "a, b"


def test_headers_are_equal_whatever_order_and_case() -> None:
    assert Headers.from_wire([(b"link", b"a"), (b"x", b"\xe9"), (b"link", b"b")]) == Headers({"Link": "a, b", "X": "é"})
    assert Headers({"A": "1", "B": "2"}) == Headers([("b", "2"), ("a", "1")])
    assert Headers({"A": "1"}) == {"a": "1"}
    assert Headers({"A": "1"}) != Headers({"A": "2"})
    assert Headers() != 5
    assert hash(Headers({"A": "1"})) == hash(Headers({"a": "1"}))


def test_headers_show_their_names_only() -> None:
    assert repr(Headers({"Authorization": CANARY, "X-A": "1"})) == "Headers(Authorization, X-A)"


def test_replacing_a_header_leaves_the_original_alone() -> None:
    headers = Headers({"X-A": "1", "B": "2"})
    assert headers.replacing("x-a", "3") == {"B": "2", "x-a": "3"}
    assert headers == {"X-A": "1", "B": "2"}


@pytest.mark.parametrize(
    "text", ["", "nonsense", "<", "<>", "<https://a.example", "; rel=next", "<a>; rel", "<a>;;;;rel=next", "<a>" * 99]
)
def test_a_link_header_that_is_none_names_no_link(text: str) -> None:
    assert find_link(Headers({"Link": text}), "next") is None


def test_T51_a_long_link_header_takes_no_time() -> None:
    for text in ("<a>" + "; x" * 100_000, "<a>; " * 100_000, '<a>; x="' + "\\" * 100_000, "<" * 100_000, ";" * 99_999):
        assert find_link(Headers({"Link": text}), "next") is None
