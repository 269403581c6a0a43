"""A definition once it has been read: Connector, Resource, Operation, Field, Webhook.

Everything is compiled and flattened: an Operation holds its whole path, merged headers, query, body, inputs and fields,
whichever of several shapes its author chose. `parsing` makes these values; `requests`, `answers` and `events` use them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Protocol

from connector.conversions.pipeline import ConversionError, Pipeline
from connector.errors import UnknownOperation
from connector.messages import Request
from connector.model.challenges import Challenge
from connector.model.policies import Policies, Sign
from connector.model.polls import Poll
from connector.model.service import Config, Service
from connector.protocols import Body, Pagination
from connector.selectors import Selector
from connector.templates import PathTemplate, Placeholder, QueryPair, Template
from connector.types import Convertor

FieldPlan = tuple[str, str | None, Callable[[Any], Any], frozenset[type], bool]


@dataclass(frozen=True, slots=True)
class Field:
    """One value picked from an answer: its name, type and selector; `multivalue` makes it one flat list.

    With `join` a list that the selector finds becomes one text: its items that are text, and what `join` selects in its
    objects. With `convert` what was selected goes through conversions before it becomes a value of the type; `others`
    are the fields of the same record that these name.
    """

    name: str
    convertor: Convertor
    selector: Selector
    _: KW_ONLY
    multivalue: bool = False
    description: str = ""
    join: Selector | None = None
    convert: Pipeline | None = None
    others: tuple[Field, ...] = ()
    #: Where the value is: `body`, or another row of ORIGINS.
    origin: str = "body"
    #: What mapping needs, in one tuple for speed: name, the one member that the selector is (if it is one), finder,
    #: Python types that pass unchanged (None's included), multivalue.
    plan: FieldPlan = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Chooses the finder."""
        find: Callable[[Any], Any] = self.selector.find_all if self.multivalue else self.selector.find_one
        if self.join is not None:
            find = _joining(find, self.join, multivalue=self.multivalue)
        if self.convert is not None:
            find = _converting(find, self.convert, self.others, multivalue=self.multivalue)
        member = self.members[0] if len(self.members) == 1 else None
        passing = self.convertor.exact | {type(None)}
        object.__setattr__(self, "plan", (self.name, member, find, passing, self.multivalue))

    @property
    def members(self) -> tuple[str, ...]:
        """The names of members that lead to the value; empty if the selector has other steps."""
        changed = self.multivalue or self.join is not None or self.convert is not None
        return () if changed else self.selector.members

    @property
    def type(self) -> str:
        """The canonical name of the type."""
        return self.convertor.name


def _joining(find: Callable[[Any], Any], join: Selector, *, multivalue: bool) -> Callable[[Any], Any]:
    """Returns a finder that concatenates the texts of each list it finds."""

    def text_of(value: Any) -> Any:
        if type(value) is not list:
            return value
        texts = (each if isinstance(each, str) else join.find_one(each) for each in value)
        return "".join(text for text in texts if isinstance(text, str))

    def find_joined(document: Any) -> Any:
        found = find(document)
        return [text_of(each) for each in found] if multivalue else text_of(found)

    return find_joined


