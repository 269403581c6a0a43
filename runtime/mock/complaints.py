"""What is wrong with a value that was sent: Complaint, which compares a text or JSON value with the expected one.

`checks` compares a whole request with the templates of its operation and uses this module. Everything is pure.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from connector.answers.mapping import read_json
from connector.errors import MappingError
from connector.headers import Headers
from connector.messages import Response
from connector.requests.trees import ListStyle
from connector.strict_json import same_json
from connector.templates import Placeholder, Slot, Template
from connector.types import to_text

_LIST_MARK = re.compile(r"\[[0-9]*\]")

Location = tuple[str | int, ...]
Pairs = Sequence[tuple[str, str]]


class Unreadable(ValueError):
    """The body is not of its declared kind."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing wrong with a request; `location` begins with `path`, `query`, `header` or `body`."""

    location: Location
    message: str
    type: str

    def as_json(self) -> dict[str, Any]:
        """The entry of a validation error, in the form that FastAPI made usual."""
        return {"loc": list(self.location), "msg": self.message, "type": self.type}


def plain_lists(pairs: Pairs, lists: ListStyle) -> Pairs:
    """The pairs with the names of lists as they are where a name is only repeated."""
    if lists == "repeat":
        return pairs
    return [(_LIST_MARK.sub("", name), text) for name, text in pairs]


def list_complaints(placeholder: Placeholder, found: Sequence[str], where: Location) -> Iterator[Complaint]:
    """A list whose elements travel under one name."""
    try:
        placeholder.read([as_option(placeholder, text) for text in found])
    except ValueError as error:
        yield Complaint(where, str(error), "list_parsing")


def as_option(placeholder: Placeholder, value: Any) -> Any:
    """The option that a text stands for, where the options are not all text."""
    return next(
        (option for option in placeholder.options if isinstance(value, str) and to_text(option) == value), value
    )


def text_fits(template: Template, text: str) -> bool:
    """True if the text is the template with some value in each slot.

    Each fixed part is taken where it is first found, which decides it in linear time.
    """
    place, floating, last = 0, False, len(template.parts) - 1
    for index, part in enumerate(template.parts):
        if isinstance(part, Slot):
            floating = True
        elif floating and index == last:
            return text.endswith(part) and len(text) - len(part) >= place
        else:
            start = text.find(part, place) if floating else place
            if start < 0 or not text.startswith(part, start):
                return False
            place, floating = start + len(part), False
    return floating or place == len(text)


def xml_values(template: Template, text: str) -> Iterator[tuple[str, str]]:
    """The values in a document as they are escaped, up to the first whose end the fixed text does not show.

    An escaped value holds neither `<` nor a quote, so what follows it in the template ends it.
    """
    place = 0
    for part, following in itertools.zip_longest(template.parts, template.parts[1:], fillvalue=""):
        if isinstance(part, str):
            place += len(part)
            continue
        end = text.find(following[0], place) if isinstance(following, str) and following[:1] in ("<", '"', "'") else -1
        if end < 0:
            return
        yield part.name, text[place:end]
        place = end


def differences(expected: Any, value: Any, where: Location) -> Iterator[Complaint]:
    """A JSON value against a fixed one."""
    if isinstance(expected, dict) and isinstance(value, dict):
        for name in expected:
            if name in value:
                yield from differences(expected[name], value[name], (*where, name))
            else:
                yield Complaint((*where, name), "field required", "missing")
        for name in value:
            if name not in expected:
                yield Complaint((*where, name), "no such field", "extra_forbidden")
    elif isinstance(expected, list) and isinstance(value, list) and len(expected) == len(value):
        for place, pair in enumerate(zip(expected, value, strict=True)):
            yield from differences(*pair, (*where, place))
    elif not same_json(expected, value):
        yield Complaint(where, f"expected {to_text(expected)!r}", "literal_error")


def read_json_body(headers: Headers, body: bytes) -> Any:
    """The JSON of a body; raises Unreadable."""
    try:
        return read_json(Response(200, headers, body))
    except MappingError:
        raise Unreadable("the body is not JSON that every reader understands alike") from None


def read_text(body: bytes) -> str:
    """The text of a body; raises Unreadable."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Unreadable("the body is not UTF-8") from None
