"""Which connectors there are: the shipped ones, then those of the operator's folders, each read when first needed for.

A connector is a file `<handle>.json` or a folder `<handle>/` as language rule 22 lays it out. Files are read and
handed to the language; what they mean is its business. A handle that stands in a later folder replaces the earlier
one as a whole. A connector that was read stays as it is until a reload of it succeeds.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.errors import (
    ConfigurationError,
    InvalidDefinition,
    Problem,
    UnknownConnector,
)
from connector.model.definition import Connector
from connector.parsing.connectors import find_problems, merge_documents, read_connector
from connector.parsing.lint import find_lints, place_lints
from connector.parsing.schema import MAX_BYTES, Document, Kind
from connector.strict_json import MAX_DEPTH, DuplicateKey, nesting, read_members
from runtime.config.connections import ConnectionName
from runtime.config.plugins import load_plugins

_HEADS = ("service.json", "connector.json")
#: How many problems of one connector are read at once is not bounded; how many bytes of an example are, is.
_MAX_EXAMPLE_BYTES = 16 * 1024 * 1024


class Catalog:
    """Connectors by handle."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        """Looks which connectors are in the shipped folder and in `paths`, in this order; reads none of them.

        Raises ConfigurationError for a path that is not there or holds no connector.
        """
        self._places = dict(_find_places(shipped_definitions()))
        self._paths = tuple(paths)
        for path in self._paths:
            found = dict(_find_places(path))
            if not found:
                raise ConfigurationError(
                    f"no connector in {path}",
                    hint="a connector is <handle>.json, or a folder <handle>/ with service.json or connector.json",
                )
            self._places |= found
        self._connectors: dict[str, Connector] = {}

    def handles(self) -> list[str]:
        """The handles, sorted."""
        return sorted(self._places)

    def get(self, handle: str) -> Connector:
        """The connector, read at the first call; raises UnknownConnector, InvalidDefinition."""
        if handle not in self._connectors:
            place = self._place(handle)
            read = _read_shipped if place.parent == shipped_definitions() else read_place
            self._connectors[handle] = read(place, handle)
        return self._connectors[handle]

    def of(self, connection: str) -> Connector:
        """The connector of a connection, `mistral-ai` of `mistral-ai:team-b`; raises as `get` does."""
        return self.get(ConnectionName.parse(connection).handle)

    def reload(self, handle: str) -> Connector:
        """Reads the connector again. If it has errors, InvalidDefinition is raised and the one read before stays."""
        connector = self._connectors[handle] = read_place(self._place(handle), handle)
        return connector

    def loaded(self) -> dict[str, Connector]:
        """The connectors that have been read so far, by handle."""
        return dict(self._connectors)

    def editions(self) -> dict[str, Edition]:
        """The connectors of the operator's folders as they are on the disk now; safe to call from another thread."""
        places: dict[str, Path] = {}
        for path in self._paths:
            # A folder that is not there right now has no connectors.
            with contextlib.suppress(ConfigurationError, OSError):
                places |= _find_places(path)
        return {handle: Edition.of(place) for handle, place in places.items()}

    def take(self, handle: str, place: Path, connector: Connector | None) -> None:
        """Uses a connector that was read from a place from now on; None is one that cannot be read."""
        self._places[handle] = place
        if connector is not None:
            self._connectors[handle] = connector

    def examples(self, handle: str) -> dict[str, Any]:
        """The connector's recorded answers, by operation id; raises InvalidDefinition for invalid JSON."""
        return read_examples(self._place(handle))

    def definition(self, handle: str) -> dict[str, Any]:
        """The connector as one JSON object, its overlay laid over it; raises as `get` does."""
        self.get(handle)
        head, resources, overlay, operations = _documents(self._place(handle))
        return merge_documents(head, resources, overlay=overlay, operations=operations)

    def problems(self, handle: str) -> list[Problem]:
        """Every error and warning of the connector and its examples, with file, line and column."""
        return _lint(self._place(handle), handle)

    def _place(self, handle: str) -> Path:
        try:
            return self._places[handle]
        except KeyError:
            error = UnknownConnector(handle, self._places)
            error.hint += "; name the folder of other connectors with --definitions DIR or CONNECTOR_DEFINITIONS"
            raise error from None


