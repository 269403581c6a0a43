"""Picks: where in an answer a value is taken from, for what is not a field of a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from connector.selectors import Selector

if TYPE_CHECKING:
    from connector.answers.pagination import Page

#: Where a value may be.
PLACES: Final = ("body", "headers", "status")


@dataclass(frozen=True, slots=True)
class Pick:
    """A value in the body of an answer, in one of its headers, or its status."""

    selector: Selector | None
    place: str = "body"

    def find_one(self, document: Any) -> Any:
        """Returns the value in a document; None if it is missing, or not in the body."""
        return self.selector.find_one(document) if self.selector is not None and self.place == "body" else None

    def find(self, page: Page) -> Any:
        """Returns the value on a page or in its head; None if it is missing."""
        if self.selector is None:
            return page.response.status
        if self.place == "headers":
            return page.response.headers.get(self.selector.members[0])
        return self.selector.find_one(page.document)
