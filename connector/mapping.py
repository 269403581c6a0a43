"""The way in: a Response becomes a Result through an operation's selectors; an inbound Request becomes an Event.

Reading is strict (what two readers could understand differently is refused), mapping is forgiving (what is missing is
None, what does not fit its type stays raw and is reported). Whether a status is an error to raise is the caller's.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.convertors import check_surrogates
from connector.definitions import Field, Operation, Webhook
from connector.errors import MappingError
from connector.messages import Event, Request, Response

#: Where the records of a list are looked for when the definition does not say (dialect rule 11).
USUAL_ROOTS = ("data", "items", "results", "records", "value", "entries")
#: Numbers that are infinite as a float or beyond 64 bits, and escapes of lone surrogates, leave these traces.
_SUSPECT = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}|\\u[dD][89a-fA-F]")
_LIMIT = 2**63
_SNIPPET = 200


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one call.

    `fields` are the mapped fields of one object, `records` those of each record of a list; the other one is None.
    `raw` is the whole answer as parsed (text where it is not JSON, None where it is empty). `request` is the request
    as it was sent, its secrets masked; `attempts` counts how often it was sent, `run` identifies the call.
    """

    ok: bool
    status: int
    fields: dict[str, Any] | None = None
    records: list[dict[str, Any]] | None = None
    raw: Any = None
    warnings: tuple[str, ...] = ()
    request: Request | None = None
    attempts: int = 1
    run: str = ""


@dataclass(slots=True)
class _Report:
    """What is worth saying about one answer: fields that did not fit, counted over all records."""

    unfit: dict[str, str] = field(default_factory=dict)

    def warnings(self) -> Iterator[str]:
        for name, message in self.unfit.items():
            yield f"field {name!r} stays raw: {message}"


def map_response(operation: Operation, response: Response) -> Result:
    """The answer through the operation's fields.

    Raises MappingError (`E_RESPONSE`) for a success that cannot be read: not JSON, not UTF-8, doubled keys, numbers
    that no float holds, a scalar where fields are selected. A failure (status outside 200–299) is never refused: its
    `raw` is whatever could be read.
    """
    if not 200 <= response.status < 300:  # noqa: PLR2004 - RFC 9110, section 15.3
        return Result(ok=False, status=response.status, raw=read_leniently(response))
    if response.status == 204 or operation.response == "empty" or not response.body.strip():  # noqa: PLR2004
        return Result(ok=True, status=response.status)
    if operation.response == "text":
        return Result(ok=True, status=response.status, raw=response.body.decode("utf-8", "replace"))
    return map_document(operation, response.status, read_json(response))


def map_document(operation: Operation, status: int, document: Any) -> Result:
    """A parsed answer through the operation's fields; raises MappingError for a scalar where fields are selected."""
    report = _Report()
    if not operation.fields:
        return Result(ok=True, status=status, raw=document)
    if operation.lists:
        rows, inferred = find_records(operation, document)
        if rows is not None:
            records = [map_fields(operation.fields, row, report) for row in rows]
            warnings = [*([inferred] if inferred else []), *report.warnings()]
            if rows and not any(_matched(record) for record in records):
                warnings.append(explain_nothing(operation.fields, rows[0], f"{len(rows)} records"))
            return Result(ok=True, status=status, records=records, raw=document, warnings=tuple(warnings))
    if not isinstance(document, (dict, list)):
        raise MappingError("the provider answered a single JSON value where fields are selected")
    fields = map_fields(operation.fields, document, report)
    warnings = list(report.warnings())
    if not _matched(fields):
        warnings.insert(0, explain_nothing(operation.fields, document))
    return Result(ok=True, status=status, fields=fields, raw=document, warnings=tuple(warnings))


def map_fields(fields: Sequence[Field], document: Any, report: _Report | None = None) -> dict[str, Any]:
    """Each field's value by its name, coerced to its type where that loses nothing."""
    mapped: dict[str, Any] = {}
    for each in fields:
        name, find, exact, multivalue = each.plan
        value = find(document)
        if multivalue:
            for element in value:
                if type(element) not in exact and element is not None:
                    value = [_fit(each, element, report) for element in value]
                    break
        elif type(value) not in exact and value is not None:
            value = _fit(each, value, report)
        mapped[name] = value
    return mapped


def _fit(each: Field, value: Any, report: _Report | None) -> Any:
    if value is None or type(value) in each.convertor.exact:
        return value
    if isinstance(value, list) and not each.multivalue and each.type != "Array":
        # A selector with "*" gives a list per level; its leaves are what has the type.
        return [_fit(each, element, report) for element in value]
    try:
        return each.convertor.read(value)
    except ValueError as error:
        if report is not None:
            report.unfit.setdefault(each.name, str(error))
        return value


def _matched(fields: Mapping[str, Any]) -> int:
    return sum(value is not None and value != [] for value in fields.values())


def find_records(operation: Operation, document: Any) -> tuple[list[Any] | None, str]:
    """The records of a list answer and, where their place was inferred, a sentence that says so (dialect rule 11).

    None in place of the records: the whole answer is one object.
    """
    if operation.records is not None:
        found = operation.records.find_one(document)
        if isinstance(found, list):
            return found, ""
        shown = "nothing" if found is None else "no list"
        return [], f"records: {shown} at {operation.records.text}"
    if isinstance(document, list):
        return document, ""
    if isinstance(document, dict):
        arrays = [name for name, value in document.items() if _is_record_list(value)]
        usual = [name for name in USUAL_ROOTS if isinstance(document.get(name), list)]
        name = arrays[0] if len(arrays) == 1 else next(iter(usual), None)
        if name is not None:
            return document[name], f"records: taken from $.{name}, since the definition does not declare `records`"
        return [document], "records: the whole answer is one record, since the definition does not declare `records`"
    return None, ""


