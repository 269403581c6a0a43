"""Certificates in files that an operator names: loaded, and refused with the name of their setting."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from connector.errors import ConfigurationError


def check_authorities(path: str, variable: str) -> None:
    """Raises ConfigurationError, which names the variable, for a file without certificate authorities."""
    load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), path, variable)


def check_certificate(path: str, variable: str) -> None:
    """Raises ConfigurationError, which names the variable, for a file without a certificate and its key."""
    load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), path, variable)


def load_authorities(context: ssl.SSLContext, path: str, variable: str) -> None:
    """Trusts the authorities of a file as well; raises ConfigurationError, which names the variable."""
    expected = "expected a PEM file of certificate authorities"
    _load(lambda: context.load_verify_locations(cafile=path), variable, path, expected)


def load_certificate(context: ssl.SSLContext, path: str, variable: str) -> None:
    """Shows the certificate of a file to servers; raises ConfigurationError, which names the variable."""

    def load() -> None:
        # Without a password given here OpenSSL would ask for one at the terminal.
        context.load_cert_chain(path, password=lambda: "")

    _load(load, variable, path, "expected a PEM file with a certificate chain and its key, without a password")


def _load(load: Callable[[], None], variable: str, path: str, expected: str) -> None:
    try:
        load()
    except ssl.SSLError:
        raise ConfigurationError(f"{variable}: {path} cannot be used: {expected}") from None
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        raise ConfigurationError(f"{variable}: {path} cannot be read: {reason}", hint=expected) from None
