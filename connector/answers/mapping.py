"""Maps answers: a Response becomes a Result through an operation's selectors, and a message of a stream a Chunk.

Reading is strict (documents that two readers could understand differently are refused), mapping is lenient (missing
values are None, values that do not fit their type stay raw and are reported). The caller decides which statuses raise.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from connector.answers.kinds import RESPONSE_KINDS, kind_of
from connector.answers.pagination import explain_more
from connector.answers.streams import MESSAGES_PER_TURN, STREAM_KINDS, Message, cut
from connector.errors import MappingError
from connector.messages import Chunk, Response, Result, mask, mask_answer
from connector.model.definition import Field, Operation, Unconverted
from connector.strict_json import BYTE_ORDER_MARK, parse_json
from connector.types import to_text

#: Members in which the records of a list are looked up if the definition does not declare them (language rule 11).
USUAL_ROOTS = ("data", "items", "results", "records", "value", "entries")
#: A result has at most this many values: records or messages times fields.
MAX_VALUES = 1_000_000
#: How many records are mapped before other tasks can run.
RECORDS_PER_TURN = 1000
#: A message counts as at least this many fields, since it has a value of its own.
_MESSAGE_FIELDS = 10
_SNIPPET = 200
#: How many places of an answer are tried when nothing matched.
_MAX_CANDIDATES = 500
#: The reason for a document that cannot contain fields.
SCALAR = "it is a single JSON value, where fields are selected"


@dataclass(slots=True)
class _Report:
    """The fields of one answer that did not fit their type, each with the first reason."""

    unfit: dict[str, str] = field(default_factory=dict)
    #: Those that are null because they could not be converted.
    unconverted: dict[str, str] = field(default_factory=dict)

    def warnings(self) -> Iterator[str]:
        for name, message in self.unfit.items():
            yield f"field {name!r} stays raw: {message}"
        for name, message in self.unconverted.items():
            yield f"field {name!r} is null: {message}"

    def __bool__(self) -> bool:
        return bool(self.unfit or self.unconverted)


def map_response(operation: Operation, response: Response) -> Result:
    """Maps an answer through the operation's fields.

    For a stream, `raw` is the list of its messages, and the fields are those of all messages together (`combine`).
    Raises MappingError (`E_RESPONSE`) for a success that cannot be read: not JSON, not UTF-8, duplicate keys, numbers
    beyond a float, a scalar where fields are selected, an unfinished stream, more values than one result may have.
    A failure (status outside 200–299) is never refused: its `raw` is whatever could be read. A 304 is a success without
    fields.
    """
    return _last(map_turns(operation, response))


def map_turns(operation: Operation, response: Response) -> Generator[None, None, Result]:
    """Maps as `map_response`, and yields wherever other tasks may run.

    The work between two turns is bounded, since a provider chooses how many records and messages its bytes hold.
    """
    result = yield from _map_body(operation, response)
    if result.ok and len(operation.body_fields) != len(operation.fields):
        return add_outer(operation.fields, result, {"headers": response.headers, "status": response.status})
    return result


def _map_body(operation: Operation, response: Response) -> Generator[None, None, Result]:
    if response.status == 304:  # RFC 9110, section 15.4.5: what the caller has is still valid
        return Result(ok=True, status=304, warnings=("it has not been modified",))
    if not 200 <= response.status < 300:
        return Result(ok=False, status=response.status, raw=read_leniently(response))
    declared = kind_of(operation.response, response.content_type)
    kind = RESPONSE_KINDS[declared]
    if response.status == 204 or not response.body or (declared != "binary" and not response.body.strip()):
        return Result(ok=True, status=response.status)
    if not kind.maps:
        return Result(ok=True, status=response.status, raw=kind.read(response.body))
    if declared in STREAM_KINDS:
        return (yield from _map_stream(operation, response, declared))
    reason = ""
    try:
        document = kind.read(response.body)
    except ValueError as error:
        # Raised below: as the context of another error this one would keep alive all that had been read.
        reason = str(error) or "its values are not valid"
    if reason:
        raise _unreadable(response, reason, expected="XML" if declared == "xml" else "JSON")
    if operation.body_fields and not isinstance(document, (dict, list)):
        raise _unreadable(response, SCALAR)
    errors = operation.policies.errors
    if errors.is_failure(document):
        return Result(ok=False, status=response.status, raw=document)
    result = yield from _map_document(operation, response.status, document)
    if operation.pagination is None and result.records is not None:
        more = explain_more(document, response.headers, len(result.records))
        if more:
            said = f"these are not all records: {more}, and the definition declares no `pagination`"
            return replace(result, warnings=(*result.warnings, said))
    return result


def _map_stream(operation: Operation, response: Response, kind: str) -> Generator[None, None, Result]:
    """A whole stream; raises MappingError if its values would take many times the memory of its bytes."""
    check_stream_type(operation, response)
    status = response.status
    limit = MAX_VALUES // max(_MESSAGE_FIELDS, len(operation.body_fields))
    reader = ChunkReader(operation, kind, limit=len(response.body), status=status)
    whole, count = _Whole(operation), 0
    for part in chain(cut(response.body), [None]):
        for chunk in reader.finish() if part is None else reader.feed(part):
            if not chunk.ok:
                return Result(ok=False, status=status, raw=chunk.raw)
            count += 1
            if count > limit:
                message = f"the stream has more than {limit} messages, too many for one result"
                raise MappingError(message, hint="read it message by message: Runtime.stream", response=response)
            whole.add(chunk)
            if not count % MESSAGES_PER_TURN:
                yield
        if reader.ended and part is not None:
            break
        yield
    return whole.result(status)


def map_document(operation: Operation, status: int, document: Any) -> Result:
    """Maps a parsed answer through the fields; raises MappingError for a scalar where fields are selected."""
    return _last(_map_document(operation, status, document))


def _map_document(operation: Operation, status: int, document: Any) -> Generator[None, None, Result]:
    report = _Report()
    if not operation.body_fields:
        return Result(ok=True, status=status, raw=document)
    if not isinstance(document, (dict, list)):
        raise MappingError(SCALAR)
    if operation.lists:
        rows, said = find_records(operation, document)
        if len(rows) * len(operation.body_fields) > MAX_VALUES:
            message = (
                f"the answer has {len(rows)} records of {len(operation.body_fields)} fields, too many for one result"
            )
            raise MappingError(
                message, hint="call for fewer at a time, if the provider has pages, or select fewer fields"
            )
        records: list[dict[str, Any]] = []
        for start in range(0, len(rows), RECORDS_PER_TURN):
            records += map_records(operation.body_fields, rows[start : start + RECORDS_PER_TURN], report)
            yield
        warnings = [*([said] if said else []), *report.warnings()]
        if rows and not any(_matched(record) for record in records):
            warnings.append(explain_nothing(operation.body_fields, rows[0], f"{len(rows)} records"))
        return Result(ok=True, status=status, records=records, raw=document, warnings=tuple(warnings))
    fields = map_fields(operation.body_fields, document, report)
    warnings = list(report.warnings())
    if not _matched(fields):
        warnings.insert(0, explain_nothing(operation.body_fields, document))
    return Result(ok=True, status=status, fields=fields, raw=document, warnings=tuple(warnings))


def _last(turns: Generator[None, None, Result]) -> Result:
    """Runs a generator to its end and returns its result."""
    while True:
        try:
            next(turns)
        except StopIteration as end:
            result: Result = end.value
            return result


class ChunkReader:
    """Makes Chunks from the bytes of one stream.

    `limit` is the largest size of a message in bytes, `hidden` are the secrets that are masked in each, `kind` is one
    of STREAM_KINDS. A message equal to the declared `done` (by default `[DONE]`) ends the stream; a message whose event
    has that name is the last one.
    """

    def __init__(
        self, operation: Operation, kind: str, *, limit: int, status: int = 200, hidden: Iterable[str] = ()
    ) -> None:
        self._operation = operation
        self._decoder = STREAM_KINDS[kind](limit)
        self._status = status
        self._hidden = tuple(hidden)
        self._done = frozenset(text.encode() for text in operation.done or ("[DONE]",))
        self._last = frozenset(operation.done)
        self._ignored = operation.ignored_events
        errors = operation.policies.errors
        self._errors = errors if errors.when else None
        self._report = _Report()
        #: True after the message that ends the stream; nothing is read after it.
        self.ended = False

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Yields the chunks that these bytes complete; raises MappingError for a message that cannot be read."""
        return self._map(self._decoder.feed(data))

    def finish(self) -> Iterator[Chunk]:
        """Yields what the end completes; raises MappingError if `done` is declared and did not arrive."""
        yield from self._map(self._decoder.finish())
        if self._operation.done and not self.ended:
            expected = " or ".join(repr(text[:40]) for text in self._operation.done)
            message = f"the stream ended before {expected}"
            raise MappingError(message, hint="what came before it is not the whole answer")

    def _map(self, messages: Iterator[Message]) -> Iterator[Chunk]:
        try:
            for message in messages:
                if self.ended or message.data.strip() in self._done:
                    self.ended = True
                    return
                if message.event in self._ignored or not (message.data.strip() or message.event in self._last):
                    continue  # it keeps the connection alive
                if not (message.whole or _is_document(message.data)):
                    return
                chunk = self._read(message)
                self.ended = not chunk.ok or message.event in self._last
                yield chunk
        except ValueError as error:
            raise MappingError(f"the stream cannot be read: {error}") from None

    def _read(self, message: Message) -> Chunk:
        data = message.data
        if self._hidden:
            data = mask_answer(data, self._hidden)
            message = Message(data, mask(message.event, self._hidden), mask(message.id, self._hidden))
        fields = self._operation.body_fields
        try:
            document = parse_json(data)
        except ValueError as error:
            if not fields:
                return Chunk(fields=None, raw=data.decode("utf-8", "replace"), event=message.event, id=message.id)
            raise _unreadable(Response(self._status, body=data), f"in a message of the stream, {error}") from None
        if self._errors is not None and self._errors.is_failure(document):
            return Chunk(fields=None, raw=document, event=message.event, id=message.id, ok=False)
        if not fields:
            return Chunk(fields=None, raw=document, event=message.event, id=message.id)
        if not isinstance(document, (dict, list)):
            raise _unreadable(Response(self._status, body=data), f"in a message of the stream, {SCALAR}")
        report = self._report
        mapped = map_fields(fields, document, report)
        if not report:
            return Chunk(fields=mapped, raw=document, event=message.event, id=message.id)
        self._report = _Report()
        return Chunk(fields=mapped, raw=document, event=message.event, id=message.id, warnings=tuple(report.warnings()))


