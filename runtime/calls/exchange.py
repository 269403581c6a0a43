"""One call of a provider: its request authorised, sent, authorised again once if its token is stale, and mapped.

`caller` decides which operation is called with which inputs, `sender` when a request is sent again, and `tokens` where
tokens come from. What an answer means is the language's; here its secrets are masked and failures become errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from connector.answers.failures import provider_message, show_body
from connector.answers.mapping import map_turns, read_leniently
from connector.auth.methods import GrantAuth
from connector.errors import MappingError, MissingCredentials, RateLimited, ResponseError, TransportError
from connector.messages import Chunk, Request, Response, Result, Stream, without_query
from connector.model.definition import Connector, Operation
from connector.model.service import SHORTEST_TOKEN, Config, missing_value
from connector.protocols import Auth, Moment
from connector.templates import Unrenderable
from connector.urls import origin_of
from runtime.calls.loops import PerLoop
from runtime.calls.retries import find_limit, is_limit, read_wait
from runtime.calls.sender import Authorise, Sender, Sent, Sleep, Transmits
from runtime.calls.streams import Opening, chunks_of, read_chunks, streams
from runtime.calls.tokens import Authoriser, unusable_value
from runtime.config.connections import hint_to_set
from runtime.config.settings import Settings
from runtime.config.vault import Vault
from runtime.http.guard import Guard
from runtime.http.options import Routes
from runtime.http.threads import Threads
from runtime.http.transport import MAYBE_SENT

if TYPE_CHECKING:
    import httpx2

    from runtime.http.client import Client

T = TypeVar("T")

#: Bytes of an answer beyond which it is read and mapped in a thread.
LARGE: Final = 512 * 1024
#: Bytes of the answer of a token endpoint.
_TOKEN_BYTES: Final = 256 * 1024
#: Few, since each holds all values of an answer; the answers beyond wait.
_ANSWERS: Final = Threads("connector-answers", 2)

#: RFC 9110, section 15.4; a 300 is a choice, and a 304 reports that nothing has changed.
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HINTS = {
    401: "check the credentials of the connection: connector doctor",
    403: "the credentials are known but may not do this",
    404: "check the ids among the inputs, and the base URL",
    410: "the provider has retired this operation",
    422: "check the inputs: connector describe shows what each is for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCall:
    """A call that is ready to be made; `request` is the one before auth.

    `attempts` and `warnings` are those of the steps before it.
    """

    connection: str
    connector: Connector
    operation: Operation
    config: Config
    request: Request
    attempts: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What errors call it: `mistral-ai:team-b models.list`."""
        return f"{self.connection} {self.operation.label}"

    def keyed(self, key: str | None) -> PreparedCall:
        """The call with the caller's idempotency key, if its operation has a header for it; each step has its own."""
        header = self.operation.idempotency_header
        if key is None or not header:
            return self
        own = f"{key}-{self.operation.step}" if self.operation.step else key
        return replace(self, request=self.request.with_header(header, own))

    def complete(self, result: Result) -> Result:
        """The result of the call as that of all steps."""
        if not self.attempts:
            return result
        return replace(result, attempts=self.attempts + result.attempts, warnings=(*self.warnings, *result.warnings))


