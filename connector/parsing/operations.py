"""Putting an operation together: its templates read, merged with its service's, flattened into one Operation.

Everything that depends on how the pieces of one operation relate is here: which header wins, which kind of body it has,
which answer. `reader` reads the pieces, and `namespaces` makes one flat namespace of their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connector.answers.kinds import RESPONSE_KINDS
from connector.answers.pagination import PAGINATION_STYLES
from connector.answers.picks import Pick
from connector.errors import UnknownOption, check_options, did_you_mean, unknown_kind
from connector.headers import check_header_name
from connector.model.definition import Field, Operation
from connector.model.policies import METHODS, Policies, read_idempotency
from connector.model.service import Service
from connector.parsing.namespaces import Usage, find_namespace
from connector.parsing.reader import Declarations, Reader, text_path
from connector.parsing.schema import Path
from connector.protocols import Body, Pagination
from connector.requests.bodies import BODY_KINDS, WholeBody, find_body_kind
from connector.requests.trees import LIST_STYLES, BodyOptions, ListStyle, SlotUse
from connector.selectors import Selector
from connector.templates import MAX_SLOTS, PathTemplate, Placeholder, QueryPair, Slot, Template
from connector.types import to_text
from connector.urls import encode_literal, has_dot_segment

#: The type of an undeclared name by its place in a body, if not String (language rule 5).
_UNDECLARED = {"bare": "Any", "condition": "Any", "file": "File"}
Headers = list[tuple[str, Template]]
Parts = tuple[str | Slot, ...]
#: The service of operations that are read without theirs: nothing is known of its connection or its Content-Type.
NOWHERE = Service(connector="", base=Template(("https://nowhere.invalid/base",)))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What comes before the path of every operation of a resource."""

    template: Template
    declared: Declarations = field(default_factory=dict)
    path: Path = ()


def read_operation(
    reader: Reader,
    id: str,
    source: Mapping[str, Any],
    path: Path,
    service: Service,
    *,
    endpoint: Endpoint | None = None,
    fields: tuple[Field, ...] = (),
    usage: Usage | None = None,
) -> Operation:
    """Returns one complete operation; its problems go to the reader.

    A step of a custom operation has no endpoint; its whole path may be a value. `usage` holds the names that it may use
    in addition to the placeholders that it declares itself.
    """
    usage = usage or Usage()
    known = len(reader.findings)
    path_template = _path(reader, endpoint, source, usage, service, path)
    own_headers: Headers = []
    exploded: list[str] = []
    for name, template, declared, where in reader.headers(reader.get(source, "headers", dict, {}), (*path, "headers")):
        usage.add("header", template, declared, where)
        slot = template.only_slot or ""
        if slot in declared and declared[slot].placeholder.explode:
            exploded.append(slot)
        else:
            own_headers.append((name, template))
    for name, template in service.headers:
        if all(name.lower() != own.lower() for own, _ in own_headers):
            usage.shared |= set(template.names)
    pairs = list(path_template.query)
    params = reader.get(source, "queryParams", (dict, list), {})
    for pair, declared, where in reader.query(params, (*path, "queryParams")):
        usage.add("query", pair.value, declared, where)
        pairs.append(pair)
    content_type = _content_type(own_headers, service)
    body = _body(reader, source, path, content_type, usage, service, chosen=bool(exploded))
    if "fields" in source:
        fields = reader.fields(reader.get(source, "fields", list, []), (*path, "fields"))
    records = reader.selector(source["records"], (*path, "records")) if "records" in source else None
    response, fields, done, join, ignored = _response(reader, source, path, fields)
    broken = any(finding.code.startswith("E_") for finding in reader.findings[known:])
    inputs, places, bound, shadowed = find_namespace(reader, usage, service, broken=broken)
    short, description = reader.meta(source)
    method = _method(reader, reader.get(source, "method", str, "GET"), (*path, "method"))
    idempotent, idempotency_header = read_idempotency(source.get("idempotent"), method)
    try:
        check_header_name(idempotency_header or "X")
    except ValueError as error:
        reader.complain("E_HEADER", str(error), (*path, "idempotent", "header"))
    return Operation(
        id=id,
        service=service,
        method=method,
        path=path_template,
        query=tuple(_repeating(pair, inputs, pairs) for pair in pairs),
        headers=tuple(_merge_headers(service, own_headers, body, content_type, response)),
        own_headers=frozenset(name.lower() for name, _ in own_headers),
        body=body,
        inputs=inputs,
        places=places,
        from_connection=bound,
        shadowed=shadowed,
        fields=fields,
        records=records,
        response=response,
        short=short,
        description=description,
        pagination=_pagination(reader, source, path),
        policies=read_policies(reader, source, path, service.policies),
        idempotent=idempotent,
        idempotency_header=idempotency_header,
        done=done,
        ignored_events=ignored,
        join=join,
        deprecated=reader.get(source, "deprecated", bool, default=False),
        header_inputs=tuple(exploded),
    )