def _is_document(data: bytes) -> bool:
    """True for a whole JSON text; a number may have lost digits."""
    try:
        return not isinstance(parse_json(data), (int, float))
    except ValueError:
        return False


def check_stream_type(operation: Operation, response: Response) -> None:
    """Raises MappingError if the media type of an answer is not that of the stream its definition expects."""
    if operation.response == "sse" and response.content_type not in ("", "text/event-stream"):
        raise _unreadable(response, "it is not a stream", expected="server-sent events")


def combine(operation: Operation, chunks: Iterable[Chunk], status: int = 200) -> Result:
    """Returns the chunks of a whole stream as one Result; `raw` is the list of their messages.

    For a list operation each chunk is a record. For any other, the texts of a field in `join` are concatenated, and
    each other field has its last value that is not null.
    """
    whole = _Whole(operation)
    for chunk in chunks:
        whole.add(chunk)
    return whole.result(status)


class _Whole:
    """Combines the chunks of a stream one by one."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._raw: list[Any] = []
        self._records: list[dict[str, Any]] = []
        self._fields: dict[str, Any] = {each.name: None for each in operation.body_fields}
        self._texts: dict[str, list[str]] = {name: [] for name in self._fields if name in operation.join}
        self._warnings: dict[str, None] = {}

    def add(self, chunk: Chunk) -> None:
        """Adds the next chunk."""
        self._raw.append(chunk.raw)
        self._warnings.update(dict.fromkeys(chunk.warnings))
        if chunk.fields is None:
            return
        if self._operation.lists:
            self._records.append(chunk.fields)
            return
        for name in self._fields:
            value = chunk.fields[name]
            if value is None:
                continue
            if name in self._texts:
                self._texts[name].append(value if isinstance(value, str) else to_text(value))
            else:
                self._fields[name] = value

    def result(self, status: int) -> Result:
        """Returns the combined result."""
        warnings = tuple(self._warnings)
        if not self._operation.body_fields:
            return Result(ok=True, status=status, raw=self._raw, warnings=warnings)
        if self._operation.lists:
            return Result(ok=True, status=status, records=self._records, raw=self._raw, warnings=warnings)
        joined = {name: "".join(texts) for name, texts in self._texts.items() if texts}
        return Result(ok=True, status=status, fields=self._fields | joined, raw=self._raw, warnings=warnings)


#: Where a value may be beside the body, and how it is found there by the selector of its field.
ORIGINS: Mapping[str, Callable[[Field, Any], Any]] = {
    "headers": lambda field, headers: field.plan[2]({name: headers.get(name) for name in field.selector.members}),
    "status": lambda field, status: field.plan[2](status),
    "query": lambda field, query: field.plan[2](query),
    "path": lambda field, path: field.plan[2](path),
}


def add_outer(fields: Sequence[Field], result: Result, outer: Mapping[str, Any]) -> Result:
    """Returns the result with the values of those fields that are not in the body, each in its place."""
    report = _Report()
    found = find_outer(fields, outer, report)
    names = [each.name for each in fields]

    def complete(known: Mapping[str, Any]) -> dict[str, Any]:
        return {name: found[name] if name in found else known.get(name) for name in names}

    warnings = (*result.warnings, *report.warnings())
    if result.records is not None:
        return replace(result, records=[complete(each) for each in result.records], warnings=warnings)
    return replace(result, fields=complete(result.fields or {}), warnings=warnings)


def find_outer(fields: Sequence[Field], outer: Mapping[str, Any], report: _Report | None = None) -> dict[str, Any]:
    """Returns the values of the fields that are not in the body, by name; `outer` has what there is by its origin."""
    return {
        each.name: _fit(each, ORIGINS[each.origin](each, outer[each.origin]) if each.origin in outer else None, report)
        for each in fields
        if each.origin != "body"
    }


def map_fields(fields: Sequence[Field], document: Any, report: _Report | None = None) -> dict[str, Any]:
    """Returns each field's value by its name, converted to its type if nothing is lost."""
    mapped: dict[str, Any] = {}
    is_object = type(document) is dict
    for each in fields:
        name, member, find, passing, multivalue = each.plan
        value = document.get(member) if is_object and member is not None else find(document)
        if multivalue:
            for element in value:
                if type(element) not in passing:
                    value = [_fit(each, element, report) for element in value]
                    break
        elif type(value) not in passing:
            value = _fit(each, value, report)
        mapped[name] = value
    return mapped


