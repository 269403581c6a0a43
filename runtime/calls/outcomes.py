"""What a call comes to: an answer mapped, its secrets masked, or the error that a failure is raised as.

Nothing is sent here, and no operation is chosen; that is `runtime`'s.
"""

from __future__ import annotations

import asyncio
from typing import Any

from connector.answers.failures import provider_message
from connector.answers.mapping import map_turns, read_leniently
from connector.errors import MappingError, RateLimited, ResponseError
from connector.messages import Request, Response, Result, without_query
from connector.model.definition import Operation
from connector.model.service import SHORTEST_TOKEN, Config
from runtime.calls.retries import is_limit, read_wait

_HINTS = {
    401: "check the credentials of the connection: connector doctor",
    403: "the credentials are known but may not do this",
    404: "check the ids among the inputs, and the base URL",
    410: "the provider has retired this operation",
    422: "check the inputs: connector describe shows what each is for",
}


def failure_of(found: Operation, operation: str, result: Result, response: Response, now: float) -> ResponseError:
    """The error of an answer that is a failure, the provider's own words first; `now` is seconds since the epoch."""
    errors = found.policies.errors
    said = errors.message.find_one(result.raw) if errors.message is not None else None
    words = provider_message(said) or provider_message(result.raw) or "the provider gave no reason"
    message = f"{words} ({operation} answered {response.status})"
    code = errors.code_in(result.raw)
    if 300 <= response.status < 400:  # RFC 9110, section 15.4
        where = without_query(response.headers.get("location", "nowhere"))
        message = f"{operation} answered {response.status}: a redirect to {where}, which is not followed"
    meaning = errors.statuses.get(response.status, "")
    if is_limit(response):
        after = read_wait(response, now, errors.retry_after)
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
    return ResponseError(
        message,
        hint=meaning or _HINTS.get(response.status, ""),
        operation=operation,
        result=result,
        response=response,
        provider_code=code,
    )


def document_of(result: Result, response: Response, config: Config) -> Any:
    """The answer parsed, with what is masked in the result: the address of a next page may hold a token."""
    if any(token.encode() in response.body for token in config.tokens):
        return read_leniently(response)
    return result.raw


async def map_answer(operation: Operation, config: Config, request: Request, response: Response, label: str) -> Result:
    """The mapped answer, without secrets that the provider echoes (hazard T53).

    What a failure says is stored and shown, so every credential in it is masked; in a success a token is, and what auth
    made of credentials (user and password of Basic in one), but not a user name, which is often data.
    """
    hidden = request.secrets
    if response.status < 300:
        made = (form for form in request.secrets - config.secrets if len(form) >= SHORTEST_TOKEN)
        hidden = config.tokens.union(made)
    try:
        result = await _map(operation, response.masked(hidden) if hidden else response)
        # What the definition calls a failure may have come with a status of success.
        failed = not result.ok and response.status < 300
        return await _map(operation, response.masked(request.secrets)) if failed else result
    except MappingError:
        response = response.masked(request.secrets)
        try:
            return await _map(operation, response)
        except MappingError as error:
            raise MappingError(
                error.message, hint=error.hint, operation=label, request=request.masked(), response=response
            ) from None


async def _map(operation: Operation, response: Response) -> Result:
    """The answer mapped; other tasks have turns meanwhile, since a provider chooses how many values its bytes are."""
    turns = map_turns(operation, response)
    while True:
        try:
            next(turns)
        except StopIteration as end:
            result: Result = end.value
            return result
        await asyncio.sleep(0)
