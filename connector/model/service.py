"""How a provider is reached (Service), and the checked values of one connection to it (Config).

A Config is made once, when the connection is first used. The runtime keeps the values of connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.errors import InputProblem, MissingCredentials
from connector.messages import Request, secret_forms
from connector.model.policies import Policies
from connector.protocols import Auth, Moment, NoAuth, Scheme, method_key
from connector.selectors import Selector
from connector.templates import Placeholder, Template, Unrenderable, fill_url
from connector.types import to_text
from connector.urls import check_base_url, origin_of

#: Shorter secrets are not masked in successful answers: they would be found there by chance.
SHORTEST_TOKEN = 8
#: The value by which a connection chooses among several methods of authentication.
AUTH_METHOD = "authMethod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One connection's values, checked against its service.

    `values` are texts by name, defaults included; `secrets` are the forms of its credentials that must never be shown,
    and `tokens` those that are masked in a successful answer too; `base` is the base URL without trailing slash, or
    None while a part of it is missing; `origin` is the origin that its credentials are bound to; `missing` are the
    required names without a value; `auth` is the method that the connection chose.
    """

    values: Mapping[str, str] = field(repr=False)
    secrets: frozenset[str] = field(repr=False)
    base: str | None
    origin: str
    missing: frozenset[str] = frozenset()
    tokens: frozenset[str] = field(default=frozenset(), repr=False)
    auth: Auth = field(default_factory=NoAuth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How the provider is reached; `placeholders` are the values of a connection, credentials included."""

    connector: str
    base: Template
    headers: tuple[tuple[str, Template], ...] = ()
    content_type: str = ""
    auth: Auth = field(default_factory=NoAuth)
    auth_options: tuple[Auth, ...] = ()
    placeholders: Mapping[str, Placeholder] = field(default_factory=dict)
    probe: str = ""
    policies: Policies = field(default_factory=Policies)
    #: The names of `auth` and of `auth_options`, as the table of methods has them.
    auth_methods: tuple[str, ...] = ()
    #: How inbound messages are verified; None if the definition declares nothing, and the receiver decides.
    signature: Scheme | None = None
    #: Where the sender's id of a message is in its body; None if it is in a header, or nowhere.
    message_id: Selector | None = None

    @property
    def credentials(self) -> frozenset[str]:
        """The names of the values that are secret, whichever method a connection chooses."""
        return self.auth.credentials.union(*(each.credentials for each in self.auth_options))

    @property
    def secrets(self) -> frozenset[str]:
        """Those of them that grant access: tokens and passwords, but not a user name with a password."""
        return self.auth.secrets.union(*(each.secrets for each in self.auth_options))

    def choose_auth(self, values: Mapping[str, Any]) -> Auth:
        """Returns the method that a connection names in `authMethod`, else the first; raises Unrenderable."""
        chosen = values.get(AUTH_METHOD)
        if chosen is None or not self.auth_options:
            return self.auth
        for method, auth in zip(self.auth_methods, (self.auth, *self.auth_options), strict=True):
            if method == method_key(str(chosen)):
                return auth
        raise Unrenderable(AUTH_METHOD, f"expected one of {', '.join(self.auth_methods)}")

    def configure(self, values: Mapping[str, Any], *, base_url: str | None = None) -> Config:
        """Checks the values of one connection: types, options, host parts, credentials that can be sent.

        `base_url` replaces the base URL of the definition. Missing values are only listed; the calls that need them
        raise. Raises MissingCredentials for values that cannot be used.
        """
        given = {name: value for name, value in values.items() if value is not None}
        errors: list[InputProblem] = []
        texts: dict[str, str] = {}
        for name, placeholder in self.placeholders.items():
            value = given.get(name, placeholder.default)
            if value is None:
                continue
            try:
                texts[name] = to_text(placeholder.read(value))
            except ValueError as error:
                errors.append(InputProblem(name, f"{name}: {error}"))
        base = None
        try:
            base = check_base_url(base_url) if base_url is not None else render_base(self.base, texts)
        except Unrenderable as error:
            errors.append(InputProblem(error.name, f"{error.name}: {error}"))
        except ValueError as error:
            errors.append(InputProblem("baseURL", f"base URL: {error}"))
        auth = self.auth
        try:
            auth = self.choose_auth(texts)
        except Unrenderable as error:
            errors.append(InputProblem(error.name, f"{error.name}: {error}"))
        needed = {name for name, placeholder in self.placeholders.items() if placeholder.required}
        if self.auth_options:
            # Values that only other methods need are not missing.
            others = frozenset[str]().union(*(each.names for each in (self.auth, *self.auth_options)))
            needed -= others - auth.names - set(self.base.names)
        missing = frozenset(needed - texts.keys())
        if not errors and not auth.credentials & missing:
            try:
                # Only the method knows which credentials it can send, so it is tried on a request that is not sent.
                auth.apply(Request("GET", "https://nowhere.invalid"), texts, Moment(time=0.0, nonce="sample"))
            except Unrenderable as error:
                errors.append(InputProblem(error.name, f"{error.name}: {error}"))
        if errors:
            raise MissingCredentials(self.connector, errors, hint="correct the values of this connection")
        return Config(
            values=texts,
            secrets=_forms(texts[name] for name in self.credentials & texts.keys()),
            base=base,
            origin=origin_of(base) if base is not None else "",
            missing=missing,
            tokens=_forms(texts[name] for name in auth.secrets & texts.keys() if len(texts[name]) >= SHORTEST_TOKEN),
            auth=auth,
        )


def _forms(values: Iterable[str]) -> frozenset[str]:
    return frozenset(form for value in values for form in secret_forms(value))


def render_base(template: Template, values: Mapping[str, str]) -> str | None:
    """Returns the base URL with a connection's values in it, or None while one is missing.

    Raises Unrenderable or ValueError as `render_url` does (hazard T30).
    """
    if any(name not in values for name in template.names):
        return None
    return check_base_url(fill_url(template, values))


def missing_value(service: Service, names: Iterable[str]) -> MissingCredentials:
    """Returns the error for values of the connection that a call needs and does not have."""
    problems = [InputProblem(name, f"{name} of the connection is not set") for name in sorted(names)]
    return MissingCredentials(service.connector, problems)