def map_records(fields: Sequence[Field], rows: Sequence[Any], report: _Report | None = None) -> list[dict[str, Any]]:
    """Maps each row as `map_fields`, but field by field over all rows, which takes two thirds of the time."""
    empty = dict.fromkeys(each.name for each in fields)
    records = [empty.copy() for _ in rows]
    for each in fields:
        name, _, find, passing, multivalue = each.plan
        column = _find_column(each.members, rows) if each.members else [find(row) for row in rows]
        if multivalue:
            if not passing.issuperset(map(type, chain.from_iterable(column))):
                column = [[_fit(each, element, report) for element in value] for value in column]
        elif not passing.issuperset(map(type, column)):
            column = [_fit(each, value, report) for value in column]
        for record, value in zip(records, column, strict=True):
            record[name] = value
    return records


def _find_column(members: Sequence[str], rows: Sequence[Any]) -> Sequence[Any]:
    """Returns the value at the end of the members in each row."""
    column = rows
    for member in members:
        try:
            column = list(map(itemgetter(member), column))
        except (KeyError, TypeError):  # a row is not an object, or lacks the member
            column = [found.get(member) if type(found) is dict else None for found in column]
    return column


def _fit(each: Field, value: Any, report: _Report | None) -> Any:
    if value is None or type(value) in each.convertor.exact:
        return value
    if type(value) is Unconverted:
        if report is not None:
            report.unconverted.setdefault(each.name, value.reason)
        return None
    if isinstance(value, list) and each.selector.levels and not each.multivalue and each.type != "Array":
        # A selector with "*" returns a list per level; its leaves have the type.
        return [_fit(each, element, report) for element in value]
    try:
        return each.convertor.read(value)
    except ValueError as error:
        if report is not None:
            report.unfit.setdefault(each.name, str(error))
        return value


