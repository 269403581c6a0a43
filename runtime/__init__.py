"""The runtime of connectors: it does the I/O that the language (`connector`) decides on.

This door names what is public; `docs/reference.md` describes it.
"""

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
from runtime.catalog import Catalog
from runtime.runtime import Runtime
from runtime.settings import Limits, Settings, load_settings
from runtime.vault import Vault

__all__ = [
    "BlockedAddress",
    "Catalog",
    "ConfigurationError",
    "ConnectorError",
    "InputError",
    "InputProblem",
    "InvalidDefinition",
    "InvalidSignature",
    "Limits",
    "MappingError",
    "MissingCredentials",
    "Problem",
    "RateLimited",
    "ResponseError",
    "Runtime",
    "Settings",
    "TransportError",
    "UnknownConnector",
    "UnknownOperation",
    "Vault",
    "load_settings",
]
