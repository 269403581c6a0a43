"""Putting an operation together: its templates read, merged with its service's, flattened into one Operation.

Everything that depends on how the pieces of one operation relate is here: one flat namespace of inputs, which of them a
connection fills, which header wins, which kind of body it has. The pieces themselves are `reading`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.bodies import BODY_KINDS, Body, SlotUse, find_body_kind
from connector.convertors import CONVERTORS, to_text
from connector.definitions import RESPONSE_KINDS, Field, Operation, Service
from connector.errors import did_you_mean
from connector.reading import Reader
from connector.schema import Path
from connector.templates import PathTemplate, Placeholder, QueryPair, Slot, Template, TemplateSyntaxError
from connector.urls import encode_literal, encode_query, has_dot_segment, stays_within

Headers = list[tuple[str, Template]]


@dataclass(slots=True)
class Usage:
    """Which names one operation declares and uses, gathered while its pieces are read.

    `declared` has one entry for each place of each declaration; `used` one for each place a name lands in, with the
    type that an undeclared name gets there.
    """

    declared: list[tuple[str, Placeholder, Path]] = field(default_factory=list)
    used: list[tuple[str, str, str, Path]] = field(default_factory=list)

    def add(self, place: str, template: Template, declared: Mapping[str, Placeholder], path: Path) -> None:
        """The names of one template that lands in `place`."""
        self.declared += [(place, placeholder, path) for placeholder in declared.values()]
        self.used += [(place, name, "String", path) for name in template.names]


def read_operation(
    reader: Reader,
    id: str,  # noqa: A002 - what it is called everywhere
    source: Mapping[str, Any],
    path: Path,
    service: Service,
    *,
    endpoint: tuple[Template, Mapping[str, Placeholder]] = (Template(()), {}),
    fields: tuple[Field, ...] = (),
) -> Operation:
    """One operation, complete; its problems go to the reader."""
    usage = Usage()
    usage.add("path", endpoint[0], endpoint[1], path)
    own_path, declared = reader.template(source.get("path", ""), (*path, "path"))
    usage.add("path", own_path, declared, (*path, "path"))
    path_template = _path(reader, endpoint[0], own_path, usage, service, path)
    own_headers: Headers = []
    for name, template, declared in reader.headers(reader.get(source, "headers", dict, {}), (*path, "headers")):
        usage.add("header", template, declared, (*path, "headers", name))
        own_headers.append((name, template))
    pairs: list[QueryPair] = []
    for pair, declared, where in reader.query(reader.get(source, "queryParams", (dict, list), {}), (*path, "queryParams")):
        usage.add("query", pair.value, declared, where)
        pairs.append(pair)
    content_type = _content_type(own_headers, service)
    body = _body(reader, source, path, content_type, usage)
    if "fields" in source:
        fields = reader.fields(reader.get(source, "fields", list, []), (*path, "fields"))
    records = reader.selector(source["records"], (*path, "records")) if "records" in source else None
    response = _response(reader, source, path)
    inputs, places, bound, shadowed = _namespace(reader, usage, service)
    short, description = reader.meta(source)
    return Operation(
        id,
        service,
        reader.need(source, "method", str, "GET").upper(),
        path_template,
        tuple(_repeating(pair, inputs) for pair in (*path_template.query, *pairs)),
        tuple(_merge_headers(service, own_headers, body, content_type, response)),
        frozenset(name.lower() for name, _ in own_headers),
        body,
        inputs,
        places,
        bound,
        shadowed,
        fields,
        records,
        response,
        short,
        description,
    )


def _path(
    reader: Reader, endpoint: Template, own: Template, usage: Usage, service: Service, path: Path
) -> PathTemplate:
    before_query, after_query = _split_query(endpoint.parts + own.parts)
    where = (*path, "path")
    start = before_query[0] if before_query else ""
    if start != "" and not (isinstance(start, str) and start.startswith(("/", ":"))):
        reader.complain("E_URL", "a path begins with '/', '?' or ':'", where, "it is appended to the base URL")
    if any(isinstance(part, str) and "#" in part for part in endpoint.parts + own.parts):
        reader.complain("E_URL", "a path holds no fragment ('#')", where)
    text = "".join(part if isinstance(part, str) else "x" for part in before_query)
    base = service.base.literal
    if has_dot_segment(text) or own.parts[:1] and str(own.parts[0]).lower().startswith(("http://", "https://")):
        reader.complain("E_URL", "a path holds no '.' or '..' segment and no other URL", where)
    elif base and base.count("/") == 2 and not stays_within(base + text, base):  # noqa: PLR2004 - no path in it
        reader.complain("E_URL", "the path would change the host of the base URL", where, "begin it with '/'")
    declared = {placeholder.name: placeholder for _, placeholder, _ in usage.declared}
    pairs = []
    for pair in _pairs(after_query):
        name, template = pair
        if Template.from_text(name).names:
            reader.complain("E_URL", "the name of a query parameter holds no placeholder", where)
        pairs.append(QueryPair(encode_query(name), template))
    # Names after the '?' are query inputs, whatever the template they stand in.
    query_names = {name for pair in pairs for name in pair.value.names}
    path_names = {part.name for part in before_query if isinstance(part, Slot)}
    usage.used = [
        ("query" if name in query_names and name not in path_names else place, name, kind, where)
        for place, name, kind, where in usage.used
    ]
    return PathTemplate(
        Template(tuple(encode_literal(part) if isinstance(part, str) else part for part in before_query)),
        tuple(pairs),
        frozenset(name for name, placeholder in declared.items() if placeholder.multi),
    )


def _split_query(parts: tuple[str | Slot, ...]) -> tuple[tuple[str | Slot, ...], tuple[str | Slot, ...]]:
    merged: list[str | Slot] = []
    for part in parts:
        if merged and isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    for place, part in enumerate(merged):
        if isinstance(part, str) and "?" in part:
            before, _, after = part.partition("?")
            return (
                (*merged[:place], *([before] if before else [])),
                (*([after] if after else []), *merged[place + 1 :]),
            )
    return tuple(merged), ()


def _pairs(parts: tuple[str | Slot, ...]) -> Iterator[tuple[str, Template]]:
    """The `name=value` pairs of the query part of a path template."""
    pairs: list[list[str | Slot]] = [[]]
    for part in parts:
        if isinstance(part, str):
            first, *others = part.split("&")
            pairs[-1].append(first)
            pairs += [[other] for other in others]
        else:
            pairs[-1].append(part)
    for pair in pairs:
        head = pair[0] if pair and isinstance(pair[0], str) else ""
        name, _, value = head.partition("=")
        rest = [part for part in (encode_literal(value), *pair[1:]) if part != ""]
        if name or rest:
            yield name if head else "{{name}}", Template(tuple(rest))


def _content_type(own: Headers, service: Service) -> str:
    for name, template in (*own, *service.headers):
        if name.lower() == "content-type" and template.literal:
            return template.literal
    return service.content_type


def _body(reader: Reader, source: Mapping[str, Any], path: Path, content_type: str, usage: Usage) -> Body | None:
    template = source.get("bodyTemplate")
    where: Path = (*path, "bodyTemplate")
    declared: Mapping[str, Placeholder] = {}
    if isinstance(template, Mapping) and "value" in template and template.keys() <= {"value", "placeholders"}:
        if "placeholders" in template:
            declared = reader.placeholders(template["placeholders"], (*where, "placeholders"))
        template, where = template["value"], (*where, "value")
    usage.declared += [("body", placeholder, where) for placeholder in declared.values()]
    if template is None or template == "":
        return None
    if not isinstance(template, (str, Mapping, list)):
        reader.misshapen = True
        return None
    kind = find_body_kind(content_type) if content_type else BODY_KINDS["json"]
    if kind is None:
        known = ", ".join(BODY_KINDS)
        reader.complain("E_BODY_KIND", f"no kind of body for Content-Type {content_type!r}", where, f"known: {known}")
        return None
    try:
        body = kind.from_json(template)
    except TemplateSyntaxError as error:
        code = "E_BODY" if "JSON" in str(error) or "body" in str(error) else "E_TEMPLATE_GRAMMAR"
        reader.complain(code, str(error), where, "write {{name}} and declare its placeholder")
        return None
    for use in body.uses():
        usage.used.append(("body", use.name, "Any" if use.place in ("bare", "condition") else "String", where))
        if use.place == "key":
            _check_key(reader, use, declared, where)
    return body


def _check_key(reader: Reader, use: SlotUse, declared: Mapping[str, Placeholder], where: Path) -> None:
    options = [to_text(option) for option in declared[use.name].options] if use.name in declared else []
    if not options:
        reader.complain("E_BODY_KEY", f"{use.name!r} stands as a key and declares no options", where, "declare options")
    for clash in use.keys.intersection(options):
        reader.complain("E_BODY_KEY", f"option {clash!r} of {use.name!r} is a key of the same object already", where)


def _response(reader: Reader, source: Mapping[str, Any], path: Path) -> str:
    response: str = reader.get(source, "response", str, "json")
    if response not in RESPONSE_KINDS:
        hint = did_you_mean(response, list(RESPONSE_KINDS))
        reader.complain("E_RESPONSE_KIND", f"unknown kind of response {response!r}", (*path, "response"), hint)
        return "json"
    return response


def _namespace(
    reader: Reader, usage: Usage, service: Service
) -> tuple[dict[str, Placeholder], dict[str, tuple[str, ...]], frozenset[str], frozenset[str]]:
    """One flat namespace: inputs by name, the places of each, those a connection fills, those it shadows."""
    declared: dict[str, Placeholder] = {}
    late: set[str] = set()
    for place, placeholder, path in usage.declared:
        known = declared.setdefault(placeholder.name, placeholder)
        if known.type != placeholder.type:
            reader.complain(
                "W_CONFLICT",
                f"{placeholder.name!r} is declared as {known.type} and as {placeholder.type}",
                path,
                "one name is one input; the first declaration counts",
            )
        elif placeholder.required and not known.required:
            declared[placeholder.name] = replace(known, required=True)
        if place in ("query", "body"):
            late.add(placeholder.name)
    places: dict[str, tuple[str, ...]] = {}
    kinds: dict[str, tuple[str, Path]] = {}
    for place, name, kind, path in usage.used:
        places[name] = tuple(dict.fromkeys((*places.get(name, ()), place)))
        kinds.setdefault(name, (kind, path))
    # Dialect rule 6: what the connection knows by that name fills URL and headers always, query and body only where
    # the operation does not declare the name for itself.
    early = {name for name, where in places.items() if {"path", "header"} & set(where)}
    connection = {name for name in places if name in service.placeholders}
    bound = {name for name in connection if name not in late}
    shadowed = frozenset(name for name in connection & late if name in early)
    inputs: dict[str, Placeholder] = {}
    for name, placeholder in declared.items():
        if name in bound:
            continue
        if name not in places:
            inputs[name] = replace(placeholder, required=False, default=None)
            where = next(path for _, each, path in usage.declared if each.name == name)
            reader.complain("W_UNUSED", f"{name!r} is declared and used nowhere", where, "remove it")
        else:
            # A path always needs its value (dialect rule 4).
            must = placeholder.required or ("path" in places[name] and placeholder.default is None)
            inputs[name] = replace(placeholder, required=must)
    for name, (kind, path) in kinds.items():
        if name in bound:
            if name in service.credentials:
                reader.complain(
                    "W_SECRET_OUTSIDE_AUTH", f"the credential {name!r} is used outside auth", path, "rename the input"
                )
        elif name not in inputs:
            inputs[name] = Placeholder(name, CONVERTORS[kind.lower()], required=True)
            hint = f"declare it; it is taken as a required {kind}"
            reader.complain("W_UNDECLARED", f"{name!r} is used and declared nowhere", path, hint)
    return inputs, places, frozenset(bound), shadowed


def _repeating(pair: QueryPair, inputs: Mapping[str, Placeholder]) -> QueryPair:
    """The pair with the type of its one slot known, wherever that was declared."""
    slot = pair.value.only_slot
    return replace(pair, repeats=slot in inputs and inputs[slot].type == "Array") if slot else pair


def _merge_headers(
    service: Service, own: Headers, body: Body | None, content_type: str, response: str
) -> Iterator[tuple[str, Template]]:
    """Operation over service, whatever the case; Content-Type only with a body; Accept as the answer demands."""
    merged = {name.lower(): (name, template) for name, template in service.headers}
    accept = RESPONSE_KINDS[response]
    if accept is not None:
        merged["accept"] = ("Accept", Template((accept,)))
    merged |= {name.lower(): (name, template) for name, template in own}
    if body is None:
        merged.pop("content-type", None)
    elif "content-type" not in merged:
        merged["content-type"] = ("Content-Type", Template((content_type or body.content_type,)))
    return iter(merged.values())
