"""Ingress: messages of providers, from the raw path to the journal.

An ASGI application that finds each webhook by its exact raw path. It refuses what it can by the head, reads the raw
body within its limit, verifies it before anything parses it, makes an Event of it, and answers 202 only after the
journal has committed. The language verifies and maps; `server.serve` handles slow clients.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from connector.digests import same_text
from connector.errors import ConfigurationError, InvalidSignature, MappingError, RequestRefused
from connector.events.mapping import explain_event, find_events, make_event, read_message
from connector.events.messages import find_kind
from connector.events.signatures import UNDECLARED, Verified, message_id
from connector.headers import Headers
from connector.messages import Request
from connector.model.definition import Connector, Webhook
from connector.selectors import Selector
from connector.types import to_text
from runtime.calls.limits import Bucket
from runtime.config.connections import ConnectionName, connections_of
from runtime.config.settings import Limits
from runtime.documents import Document, webhook_document
from runtime.events.subscriptions import HOPS_HEADER, MAX_HOPS
from runtime.events.verification import Verification, Verifications
from runtime.journal.entries import NewEvent
from runtime.journal.journal import Journal
from runtime.problems import problem_bytes

_LOG = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
#: Called with the connector and the status of each answer.
Count = Callable[[str, int], None]

#: Bytes beyond the limit of a body that are read before the answer.
_DROPPED = 4 * 1024 * 1024
#: A message holds at most this many events.
MAX_EVENTS = 10_000
#: So many warnings are in an answer.
MAX_WARNINGS = 5


@dataclass(frozen=True, slots=True)
class Route:
    """The webhooks of one path; of several, each has a `match`."""

    connector: Connector
    webhooks: tuple[Webhook, ...]

    @property
    def webhook(self) -> Webhook:
        """The first one, which stands for all where they have to agree: path, kinds of messages, handshake."""
        return self.webhooks[0]


def find_routes(connectors: Iterable[Connector]) -> dict[bytes, Route]:
    """Returns every webhook by its raw path; raises ConfigurationError if two connectors have one path."""
    routes: dict[bytes, Route] = {}
    for connector in connectors:
        for webhook in connector.webhooks:
            if not webhook.path:
                continue
            path = webhook.path.encode()
            other = routes.get(path)
            if other is not None and other.connector is not connector:
                raise ConfigurationError(
                    f"{connector.handle} {webhook.id} and {other.connector.handle} {other.webhook.id} "
                    f"both have the webhook path {webhook.path}",
                    hint="change one of them in an overlay: webhooks: {<event>: {path: …}}",
                )
            routes[path] = Route(connector, (*(other.webhooks if other else ()), webhook))
    return routes


class Ingress:
    """The webhooks of connectors as an ASGI application; `takes` decides whether a request is for it."""

    def __init__(
        self,
        routes: Mapping[bytes, Route],
        verifications: Verifications,
        *,
        limits: Limits,
        public_url: str = "",
        clock: Callable[[], float] = time.time,
        count: Count = lambda *_: None,
    ) -> None:
        """`public_url` is what providers sign where they sign a URL; `clock` is in seconds since the epoch."""
        self.routes = routes
        #: The path before those of webhooks, in the application of a host.
        self.prefix = ""
        self.verifications = verifications
        #: Where events are kept; None while it is not open.
        self.journal: Journal | None = None
        self._limits = limits
        self._public_url = public_url
        self._clock = clock
        self._count = count
        self._rates: dict[tuple[str, str], Bucket] = {}

    def takes(self, scope: Scope) -> bool:
        """True for a request to the exact path of a webhook, or to one with a token behind it (hazard T67)."""
        return scope["type"] == "http" and self._find(scope)[0] is not None

    def url(self, route: Route, connection: str) -> str:
        """Where the provider sends the messages of a connection, token included if it needs one."""
        sender, name = self.verifications.find(connection), ConnectionName.parse(connection).name
        token = f"/{sender.token}" if sender.unsigned else ""
        query = f"?connection={urllib.parse.quote(name, safe='')}" if name else ""
        return f"{self._public_url}{self.prefix}{route.webhook.path}{token}{query}"

    def documents(self, known: Collection[str]) -> list[Document]:
        """Every webhook as JSON, for its default connection and for each known connection that can receive."""
        return [
            webhook_document(name, webhook, self.url(route, name), verified=self.verifications.find(name).kind)
            for route in self.routes.values()
            for webhook in route.webhooks
            for name in connections_of(route.connector.handle, known)
            if name == route.connector.handle or self.verifications.find(name).is_possible
        ]

    def _find(self, scope: Scope) -> tuple[Route | None, str]:
        raw: bytes = scope.get("raw_path") or b""
        if (route := self.routes.get(raw)) is not None:
            return route, ""
        path, _, token = raw.rpartition(b"/")
        return (self.routes.get(path), token.decode("latin-1")) if token else (None, "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; whatever goes wrong is a problem document."""
        await self._serve(*self._find(scope), scope, receive, send)

    async def serve_below(self, path: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request to the webhook of a path, which is below a prefix that a router has already matched.

        The raw path has to end with the webhook's own, or with that and a token (hazard T67).
        """
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        head, _, token = raw.rpartition(b"/")
        route = self.routes.get(path)
        if not raw.startswith(b"/"):
            route = None  # a target in absolute form, which only a proxy may receive
        elif raw.endswith(path):
            token = b""
        elif not token or not head.endswith(path):
            route = None
        await self._serve(route, token.decode("latin-1"), scope, receive, send)

    async def _serve(self, route: Route | None, token: str, scope: Scope, receive: Receive, send: Send) -> None:
        handle = "" if route is None else route.connector.handle
        try:
            if route is None:
                raise RequestRefused(404, "there is no such webhook")
            status, body, headers = await self._answer(route, token, scope, receive)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer
            status, body, headers = problem_bytes(error)
        self._count(handle, status)
        fields = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        fields.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, route: Route, token: str, scope: Scope, receive: Receive
    ) -> tuple[int, bytes, dict[str, str]]:
        webhook = route.webhook
        asked_with = scope["query_string"].decode("latin-1")
        query = dict(urllib.parse.parse_qsl(asked_with, keep_blank_values=True)) if asked_with else {}
        sender = await self._find_verification(route, token, query)
        keys = sender.secrets
        if (asked := webhook.challenge) and (challenge := asked.find_in_query(query, keys)) is not None:
            return _show(asked.reply(challenge, keys))
        headers = Headers.from_wire(scope["headers"])
        self._check_head(route, scope, headers)
        body = await read_body(scope, receive, self._limits.body_bytes)
        origin = self._public_url or f"{scope['scheme']}://{headers.get('host', 'localhost')}"
        url = origin + (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        if asked_with:
            url += f"?{asked_with}"
        request = Request(scope["method"], url, headers=headers, body=body)
        signature = route.connector.service.signature or UNDECLARED
        try:
            # Only the token of an unsigned connection's URL stands for a signature.
            unsigned = Verified(message_id(signature, request)) if token else None
            verified = unsigned or signature.verify(request, keys, self._clock())
        except InvalidSignature:
            self._take_turn(route.connector.handle, "unverified")
            raise
        self._take_turn(route.connector.handle, "verified")
        try:
            document = read_message(webhook, request)
        except MappingError as error:
            raise RequestRefused(400, error.message) from None
        if asked is not None and (challenge := asked.find(document)) is not None:
            return _show(asked.reply(challenge, keys))
        return await self._keep(route, sender, request, document, verified)

    async def _find_verification(self, route: Route, token: str, query: Mapping[str, str]) -> Verification:
        name = ConnectionName(route.connector.handle, query.get("connection", ""))
        if not name.is_valid:
            raise InvalidSignature.refused()
        try:
            sender = await self.verifications.load(str(name))
        except ConfigurationError as error:
            # The store is at fault, not the message, which may come again.
            _LOG.error("the values of a connection cannot be read: %s", error.message)
            raise RequestRefused(503, "the connection cannot be read now", headers={"Retry-After": "60"}) from None
        if token and not (sender.unsigned and same_text(token, sender.token)):
            raise RequestRefused(404, "there is no such webhook")
        if not sender.secrets and not token:
            # Unsigned without its token, or without a secret to verify it (hazard T59).
            raise InvalidSignature.refused()
        return sender

    def _check_head(self, route: Route, scope: Scope, headers: Headers) -> None:
        """Refuses what need not be read: by method, duplicate ids, encoding and media type."""
        if scope["method"] != "POST":
            raise RequestRefused(405, "a webhook takes POST", headers={"Allow": "POST"})
        if [name for name, _ in scope["headers"]].count(b"webhook-id") > 1:
            raise RequestRefused(400, "there are two webhook-id headers")
        if headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
            raise RequestRefused(415, "a message comes without Content-Encoding")
        if find_kind(route.webhook.accepts, Request(method=scope["method"], url="", headers=headers)) is None:
            raise RequestRefused(415, f"this webhook accepts {', '.join(route.webhook.accepts)}")

    def _take_turn(self, handle: str, kind: str) -> None:
        """Counts a message against the rate of its connector; raises RequestRefused (429) beyond it.

        Messages that are not verified have a rate of their own, so that a stranger cannot use up the other one.
        """
        if (rate := self._rates.get((handle, kind))) is None:
            rate = self._rates[handle, kind] = Bucket(self._limits.webhook_rate)
        if wait := rate.try_take(self._clock()):
            message = f"the webhooks of {handle} accept {self._limits.webhook_rate:g} {kind} messages per second"
            raise RequestRefused(429, message, headers={"Retry-After": str(max(1, round(wait)))})

    async def _keep(
        self, route: Route, sender: Verification, request: Request, document: Any, verified: Verified
    ) -> tuple[int, bytes, dict[str, str]]:
        """Makes the events of a message, commits them durably, and only then answers 202."""
        hops = request.headers.get(HOPS_HEADER, "0")
        if not hops.isdecimal() or len(hops) > 3 or int(hops) > MAX_HOPS:
            raise RequestRefused(422, "the event was passed on too often: this is a loop")
        if self.journal is None:
            raise RequestRefused(503, "the journal is not open", headers={"Retry-After": "5"})
        message_key = self._identify(route, sender, request, document, verified)
        raw = request.body if isinstance(request.body, bytes) else b""
        now = datetime.datetime.fromtimestamp(self._clock(), tz=datetime.UTC)
        name = ConnectionName.parse(sender.connection).label
        events, warnings = [], []
        for webhook in route.webhooks:
            for place, record in enumerate(find_events(webhook, document)):
                event = make_event(
                    webhook, record, id="", connection=name, now=now, request=request
                )  # the journal makes the id
                key, part = message_key, raw
                if webhook.records is not None:
                    # Another message may hold the same event among others.
                    part = json.dumps(record).encode()
                    key = None if message_key is None else f"{message_key}:{place}"
                if webhook.event_id is not None and (own := _read_id(webhook.event_id, record)) is not None:
                    key = own
                content_type = request.headers.get("content-type", "") if part is raw else "application/json"
                events.append(NewEvent(sender.connection, event, key, part, content_type, hops=int(hops)))
                if said := explain_event(webhook, record, event):
                    warnings.append(f"{webhook.id}: {said}")
        if len(events) > MAX_EVENTS:
            raise RequestRefused(413, f"a message has at most {MAX_EVENTS} events")
        for said in dict.fromkeys(warnings):
            _LOG.warning("a message of %s has nothing for %s", sender.connection, said)
        if not events:
            _LOG.info("a message of %s matches no event of %s", sender.connection, route.webhook.path)
            await self.journal.audit("webhook.unmatched", route.webhook.path, {"connection": sender.connection})
            return 202, b'{"event": null}', {"Content-Type": "application/json"}
        kept = await self.journal.append(events)
        for new, each in zip(events, kept, strict=True):
            if each.conflict:
                await self._note_conflict(self.journal, route, new, each.event_id)
        answer: Document = {"event": kept[0].event_id}
        if len(kept) > 1:
            answer["events"] = [each.event_id for each in kept]
        if warnings:
            answer["warnings"] = list(dict.fromkeys(warnings))[:MAX_WARNINGS]
        return 202, json.dumps(answer).encode(), {"Content-Type": "application/json"}

    def _identify(
        self, route: Route, sender: Verification, request: Request, document: Any, verified: Verified
    ) -> str | None:
        """Returns the id by which a message is recognised when it is sent again; None if there is none."""
        selector = route.connector.service.message_id
        if verified.id is not None:
            return verified.id
        if selector is not None and (found := _read_id(selector, document)) is not None:
            return found
        if sender.by_body and isinstance(request.body, bytes):
            return f"sha256:{hashlib.sha256(request.body).hexdigest()}"
        return None

    async def _note_conflict(self, journal: Journal, route: Route, new: NewEvent, event_id: str) -> None:
        """Notes a message with a known id and another body; raises RequestRefused (409) if the webhook refuses it."""
        trigger = new.event.type
        _LOG.warning("%s %s: two messages with different bodies have the same id", new.connection, trigger)
        await journal.audit("webhook.conflict", event_id, {"connection": new.connection})
        if any(webhook.refuses_conflicts for webhook in route.webhooks if webhook.id == trigger):
            raise RequestRefused(
                409, "another message with this id was accepted before", hint="ids of messages must be unique"
            )


def _read_id(selector: Selector, document: Any) -> str | None:
    found = selector.find_one(document)
    return to_text(found) if isinstance(found, (str, int)) and found != "" and not isinstance(found, bool) else None


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole raw body; raises RequestRefused: 413 for a body beyond the limit, 400 for an incomplete one.

    A little more than the limit is read and dropped, so that a client that sends its body first receives the answer.
    """
    names = [name for name, _ in scope["headers"]]
    if b"content-length" in names and b"transfer-encoding" in names:
        raise RequestRefused(400, "a body is framed in one way", headers={"Connection": "close"})
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or len(value) > 12 or int(value) > limit + _DROPPED):
            raise _too_large(limit)
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise RequestRefused(400, "the body ended before its end")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit + _DROPPED:
            raise _too_large(limit)
        if size <= limit:
            chunks.append(chunk)
        more = message.get("more_body", False)
    if size > limit:
        raise _too_large(limit)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> RequestRefused:
    return RequestRefused(413, f"a body has at most {limit} bytes", headers={"Connection": "close"})


def _show(answer: str | dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
    # A browser must not take what is echoed for a page.
    guard = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    if isinstance(answer, str):
        return 200, answer.encode(), {"Content-Type": "text/plain; charset=utf-8", **guard}
    return 200, json.dumps(answer).encode(), {"Content-Type": "application/json", **guard}
