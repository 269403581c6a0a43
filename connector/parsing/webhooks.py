"""Reads webhooks: their paths, handshakes, polls, and the calls that register them with the provider."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from connector.digests import ALGORITHMS, ENCODINGS
from connector.events.messages import MEDIA_TYPES, MESSAGE_KINDS
from connector.model.challenges import ANSWER_NAMES, Challenge
from connector.model.definition import Operation, Registration, Webhook
from connector.model.policies import Sign
from connector.model.polls import Poll
from connector.model.service import Service
from connector.parsing.namespaces import Usage
from connector.parsing.operations import Endpoint, read_operation
from connector.parsing.reader import Reader
from connector.parsing.schema import Path
from connector.selectors import Selector
from connector.templates import Slot, Template
from connector.urls import has_dot_segment

#: The inputs of a call that registers a webhook which the runtime fills; later calls get the fields of the first answer
#: too.
GIVEN = ("webhookUrl", "webhookSecret")


def read_webhooks(
    reader: Reader,
    resource: str,
    source: Mapping[str, Any],
    path: Path,
    service: Service,
    endpoint: Endpoint,
    *,
    routes: dict[str, bool],
) -> Iterator[Webhook]:
    """Yields the webhooks of a resource; their problems go to the reader.

    `routes` has the paths known so far, each with whether its events have a `match`.
    """
    hooks = reader.get(source, "webhooks", list, [])
    for event, item, where in reader.items(hooks, (*path, "webhooks"), "event"):
        route = reader.get(item, "path", str, None)
        if route is not None and not _is_route(route):
            hint = "it begins with /webhooks/ and holds no dot segment, '{' or escape"
            reader.complain("E_WEBHOOK_PATH", f"{route[:70]!r} is not a webhook path", (*where, "path"), hint)
        match = _read_match(reader, item, (*where, "match"))
        if route in routes and not (routes[route] and match):
            message = f"webhook path {route[:70]!r} is duplicated"
            hint = "paths are unique, or each event at the path has a `match` that distinguishes it"
            reader.complain("E_DOUBLED", message, (*where, "path"), hint)
        elif route:
            routes[route] = match is not None
        short, description = reader.meta(item)
        listed = reader.get(item, "payload", list, [])
        payload = reader.fields(listed, (*where, "payload"), origins=("headers", "query", "path"))
        after = tuple(reader.get(item, "after", list, []))
        poll = _read_poll(reader, item, (*where, "poll"))
        form, accepts = reader.get(item, "form", dict, {}), _accepted(reader, item, where)
        yield Webhook(
            connector=service.connector,
            resource=resource,
            event=event,
            path=route or "",
            payload=payload,
            description=description or short,
            after=after,
            poll=poll,
            accepts=accepts,
            records=reader.selector(item.get("records"), (*where, "records")),
            event_id=reader.selector(item.get("id"), (*where, "id")),
            match=match,
            json_fields=frozenset(name for name in reader.get(form, "json", list, []) if isinstance(name, str)),
            refuses_conflicts=reader.get(item, "conflict", str, "accept") == "refuse",
            challenge=_read_handshake(reader, item, (*where, "challenge"), accepts),
            registration=_read_registration(reader, f"{resource}/{event}", item, where, service, endpoint),
        )


def _read_match(reader: Reader, source: Mapping[str, Any], path: Path) -> Sign | None:
    block = reader.get(source, "match", dict, None)
    if block is None:
        return None
    selector = reader.selector(block.get("selector"), (*path, "selector"))
    values = block.get("in")
    return None if selector is None else Sign(selector, tuple(values) if isinstance(values, list) else None)


def _accepted(reader: Reader, source: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Returns the kinds of messages that a webhook accepts; JSON by default."""
    written = reader.get(source, "contentType", (str, list), "json")
    listed = [((), written)] if isinstance(written, str) else [((index,), name) for index, name in enumerate(written)]
    kinds = []
    # The JSON Schema reports names that are not text.
    for place, name in ((place, name) for place, name in listed if isinstance(name, str)):
        if (kind := MEDIA_TYPES.get(name, name)) in MESSAGE_KINDS:
            kinds.append(kind)
        else:
            hint = f"known: {', '.join(MESSAGE_KINDS)}"
            message = f"unknown kind of message {name[:70]!r}"
            reader.complain("E_CONTENT_TYPE", message, (*path, "contentType", *place), hint)
    return tuple(dict.fromkeys(kinds)) or ("json",)


