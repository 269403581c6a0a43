"""Walks through all pages of a list: the loop around `Pagination.next_request`, and where it stops.

A walk ends with the last page, at its limit, or with an error where it would go in a circle; a warning reports records
that are missing at the end. The caller passes the function that fetches a page.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

from connector.answers.mapping import find_records
from connector.answers.pagination import Page
from connector.errors import MappingError
from connector.messages import Request, Response, Result
from connector.model.definition import Operation

#: The default limit of pages.
MAX_PAGES = 1000

#: Fetches one page: the mapped result, and the answer as it came.
Fetch = Callable[[Request], Awaitable[tuple[Result, Response, object]]]


async def walk(
    operation: Operation, first: Request, fetch: Fetch, *, max_pages: int = MAX_PAGES
) -> AsyncIterator[Result]:
    """The result of each page, from that of the `first` request on.

    The last one is `truncated` if there are more than `max_pages`, and has a warning if there were fewer records than
    the provider counted. Raises MappingError where the provider leads in a circle, and as `fetch` and `next_request`.
    """
    pagination = operation.pagination
    request = first
    asked = {first}
    before: bytes | None = None
    seen = 0
    for number in itertools.count(1):
        result, response, document = await fetch(request)
        if pagination is None:
            yield result
            return
        page = read_page(operation, request, response, document, seen)
        seen = page.seen
        if page.records and response.body == before:
            raise _circle(operation, request, "two pages that follow each other are the same")
        before = response.body
        following = pagination.next_request(page)
        if following is None:
            total = pagination.total(document)
            if total is not None and seen < total and pagination.at_start(first):
                said = f"{seen} records came, where the provider counts {total}"
                result = replace(result, warnings=(*result.warnings, said))
            yield result
            return
        if following in asked:
            raise _circle(operation, request, "it leads to a page that was read already")
        asked.add(following)
        if number >= max_pages:
            said = f"there are more records; it ended after {number} page{'s' if number != 1 else ''}"
            yield replace(result, truncated=True, warnings=(*result.warnings, said))
            return
        yield result
        # One page is let go before the next one is read, so that there are never two in memory.
        del result, response, document, page
        request = following


def read_page(operation: Operation, request: Request, response: Response, document: object, seen: int = 0) -> Page:
    """An answer as a page, after `seen` records."""
    records = find_records(operation, document)[0] if isinstance(document, (dict, list)) else []
    return Page(request=request, response=response, document=document, records=tuple(records), seen=seen + len(records))


def join_pages(results: Sequence[Result]) -> Result:
    """The results of all pages of one walk as one; its `raw` is the list of theirs."""
    records = [record for result in results for record in result.records or ()]
    return replace(
        results[0],
        records=records if any(result.records is not None for result in results) else None,
        raw=[result.raw for result in results] if len(results) > 1 else results[0].raw,
        warnings=tuple(dict.fromkeys(said for result in results for said in result.warnings)),
        attempts=sum(result.attempts for result in results),
        truncated=results[-1].truncated,
    )


def _circle(operation: Operation, request: Request, reason: str) -> MappingError:
    return MappingError(
        f"the pages of the list go in a circle: {reason}",
        hint="see `pagination` in the definition, and whether the provider knows its parameters",
        operation=operation.label,
        request=request.masked(),
    )
