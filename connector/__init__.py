"""The language of connectors: definitions read, requests built, answers mapped. Pure: no socket, file or clock.

This door names what is public; `docs/reference.md` describes it.
"""

from connector.building import build_request
from connector.definitions import Config, Connector, Field, Operation, Resource, Service, Webhook
from connector.errors import (
    BlockedAddress,
    ConfigurationError,
    ConnectorError,
    InputError,
    InputProblem,
    InvalidDefinition,
    InvalidSignature,
    MappingError,
    MissingCredentials,
    Problem,
    RateLimited,
    ResponseError,
    TransportError,
    UnknownConnector,
    UnknownOperation,
)
from connector.linting import find_lints
from connector.mapping import Result, map_event, map_response
from connector.messages import Event, Headers, Request, Response
from connector.parsing import find_problems, parse_connector

__all__ = [
    "BlockedAddress",
    "Config",
    "ConfigurationError",
    "Connector",
    "ConnectorError",
    "Event",
    "Field",
    "Headers",
    "InputError",
    "InputProblem",
    "InvalidDefinition",
    "InvalidSignature",
    "MappingError",
    "MissingCredentials",
    "Operation",
    "Problem",
    "RateLimited",
    "Request",
    "Resource",
    "Response",
    "ResponseError",
    "Result",
    "Service",
    "TransportError",
    "UnknownConnector",
    "UnknownOperation",
    "Webhook",
    "build_request",
    "find_lints",
    "find_problems",
    "map_event",
    "map_response",
    "parse_connector",
]
