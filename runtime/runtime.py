"""Runtime: the embedding API. It finds an operation, builds its request, authenticates, sends, and maps the answer.

Each of these steps is somebody else's: the catalogue's, the vault's, the language's, the client's. Here they are put
in order, and each failure gets the names it needs. Every edge (transport, clock, secrets, base URLs) can be replaced.
"""

from __future__ import annotations

import email.utils
import time
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from connector.building import build_request
from connector.definitions import Config, Connector, Operation, missing_value
from connector.errors import InputProblem, MappingError, MissingCredentials, RateLimited, ResponseError
from connector.mapping import Result, map_response, provider_message
from connector.messages import MASK, Request, Response, without_query
from connector.templates import Unrenderable
from connector.urls import origin_of
from runtime.catalog import Catalog
from runtime.guard import Guard
from runtime.settings import Settings, load_settings
from runtime.vault import Vault, variable_name

if TYPE_CHECKING:
    import httpx2

    from runtime.client import Client

Inputs = Mapping[str, Any]


class Runtime:
    """Connectors, ready to be called.

    >>> async with Runtime(secrets={"mistral-ai": {"apiToken": key}}) as rt:          # doctest: +SKIP
    ...     result = await rt.call("mistral-ai", "models.list", {})
    """

    def __init__(
        self,
        definitions: str | Path | Iterable[str | Path] = (),
        *,
        secrets: Mapping[str, Mapping[str, Any]] | None = None,
        base_urls: Mapping[str, str] | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        settings: Settings | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`definitions` are folders beside the shipped one. `secrets` are values by connection and name.

        `base_urls` move connections to other origins, which may then be private ones. `transport` replaces the network,
        `clock` (seconds since the epoch) the time, `environ` the environment. `settings` replace what environment and
        files say. Raises ConfigurationError.
        """
        folders = [definitions] if isinstance(definitions, (str, Path)) else definitions
        if settings is None:
            settings = load_settings(environ)
        self.settings = replace(settings, base_urls={**settings.base_urls, **(base_urls or {})})
        self.catalog = Catalog([*settings.definitions, *(Path(folder) for folder in folders)])
        self.vault = Vault(secrets, environment=settings.environment, file=settings.secrets_file)
        self._transport = transport
        self._clock = clock
        self._configs: dict[str, Config] = {}
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every connection to providers. The runtime may be used again afterwards."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def find(self, connection: str, operation: str) -> tuple[Connector, Operation]:
        """The connector of a connection and one of its operations; raises UnknownConnector, UnknownOperation."""
        connector = self.catalog.get(connection.partition(":")[0])
        return connector, connector.operation(operation)

    def render(self, connection: str, operation: str, inputs: Inputs, *, show_secrets: bool = False) -> Request:
        """The request as it would leave, after auth, without sending it.

        Secrets are masked, and a missing one shows as `***`; with `show_secrets` both are not so. Raises InputError.
        """
        connector, found = self.find(connection, operation)
        config = self._config(connection, connector)
        if config.missing and not show_secrets:
            stand_ins = dict.fromkeys(connector.service.credentials & config.missing, MASK)
            config = self._configure(connection, connector, stand_ins)
        request = build_request(found, inputs, config)
        with_auth = next(_start_auth(connector, config, request, connection))
        return with_auth if show_secrets else with_auth.masked()

    async def call(self, connection: str, operation: str, inputs: Inputs) -> Result:
        """Calls an operation and maps its answer.

        Raises InputError before anything is sent, ResponseError (with `.result`) for a 3xx, 4xx or 5xx, RateLimited for
        a 429, MappingError for an answer that cannot be read, TransportError where none came, BlockedAddress where none
        was asked for.
        """
        connector, found = self.find(connection, operation)
        config = self._config(connection, connector)
        label = f"{connection} {operation}"
        request = build_request(found, inputs, config)
        flow = _start_auth(connector, config, request, connection)
        request = next(flow)
        while True:
            response = await self._open_client().send(request, operation=label, origin=config.origin)
            try:
                request = flow.send(response)
            except StopIteration:
                break
        result = replace(_map(found, config, request, response, label), request=request.masked(), run=uuid.uuid4().hex)
        if not result.ok:
            raise self._failure(label, result, response.masked(request.secrets))
        return result

    async def records(self, connection: str, operation: str, inputs: Inputs) -> AsyncIterator[dict[str, Any]]:
        """The records of a list operation, one by one; the one object of any other operation. Raises as `call` does."""
        result = await self.call(connection, operation, inputs)
        for record in [result.fields or {}] if result.records is None else result.records:
            yield record

    def _config(self, connection: str, connector: Connector) -> Config:
        config = self._configs.get(connection)
        if config is None:
            config = self._configs[connection] = self._configure(connection, connector, {})
        return config

    def _configure(self, connection: str, connector: Connector, stand_ins: Mapping[str, str]) -> Config:
        values = self.vault.values(connection, connector.service.placeholders)
        return connector.service.configure({**stand_ins, **values}, base_url=self.settings.base_url(connection))

    def _open_client(self) -> Client:
        if self._client is None:
            # The HTTP library takes 75 ms to import, which only a call has to pay for.
            from runtime.client import Client

            guard = Guard(frozenset(map(origin_of, self.settings.named_base_urls())))
            self._client = Client(guard, self.settings.limits, transport=self._transport)
        return self._client

    def _failure(self, operation: str, result: Result, response: Response) -> ResponseError:
        words = provider_message(result.raw) or "the provider gave no reason"
        message = f"{words} ({operation} answered {response.status})"
        if 300 <= response.status < 400:  # RFC 9110, section 15.4
            where = without_query(response.headers.get("location", "nowhere"))
            message = f"{operation} answered {response.status}: a redirect to {where}, which is not followed"
        if response.status == 429:  # RFC 6585, section 4
            after = read_retry_after(response.headers.get("retry-after", ""), self._clock())
            hint = f"wait {after:g} s" if after is not None else "wait before calling again"
            return RateLimited(
                message, hint=hint, operation=operation, result=result, response=response, retry_after=after
            )
        hint = _HINTS.get(response.status, "")
        return ResponseError(message, hint=hint, operation=operation, result=result, response=response)


_HINTS = {
    401: "check the credentials of the connection: connector doctor",
    403: "the credentials are known but may not do this",
    404: "check the ids among the inputs, and the base URL",
    410: "the provider has retired this operation",
    422: "check the inputs: connector describe shows what each is for",
}


def _start_auth(
    connector: Connector, config: Config, request: Request, connection: str
) -> Generator[Request, Response, None]:
    """The auth flow over a request, its problems as errors of the connection."""
    service = connector.service
    missing = service.credentials & config.missing
    if missing:
        error = missing_value(service, missing)
        hint = "set " + ", ".join(variable_name(connection, name) for name in sorted(missing))
        raise MissingCredentials(connection, error.errors, hint=hint)
    try:
        yield from service.auth.flow(request, config.values)
    except Unrenderable as error:
        problem = InputProblem(error.name, f"{error.name}: {error}")
        raise MissingCredentials(connection, [problem], hint="correct the values of this connection") from None


def _map(operation: Operation, config: Config, request: Request, response: Response, label: str) -> Result:
    """The mapped answer, without secrets that the provider echoes (hazard T53).

    What a failure says is stored and shown, so every credential in it is masked; in a success a token is, but not a
    user name, which is often data.
    """
    hidden = request.secrets if response.status >= 300 else config.tokens
    try:
        return map_response(operation, response.masked(hidden) if hidden else response)
    except MappingError:
        response = response.masked(request.secrets)
        try:
            return map_response(operation, response)
        except MappingError as error:
            raise MappingError(
                error.message, hint=error.hint, operation=label, request=request.masked(), response=response
            ) from None


def read_retry_after(text: str, now: float) -> float | None:
    """Seconds to wait: a number, or an HTTP date seen from `now` (RFC 9110, section 10.2.3); None if it is neither."""
    if text.isascii() and text.isdigit() and len(text) < 10:  # thirty years are enough
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