def _matched(fields: Mapping[str, Any]) -> int:
    # In a list of nothing but null no row has the member.
    return sum(
        any(each is not None for each in (value if type(value) is list else [value])) for value in fields.values()
    )


def find_records(operation: Operation, document: Any) -> tuple[list[Any], str]:
    """Returns the records of a list answer and, if their place was inferred, a warning (language rule 11)."""
    if operation.records is not None:
        found = operation.records.find_one(document)
        if isinstance(found, list):
            return found, ""
        if operation.response == "xml" and found is not None:
            return [found], ""  # in XML, a list of one item does not look like a list
        shown = "nothing" if found is None else "no list"
        return [], f"records: {shown} at {operation.records.text}"
    undeclared = "since the definition does not declare `records`"
    if isinstance(document, list):
        return document, f"records: taken from $, {undeclared}"
    arrays = [name for name, value in document.items() if _is_record_list(value)]
    usual = [name for name in USUAL_ROOTS if isinstance(document.get(name), list)]
    for name in arrays if len(arrays) == 1 else usual:
        return document[name], f"records: taken from $.{name}, {undeclared}"
    return [document], f"records: the whole answer is one record, {undeclared}"


def _is_record_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def explain_nothing(fields: Sequence[Field], document: Any, where: str = "") -> str:
    """Returns a warning that nothing matched and, if the fields match elsewhere, where (language rule 13).

    >>> explain_nothing(fields, {"data": [{"id": "a"}]})   # doctest: +SKIP
    '0 of 10 fields matched; 9 of 10 match at $.data[*]'
    """
    total = len(fields)
    best, root = 0, ""
    for path, candidate in islice(_candidates(document), _MAX_CANDIDATES):
        matched = _matched(map_fields(fields, candidate))
        if matched > best:
            best, root = matched, path
    said = f"0 of {total} fields matched" + (f" in {where}" if where else "")
    return f"{said}; {best} of {total} match at {root}" if best else said


