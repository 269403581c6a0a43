"""How a list of a specification goes on, told by the names of parameters and members that the field has settled on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from connector.openapi.answers import SpecAnswer
from connector.openapi.document import Flat, Specification, is_number, members
from connector.openapi.inputs import read_type

_SIZES = (
    "page_size",
    "pageSize",
    "per_page",
    "perPage",
    "limit",
    "size",
    "page[size]",
    "page[limit]",
    "count",
    "top",
    "$top",
    "max_results",
    "maxResults",
)
_PAGES = ("page", "page_number", "pageNumber", "page[number]", "pageNum", "p")
_OFFSETS = ("offset", "skip", "$skip", "start", "page[offset]", "startAt", "start_index", "startIndex")
_CURSORS = (
    *(
        "cursor",
        "page_token",
        "pageToken",
        "next_page_token",
        "nextPageToken",
        "next_token",
        "nextToken",
        "next_cursor",
    ),
    *("after", "page[after]", "page[cursor]", "start_cursor", "startCursor", "continuation_token", "continuationToken"),
    *("marker", "pageCursor", "page_cursor", "PageToken", "NextToken", "start_key"),
)
_NEXT_CURSORS = (
    *(
        "next_cursor",
        "nextCursor",
        "next_page_token",
        "nextPageToken",
        "next_token",
        "nextToken",
        "NextToken",
        "cursor",
    ),
    *(
        "end_cursor",
        "endCursor",
        "continuation_token",
        "continuationToken",
        "next_marker",
        "nextMarker",
        "after",
        "next",
    ),
)
_LAST_IDS = ("starting_after", "startingAfter", "after_id", "since_id")
_NEXT_URLS = (
    "next_url",
    "nextUrl",
    "next_page_url",
    "nextPageUrl",
    "next_page_uri",
    "next_link",
    "nextLink",
    "@odata.nextLink",
    "next",
)
_TOTALS = ("total", "total_count", "totalCount", "total_results", "totalResults", "count")
_MORE = ("has_more", "hasMore", "has_next", "hasNext", "has_next_page", "hasNextPage")
_BLOCKS = ("pagination", "paging", "meta", "page_info", "pageInfo", "response_metadata", "links", "_links")


def find_pagination(
    spec: Specification, answer: SpecAnswer, where: str, query: Mapping[str, Flat], body: Mapping[str, Flat]
) -> dict[str, Any] | None:
    """How a list goes on, told by its parameters (`query`, members of a `body`) and its answer; None if it does not."""
    document = spec.flat(answer.schema, where)
    size = next((name for name in _SIZES if name in query), "")
    sized: dict[str, Any] = {"sizeParam": size} if size else {}
    default = query[size].get("default") if size else None
    if isinstance(default, int) and not isinstance(default, bool) and default > 0:
        sized["size"] = default
    if (total := _find(spec, document, where, _TOTALS, ("integer",))) is not None:
        sized["total"] = total
    more = _find(spec, document, where, _MORE, ("boolean",))
    flags = {} if more is None else {"hasMore": more}
    for places, param in ((query, "query"), (body, "body")):
        cursor = next((name for name in _CURSORS if name in places), None)
        following = _find(spec, document, where, _NEXT_CURSORS, ("string", "integer", None)) if cursor else None
        if cursor and following is not None:
            inside = {"in": "body"} if param == "body" else {}
            return {"style": "cursor", "param": cursor, **inside, "next": following, **flags}
    last = next((name for name in (*_LAST_IDS, "after") if name in query), None)
    if last and flags and answer.root is not None:
        return {"style": "cursor", "param": last, "last": ["id"], **flags}
    page = next(
        (name for name in _PAGES if name in query and read_type(query[name]) in ("Integer", "Number", "String")), None
    )
    if page:
        first = query[page].get("default", query[page].get("minimum", 1))
        start = {"start": 0} if first == 0 and is_number(first) else {}
        return {"style": "page", "param": page, **start, **sized, **flags}
    offset = next((name for name in _OFFSETS if name in query and read_type(query[name]) == "Integer"), None)
    if offset:
        return {"style": "offset", "param": offset, **sized, **flags}
    if answer.has_link:
        return {"style": "link"}
    following = _find(spec, document, where, _NEXT_URLS, ("string",))
    if following is not None and answer.root:
        return {"style": "next_url", "next": following}
    return None


def _find(
    spec: Specification, document: Flat, where: str, names: Sequence[str], types: Sequence[str | None]
) -> list[str] | None:
    """The selector of the first of some members, at the top of an answer or in one of the usual blocks of it."""
    properties = document.get("properties", {})
    places: list[tuple[list[str], Mapping[str, Any]]] = [([], properties)]
    for name, each in islice(members(properties), 50):
        inner = spec.flat(each, where)
        if inner.get("type") == "object" and "properties" in inner:
            usual = name in _BLOCKS
            places.insert(1 if usual else len(places), ([name], inner["properties"]))
    for name in names:
        for path, known in places:
            if name in known and spec.flat(known[name], where).get("type") in types:
                return [*path, name]
    return None
