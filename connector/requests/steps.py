"""The steps of custom operations: one class per type, and how they run over one map of variables.

A step acts in `flow`, a generator that yields the call it makes and is sent the fields of the answer. `run_steps` runs
the steps of one operation in order. Requests are built and answers mapped as for any operation.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.answers.mapping import map_fields
from connector.errors import InputError, InputProblem, MappingError
from connector.messages import Result
from connector.model.definition import Call, CustomOperation, Operation
from connector.model.policies import read_idempotency
from connector.model.service import Config
from connector.requests.build import build_request, input_hint, read_inputs
from connector.templates import Placeholder, Template, Unrenderable
from connector.types import CONVERTORS, to_text

_ADDRESSES = frozenset({"to", "from"})
Flow = Generator[Call, Mapping[str, Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpStep:
    """One call of the provider; it adds the fields of its answer that are not null.

    `chooser` is the variable that names the method, if it is not fixed; `declared` is the `idempotent` of the
    definition. `answered` are the variables that come from answers of earlier steps.
    """

    operation: Operation
    is_last: bool = False
    chooser: Placeholder | None = None
    declared: bool | None = None
    answered: frozenset[str] = frozenset()

    @property
    def inputs(self) -> Mapping[str, Placeholder]:
        """The variables that it takes, by name."""
        chosen = {} if self.chooser is None else {self.chooser.name: self.chooser}
        return {**chosen, **self.operation.inputs}

    @property
    def added(self) -> Mapping[str, Placeholder]:
        """The fields of its answer."""
        return {
            each.name: Placeholder(each.name, CONVERTORS["array"] if each.multivalue else each.convertor, required=True)
            for each in self.operation.fields
        }

    def flow(self, values: Mapping[str, Any], config: Config) -> Flow:
        """Yields the call, is sent the fields of its answer, and returns those that are not null.

        Raises InputError for variables that cannot be sent, MappingError where one of them came from an answer.
        """
        operation = self.operation if self.chooser is None else self._choose(self.chooser, values)
        known = operation.inputs.keys() | operation.from_connection
        try:
            request = build_request(operation, {name: values[name] for name in known & values.keys()}, config)
        except InputError as error:
            names = sorted({each.name for each in error.errors} & self.answered)
            if not names:
                raise
            hint = f"the answer of an earlier step holds no usable {' and no usable '.join(names)}"
            raise MappingError(error.message, hint=hint) from None
        fields = yield Call(operation, request, self.is_last)
        return {name: value for name, value in fields.items() if value is not None}

    def _choose(self, chooser: Placeholder, values: Mapping[str, Any]) -> Operation:
        """Returns the operation with the method that the caller chose."""
        given = values.get(chooser.name, chooser.default)
        try:
            if given is None:
                raise ValueError("it is missing")
            method = to_text(chooser.read(given)).upper()
        except ValueError as error:
            problem = InputProblem(chooser.name, f"{chooser.name}: {error}")
            raise InputError(self.operation.label, [problem], hint=input_hint(self.operation, [])) from None
        idempotent, _ = read_idempotency(self.declared, method)
        return replace(self.operation, method=method, idempotent=idempotent)


@dataclass(frozen=True, slots=True, kw_only=True)
class MimeStep:
    """A mail message made from variables; it adds the whole message as one variable.

    It is base64url text without padding (RFC 4648, section 5), as Gmail takes it. `templates` are those of `to`,
    `subject`, `body` and `from`.
    """

    label: str
    templates: Mapping[str, Template]
    output: str = "raw"
    inputs: Mapping[str, Placeholder] = field(default_factory=dict)
    operation: Operation | None = None

    @property
    def added(self) -> Mapping[str, Placeholder]:
        """The message."""
        return {self.output: Placeholder(self.output, CONVERTORS["string"], required=True)}

    def flow(self, values: Mapping[str, Any], config: Config) -> Flow:
        """Yields nothing, and returns the message by its name; raises InputError for values a message cannot hold."""
        yield from ()
        import base64

        known = {**config.values, **values}
        texts: dict[str, str] = {}
        errors: list[InputProblem] = []
        for part, template in self.templates.items():
            name = next(iter(template.names), part)
            try:
                texts[part] = template.render(known) or ""
                if part in _ADDRESSES and (texts[part] or part == "to"):
                    check_addresses(texts[part])
                elif part != "body":
                    check_mail_header(texts[part])
            except ValueError as error:
                name = error.name if isinstance(error, Unrenderable) else name
                errors.append(InputProblem(name, f"{name}: {error}"))
        if errors:
            raise InputError(self.label, errors, hint=f"they are used in {', '.join(self.templates)} of a message")
        message = build_message(
            to=texts["to"], subject=texts.get("subject", ""), body=texts.get("body", ""), sender=texts.get("from", "")
        )
        return {self.output: base64.urlsafe_b64encode(message).rstrip(b"=").decode()}


def run_steps(
    custom: CustomOperation, inputs: Mapping[str, Any], config: Config | Mapping[str, Any]
) -> Generator[Call, Mapping[str, Any], Result]:
    """Runs the steps in order: yields each call, and is sent the fields of its answer.

    The values of the last step are the result; if that step is a call, its caller has the result. Raises InputError,
    and MappingError if an answer lacks a value for a later step.
    """
    if not isinstance(config, Config):
        config = custom.service.configure(config)
    values, errors = read_inputs(custom, inputs)
    if errors:
        raise InputError(custom.label, errors, hint=input_hint(custom, errors))
    added: Mapping[str, Any] = {}
    for step in custom.steps:
        added = yield from step.flow(values, config)
        values = {**values, **added}
    fields = map_fields(custom.output, values) if custom.output else None
    return Result(ok=True, status=200, fields=fields, raw=dict(added), attempts=0)


#: Controls of C0 and C1 and the separators of Unicode: each is a line end to some reader.
_LINE_ENDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_mail_header(text: str) -> str:
    """Returns text as the value of one header of a message; raises ValueError for text that could begin another.

    An encoded word (RFC 2047) could hide a line end, so it is refused.
    """
    if _LINE_ENDS.search(text):
        raise ValueError("a header of a message holds no line break and no control character")
    if "=?" in text:
        raise ValueError("a header of a message holds no encoded word (=?…?=); write the text as it reads")
    return text


def check_addresses(text: str) -> str:
    """Returns text that is one mail address or several with commas between; raises ValueError for anything else."""
    from email.policy import SMTP

    header: Any = SMTP.header_factory("To", check_mail_header(text))
    parts = [(each.username, each.domain) for each in header.addresses]
    # RFC 6531 allows more than ASCII, but only between servers that have agreed on it.
    if header.defects or not parts or not all(name and domain and (name + domain).isascii() for name, domain in parts):
        raise ValueError("expected addresses: name@example.com, or A Name <name@example.com>, with commas between")
    return text


def build_message(*, to: str, subject: str, body: str, sender: str = "") -> bytes:
    """Returns a message (RFC 5322) with a text in UTF-8 (RFC 2045), in seven-bit characters with CR LF line ends.

    `to` and `sender` are addresses, each with or without a name before it. Raises ValueError for text that is not an
    address or cannot be in a header.
    """
    from email.message import EmailMessage  # few operations write mail
    from email.policy import SMTP

    message = EmailMessage(SMTP.clone(cte_type="7bit"))
    if sender:
        message["From"] = check_addresses(sender)
    message["To"] = check_addresses(to)
    message["Subject"] = check_mail_header(subject)
    message.set_content(body, charset="utf-8")
    return bytes(message)