@dataclass(frozen=True, slots=True)
class Edition:
    """One version of a connector's files: two that differ were written at different times."""

    place: Path
    #: Of each file: its path, and its time, size and inode, which show an edit in place and a rename over it.
    files: tuple[tuple[Path, int, int, int], ...]

    @classmethod
    def of(cls, place: Path) -> Edition:
        """What is on the disk now; a file that cannot be seen is left out."""
        files = []
        for path in [place] if place.suffix == ".json" and place.is_file() else _files(place):
            with contextlib.suppress(OSError):
                status = path.stat()
                files.append((path, status.st_mtime_ns, status.st_size, status.st_ino))
        return cls(place, tuple(files))


def _files(place: Path) -> list[Path]:
    names = (*_HEADS, "resources.json", "overlay.json", "operations.json")
    return [*(place / name for name in names), *sorted((place / "resources").glob("*.json"))]


def read_place(place: Path, handle: str) -> Connector:
    """The connector in a file or folder; raises InvalidDefinition."""
    connector, problems = _read(place, handle)
    errors = [problem for problem in problems if problem.is_error]
    if connector is None or errors:
        raise InvalidDefinition(errors)
    return connector


@functools.cache
def _read_shipped(place: Path, handle: str) -> Connector:
    # It does not change while the product runs, and is frozen: a process that makes many runtimes reads it once.
    return read_place(place, handle)


def shipped_definitions() -> Path:
    """The folder of the connectors that come with the product: inside the wheel, or next to the source."""
    inside = Path(__file__).parents[1] / "definitions"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "definitions"


def find_problems_in(path: Path) -> list[Problem]:
    """Every problem under a path: one connector, a folder of connectors, or one JSON document of any kind.

    Raises ConfigurationError for a path that is not there or holds nothing to check.
    """
    load_plugins()
    if path.is_dir() and path.name == "automations":
        return [problem for file in sorted(path.glob("*.json")) for problem in find_problems_in(file)]
    kind = _kind_of(path)
    if kind is not None and kind != "connector":
        try:
            return find_problems(_read_text(path), kind=kind, file=str(path))
        except InvalidDefinition as error:
            return list(error.problems)
    places = dict(_find_places(path))
    if not places:
        raise ConfigurationError(f"no connector in {path}", hint="name a connector's file or folder")
    return [problem for handle, place in sorted(places.items()) for problem in _lint(place, handle)]


def read_examples(place: Path) -> dict[str, Any]:
    """The recorded answers next to a definition, by operation id; raises InvalidDefinition for invalid JSON."""
    return {name: document.value for name, document in _example_documents(place).items()}


def _example_documents(place: Path) -> dict[str, Document]:
    examples: dict[str, Document] = {}
    folder = place / "examples"
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        text = _read_text(file, _MAX_EXAMPLE_BYTES)
        try:
            value = json.loads(text, object_pairs_hook=read_members)
            too_deep = nesting(value) > MAX_DEPTH
        except RecursionError:
            too_deep = True
        except json.JSONDecodeError as error:
            problem = Problem(
                "E_JSON",
                f"not JSON: {error.msg.lower()}",
                file=str(file),
                line=error.lineno,
                column=error.colno,
            )
            raise InvalidDefinition([problem]) from None
        except ValueError as error:
            message = "duplicate key" if isinstance(error, DuplicateKey) else "a number has too many digits"
            raise InvalidDefinition([Problem("E_JSON", message, file=str(file), line=1, column=1)]) from None
        if too_deep:
            message = f"the example nests deeper than {MAX_DEPTH}"
            raise InvalidDefinition([Problem("E_LIMIT", message, file=str(file), line=1, column=1)])
        examples[file.stem] = Document(value=value, kind="connector", text=text, file=str(file))
    return examples