class Exchange:
    """Makes calls of one runtime: with its tokens, its pace and its connections to providers."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        *,
        transport: httpx2.AsyncBaseTransport | None,
        clock: Callable[[], float],
        sleep: Sleep,
        nonce: Callable[[], str] = secrets.token_urlsafe,
        known: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """`transport`, `clock` (seconds since the epoch) and `sleep` replace the network, the time and waiting.

        `known` returns the handles and connections of this installation. Raises ConfigurationError for a proxy or a
        certificate that cannot be used.

        `nonce` returns a text that no other attempt has.
        """
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._nonce = nonce
        self._routes = Routes(settings, known)
        self._clients = PerLoop(self._make_clients, lambda clients: clients.aclose())
        self._sender = Sender(
            clock=clock, sleep=sleep, total=settings.limits.retrying, patience=settings.limits.deadline
        )
        #: The tokens of connections.
        self.authoriser = Authoriser(vault, self.ask_for_token, clock)

    async def aclose(self) -> None:
        """Closes every connection to providers; the next call opens them again."""
        self._sender.close()
        await self._clients.aclose()

    async def make(self, call: PreparedCall, client: Transmits | None = None) -> tuple[Result, Response]:
        """The mapped answer to a call, and the answer itself; raises as `Caller.call` does.

        `client` replaces the client of all calls.
        """
        operation, request, config, connection = call.operation, call.request, call.config, call.connection
        if operation.idempotency_header and operation.idempotency_header not in request.headers:
            request = request.with_header(operation.idempotency_header, str(uuid.uuid4()))
        sender = client or self.client_of(connection)

        async def send(auth: Auth) -> Sent:
            authorise = self.authorising(connection, call.connector, config, auth)
            origin = config.origin
            return await self._sender.send(
                sender, request, operation, authorise=authorise, connection=connection, origin=origin
            )

        auth = config.auth
        if not isinstance(auth, GrantAuth):
            sent = await send(auth)
        else:
            grant = await self.authoriser.grant(connection, auth, config)
            sent = await send(auth.with_grant(grant))
            if auth.stale.is_in(sent.response) and (not isinstance(request.body, Stream) or request.body.repeatable):
                first, refused = sent.attempts, grant
                grant = await self.authoriser.grant(connection, auth, config, refused=refused)
                if grant is not refused:
                    sent = await send(auth.with_grant(grant))
                    sent = replace(sent, attempts=first + sent.attempts)
                    if auth.stale.is_in(sent.response):
                        self.authoriser.reject(connection, grant)
            config = replace(config, tokens=config.tokens | grant.secrets)
        result = await map_answer(operation, config, sent.request, sent.response, call.label)
        result = replace(result, request=sent.request.masked(), attempts=sent.attempts, run=uuid.uuid4().hex)
        if result.ok and find_limit(sent.response, operation.policies.errors.limit, 0.0)[0]:
            result = replace(result, ok=False, fields=None, records=None)
        if not result.ok:
            masked = await _apart(sent.response, lambda: sent.response.masked(sent.request.secrets))
            raise self._failure(call, result, masked)
        return result, sent.response

    async def stream(self, call: PreparedCall) -> AsyncGenerator[Chunk, None]:
        """The chunks of an answer as they come; raises as `Caller.stream` does."""
        async with Opening(self.client_of(call.connection)) as opening:
            result, _ = await self.make(call, opening)
            answer, sent = opening.answer, opening.request or call.request
            # The token that auth obtained is masked in what comes, as the connection's own tokens are.
            config = replace(call.config, tokens=call.config.tokens | (sent.secrets - call.config.secrets))
            if answer is not None and not streams(call.operation, answer.content_type):
                result = await map_answer(call.operation, config, sent, await answer.read(), call.label)
                if not result.ok:
                    raise self._failure(call, replace(result, request=sent.masked()), Response(result.status))
                answer = None
            if answer is None:
                for chunk in chunks_of(result):
                    yield chunk
                return
            limits = self._settings.limits
            chunks = read_chunks(call.operation, answer, sent, label=call.label, limits=limits, hidden=config.tokens)
            async with contextlib.aclosing(chunks):
                async for chunk in chunks:
                    if not chunk.ok:
                        result = Result(ok=False, status=chunk.status, raw=chunk.raw, request=sent.masked())
                        raise self._failure(call, result, Response(chunk.status))
                    yield chunk

    def _failure(self, call: PreparedCall, result: Result, response: Response) -> ResponseError:
        return failure_of(call.operation, call.label, result, response, self._clock())

    def authorising(self, connection: str, connector: Connector, config: Config, auth: Auth) -> Authorise:
        """Returns the function that adds the credentials of a connection to each attempt.

        Raises MissingCredentials for missing values, as the function does for a value that cannot be used.
        """
        missing = frozenset() if isinstance(auth, GrantAuth) else auth.credentials & config.missing
        if missing:
            errors = missing_value(connector.service, missing).errors
            raise MissingCredentials(connection, errors, hint=hint_to_set(connection, missing))

        def authorise(request: Request) -> Request:
            try:
                return auth.apply(request, config.values, Moment(time=self._clock(), nonce=self._nonce()))
            except Unrenderable as error:
                raise unusable_value(connection, error) from None

        return authorise

    async def ask_for_token(self, request: Request, *, connection: str, purpose: str, origin: str | None) -> Response:
        """The answer to a token request of a connection; raises TransportError or MappingError."""
        label, client = f"{connection} {purpose}", self.client_of(connection)
        response = await self._sender.ask(client, request, label=label, connection=connection, origin=origin)
        if len(response.body) > _TOKEN_BYTES:  # it is read in one go, and its values are not counted
            message = f"the answer of the token endpoint is larger than {_TOKEN_BYTES} bytes"
            raise TransportError(message, hint=MAYBE_SENT, operation=label, request=request.masked(), temporary=False)
        return response

    def client_of(self, connection: str) -> Client:
        """The client of one connection, which sends requests through the guard and along the connection's route.

        Each event loop, and each process that was forked, has connections of its own.
        """
        return self._clients.here().of(connection)

    def _make_clients(self) -> _Clients:
        # The HTTP library takes 75 ms to import, so only a call imports it.
        from runtime.http.client import Client

        guard = Guard(frozenset(map(origin_of, self._settings.named_base_urls())))
        return _Clients(Client(guard, self._settings.limits, transport=self._transport), self._routes)


class _Clients:
    """The clients of all connections, which share the open connections of one event loop."""

    def __init__(self, client: Client, routes: Routes) -> None:
        self._client = client
        self._routes = routes
        self._along: dict[str, Client] = {}

    def of(self, connection: str) -> Client:
        client = self._along.get(connection)
        if client is None:
            client = self._along[connection] = self._client.along(self._routes.of(connection))
        return client

    async def aclose(self) -> None:
        await self._client.aclose()


def failure_of(found: Operation, operation: str, result: Result, response: Response, now: float) -> ResponseError:
    """The error of a failure, with the provider's own words first; `now` is seconds since the epoch."""
    errors = found.policies.errors
    said = errors.message.find_one(result.raw) if errors.message is not None else None
    words = provider_message(said) or provider_message(result.raw) or show_body(result.raw)
    words = words or "the provider gave no reason"
    message = f"{words} ({operation} answered {response.status})"
    if response.status in _REDIRECTS:
        where = without_query(response.headers.get("location", "nowhere"))
        message = f"{operation} answered {response.status}: a redirect to {where}, which is not followed"
    meaning = errors.statuses.get(response.status, "")
    code = errors.code_in(result.raw)
    limited, wait_told = find_limit(response, errors.limit, now)
    if not limited and not is_limit(response):
        hint = meaning or _HINTS.get(response.status, "")
        return ResponseError(
            message, hint=hint, operation=operation, result=result, response=response, provider_code=code
        )
    after = read_wait(response, now, errors.retry_after)
    after = wait_told if after is None else after
    wait = f"wait {after:g} s" if after is not None else "wait before calling again"
    return RateLimited(
        message,
        hint=f"{meaning}; {wait}" if meaning else wait,
        operation=operation,
        result=result,
        response=response,
        retry_after=after,
        provider_code=code,
    )