def _method(reader: Reader, written: str, path: Path) -> str:
    if (method := written.upper()) in METHODS:
        return method
    reader.complain("E_METHOD", f"unknown HTTP method {written[:20]!r}", path, did_you_mean(method, list(METHODS)))
    return "GET"


def read_policies(reader: Reader, source: Mapping[str, Any], path: Path, over: Policies) -> Policies:
    """Returns the policies on rates, retries and errors with those of a service or an operation applied."""

    def read(block: Mapping[str, Any], key: str, *within: str | int) -> Selector | None:
        return reader.selector(block[key], (*path, "errors", *within, key)) if key in block else None

    return over.overlaid(source, read)


def _pagination(reader: Reader, source: Mapping[str, Any], path: Path) -> Pagination | None:
    block = reader.get(source, "pagination", dict, None)
    if block is None:
        return None
    where = (*path, "pagination")
    style = reader.get(block, "style", str, "")
    row = PAGINATION_STYLES.get(style)
    if row is None:
        hint = unknown_kind(style, PAGINATION_STYLES)
        reader.complain("E_PAGINATION", f"unknown style of pagination {style[:70]!r}", (*where, "style"), hint)
        return None

    def read(key: str, *within: str) -> Pick | None:
        inner: Any = block
        for name in within:
            inner = reader.get(inner, name, dict, {})
        return reader.pick(inner[key], (*where, *within, key)) if key in inner else None

    try:
        # The row of a plug-in may not declare its options.
        check_options(block, getattr(row, "options", block), f"the style {style}", also=("style", "options"))
        return row(block, read)
    except UnknownOption as error:
        inside = () if error.option in block else ("end",)
        reader.complain("E_UNKNOWN_OPTION", str(error), (*where, *inside, error.option), "leave it out", at_key=True)
    except ValueError as error:
        reader.complain("E_PAGINATION", str(error), where, f"see the style {style}")
    return None


def check_path(reader: Reader, template: Template, path: Path, service: Service, *, before: Parts = ()) -> None:
    """Complains about an endpoint or a path that could lead away from the base URL (hazard T29).

    `before` are the parts that it will be appended to, if any.
    """
    own, _ = _split_query(template.parts)
    whole = "".join(part if isinstance(part, str) else "x" for part in _split_query(before + template.parts)[0])
    base = "".join(part if isinstance(part, str) else "x" for part in service.base.parts)
    if any(isinstance(part, str) and "#" in part for part in template.parts):
        reader.complain("E_URL", "a path holds no fragment ('#')", path, "write %23")
    elif has_dot_segment(whole) or (own and str(own[0]).lower().startswith(("http:", "https:"))):
        reader.complain("E_URL", "a path holds no '.' or '..' segment and no other URL", path, "write /path")
    elif own and not before and not (isinstance(own[0], str) and own[0].startswith(("/", ":"))):
        reader.complain("E_URL", "a path begins with '/', '?' or ':'", path, "it is appended to the base URL")
    elif whole.startswith(":") and base.count("/") == 2:
        # With no path in the base URL, what follows the colon would be its port.
        reader.complain("E_URL", "the path would change the host of the base URL", path, "begin it with '/'")


def _path(
    reader: Reader, endpoint: Endpoint | None, source: Mapping[str, Any], usage: Usage, service: Service, path: Path
) -> PathTemplate:
    own, declared = reader.template(source.get("path", ""), (*path, "path"))
    where = text_path(source.get("path"), (*path, "path"))
    if endpoint is None:
        endpoint = Endpoint(Template(()))
        # A value at the beginning of a path is checked when it is known (`encode_path`).
        starts_with_value = bool(own.parts) and isinstance(own.parts[0], Slot)
        check_path(reader, own, where, service, before=("/",) if starts_with_value else ())
    else:
        check_path(reader, own, where, service, before=endpoint.template.parts)
    before_query, after_query = _split_query(endpoint.template.parts + own.parts)
    pairs = []
    for name, value in _pairs(after_query):
        if name is None:
            reader.complain("E_URL", "the name of a query parameter holds no placeholder", where, "use queryParams")
        else:
            pairs.append(QueryPair(encode_literal(name), value))
    # Names after the '?' are inputs of the query, whichever template they are in.
    after = {part.name for part in after_query if isinstance(part, Slot)}
    before = {part.name for part in before_query if isinstance(part, Slot)}
    for template, declarations, at in ((endpoint.template, endpoint.declared, endpoint.path), (own, declared, where)):
        for name, declaration in declarations.items():
            usage.declared.append(("query" if name in after - before else "path", declaration))
        usage.used += [("path", name, "String", at) for name in template.names if name in before]
        usage.used += [("query", name, "String", at) for name in template.names if name in after]
    multi = {each.placeholder.name for _, each in usage.declared if each.placeholder.multi}
    encoded = tuple(encode_literal(part) if isinstance(part, str) else part for part in before_query)
    return PathTemplate(Template(encoded), tuple(pairs), frozenset(multi))


