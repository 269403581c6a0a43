"""Plug-ins: rows for the tables of the language that installed packages bring through entry points.

A package adds a row to a table by an entry point in the group of that name, `connector.auth_methods` say; what a row is
and which tables there are `tables` says. They are looked for once, when the first definition is read, so a
process that reads none pays nothing. A plug-in that cannot be used is an error and not a warning: a definition that
needs it would fail in a way that names something else.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.errors import ConfigurationError
from connector.parsing.tables import TABLES, add_kind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: What the name of a group of entry points begins with; the name of a table follows.
PREFIX = "connector."
#: The rows that were added, by table and key.
_added: dict[tuple[str, str], Plugin] = {}


@dataclass(frozen=True, slots=True)
class Plugin:
    """One row that a package brings: to which table, under which name, and what package that is."""

    table: str
    name: str
    distribution: str
    #: Where the row is, as in the entry point: `package.module:name`.
    value: str


def find_plugins() -> list[tuple[Plugin, EntryPoint]]:
    """The plug-ins that are installed, without importing them."""
    # 25 ms to import, and only reading a definition needs it.
    import importlib.metadata

    found = []
    # Looked for once, since each search reads what every installed package declares.
    points = importlib.metadata.entry_points()
    for table in TABLES:
        for point in points.select(group=PREFIX + table):
            owner = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown distribution"
            found.append((Plugin(table, point.name, owner, point.value), point))
    return found


@functools.cache
def load_plugins() -> tuple[Plugin, ...]:
    """Adds the row of each plug-in, once in a process.

    Raises ConfigurationError for one that cannot be imported, is not a row of its table, or has a taken name; it
    names the distribution that brings it.
    """
    plugins = find_plugins()
    add_plugins(plugins)
    return tuple(plugin for plugin, _ in plugins)


def add_plugins(plugins: Iterable[tuple[Plugin, EntryPoint]]) -> None:
    """Adds the rows that were not added before; raises as `load_plugins`."""
    for plugin, point in plugins:
        key = plugin.table, TABLES[plugin.table].key(plugin.name)
        if _added.get(key) == plugin:
            continue
        what = f"the plug-in {plugin.name!r} ({PREFIX}{plugin.table}) of {plugin.distribution}"
        try:
            row = point.load()
        except Exception as error:  # a plug-in is somebody else's code, and may raise anything
            raise ConfigurationError(
                f"{what} cannot be imported from {plugin.value}: {type(error).__name__}: {error}",
                hint=f"install it anew, or: pip uninstall {plugin.distribution.partition(' ')[0]}",
            ) from error
        try:
            add_kind(plugin.table, plugin.name, row)
        except ValueError as error:
            other = _added.get(key)
            brought = f"; {other.distribution} brought it" if other is not None else ""
            raise ConfigurationError(
                f"{what} cannot be used: {error}{brought}",
                hint=f"pip uninstall {plugin.distribution.partition(' ')[0]}, or have it renamed there",
            ) from None
        _added[key] = plugin
