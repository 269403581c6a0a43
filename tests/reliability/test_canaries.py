"""Secrets planted wherever the product takes one, and looked for in all that leaves it (hazards T53 to T58).

One scenario, with every logger at DEBUG: each way to authenticate is called against a provider that echoes whatever it
is sent, in successes, in refusals and in garbage; connections are stored, listed, shown and logged in. Then logs, both
streams, results, reprs, errors with their tracebacks and the bytes on the disk are searched for every planted text.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.server
import io
import json
import logging
import threading
import traceback
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connector.errors import ConnectorError
from runtime import Runtime
from runtime.cli.failures import describe_failure, failure_document
from runtime.cli.printing import curl_text, http_text
from runtime.cli.root import cli
from runtime.documents import request_document, result_document
from tests.doubles.authorization_server import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, RSA_KEY, serving

pytestmark = pytest.mark.anyio


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with all that it was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        sent = {"id": "7", "url": self.path, "headers": dict(self.headers), "body": body}
        kind = "application/json"
        content = json.dumps({**sent, "message": f"you sent {sent}"}).encode()
        status = 200
        if "refuse" in self.path:
            status = 400
        elif "garbage" in self.path:
            kind, content = "text/html", f"<html><title>{sent}</title>".encode()
        elif "elsewhere" in self.path:
            status = 302
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Set-Cookie", f"sid={self.headers.get('Authorization', 'none')}")
        self.send_header("Location", f"https://evil.example/?{urllib.parse.urlencode(dict(self.headers))}")
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - theirs

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def definition(auth: Mapping[str, Any]) -> dict[str, Any]:
    fields = [{"name": "id", "type": "String", "selector": ["id"]}]
    operations = {
        "read": {"method": "GET", "path": "/read"},
        "refuse": {"method": "POST", "path": "/refuse", "bodyTemplate": {"a": "{{text}}"}},
        "garbage": {"method": "GET", "path": "/garbage"},
        "elsewhere": {"method": "GET", "path": "/elsewhere"},
    }
    resource = {"handle": "things", "endpoint": "/things", "fields": fields, "operations": operations}
    return {
        "handle": "demo",
        "service": {"baseURL": "https://api.example.com/v1", "auth": auth},
        "resources": [resource],
    }


def slot(name: str) -> dict[str, Any]:
    return {"value": f"{{{{{name}}}}}", "placeholders": [{"name": name, "type": "String", "required": True}]}


def planted(kind: str) -> str:
    return f"planted-{kind}-0123456789abcdef"


#: Ways to authenticate with what a connection is given, and those values.
STATIC: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "api token": ({"method": "api_token", "params": {"token": slot("apiToken")}}, {"apiToken": planted("api-token")}),
    "api key": ({"method": "apikey", "params": {"apikey": slot("apiKey")}}, {"apiKey": planted("api-key")}),
    "bearer": ({"method": "bearer", "params": {"token": slot("token")}}, {"token": planted("bearer")}),
    "basic": (
        {"method": "basic", "params": {"username": slot("user"), "password": slot("password")}},
        {"user": "ann-the-user", "password": planted("password")},
    ),
    "basic with a key for a name": (
        {"method": "basic", "params": {"username": slot("key"), "password": ""}},
        {"key": planted("user-key")},
    ),
    "query": (
        {"method": "apikey", "in": "query", "name": "key", "params": {"apikey": slot("apiKey")}},
        {"apiKey": planted("query") + "/+ ü".replace(" ü", "=")},
    ),
    "cookie": (
        {"method": "apikey", "in": "cookie", "name": "session", "params": {"apikey": slot("apiKey")}},
        {"apiKey": planted("cookie")},
    ),
    "prefix": (
        {"method": "api_token", "prefix": "Bot", "params": {"token": slot("apiToken")}},
        {"apiToken": planted("prefixed")},
    ),
    "two keys": (
        {
            "method": "api_token",
            "params": {
                "first": {"token": slot("one"), "headerName": "X-One"},
                "second": {"token": slot("two"), "headerName": "X-Two"},
            },
        },
        {"one": planted("first-of-two"), "two": planted("second-of-two")},
    ),
}


@dataclass
class Search:
    """What was planted, by kind, and everything that left the product, by where it left."""

    secrets: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)

    def plant(self, kind: str, text: str) -> None:
        self.secrets[kind] = text

    def note(self, where: str, *things: object) -> None:
        self.seen += [(where, thing if isinstance(thing, str) else repr(thing)) for thing in things]

    def hits(self) -> list[tuple[str, str]]:
        found = []
        for kind, text in self.secrets.items():
            forms = {text, urllib.parse.quote(text, safe=""), base64.b64encode(text.encode()).decode().rstrip("=")}
            forms.add(json.dumps(text)[1:-1])
            found += [(kind, where) for where, shown in self.seen if any(form in shown for form in forms)]
        return found


async def at_once(_: float) -> None:
    """No waiting between attempts."""


async def try_everything(search: Search, rt: Runtime, where: str) -> None:
    """Each operation of the definition, shown before and after, whatever comes of it."""
    for name in ("read", "refuse", "garbage", "elsewhere"):
        inputs = {"text": "plain"} if name == "refuse" else {}
        shown = rt.render("demo", f"things.{name}", inputs)
        search.note(f"{where}: render", shown, http_text(shown), curl_text(shown), json.dumps(request_document(shown)))
        try:
            result = await rt.call("demo", f"things.{name}", inputs)
            search.note(f"{where}: {name}", result, json.dumps(result_document(result), default=repr))
        except ConnectorError as error:
            note_failure(search, f"{where}: {name} failed", error)
    search.note(f"{where}: runtime", rt, rt.vault, rt.settings, rt.catalog, vars(rt))


def note_failure(search: Search, where: str, error: ConnectorError) -> None:
    search.note(where, error, str(error), "".join(traceback.format_exception(error)), describe_failure(error))
    search.note(where, json.dumps(failure_document(error), default=repr), vars(error))
    if (result := getattr(error, "result", None)) is not None:
        search.note(where, result, json.dumps(result_document(result), default=repr))
    search.note(where, getattr(error, "request", None), getattr(error, "response", None))


@contextlib.contextmanager
def listening() -> Iterator[io.StringIO]:
    """Everything that any logger says, down to DEBUG."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.addFilter(lambda record: not record.name.startswith("authlib"))  # the server of this test, in its process
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def command(search: Search, home: Path, folder: Path, *words: str, **secrets: str) -> None:
    """A command line, all that it prints being noted."""
    env = {"CONNECTOR_HOME": str(home), "CONNECTOR_KEY": search.secrets["store key"], **secrets}
    stdin = env.pop("stdin", None)
    done = CliRunner().invoke(cli, [*words, "--definitions", str(folder)], env=env, input=stdin)
    search.note(f"connector {words[0]} {words[1] if len(words) > 1 else ''}", done.output, done.stderr, done.stdout)
    if done.exc_info is not None and done.exception is not None:
        search.note(f"connector {words[0]}", "".join(traceback.format_exception(done.exception)))


