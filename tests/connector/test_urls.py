"""URLs: origins in one form, host parts, and values that stay in their segment or query value."""

from __future__ import annotations

import re
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.urls import (
    check_base_url,
    encode_host_part,
    encode_literal,
    encode_query,
    encode_segment,
    encode_segments,
    has_dot_segment,
    origin_of,
    stays_within,
)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.mistral.ai/v1", "https://api.mistral.ai"),
        ("HTTPS://API.Example.COM.:443/v1", "https://api.example.com"),
        ("http://localhost:80", "http://localhost"),
        ("http://127.0.0.1:9000/v1", "http://127.0.0.1:9000"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("https://xn--pple-43d.com", "https://xn--pple-43d.com"),
        ("https://a_b.example", "https://a_b.example"),
    ],
)
def test_an_origin_has_one_form(url: str, expected: str) -> None:
    assert expected == origin_of(url)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://api.mistral.ai@evil.example/", id="T30-userinfo"),
        pytest.param("https://api.mistral.ai:443@evil.example/", id="T30-port and userinfo"),
        pytest.param("https://api.mistral.ai\\@evil.example/", id="T30-backslash"),
        pytest.param("https://аpple.com", id="T40-Cyrillic"),
        pytest.param("https://mistral。ai", id="T40-ideographic full stop"),
        pytest.param("file:///etc/passwd", id="T39-file"),
        pytest.param("gopher://h/", id="T39-gopher"),
        pytest.param("https://h:99999", id="T39-port"),
        "https://h:0",
        "https://h:x",
        "https://[::1",
        "https://",
        "https:///v1",
        "//h/v1",
        "https://h /v1",
        "https://h\t/v1",
        "https://h%2f/v1",
        "https://h../v1",
        "https://-h",
    ],
)
def test_a_url_that_two_readers_could_take_differently_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL|host"):
        origin_of(url)


def test_a_base_url_loses_its_trailing_slash_and_nothing_else() -> None:
    assert check_base_url("https://H.example:443/v1/") == "https://h.example/v1"


@pytest.mark.parametrize("url", ["https://h/v1?x=1", "https://h/#f"])
def test_a_base_url_holds_no_query_and_no_fragment(url: str) -> None:
    with pytest.raises(ValueError, match="no query and no fragment"):
        check_base_url(url)


@pytest.mark.parametrize("rest", ["", "/v1", "?a=b"])
def test_what_is_appended_stays_within_the_origin(rest: str) -> None:
    assert stays_within("https://api.mistral.ai" + rest, "https://api.mistral.ai")


@pytest.mark.parametrize("rest", ["@evil.example/", ".evil.example/", ":443@evil.example", "\\@evil.example/", "x"])
def test_T30_what_would_extend_the_host_does_not_stay_within(rest: str) -> None:
    assert not stays_within("https://api.mistral.ai" + rest, "https://api.mistral.ai")


def test_T29_another_url_does_not_stay_within() -> None:
    assert not stays_within("https://evil.example/x", "https://api.mistral.ai")


@pytest.mark.parametrize("value", ["my-shop", "a.b", "A1"])
def test_a_host_part_is_letters_digits_dots_and_hyphens(value: str) -> None:
    assert value == encode_host_part(value)


@pytest.mark.parametrize("value", ["", "a/b", "a@b", "a:1", "-a", "a-", "a..b", ".", "a\n", "ä"])
def test_T30_a_host_part_that_would_change_the_host_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="expected letters"):
        encode_host_part(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("../../admin", "..%2F..%2Fadmin", id="T20"),
        pytest.param("%2e%2e%2fadmin", "%252e%252e%252fadmin", id="T21"),
        pytest.param("..%2fbatch", "..%252fbatch", id="T21-half"),
        pytest.param("a/b", "a%2Fb", id="T22-slash"),
        pytest.param("a\\..\\b", "a%5C..%5Cb", id="T22-backslash"),
        pytest.param("a;x=1", "a%3Bx%3D1", id="T22-parameter"),
        pytest.param("a?x=1", "a%3Fx%3D1", id="T22-query"),
        pytest.param("a#f", "a%23f", id="T22-fragment"),
        pytest.param(" a ", "%20a%20", id="T22-spaces"),
        pytest.param("．．／", "%EF%BC%8E%EF%BC%8E%EF%BC%8F", id="T23-full width"),
        ("file-1_2.x~y", "file-1_2.x~y"),
    ],
)
def test_a_value_is_one_encoded_segment(value: str, expected: str) -> None:
    assert expected == encode_segment(value)


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_T19_a_segment_that_would_vanish_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        encode_segment(value)


@pytest.mark.parametrize(
    "value", ["a\r\nHost: x", "a\tb", "a\0", "a\x7f", "a\x85b", "a\u202eb", "a\u2066b", "a\u200fb", "a\u2028b"]
)
def test_T23_hidden_characters_in_a_segment_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="control or text-reordering"):
        encode_segment(value)


def test_several_segments_are_encoded_one_by_one() -> None:
    assert encode_segments("a b/c?d") == "a%20b/c%3Fd"


@pytest.mark.parametrize("value", ["a/../b", "a//b", "/a", "."])
def test_several_segments_hold_no_dots_and_none_empty(value: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        encode_segments(value)


def test_T24_a_query_value_stays_one_value() -> None:
    assert encode_query("a&page_size=999#f b") == "a%26page_size%3D999%23f%20b"


def test_fixed_text_keeps_its_escapes() -> None:
    assert encode_literal("/a b/%2F/é") == "/a%20b/%2F/%C3%A9"


@pytest.mark.parametrize("path", ["/..", "/a/./b", "/%2e%2E/x", ".."])
def test_a_dot_segment_is_seen_through_its_escapes(path: str) -> None:
    assert has_dot_segment(path)


@pytest.mark.parametrize("path", ["/a..b", "/...", "/", ""])
def test_dots_within_a_segment_are_no_dot_segment(path: str) -> None:
    assert not has_dot_segment(path)


@given(st.text())
def test_a_segment_comes_back_as_it_was_and_stays_one(value: str) -> None:
    try:
        encoded = encode_segment(value)
    except ValueError:
        return
    assert value == urllib.parse.unquote(encoded)
    assert re.fullmatch(r"(?:[A-Za-z0-9\-._~]|%[0-9A-F]{2})+", encoded)
