"""Builds requests: an operation, a caller's inputs and a connection's values become one Request, before auth.

All problems of the inputs are reported together. Templates and bodies encode each value for its place; here values are
checked and defaulted, and the finished URL must lead to the connection's origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.auth.methods import carried_names
from connector.errors import InputError, InputProblem, did_you_mean
from connector.headers import Headers, check_header_name, encode_header
from connector.messages import Request, Stream, secret_forms
from connector.model.definition import AnyOperation, Operation
from connector.model.service import Config, missing_value
from connector.requests.bodies import WholeBody
from connector.templates import Unrenderable, render_query
from connector.types import to_text
from connector.urls import stays_within


def build_request(operation: Operation, inputs: Mapping[str, Any], config: Config | Mapping[str, Any]) -> Request:
    """Returns the request of one call, before auth is added.

    `inputs` are the caller's values by name, None meaning "not supplied"; `config` are the connection's values, either
    checked by `Service.configure` or a plain mapping. Raises InputError for inputs that are missing, unknown, ill-typed
    or cannot be sent in their place, MissingCredentials for values of the connection.

    >>> request = build_request(connector.operation("files.read"), {"fileId": "a/b"}, {})   # doctest: +SKIP
    >>> request.url                                                                         # doctest: +SKIP
    'https://api.mistral.ai/v1/files/a%2Fb'
    """
    if not isinstance(config, Config):
        config = operation.service.configure(config)
    values, errors = read_inputs(operation, inputs)
    if errors:
        raise InputError(operation.label, errors, hint=input_hint(operation, errors))
    outer: Mapping[str, Any] = values
    secrets = config.secrets
    if operation.from_connection or operation.shadowed or config.base is None:
        outer, secrets = _fill_from_connection(operation, values, config)
    try:
        url = f"{config.base}{operation.path.render(outer)}"
        query = render_query(operation.query, values) if operation.query else ""
        headers = [(name, text) for name, each in operation.headers if (text := each.render_header(outer)) is not None]
        if operation.header_inputs:
            headers = _add_headers(operation, headers, values, config)
        if isinstance(operation.body, WholeBody):
            kind = next((text for name, text in headers if name.lower() == "content-type"), "")
            body: bytes | Stream | None = operation.body.encode_as(kind, values)
        else:
            body = operation.body.encode(values) if operation.body is not None else None
    except Unrenderable as error:
        problem = InputProblem(error.name, f"{error.name}: {error}")
        raise InputError(operation.label, [problem], hint=input_hint(operation, [problem])) from None
    if isinstance(body, Stream):
        headers, body = _settle(headers, body)
    if body == b"":
        # The whole template was left out: there is no body, and no type of one (language rules 4 and 9).
        body, headers = None, [field for field in headers if field[0].lower() != "content-type"]
    if query:
        url = f"{url}?{query}"
    if not stays_within(url, config.origin):
        problem = InputProblem("baseURL", f"the URL would lead away from {config.origin}")
        raise InputError(operation.label, [problem], hint="a path begins with '/'")
    return Request(
        operation.method, url, headers=Headers(headers), body=body, secrets=secrets, own_headers=operation.own_headers
    )


def _add_headers(
    operation: Operation, headers: list[tuple[str, str]], values: Mapping[str, Any], config: Config
) -> list[tuple[str, str]]:
    """Returns the headers with the caller's in place of any of the same name; the caller cannot set those of auth.

    Raises Unrenderable for a name or a value that a header cannot have (hazards T26, T27).
    """
    taken = carried_names(config.auth, config.values, "header")
    for place in operation.header_inputs:
        for name, value in (values.get(place) or {}).items():
            try:
                check_header_name(name)
                if name.lower() in taken:
                    raise ValueError(f"{name} is set by the auth of the connection")
                if isinstance(value, (list, dict)):
                    raise ValueError(f"{name}: expected text")
                text = encode_header(to_text(value)).strip(" ")
            except ValueError as error:
                raise Unrenderable(place, str(error)) from None
            headers = [field for field in headers if field[0].lower() != name.lower()]
            headers += [] if value is None else [(name, text)]
    in_query = carried_names(config.auth, config.values, "query")
    for pair in operation.query:
        place = pair.value.only_slot or ""
        if pair.explodes and in_query & {name.lower() for name in values.get(place) or {}}:
            raise Unrenderable(place, f"{' and '.join(sorted(in_query))} is set by the auth of the connection")
    return headers


def _settle(headers: list[tuple[str, str]], body: Stream) -> tuple[list[tuple[str, str]], bytes | Stream]:
    """Returns the headers with the body's own content type, and the body as bytes if all of it is in memory."""
    if body.content_type:
        headers = [field for field in headers if field[0].lower() != "content-type"]
        headers.append(("Content-Type", body.content_type))
    if all(isinstance(piece, bytes) for piece in body.pieces):
        return headers, b"".join(body.pieces)
    return headers, body


def _fill_from_connection(
    operation: Operation, values: dict[str, Any], config: Config
) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Adds values of the connection; returns the values for URL and headers, and all secrets.

    In the URL and the headers a shadowed name is the connection's, in query and body the caller's (language rule 6).
    Raises MissingCredentials.
    """
    service = operation.service
    given = operation.from_connection & values.keys()
    absent = set() if config.base is not None else set(service.base.names) - config.values.keys()
    for name in (operation.from_connection | operation.shadowed) - given - config.values.keys():
        if service.placeholders[name].required:
            absent.add(name)
    if absent:
        raise missing_value(service, absent)
    # A credential that the caller passes is as secret as the connection's own.
    passed = {form for name in given & service.credentials for form in secret_forms(to_text(values[name]))}
    for name in operation.from_connection - given:
        if name in config.values:
            values[name] = config.values[name]
    outer = {**values, **{name: config.values[name] for name in operation.shadowed & config.values.keys()}}
    return outer, config.secrets | passed


def read_inputs(operation: AnyOperation, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], list[InputProblem]]:
    """Returns the inputs as values of their types, defaults included, and their problems."""
    values: dict[str, Any] = {}
    errors: list[InputProblem] = []
    for name, placeholder in operation.inputs.items():
        given = inputs.get(name)
        if given is None:
            if placeholder.nullable and name in inputs:
                values[name] = None
            elif placeholder.default is not None:
                values[name] = placeholder.default
            elif placeholder.required:
                errors.append(InputProblem(name, f"{name} is missing: a required {placeholder.type}"))
            continue
        try:
            values[name] = placeholder.read(given)
        except ValueError as error:
            errors.append(InputProblem(name, f"{name}: {error}"))
    for name, given in inputs.items():
        if name in operation.inputs:
            continue
        if name not in operation.from_connection:
            errors.append(InputProblem(name, f"{name} is not an input of this operation"))
        elif given is not None:
            try:
                values[name] = operation.service.placeholders[name].read(given)
            except ValueError as error:
                errors.append(InputProblem(name, f"{name}: {error}"))
    return values, errors


def input_hint(operation: AnyOperation, errors: list[InputProblem]) -> str:
    """Returns a hint for an unknown input: the known ones, the most similar first; empty if all are known."""
    known = [*operation.inputs, *sorted(operation.from_connection)]
    for error in errors:
        if error.name not in known:
            near = did_you_mean(error.name, known)
            listed = "known: " + ", ".join(known) if known else "this operation has no inputs"
            return f"{near} {listed}" if near.startswith("did") else listed
    return ""
