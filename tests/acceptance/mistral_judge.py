"""What Mistral's own OpenAPI file says of a request or an answer: the judge of shipped definitions and of importers.

    spec = load_spec(find_spec())
    complaints(spec, "POST /v1/conversations#stream", request)     # ["query: 'pages' is not declared", ...]
    answer_complaints(spec, "GET /v1/models", response)

An endpoint is written as the file writes it: method, blank, path with its fragment. Values are judged by jsonschema,
multipart bodies are read by python-multipart; nothing here imports what it judges but the two values Request and
Response. Where the file contradicts itself, `DEFECTS` says so.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from python_multipart import parse_form
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from connector.answers.streams import SseDecoder
from connector.messages import Request, Response

#: Where the file is: what this variable names, else beside the checkout.
VARIABLE = "MISTRAL_OPENAPI"
BESIDE = Path(__file__).parents[3] / "shared" / "mistral" / "openapi.yaml"

#: Complaints that are the file's own fault: endpoint and complaint (patterns), and why it does not count.
DEFECTS: tuple[tuple[str, str, str], ...] = (
    (
        r"DELETE /v1/libraries/{library_id}/share",
        r"body: 'level' is a required property",
        "SharingDelete requires `level` and has no such property; Mistral's own client does not send it",
    ),
    (
        r"POST /v1/(chat|fim|agents)/completions",
        r"answer: 'data' is a required property",
        "ChatCompletionResponse requires `data` and has no such property; every example in the file lacks it",
    ),
    (
        r"POST /v1/agents/completions",
        r"(Accept: text/event-stream.*|answer: text/event-stream is not declared)",
        "the file lists JSON alone, but its body has `stream`, and says that such an answer ends with data: [DONE]",
    ),
)

_HEADERS_OF_ALL = {"accept", "authorization", "content-length", "content-type", "host", "user-agent"}
_TEXT = {
    "integer": re.compile(r"-?(0|[1-9][0-9]*)\Z"),
    "number": re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z"),
    "boolean": re.compile(r"(true|false)\Z"),
    "null": re.compile(r"null\Z"),
}


class _Loader(yaml.CSafeLoader):
    """YAML 1.2's core schema: `1e-08` is a number, `on` and dates are texts."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"(?:null|Null|NULL|~|)\Z", ["n", "N", "~", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def find_spec() -> Path | None:
    """The file, or None where it is not there."""
    path = Path(os.environ.get(VARIABLE, BESIDE))
    return path if path.is_file() else None


