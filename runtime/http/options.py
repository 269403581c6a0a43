"""Which way the requests of each connection take: what hosts and operators set, read once and kept as Routes."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from connector.errors import ConfigurationError
from runtime.config.connections import setting_variable
from runtime.config.settings import ALL, TABLES, Settings
from runtime.http.transport import Proxy, Route

#: A path as hosts write it.
PathLike = str | os.PathLike[str]

_PROXY: Final = "expected http://host:port or http://user:password@host:port"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Proxies, certificates and HTTP/2 for `Runtime(http=…)`.

    Each is a table by connection (`mistral-ai:team-b`), by connector (`mistral-ai`), and for all under `*`; the first
    of these that is named counts.

    >>> HttpOptions(proxies={"*": "http://proxy.example:3128", "demo": ""}, http2={"demo": True}).http2
    {'demo': True}
    """

    #: URLs of HTTP proxies; an empty text for none. With `?names=proxy` the proxy looks names up, and our guard cannot.
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: PEM files of certificate authorities that are trusted in addition to the system's.
    cas: Mapping[str, PathLike] = field(default_factory=dict)
    #: PEM files with a client's certificate chain and its key.
    certs: Mapping[str, PathLike] = field(default_factory=dict)
    #: True to offer HTTP/2 in addition to HTTP/1.1.
    http2: Mapping[str, bool] = field(default_factory=dict)

    def applied_to(self, settings: Settings) -> Settings:
        """The settings with these in addition, which win over theirs."""
        return replace(
            settings,
            proxies={**settings.proxies, **self.proxies},
            cas={**settings.cas, **{name: os.fspath(path) for name, path in self.cas.items()}},
            certs={**settings.certs, **{name: os.fspath(path) for name, path in self.certs.items()}},
            http2={**settings.http2, **{name: "1" if on else "" for name, on in self.http2.items()}},
        )


class Routes:
    """The routes of all connections."""

    def __init__(self, settings: Settings, known: Callable[[], Iterable[str]]) -> None:
        """`known` returns the handles and connections of this installation.

        Raises ConfigurationError for a proxy or a file that cannot be used, whichever connection it is for.
        """
        self._settings = settings
        self._known = known
        self._routes: dict[str, Route] = {}
        self._check()

    def of(self, connection: str) -> Route:
        """The route of a connection, and with an empty text that of all that is not named.

        Raises ConfigurationError for a variable that could be meant for two connections.
        """
        route = self._routes.get(connection)
        if route is None:
            settings = self._settings

            def find(name: str) -> str:
                return settings.named(name, connection, self._known)

            proxy = find("proxies")
            route = self._routes[connection] = Route(
                tenant=connection,
                proxy=read_proxy(proxy, setting_variable(TABLES["proxies"], connection)) if proxy else None,
                trust=find("cas"),
                certificate=find("certs"),
                http2=_read_switch(find("http2"), setting_variable(TABLES["http2"], connection)),
                settings_of=connection,
            )
        return route

    def _check(self) -> None:
        """Reads every value once, so that a mistake is found at the start and not by the first call."""
        for name, setting in TABLES.items():
            if name == "base_urls":
                continue
            table: Mapping[str, str] = getattr(self._settings, name)
            named = {setting_variable(setting, "" if key == ALL else key): value for key, value in table.items()}
            variables = self._settings.environment
            named |= {key: text for key, text in variables.items() if key == setting or key.startswith(f"{setting}__")}
            for variable, value in named.items():
                if value:
                    _CHECKS[name](value, variable)


def read_proxy(url: str, variable: str) -> Proxy:
    """The proxy of a URL. Raises ConfigurationError, which names the variable and shows nothing of the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
    except ValueError:
        host = port = None
        parts = urlsplit("")
        user = password = ""
    if parts.scheme != "http" or not host or not port or parts.path not in {"", "/"} or parts.fragment:
        raise ConfigurationError(f"{variable} is not the URL of a proxy", hint=_PROXY)
    if parts.query not in {"", "names=proxy"} or not re.fullmatch(r"[!-~]+", host):
        raise ConfigurationError(f"{variable} is not the URL of a proxy", hint=f"{_PROXY}, and ?names=proxy at most")
    authorization = ""
    if user or password:
        text = f"{user}:{password}"
        if not text.isprintable():
            raise ConfigurationError(f"{variable}: user and password hold control characters", hint=_PROXY)
        authorization = "Basic " + base64.b64encode(text.encode()).decode("ascii")  # RFC 7617
    return Proxy(host, port, authorization, looks_up=bool(parts.query))


def _read_switch(text: str, variable: str) -> bool:
    if text not in {"", "0", "1"}:
        raise ConfigurationError(f"{variable} is 1 to offer HTTP/2, or 0")
    return text == "1"


def _check_authorities(path: str, variable: str) -> None:
    from runtime.http.certificates import check_authorities

    check_authorities(path, variable)


def _check_certificate(path: str, variable: str) -> None:
    from runtime.http.certificates import check_certificate

    check_certificate(path, variable)


_CHECKS: Final[Mapping[str, Callable[[str, str], object]]] = {
    "proxies": read_proxy,
    "cas": _check_authorities,
    "certs": _check_certificate,
    "http2": _read_switch,
}
