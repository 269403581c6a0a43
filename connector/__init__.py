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
    "Automation": "connector.events.automations",
    "Chunk": "connector.messages",
    "Config": "connector.model.service",
    "Connector": "connector.model.definition",
    "CustomOperation": "connector.model.definition",
    "Event": "connector.messages",
    "Field": "connector.model.definition",
    "Headers": "connector.headers",
    "InputMapping": "connector.events.automations",
    "Operation": "connector.model.definition",
    "Request": "connector.messages",
    "Resource": "connector.model.definition",
    "Response": "connector.messages",
    "Result": "connector.messages",
    "Service": "connector.model.service",
    "Stream": "connector.messages",
    "Webhook": "connector.model.definition",
    "add_kind": "connector.parsing.tables",
    "build_request": "connector.requests.build",
    "find_lints": "connector.parsing.lint",
    "find_problems": "connector.parsing.connectors",
    "map_event": "connector.events.mapping",
    "map_response": "connector.answers.mapping",
    "parse_automation": "connector.parsing.automations",
    "parse_connector": "connector.parsing.connectors",
    "parse_mapping": "connector.parsing.automations",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES.get(name, "connector.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
