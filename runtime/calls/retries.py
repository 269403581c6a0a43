"""Whether a call is sent again, and after how long: one decision, returned as a value.

`sender` waits and sends; `policies` are the definition's. A call that is not idempotent is sent again only if it
surely did not happen (no connection was made, or a limit was met); an idempotent one also after a temporary status and
after a broken connection. If the provider names a time, the call waits that long.
"""

from __future__ import annotations

import email.utils
import re
from dataclasses import dataclass

from connector.answers.mapping import read_leniently
from connector.errors import TransportError
from connector.headers import Headers
from connector.messages import Response
from connector.model.policies import LimitSign, Retry

#: Bytes of an answer beyond which it is not a limit: those are short.
_LIMIT_BYTES = 64 * 1024
#: The longest first wait in seconds, if the provider names none; each further one is twice as long.
FIRST_DELAY = 0.5
#: Numbers beyond these are a time since the epoch, in seconds and in milliseconds; below, they are a time to wait.
_EPOCH, _EPOCH_MILLISECONDS = 1e9, 1e12
#: Header fields that name the end of a limit, in addition to Retry-After (RFC 9110, section 10.2.3).
_RESETS = ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset", "x-ratelimit-reset-after")
#: The `t` of draft-ietf-httpapi-ratelimit-headers: `"default";r=0;t=30`.
_STRUCTURED = re.compile(r";\s*t=(\d{1,9})")


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """The call is sent again after `delay` seconds. `told` is True if the provider named that time."""

    delay: float
    told: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The call is not sent again, and why."""

    reason: str


def decide(
    outcome: Response | TransportError,
    retry: Retry,
    *,
    idempotent: bool,
    attempt: int,
    elapsed: float,
    total: float,
    chance: float,
    told: float | None = None,
) -> RetryAfter | GiveUp:
    """What follows attempt number `attempt` (from 1), `elapsed` seconds after the first one began.

    No attempt begins later than `total` seconds after the first. `chance` is a random number from 0 to 1, `told` the
    result of `read_wait`.
    """
    if isinstance(outcome, TransportError):
        if not outcome.temporary:
            return GiveUp("it would fail in the same way")
        if outcome.sent and not idempotent:
            return GiveUp("it may have been carried out")
    elif not is_limit(outcome) and not (idempotent and outcome.status in retry.statuses):
        return GiveUp("the answer is final")
    if attempt >= retry.attempts:
        return GiveUp("it was tried often enough")
    # Full jitter: callers that failed together do not come back together.
    delay = chance * min(retry.max_delay, FIRST_DELAY * 2 ** (attempt - 1))
    delay = max(delay, told or 0.0)
    if delay > min(retry.max_delay, total - elapsed):
        return GiveUp("the wait would be too long")
    return RetryAfter(delay, told is not None)


def is_limit(response: Response) -> bool:
    """True for an answer that refuses for now: a 429 (RFC 6585, section 4), or a 403 that names its end.

    GitHub's documentation of rate limits: 403 or 429, with Retry-After or an `x-ratelimit-remaining` of 0.
    """
    headers = response.headers
    told = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    return response.status == 429 or (response.status == 403 and told)


def find_limit(response: Response, sign: LimitSign | None, now: float) -> tuple[bool, float | None]:
    """Whether an answer is a limit as its definition describes it, and the seconds to wait, if they are known."""
    if sign is None or response.status not in sign.statuses or len(response.body) > _LIMIT_BYTES:
        return False, None
    document = read_leniently(response)
    return (True, sign.read_wait(document, now)) if sign.is_in(response.status, document) else (False, None)


def read_wait(response: Response, now: float, header: str = "") -> float | None:
    """Seconds to wait according to the answer, from `now` (seconds since the epoch) on; None without such a field.

    `header` is named by the definition; then Retry-After counts, and for a limit its resets.
    """
    headers = response.headers
    for name in filter(None, (header, "retry-after")):
        if (wait := read_reset(headers.get(name, ""), now)) is not None:
            return wait
    return _limit_ends(headers, now) if is_limit(response) else None


def _limit_ends(headers: Headers, now: float) -> float | None:
    milliseconds = headers.get("retry-after-ms", "")
    if milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) < 13:
        return int(milliseconds) / 1000
    if found := _STRUCTURED.search(headers.get("ratelimit", "")):
        return float(found[1])
    waits = (read_reset(headers.get(name, ""), now) for name in _RESETS)
    return next((wait for wait in waits if wait is not None), None)


def read_reset(text: str, now: float) -> float | None:
    """Seconds to wait from seconds, a time since the epoch (seconds or milliseconds), or an HTTP date; None if neither.

    >>> read_reset("1700000030", 1700000000.0)
    30.0
    """
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text):
        number = float(text)
        if number >= _EPOCH_MILLISECONDS:
            number /= 1000
        return max(0.0, number - now) if number >= _EPOCH else number
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