def _read_registration(
    reader: Reader, trigger: str, source: Mapping[str, Any], path: Path, service: Service, endpoint: Endpoint
) -> Registration | None:
    """Returns the calls that register a webhook: operations like any other, whose ids begin with the trigger's."""
    found: dict[str, Operation] = {}
    given = set(GIVEN)
    for name in ("subscribe", "unsubscribe", "renew"):
        block = reader.get(source, name, dict, None)
        if block is None:
            continue
        fields = reader.fields(reader.get(block, "fields", list, []), (*path, name, "fields"))
        usage = Usage(given=frozenset(given))
        found[name] = read_operation(
            reader, f"{trigger}.{name}", block, (*path, name), service, endpoint=endpoint, fields=fields, usage=usage
        )
        if name == "subscribe":
            given |= {field.name for field in fields}
    if not found:
        return None
    if "subscribe" not in found:
        reader.complain("E_MISSING", "'subscribe' is missing: there is nothing to end or renew", path)
        return None
    every = reader.get(source, "renewEvery", (int, float), 86400.0)
    return Registration(
        subscribe=found["subscribe"],
        unsubscribe=found.get("unsubscribe"),
        renew=found.get("renew"),
        renew_every=max(1.0, every),
    )


def _read_handshake(
    reader: Reader, source: Mapping[str, Any], path: Path, accepted: Collection[str]
) -> Challenge | None:
    block = reader.get(source, "challenge", dict, None)
    if block is None:
        return None
    selectors = {name: reader.selector(block.get(name), (*path, name)) for name in ("body", "if")}
    try:
        challenge = _read_challenge(block, selectors, lambda text, steps: reader.compile(text, (*path, *steps)))
        if challenge.signs and any(MESSAGE_KINDS[kind].is_form for kind in accepted):
            raise ValueError("'hmac' cannot be answered where messages are forms: what is signed could be a message")
    except ValueError as error:
        reader.complain("E_CHALLENGE", str(error), path, "see Challenge in docs/definitions.md")
        return None
    return challenge


def _read_poll(reader: Reader, source: Mapping[str, Any], path: Path) -> Poll | None:
    block = reader.get(source, "poll", dict, None)
    if block is None:
        return None

    def read(inside: Mapping[str, Any], key: str) -> Selector | None:
        where = (*path, key) if inside is block else (*path, "when", key)
        return reader.selector(inside[key], where) if key in inside else None

    try:
        return Poll.from_json(block, read)
    except ValueError as error:
        reader.complain("E_POLL", str(error), path, "see Poll in docs/definitions.md")
        return None


def _is_route(route: str) -> bool:
    if not route.startswith("/webhooks/") or any(char in route for char in "{}%?#\\") or not route.isascii():
        return False
    return route.isprintable() and " " not in route and "//" not in route and not has_dot_segment(route)


def _read_challenge(
    source: Mapping[str, Any],
    selectors: Mapping[str, Selector | None],
    compile_text: Callable[[str, tuple[str, ...]], Template],
) -> Challenge:
    """Reads a `webhook.challenge` block whose selectors are compiled; raises ValueError with a sentence."""
    texts = {name: value for name, value in source.items() if isinstance(value, str)}
    answer = source.get("answer")
    filled: Template | dict[str, Template] = Template((Slot("challenge"),))
    if isinstance(answer, str):
        filled = compile_text(answer, ("answer",))
    elif isinstance(answer, Mapping):
        members = {name: value for name, value in answer.items() if isinstance(value, str)}
        filled = {name: compile_text(value, ("answer", name)) for name, value in members.items()}
    for template in [filled] if isinstance(filled, Template) else filled.values():
        unknown = [name for name in template.names if name not in ANSWER_NAMES]
        if unknown:
            raise ValueError(f"{unknown[0]!r} cannot be answered; known: {', '.join(ANSWER_NAMES)}")
    algorithm, encoding = texts.get("algorithm", "sha256"), texts.get("encoding", "hex")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {algorithm[:70]!r}; known: {', '.join(ALGORITHMS)}")
    if encoding not in ENCODINGS:
        raise ValueError(f"unknown encoding {encoding[:70]!r}; known: {', '.join(ENCODINGS)}")
    words = source.get("in")
    if (selectors.get("if") is None) != (not isinstance(words, list)):
        raise ValueError("'if' and 'in' go together")
    return Challenge(
        answer=filled,
        body=selectors.get("body"),
        query="" if "body" in source else texts.get("query", ""),
        when=selectors.get("if"),
        words=tuple(word for word in words if isinstance(word, str)) if isinstance(words, list) else (),
        token=texts.get("token", ""),
        algorithm=algorithm,
        encoding=encoding,
    )
