"""A service whose tokens are obtained by a grant, and the requests for them."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any

from connector import parse_connector
from connector.auth.methods import GrantAuth
from connector.auth.tokens import Grant
from connector.messages import Request
from connector.model.definition import Service

VALUES = {
    "clientID": "c1",
    "clientSecret": "canary-secret",
    "tokenURL": "https://auth.example.com/token",
    "authURL": "https://auth.example.com/allow?tenant=t",
}
BASE = "https://api.example.com/v1"
NOW = 1_800_000_000.0
CODE = {"method": "oauth2_authorization_code"}
CREDENTIALS = {"method": "oauth2_client_credentials"}


def service(auth: Mapping[str, Any], *options: Mapping[str, Any]) -> Service:
    block = {"baseURL": BASE, "auth": auth, "authOptions": list(options)}
    return parse_connector({"handle": "demo", "service": block}).service


def asked(auth: Mapping[str, Any], values: Mapping[str, Any] = VALUES, grant: Grant | None = None) -> Request:
    """The token request of a method."""
    method = service(auth).auth
    assert isinstance(method, GrantAuth)
    return next(method.grantor.renew(values, grant, NOW, BASE))


def fields(request: Request) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(request.text or ""))
