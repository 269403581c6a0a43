"""Pagination: one class per style of paging, in one table.

A style is stateless: from the page that was read it makes the request for the next one, or None after the last. The
runtime stops lists that repeat a request or have too many pages.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from connector.answers.picks import Pick
from connector.errors import BlockedAddress, MappingError, OptionError, check_options, takes
from connector.headers import Headers, find_link
from connector.messages import Request, Response, without_query
from connector.protocols import Pagination
from connector.selectors import Selector
from connector.strict_json import same_json
from connector.types import to_text
from connector.urls import encode_query, encode_reference, origin_of

#: Compiles the pick at a key of the block, or of a block within it; None where there is none.
ReadSelector = Callable[..., Pick | None]
#: The usual members of answers for the number of records, for the flag that there are more, and for an object of these.
TOTALS = ("total", "total_count", "totalCount", "total_results", "totalResults")
MORE = ("has_more", "hasMore", "has_next", "hasNext", "has_next_page", "hasNextPage", "is_truncated", "IsTruncated")
_FLAGS = {"true": True, "false": False, "1": True, "0": False}
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


@dataclass(frozen=True, slots=True)
class Parameter:
    """What chooses a page: a query parameter, a header, or a member of the body (dots lead into its objects)."""

    name: str
    place: str = "query"

    PLACES: ClassVar = ("query", "body", "header")

    @classmethod
    def from_json(cls, source: Mapping[str, Any], key: str = "param") -> Self:
        """Reads the name at a key, and the place at `in`; raises ValueError."""
        place = source.get("in", "query")
        if place not in cls.PLACES:
            raise ValueError(f"`in` is one of {', '.join(cls.PLACES)}")
        return cls(_text(source, key), place)

    def read(self, request: Request) -> Any:
        """Returns the value in a request, or None."""
        if self.place == "query":
            return read_query(request.url, self.name)
        if self.place == "header":
            return request.headers.get(self.name)
        if _is_form(request):
            return read_query(f"?{request.text or ''}", self.name)
        return Selector.from_json(self.name.split(".")).find_one(request.json) if request.body else None

    def put(self, page: Page, value: Any) -> Request:
        """Returns the request of a page with a value; any JSON value fits into a JSON body. Raises MappingError."""
        request = page.request
        if self.place == "body" and not _is_form(request):
            return replace(request, body=to_text(self._filled(page, value)).encode())
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise _unusable(page, "the cursor is neither text nor a number")
        text = to_text(value)
        if self.place == "query":
            return replace(request, url=set_query(request.url, self.name, text))
        if self.place == "body":
            return replace(request, body=_set_pair(request.text or "", self.name, text).encode())
        if not text.isascii() or not text.isprintable():
            raise _unusable(page, "the cursor cannot stand in a header")
        return replace(request, headers=request.headers.replacing(self.name, text))

    def _filled(self, page: Page, value: Any) -> Any:
        document = {} if page.request.body is None else page.request.json
        if not isinstance(document, dict):
            raise _unusable(page, "the body of the request is not a JSON object, so no cursor can be put into it")
        *outer, name = self.name.split(".")
        inside = document
        for step in outer:
            inside = inside.setdefault(step, {})
            if not isinstance(inside, dict):
                raise _unusable(page, f"{step!r} in the body of the request is not an object")
        inside[name] = value
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEnd:
    """The signs of a last page that every style knows: `hasMore`, and what `end` declares.

    `statuses` are those of the answer to a request beyond the last page. `flag` selects a value that equals `value` on
    the last page. With `empty` a page without records is the last one, whatever else it holds.
    """

    has_more: Pick | None = None
    statuses: frozenset[int] = frozenset()
    flag: Pick | None = None
    value: Any = True
    empty: bool = False

    KEYS: ClassVar = ("statuses", "flag", "is", "empty")

    @classmethod
    def from_json(cls, source: Mapping[str, Any], read: ReadSelector) -> Self:
        """Reads `hasMore` and `end` of a pagination block; raises OptionError."""
        end = source.get("end")
        end = end if isinstance(end, Mapping) else {}
        check_options(end, cls.KEYS, "end")
        statuses = end.get("statuses")
        statuses = frozenset(each for each in statuses if isinstance(each, int)) if isinstance(statuses, list) else ()
        flag = read("flag", "end")
        if "is" in end and flag is None:
            raise OptionError("end", "`is` is the value of a `flag`, which is missing")
        return cls(
            has_more=read("hasMore"),
            statuses=frozenset(statuses),
            flag=flag,
            value=end.get("is", True),
            empty=end.get("empty") is True,
        )

    def is_met(self, page: Page) -> bool | None:
        """Returns True for the last page, False if there are more, None if neither is known."""
        if self.empty and not page.records:
            return True
        more = read_flag(self.has_more.find(page)) if self.has_more is not None else None
        if more is False:
            return True
        if self.flag is not None:
            found = self.flag.find(page)
            if isinstance(self.value, bool):
                found = read_flag(found)
            if same_json(found, self.value):
                return True
            more = more or found is not None
        return False if more else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Paging by number: `style: page` counts pages from `start`, `style: offset` counts records from `start`.

    The signs of the last page are, in this order: `end`, a page without records, the `total`, the number of all pages,
    a page with fewer than `size` records.
    """

    param: Parameter
    start: int
    by_records: bool
    size_param: Parameter | None = None
    size: int | None = None
    total_at: Pick | None = None
    pages_at: Pick | None = None
    end: ListEnd = ListEnd()

    @classmethod
    @takes("param", "in", "start", "sizeParam", "size", "total", "totalPages", "hasMore", "end")
    def pages(cls, source: Mapping[str, Any], read: ReadSelector) -> Self:
        """`style: page`; raises ValueError."""
        return cls._read(source, read, start=1, by_records=False)

    @classmethod
    @takes("param", "in", "start", "sizeParam", "size", "total", "hasMore", "end")
    def offsets(cls, source: Mapping[str, Any], read: ReadSelector) -> Self:
        """`style: offset`; raises ValueError."""
        return cls._read(source, read, start=0, by_records=True)

    @classmethod
    def _read(cls, source: Mapping[str, Any], read: ReadSelector, *, start: int, by_records: bool) -> Self:
        size, start = source.get("size"), source.get("start", start)
        if start not in (0, 1):
            raise ValueError(f"`start` is the number of the first {'record' if by_records else 'page'}: 0 or 1")
        return cls(
            param=Parameter.from_json(source),
            start=start,
            by_records=by_records,
            size_param=Parameter.from_json(source, "sizeParam") if source.get("sizeParam", "") != "" else None,
            size=size if isinstance(size, int) and size > 0 else None,
            total_at=read("total"),
            pages_at=read("totalPages"),
            end=ListEnd.from_json(source, read),
        )

    def next_request(self, page: Page) -> Request | None:
        """Returns the request with the next number, or None after the last page."""
        if self._is_last(page):
            return None
        return self.param.put(page, self._number(page.request) + (len(page.records) if self.by_records else 1))

    def total(self, document: Any) -> int | None:
        """Returns the selected number; None if it is not in the body."""
        return _count(self.total_at.find_one(document)) if self.total_at is not None else None

    def total_of(self, page: Page) -> int | None:
        """Returns the number of all records that a page or its head specifies, or None."""
        return _count(self.total_at.find(page)) if self.total_at is not None else None

    def at_start(self, request: Request) -> bool:
        """Returns True for the first number, or none."""
        return self._number(request) == self.start

    def window(self, request: Request) -> slice:
        """Returns which records of a whole list are in the answer to a request."""
        size = self._requested_size(request) or self.size
        number = self._number(request) - self.start
        first = number if self.by_records else number * (size or 0)
        return slice(first, None if size is None else first + size)

    def _number(self, request: Request) -> int:
        number = _count(self.param.read(request))
        return self.start if number is None else number

    def _requested_size(self, request: Request) -> int | None:
        return _count(self.size_param.read(request)) if self.size_param is not None else None

    def _is_last(self, page: Page) -> bool:
        met = self.end.is_met(page)
        if met is not None:
            return met
        if not page.records:
            return True
        total = self.total_of(page)
        if total is not None:
            return page.seen >= total
        pages = _count(self.pages_at.find(page)) if self.pages_at is not None else None
        if pages is not None:
            return self._number(page.request) - self.start + 1 >= pages
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
    """Paging by a mark: the value at `following` in the answer, or at `last` in its last record, is sent as `param`."""

    param: Parameter
    following: Pick | None = None
    last: Pick | None = None
    end: ListEnd = ListEnd()

    @classmethod
    @takes("param", "in", "next", "last", "hasMore", "end")
    def from_json(cls, source: Mapping[str, Any], read: ReadSelector) -> Self:
        """`style: cursor`; raises ValueError."""
        following, last = read("next"), read("last")
        if (following is None) == (last is None):
            raise ValueError("a cursor is at `next` in the answer or at `last` in its last record: name one of them")
        param = Parameter.from_json(source)
        return cls(param=param, following=following, last=last, end=ListEnd.from_json(source, read))

    def next_request(self, page: Page) -> Request | None:
        """The request with the next mark."""
        met = self.end.is_met(page)
        if met or (self.last is not None and not page.records):
            return None
        if self.following is not None:
            mark = self.following.find(page)
        else:
            assert self.last is not None  # noqa: S101 - one of the two is there (`from_json`)
            mark = self.last.find_one(page.records[-1])
        if mark in (None, "", False, [], {}):
            if self.following is not None and met is None:
                return None
            raise _unusable(page, "there is more, but the answer holds no cursor that leads to it")
        return self.param.put(page, mark)


