"""A provider made from definitions: MockProvider answers as the real one would, and is as strict about what it is sent.

    provider = MockProvider([connector], {"mistral-ai": catalog.examples("mistral-ai")})
    provider.answer(request)                                   # pure: our own Request in, our own Response out
    httpx2.ASGITransport(provider)                             # in process
    await serve(provider, "127.0.0.1", 0, on_ready=print)      # on a socket

Here are the routes, the order in which a request is judged, and the ASGI application around it. What an operation
expects of a request is `expectations`', what it answers is `samples`'. The calls of custom operations have routes as
well, unless their whole path is a value: such a call uses the other paths. Any well-formed credential passes.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import urllib.parse
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connector.describe.samples import cut_page, find_progress, json_response, make_answers, read_example
from connector.errors import ConfigurationError
from connector.headers import Headers
from connector.messages import Request, Response
from connector.model.definition import Connector, Operation
from connector.templates import Slot, Template
from runtime.mock.checks import find_complaints, fixed_headers
from runtime.mock.complaints import Complaint, Pairs, Unreadable
from runtime.mock.credentials import Credential, find_credentials

#: A body may have this many bytes.
MAX_BODY = 4 * 1024 * 1024
#: A longer body is read to its end, up to this many bytes, so that the sender gets to see the refusal.
MAX_DRAINED = 16 * MAX_BODY
MAX_PORT = 65535
#: How long a stopping server waits for answers that are being sent, in seconds.
GRACE = 3

#: Answers of these statuses have no body (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
_BODILESS = frozenset({204, 205, 304})

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Segments are decoded one by one and then joined with NUL, which no segment may hold: a `%2F` stays within its own.
_JOINT = "\0"
_ONE, _SEVERAL = "\1", "\2"
_PATTERNS = {_ONE: f"([^{_JOINT}]+)", _SEVERAL: f"([^{_JOINT}]+(?:{_JOINT}[^{_JOINT}]+)*)"}


@dataclass(frozen=True, slots=True)
class Route:
    """One way to one operation: the path it answers at, and how specific that path is."""

    operation: Operation
    pattern: re.Pattern[str]
    #: For each segment 0 if it is fixed, else 1 to 3: the smaller, the more of it is.
    rank: tuple[int, ...]
    #: The placeholders of the operation's own path, in order; what the base URL holds is not read.
    names: tuple[str, ...]

    @classmethod
    def at(cls, prefix: str, operation: Operation) -> Route:
        """The route of an operation under `prefix` and the path of its service's base URL."""
        template = operation.path
        own = [
            part if isinstance(part, str) else _SEVERAL if part.name in template.multi else _ONE
            for part in template.path.parts
        ]
        whole = prefix + _base_path(operation.service.base, lambda _: _ONE) + "".join(own)
        segments = (whole or "/").split("/")
        joined = _JOINT.join(urllib.parse.unquote(segment) for segment in segments)
        pattern = "".join(_PATTERNS.get(char) or re.escape(char) for char in joined)
        names = tuple(part.name for part in template.path.parts if isinstance(part, Slot))
        return cls(operation, re.compile(pattern, re.DOTALL), tuple(map(_rank, segments)), names)

    def match(self, path: str) -> tuple[str, ...] | None:
        """The values in a decoded path, those of the base URL first; None if it is not this route's."""
        found = self.pattern.fullmatch(path)
        return found.groups() if found else None

    def values(self, groups: Sequence[str]) -> Pairs:
        """The values of the operation's own path by name."""
        own = groups[len(groups) - len(self.names) :]
        return [(name, text.replace(_JOINT, "/")) for name, text in zip(self.names, own, strict=True)]


def _rank(segment: str) -> int:
    if _SEVERAL in segment:
        return 3
    return 0 if _ONE not in segment else 2 if segment == _ONE else 1


def _base_path(base: Template, fill: Callable[[str], str]) -> str:
    """Returns the path of a base URL, its placeholders filled; a placeholder at its beginning is the origin."""
    text = "".join(part if isinstance(part, str) else fill(part.name) for part in base.parts)
    rest = text.partition("://")[2] if "://" in text else text
    _, slash, path = rest.partition("/")
    return f"{slash}{path}".rstrip("/")


