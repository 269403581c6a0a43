"""TLS of a route: which certificate authorities are trusted, which certificate we show, which protocols we offer.

Files are read when the first connection needs them, in a thread, and again once they were replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import ssl
from typing import Final

import httpx2 as httpx

from connector.errors import ConfigurationError
from runtime.http.certificates import load_authorities, load_certificate
from runtime.http.threads import FILES
from runtime.http.transport import Route

_PROTOCOLS: Final = {False: ["http/1.1"], True: ["h2", "http/1.1"]}


@functools.cache
def system_trust() -> ssl.SSLContext:
    """TLS that trusts the certificate authorities of the system, whatever the environment says."""
    return _system_trust()


def _system_trust() -> ssl.SSLContext:
    # Not `httpcore2.default_ssl_context()`: that one obeys SSL_CERT_FILE and SSL_CERT_DIR (hazard T41).
    return httpx.create_ssl_context(trust_env=False)


class Trusts:
    """The TLS contexts of all routes. `base` stands in for the trust in the system's certificate authorities."""

    def __init__(self, base: ssl.SSLContext | None = None) -> None:
        self._base = base
        self._known: dict[tuple[str, str, bool], tuple[tuple[float, ...], asyncio.Future[ssl.SSLContext]]] = {}

    async def of(self, route: Route) -> ssl.SSLContext:
        """The context of a route; raises ConfigurationError for a file that cannot be used."""
        key = (route.trust, route.certificate, route.http2)
        stamp = await FILES.run(_stamp, key[:2]) if route.trust or route.certificate else ()
        known = self._known.get(key)
        if known is None or known[0] != stamp:
            # A context reads some hundred certificates, which takes 15 ms and more; all who need it wait for one.
            known = self._known[key] = stamp, FILES.run(self._make, route)
        try:
            return await asyncio.shield(known[1])
        except ConfigurationError:
            if self._known.get(key) is known:
                del self._known[key]
            raise

    def _make(self, route: Route) -> ssl.SSLContext:
        context = self._base if self._base is not None and not route.trust else _system_trust()
        context.set_alpn_protocols(_PROTOCOLS[route.http2])
        if route.trust:
            load_authorities(context, route.trust, route.variable("CONNECTOR_CA"))
        if route.certificate:
            load_certificate(context, route.certificate, route.variable("CONNECTOR_CERT"))
        return context


def _stamp(paths: tuple[str, ...]) -> tuple[float, ...]:
    stamps: list[float] = []
    for path in filter(None, paths):
        with contextlib.suppress(OSError):
            found = os.stat(path)  # noqa: PTH116 - a text, as it was configured
            stamps += found.st_mtime_ns, found.st_size
    return tuple(stamps)
