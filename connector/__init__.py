"""The language of connectors: reads definitions, builds requests, maps answers. Pure: no socket, file or clock.

These are the public names; `docs/reference.md` describes them. Each is imported when it is first used (PEP 562), so
that a program pays only for the parts that it needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connector.answers.mapping import map_response
    from connector.errors import (
        BlockedAddress,
        ConfigurationError,
        ConnectorError,
        InputError,
        InputProblem,
        InvalidDefinition,
        InvalidSignature,
        JournalUnavailable,
        MappingError,
        MissingCredentials,
        NeedsReauthorization,
        NotInJournal,
        OriginChanged,
        Problem,
        RateLimited,
        RequestRefused,
        ResponseError,
        TransportError,
        UnknownConnector,
        UnknownOperation,
        UnknownOutcome,
    )
    from connector.events.automations import Automation, InputMapping
    from connector.events.mapping import map_event
    from connector.headers import Headers
    from connector.messages import Chunk, Event, Request, Response, Result, Stream
    from connector.model.definition import Connector, CustomOperation, Field, Operation, Resource, Webhook
    from connector.model.service import Config, Service
    from connector.parsing.automations import parse_automation, parse_mapping
    from connector.parsing.connectors import find_problems, parse_connector
    from connector.parsing.lint import find_lints
    from connector.parsing.tables import add_kind
    from connector.requests.build import build_request

__all__ = [
    "Automation",
    "BlockedAddress",
    "Chunk",
    "Config",
    "ConfigurationError",
    "Connector",
    "ConnectorError",
    "CustomOperation",
    "Event",
    "Field",
    "Headers",
    "InputError",
    "InputMapping",
    "InputProblem",
    "InvalidDefinition",
    "InvalidSignature",
    "JournalUnavailable",
    "MappingError",
    "MissingCredentials",
    "NeedsReauthorization",
    "NotInJournal",
    "Operation",
    "OriginChanged",
    "Problem",
    "RateLimited",
    "Request",
    "RequestRefused",
    "Resource",
    "Response",
    "ResponseError",
    "Result",
    "Service",
    "Stream",
    "TransportError",
    "UnknownConnector",
    "UnknownOperation",
    "UnknownOutcome",
    "Webhook",
    "add_kind",
    "build_request",
    "find_lints",
    "find_problems",
    "map_event",
    "map_response",
    "parse_automation",
    "parse_connector",
    "parse_mapping",
]

#: The modules of the names that are not errors.
_HOMES = {
    name: f"connector.{module}"
    for module, names in {
        "answers.mapping": ("map_response",),
        "events.automations": ("Automation", "InputMapping"),
        "events.mapping": ("map_event",),
        "headers": ("Headers",),
        "messages": ("Chunk", "Event", "Request", "Response", "Result", "Stream"),
        "model.definition": ("Connector", "CustomOperation", "Field", "Operation", "Resource", "Webhook"),
        "model.service": ("Config", "Service"),
        "parsing.automations": ("parse_automation", "parse_mapping"),
        "parsing.connectors": ("find_problems", "parse_connector"),
        "parsing.lint": ("find_lints",),
        "parsing.tables": ("add_kind",),
        "requests.build": ("build_request",),
    }.items()
    for name in names
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES.get(name, "connector.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
