"""Sample answers: an operation's recorded examples, or answers made up from its fields and selectors.

Either way an operation has a few Responses that the mock provider plays in order, repeating the last one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.answers.pagination import Counted
from connector.answers.streams import STREAM_KINDS
from connector.errors import ConfigurationError
from connector.headers import Headers
from connector.messages import Request, Response
from connector.model.definition import Connector, Field, Operation, Webhook
from connector.selectors import Every, Selector, Walk, read_walk, show_walk
from connector.xml import show_xml

#: How many elements a made-up list has.
LENGTH = 2
#: A field with a greater index in its selector is left out of made-up answers, which would be too large.
MAX_INDEX = 99
#: Headers of an example that describe its own transport, not the answer.
_FRAMING = frozenset({"content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive", "date"})


@dataclass(frozen=True, slots=True)
class Progress:
    """The states of a made-up job, in order, and where they are in its record."""

    walk: Walk
    words: tuple[str, ...]


def read_example(name: str, example: Any) -> tuple[Response, ...]:
    """Returns the answers of one example, `{status?, headers?, body?}` or a list of them; empty for an empty list.

    Raises ConfigurationError for anything else. A body that is text is sent unchanged if the Content-Type is not JSON,
    and as JSON text otherwise.
    """
    entries = example if isinstance(example, list) else [example]
    return tuple(
        _read_entry(f"{name}[{place}]" if example is entries else name, each) for place, each in enumerate(entries)
    )


def _read_entry(name: str, entry: Any) -> Response:
    hint = "an example is {status?, headers?, body}, or a list of them"
    if not isinstance(entry, Mapping):
        raise ConfigurationError(f"example {name} is not an object", hint=hint)
    status, headers = entry.get("status", 200), entry.get("headers", {})
    if type(status) is not int or not 200 <= status <= 599:
        raise ConfigurationError(f"example {name}: status is not 200 to 599", hint=hint)
    if not isinstance(headers, Mapping) or not all(_is_field(*pair) for pair in headers.items()):
        raise ConfigurationError(f"example {name}: headers are not texts by name", hint=hint)
    sent = Headers((key, value) for key, value in headers.items() if key.lower() not in _FRAMING)
    if "body" not in entry:
        return Response(status, sent)
    body = entry["body"]
    kind = Response(status, sent).content_type
    if isinstance(body, str) and kind and not kind.endswith("json"):
        return Response(status, sent, body.encode("utf-8", "replace"))
    return json_response(status, body, sent)


def _is_field(name: str, value: Any) -> bool:
    return isinstance(value, str) and (name + value).isascii() and (name + value).isprintable()


def json_response(status: int, document: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Returns a JSON document as an answer, with a Content-Type unless `headers` has one."""
    given = headers or {}
    typed = {} if "content-type" in Headers(given) else {"Content-Type": "application/json"}
    body = _encode(_dump(document))
    return Response(status, Headers({**typed, **given}), body)


def cut_page(operation: Operation, request: Request, response: Response) -> Response:
    """Returns the page for a request from an answer that holds a whole list, if paging is by number."""
    paging, root = operation.pagination, operation.records
    if not isinstance(paging, Counted) or root is None or response.status != 200:
        return response
    document = json.loads(response.body)
    records = root.find_one(document)
    if not isinstance(records, list) or records == records[(window := paging.window(request))]:
        return response
    records[:] = records[window]
    return json_response(response.status, document, response.headers)


def find_progress(connector: Connector) -> dict[str, Progress]:
    """Returns the progress of jobs for each resource with a webhook that polls for states, by the resource's handle.

    A job is queued, runs, and ends with the first of the states that the webhook waits for.
    """
    found: dict[str, Progress] = {}
    for webhook in connector.webhooks:
        poll = webhook.poll
        if poll is None or poll.state is None or not isinstance(poll.states[0], str):
            continue
        end = poll.states[0]
        start = ("queued", "running") if end.islower() else ("QUEUED", "RUNNING")
        resource = poll.operation.rpartition(".")[0] or webhook.resource
        found.setdefault(resource, Progress(plain_walk(poll.state) or (), (*start, end)))
    return found


def plain_walk(selector: Selector) -> Walk | None:
    """Returns the steps of a selector, its first descent (`..`) taken as one step; None if it is not a plain walk."""
    text = selector.text.replace("..", ".", 1)
    walk = read_walk(text)
    return walk if show_walk(walk) == text else None


def make_answers(operation: Operation, progress: Progress | None) -> tuple[Response, ...]:
    """Returns answers that match the operation's fields: with the right types, and several elements in every list.

    Reading a job again and again moves it through its states; any other call returns it in its first state.
    """
    if operation.response == "empty":
        return (Response(204),)
    if operation.response == "text":
        return (Response(200, Headers({"Content-Type": "text/plain; charset=utf-8"}), b"made-up text"),)
    if operation.response == "binary":
        return (Response(200, Headers({"Content-Type": "application/octet-stream"}), bytes(range(256))),)
    shape = _shape_of(operation, progress)
    if operation.response in STREAM_KINDS:
        return (_stream_response(operation, shape),)
    if operation.response == "xml":
        return (Response(200, Headers({"Content-Type": "application/xml"}), _xml_of(shape.make(None, 0))),)
    steps = len(progress.words) if progress is not None and operation.method == "GET" and shape.moves() else 1
    return tuple(json_response(200, shape.make(progress, step)) for step in range(steps))


