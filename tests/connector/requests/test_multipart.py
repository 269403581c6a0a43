"""Multipart bodies: no value and no name of a file changes their structure; files stay sources."""

from __future__ import annotations

import email.parser
import email.policy
from email.message import EmailMessage
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.messages import Stream
from connector.requests.multipart import MultipartBody
from connector.requests.trees import BodyOptions, SlotUse
from connector.templates import TemplateSyntaxError, Unrenderable

UPLOAD = {"purpose": "{{purpose}}", "file": {"$file": "{{file}}", "filename": "{{name}}", "contentType": "{{type}}"}}
TEXTS = st.text(st.characters(codec="utf-8"))


def encode(template: Any, options: BodyOptions | None = None, **values: Any) -> Stream:
    return MultipartBody.from_json(template, options or BodyOptions(frozenset(), frozenset({"file"}))).encode(values)


def read(stream: Stream) -> list[tuple[str | None, str | None, str, bytes]]:
    """Each part as Python's own reader of MIME sees it: name, filename, type, content."""
    body = b"".join(stream.pieces)
    whole = b"Content-Type: " + stream.content_type.encode() + b"\r\n\r\n" + body
    message = email.parser.BytesParser(EmailMessage, policy=email.policy.HTTP).parsebytes(whole)
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_content_type(),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    ]


def test_values_and_files_are_parts() -> None:
    found = read(encode(UPLOAD, purpose="batch", file=b"\x00\xff", name="a.csv", type="text/csv"))
    assert found == [("purpose", None, "text/plain", b"batch"), ("file", "a.csv", "text/csv", b"\x00\xff")]


def test_T18_what_was_not_supplied_is_left_out() -> None:
    assert read(encode(UPLOAD, purpose="x")) == [("purpose", None, "text/plain", b"x")]
    assert encode(UPLOAD).pieces[-1].endswith(b"--\r\n")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"x", "file"),
        ("text", "file"),
        (7, "file"),
    ],
)
def test_a_file_in_memory_is_named_after_its_part(value: Any, name: str) -> None:
    assert read(encode({"file": "{{file}}"}, file=value))[0][:3] == (name, name, "application/octet-stream")


def test_a_list_repeats_its_part_and_an_object_has_one_for_each_member() -> None:
    options = BodyOptions(frozenset({"tags"}), lists="brackets")
    found = read(encode('{"tags": {{tags}}, "meta": {"a": "{{a}}"}}', options, tags=["x", "y"], a=1))
    assert [(part[0], part[3]) for part in found] == [("tags[]", b"x"), ("tags[]", b"y"), ("meta[a]", b"1")]


def test_a_path_stays_a_source_and_gives_its_name() -> None:
    path = PurePosixPath("/somewhere/report.csv")
    stream = encode({"file": "{{file}}"}, file=path)
    assert path in stream.pieces
    assert stream.delimiter in stream.pieces[0]
    assert b'filename="report.csv"' in stream.pieces[0]
    assert stream.repeatable


@given(st.lists(TEXTS, min_size=2, max_size=4), TEXTS)
def test_T13_no_value_adds_or_ends_a_part(values: list[str], hostile: str) -> None:
    template = {f"p{place}": f"{{{{v{place}}}}}" for place in range(len(values))}
    given = {f"v{place}": value for place, value in enumerate([*values[:-1], hostile])}
    stream = encode(template, **given)
    body = b"".join(stream.pieces)
    assert body.count(b"\r\n" + stream.delimiter) == len(values)
    for value in given.values():
        assert value.encode() + b"\r\n" + stream.delimiter in body


def test_the_boundary_of_one_body_is_none_in_another() -> None:
    first = encode(UPLOAD, purpose="x")
    copied = encode(UPLOAD, purpose=b"".join(first.pieces).decode())
    assert copied.delimiter not in copied.pieces[1]


def test_the_same_values_give_the_same_body() -> None:
    assert encode(UPLOAD, purpose="x", file=b"y") == encode(UPLOAD, purpose="x", file=b"y")


@pytest.mark.parametrize("name", ['a"b', "a\r\nX-Evil: 1", "a\nb", "a\\", "a\0b", "a;b"])
def test_T26_the_name_of_a_file_stays_in_its_quotes(name: str) -> None:
    head = encode(UPLOAD, file=b"x", name=name).pieces[0]
    assert head.count(b"\r\n") == 4  # delimiter, disposition, type, and an empty line
    disposition = head.split(b"\r\n")[1]
    assert disposition.count(b'"') == 4
    assert not any(char in disposition for char in b"\0\n\\")


def test_T26_a_type_with_a_line_break_is_refused() -> None:
    with pytest.raises(Unrenderable, match="line break") as caught:
        encode(UPLOAD, file=b"x", type="text/csv\r\nX-Evil: 1")
    assert caught.value.name == "type"


def test_a_fixed_type_with_a_line_break_is_refused() -> None:
    with pytest.raises(Unrenderable):
        encode({"f": {"$file": "{{file}}", "contentType": "a\nb"}}, file=b"x")


def test_fixed_parts_are_sent_as_they_are() -> None:
    assert [(part[0], part[3]) for part in read(encode({"a": "1", "b": True}))] == [("a", b"1"), ("b", b"true")]


@pytest.mark.parametrize(
    "template",
    [
        "[1]",
        '"{{x}}"',
        '{"$if": "x", "a": 1}',
        '{"{{k}}": 1}',
        {"f": {"$file": "a{{file}}"}},
        {"f": {"$file": "{{file}}", "x": 1}},
    ],
)
def test_a_template_without_parts_is_refused_at_load(template: Any) -> None:
    with pytest.raises(TemplateSyntaxError):
        MultipartBody.from_json(template)


def test_a_body_tells_its_placeholders() -> None:
    assert list(MultipartBody.from_json(UPLOAD).uses()) == [
        SlotUse("purpose", "bare"),
        SlotUse("file", "file"),
        SlotUse("name", "bare"),
        SlotUse("type", "bare"),
    ]
    assert list(MultipartBody.from_json({"a": {"$file": "{{f}}"}}).uses()) == [SlotUse("f", "file")]


async def _pieces() -> Any:
    yield b""


def test_an_iterator_can_be_sent_only_once() -> None:
    stream = encode({"file": "{{file}}"}, file=_pieces())
    assert not stream.repeatable
    assert b"<content of " in stream.describe()


def test_a_path_is_shown_by_its_name_and_secrets_are_masked() -> None:
    stream = encode(UPLOAD, purpose="s3cret", file=Path("a.csv"))
    shown = stream.masked(["s3cret"])
    assert b"s3cret" not in shown.describe()
    assert b"<content of a.csv>" in shown.describe()
