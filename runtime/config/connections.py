"""Connections by name: how a name is written, which values each connection may have, and their environment variables.

The name of a variable is made of upper-case letters, digits and `_`, so different handles, connections and values can
lead to the same one. A secret must never be read under another name (hazards T10 and T56), so such a variable is
refused instead of being given to either of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from connector.errors import ConfigurationError

if TYPE_CHECKING:
    from runtime.config.store import Kind

SECRET, BASE_URL = "CONNECTOR_SECRET", "CONNECTOR_BASE_URL"
#: Values that every connection may have, whatever its definition declares: they say how its messages are verified, and
#: whether those without an id collapse.
INBOUND: Mapping[str, Kind] = {"webhookSecret": "secret", "unsigned": "value", "dedupe": "value"}
#: What distinguishes messages without an id: nothing, so that each is an event, or their bodies.
DEDUPES = ("none", "body")
#: What a connection of a connector may be called.
NAME = r"[A-Za-z0-9_.-]{1,64}"


@dataclass(frozen=True, slots=True)
class ConnectionName:
    """The name of a connection, `CONNECTOR` or `CONNECTOR:NAME`, in its parts.

    >>> ConnectionName.parse("mistral-ai:team-b")
    ConnectionName(handle='mistral-ai', name='team-b')
    """

    handle: str
    #: Empty for the default connection of a connector.
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The parts of a name; whether there may be such a connection is for `is_valid` to decide."""
        handle, _, name = text.partition(":")
        return cls(handle, name)

    @property
    def is_valid(self) -> bool:
        """True if a connection may have this name."""
        return not self.name or re.fullmatch(NAME, self.name) is not None

    @property
    def parts(self) -> tuple[str, ...]:
        """The handle, and the name unless it is the default connection."""
        return (self.handle, self.name) if self.name else (self.handle,)

    @property
    def label(self) -> str:
        """The last part of the source of its events."""
        return self.name or "default"

    @property
    def source(self) -> str:
        """The `source` of its events.

        >>> ConnectionName.parse("mistral-ai").source
        '/mistral-ai/default'
        """
        return f"/{self.handle}/{self.label}"

    def __str__(self) -> str:
        return ":".join(self.parts)


def connections_of(handle: str, known: Iterable[str]) -> list[str]:
    """The connections of a connector among the known ones, after its default one; sorted."""
    return sorted({handle, *(each for each in known if each.startswith(f"{handle}:"))})


def environment_name(name: str) -> str:
    """A handle or a name as it stands in an environment variable: upper case, other characters `_`."""
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in name).upper()


def variable_name(connection: str, name: str) -> str:
    """Returns the environment variable of one value.

    >>> variable_name("mistral-ai:team-b", "apiToken")
    'CONNECTOR_SECRET__MISTRAL_AI__TEAM_B__APITOKEN'
    """
    return "__".join([SECRET, *(environment_name(part) for part in (*ConnectionName.parse(connection).parts, name))])


def hint_to_set(connection: str, names: Iterable[str]) -> str:
    """Returns the hint that names the variables of missing values."""
    return "set " + ", ".join(variable_name(connection, name) for name in sorted(names))


def base_url_variable(connection: str) -> str:
    """Returns the environment variable that moves a connection to another base URL."""
    return setting_variable(BASE_URL, connection)


def setting_variable(setting: str, connection: str) -> str:
    """Returns the environment variable of a setting for one connection, and for all with an empty text.

    >>> setting_variable("CONNECTOR_PROXY", "mistral-ai:team-b")
    'CONNECTOR_PROXY__MISTRAL_AI__TEAM_B'
    """
    parts = ConnectionName.parse(connection).parts if connection else ()
    return "__".join([setting, *(environment_name(part) for part in parts)])


def read_variable(
    environment: Mapping[str, str], variable: str, connection: str, known: Iterable[str], name: str = ""
) -> str | None:
    """Returns the value of a variable of a connection (and of its value `name`), or None if it is not set.

    `known` are the handles and connections of this installation. Raises ConfigurationError, which names both, if the
    variable could be meant for another one of them as well.
    """
    if variable not in environment:
        return None
    own, prefix = ConnectionName.parse(connection), variable.partition("__")[0]
    for each in known:
        other = ConnectionName.parse(each)
        begins = f"{prefix}__{environment_name(other.handle)}"
        shared = other.handle != own.handle and (variable == begins or variable.startswith(f"{begins}__"))
        # The connections of one connector are distinguished by their names.
        same_name = environment_name(other.name) == environment_name(own.name)
        if shared or (other.handle == own.handle and other.name != own.name and same_name):
            raise _shared(variable, connection, each)
    if "__" in environment_name(name):
        raise _shared(variable, f"{name} of {connection}", f"a connection of {own.handle}")
    return environment[variable]


def _shared(variable: str, one: str, other: str) -> ConfigurationError:
    return ConfigurationError(
        f"the variable {variable} could be meant for {one} or for {other}",
        hint="unset it and enter the value with: connector connections set, or rename one of the two",
    )