def sample_message(webhook: Webhook, examples: Mapping[str, Any]) -> Any:
    """Returns a document like those from which events of a webhook are made.

    It is the recorded answer of an operation that makes them, or the first record of a polled operation; without an
    example it is made up from the payload's selectors, each value of the right type.
    """
    polled = () if webhook.poll is None else (webhook.poll.operation,)
    for name in (*webhook.after, *polled):
        if name not in examples or not (answers := read_example(name, examples[name])):
            continue
        try:
            document = json.loads(answers[-1].body)
        except ValueError:  # a stream, or a file
            continue
        if name in polled:
            lists = [document] if isinstance(document, list) else [*document.values()]
            records = [each for listed in lists if isinstance(listed, list) for each in listed]
            # A record that makes the event, if there is one.
            document = next((each for each in records if _makes(webhook, each)), None)
        if isinstance(document, dict):
            return document
    shape = _Shape()
    for each, walk in _walks(webhook.payload):
        part = shape.at(walk, every=each.multivalue)
        part.leaf = part.leaf or each
    document = shape.make(None, 0)
    state = None if webhook.poll is None else webhook.poll.state
    if webhook.poll is not None and state is not None and (place := plain_walk(state)):
        _put(document, place, webhook.poll.states[0])
    return document


def _makes(webhook: Webhook, record: Any) -> bool:
    return webhook.poll is not None and webhook.poll.find_transition(record) is not None


def _put(document: Any, walk: Walk, value: Any) -> None:
    """Sets the member at the end of a walk through objects; does nothing for other walks."""
    *path, last = walk
    for step in path:
        document = document.get(step) if isinstance(document, dict) else None
    if isinstance(document, dict) and isinstance(last, str):
        document[last] = value


def _stream_response(operation: Operation, shape: _Shape) -> Response:
    """Returns a message for each of a few made-up documents, and the declared message that ends the stream."""
    lines = [_dump(shape.make(None, 0, (index,))) for index in range(LENGTH)]
    if operation.response == "ndjson":
        ends = operation.done[:1]
        return Response(200, Headers({"Content-Type": "application/x-ndjson"}), _encode("\n".join([*lines, *ends, ""])))
    events = [f"data: {line}\n\n" for line in [*lines, *(operation.done[:1] or ["[DONE]"])]]
    return Response(200, Headers({"Content-Type": "text/event-stream"}), _encode("".join(events)))


def _xml_of(document: Any) -> bytes:
    """Returns a made-up document as XML with one root."""
    if not isinstance(document, dict) or len(document) != 1:
        document = {"document": document if isinstance(document, dict) else {"item": document}}
    return _encode(show_xml(document))


def _dump(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


@dataclass(slots=True, kw_only=True)
class _Shape:
    """A part of a made-up document: an object by its members, a list by the shape of its elements, or one value."""

    members: dict[str, _Shape] = field(default_factory=dict)
    element: _Shape | None = None
    length: int = LENGTH
    leaf: Field | None = None
    is_word: bool = False

    def at(self, walk: Walk, *, every: bool = False) -> _Shape:
        """Returns the part at the end of a walk, and adds missing parts; with `every` an index means all elements."""
        shape = self
        for step in walk:
            if isinstance(step, str):
                shape = shape.members.setdefault(step, _Shape())
            else:
                shape.element = shape.element or _Shape()
                if isinstance(step, int) and not every:
                    shape.length = max(shape.length, step + 1)
                shape = shape.element
        return shape

    def moves(self) -> bool:
        """Returns True if a part of it is the state of a job."""
        parts = [*self.members.values(), *([self.element] if self.element else [])]
        return self.is_word or any(part.moves() for part in parts)

    def make(self, progress: Progress | None, step: int, place: tuple[int, ...] = ()) -> Any:
        """Returns the value; `place` are the indexes that lead to it, so that all elements differ."""
        if self.members:
            return {name: part.make(progress, step, place) for name, part in self.members.items()}
        if self.element is not None:
            return [self.element.make(progress, step, (*place, index)) for index in range(self.length)]
        if self.leaf is None:
            return {}
        if self.is_word and progress is not None:
            return progress.words[step]
        return _value(self.leaf, place)


def _shape_of(operation: Operation, progress: Progress | None) -> _Shape:
    root = row = _Shape()
    if operation.records is not None and operation.response not in STREAM_KINDS:
        walk = plain_walk(operation.records) or ()
        # A `*` already selects the elements of a list; a plain walk selects the list itself.
        row = root.at(walk if Every() in walk else (*walk, Every()))
    elif operation.lists and operation.response not in STREAM_KINDS:
        # Without `records`, a bare array is the simplest answer that is understood (language rule 11).
        row = root.at((Every(),))
    for each, walk in _walks(operation.body_fields):
        part = row.at(walk, every=each.multivalue)
        part.leaf = part.leaf or each
        is_text = each.type in ("String", "Any")
        part.is_word |= progress is not None and is_text and (each.name == "status" or walk == progress.walk)
    return root


def _walks(fields: Sequence[Field]) -> Iterator[tuple[Field, Walk]]:
    for each in fields:
        walk = plain_walk(each.selector)
        if walk and all(step <= MAX_INDEX for step in walk if isinstance(step, int)):
            yield each, walk


def _value(leaf: Field, place: tuple[int, ...]) -> Any:
    number = place[-1] + 1 if place else 1
    text = "-".join((leaf.name, *(str(index + 1) for index in place)))
    values: dict[str, Any] = {
        "Integer": number,
        "Number": number + 0.5,
        "Boolean": True,
        "Array": [f"{text}-{index + 1}" for index in range(LENGTH)],
        "Object": {"name": text},
        "Date": f"2026-01-{number % 28 + 1:02}",
        "DateTime": f"2026-01-{number % 28 + 1:02}T09:00:00Z",
    }
    return values.get(leaf.type, text)