def _split_query(parts: Parts) -> tuple[Parts, Parts]:
    """Returns the parts before and after the first `?`, neighbouring texts joined."""
    before: list[str | Slot] = []
    after: list[str | Slot] = []
    target = before
    for part in parts:
        if isinstance(part, str) and "?" in part and target is before:
            path, _, query = part.partition("?")
            _append(before, path)
            _append(after, query)
            target = after
        else:
            _append(target, part)
    return tuple(before), tuple(after)


def _append(parts: list[str | Slot], part: str | Slot) -> None:
    if isinstance(part, str) and parts and isinstance(parts[-1], str):
        parts[-1] += part
    elif part != "":
        parts.append(part)


def _pairs(parts: Parts) -> Iterator[tuple[str | None, Template]]:
    """Yields the `name=value` pairs of the query of a path template; None for a name that holds a placeholder."""
    pairs: list[list[str | Slot]] = [[]]
    for part in parts:
        first, *others = part.split("&") if isinstance(part, str) else [part]
        _append(pairs[-1], first)
        pairs += [[other] if other else [] for other in others]
    for pair in filter(None, pairs):
        head = pair[0] if isinstance(pair[0], str) else ""
        name, equals, value = head.partition("=")
        if not equals and len(pair) > (1 if head else 0):
            yield None, Template(())
        else:
            value_parts = [value, *pair[1:]] if value else pair[1:]
            yield name, Template(tuple(encode_literal(each) if isinstance(each, str) else each for each in value_parts))


def _content_type(own: Headers, service: Service) -> str:
    for name, template in (*own, *service.headers):
        if name.lower() == "content-type" and template.literal:
            return template.literal
    return service.content_type


def _body(
    reader: Reader,
    source: Mapping[str, Any],
    path: Path,
    content_type: str,
    usage: Usage,
    service: Service,
    *,
    chosen: bool,
) -> Body | None:
    """Returns the body; a WholeBody if the caller's headers may choose its kind (`chosen`)."""
    template = source.get("bodyTemplate")
    where: Path = (*path, "bodyTemplate")
    if isinstance(template, Mapping) and "value" in template and ("placeholders" in template or len(template) == 1):
        declared = reader.placeholders(template.get("placeholders"), (*where, "placeholders"))
        usage.declared += [("body", declaration) for declaration in declared.values()]
        template, where = template["value"], (*where, "value")
    if template == "" or not isinstance(template, (str, Mapping, list)):
        return None
    kind: type[Body] | None = find_body_kind(content_type) if content_type else BODY_KINDS["json"]
    if chosen:
        kind = WholeBody
    if kind is None:
        message = f"no kind of body for Content-Type {content_type!r}"
        reader.complain("E_BODY_KIND", message, where, unknown_kind(content_type, BODY_KINDS))
        return None
    try:
        # Of several declarations of one name the first counts, so it is added last.
        types = {each.placeholder.name: each.placeholder.type for _, each in reversed(usage.known())}
        options = BodyOptions(
            frozenset(name for name, type_name in types.items() if type_name in ("Array", "Object")),
            frozenset(name for name, type_name in types.items() if type_name == "File"),
            _list_style(reader, source, path),
        )
        body = kind.from_json(template, options)
        uses = list(body.uses())
    except (ValueError, RecursionError) as error:
        known_kind = content_type or service is not NOWHERE
        if _is_grammatical(reader, template, where) and known_kind:
            message = str(error) if isinstance(error, ValueError) else "the body template nests too deeply"
            reader.complain("E_BODY", message, where, f"it is read as {content_type or 'JSON'}")
        return None
    if len(uses) > MAX_SLOTS:
        reader.complain("E_LIMIT", f"more than {MAX_SLOTS} placeholders in one template", where)
    for use in uses:
        usage.used.append(("body", use.name, _UNDECLARED.get(use.place, "String"), where))
        if use.place == "key":
            _check_key(reader, use, usage, where)
    return body