def in_body(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Returns the fields whose values are in the body of an answer or a message."""
    return tuple(each for each in fields if each.origin == "body")


@dataclass(frozen=True, slots=True)
class Unconverted:
    """What a field finds in place of a value that its conversions cannot convert; `reason` does not show the value."""

    reason: str


def _converting(
    find: Callable[[Any], Any], convert: Pipeline, others: Sequence[Field], *, multivalue: bool
) -> Callable[[Any], Any]:
    """Returns a finder that converts what it finds."""
    finders = [(each.name, each.plan[2]) for each in others]

    def find_converted(document: Any) -> Any:
        try:
            value = convert.convert(find(document), {name: other(document) for name, other in finders})
        except ConversionError as error:
            value = Unconverted(str(error))
        if not multivalue or type(value) is list:
            return value
        return [] if value is None else [value]

    return find_converted


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The calls that register a webhook with the provider; all but the first may be missing.

    The runtime fills their inputs `webhookUrl` and `webhookSecret`, and those named like fields of the first answer.
    `renew` is called every `renew_every` seconds.
    """

    subscribe: Operation
    unsubscribe: Operation | None = None
    renew: Operation | None = None
    renew_every: float = 86400.0

    def operations(self) -> Iterator[Operation]:
        """Yields the calls that are declared."""
        yield from (each for each in (self.subscribe, self.unsubscribe, self.renew) if each is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One event: the route it arrives at, its payload fields, and how it is made if the provider does not send it."""

    connector: str
    resource: str
    event: str
    path: str
    payload: tuple[Field, ...] = ()
    description: str = ""
    after: tuple[str, ...] = ()
    poll: Poll | None = None
    #: What the provider sends: rows of MESSAGE_KINDS.
    accepts: tuple[str, ...] = ("json",)
    #: Where a message holds its events, if one message can hold several; None if the message is the event.
    records: Selector | None = None
    #: Where an event holds its own id, by which it is recognised when it is sent again.
    event_id: Selector | None = None
    #: What distinguishes this event from others that arrive at the same path; None if all that arrives is this event.
    match: Sign | None = None
    #: The fields of a form that hold JSON.
    json_fields: frozenset[str] = frozenset()
    #: The payload that is in the body of a message; the rest is in its head.
    body_payload: tuple[Field, ...] = field(init=False, repr=False, compare=False)
    #: True if a message with a known id and another body is refused, and not taken for a repetition.
    refuses_conflicts: bool = False
    #: The handshake before the provider sends anything; None if there is none.
    challenge: Challenge | None = None
    #: The calls that subscribe a connection to the messages, renew the subscription and end it.
    registration: Registration | None = None

    def __post_init__(self) -> None:
        """Tells apart what mapping looks for in the body."""
        object.__setattr__(self, "body_payload", in_body(self.payload))

    @property
    def id(self) -> str:
        """The trigger id, `<resource>/<event>` (language rule 14)."""
        return f"{self.resource}/{self.event}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call of the provider, complete.

    `inputs` are the caller's values by name; `places` are where each lands (path, query, header, body).
    `from_connection` are the names that the connection's values fill, and the caller may still pass; `shadowed` are
    those that the path or a header takes from the connection while the query or body declares an input of that name.
    `headers` are the service's and the operation's, merged; `own_headers` the lower-case names of the latter.
    `idempotent` calls may be sent again; `idempotency_header` is the header whose value is the same in each attempt.
    """

    id: str
    service: Service
    method: str
    path: PathTemplate
    query: tuple[QueryPair, ...] = ()
    headers: tuple[tuple[str, Template], ...] = ()
    own_headers: frozenset[str] = frozenset()
    body: Body | None = None
    inputs: Mapping[str, Placeholder] = field(default_factory=dict)
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    from_connection: frozenset[str] = frozenset()
    shadowed: frozenset[str] = frozenset()
    fields: tuple[Field, ...] = ()
    records: Selector | None = None
    response: str = "json"
    short: str = ""
    description: str = ""
    pagination: Pagination | None = None
    policies: Policies = field(default_factory=Policies)
    idempotent: bool = False
    idempotency_header: str = ""
    #: What ends a stream, if declared: messages (`[DONE]`), or names of events that are its last.
    done: tuple[str, ...] = ()
    #: The names of events of a stream that are not messages.
    ignored_events: frozenset[str] = frozenset()
    #: The fields whose texts are concatenated over the messages of a stream.
    join: frozenset[str] = frozenset()
    #: Which of several steps of a custom operation makes this call, counted from 1; 0 for any other call.
    step: int = 0
    #: True if the provider has announced its removal, or removed it; it can still be called.
    deprecated: bool = False
    #: The inputs whose members are headers of their own.
    header_inputs: tuple[str, ...] = ()
    #: The fields that are in the body; all others are in the head of the answer.
    body_fields: tuple[Field, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Tells apart what mapping looks for in the body."""
        object.__setattr__(self, "body_fields", in_body(self.fields))

    @property
    def name(self) -> str:
        """The name without its resource: `create`."""
        return self.id.rpartition(".")[2]

    @property
    def label(self) -> str:
        """The name in errors: the id, and the step of an operation that has several."""
        return f"{self.id}, step {self.step}" if self.step else self.id

    @property
    def lists(self) -> bool:
        """True if its answer holds records: it declares them, or it is named `list` (language rule 11)."""
        return self.records is not None or self.name == "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of object at the provider."""

    handle: str
    short: str = ""
    description: str = ""
    fields: tuple[Field, ...] = ()
    operations: tuple[str, ...] = ()
    webhooks: tuple[Webhook, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One request that a step makes, before auth; `is_last` if its answer is that of the whole operation."""

    operation: Operation
    request: Request
    is_last: bool = False


class Step(Protocol):
    """One step of a custom operation, compiled; a row of STEP_TYPES (`parsing.steps`) reads each type."""

    @property
    def operation(self) -> Operation | None:
        """The call that it makes; None for a step without one."""

    @property
    def inputs(self) -> Mapping[str, Placeholder]:
        """The variables that it takes, by name."""

    @property
    def added(self) -> Mapping[str, Placeholder]:
        """The variables that it adds, by name."""

    def flow(self, values: Mapping[str, Any], config: Config) -> Generator[Call, Mapping[str, Any], Mapping[str, Any]]:
        """Yields the call it makes, if any, is sent the fields of its answer, and returns the variables it adds.

        Raises InputError for variables that cannot be used.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomOperation:
    """An operation made of steps, which share one map of variables (language rule 18).

    `inputs` are the caller's values, `output` the fields of the result. It has the properties of an Operation too;
    those of the answer are the last step's, if that is a call.
    """

    handle: str
    service: Service
    short: str = ""
    description: str = ""
    inputs: Mapping[str, Placeholder] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    output: tuple[Field, ...] = ()
    from_connection: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """Its handle."""
        return self.handle

    @property
    def label(self) -> str:
        """The name in errors: its handle."""
        return self.handle

    @property
    def calls(self) -> tuple[Operation, ...]:
        """The calls of its steps, in order."""
        return tuple(step.operation for step in self.steps if step.operation is not None)

    @property
    def final(self) -> Operation | None:
        """The call whose answer is that of the whole operation; None if the last step makes no call."""
        return self.steps[-1].operation if self.steps else None

    @property
    def places(self) -> Mapping[str, tuple[str, ...]]:
        """The places that each input lands in, over all steps."""
        return {
            name: tuple(dict.fromkeys(place for call in self.calls for place in call.places.get(name, ())))
            for name in self.inputs
        }

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of its result."""
        return self.final.fields if self.final is not None else self.output

    @property
    def response(self) -> str:
        """The kind of its answer."""
        return self.final.response if self.final is not None else "json"

    @property
    def join(self) -> frozenset[str]:
        """The fields whose texts are concatenated over the messages of a stream."""
        return self.final.join if self.final is not None else frozenset()

    @property
    def lists(self) -> bool:
        """True if its answer holds records."""
        return self.final is not None and self.final.lists

    @property
    def pagination(self) -> Pagination | None:
        """How its list is paged."""
        return self.final.pagination if self.final is not None else None


#: What a caller can name: an operation of a resource, or a custom operation.
AnyOperation = Operation | CustomOperation


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """A compiled definition; the same for every connection to its provider."""

    handle: str
    service: Service
    status: str = ""
    short: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    resources: Mapping[str, Resource] = field(default_factory=dict)
    operations: Mapping[str, Operation] = field(default_factory=dict)
    custom_operations: Mapping[str, CustomOperation] = field(default_factory=dict)

    @property
    def webhooks(self) -> tuple[Webhook, ...]:
        """Every webhook, in the order of the resources."""
        return tuple(webhook for resource in self.resources.values() for webhook in resource.webhooks)

    def operation(self, id: str) -> AnyOperation:
        """Returns the operation with that id: `resource.operation`, or the handle of a custom one.

        Raises UnknownOperation, which names the most similar one.
        """
        found = self.operations.get(id) or self.custom_operations.get(id)
        if found is None:
            for webhook in self.webhooks:
                for each in webhook.registration.operations() if webhook.registration is not None else ():
                    if each.id == id:
                        return each
            raise UnknownOperation(self.handle, id, [*self.operations, *self.custom_operations])
        return found
