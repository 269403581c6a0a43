"""A multipart body taken apart again, as a provider would: what the mock looks at."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass

from connector.headers import Headers

_BOUNDARY = re.compile(r'boundary="?([^";]{1,70})"?')
_NAME = re.compile(r'[; ]name="([^"]*)"')
_FILENAME = re.compile(r'[; ]filename="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its name, the name of its file (None for a value), its content."""

    name: str
    filename: str | None
    content: bytes


def read_parts(headers: Headers, body: bytes) -> list[Part]:
    """The parts of a `multipart/form-data` body (RFC 7578); raises ValueError for a body that is none."""
    found = _BOUNDARY.search(headers.get("content-type", ""))
    if found is None:
        raise ValueError("the Content-Type names no boundary")
    delimiter = b"--" + found[1].encode()
    first, *rest = (b"\r\n" + body).split(b"\r\n" + delimiter)
    if first or not rest or rest[-1] != b"--\r\n":
        raise ValueError("the body does not end with its boundary")
    return [_read_part(each) for each in rest[:-1]]


def _read_part(text: bytes) -> Part:
    head, blank, content = text.partition(b"\r\n\r\n")
    fields = head.decode("utf-8", "replace")
    name, filename = _NAME.search(fields), _FILENAME.search(fields)
    if not blank or name is None:
        raise ValueError("a part has no name")
    return Part(urllib.parse.unquote(name[1]), None if filename is None else urllib.parse.unquote(filename[1]), content)