def _list_style(reader: Reader, source: Mapping[str, Any], path: Path) -> ListStyle:
    style: Any = reader.get(reader.get(source, "form", dict, {}), "lists", str, LIST_STYLES[0])
    if style in LIST_STYLES:
        return next(each for each in LIST_STYLES if each == style)
    hint = f"known: {', '.join(LIST_STYLES)}"
    reader.complain("E_BODY", f"unknown style of lists {style[:70]!r}", (*path, "form", "lists"), hint)
    return LIST_STYLES[0]


def _is_grammatical(reader: Reader, template: Any, path: Path) -> bool:
    """Returns True if every text of a body is in the template language; complains about each that is not."""
    known = len(reader.findings)
    if isinstance(template, str):
        reader.compile(template, path)
    elif isinstance(template, list):
        for index, item in enumerate(template):
            _is_grammatical(reader, item, (*path, index))
    elif isinstance(template, Mapping):
        for key, item in template.items():
            reader.compile(key, (*path, key))
            _is_grammatical(reader, item, (*path, key))
    return len(reader.findings) == known


def _check_key(reader: Reader, use: SlotUse, usage: Usage, where: Path) -> None:
    declared = next((each for _, each in usage.known() if each.placeholder.name == use.name), None)
    if declared is None or not declared.placeholder.options:
        message = f"{use.name!r} is used as a key and declares no options"
        at = where if declared is None else declared.path
        reader.complain("E_BODY_KEY", message, at, "declare options", missing="options")
        return
    for index, option in enumerate(map(to_text, declared.placeholder.options)):
        if option in use.keys:
            message = f"option {option!r} of {use.name!r} is a key of the same object already"
            reader.complain("E_BODY_KEY", message, (*declared.path, "options", index), "rename one of them")


def _response(
    reader: Reader, source: Mapping[str, Any], path: Path, fields: tuple[Field, ...]
) -> tuple[str, tuple[Field, ...], tuple[str, ...], frozenset[str], frozenset[str]]:
    """Returns the kind of answer, its fields (its own if any), what ends a stream, joined fields and ignored events."""
    declared = reader.get(source, "response", (str, dict), "json")
    where: Path = (*path, "response")
    block: Mapping[str, Any] = {} if isinstance(declared, str) else declared
    if block:
        declared, where = reader.get(block, "kind", str, "json"), (*where, "kind")
    if declared not in RESPONSE_KINDS:
        hint = unknown_kind(declared, RESPONSE_KINDS)
        reader.complain("E_RESPONSE_KIND", f"unknown kind of response {declared!r}", where, hint)
        declared = "json"
    if "fields" in block:
        fields = reader.fields(reader.get(block, "fields", list, []), (*path, "response", "fields"))
    names = {each.name for each in fields}
    joined = [name for name in reader.get(block, "join", list, []) if isinstance(name, str)]
    for index, name in enumerate(joined):
        if name not in names:
            message = f"{name[:70]!r} is not a field of this answer"
            at = (*path, "response", "join", index)
            reader.complain("E_RESPONSE_KIND", message, at, did_you_mean(name, sorted(names)))
    done = reader.get(block, "done", (str, list), [])
    ends = [done] if isinstance(done, str) else [each for each in done if isinstance(each, str)]
    ignored = reader.get(reader.get(block, "ignore", dict, {}), "events", list, [])
    events = frozenset(name for name in ignored if isinstance(name, str))
    return declared, fields, tuple(ends), frozenset(joined), events


def _repeating(pair: QueryPair, inputs: Mapping[str, Placeholder], pairs: Sequence[QueryPair]) -> QueryPair:
    """Returns the pair with `repeats` or `reserved` set, once all inputs and pairs are known (language rule 8)."""
    slot = pair.value.only_slot
    if pair.explodes:
        return replace(pair, reserved=frozenset(each.name for each in pairs if each is not pair))
    return replace(pair, repeats=slot is not None and slot in inputs and inputs[slot].type == "Array")


def _merge_headers(
    service: Service, own: Headers, body: Body | None, content_type: str, response: str
) -> Iterator[tuple[str, Template]]:
    """Merges the headers, the operation's over the service's; Content-Type only with a body, Accept for the answer."""
    merged = {name.lower(): (name, template) for name, template in service.headers}
    accept = RESPONSE_KINDS[response].accept
    if accept is not None:
        merged["accept"] = ("Accept", Template((accept,)))
    merged |= {name.lower(): (name, template) for name, template in own}
    if body is None:
        merged.pop("content-type", None)
    elif body.retyped or "content-type" not in merged:
        content_type = "" if body.retyped else content_type
        merged["content-type"] = ("Content-Type", Template((content_type or body.content_type,)))
    return iter(merged.values())
