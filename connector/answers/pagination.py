"""Pagination: one class per style of paging, in one table.

A style is stateless: from the page that was read it makes the request for the next one, or None after the last. The
runtime stops lists that repeat a request or have too many pages.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from connector.errors import BlockedAddress, MappingError
from connector.headers import Headers, find_link
from connector.messages import Request, Response, without_query
from connector.protocols import Pagination
from connector.selectors import Selector
from connector.types import to_text
from connector.urls import encode_query, origin_of

#: Compiles the selector at a key of a definition; None where there is none.
ReadSelector = Callable[[str], Selector | None]
#: The usual members of answers for the number of records, for the flag that there are more, and for an object of these.
TOTALS = ("total", "total_count", "totalCount", "total_results", "totalResults")
MORE = ("has_more", "hasMore", "has_next", "hasNext", "has_next_page", "hasNextPage", "is_truncated", "IsTruncated")
BLOCKS = ("pagination", "paging", "meta", "page_info", "pageInfo", "response_metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page that was read.

    `request` is the request of the page, before auth; `document` the parsed answer; `records` its records as the
    provider wrote them; `seen` the number of records so far, these included.
    """

    request: Request
    response: Response
    document: Any
    records: tuple[Any, ...]
    seen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Paging by number: `style: page` counts pages from `start`, `style: offset` counts records from 0.

    `param` and `size_param` are query parameters. The signs of the last page are, in this order: `has_more`, a page
    without records, the `total`, a page with fewer than `size`.
    """

    param: str
    start: int
    by_records: bool
    size_param: str = ""
    size: int | None = None
    total_at: Selector | None = None
    has_more: Selector | None = None

    @classmethod
    def pages(cls, source: Mapping[str, Any], read: ReadSelector) -> Self:
        """`style: page`; raises ValueError."""
        start = source.get("start", 1)
        if start not in (0, 1):
            raise ValueError("`start` is the number of the first page: 0 or 1")
        return cls._read(source, read, start=start, by_records=False)

    @classmethod
    def offsets(cls, source: Mapping[str, Any], read: ReadSelector) -> Self:
        """`style: offset`; raises ValueError."""
        return cls._read(source, read, start=0, by_records=True)

    @classmethod
    def _read(cls, source: Mapping[str, Any], read: ReadSelector, *, start: int, by_records: bool) -> Self:
        size = source.get("size")
        return cls(
            param=_text(source, "param"),
            start=start,
            by_records=by_records,
            size_param=_text(source, "sizeParam", ""),
            size=size if isinstance(size, int) and size > 0 else None,
            total_at=read("total"),
            has_more=read("hasMore"),
        )

    def next_request(self, page: Page) -> Request | None:
        """Returns the request with the next number, or None after the last page."""
        if self._is_last(page):
            return None
        number = self._number(page.request) + (len(page.records) if self.by_records else 1)
        return replace(page.request, url=set_query(page.request.url, self.param, str(number)))

    def total(self, document: Any) -> int | None:
        """Returns the selected number."""
        return _count(self.total_at.find_one(document)) if self.total_at is not None else None

    def at_start(self, request: Request) -> bool:
        """Returns True for the first number, or none."""
        return self._number(request) == self.start

    def window(self, request: Request) -> slice:
        """Returns which records of a whole list are in the answer to a request."""
        size = self._requested_size(request) or self.size
        number = self._number(request) - (0 if self.by_records else self.start)
        first = number if self.by_records else number * (size or 0)
        return slice(first, None if size is None else first + size)

    def _number(self, request: Request) -> int:
        number = _count(read_query(request.url, self.param))
        return self.start if number is None else number

    def _requested_size(self, request: Request) -> int | None:
        return _count(read_query(request.url, self.size_param)) if self.size_param else None

    def _is_last(self, page: Page) -> bool:
        more = self.has_more.find_one(page.document) if self.has_more is not None else None
        if isinstance(more, bool):
            return not more
        if not page.records:
            return True
        total = self.total(page.document)
        if total is not None:
            return page.seen >= total
        # A provider may return fewer than requested, so the smaller size decides, and no page is missed.
        sizes = [size for size in (self._requested_size(page.request), self.size) if size]
        return bool(sizes) and len(page.records) < min(sizes)


class _Uncounted:
    """A style whose requests do not show which page they are for, and whose answers do not count records."""

    __slots__ = ()

    def total(self, document: Any) -> int | None:  # noqa: ARG002 - the protocol's signature
        """Returns None: the number of records is not known."""
        return None

    def at_start(self, request: Request) -> bool:  # noqa: ARG002 - the protocol's signature
        """Returns True: any page may be the first."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor(_Uncounted):
    """Paging by a mark: the value at `following` in the answer, or at `last` in its last record, is sent as `param`.

    `place` is query, body or header; in a body dotted text leads into objects (`variables.after`).
    """

    param: str
    place: str
    following: Selector | None = None
    last: Selector | None = None
    has_more: Selector | None = None

    PLACES: ClassVar = ("query", "body", "header")

    @classmethod
    def from_json(cls, source: Mapping[str, Any], read: ReadSelector) -> Self:
        """`style: cursor`; raises ValueError."""
        following, last = read("next"), read("last")
        if (following is None) == (last is None):
            raise ValueError("a cursor is at `next` in the answer or at `last` in its last record: name one of them")
        place = source.get("in", "query")
        if place not in cls.PLACES:
            raise ValueError(f"`in` is one of {', '.join(cls.PLACES)}")
        return cls(param=_text(source, "param"), place=place, following=following, last=last, has_more=read("hasMore"))

    def next_request(self, page: Page) -> Request | None:
        """The request with the next mark."""
        more = self.has_more.find_one(page.document) if self.has_more is not None else None
        if more is False or (self.last is not None and not page.records):
            return None
        if self.following is not None:
            mark = self.following.find_one(page.document)
        else:
            assert self.last is not None  # noqa: S101 - one of the two is there (`from_json`)
            mark = self.last.find_one(page.records[-1])
        if mark in (None, "", False):
            if self.following is not None and more is not True:
                return None
            raise _unusable(page, "there is more, but the answer holds no cursor that leads to it")
        if not isinstance(mark, (str, int, float)) or isinstance(mark, bool):
            raise _unusable(page, "the cursor is neither text nor a number")
        return self._placed(page, mark)

    def _placed(self, page: Page, mark: str | float) -> Request:
        request = page.request
        if self.place == "query":
            return replace(request, url=set_query(request.url, self.param, to_text(mark)))
        if self.place == "header":
            text = to_text(mark)
            if not text.isascii() or not text.isprintable():
                raise _unusable(page, "the cursor cannot stand in a header")
            return replace(request, headers=request.headers.replacing(self.param, text))
        if request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
            return replace(request, body=_set_pair(request.text or "", self.param, to_text(mark)).encode())
        document = {} if request.body is None else request.json
        if not isinstance(document, dict):
            raise _unusable(page, "the body of the request is not a JSON object, so no cursor can be put into it")
        *outer, name = self.param.split(".")
        inside = document
        for step in outer:
            inside = inside.setdefault(step, {})
            if not isinstance(inside, dict):
                raise _unusable(page, f"{step!r} in the body of the request is not an object")
        inside[name] = mark
        return replace(request, body=to_text(document).encode())


