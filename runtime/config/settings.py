"""What an operator may set, read once: flag over environment over `.env` over `connector.toml` over default.

A Settings is frozen and knows nothing of where a value came from. Values of connections (secrets, host parts) are the
vault's; here only their raw variables are carried along, and never shown.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from connector.errors import ConfigurationError, did_you_mean
from connector.urls import check_base_url
from runtime.config.connections import BASE_URL, ConnectionName, read_variable, setting_variable

N = TypeVar("N", int, float)
_PREFIX = "CONNECTOR_"
#: What a table of settings by connection calls all of them.
ALL = "*"
#: Tables of settings by connection, and the variable of each.
TABLES = {
    "base_urls": BASE_URL,
    "proxies": "CONNECTOR_PROXY",
    "cas": "CONNECTOR_CA",
    "certs": "CONNECTOR_CERT",
    "http2": "CONNECTOR_HTTP2",
}
#: Those of files, whose paths in `connector.toml` begin where it is.
_PATHS = ("cas", "certs")
#: The file of the encrypted store, in `home`.
STORE_NAME = "secrets.json"
#: The file of the journal, in `home`.
JOURNAL_NAME = "journal.db"
#: What the journal keeps by default: days, and events.
KEEP_DAYS = 30.0
KEEP_EVENTS = 10_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take: on by default, so that no provider can hold a caller for ever or fill its memory."""

    #: Seconds for one whole call: waiting for a connection, sending, and reading the last byte.
    deadline: float = 120.0
    #: Seconds to find the address, connect and finish the TLS handshake.
    connect: float = 10.0
    #: Bytes of an answer, both as they come and after decompression.
    response_bytes: int = 32 * 1024 * 1024
    #: Seconds for one whole stream, to its last byte.
    stream_deadline: float = 3600.0
    #: Seconds that a stream may be silent.
    idle: float = 60.0
    #: Bytes of a whole stream, both as they come and after decompression.
    stream_bytes: int = 1024 * 1024 * 1024
    #: Bytes of one message of a stream.
    message_bytes: int = 1024 * 1024
    #: Bytes of status line and header fields.
    head_bytes: int = 64 * 1024
    #: What one tenant, a connection or a subscription, has open at one origin at once; streams are counted apart.
    connections: int = 100
    #: Connections open at once in all; streams take at most half of them.
    all_connections: int = 1000
    #: Seconds for which an idle connection is kept.
    keepalive: float = 30.0
    #: Seconds from the first attempt of a call within which another one may begin.
    retrying: float = 60.0
    #: Bytes of the body of a request to us.
    body_bytes: int = 1024 * 1024
    #: Seconds in which a request to us must have come, to its last byte.
    request_seconds: float = 10.0
    #: Clients connected to us at once.
    clients: int = 1000
    #: Messages a second that the webhooks of one connector take, and take at once.
    webhook_rate: float = 1000.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Where definitions, state and secrets are, which origins the operator named, and what a call may take."""

    #: Folders of connectors, or of one connector, in addition to the shipped ones.
    definitions: tuple[Path, ...] = ()
    #: Base URLs by connection (`mistral-ai` or `mistral-ai:team-b`), in place of the definitions' own.
    base_urls: Mapping[str, str] = field(default_factory=dict)
    #: Proxies as URLs, by connection, by connector, and for all under `*`; an empty text for none.
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: PEM files of certificate authorities that are trusted as well, named like the proxies.
    cas: Mapping[str, str] = field(default_factory=dict)
    #: PEM files with a client's certificate chain and its key, named like the proxies.
    certs: Mapping[str, str] = field(default_factory=dict)
    #: `1` where HTTP/2 is offered in addition to HTTP/1.1, named like the proxies.
    http2: Mapping[str, str] = field(default_factory=dict)
    #: Where state lives.
    home: Path = Path(".connector")
    #: A JSON or TOML file with values of connections: `{connection: {name: value}}`.
    secrets_file: Path | None = None
    #: The encrypted store of connections: `secrets.json` of `home`; None for none.
    store: Path | None = None
    #: The URL of the journal, which may hold a password: `sqlite:///<home>/journal.db`, or a PostgreSQL; None for none.
    journal: str | None = field(default=None, repr=False)
    #: The folder of automations.
    automations: Path = Path("automations")
    #: Days for which the journal keeps events, and all that came of them.
    keep_days: float = KEEP_DAYS
    #: How many events the journal keeps at most, the newest ones.
    keep_events: int = KEEP_EVENTS
    #: Origins of subscribers that may be internal, or plain http.
    subscriber_origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    #: The token for the HTTP interface; None if only this machine may use it.
    admin_token: str | None = field(default=None, repr=False)
    #: Where providers reach us, such as `https://hooks.example.com`; empty if they do not say.
    public_url: str = ""
    #: The variables beginning with `CONNECTOR_`; they may hold secrets.
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def base_url(self, connection: str, known: Callable[[], Iterable[str]]) -> str | None:
        """The base URL that the operator named for a connection, or for its connector; None to use the definition's.

        `known` returns the handles and connections of this installation (`Vault.names`). Raises ConfigurationError for
        a variable that could be meant for another one of them.
        """
        return self._find("base_urls", connection, known)

    def named(self, table: str, connection: str, known: Callable[[], Iterable[str]]) -> str:
        """What one of the TABLES, or its variables, name for a connection, for its connector, or else for all.

        `known` is that of `base_url`. Raises ConfigurationError as it does.
        """
        found = self._find(table, connection, known)
        if found is None:
            found = getattr(self, table).get(ALL, self.environment.get(TABLES[table]))
        return found or ""

    def _find(self, name: str, connection: str, known: Callable[[], Iterable[str]]) -> str | None:
        table, setting = getattr(self, name), TABLES[name]
        for key in dict.fromkeys((connection, ConnectionName.parse(connection).handle)) if connection else ():
            if key in table:
                return str(table[key])
            if (variable := setting_variable(setting, key)) in self.environment:
                return read_variable(self.environment, variable, key, known())
        return None

    def named_base_urls(self) -> list[str]:
        """Every base URL that the operator named, wherever."""
        named = [value for name, value in self.environment.items() if name.startswith(f"{BASE_URL}__")]
        return [*self.base_urls.values(), *named]


def load_settings(
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    *,
    definitions: Iterable[Path] = (),
    base_urls: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of a process: `definitions` and `base_urls` are flags, `environ` is the environment.

    `.env` and `connector.toml` are read from `cwd`. Raises ConfigurationError, which names the file and the key.
    """
    folder = Path.cwd() if cwd is None else cwd
    variables = _read_env_file(folder / ".env") | dict(os.environ if environ is None else environ)
    variables = {name: value for name, value in variables.items() if name.startswith(_PREFIX)}
    file = folder / "connector.toml"
    table = _read_toml(file)
    limits = _read_limits(table.pop("limits", {}), variables, file)
    known = {
        *TABLES,
        "automations",
        "definitions",
        "home",
        "journal",
        "keep_days",
        "keep_events",
        "public_url",
        "secrets_file",
        "subscriber_origins",
    }
    for key in table:
        if key not in known:
            raise ConfigurationError(f"{file}: unknown key {key!r}", hint=did_you_mean(key, sorted(known | {"limits"})))
    listed = variables.get("CONNECTOR_DEFINITIONS")
    from_files = listed.split(os.pathsep) if listed else table.get("definitions", [])
    secrets_file = variables.get("CONNECTOR_SECRETS_FILE") or table.get("secrets_file")
    if not isinstance(from_files, list):
        raise ConfigurationError(f"{file}: definitions is a list of folders")
    tables = {name: _read_table(name, table.get(name, {}), variables, file) for name in TABLES}
    for name in _PATHS:
        tables[name] = {key: str(folder / path) if path else "" for key, path in tables[name].items()}
    tables["base_urls"] |= dict(base_urls or {})
    named = variables.get("CONNECTOR_SUBSCRIBER_ORIGINS")
    origins = named.split() if named is not None else table.get("subscriber_origins", [])
    if not isinstance(origins, list):
        raise ConfigurationError(f"{file}: subscriber_origins is a list of URLs")
    home = folder / str(variables.get("CONNECTOR_HOME") or table.get("home") or ".connector")
    return Settings(
        tuple(definitions) or tuple(folder / str(path) for path in from_files),
        **tables,
        home=home,
        secrets_file=folder / str(secrets_file) if secrets_file else None,
        store=home / STORE_NAME,
        journal=str(variables.get("CONNECTOR_JOURNAL") or table.get("journal") or f"sqlite:///{home / JOURNAL_NAME}"),
        automations=folder / str(variables.get("CONNECTOR_AUTOMATIONS") or table.get("automations") or "automations"),
        keep_days=_read_number("keep_days", KEEP_DAYS, table, variables, file),
        keep_events=_read_number("keep_events", KEEP_EVENTS, table, variables, file),
        subscriber_origins=tuple(map(str, origins)),
        limits=limits,
        admin_token=variables.get("CONNECTOR_ADMIN_TOKEN") or None,
        public_url=_read_public_url(variables.get("CONNECTOR_PUBLIC_URL") or table.get("public_url") or "", file),
        environment=variables,
    )


