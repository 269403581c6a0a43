"""A multipart body taken apart: what the language makes is read back, and what is none is refused."""

from __future__ import annotations

import pytest

from connector.headers import Headers
from connector.requests.multipart import MultipartBody
from runtime.mock.parts import Part, read_parts

TYPED = Headers({"Content-Type": "multipart/form-data; boundary=b"})


def test_what_the_language_makes_is_read_back() -> None:
    stream = MultipartBody.from_json({"a": "{{a}}", "f": {"$file": "{{f}}", "filename": 'x"y'}}).encode(
        {"a": "1\r\n--", "f": b"\x00\r\n\r\n"}
    )
    found = read_parts(Headers({"Content-Type": stream.content_type}), b"".join(stream.pieces))
    assert found == [Part("a", None, b"1\r\n--"), Part("f", 'x"y', b"\x00\r\n\r\n")]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (Headers(), b"--b--\r\n"),
        (TYPED, b""),
        (TYPED, b"--b\r\n\r\nx"),
        (TYPED, b"junk\r\n--b--\r\n"),
        (TYPED, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
    ],
    ids=["no boundary", "nothing", "no end", "a preamble", "no name"],
)
def test_what_is_no_such_body_is_refused(headers: Headers, body: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        read_parts(headers, body)
