"""The checks of `connector doctor`: each is a function that yields rows of ok, warn or fail, and changes nothing.

Names of secrets are shown, never their values. Nothing is sent anywhere.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from connector.errors import ConnectorError
from runtime.config.catalog import Catalog
from runtime.config.connections import variable_name
from runtime.config.plugins import load_plugins
from runtime.config.settings import Settings
from runtime.config.store import Store, open_store
from runtime.config.vault import Vault, destination

DISTRIBUTION = "connector-runtime"
OLDEST_PYTHON = (3, 11)
#: A clock before this is wrong: the product is younger than that.
_BEGINNING = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*(?:>=\s*([0-9.]+))?")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `fail` keeps the product from working, `warn` a part of it."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    hint: str = ""


def examine(settings: Settings, *, now: datetime.datetime) -> Iterator[Check]:
    """Every check in turn; `now` is the wall clock, with its time zone."""
    yield _check_python(sys.version_info[:3])
    yield from check_libraries()
    yield from check_plugins()
    yield from _check_catalog(settings)
    yield check_home(settings.home)
    yield from check_store(settings)
    yield check_clock(now)


def _check_python(version: tuple[int, ...]) -> Check:
    text = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        return Check("python", "fail", text, "Python 3.11 or newer is needed")
    return Check("python", "ok", f"{text} ({platform.system()} {platform.machine()})")


def check_libraries(distribution: str = DISTRIBUTION) -> Iterator[Check]:
    """What the distribution demands, and what is installed."""
    try:
        demands = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        yield Check("libraries", "warn", f"{distribution} is not installed, so its demands are not known")
        return
    for demand in demands:
        found = _REQUIREMENT.match(demand)
        if found is None or ";" in demand:  # what only some extra or some system needs
            continue
        name, least = found[1], found[2] or "0"
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "fail", "not installed", f"pip install '{name}>={least}'")
            continue
        enough = _numbers(version) >= _numbers(least)
        hint = "" if enough else f"pip install --upgrade '{name}>={least}'"
        yield Check(name, "ok" if enough else "fail", version, hint)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])


def check_plugins() -> Iterator[Check]:
    """The plug-ins that are installed and what each brings; no row where there is none."""
    try:
        plugins = load_plugins()
    except ConnectorError as error:
        yield Check("plug-ins", "fail", error.message, error.hint)
        return
    brought: dict[str, list[str]] = {}
    for plugin in plugins:
        brought.setdefault(plugin.distribution, []).append(f"{plugin.table} {plugin.name}")
    for distribution, rows in brought.items():
        yield Check("plug-in", "ok", f"{distribution} brings {', '.join(rows)}")


def _check_catalog(settings: Settings) -> Iterator[Check]:
    try:
        catalog = Catalog(settings.definitions)
        store = _usable_store(settings)
        file = settings.secrets_file
        vault = Vault(None, environment=settings.environment, file=file, store=store, handles=catalog.handles)
    except ConnectorError as error:
        yield Check("catalogue", "fail", error.message, error.hint)
        return
    handles = catalog.handles()
    yield Check("catalogue", "ok", f"{len(handles)} connector{'' if len(handles) == 1 else 's'}")
    for handle in handles:
        yield _check_connector(catalog, vault, handle, settings)


def _check_connector(catalog: Catalog, vault: Vault, handle: str, settings: Settings) -> Check:
    try:
        service = catalog.get(handle).service
    except ConnectorError as error:
        return Check(handle, "fail", error.message.partition("\n")[0], f"connector lint shows more about {handle}")
    try:
        known = vault.values(handle, service.placeholders)
        config = service.configure(known, base_url=settings.base_url(handle, vault.names))
        vault.bind(handle, service.placeholders, destination(config))
    except ConnectorError as error:
        return Check(handle, "fail", error.message, error.hint)
    needed = [name for name, each in service.placeholders.items() if each.required and each.default is None]
    missing = [name for name in needed if name not in known]
    if missing:
        variables = ", ".join(variable_name(handle, name) for name in missing)
        return Check(handle, "warn", f"not set: {', '.join(missing)}", f"set {variables}")
    return Check(handle, "ok", f"set: {', '.join(sorted(known))}" if known else "needs no secret")


def check_store(settings: Settings) -> Iterator[Check]:
    """What the encrypted store holds, by name, and whether there is a key for it; no row while there is no store."""
    try:
        store = open_store(settings.store, settings.environment)
        if store is None or not store.path.exists():
            return
        store.check()
        entries = store.entries()
    except ConnectorError as error:
        yield Check("store", "fail", error.message, error.hint)
        return
    names: dict[str, list[str]] = {}
    for entry in entries:
        names.setdefault(entry.connection, []).append(entry.name or entry.kind)
    shown = "; ".join(f"{connection}: {', '.join(listed)}" for connection, listed in names.items())
    yield Check("store", "ok", shown or "holds nothing")


def _usable_store(settings: Settings) -> Store | None:
    """The encrypted store, unless `check_store` has a failure to tell of it."""
    failed = any(check.status == "fail" for check in check_store(settings))
    return None if failed else open_store(settings.store, settings.environment)


def check_home(home: Path) -> Check:
    """Whether state can be written, where it is or where it would be made."""
    there = next((place for place in (home, *home.absolute().parents) if place.exists()), home)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Check("state", "fail", f"{home}: {(error.strerror or 'not writable').lower()}", "set CONNECTOR_HOME")
    return Check("state", "ok", f"{home} is writable" if home.exists() else f"{home} can be made")


def check_clock(now: datetime.datetime) -> Check:
    """Whether the wall clock can be right: signatures and tokens are refused where it is not."""
    shown = now.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if now < _BEGINNING:
        return Check("clock", "fail", shown, "set the clock: signatures and tokens are bound to the time")
    return Check("clock", "ok", shown)
