"""An authorization server on a real socket, made of Authlib's, with an API beside it that takes its tokens.

It knows one confidential client, rotates refresh tokens, and notes what it was asked.
"""

from __future__ import annotations

import base64
import http.server
import json
import secrets
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7523 import JWTBearerGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from joserfc.jwk import ECKey, RSAKey

CLIENT_ID = "client-one"
CLIENT_SECRET = "canary-client-secret"
REDIRECT_URI = "http://127.0.0.1:1/callback"
RSA_KEY = RSAKey.generate_key(2048)
EC_KEY = ECKey.generate_key("P-256")


class Client:
    """The one client."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client_id = CLIENT_ID

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == REDIRECT_URI

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.server.client_auth

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


class Token:
    """One token that was issued."""

    def __init__(self, client: Client, fields: dict[str, Any]) -> None:
        self.client = client
        self.fields = fields
        self.revoked = False

    def check_client(self, client: Client) -> bool:
        return client is self.client

    def get_scope(self) -> str:
        return str(self.fields.get("scope", ""))

    def get_expires_in(self) -> int:
        return int(self.fields["expires_in"])

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked


@dataclass
class Code:
    """One code that a person's consent gave."""

    code: str
    redirect_uri: str
    scope: str
    code_challenge: str
    code_challenge_method: str
    auth_time: float = field(default_factory=time.time)

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


class CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]  # noqa: RUF012 - theirs

    def save_authorization_code(self, code: str, request: Any) -> None:
        data = request.payload.data
        self.server.codes[code] = Code(
            code, data["redirect_uri"], data.get("scope", ""), data["code_challenge"], data["code_challenge_method"]
        )

    def query_authorization_code(self, code: str, client: Any) -> Code | None:
        return self.server.codes.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del self.server.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> str:
        return "ann"


class RefreshGrant(grants.RefreshTokenGrant):
    INCLUDE_NEW_REFRESH_TOKEN = True
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]  # noqa: RUF012 - theirs

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        token = next((each for each in self.server.tokens if each.fields.get("refresh_token") == refresh_token), None)
        return None if token is None or token.revoked else token

    def authenticate_user(self, refresh_token: Token) -> str:
        return "ann"

    def revoke_old_credential(self, refresh_token: Token) -> None:
        refresh_token.revoked = True


class CredentialsGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]  # noqa: RUF012 - theirs


class AssertionGrant(JWTBearerGrant):
    def resolve_issuer_client(self, issuer: str) -> Any:
        return self.server.client if issuer == CLIENT_ID else None

    def resolve_client_public_key(self, client: Any) -> Any:
        return self.server.public_key

    def authenticate_user(self, subject: str) -> str:
        return subject

    def has_granted_permission(self, client: Any, user: str) -> bool:
        return True

    def get_audiences(self) -> list[str]:
        return [f"{self.server.url}/token"]


class Server(AuthorizationServer):
    """The authorization server and the API."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.client = Client(self)
        self.client_auth = "client_secret_basic"
        self.public_key: Any = RSA_KEY
        self.expires_in: float = 3600
        self.codes: dict[str, Code] = {}
        self.tokens: list[Token] = []
        #: What was asked of the token endpoint, in order.
        self.asked: list[dict[str, str]] = []
        #: The credentials that calls of the API came with, and those that it takes; None takes what was issued.
        self.called: list[str] = []
        #: Header fields that every answer has beside the usual ones.
        self.fields: dict[str, str] = {}
        #: Decides instead of the server: (status, document), or None.
        self.instead: Callable[[dict[str, str]], tuple[int, Any] | None] = lambda _: None
        self.api: Callable[[str], tuple[int, Any] | None] = lambda _: None
        for grant in (RefreshGrant, CredentialsGrant, AssertionGrant):
            self.register_grant(grant)
        self.register_grant(CodeGrant, [CodeChallenge(required=True)])
        generator = BearerTokenGenerator(
            lambda **_: f"canary-access-{secrets.token_hex(8)}",
            lambda **_: f"canary-refresh-{secrets.token_hex(8)}",
            lambda *_: self.expires_in,
        )
        self.register_token_generator("default", generator)

    def query_client(self, client_id: str) -> Client | None:
        return self.client if client_id == CLIENT_ID else None

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        self.tokens.append(Token(self.client, dict(token)))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        pass

    def create_oauth2_request(self, request: Any) -> Any:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, Any]:
        return status, body, headers

    def allow(self, url: str) -> dict[str, str]:
        """What a person's browser is sent back with after consent."""
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        request = OAuth2Request("GET", f"https://as.test/authorize?{urllib.parse.urlencode(query)}")
        request.payload = BasicOAuth2Payload(query)
        grant = self.get_consent_grant(request, "ann")
        _, _, headers = self.create_authorization_response(request, "ann", grant)
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(dict(headers)["Location"]).query))

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        """The answer to one request on the socket."""
        if path.startswith("/api"):
            credential = headers.get("Authorization", path)
            self.called.append(credential)
            told = self.api(credential)
            if told is not None:
                return told
            live = {token.fields["access_token"] for token in self.tokens if not token.revoked}
            known = credential.removeprefix("Bearer ") in live
            return (200, {"id": "7"}) if known else (401, {"message": "no such token"})
        form = dict(urllib.parse.parse_qsl(body.decode()))
        self.asked.append({**form, "auth": headers.get("Authorization", "")})
        told = self.instead(form)
        if told is not None:
            return told
        request = OAuth2Request("POST", "https://as.test/token", headers=headers)
        request.payload = BasicOAuth2Payload(form)
        request._body = form  # noqa: SLF001 - what `request.form` reads
        status, document, _ = self.create_token_response(request)
        return status, document

    def issue(self) -> dict[str, Any]:
        """A grant as it is stored after a login."""
        request = OAuth2Request("POST", "https://as.test/token")
        token = self.generate_token("authorization_code", self.client, include_refresh_token=True)
        self.save_token(token, request)
        return {"token": token["access_token"], "issued_at": 0.0, "expires_at": 1.0} | {
            "refresh_token": token["refresh_token"]
        }


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@contextmanager
def serving() -> Iterator[Server]:
    """The server, listening on a free port of the loopback."""
    server = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, document = server.answer(self.path, dict(self.headers), body)
            text = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **server.fields}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST  # noqa: N815 - theirs

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
