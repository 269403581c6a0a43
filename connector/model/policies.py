"""The policies of a provider: how fast it may be called, what is sent again, and what its failures mean.

These are values; those of an operation win over those of its service, key by key. The runtime acts on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.selectors import Selector
from connector.strict_json import same_json
from connector.types import to_text

#: Compiles the selector at a key of a block; None if there is none. Further arguments are the path of the block within
#: the one that is read.
ReadSelectorAt = Callable[..., Selector | None]
#: The methods that an operation may have: those of RFC 9110 and RFC 5789, without CONNECT, which belongs to proxies
#: (RFC 9110, section 9.3.6), and TRACE, which would have credentials sent back (section 9.3.8).
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: Methods that change nothing, and may be repeated (RFC 9110, section 9.2.1).
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: The largest number of attempts.
MAX_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How fast one connection may be used: `requests` in each `per` seconds, `concurrency` at once; None for any."""

    requests: int | None = None
    per: float = 1.0
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """When a call is sent again: `attempts` in all, after one of the `statuses`, waiting `max_delay` seconds at most.

    A call that is not idempotent is sent again only if a rate limit refused it or it certainly was not sent.
    """

    attempts: int = 4
    statuses: frozenset[int] = frozenset({500, 502, 503, 504})
    max_delay: float = 60.0


@dataclass(frozen=True, slots=True)
class Sign:
    """The sign of a failure that comes with a status of success: what `selector` finds is one of `values`.

    Without values anything counts but null, false, and an empty text, list or object.
    """

    selector: Selector
    values: tuple[Any, ...] | None = None

    def is_in(self, document: Any) -> bool:
        """True for the document of a failure."""
        found = self.selector.find_one(document)
        if self.values is None:
            return found is not None and found is not False and found not in ("", [], {})
        return any(same_json(found, each) for each in self.values)


#: The units in which a time to wait, or its end, is written.
WAIT_UNITS = ("s", "ms", "unix", "unix_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSign:
    """Which answers refuse for now: those with one of `statuses` and, if there are any, one of the signs in `when`.

    `retry_after` selects the time to wait in the body, in `unit`; `wait` are the seconds to wait if there is none.
    """

    statuses: frozenset[int]
    when: tuple[Sign, ...] = ()
    retry_after: Selector | None = None
    unit: str = "s"
    wait: float | None = None

    def is_in(self, status: int, document: Any) -> bool:
        """True for an answer that refuses for now."""
        return status in self.statuses and (not self.when or any(sign.is_in(document) for sign in self.when))

    def read_wait(self, document: Any, now: float) -> float | None:
        """Returns the seconds to wait from `now` on (seconds since the epoch), or None if they are not known."""
        found = self.retry_after.find_one(document) if self.retry_after is not None else None
        try:
            number = float(found) if isinstance(found, (str, int, float)) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            return self.wait
        number = number / 1000 if self.unit in ("ms", "unix_ms") else number
        return max(0.0, number - now if self.unit.startswith("unix") else number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMap:
    """What the provider's failures mean.

    `message` and `code` select its message and its code; `retry_after` is the header with the time to wait; `statuses`
    are meanings of statuses. An answer of 2xx, or a message of a stream, is a failure if it has one of the signs in
    `when`.
    """

    message: Selector | None = None
    code: Selector | None = None
    retry_after: str = ""
    when: tuple[Sign, ...] = ()
    statuses: Mapping[int, str] = field(default_factory=dict)
    #: Which answers are limits, in addition to a 429.
    limit: LimitSign | None = None

    def is_failure(self, document: Any) -> bool:
        """True for the document of a failure that came with a status of success."""
        return any(sign.is_in(document) for sign in self.when)

    def code_in(self, document: Any) -> str | None:
        """Returns the provider's own code as text, or None."""
        found = self.code.find_one(document) if self.code is not None else None
        return to_text(found) if isinstance(found, (str, int, float)) and found != "" else None


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies of a service or an operation."""

    rate_limit: RateLimit | None = None
    retry: Retry = field(default_factory=Retry)
    errors: ErrorMap = field(default_factory=ErrorMap)

    def overlaid(self, source: Mapping[str, Any], read: ReadSelectorAt) -> Policies:
        """Returns these policies with those of a service or an operation applied; wrong shapes are ignored."""
        policies = self
        if isinstance(rate := source.get("rateLimit"), Mapping):
            limit = self.rate_limit or RateLimit()
            limit = replace(
                limit,
                requests=_number(rate, "requests", 1, limit.requests),
                per=_number(rate, "per", 0, limit.per),
                concurrency=_number(rate, "concurrency", 1, limit.concurrency),
            )
            policies = replace(policies, rate_limit=limit)
        if isinstance(retry := source.get("retry"), Mapping):
            listed = retry.get("statuses")
            statuses = frozenset(each for each in listed if isinstance(each, int)) if isinstance(listed, list) else None
            policies = replace(
                policies,
                retry=Retry(
                    min(MAX_ATTEMPTS, _number(retry, "attempts", 1, self.retry.attempts)),
                    self.retry.statuses if statuses is None else statuses,
                    _number(retry, "maxDelay", 0, self.retry.max_delay),
                ),
            )
        if isinstance(errors := source.get("errors"), Mapping):
            policies = replace(policies, errors=_read_errors(errors, self.errors, read))
        return policies


def read_idempotency(source: Any, method: str) -> tuple[bool, str]:
    """Returns whether a call may be sent again, and the header of its idempotency key (empty for none)."""
    if isinstance(source, Mapping):
        header = source.get("header")
        return True, header if isinstance(header, str) else ""
    return (source if isinstance(source, bool) else method in SAFE_METHODS), ""


def _read_errors(source: Mapping[str, Any], known: ErrorMap, read: ReadSelectorAt) -> ErrorMap:
    statuses = source.get("statuses")
    header = source.get("retryAfter")
    return ErrorMap(
        message=read(source, "message") or known.message,
        code=read(source, "code") or known.code,
        retry_after=header if isinstance(header, str) else known.retry_after,
        when=tuple(_read_signs(source["when"], read)) if "when" in source else known.when,
        statuses={int(status): text for status, text in statuses.items() if isinstance(text, str) and status.isdigit()}
        if isinstance(statuses, Mapping)
        else known.statuses,
        limit=_read_limit(source["limit"], read) if isinstance(source.get("limit"), Mapping) else known.limit,
    )


def _read_limit(source: Mapping[str, Any], read: ReadSelectorAt) -> LimitSign:
    statuses = source.get("statuses")
    unit = source.get("unit")
    return LimitSign(
        statuses=frozenset(statuses if isinstance(statuses, list) else (429,)),
        when=tuple(_read_signs(source["when"], read, "limit")) if "when" in source else (),
        retry_after=read(source, "retryAfter", "limit"),
        unit=unit if unit in WAIT_UNITS else "s",
        wait=_number(source, "wait", 0, None),
    )


def _read_signs(source: Any, read: ReadSelectorAt, *within: str) -> Iterator[Sign]:
    listed = isinstance(source, list)
    for index, block in enumerate(source if isinstance(source, list) else [source]):
        selector = None
        if isinstance(block, Mapping):
            selector = read(block, "selector", *within, "when", *([index] if listed else []))
        if selector is not None:
            values = block.get("in")
            yield Sign(selector, tuple(values) if isinstance(values, list) else None)


def _number(source: Mapping[str, Any], key: str, minimum: int, default: Any) -> Any:
    value = source.get(key)
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= minimum
    return value if fits else default
