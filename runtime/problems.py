"""Errors as answers over HTTP: which status an error is, and its problem document (RFC 9457).

A table maps each class of error to a status; a class without a row has that of the nearest class above it. The document
of an unexpected error holds nothing but its class and place.
"""

from __future__ import annotations

import json
import logging
import math
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from connector.errors import (
    BlockedAddress,
    ConfigurationError,
    ConnectorError,
    InputError,
    InvalidDefinition,
    InvalidSignature,
    JournalUnavailable,
    MappingError,
    NotInJournal,
    OriginChanged,
    RateLimited,
    RequestRefused,
    ResponseError,
    TransportError,
    UnknownConnector,
    UnknownOperation,
    problem_document,
)

_LOG = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"
#: The status of each class of error; a RequestRefused has its own.
STATUSES: Mapping[type[BaseException], int] = {
    BaseException: 500,
    ConnectorError: 500,
    InputError: 422,
    InvalidDefinition: 422,
    ConfigurationError: 422,
    OriginChanged: 403,
    UnknownOperation: 404,
    UnknownConnector: 404,
    NotInJournal: 404,
    InvalidSignature: 401,
    ResponseError: 502,
    MappingError: 502,
    TransportError: 502,
    BlockedAddress: 403,
    JournalUnavailable: 503,
}


def status_of(error: BaseException) -> int:
    """The status of an error: its own, or the row of the nearest class above it."""
    if isinstance(error, RequestRefused):
        return error.status
    return next(STATUSES[each] for each in type(error).__mro__ if each in STATUSES)


def failure_document(error: BaseException) -> dict[str, Any]:
    """An error as a problem document (RFC 9457), with `code` and `hint`."""
    if isinstance(error, ConnectorError):
        return dict(problem_document(error))
    return {
        "type": "about:blank",
        "title": "An unexpected error",
        "code": "E_UNEXPECTED",
        "detail": _place(error),
        "hint": "please report it; CONNECTOR_DEBUG=1 shows where it arose",
    }


def problem(error: BaseException) -> tuple[int, dict[str, Any], dict[str, str]]:
    """The status, the problem document and the header fields of the answer to a failed request."""
    status = status_of(error)
    if not isinstance(error, ConnectorError):
        _LOG.error("a request failed", exc_info=error)
    document: dict[str, Any] = {**failure_document(error), "status": status}
    headers = dict(error.headers) if isinstance(error, RequestRefused) else {}
    if isinstance(error, ResponseError):
        document |= {"provider_status": error.status, "provider_code": error.provider_code}
    if isinstance(error, (RateLimited, JournalUnavailable)) and error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if status == 401 and "WWW-Authenticate" not in headers:
        headers["WWW-Authenticate"] = 'Bearer realm="connector"'
    return status, document, headers


def problem_bytes(error: BaseException) -> tuple[int, bytes, dict[str, str]]:
    """As `problem`, with the document as JSON."""
    status, document, headers = problem(error)
    return status, json.dumps(document).encode(), {"Content-Type": CONTENT_TYPE, **headers}


def _place(error: BaseException) -> str:
    """The class of the error and where it arose. Its text is left out, since it may quote a secret."""
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(part) for part in (error.filename, error.strerror.lower()) if part)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where