def _candidates(document: Any, path: str = "$", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if isinstance(document, list) and document:
        yield f"{path}[*]", document[0]
        if depth < 2:
            yield from _candidates(document[0], f"{path}[*]", depth + 1)
    elif isinstance(document, dict) and depth < 2:
        for name, value in document.items():
            if isinstance(value, dict):
                yield f"{path}.{name}", value
            yield from _candidates(value, f"{path}.{name}", depth + 1)


def read_json(response: Response) -> Any:
    """Returns the body as JSON; raises MappingError with status, type and the first 200 bytes (hazards T47, T48)."""
    try:
        return parse_json(response.body)
    except ValueError as error:
        raise _unreadable(response, str(error)) from None


def _unreadable(response: Response, reason: str, expected: str = "JSON") -> MappingError:
    shown = response.body.removeprefix(BYTE_ORDER_MARK)[:_SNIPPET].decode("utf-8", "replace")
    kind = response.content_type or "no type"
    return MappingError(
        f"the provider's answer cannot be read: {reason} (status {response.status}, {kind}): {shown}",
        hint=f"the definition expects {expected}; is this the right base URL?",
        response=response,
    )


def read_leniently(response: Response) -> Any:
    """Returns the body of a failure: parsed if it is JSON, else its text, else None."""
    if not response.body.strip():
        return None
    try:
        return read_json(response)
    except MappingError:
        return response.body.decode("utf-8", "replace")
