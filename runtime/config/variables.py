"""The environment variables of connections: their names, and that each of them belongs to one connection.

The name of a variable is made of upper-case letters, digits and `_`, so different handles, connections and values can
lead to the same one. A secret must never be read under another name (hazards T10 and T56), so such a variable is
refused instead of being given to either of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from connector.errors import ConfigurationError
from connector.model.service import environment_name

SECRET, BASE_URL = "CONNECTOR_SECRET", "CONNECTOR_BASE_URL"


def variable_name(connection: str, name: str) -> str:
    """Returns the environment variable of one value.

    >>> variable_name("mistral-ai:team-b", "apiToken")
    'CONNECTOR_SECRET__MISTRAL_AI__TEAM_B__APITOKEN'
    """
    return "__".join([SECRET, *(environment_name(part) for part in (*connection.split(":", 1), name))])


def base_url_variable(connection: str) -> str:
    """Returns the environment variable that moves a connection to another base URL."""
    return "__".join([BASE_URL, *(environment_name(part) for part in connection.split(":", 1))])


def read_variable(
    environment: Mapping[str, str], variable: str, connection: str, known: Iterable[str], name: str = ""
) -> str | None:
    """Returns the value of a variable of a connection (and of its value `name`), or None if it is not set.

    `known` are the handles and connections of this installation. Raises ConfigurationError, which names both, if the
    variable could be meant for another one of them as well.
    """
    if variable not in environment:
        return None
    handle, _, rest = connection.partition(":")
    prefix = variable.partition("__")[0]
    for other in known:
        other_handle, _, other_rest = other.partition(":")
        begins = f"{prefix}__{environment_name(other_handle)}"
        shared = other_handle != handle and (variable == begins or variable.startswith(f"{begins}__"))
        # The connections of one connector are told apart by their names.
        same_name = environment_name(other_rest) == environment_name(rest)
        if shared or (other_handle == handle and other_rest != rest and same_name):
            raise _shared(variable, connection, other)
    if "__" in environment_name(name):
        raise _shared(variable, f"{name} of {connection}", f"a connection of {handle}")
    return environment[variable]


def _shared(variable: str, one: str, other: str) -> ConfigurationError:
    return ConfigurationError(
        f"the variable {variable} could be meant for {one} or for {other}",
        hint="unset it and enter the value with: connector connections set, or rename one of the two",
    )
