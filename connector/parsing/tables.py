"""The tables of kinds by their names, and rows that others add to them.

Each table belongs to a module of its own; `add_kind` adds a row to any of them and refuses rows that do not fit.
A program may add its own rows, and the runtime adds those of installed plug-ins (`runtime.config.plugins`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connector.answers.kinds import RESPONSE_KINDS, ResponseKind
from connector.answers.pagination import PAGINATION_STYLES
from connector.answers.streams import STREAM_KINDS
from connector.auth.methods import AUTH_METHODS
from connector.conversions.pipeline import CONVERSIONS
from connector.conversions.row import Conversion
from connector.errors import did_you_mean
from connector.events.signatures import SIGNATURE_SCHEMES
from connector.protocols import method_key
from connector.requests.bodies import BODY_KINDS
from connector.types import CONVERTORS, Convertor


def _has(*members: str) -> Callable[[Any], bool]:
    return lambda row: isinstance(row, type) and all(callable(getattr(row, member, None)) for member in members)


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its rows, what a row is, and how a name is written as a key."""

    rows: dict[str, Any]
    #: What a row is, in words for the author of a row that does not fit.
    holds: str
    fits: Callable[[Any], bool]
    key: Callable[[str], str] = str


#: The tables that take further rows. A row of `stream_kinds` needs one of the same name in `response_kinds`.
TABLES: Mapping[str, Table] = {
    "auth_methods": Table(AUTH_METHODS, "a function that reads an auth block", callable, method_key),
    "body_kinds": Table(
        BODY_KINDS,
        "a class with from_json, accepts, uses and encode",
        _has("from_json", "accepts", "uses", "encode"),
    ),
    "pagination_styles": Table(PAGINATION_STYLES, "a function that reads a pagination block", callable),
    "response_kinds": Table(RESPONSE_KINDS, "a ResponseKind", lambda row: isinstance(row, ResponseKind)),
    "stream_kinds": Table(STREAM_KINDS, "a class with feed and finish", _has("feed", "finish")),
    "signature_schemes": Table(SIGNATURE_SCHEMES, "a class with from_json and verify", _has("from_json", "verify")),
    "conversions": Table(CONVERSIONS, "a Conversion", lambda row: isinstance(row, Conversion)),
    "convertors": Table(CONVERTORS, "a Convertor", lambda row: isinstance(row, Convertor), str.lower),
}


def add_kind(table: str, name: str, row: Any) -> None:
    """Adds a row to one of TABLES, for the whole process; definitions read from then on may name it.

    A Convertor is added under its aliases too. Raises ValueError for an unknown table, a name that is taken, and a row
    that does not fit the table.
    """
    if table not in TABLES:
        raise ValueError(f"there is no table {table!r}; {did_you_mean(table, list(TABLES))}")
    found = TABLES[table]
    if not found.fits(row):
        raise ValueError(f"{name!r} is not a row of {table}: expected {found.holds}")
    keys = [found.key(each) for each in (name, *getattr(row, "aliases", ()))]
    if isinstance(row, Convertor) and found.key(row.name) != keys[0]:
        raise ValueError(f"{name!r} is not a row of {table}: the Convertor calls itself {row.name!r}")
    for key in keys:
        if not key or key in found.rows:
            raise ValueError(f"{key!r} is in {table} already" if key else "a kind has a name")
    found.rows.update(dict.fromkeys(keys, row))
