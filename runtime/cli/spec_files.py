"""Specifications and the folders made from them: read from a file or a URL, written so that manual edits are kept.

`connector.openapi.importer` interprets a specification. A folder that an import has written belongs to the import,
except for `overlay.json`, which holds manual corrections and is never changed.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connector.errors import ConfigurationError, InvalidDefinition
from connector.model.definition import Connector
from connector.openapi.text import MAX_JSON_BYTES, parse_spec
from connector.parsing.compare import Change, find_changes
from connector.parsing.connectors import read_connector
from runtime.config.settings import Settings

if TYPE_CHECKING:
    from connector.openapi.importer import Imported

#: The parts of a folder that an import writes anew; `overlay.json` is not among them.
_OWN = ("service.json", "resources.json", "operations.json")
_OWN_FOLDERS = ("resources", "examples")


def read_spec(source: str, settings: Settings) -> Any:
    """The value of a specification, from a file or an http(s) URL.

    The operator names the URL, so its origin may be a private one; nothing that it refers to is fetched. Raises
    ConfigurationError, InvalidDefinition, TransportError, BlockedAddress.
    """
    if source.startswith(("http://", "https://")):
        return parse_spec(asyncio.run(_fetch(source, settings)), source)
    path = Path(source)
    try:
        with path.open("rb") as file:
            # One byte more than allowed shows that there is more, without reading the rest.
            data = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or 'it cannot be read').lower()}") from None
    return parse_spec(data, str(path))


def place_problems(error: InvalidDefinition, source: str) -> InvalidDefinition:
    """What is wrong with a specification, with the file and the line of the member that each problem points at."""
    try:
        text = Path(source).read_text("utf-8", "replace")
    except OSError:
        text = ""  # it came from a URL
    return InvalidDefinition(
        [replace(each, file=source, **_find_member(text, each.pointer)) for each in error.problems]
    )


def _find_member(text: str, pointer: str) -> dict[str, Any]:
    name = re.escape(pointer[1:])
    found = re.search(rf"(?:^|[{{,])[ \t]*([\"']?{name}[\"']?[ \t]*:)", text, re.MULTILINE) if name else None
    if found is None:
        return {"line": 1, "column": 1}
    line_start = text.rfind("\n", 0, found.start(1)) + 1
    return {"line": text.count("\n", 0, line_start) + 1, "column": found.start(1) - line_start + 1}


async def _fetch(url: str, settings: Settings) -> bytes:
    from connector.headers import Headers
    from connector.messages import Request
    from runtime.http.client import Client
    from runtime.http.guard import Guard
    from runtime.http.options import Routes

    accept = "application/json, application/yaml;q=0.9, text/yaml;q=0.9, */*;q=0.5"
    request = Request("GET", url, headers=Headers({"Accept": accept}))
    async with Client(Guard([url]), settings.limits) as client:
        sender = client.along(Routes(settings, tuple).of(""))
        response = await sender.send(request, operation="import openapi", origin=url)
    if not 200 <= response.status < 300:
        moved = response.headers.get("location", "")
        hint = f"it is said to be at {moved[:200]}" if moved else "open the address in a browser and save the file"
        raise ConfigurationError(f"the address answered {response.status}, not with a specification", hint=hint)
    return response.body


@dataclass(frozen=True, slots=True)
class Written:
    """What an import did to its folder: the files it wrote or removed, and what changed since the one before.

    `changes` is None where there was none before.
    """

    folder: Path
    written: tuple[str, ...]
    removed: tuple[str, ...]
    changes: tuple[Change, ...] | None
    has_overlay: bool


def write_connector(imported: Imported, out: Path) -> Written:
    """Writes the folder `<handle>/` below `out`; files that would not change stay as they are.

    Raises ConfigurationError for a folder that no import made, or that cannot be written.
    """
    folder = out / imported.handle
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder", hint="name another with --out or --handle")
    known = _read_known(folder)
    texts = imported.files()
    stale = [name for name in known if name not in texts]
    before = _parse(known) if known else None
    changed = [name for name, text in texts.items() if known.get(name) != text]
    try:
        for name in changed:
            _replace(folder / name, texts[name])
        for name in stale:
            (folder / name).unlink()
    except OSError as error:
        message = f"{error.filename or folder}: {(error.strerror or 'it cannot be written').lower()}"
        raise ConfigurationError(message) from None
    changes = None if before is None else tuple(find_changes(before, imported.connector))
    return Written(folder, tuple(changed), tuple(stale), changes, (folder / "overlay.json").is_file())


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, "utf-8")
    beside.replace(path)


def _read_known(folder: Path) -> dict[str, str]:
    """The files of an earlier import by their paths; empty if there is no folder."""
    if not folder.exists():
        return {}
    paths = [folder / name for name in _OWN if (folder / name).is_file()]
    paths += [path for name in _OWN_FOLDERS for path in sorted((folder / name).glob("*.json"))]
    try:
        known = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in paths}
        head = json.loads(known.get("service.json", "{}"))
    except (OSError, ValueError, RecursionError):
        head = {}
    meta = head.get("meta") if isinstance(head, Mapping) else None
    if not (isinstance(meta, Mapping) and isinstance(meta.get("source"), str)) and any(folder.iterdir()):
        hint = "name another folder with --out or another handle with --handle; what is written by hand is not replaced"
        raise ConfigurationError(f"{folder} is there already, and no import made it", hint=hint)
    return known


def _parse(known: Mapping[str, str]) -> Connector | None:
    """The connector of an earlier import, without its overlay; None if it can no longer be read."""
    groups = [text for name, text in known.items() if name.startswith("resources")]
    try:
        first, *others = groups or ["[]"]
        connector, _ = read_connector(
            known["service.json"], first, more_resources=others, operations=known.get("operations.json")
        )
    except InvalidDefinition:
        return None
    return connector
