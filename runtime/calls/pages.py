"""Walks through all pages of a list: the loop around `Pagination.next_request`, and where it stops.

A walk ends with the last page, at its limit, or with an error where it would go in a circle; a warning reports records
that are missing at the end. The caller passes the function that fetches a page.
The records of a page come before an error of the next one.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

from connector.answers.mapping import find_records
from connector.answers.pagination import Counted, Page, end_of, next_page
from connector.errors import BlockedAddress, MappingError, ResponseError
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
    circles = _Circles(operation, first)
    seen = 0
    for number in itertools.count(1):
        try:
            result, response, document = await fetch(request)
        except ResponseError as error:
            if number > 1 and pagination is not None and error.status in end_of(pagination).statuses:
                return
            raise
        if pagination is None:
            yield result
            return
        page = read_page(operation, request, response, document, seen)
        seen = page.seen
        circles.check(page)
        try:
            following = next_page(pagination, page)
        except (MappingError, BlockedAddress):
            # What was read is of use, whatever comes after it.
            yield result
            raise
        if following is None:
            total = pagination.total_of(page) if isinstance(pagination, Counted) else pagination.total(document)
            if total is not None and seen < total and pagination.at_start(first):
                said = f"{seen} records came, where the provider counts {total}"
                result = replace(result, warnings=(*result.warnings, said))
            yield result
            return
        circles.follow(page, following)
        if number >= max_pages:
            said = f"there are more records; it ended after {number} page{'s' if number != 1 else ''}"
            yield replace(result, truncated=True, warnings=(*result.warnings, said))
            return
        yield result
        # One page is let go before the next one is read, so that there are never two in memory.
        del result, response, document, page
        request = following


class _Circles:
    """The pages that were read, to notice one that is read again.

    The same request is not enough: a scroll sends one cursor for all of its pages, and each is another page.
    """

    def __init__(self, operation: Operation, first: Request) -> None:
        self._operation = operation
        self._asked = {first}
        self._bodies: set[bytes] = set()
        self._records: set[bytes] = set()
        self._before: bytes | None = None

    def check(self, page: Page) -> None:
        """Raises MappingError for a page with the bytes of the one before it."""
        if page.records and page.response.body == self._before:
            raise _circle(self._operation, page.request, "two pages that follow each other are the same")
        self._before = page.response.body

    def follow(self, page: Page, following: Request) -> None:
        """Notes what a page leads to; raises MappingError if that request and this page were there before."""
        body = hashlib.sha256(page.response.body).digest()
        if following in self._asked:
            # Bytes may differ, as by the time of the answer, where the records are the same.
            records = hashlib.sha256(repr(page.records).encode("utf-8", "surrogatepass")).digest()
            if body in self._bodies or records in self._records:
                raise _circle(self._operation, page.request, "it leads to a page that was read already")
            self._records.add(records)
        self._asked.add(following)
        self._bodies.add(body)


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
