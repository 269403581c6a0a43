"""The one flat namespace of an operation: which names it declares and uses, and which of them the connection fills.

`operations` gathers the names in a Usage while it reads the pieces of an operation; language rules 4 to 6 decide what
each of them is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from connector.model.service import Service
from connector.parsing.reader import Declaration, Declarations, Reader
from connector.parsing.schema import Path
from connector.templates import Placeholder, Template
from connector.types import CONVERTORS

#: The place of a declaration outside of the operation that uses it.
VARIABLE = "variable"


@dataclass(slots=True)
class Usage:
    """The names that one operation declares and uses, gathered while its pieces are read.

    `declared` has one entry for each declaration with the place it belongs to; `used` one for each place a name lands
    in, with the type that an undeclared name gets there. `variables` are declared outside of the operation, `filled`
    are the names that the connection fills (None: those of its values), `given` those that the runtime fills without a
    declaration, and `shared` are the names in the headers of the service.
    """

    variables: Declarations = field(default_factory=dict)
    filled: Collection[str] | None = None
    given: Collection[str] = ()
    declared: list[tuple[str, Declaration]] = field(default_factory=list)
    used: list[tuple[str, str, str, Path]] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)

    def add(self, place: str, template: Template, declared: Declarations, path: Path) -> None:
        """Adds the names of one template that lands in `place`."""
        self.declared += [(place, declaration) for declaration in declared.values()]
        self.used += [(place, name, "String", path) for name in template.names]

    def report_undeclared(self, reader: Reader, name: str, kind: str, path: Path) -> None:
        """Warns of a name that is used and not declared, unless the runtime fills it."""
        if name not in self.given:
            hint = f"declare it; it is taken as a required {kind}"
            reader.complain("W_UNDECLARED", f"{name!r} is used and declared nowhere", path, hint)

    def known(self) -> list[tuple[str, Declaration]]:
        """Returns every declaration with its place, the variables last: of several of one name the first counts."""
        return [*self.declared, *((VARIABLE, declaration) for declaration in self.variables.values())]


def find_namespace(
    reader: Reader, usage: Usage, service: Service, *, broken: bool
) -> tuple[dict[str, Placeholder], dict[str, tuple[str, ...]], frozenset[str], frozenset[str]]:
    """Returns the namespace: inputs by name, the places of each, those a connection fills, those it shadows.

    With `broken`, unused declarations are not reported: what would use them may be what could not be read.
    """
    places: dict[str, tuple[str, ...]] = {}
    first_use: dict[str, tuple[str, Path]] = {}
    for place, name, kind, path in usage.used:
        places[name] = tuple(dict.fromkeys((*places.get(name, ()), place)))
        first_use.setdefault(name, (kind, path))
    for name in usage.shared & service.placeholders.keys():
        places[name] = tuple(dict.fromkeys((*places.get(name, ()), "header")))
    declared: dict[str, Declaration] = {}
    own: set[str] = set()
    for place, each in usage.known():
        name = each.placeholder.name
        if place == VARIABLE and name not in places:
            continue
        known = declared.setdefault(name, each)
        if known.placeholder.type != each.placeholder.type:
            message = f"{name!r} is declared as {known.placeholder.type} and as {each.placeholder.type}"
            reader.complain("W_CONFLICT", message, each.path, "one name is one input; the first declaration counts")
        elif each.placeholder.required and (place != VARIABLE or known is each):
            declared[name] = replace(known, placeholder=replace(known.placeholder, required=True))
        landing = {"query", "body"} if place == VARIABLE else {place} & {"query", "body"}
        if landing & set(places.get(name, ())):
            own.add(name)
    # Language rule 6: a value of the connection always fills URL and headers, but query and body only where the
    # operation does not declare the name for itself.
    connection = places.keys() & (service.placeholders.keys() if usage.filled is None else usage.filled)
    bound = frozenset(connection - own)
    shadowed = frozenset(name for name in connection & own if {"path", "header"} & set(places[name]))
    inputs: dict[str, Placeholder] = {}
    for name, each in declared.items():
        if name not in places:
            inputs[name] = replace(each.placeholder, required=False, default=None)
            if not broken:
                reader.complain("W_UNUSED", f"{name!r} is declared and used nowhere", each.path, "remove it")
        elif name not in bound:
            # A path always needs its value (language rule 4).
            must = each.placeholder.required or ("path" in places[name] and each.placeholder.default is None)
            inputs[name] = replace(each.placeholder, required=must)
    for name, (kind, path) in first_use.items():
        if name in (bound | shadowed) & service.secrets:
            message = f"the credential {name!r} is used outside auth"
            reader.complain("W_SECRET_OUTSIDE_AUTH", message, path, "rename the input")
        elif name not in bound and name not in inputs:
            inputs[name] = Placeholder(name, CONVERTORS[kind.lower()], required=True)
            usage.report_undeclared(reader, name, kind, path)
    return inputs, places, bound, shadowed