def _read_table(name: str, table: Any, variables: Mapping[str, str], file: Path) -> dict[str, str]:
    """A table by connection. What a file names yields to a variable, which yields to a flag."""
    if not isinstance(table, dict):
        raise ConfigurationError(f"{file}: {name} is a table by connector, or by connection")
    setting = TABLES[name]
    named = {key: "" if key == ALL else key for key in table}
    texts = {True: "1", False: ""}
    return {
        key: texts[value] if isinstance(value, bool) else str(value)
        for key, value in table.items()
        if setting_variable(setting, named[key]) not in variables
    }


def _read_number(name: str, default: N, table: Mapping[str, Any], variables: Mapping[str, str], file: Path) -> N:
    variable = _PREFIX + name.upper()
    given = {f"{file}: {name}": table.get(name), variable: variables.get(variable)}
    found = [(where, value) for where, value in given.items() if value not in (None, "")]
    return _to_number(*found[-1], type(default)) if found else default


def _to_number(where: str, value: Any, kind: type[N]) -> N:
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        number = kind(0)
    if not 0 < number < float("inf"):
        raise ConfigurationError(f"{where} must be a number above 0")
    return number


def _read_public_url(url: Any, file: Path) -> str:
    if url == "":
        return ""
    try:
        return check_base_url(str(url)).rstrip("/")
    except ValueError as error:
        raise ConfigurationError(f"{file} or CONNECTOR_PUBLIC_URL: public_url: {error}") from None


def _read_env_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    # Not interpolated: a secret may hold a `$`.
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}


def _read_toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None


def _read_limits(table: Any, variables: Mapping[str, str], file: Path) -> Limits:
    limits = Limits()
    if not isinstance(table, dict):
        raise ConfigurationError(f"{file}: limits is a table")
    known = {each.name: type(getattr(limits, each.name)) for each in fields(Limits)}
    given = {f"{file}: limits.{name}": (name, value) for name, value in table.items()}
    given |= {
        variable: (name, variables[variable])
        for name in known
        if (variable := f"CONNECTOR_LIMIT_{name.upper()}") in variables
    }
    for where, (name, value) in given.items():
        if name not in known:
            raise ConfigurationError(f"{where} is not a limit", hint=did_you_mean(name, sorted(known)))
        number = _to_number(where, value, known[name])
        limits = replace(limits, **{name: number})
    return limits
