"""The values of connections: credentials, host parts and other service-level values, from where an operator keeps them.

Python first, then the environment and `.env`, then a file. A connection is named `mistral-ai` (a connector's default
one) or `mistral-ai:team-b`; one never borrows a value of another. Nothing here checks a value; the service it is for
does (`Service.configure`). No value is ever part of a message or a repr.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from connector.definitions import environment_name
from connector.errors import ConfigurationError


class Vault:
    """Values by connection and name."""

    def __init__(
        self,
        secrets: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        file: Path | None = None,
    ) -> None:
        """`secrets` are values given in Python, `environment` the variables, `file` a JSON or TOML file.

        Raises ConfigurationError for a file that cannot be read.
        """
        self._given = {connection: dict(values) for connection, values in (secrets or {}).items()}
        self._environment = dict(environment or {})
        self._filed = read_secrets_file(file) if file is not None else {}

    def values(self, connection: str, names: Iterable[str]) -> dict[str, Any]:
        """What is known of the named values of a connection, and all that was given for it in Python."""
        found: dict[str, Any] = {}
        for name in names:
            variable = variable_name(connection, name)
            if name in self._filed.get(connection, {}):
                found[name] = self._filed[connection][name]
            if variable in self._environment:
                found[name] = self._environment[variable]
        return found | self._given.get(connection, {})

    def __repr__(self) -> str:
        return f"<Vault of {', '.join(sorted({*self._given, *self._filed})) or 'no named connection'}>"


def variable_name(connection: str, name: str) -> str:
    """The environment variable of one value.

    >>> variable_name("mistral-ai:team-b", "apiToken")
    'CONNECTOR_SECRET__MISTRAL_AI__TEAM_B__APITOKEN'
    """
    return "__".join(["CONNECTOR_SECRET", *(environment_name(part) for part in (*connection.split(":", 1), name))])


def read_secrets_file(path: Path) -> dict[str, dict[str, Any]]:
    """The values in a JSON (or `.toml`) file, by connection; raises ConfigurationError, which quotes nothing."""
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise ConfigurationError(f"secrets file {path}: {error.strerror}") from None
    except ValueError:
        # The parser's message may quote the line, and the line may hold a secret.
        raise ConfigurationError(f"secrets file {path}: neither JSON nor, if it ends in .toml, TOML") from None
    if not isinstance(table, dict) or not all(isinstance(values, dict) for values in table.values()):
        raise ConfigurationError(f"secrets file {path}: expected an object of connections, each an object of values")
    return table