@dataclass(frozen=True, slots=True)
class NextURL(_Uncounted):
    """Paging by address: the URL of the next page is in the Link header of an answer or at `place` in it.

    The URL must have the origin of the request (hazard T38).
    """

    #: None for the Link header.
    place: Pick | None = None
    end: ListEnd = ListEnd()

    @classmethod
    @takes("hasMore", "end")
    def link(cls, source: Mapping[str, Any], read: ReadSelector) -> Self:
        """`style: link` (RFC 8288)."""
        return cls(end=ListEnd.from_json(source, read))

    @classmethod
    @takes("next", "hasMore", "end")
    def from_json(cls, source: Mapping[str, Any], read: ReadSelector) -> Self:
        """`style: next_url`; raises ValueError."""
        place = read("next")
        if place is None:
            raise ValueError("`next` selects the address of the next page")
        return cls(place, ListEnd.from_json(source, read))

    def next_request(self, page: Page) -> Request | None:
        """Returns the same request to the next URL, or None after the last page."""
        if self.end.is_met(page):
            return None
        if self.place is None:
            target: Any = find_link(page.response.headers, "next")
        else:
            target = self.place.find(page)
        if target in (None, "", False):
            return None
        if not isinstance(target, str):
            raise _unusable(page, "the address of the next page is not a text")
        try:
            url = urllib.parse.urldefrag(urllib.parse.urljoin(page.request.url, encode_reference(target.strip()))).url
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


def next_page(pagination: Pagination, page: Page) -> Request | None:
    """Returns the request for the next page, or None after the last one; raises as `Pagination.next_request`.

    A page without records that leads to itself is the last one: some providers repeat the cursor at the end.
    """
    following = pagination.next_request(page)
    return None if following == page.request and not page.records else following


def end_of(pagination: Pagination) -> ListEnd:
    """Returns the signs of the last page that a style knows; a plug-in's may have none."""
    end = getattr(pagination, "end", None)
    return end if isinstance(end, ListEnd) else ListEnd()


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
                if read_flag(block.get(name)):
                    return f"{prefix}{name} is true"
            for name in TOTALS:
                total = _count(block.get(name))
                if total is not None and total > shown:
                    return f"{prefix}{name} is {total}"
    return ""


def read_flag(value: Any) -> bool | None:
    """Returns a flag as providers write it: a boolean, `true` and `false` as text, 1 and 0; None for other values."""
    if isinstance(value, str):
        value = _FLAGS.get(value.strip().lower())
    return bool(value) if isinstance(value, (bool, int)) else None


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


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded")


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