@dataclass(frozen=True, slots=True)
class NextURL(_Uncounted):
    """Paging by address: the URL of the next page is in the Link header of an answer or at `selector` in its body.

    The URL must have the origin of the request (hazard T38).
    """

    #: None for the Link header.
    selector: Selector | None = None

    @classmethod
    def link(cls, source: Mapping[str, Any], read: ReadSelector) -> Self:  # noqa: ARG003 - one signature for all rows
        """`style: link` (RFC 8288)."""
        return cls()

    @classmethod
    def from_json(cls, source: Mapping[str, Any], read: ReadSelector) -> Self:  # noqa: ARG003 - one signature for all rows
        """`style: next_url`; raises ValueError."""
        selector = read("next")
        if selector is None:
            raise ValueError("`next` selects the address of the next page")
        return cls(selector)

    def next_request(self, page: Page) -> Request | None:
        """Returns the same request to the next URL, or None after the last page."""
        if self.selector is None:
            target: Any = find_link(page.response.headers, "next")
        else:
            target = self.selector.find_one(page.document)
        if target in (None, "", False):
            return None
        if not isinstance(target, str):
            raise _unusable(page, "the address of the next page is not a text")
        try:
            url = urllib.parse.urldefrag(urllib.parse.urljoin(page.request.url, target)).url
            away = origin_of(url) != origin_of(page.request.url)
        except ValueError as error:
            raise _unusable(page, f"the address of the next page cannot be used: {error}") from None
        if away:
            raise BlockedAddress(
                f"the next page would be at another origin: {without_query(url)}",
                hint="credentials stay at the origin of their connection; is its base URL the provider's own?",
                request=page.request.masked(),
            )
        return replace(page.request, url=url)


#: Every style by its name in a definition.
PAGINATION_STYLES: dict[str, Callable[[Mapping[str, Any], ReadSelector], Pagination]] = {
    "page": Counted.pages,
    "offset": Counted.offsets,
    "cursor": Cursor.from_json,
    "link": NextURL.link,
    "next_url": NextURL.from_json,
}


def explain_more(document: Any, headers: Headers, shown: int) -> str:
    """Returns the sign in an answer that a list has more pages: `has_more is true`; empty if there is none.

    For lists whose definition declares no pagination.
    """
    if "link" in headers and find_link(headers, "next") is not None:
        return "its Link header names a next page"
    if not isinstance(document, dict):
        return ""
    blocks = [("", document), *((f"{name}.", document[name]) for name in BLOCKS if name in document)]
    for prefix, block in blocks:
        if isinstance(block, dict):
            for name in MORE:
                if block.get(name) is True:
                    return f"{prefix}{name} is true"
            for name in TOTALS:
                total = _count(block.get(name))
                if total is not None and total > shown:
                    return f"{prefix}{name} is {total}"
    return ""


def read_query(url: str, name: str) -> str | None:
    """Returns the first value of a query parameter of a URL, or None."""
    for pair in url.partition("#")[0].partition("?")[2].split("&"):
        key, _, value = pair.partition("=")
        if urllib.parse.unquote_plus(key) == name:
            return urllib.parse.unquote_plus(value)
    return None


def set_query(url: str, name: str, value: str) -> str:
    """Returns the URL with one query parameter set; all others stay the same, byte for byte."""
    path, _, query = url.partition("?")
    return f"{path}?{_set_pair(query, name, value)}"


def _set_pair(text: str, name: str, value: str) -> str:
    pairs = []
    put = f"{encode_query(name)}={encode_query(value)}"
    for pair in filter(None, text.split("&")):
        if urllib.parse.unquote_plus(pair.partition("=")[0]) == name:
            # It stays in its place, once.
            pairs += [put] if put not in pairs else []
        else:
            pairs.append(pair)
    return "&".join(pairs if put in pairs else [*pairs, put])


def _text(source: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = source.get(key, default)
    if not isinstance(value, str) or (default is None and not value):
        raise ValueError(f"`{key}` is the name of a parameter")
    return value


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _unusable(page: Page, message: str) -> MappingError:
    return MappingError(message, hint="see `pagination` in the definition", request=page.request.masked())