async def test_T53_T55_T57_T58_no_planted_secret_is_ever_seen(
    echo: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    search = Search()
    search.plant("store key", base64.urlsafe_b64encode(b"planted-key-of-the-store-32bytes").decode())
    home = tmp_path / "home"
    with listening() as logs:
        for where, (auth, values) in STATIC.items():
            folder = tmp_path / where
            folder.mkdir()
            (folder / "demo.json").write_text(json.dumps(definition(auth)))
            for name, text in values.items():
                if name != "user":
                    search.plant(f"{where}, {name}", text)
            if where.startswith("basic"):
                pair = f"{values.get('user') or values['key']}:{values.get('password', '')}"
                search.plant(f"{where}, encoded", base64.b64encode(pair.encode()).decode())
            async with Runtime(
                folder, secrets={"demo": values}, base_urls={"demo": echo}, environ={}, sleep=at_once
            ) as rt:
                await try_everything(search, rt, where)
            async with Runtime(
                folder, secrets={"demo": values}, base_urls={"demo": "http://127.0.0.1:1/v1"}, sleep=at_once
            ) as rt:
                with pytest.raises(ConnectorError) as caught:
                    await rt.call("demo", "things.refuse", {"text": "plain"})
                note_failure(search, f"{where}: not reached", caught.value)
            variables = {f"CONNECTOR_SECRET__DEMO__{name.upper()}": text for name, text in values.items()}
            for words in (("call", "demo", "things.read"), ("call", "demo", "things.refuse", "text=plain")):
                await asyncio.to_thread(command, search, home, folder, *words, "--base-url", echo, **variables)
                await asyncio.to_thread(
                    command, search, home, folder, *words, "--base-url", echo, "--json", **variables
                )
            await asyncio.to_thread(command, search, home, folder, "render", "demo", "things.read", **variables)
            await asyncio.to_thread(command, search, home, folder, "doctor", **variables)
            name = next(reversed(values))
            await asyncio.to_thread(command, search, home, folder, "secrets", "set", "demo", name, stdin=values[name])
            await asyncio.to_thread(command, search, home, folder, "secrets", "set", "demo", name, values[name])
            await asyncio.to_thread(command, search, home, folder, "connections", "list")
            await asyncio.to_thread(command, search, home, folder, "connections", "remove", "demo")
            await asyncio.to_thread(
                command, search, home, folder, "connections", "set", "demo", "--values", "-", stdin=json.dumps(values)
            )
        search.plant("webhook secret", planted("webhook"))
        await asyncio.to_thread(
            command, search, home, folder, "secrets", "set", "demo", "webhookSecret", stdin=planted("webhook")
        )
        await try_grants(search, tmp_path)
    search.note("logs", logs.getvalue())
    for path in home.rglob("*"):
        if path.is_file():
            search.note(f"the bytes of {path.name}", path.read_bytes().decode("latin-1"))
    out, err = capfd.readouterr()
    search.note("streams", out, err)
    assert len(search.secrets) >= 20
    assert any(path.is_file() and path.stat().st_size for path in home.rglob("*")), "something was stored"
    assert len(search.seen) > 500
    assert sorted(set(search.hits())) == []


async def try_grants(search: Search, tmp_path: Path) -> None:
    """Tokens obtained from an authorization server, used against an API that repeats them, refused and renewed."""
    pem = RSA_KEY.as_pem(private=True).decode()
    search.plant("client secret", CLIENT_SECRET)
    search.plant("client secret, encoded", base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode())
    search.plant("private key", pem.splitlines()[3])
    search.plant("verifier", planted("verifier") + "v" * 40)
    search.plant("exchanged password", planted("exchanged-password"))
    search.plant("exchanged token", planted("exchanged-token"))
    with serving() as server:
        account = {"client_email": "a@example.com", "private_key": pem, "token_uri": f"{server.url}/token"}
        exchange = {
            "request": {"method": "POST", "path": "/session", "bodyTemplate": {"password": "{{password}}"}},
            "token": ["session"],
        }
        ways: list[tuple[dict[str, Any], dict[str, str]]] = [
            ({"method": "oauth2_client_credentials"}, {}),
            ({"method": "oauth2_client_credentials", "params": {"clientAuth": "body"}}, {}),
            ({"method": "jwt_bearer"}, {"issuer": "me", "privateKey": pem}),
            ({"method": "google_service_account", "scopes": ["a"]}, {"serviceAccountJSON": json.dumps(account)}),
            ({"method": "token_exchange", "params": exchange}, {"password": search.secrets["exchanged password"]}),
            ({"method": "oauth2_authorization_code"}, {}),
        ]
        for number, (auth, own) in enumerate(ways):
            where = f"{auth['method']} {number}"
            folder = tmp_path / f"grant {number}"
            folder.mkdir()
            (folder / "demo.json").write_text(json.dumps(definition(auth)))
            values = {"clientID": CLIENT_ID, "clientSecret": CLIENT_SECRET, "tokenURL": f"{server.url}/token", **own}
            values["authURL"] = f"{server.url}/auth"
            refused = iter((401, 200, 400, 401, 401, 500))

            def api(credential: str, refused: Iterator[int] = refused) -> tuple[int, Any]:
                if "/session" in credential:
                    return 200, {"session": search.secrets["exchanged token"]}
                return next(refused, 200), {"id": "7", "message": f"you sent {credential}"}

            server.api = api
            server.client_auth = "client_secret_post" if "params" in auth and number == 1 else "client_secret_basic"
            environ = {"CONNECTOR_HOME": str(tmp_path / "home"), "CONNECTOR_KEY": search.secrets["store key"]}
            async with Runtime(
                folder,
                secrets={"demo": values},
                base_urls={"demo": f"{server.url}/api"},
                environ=environ,
                sleep=at_once,
            ) as rt:
                if number == len(ways) - 1:
                    url = rt.authorization_url(
                        "demo", REDIRECT_URI, state="planted-state", verifier=search.secrets["verifier"]
                    )
                    search.note("authorization URL", url)
                    code = server.allow(url)["code"]
                    search.plant("authorization code", code)
                    with contextlib.suppress(ConnectorError):
                        await rt.log_in("demo", code, REDIRECT_URI, verifier=search.secrets["verifier"])
                await try_everything(search, rt, where)
                server.instead = lambda form: (400, {"error": "invalid_grant", "error_description": f"you sent {form}"})
                for _ in range(2):
                    await try_everything(search, rt, f"{where}, refused")
                server.instead = lambda _: None
        for count, token in enumerate(server.tokens):
            search.plant(f"access token {count}", token.fields["access_token"])
            if token.fields.get("refresh_token"):
                search.plant(f"refresh token {count}", token.fields["refresh_token"])
        for count, form in enumerate(server.asked):
            if "assertion" in form:
                search.plant(f"assertion {count}", form["assertion"])


def test_the_search_finds_what_is_there() -> None:
    search = Search()
    search.plant("query", planted("query") + "/+=")
    search.note("a log", f"GET /v1?key={urllib.parse.quote(planted('query') + '/+=', safe='')}")
    search.note("an encoded form", base64.b64encode((planted("query") + "/+=").encode()).decode())
    assert search.hits() == [("query", "a log"), ("query", "an encoded form")]
