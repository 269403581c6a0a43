"""The steps of a custom operation, taken one after the other until only its last call is left, or nothing.

What a step does is `steps`'; how a call is made is given. The last call is left to whoever asked, since its
answer may have pages or come as a stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from connector.messages import Request, Result
from connector.model.definition import Connector, CustomOperation, Operation
from connector.model.service import Config
from connector.requests.steps import run_steps


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call that is ready to be made: who is asked, as whom, and the request before auth.

    `attempts` and `warnings` are those of the steps before it.
    """

    connector: Connector
    operation: Operation
    config: Config
    request: Request
    attempts: int = 0
    warnings: tuple[str, ...] = ()

    def keyed(self, key: str | None) -> PreparedCall:
        """The same call, told apart by a key of the caller's where it is told apart by one; each step has its own."""
        header = self.operation.idempotency_header
        if key is None or not header:
            return self
        own = f"{key}-{self.operation.step}" if self.operation.step else key
        return replace(self, request=self.request.with_header(header, own))

    def complete(self, result: Result) -> Result:
        """The result of the call as that of all steps."""
        return replace(result, attempts=self.attempts + result.attempts, warnings=(*self.warnings, *result.warnings))


async def take_steps(
    connector: Connector,
    custom: CustomOperation,
    inputs: Mapping[str, Any],
    config: Config,
    exchange: Callable[[PreparedCall], Awaitable[Result]],
) -> PreparedCall | Result:
    """Takes the steps before the last call, which is given back; the result where the last step is none.

    Raises InputError, MappingError, and whatever `exchange` raises.
    """
    attempts, warnings = 0, list[str]()
    flow = run_steps(custom, inputs, config)
    try:
        call = next(flow)
        while not call.is_last:
            result = await exchange(PreparedCall(connector, call.operation, config, call.request))
            attempts += result.attempts
            warnings += result.warnings
            call = flow.send(result.fields or {})
    except StopIteration as end:
        done: Result = end.value
        return replace(done, attempts=attempts, warnings=tuple(warnings))
    return PreparedCall(connector, call.operation, config, call.request, attempts, tuple(warnings))
