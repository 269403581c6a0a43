"""Files as text: base64, and `data:` URLs with the media type that the content shows."""

from __future__ import annotations

import base64

import pytest

from connector.parsing.connectors import parse_connector, read_connector
from connector.requests.build import build_request
from connector.types import FILE_ENCODINGS, find_media_type


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wave"),
        (b"%PDF-1.7", "application/pdf"),
        (b"hello", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_a_file_shows_its_media_type(content: bytes, media_type: str) -> None:
    assert find_media_type(content) == media_type
    assert FILE_ENCODINGS["data_url"](content) == f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def body_of(encoding: str, value: object) -> object:
    placeholders = [{"name": "file", "type": "File", "encoding": encoding}]
    operation = {"method": "POST", "bodyTemplate": {"value": {"a": "{{file}}"}, "placeholders": placeholders}}
    resource = {"handle": "a", "endpoint": "/a", "operations": {"do": operation}}
    source = {"handle": "demo", "service": {"baseURL": "https://api.example.com"}, "resources": [resource]}
    return build_request(parse_connector(source).operations["a.do"], {"file": value}, {}).json


def test_bytes_are_encoded_and_text_is_taken_as_it_is() -> None:
    assert body_of("base64", b"\xff\0") == {"a": "/wA="}
    assert body_of("data_url", b"%PDF-") == {"a": "data:application/pdf;base64,JVBERi0="}
    assert body_of("data_url", "https://example.com/a.png") == {"a": "https://example.com/a.png"}


@pytest.mark.parametrize(("kind", "encoding"), [("File", "rot13"), ("String", "base64")])
def test_an_encoding_is_one_of_the_table_and_of_a_file(kind: str, encoding: str) -> None:
    inputs = [{"name": "a", "type": kind, "meta": {"encoding": encoding}}]
    step = {"type": "http", "http": {"method": "POST", "path": "/a", "bodyTemplate": {"a": "{{a}}"}}}
    source = {
        "handle": "demo",
        "service": {"baseURL": "https://api.example.com"},
        "operations": [{"handle": "do", "input": inputs, "steps": [step]}],
    }
    found = read_connector(source)[1]
    assert [(each.code, each.pointer) for each in found] == [("E_ENCODING", "/operations/0/input/0/meta/encoding")]
