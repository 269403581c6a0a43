"""Calls of operations: found, built, authorised, sent and mapped, with every failure named after its connection.

`Caller` puts the steps in order; the catalogue, the vault, the language and `exchange` do them. Each edge to the
outside (transport, clock, secrets, base URLs) can be replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from connector.answers.pagination import next_page
from connector.auth.methods import GrantAuth
from connector.auth.oauth import AuthorizationCode, authorization_url, code_request
from connector.auth.tokens import Grant, read_grant
from connector.errors import (
    BlockedAddress,
    ConfigurationError,
    InputError,
    InputProblem,
    InvalidDefinition,
    MappingError,
    MissingCredentials,
    NeedsReauthorization,
)
from connector.messages import MASK, Chunk, Request, Response, Result
from connector.model.definition import AnyOperation, Connector, CustomOperation, Operation
from connector.model.service import Config
from connector.requests.build import build_request
from connector.requests.steps import run_steps
from runtime.calls.exchange import Exchange, PreparedCall, document_of
from runtime.calls.pages import MAX_PAGES, read_page, walk
from runtime.calls.sender import Sleep
from runtime.calls.streams import chunks_of
from runtime.calls.tokens import login_step
from runtime.config.catalog import Catalog
from runtime.config.connections import connections_of, hint_to_set
from runtime.config.settings import Settings
from runtime.config.vault import Vault, destination, enter_values
from runtime.http.uploads import load_files

if TYPE_CHECKING:
    import httpx2

    from runtime.journal.journal import Journal

Inputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Configured:
    """The values of a connection, checked against its connector; `given` are those of Python and of a host's store."""

    connector: Connector
    config: Config
    given: Mapping[str, Any] = field(repr=False)


