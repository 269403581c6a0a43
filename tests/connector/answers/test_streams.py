"""Decoders of streams: fed in any pieces they give the same messages, within their limit."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.answers.streams import STREAM_KINDS, Message


def decode(kind: str, data: bytes, cuts: tuple[int, ...] = (), limit: int = 1000) -> list[Message]:
    """The messages of a stream whose bytes come in pieces that end at `cuts`."""
    decoder = STREAM_KINDS[kind](limit)
    ends = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(ends)]
    return [*(message for piece in pieces for message in decoder.feed(piece)), *decoder.finish()]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"data: a\n\n", [Message(b"a")], id="LF"),
        pytest.param(b"data: a\r\n\r\n", [Message(b"a")], id="CR LF"),
        pytest.param(b"data: a\r\rdata: b\r\r", [Message(b"a"), Message(b"b")], id="CR"),
        pytest.param(b"data: a\ndata: b\n\n", [Message(b"a\nb")], id="several lines"),
        pytest.param(b"data:a\n\ndata:  b\n\n", [Message(b"a"), Message(b" b")], id="one space is left out"),
        pytest.param(b"data\n\n", [Message(b"")], id="no colon"),
        pytest.param(b"event: x\nid: 7\ndata: a\n\ndata: b\n\n", [Message(b"a", "x", "7"), Message(b"b", "", "7")]),
        pytest.param(b"id: a\0b\ndata: a\n\n", [Message(b"a")], id="an id with NUL"),
        pytest.param(b": comment\nretry: 5\n\nevent: x\n\ndata: a\n\n", [Message(b"a")], id="no data"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [Message(b"a")], id="byte order mark"),
        pytest.param(
            b"data: a\n\ndata: b\n",
            [Message(b"a"), Message(b"b", whole=False)],
            id="report_09, the last one lacks its end",
        ),
        pytest.param(b"event: x\ndata: b", [Message(b"b", "x", whole=False)], id="report_09, no end of line"),
        pytest.param(b"data: a\n\n: comment", [Message(b"a")], id="a last comment"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_server_sent_events_are_read_as_the_standard_says(data: bytes, expected: list[Message]) -> None:
    assert expected == decode("sse", data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a":1}\n{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
        (b'{"a":1}\r\n\r\n{"a":2}', [b'{"a":1}', b'{"a":2}']),
        (b'{"a":\r1}\n', [b'{"a":\r1}']),
        (b" \n", []),
    ],
)
def test_documents_stand_one_a_line(data: bytes, expected: list[bytes]) -> None:
    assert expected == [message.data.strip() for message in decode("ndjson", data)]


@pytest.mark.parametrize("kind", STREAM_KINDS)
@given(
    data=st.lists(st.sampled_from([b"data: a", b"event: x", b'{"a":1}', b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b":"])),
    cuts=st.lists(st.integers(0, 40)),
)
def test_how_the_bytes_are_cut_changes_nothing(kind: str, data: list[bytes], cuts: list[int]) -> None:
    joined = b"".join(data)
    inside = tuple(cut for cut in cuts if cut <= len(joined))
    assert decode(kind, joined, inside) == decode(kind, joined)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        pytest.param("sse", b"data: " + b"x" * 20 + b"\n\n", id="T44-one line"),
        pytest.param("sse", b"data: xxxx\n" * 5 + b"\n", id="T44-many lines"),
        pytest.param("sse", b"x" * 20, id="T44-no end"),
        pytest.param("ndjson", b"x" * 20, id="T44-a document without end"),
    ],
)
def test_a_message_beyond_the_limit_is_refused(kind: str, data: bytes) -> None:
    with pytest.raises(ValueError, match="larger than 16 bytes"):
        decode(kind, data, tuple(range(0, len(data), 4)), limit=16)
    with pytest.raises(ValueError, match="larger than 16 bytes"):
        decode(kind, data + b"\n", limit=16)


@pytest.mark.parametrize("kind", STREAM_KINDS)
def test_any_number_of_messages_within_the_limit_passes(kind: str) -> None:
    line = b"data: 1\n\n" if kind == "sse" else b"1\n"
    assert len(decode(kind, line * 50, limit=10)) == 50


def test_a_cr_lf_may_be_cut_in_half() -> None:
    data = b"data: a\r\ndata: b\r\n\r\n"
    assert decode("sse", data, tuple(range(len(data)))) == [Message(b"a\nb")]
