"""Recognises how a list of a specification is paged, by the usual names of parameters and members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from connector.answers.pagination import BLOCKS, MORE, TOTALS
from connector.openapi.answers import SpecAnswer
from connector.openapi.document import Flat, Specification, is_number, members
from connector.openapi.inputs import read_type
from connector.openapi.names import split_words

# Usual names, the most specific first, without case and separators: `pageSize`, `page_size`, `page[size]` are alike.
_SIZES = ("pagesize", "perpage", "limit", "size", "pagelimit", "count", "top", "maxresults")
_PAGES = ("page", "pagenumber", "pagenum", "p")
_OFFSETS = ("offset", "skip", "start", "pageoffset", "startat", "startindex")
_CURSORS = (
    *("cursor", "pagetoken", "nextpagetoken", "nexttoken", "nextcursor", "after", "pageafter", "pagecursor"),
    *("startcursor", "continuationtoken", "marker", "startkey"),
)
_NEXT_CURSORS = (
    *("nextcursor", "nextpagetoken", "nexttoken", "cursor", "endcursor", "continuationtoken", "nextmarker"),
    *("after", "next"),
)
_LAST_IDS = ("startingafter", "afterid", "sinceid", "after")
_NEXT_URLS = ("nexturl", "nextpageurl", "nextpageuri", "nextlink", "odatanextlink", "next")


def find_pagination(
    spec: Specification, answer: SpecAnswer, where: str, query: Mapping[str, Flat], body: Mapping[str, Flat]
) -> dict[str, Any] | None:
    """The pagination of a list by its parameters (`query`, members of a `body`) and its answer; None if it has none."""
    document = spec.flat(answer.schema, where)
    size = _first(query, _SIZES)
    sized: dict[str, Any] = {"sizeParam": size} if size else {}
    default = query[size].get("default") if size else None
    if isinstance(default, int) and not isinstance(default, bool) and default > 0:
        sized["size"] = default
    if (total := _find(spec, document, where, (*TOTALS, "count"), ("integer",))) is not None:
        sized["total"] = total
    more = _find(spec, document, where, MORE, ("boolean",))
    flags = {} if more is None else {"hasMore": more}
    for places, inside in ((query, {}), (body, {"in": "body"})):
        cursor = _first(places, _CURSORS)
        following = _find(spec, document, where, _NEXT_CURSORS, ("string", "integer", None)) if cursor else None
        if following is not None:
            return {"style": "cursor", "param": cursor, **inside, "next": following, **flags}
    last = _first(query, _LAST_IDS)
    if last and flags and answer.root is not None:
        return {"style": "cursor", "param": last, "last": ["id"], **flags}
    page = _first((name for name in query if read_type(query[name]) in ("Integer", "Number", "String")), _PAGES)
    if page:
        first = query[page].get("default", query[page].get("minimum", 1))
        start = {"start": 0} if first == 0 and is_number(first) else {}
        return {"style": "page", "param": page, **start, **sized, **flags}
    offset = _first((name for name in query if read_type(query[name]) == "Integer"), _OFFSETS)
    if offset:
        return {"style": "offset", "param": offset, **sized, **flags}
    if answer.has_link:
        return {"style": "link"}
    following = _find(spec, document, where, _NEXT_URLS, ("string",))
    return {"style": "next_url", "next": following} if following is not None and answer.root else None


def _written(known: Iterable[str]) -> dict[str, str]:
    """Names as they are written, by the usual name that they come to."""
    return {"".join(split_words(name)): name for name in reversed(list(known))}


def _first(known: Iterable[str], names: Sequence[str]) -> str | None:
    """The first of some usual names that is known, as it is written."""
    written = _written(known)
    return next((written[name] for name in names if name in written), None)


def _find(
    spec: Specification, document: Flat, where: str, names: Sequence[str], types: Sequence[str | None]
) -> list[str] | None:
    """The selector of the first of some members, at the top of an answer or in one of the usual blocks of it."""
    properties = document.get("properties", {})
    places: list[tuple[list[str], Mapping[str, Any]]] = [([], properties)]
    for name, each in islice(members(properties), 50):
        inner = spec.flat(each, where)
        if inner.get("type") == "object" and "properties" in inner:
            is_usual = name in (*BLOCKS, "links", "_links")
            places.insert(1 if is_usual else len(places), ([name], inner["properties"]))
    known = [(path, _written(name for name, _ in members(each)), each) for path, each in places]
    for wanted in _written(reversed(names)):
        for path, written, each in known:
            name = written.get(wanted, "")
            if name and spec.flat(each[name], where).get("type") in types:
                return [*path, name]
    return None