async def document_of(result: Result, response: Response, config: Config) -> Any:
    """The answer parsed, unmasked: the address of a next page may hold a token."""

    def read() -> Any:
        if any(token.encode() in response.body for token in config.tokens):
            return read_leniently(response)
        return result.raw

    return await _apart(response, read)


async def _apart(response: Response, work: Callable[[], T]) -> T:
    """The result of work on an answer, which is done in a thread if the answer is large."""
    return await _ANSWERS.run(work) if len(response.body) > LARGE else work()


async def map_answer(operation: Operation, config: Config, request: Request, response: Response, label: str) -> Result:
    """The mapped answer, without secrets that the provider echoes (hazard T53).

    A failure is stored and shown, so every credential in it is masked. In a success tokens are masked, and what auth
    made of credentials (such as user and password of Basic), but not a user name, which is often data.
    """
    turns = _map_in_turns(operation, config, request, response, label)
    if len(response.body) > LARGE:
        return await _ANSWERS.run(_finish, turns)
    while True:
        try:
            next(turns)
        except StopIteration as end:
            result: Result = end.value
            return result
        await asyncio.sleep(0)


def _finish(turns: Generator[None, None, Result]) -> Result:
    while True:
        try:
            next(turns)
        except StopIteration as end:
            result: Result = end.value
            return result


def _map_in_turns(
    operation: Operation, config: Config, request: Request, response: Response, label: str
) -> Generator[None, None, Result]:
    """Maps an answer, and yields wherever other tasks may run, since the provider decides how many values there are."""
    hidden = request.secrets
    if response.status < 300:
        made = (form for form in request.secrets - config.secrets if len(form) >= SHORTEST_TOKEN)
        hidden = config.tokens.union(made)
    try:
        result = yield from map_turns(operation, response.masked(hidden) if hidden else response)
        # The definition may call an answer with a status of success a failure.
        failed = not result.ok and response.status < 300
        if failed:
            result = yield from map_turns(operation, response.masked(request.secrets))
    except MappingError:
        pass  # made anew, without secrets and without what had been read
    else:
        return result
    response = response.masked(request.secrets)
    try:
        return (yield from map_turns(operation, response))
    except MappingError as error:
        message, hint = error.message, error.hint
    raise MappingError(message, hint=hint, operation=label, request=request.masked(), response=response)