def _is_record_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def explain_nothing(fields: Sequence[Field], document: Any, where: str = "") -> str:
    """Says that nothing matched and, if the fields match elsewhere, where (dialect rule 13).

    >>> explain_nothing(fields, {"data": [{"id": "a"}]})   # doctest: +SKIP
    '0 of 10 fields matched; 9 of 10 match at $.data[*]'
    """
    total = len(fields)
    best, root = 0, ""
    for path, candidate in _candidates(document):
        matched = _matched(map_fields(fields, candidate))
        if matched > best:
            best, root = matched, path
    said = f"0 of {total} fields matched" + (f" in {where}" if where else "")
    return f"{said}; {best} of {total} match at {root}" if best else said


def _candidates(document: Any, path: str = "$", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if isinstance(document, list) and document:
        yield f"{path}[*]", document[0]
        if depth < 2:  # noqa: PLR2004 - two levels of envelope are the deepest in the field
            yield from _candidates(document[0], f"{path}[*]", depth + 1)
    elif isinstance(document, dict) and depth < 2:  # noqa: PLR2004
        for name, value in document.items():
            if isinstance(value, dict):
                yield f"{path}.{name}", value
            yield from _candidates(value, f"{path}.{name}", depth + 1)


def read_json(response: Response) -> Any:
    """The body as JSON, strictly; raises MappingError with status, type and the first 200 bytes (hazards T47, T48).

    An integer beyond 64 bits is kept as its text. A byte order mark is allowed (RFC 8259, section 8.1).
    """
    body = response.body.removeprefix(b"\xef\xbb\xbf")
    suspect = _SUSPECT.search(body) is not None

    def refuse(reason: str) -> MappingError:
        shown = body[:_SNIPPET].decode("utf-8", "replace")
        kind = response.content_type or "no type"
        return MappingError(
            f"the provider's answer cannot be read: {reason} (status {response.status}, {kind}): {shown}",
            hint="the definition expects JSON; is this the right base URL?",
            response=response,
        )

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(members)
        if len(found) != len(members):
            raise refuse("a key stands twice in one object")
        return found

    def constant(name: str) -> Any:
        raise refuse(f"{name} is not JSON")

    def integer(digits: str) -> int | str:
        if len(digits) > 20:  # noqa: PLR2004 - longer than any 64-bit integer
            return digits
        number = int(digits)
        return number if -_LIMIT <= number < _LIMIT else digits

    def number(text: str) -> float:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise refuse("a number is too large")
        return value

    try:
        text = body.decode()
        if suspect:
            document = json.loads(
                text, object_pairs_hook=pairs, parse_constant=constant, parse_int=integer, parse_float=number
            )
            check_surrogates(json.dumps(document, ensure_ascii=False))
        else:
            document = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except UnicodeDecodeError:
        raise refuse("it is not UTF-8") from None
    except RecursionError:
        raise refuse("it nests too deeply") from None
    except json.JSONDecodeError as error:
        raise refuse(f"it is not JSON ({error.msg.lower()} at byte {error.pos})") from None
    except ValueError:
        raise refuse("a text holds an unpaired surrogate") from None
    return document


def read_leniently(response: Response) -> Any:
    """The body of a failure: parsed if it is JSON, else its text, else None."""
    if not response.body.strip():
        return None
    try:
        return read_json(response)
    except MappingError:
        return response.body.decode("utf-8", "replace")


def provider_message(raw: Any) -> str:
    """The provider's own words in the body of a failure, from the members that providers use; empty if none.

    Looks for `message`, `detail`, `error_description`, `error`, `title`, `errors`, nested ones too, and for the
    `{"loc", "msg"}` entries of a validation error.
    """
    if isinstance(raw, str):
        return " ".join(raw.split())[:_SNIPPET]
    if isinstance(raw, list):
        return "; ".join(text for item in raw[:5] if (text := provider_message(item)))
    if isinstance(raw, dict):
        if isinstance(raw.get("msg"), str):
            place = raw.get("loc")
            where = ".".join(map(str, place)) + ": " if isinstance(place, list) else ""
            return where + str(raw["msg"])
        for name in ("message", "error_description", "detail", "error", "errors", "title", "reason"):
            if text := provider_message(raw.get(name)):
                return text
    return ""


def map_event(webhook: Webhook, request: Request, *, now: datetime.datetime) -> Event:
    """An inbound request as an Event: its payload fields, and CloudEvents' attributes.

    The id is the sender's `webhook-id` where it is one, else made from the route, the body and the time. Raises
    MappingError for a body that is not JSON.
    """
    document = read_json(Response(200, request.headers, request.body or b""))
    given = request.headers.get("webhook-id", "")
    made = hashlib.sha256(b"\0".join((webhook.path.encode(), request.body or b"", now.isoformat().encode())))
    data = map_fields(webhook.payload, document)
    subject = data.get("id")
    return Event(
        id=given if re.fullmatch(r"[A-Za-z0-9_-]{1,128}", given) else f"evt_{made.hexdigest()[:32]}",
        source=f"/{webhook.connector}/default",
        type=webhook.id,
        subject=None if subject is None else str(subject),
        time=now.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z"),
        data=data,
    )
