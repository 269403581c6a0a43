"""The runtime of connectors: it does the I/O that the language (`connector`) decides on.

This module names what is public; `docs/reference.md` describes it. Each name is imported when it is first asked for
(PEP 562): the `connector` command is in this package too, and its `--help` must not wait for all of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from runtime.config.catalog import Catalog
    from runtime.config.credentials import Credentials
    from runtime.config.settings import Limits, Settings, load_settings
    from runtime.config.vault import Vault
    from runtime.http.options import HttpOptions
    from runtime.runtime import Runtime
    from runtime.server.app import create_app
    from runtime.sync import SyncRuntime

__all__ = [
    "BlockedAddress",
    "Catalog",
    "ConfigurationError",
    "ConnectorError",
    "Credentials",
    "HttpOptions",
    "InputError",
    "InputProblem",
    "InvalidDefinition",
    "InvalidSignature",
    "JournalUnavailable",
    "Limits",
    "MappingError",
    "MissingCredentials",
    "NeedsReauthorization",
    "NotInJournal",
    "OriginChanged",
    "Problem",
    "RateLimited",
    "RequestRefused",
    "ResponseError",
    "Runtime",
    "Settings",
    "SyncRuntime",
    "TransportError",
    "UnknownConnector",
    "UnknownOperation",
    "UnknownOutcome",
    "Vault",
    "create_app",
    "load_settings",
]

#: Where the names are that are not errors.
_HOMES = {
    "Catalog": "runtime.config.catalog",
    "Credentials": "runtime.config.credentials",
    "HttpOptions": "runtime.http.options",
    "Limits": "runtime.config.settings",
    "Runtime": "runtime.runtime",
    "Settings": "runtime.config.settings",
    "SyncRuntime": "runtime.sync",
    "Vault": "runtime.config.vault",
    "create_app": "runtime.server.app",
    "load_settings": "runtime.config.settings",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES.get(name, "connector.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