@dataclass(frozen=True)
class Spec:
    """The file as parsed, with a registry that fetches nothing."""

    document: Mapping[str, Any]
    registry: Any = field(repr=False)

    def operation(self, endpoint: str) -> tuple[str, Mapping[str, Any]]:
        """The path as it is on the wire, and what the file says of the operation."""
        method, _, path = endpoint.partition(" ")
        return path.partition("#")[0], self.document["paths"][path][method.lower()]

    def endpoints(self) -> list[str]:
        """All of them, in the order of the file."""
        return [f"{method.upper()} {path}" for path, item in self.document["paths"].items() for method in item]

    def resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema that a `$ref` leads to."""
        while "$ref" in schema:
            schema = self.registry.resolver("urn:spec").lookup("urn:spec" + schema["$ref"]).contents
        return schema

    def problems(self, schema: Mapping[str, Any], value: Any) -> list[str]:
        """What is wrong with a value, in jsonschema's words, the deepest reasons of alternatives included."""
        # An inline schema may point into the file, so it is read as a part of it.
        registry = _registry({**self.document, "x-judged": schema})
        validator = Draft202012Validator(
            {"$ref": "urn:spec#/x-judged"},
            registry=registry,
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        found = []
        for error in validator.iter_errors(value):
            where = "".join(f"[{step!r}]" for step in error.absolute_path)
            deepest = sorted((each.message[:150] for each in error.context or ()), key=len)[:3]
            found.append(
                f"{where + ' ' if where else ''}{error.message[:300]}" + "".join(f"; {each}" for each in deepest)
            )
        return found

    def types(self, schema: Mapping[str, Any]) -> set[str]:
        """The JSON types that a schema allows at its root."""
        schema = self.resolve(schema)
        found = {schema["type"]} if isinstance(schema.get("type"), str) else set(schema.get("type", ()))
        for key in ("anyOf", "oneOf", "allOf"):
            for each in schema.get(key, ()):
                found |= self.types(each)
        return found or {"string"}

    def properties(self, schema: Mapping[str, Any]) -> dict[str, Any] | None:
        """The members that a schema names, or None if it allows any."""
        schema = self.resolve(schema)
        extra = schema.get("additionalProperties", False)
        if extra not in (False, None) and not schema.get("properties"):
            return None
        found = dict(schema.get("properties", {}))
        for key in ("anyOf", "oneOf", "allOf"):
            for each in schema.get(key, ()):
                found |= self.properties(each) or {}
        return found

    def items(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The schemas of the elements of the arrays that a schema allows."""
        schema = self.resolve(schema)
        if "items" in schema:
            yield schema["items"]
        for key in ("anyOf", "oneOf", "allOf"):
            for each in schema.get(key, ()):
                yield from self.items(each)


def _registry(document: Mapping[str, Any]) -> Any:
    # No `retrieve`, so nothing is ever fetched.
    resource: Resource[Any] = Resource(contents=document, specification=DRAFT202012)
    return Registry().with_resource("urn:spec", resource)  # type: ignore[var-annotated]


def load_spec(path: Path) -> Spec:
    """Reads the file."""
    document = yaml.load(path.read_text("utf-8"), Loader=_Loader)
    return Spec(document, _registry(document))


def complaints(spec: Spec, endpoint: str, request: Request) -> list[str]:
    """Everything about a request (after auth) that the file does not allow; empty for a valid one.

    Judged: method, path and its parameters, query (names, types, encodings), headers, Authorization, Accept,
    Content-Type and body.
    """
    found = [
        *_method_and_path(spec, endpoint, request),
        *_query(spec, endpoint, request),
        *_headers(spec, endpoint, request),
        *_body(spec, endpoint, request),
    ]
    return [each for each in found if not is_defect(endpoint, each)]


def answer_complaints(spec: Spec, endpoint: str, response: Response) -> list[str]:
    """Everything about a success that the file does not allow: status, type, body; of a stream, each message."""
    _, operation = spec.operation(endpoint)
    declared = operation["responses"].get(str(response.status))
    if declared is None:
        return [f"answer: status {response.status} is not declared"]
    contents = declared.get("content", {})
    if not contents:
        return ["answer: a body where none is declared"] if response.body else []
    content = contents.get(response.content_type)
    found: list[str] = []
    if content is None and response.content_type == "text/event-stream" and "agents/completions" in endpoint:
        content = spec.document["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["content"][
            "text/event-stream"
        ]
        found.append("answer: text/event-stream is not declared")
    if content is None:
        return [f"answer: {response.content_type or 'no type'} is not declared, only {', '.join(contents)}"]
    schema = content.get("schema", {})
    if response.content_type == "text/event-stream":
        found += _stream(spec, schema, response)
    elif response.content_type == "application/json":
        found += [f"answer: {each}" for each in spec.problems(schema, json.loads(response.body))]
    elif not response.body:
        found.append("answer: an empty body")
    return [each for each in found if not is_defect(endpoint, each)]


def is_defect(endpoint: str, complaint: str) -> bool:
    """True for a complaint that is the file's own fault."""
    return any(
        re.fullmatch(pattern.replace("{", r"\{"), endpoint) and re.match(text, complaint)
        for pattern, text, _ in DEFECTS
    )


def _stream(spec: Spec, schema: Mapping[str, Any], response: Response) -> Iterator[str]:
    decoder = SseDecoder(1 << 20)
    names = spec.properties(schema) or {}
    messages = [message for message in decoder.feed(response.body) if message.data.strip() != b"[DONE]"]
    if not messages:
        yield "answer: a stream without messages"
    for place, message in enumerate(messages):
        # What the file describes is the whole message: `event`, `data`, `id`, as far as it has them.
        value = {"data": json.loads(message.data)}
        value |= {"event": message.event} if message.event and "event" in names else {}
        value |= {"id": message.id} if message.id and "id" in names else {}
        for each in spec.problems(schema, value):
            yield f"answer: message {place}: {each}"


def _method_and_path(spec: Spec, endpoint: str, request: Request) -> Iterator[str]:
    wire, operation = spec.operation(endpoint)
    method = endpoint.partition(" ")[0]
    if request.method != method:
        yield f"method: {request.method}, not {method}"
    server = spec.document["servers"][0]["url"].rstrip("/")
    url = urllib.parse.urlsplit(request.url)
    if url.fragment or "#" in request.url:
        yield "path: a fragment is no part of a request"
    if f"{url.scheme}://{url.netloc}" != server:
        yield f"path: sent to {url.scheme}://{url.netloc}, not to {server}"
    names = re.findall(r"\{([^{}]+)\}", wire)
    pattern = "".join(
        "([^/]+)" if place % 2 else re.escape(part) for place, part in enumerate(re.split(r"\{([^{}]+)\}", wire))
    )
    match = re.fullmatch(pattern, url.path)
    if match is None:
        yield f"path: {url.path} is not {wire}"
        return
    declared = {each["name"]: each for each in operation.get("parameters", ()) if each["in"] == "path"}
    for name, raw in zip(names, match.groups(), strict=True):
        if re.search(r"[^A-Za-z0-9\-._~%!$&'()*+,;=:@]", raw):
            yield f"path: {name} is not percent-encoded"
        yield from _judge(spec, f"path: {name}", declared[name]["schema"], [urllib.parse.unquote(raw)])


def _query(spec: Spec, endpoint: str, request: Request) -> Iterator[str]:
    _, operation = spec.operation(endpoint)
    raw = urllib.parse.urlsplit(request.url).query
    given: dict[str, list[str]] = {}
    for name, value in urllib.parse.parse_qsl(raw, keep_blank_values=True, strict_parsing=bool(raw), errors="strict"):
        given.setdefault(name, []).append(value)
    declared = {each["name"]: each for each in operation.get("parameters", ()) if each["in"] == "query"}
    # An exploded object stands in the query as its own members.
    exploded = next(
        (name for name, each in declared.items() if "schema" in each and "object" in spec.types(each["schema"])), None
    )
    for name, values in given.items():
        if name in declared and name != exploded:
            continue
        if exploded is None:
            yield f"query: {name!r} is not declared"
        elif name == exploded:
            yield f"query: {name!r} is an object, its members stand in the query"
        elif len(values) > 1:
            yield f"query: {name!r} of the object {exploded} stands twice"
    for name, each in declared.items():
        if name == exploded:
            members = {key: values[0] for key, values in given.items() if key not in declared}
            if members:
                yield from _judge(spec, f"query: {name}", each["schema"], [], members)
        elif name not in given:
            if each.get("required"):
                yield f"query: {name} is missing"
        elif "content" in each:
            try:
                (text,) = given[name]
                value = json.loads(text)
            except ValueError:
                yield f"query: {name} is not one JSON text"
                continue
            for said in spec.problems(each["content"]["application/json"]["schema"], value):
                yield f"query: {name}: {said}"
        else:
            yield from _judge(spec, f"query: {name}", each["schema"], given[name])


def _headers(spec: Spec, endpoint: str, request: Request) -> Iterator[str]:
    _, operation = spec.operation(endpoint)
    declared = {each["name"].lower(): each for each in operation.get("parameters", ()) if each["in"] == "header"}
    for name, value in request.headers.items():
        if name.lower() in declared:
            yield from _judge(spec, f"header: {name}", declared[name.lower()]["schema"], [value])
        elif name.lower() not in _HEADERS_OF_ALL:
            yield f"header: {name} is not declared"
    for name, each in declared.items():
        if each.get("required") and name not in request.headers:
            yield f"header: {name} is missing"
    if operation.get("security", spec.document.get("security")) and not re.fullmatch(
        r"Bearer [\x21-\x7e]+", request.headers.get("authorization", "")
    ):
        yield "header: no Authorization: Bearer <token>"
    answers = [
        kind
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for kind in answer.get("content", {})
    ]
    accept = request.headers.get("accept", "*/*")
    if answers and not any(_accepts(accept, kind) for kind in answers):
        yield f"Accept: {accept} takes none of {', '.join(answers)}"
    expected = "text/event-stream" if _asks_for_stream(request) else "application/json"
    if expected in answers and len(answers) > 1 and "*/*" not in accept and not _accepts(accept, expected):
        others = [kind for kind in answers if not kind.startswith(("text/event", "application/json"))]
        if not any(_accepts(accept, kind) for kind in others):
            yield f"Accept: {accept} where the answer is {expected}"


def _accepts(accept: str, kind: str) -> bool:
    ranges = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
    return kind in ranges or "*/*" in ranges or f"{kind.partition('/')[0]}/*" in ranges


def _asks_for_stream(request: Request) -> bool:
    if not request.headers.get("content-type", "").startswith("application/json"):
        return False
    document = request.json
    return isinstance(document, dict) and document.get("stream") is True


def _body(spec: Spec, endpoint: str, request: Request) -> Iterator[str]:
    _, operation = spec.operation(endpoint)
    declared = operation.get("requestBody")
    if declared is None:
        if request.body:
            yield "body: none is declared"
        if "content-type" in request.headers and not request.body:
            yield "body: a Content-Type without a body"
        return
    if not request.body:
        if declared.get("required"):
            yield "body: it is missing"
        return
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    content = declared["content"].get(kind)
    if content is None:
        yield f"body: {kind or 'no type'} is not declared, only {', '.join(declared['content'])}"
        return
    schema = content["schema"]
    assert isinstance(request.body, bytes), "the judge reads bodies that are in memory"
    if kind == "multipart/form-data":
        yield from _multipart(spec, schema, request)
        return
    try:
        value = json.loads(request.body, parse_constant=_refuse)
    except ValueError as error:
        yield f"body: it is not JSON: {error}"
        return
    for said in spec.problems(schema, value):
        yield f"body: {said}"
    names = spec.properties(schema)
    if names is not None and isinstance(value, dict):
        for name in value.keys() - names.keys():
            yield f"body: {name!r} is not declared"


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _multipart(spec: Spec, schema: Mapping[str, Any], request: Request) -> Iterator[str]:
    parts: dict[str, list[Any]] = {}
    files: set[str] = set()

    def on_file(part: Any) -> None:
        part.file_object.seek(0)
        name = part.field_name.decode()
        files.add(name)
        if not part.file_name:
            raise ValueError(f"{name} has no file name")
        parts.setdefault(name, []).append(part.file_object.read().decode("latin-1"))

    def on_field(part: Any) -> None:
        parts.setdefault(part.field_name.decode(), []).append(part.value.decode())

    assert isinstance(request.body, bytes)
    head = {
        "Content-Type": request.headers["content-type"].encode(),
        "Content-Length": str(len(request.body)).encode(),
    }
    try:
        parse_form(head, io.BytesIO(request.body), on_field, on_file)
    except Exception as error:  # noqa: BLE001 - whatever the parser raises is a complaint
        yield f"body: it is no form: {error}"
        return
    properties = spec.properties(schema) or {}
    whole: dict[str, Any] = {}
    for name, values in parts.items():
        declared = properties.get(name)
        if declared is None:
            yield f"body: part {name!r} is not declared"
            continue
        binary = spec.resolve(declared).get("format") == "binary" or any(
            spec.resolve(each).get("format") == "binary"
            for each in itertools.chain(
                spec.resolve(declared).get("anyOf", ()), spec.resolve(declared).get("allOf", ())
            )
        )
        if binary != (name in files):
            yield f"body: part {name!r} is {'a text, not a file' if binary else 'a file, not a text'}"
        forms = [values[0]] if binary else list(_candidates(spec, declared, values))
        fitting = [form for form in forms if not spec.problems(declared, form)]
        whole[name] = (fitting or forms)[0]
    for said in spec.problems(schema, whole):
        yield f"body: {said}"


def _judge(
    spec: Spec, where: str, schema: Mapping[str, Any], texts: Sequence[str], members: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Judges texts as any of the values that they may stand for."""
    forms = list(_candidates(spec, schema, texts)) if members is None else [dict(members)]
    said: list[str] = []
    for form in forms:
        problems = spec.problems(schema, form)
        if not problems:
            return
        said = said or problems
    yield from (f"{where}: {each}" for each in said or ["it is duplicated"])


def _candidates(spec: Spec, schema: Mapping[str, Any], texts: Sequence[str]) -> Iterator[Any]:
    """The JSON values that the texts of one parameter may be, by the types of its schema."""
    types = spec.types(schema)
    if len(texts) == 1:
        yield from _scalars(types, texts[0])
    if "array" in types:
        inner = set().union(*(spec.types(each) for each in spec.items(schema))) or {"string"}
        yield from map(
            list, itertools.islice(itertools.product(*(list(_scalars(inner, each)) or [each] for each in texts)), 64)
        )


def _scalars(types: set[str], text: str) -> Iterator[Any]:
    for name in ("integer", "number", "boolean"):
        if name in types and _TEXT[name].match(text):
            yield json.loads(text)
    if "string" in types or not types & {"integer", "number", "boolean"}:
        yield text
    elif not any(_TEXT[name].match(text) for name in types & _TEXT.keys()):
        # It is none of them, and the validator is to say so.
        yield text