class MockProvider:
    """The providers of some connectors, each under `/<handle>` and the path of its base URL.

    A single one answers at its own base path as well. The instance is an ASGI 3 application. Its only state is how
    often each path was answered, by which examples with several answers, and jobs that were made up, move on.
    """

    def __init__(self, connectors: Sequence[Connector], examples: Mapping[str, Mapping[str, Any]]) -> None:
        """`examples` are `{status?, headers?, body}`, or a list of them, by handle and operation id.

        Raises ConfigurationError for an example that cannot be sent.
        """
        #: Where each connector begins, by handle: what follows the origin in a `--base-url` that leads here.
        self.paths: dict[str, str] = {}
        self._routes: list[Route] = []
        self._credentials: dict[str, list[tuple[Credential, ...]]] = {}
        self._answers: dict[tuple[str, str, int], tuple[Response, ...]] = {}
        self._played: Counter[tuple[str, str, int, tuple[str, ...]]] = Counter()
        for connector in connectors:
            service = connector.service
            self.paths[connector.handle] = f"/{connector.handle}{_base_path(service.base, str)}"
            methods = (service.auth, *service.auth_options)
            self._credentials[connector.handle] = [find_credentials(service, auth) for auth in methods]
            prefixes = (f"/{connector.handle}", "") if len(connectors) == 1 else (f"/{connector.handle}",)
            calls = [*connector.operations.values(), *_step_calls(connector)]
            self._routes += [Route.at(each, call) for call in calls for each in prefixes]
            self._read_answers(connector, examples.get(connector.handle, {}))

    def _read_answers(self, connector: Connector, examples: Mapping[str, Any]) -> None:
        progress = find_progress(connector)
        for name, operation in connector.operations.items():
            recorded = read_example(name, examples[name]) if name in examples else ()
            resource = name.rpartition(".")[0]
            self._answers[connector.handle, name, 0] = recorded or make_answers(operation, progress.get(resource))
        for name, custom in connector.custom_operations.items():
            recorded = read_example(name, examples[name]) if name in examples else ()
            for place, call in enumerate(custom.calls):
                # Of several calls each has the next of the answers, or the last.
                own = recorded if len(custom.calls) == 1 else recorded[min(place, len(recorded) - 1) :][:1]
                self._answers[connector.handle, name, call.step] = own or make_answers(call, None)

    def answer(self, request: Request) -> Response:
        """The provider's answer; judged in this order: path, method, credential, size, content type, values."""
        url = urllib.parse.urlsplit(request.url)
        path = _decode_path(url.path or "/")
        found = (
            []
            if path is None
            else [(each, groups) for each in self._routes if (groups := each.match(path)) is not None]
        )
        if not found:
            return _refuse(404, f"no operation has this path; they begin with {', '.join(self.paths.values())}")
        allowed = [(route, groups) for route, groups in found if route.operation.method == request.method]
        if not allowed:
            methods = ", ".join(sorted({route.operation.method for route, _ in found}))
            return _refuse(405, f"this path takes {methods}", {"Allow": methods})
        best = min(route.rank for route, _ in allowed)
        refusals = []
        # Operations that share method and path differ in what they expect: the first that is content answers, and
        # those come first whose fixed headers were sent, such as the Accept of a file as it is.
        nearest = [each for each in allowed if each[0].rank == best]
        nearest.sort(key=lambda each: fixed_headers(each[0].operation, request), reverse=True)
        for route, groups in nearest:
            refusal = self._judge(route, groups, request, url.query)
            if refusal is None:
                return cut_page(route.operation, request, self._play(route, groups))
            refusals.append(refusal)
        return refusals[0]

    def _judge(self, route: Route, groups: Sequence[str], request: Request, raw_query: str) -> Response | None:
        operation = route.operation
        try:
            query = urllib.parse.parse_qsl(raw_query, keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            return _refuse_values([Complaint(("query",), "the query is not UTF-8", "string_unicode")])
        methods = self._credentials[operation.service.connector]
        missing = [_missing(method, operation, request, query) for method in methods]
        if (first := missing[0]) is not None and all(missing):
            what = f"{first.name}: {first.scheme} <credential>" if first.scheme else first.name
            challenge = {"WWW-Authenticate": first.challenge(operation.service.connector)}
            return _refuse(401, f"no well-formed credential: expected {what}", challenge)
        if isinstance(request.body, bytes) and len(request.body) > MAX_BODY:
            return _refuse(413, f"the body has more than {MAX_BODY} bytes")
        if request.body and operation.body is not None and not _is_accepted(operation, request.headers):
            return _refuse(415, f"expected a body of type {operation.body.content_type}, not compressed")
        secret = {each.name for method in methods for each in method if each.in_query}
        query = [pair for pair in query if pair[0] not in secret]
        try:
            complaints = list(find_complaints(operation, request, route.values(groups), query))
        except Unreadable as error:
            return _refuse(400, str(error))
        return _refuse_values(complaints) if complaints else None

    def _play(self, route: Route, groups: tuple[str, ...]) -> Response:
        operation = route.operation
        key = (operation.service.connector, operation.id, operation.step)
        answers = self._answers[key]
        if len(answers) == 1:
            return answers[0]
        place = self._played[*key, groups]
        self._played[*key, groups] += 1
        return answers[min(place, len(answers) - 1)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI 3 application: answers HTTP, takes part in the lifespan protocol, closes web sockets."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http" and (body := await _read_body(receive)) is not None:
            response = self.answer(_read_request(scope, body))
            headers = [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()
            ]
            content = b"" if response.status in _BODILESS else response.body
            if response.status not in _BODILESS:
                headers.append((b"content-length", str(len(content)).encode()))
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            await send({"type": "http.response.body", "body": content})


def _step_calls(connector: Connector) -> Iterator[Operation]:
    """The calls of custom operations, one for each method that a caller may choose."""
    for custom in connector.custom_operations.values():
        for step in custom.steps:
            call = step.operation
            if call is not None and not call.path.is_open:
                methods = getattr(getattr(step, "chooser", None), "options", ()) or (call.method,)
                yield from (replace(call, method=str(method).upper()) for method in methods)


def _missing(method: Sequence[Credential], operation: Operation, request: Request, query: Pairs) -> Credential | None:
    """The first credential of a method that the request lacks; a header that the operation sets itself is its own."""
    for each in method:
        if each.name.lower() not in operation.own_headers and not each.is_well_formed(request.headers, query):
            return each
    return None


def _decode_path(raw_path: str) -> str | None:
    """The segments, each decoded once, joined with NUL; None for a path that no route has."""
    try:
        segments = [urllib.parse.unquote(segment, errors="strict") for segment in raw_path.split("/")]
    except UnicodeDecodeError:
        return None
    if any(segment in (".", "..") or _JOINT in segment for segment in segments):
        return None
    return _JOINT.join(segments)


def _is_accepted(operation: Operation, headers: Headers) -> bool:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = headers.get("content-encoding", "identity").lower()
    body = operation.body
    return body is not None and (media_type == body.content_type or body.accepts(media_type)) and encoding == "identity"


def _refuse(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    return json_response(status, {"detail": detail}, headers)


def _refuse_values(complaints: Sequence[Complaint]) -> Response:
    return json_response(422, {"detail": [each.as_json() for each in complaints]})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        phase = (await receive())["type"]
        await send({"type": f"{phase}.complete"})
        if phase == "lifespan.shutdown":
            return


async def _read_body(receive: Receive) -> bytes | None:
    """The body, cut off beyond its limit; None if the sender went away."""
    chunks: list[bytes] = []
    size, more = 0, True
    while more and size <= MAX_DRAINED:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        if size <= MAX_BODY:
            chunks.append(chunk)
        size += len(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _read_request(scope: Scope, body: bytes) -> Request:
    raw_path = scope.get("raw_path")
    path = urllib.parse.quote(scope["path"]) if raw_path is None else raw_path.decode("latin-1")
    path = path.removeprefix(scope.get("root_path", "")).replace("#", "%23")
    query = scope.get("query_string", b"").decode("latin-1").replace("#", "%23")
    headers = Headers.from_wire(scope["headers"])
    return Request(
        scope["method"], f"http://mock.invalid{path}{'?' if query else ''}{query}", headers=headers, body=body or None
    )


async def serve(provider: MockProvider, host: str, port: int, on_ready: Callable[[int], None]) -> None:
    """Serves until it is cancelled or interrupted; open answers are finished first.

    `port` 0 takes a free one; `on_ready` receives the actual one as soon as connections are accepted. Nothing is
    written to stdout. Raises ConfigurationError for an address that cannot be used.
    """
    # Only this needs a server library.
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if not 0 <= port <= MAX_PORT:
            raise OSError(errno.EINVAL, "there is no such port")
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        message = f"cannot listen on {host}, port {port}: {error.strerror}"
        raise ConfigurationError(message, hint="choose another port; 0 takes a free one") from None
    with listener:
        config = uvicorn.Config(
            provider, log_config=None, access_log=False, ws="none", server_header=False, timeout_graceful_shutdown=GRACE
        )
        server = uvicorn.Server(config)
        # In a task of its own, since a cancelled server would leave its connections open.
        running = asyncio.create_task(server.serve(sockets=[listener]))
        on_ready(listener.getsockname()[1])
        try:
            await asyncio.shield(running)
        finally:
            server.should_exit = True
            await running