def _find_places(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.stem, path
    elif any((path / head).is_file() for head in _HEADS):
        yield path.resolve().name, path
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            if child.name.startswith((".", "_")):
                continue
            if child.is_dir() and any((child / head).is_file() for head in _HEADS):
                yield child.name, child
            elif child.suffix == ".json" and child.is_file():
                yield child.stem, child
    else:
        raise ConfigurationError(f"{path} is not there", hint="--definitions names a folder")


def _kind_of(path: Path) -> Kind | None:
    if not path.is_file():
        return None
    if path.parent.name in ("resources", "automations"):
        return "resources" if path.parent.name == "resources" else "automation"
    kinds: dict[str, Kind] = {
        "service.json": "service",
        "resources.json": "resources",
        "overlay.json": "overlay",
        "operations.json": "operations",
    }
    return kinds.get(path.name, "connector")


def _read(place: Path, handle: str, *, lint: bool = False) -> tuple[Connector | None, list[Problem]]:
    load_plugins()
    try:
        head, resources, overlay, operations = _documents(place)
    except InvalidDefinition as error:
        return None, list(error.problems)
    connector, problems = read_connector(
        head,
        resources[0] if resources else None,
        overlay=overlay,
        operations=operations,
        more_resources=resources[1:],
        lint=lint,
    )
    if connector is not None and connector.handle != handle and place.name != "connector.json":
        message = f"the handle is {connector.handle!r}, but its file or folder is named {handle!r}"
        problems += head.problems([_misnamed(message)])
        return None, problems
    return connector, problems


def _misnamed(message: str) -> Any:
    from connector.parsing.schema import Finding

    return Finding("E_HANDLE", message, ("handle",), hint="name both alike")


def _documents(place: Path) -> tuple[Document, list[Document], Document | None, Document | None]:
    """Every document of a connector; raises InvalidDefinition with the problems of all that cannot be read."""
    problems: list[Problem] = []

    def read(path: Path, kind: Kind) -> Document | None:
        if not path.is_file():
            return None
        try:
            return Document.from_text(_read_text(path), kind, str(path))
        except InvalidDefinition as error:
            problems.extend(error.problems)
            return None

    if place.is_file():
        head = read(place, "connector")
        resources: list[Document | None] = []
        overlay = operations = None
    else:
        whole = place / "connector.json"
        head = read(whole, "connector") if whole.is_file() else read(place / "service.json", "service")
        groups = sorted((place / "resources").glob("*.json"))
        resources = [read(path, "resources") for path in (place / "resources.json", *groups)]
        overlay = read(place / "overlay.json", "overlay")
        operations = read(place / "operations.json", "operations")
    if problems or head is None:
        raise InvalidDefinition(problems)
    return head, [document for document in resources if document is not None], overlay, operations


def _lint(place: Path, handle: str) -> list[Problem]:
    connector, problems = _read(place, handle, lint=True)
    if connector is not None:
        try:
            examples = _example_documents(place)
        except InvalidDefinition as error:
            return problems + list(error.problems)
        lints = find_lints(connector, {name: document.value for name, document in examples.items()})
        head, resources, overlay, operations = _documents(place)
        documents = [each for each in (head, *resources, operations, overlay) if each is not None]
        problems += place_lints(lints, documents, examples)
    return problems


def _read_text(path: Path, limit: int = MAX_BYTES) -> str:
    try:
        # One byte more than allowed shows that there is more, without reading the rest.
        with path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            message = f"the file is larger than {limit} bytes"
            raise InvalidDefinition([Problem("E_LIMIT", message, file=str(path), line=1, column=1)])
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidDefinition(
            [Problem("E_JSON", "the file is not UTF-8", file=str(path), line=1, column=1)]
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