class Caller:
    """Calls the operations of connectors."""

    def __init__(
        self,
        catalog: Catalog,
        vault: Vault,
        settings: Settings,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`transport` replaces the network, `clock` (seconds since the epoch) the time, `sleep` waiting for a retry."""
        self.catalog = catalog
        self.vault = vault
        self.settings = settings
        #: Seconds since the epoch.
        self.clock = clock
        self._exchange = Exchange(
            settings, vault, transport=transport, clock=clock, sleep=sleep, known=self._known_names
        )
        #: How many `async with` are open.
        self._holds = 0
        self._process = os.getpid()
        self._configs: dict[str, _Configured] = {}
        self._configured = vault.version()

    async def __aenter__(self) -> Self:
        self._begin_anew_after_fork()
        self._holds += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes it after the last `async with` that holds it, the one of an application included."""
        if self._begin_anew_after_fork():
            return
        self._holds -= 1
        if not self._holds:
            await self.aclose()

    def _begin_anew_after_fork(self) -> bool:
        """Leaves to the parent process what it opened; True if that was to be done."""
        if self._process == os.getpid():
            return False
        self._process, self._holds = os.getpid(), 0
        return True

    @property
    def is_held(self) -> bool:
        """True within an `async with`."""
        return self._holds > 0

    async def aclose(self) -> None:
        """Closes every connection to providers. Calls may be made again afterwards."""
        await self._exchange.authoriser.finish()
        await self._exchange.aclose()

    @contextlib.asynccontextmanager
    async def open_journal(self) -> AsyncIterator[Journal]:
        """The journal that the settings name, or one in memory; open for the block. Raises ConfigurationError."""
        from runtime.journal.journal import Journal

        async with await Journal.open(self.settings.journal or "sqlite://") as journal:
            yield journal

    async def on_success(self, connection: str, operation: str, result: Result) -> Result:  # noqa: ARG002 - for `Runtime`
        """Called with the result of each successful `call`; returns what the caller receives."""
        return result

    def assume_grant(self, connection: str, grant: Grant) -> None:
        """Lets a connection use a grant that was not saved: a stand-in for calls of a mock provider."""
        self._exchange.authoriser.assume(connection, grant)

    def forget(self, connection: str) -> None:
        """Reads the values of a connection again at its next call, since they were changed."""
        self._configs.pop(connection, None)
        self._exchange.authoriser.forget(connection)

    async def load(self, connection: str) -> None:
        """Reads the values and the grant of a connection from the host's store, as each call does by itself.

        `render`, `authorization_url` and `connections`, which do not wait for anything, use what was read last.
        """
        await self.vault.load(connection, grant=True)

    async def set_values(self, connection: str, values: Mapping[str, Any]) -> str:
        """Stores values of a connection in the encrypted store; returns the origin that its secrets are bound to.

        Raises InputError for names and values that its connector does not take, ConfigurationError without a store or
        its key, and where values come from the store of a host.
        """
        service = self.catalog.of(connection).service
        store = self.vault.open_store(self.settings)
        origin = await asyncio.to_thread(enter_values, service, connection, values, self.settings, self.vault, store)
        self.forget(connection)
        return origin

    def find(self, connection: str, operation: str) -> tuple[Connector, AnyOperation]:
        """The connector of a connection and one of its operations; raises UnknownConnector, UnknownOperation."""
        connector = self.catalog.of(connection)
        return connector, connector.operation(operation)

    def connections(self) -> list[str]:
        """The connections that have every value they need, sorted; default and named ones of each valid connector."""
        named = {*self.vault.connections(), *self.settings.base_urls}
        found = []
        for handle in self.catalog.handles():
            for connection in connections_of(handle, named):
                with contextlib.suppress(InvalidDefinition, InputError):
                    if not self._config(connection, self.catalog.get(handle)).missing:
                        found.append(connection)
        return found

    def render(self, connection: str, operation: str, inputs: Inputs, *, show_secrets: bool = False) -> Request:
        """The request as it would leave, after auth, without sending it; the first one of several steps.

        Secrets, and values that are missing, show as `***`; with `show_secrets` secrets show as they are, and missing
        values raise MissingCredentials. Raises InputError, and ConfigurationError for an operation that sends nothing.
        """
        connector, found = self.find(connection, operation)
        config = self._config(connection, connector)
        if config.missing and not show_secrets:
            stand_ins = dict.fromkeys(connector.service.credentials & config.missing, MASK)
            config = self._configure(connection, connector, stand_ins)
        with _hinting(connection, found):
            if isinstance(found, CustomOperation):
                step = next(run_steps(found, load_files(found, inputs), config), None)
                if step is None:
                    raise ConfigurationError(f"{connection} {operation} sends nothing", hint="call it")
                request = step.request
            else:
                request = build_request(found, load_files(found, inputs), config)
        auth = config.auth
        if isinstance(auth, GrantAuth):
            # No token is fetched just to be shown.
            grant = Grant.from_json(self.vault.grant(connection))
            if grant is None and show_secrets:
                problem = InputProblem("grant", "no token has been obtained yet")
                raise MissingCredentials(connection, [problem], hint="call the operation once")
            auth = auth.with_grant(grant)
        with_auth = self._exchange.authorising(connection, connector, config, auth)(request)
        return with_auth if show_secrets else with_auth.masked()

    def authorization_url(self, connection: str, redirect_uri: str, *, state: str, verifier: str) -> str:
        """The URL where a person authorises a connection (authorization code with PKCE); the code is for `log_in`.

        `state` and `verifier` (43 to 128 unreserved characters) are random and made for this one login. Raises
        MissingCredentials, and ConfigurationError for a connector without a login.
        """
        grantor, values = self._login(connection)
        return login_step(connection, lambda: authorization_url(grantor, values, redirect_uri, state, verifier))

    def _login(self, connection: str) -> tuple[AuthorizationCode, Mapping[str, str]]:
        """What a person logs in to, and the values of the connection."""
        connector = self.catalog.of(connection)
        config = self._config(connection, connector)
        grantor = getattr(config.auth, "grantor", None)
        if not isinstance(grantor, AuthorizationCode):
            message = f"connections to {connector.handle} are not logged in: their method needs no person"
            raise ConfigurationError(message, hint=f"connector connections set {connection} enters its values")
        return grantor, config.values

    async def log_in(self, connection: str, code: str, redirect_uri: str, *, verifier: str) -> None:
        """Exchanges the code of an authorization for tokens, and saves them. Raises as `authorization_url` does.

        Raises NeedsReauthorization for a code that is refused, TransportError where no usable answer came.
        """
        await self.vault.load(connection)
        grantor, values = self._login(connection)
        request = login_step(connection, lambda: code_request(grantor, values, code, redirect_uri, verifier))
        # A renewal of the previous grant would otherwise overwrite the grant of this login.
        async with self.vault.renewing(connection):
            response = await self._exchange.ask_for_token(request, connection=connection, purpose="login", origin=None)
            try:
                grant = read_grant(response, self.clock(), secrets=request.secrets)
            except NeedsReauthorization as error:
                hint = f"run again: connector connections login {connection}"
                raise NeedsReauthorization(connection, error.errors, hint=hint) from None
            while not await self.vault.save_grant(connection, grant.to_json()):
                # What a person just allowed counts, whatever was saved meanwhile.
                await self.vault.read_grant(connection)
        self._exchange.authoriser.forget(connection)

    async def call(
        self, connection: str, operation: str, inputs: Inputs, *, idempotency_key: str | None = None
    ) -> Result:
        """Calls an operation and maps its answer; the events that a webhook's `after` makes of it go to the journal.

        A provider that supports idempotency keys treats calls with one `idempotency_key` as one; by default each call
        has its own. Raises InputError before anything is sent, ResponseError (with `.result`) for a 3xx, 4xx or 5xx,
        RateLimited for a 429, MappingError for an answer that cannot be read, TransportError where none came,
        BlockedAddress where the guard refuses the address.
        """
        begun = await self._begin(connection, operation, inputs, idempotency_key)
        result = begun if isinstance(begun, Result) else await self._finish(begun)
        return await self.on_success(connection, operation, result)

    async def _finish(self, call: PreparedCall) -> Result:
        result, response = await self._exchange.make(call)
        result, pagination = call.complete(result), call.operation.pagination
        if pagination is None:
            return result
        page = read_page(call.operation, call.request, response, await document_of(result, response, call.config))
        try:
            truncated = next_page(pagination, page) is not None
        except (MappingError, BlockedAddress):
            truncated = True
        return replace(result, truncated=truncated)

    async def pages(
        self, connection: str, operation: str, inputs: Inputs, *, max_pages: int = MAX_PAGES
    ) -> AsyncGenerator[Result, None]:
        """The result of each page of a list; one result for an operation without pagination.

        The last one is `truncated` if there are more than `max_pages`. Raises as `call` does, and MappingError where
        the pages lead in a circle.
        """
        begun = await self._begin(connection, operation, inputs)
        if isinstance(begun, Result):
            yield begun
            return
        call = begun

        async def fetch(request: Request) -> tuple[Result, Response, Any]:
            result, response = await self._exchange.make(replace(call, request=request))
            if request is call.request:
                result = call.complete(result)
            return result, response, await document_of(result, response, call.config)

        async for result in walk(call.operation, call.request, fetch, max_pages=max_pages):
            yield result
            del result  # as `walk` does

    async def records(
        self, connection: str, operation: str, inputs: Inputs, *, max_pages: int | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The records of all pages of a list, one by one; the one object of any other operation.

        Raises as `pages` does, and MappingError at the end if there are more pages and `max_pages` was not given.
        """
        limit = MAX_PAGES if max_pages is None else max_pages
        async for result in self.pages(connection, operation, inputs, max_pages=limit):
            for record in [result.fields or {}] if result.records is None else result.records:
                yield record
            if result.truncated and max_pages is None:
                raise MappingError(f"there are more than {limit} pages", hint="set max_pages", operation=operation)
            del result  # as `walk` does

    async def stream(self, connection: str, operation: str, inputs: Inputs) -> AsyncGenerator[Chunk, None]:
        """The answer as it comes: a chunk for each message of a stream, or for each piece of a binary answer.

        An answer that is one document is one chunk, or one for each of its records; `call` returns all chunks of a
        stream together. Leaving the loop closes the connection as soon as the iterator is closed
        (`contextlib.aclosing`). Raises as `call` does, before the first chunk and between chunks.
        """
        begun = await self._begin(connection, operation, inputs)
        if isinstance(begun, Result):
            for chunk in chunks_of(begun):
                yield chunk
            return
        async with contextlib.aclosing(self._exchange.stream(begun)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _begin(
        self, connection: str, operation: str, inputs: Inputs, key: str | None = None
    ) -> PreparedCall | Result:
        """The call that is left to be made: the only one, or the last one of a custom operation.

        If a custom operation does not end with a call, its result is returned. `key` is the caller's idempotency key.
        """
        connector, found = self.find(connection, operation)
        await self.vault.load(connection)
        config = self._config(connection, connector)
        inputs = load_files(found, inputs)

        def prepare(operation: Operation, request: Request) -> PreparedCall:
            call = PreparedCall(
                connection=connection, connector=connector, operation=operation, config=config, request=request
            )
            return call.keyed(key)

        if not isinstance(found, CustomOperation):
            with _hinting(connection, found):
                return prepare(found, build_request(found, inputs, config))
        attempts, warnings = 0, list[str]()
        steps = run_steps(found, inputs, config)
        try:
            with _hinting(connection, found):
                step = next(steps)
            while not step.is_last:
                result, _ = await self._exchange.make(prepare(step.operation, step.request))
                attempts += result.attempts
                warnings += result.warnings
                with _hinting(connection, found):
                    step = steps.send(result.fields or {})
        except StopIteration as end:
            done: Result = end.value
            return replace(done, attempts=attempts, warnings=tuple(warnings))
        return replace(prepare(step.operation, step.request), attempts=attempts, warnings=tuple(warnings))

    def _config(self, connection: str, connector: Connector) -> Config:
        if (version := self.vault.version()) != self._configured:
            # A command, or another process, entered or removed a value.
            self._configs, self._configured = {}, version
        known = self._configs.get(connection)
        given = self.vault.given(connection)
        if known is None or known.connector is not connector or known.given != given:
            # The values were not read yet, a host has changed them, or an edited definition replaced the one they were
            # read for.
            if known is not None and known.given != given:
                self._exchange.authoriser.forget(connection)
            known = _Configured(connector, self._configure(connection, connector, {}), given)
            self._configs[connection] = known
        return known.config

    def _known_names(self) -> set[str]:
        # A vault that a host made may not know the catalogue.
        return {*self.vault.names(), *self.catalog.handles()}

    def _configure(self, connection: str, connector: Connector, stand_ins: Mapping[str, str]) -> Config:
        values = self.vault.values(connection, connector.service.placeholders)
        base_url = self.settings.base_url(connection, self._known_names)
        config = connector.service.configure({**stand_ins, **values}, base_url=base_url)
        self.vault.bind(connection, connector.service.placeholders, destination(config))
        return config


@contextlib.contextmanager
def _hinting(connection: str, operation: AnyOperation) -> Iterator[None]:
    """Adds the variables and the command that help to errors of the language, which knows neither."""
    try:
        yield
    except MissingCredentials as error:
        error.hint = error.hint or hint_to_set(connection, [each.name for each in error.errors])
        raise
    except InputError as error:
        error.hint = error.hint or f"see: connector describe {operation.service.connector} {operation.id}"
        raise
