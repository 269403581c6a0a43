"""Every way out of the product, tried with every form of an internal address: no connection is made (hazards T29 to T40).

A canary listens on loopback and counts who connects. Each form of its address is put wherever a definition, a value of
a connection, an input or an answer of a provider can name a URL. What comes of a call does not matter here, an error or
an answer of the provider itself; that the canary saw no connection does. That it would see one is shown as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.errors import BlockedAddress, ConnectorError
from runtime import Runtime
from tests.doubles.faults import canary

pytestmark = pytest.mark.anyio

#: 127.0.0.1 as readers of URLs have been known to read it.
LOOPBACK = [
    *("127.0.0.1", "127.1", "127.0.1", "127.0.0.1.", "2130706433", "0x7f000001", "0X7F000001", "017700000001"),
    *("0177.0.0.1", "0177.0.0.01", "0x7f.1", "0x7f.0x0.0x0.0x1", "0", "0.0.0.0", "00000000177.0.0.1"),
    *("%31%32%37.0.0.1", "127。0。0。1", "①②⑦.⓪.⓪.①", "１２７.0.0.1", "127.0.0.1%00", "127.0.0.1%2f"),
    *("localhost", "LOCALHOST", "localhost.", "app.localhost", "localhost.localdomain", "ip6-localhost"),
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:7F00:1]"),
    *("[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[::1%25lo]", "[::1%lo]"),
]
#: How the host is written among other things, the port being the canary's.
AUTHORITIES = ["{}:{port}", "api.example.com@{}:{port}", "{}:{port}#@api.example.com"]


def forms(port: int) -> Iterator[str]:
    """More than two hundred URLs that might lead to the canary."""
    for scheme, authority, host in itertools.product(("http", "https"), AUTHORITIES, LOOPBACK):
        yield f"{scheme}://{authority.format(host, port=port)}"


class StandIn:
    """A provider that the operator named: it answers with whatever address it is told to."""

    def __init__(self) -> None:
        self.target = ""
        self.asked = 0
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = next(
                    (int(line[15:]) for line in head.lower().split("\r\n") if line[:15] == "content-length:"), 0
                )
                await reader.readexactly(length)
                self.asked += 1
                path = head.split(" ", 2)[1]
                target = self.target.encode("utf-8", "ignore").decode("latin-1")
                fields, status, document = "", "200 OK", {"data": [{"id": self.asked}], "next": self.target}
                if "/redirect" in path:
                    fields, status = f"Location: {target}\r\n", "307 Temporary Redirect"
                elif "/link" in path:
                    fields = f'Link: <{target}>; rel="next"\r\n'
                body = json.dumps(document).encode()
                fields += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\n".encode("latin-1") + body)
                await writer.drain()
        writer.close()


@pytest.fixture
async def provider() -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    server = await asyncio.start_server(stand_in.answer, "127.0.0.1", 0)
    stand_in.port = server.sockets[0].getsockname()[1]
    yield stand_in
    server.close()


def definition(operation: dict[str, Any] | None = None, *, endpoint: Any = "/things", **service: Any) -> dict[str, Any]:
    fields = [{"name": "id", "type": "Integer", "selector": ["id"]}]
    found = {"method": "GET", "records": ["data"], "fields": fields, **(operation or {})}
    resource = {"handle": "things", "endpoint": endpoint, "operations": {"list": found}}
    block = {"baseURL": "https://api.example.com/v1", "auth": {"method": "none"}, **service}
    return {"handle": "demo", "service": block, "resources": [resource]}


def slot(name: str, kind: str = "String") -> dict[str, Any]:
    return {"value": f"{{{{{name}}}}}", "placeholders": [{"name": name, "type": kind, "required": True}]}


Case = tuple[dict[str, Any], dict[str, Any], dict[str, Any], bool]


def client_credentials(url: Any) -> dict[str, Any]:
    params = {"clientID": "id", "clientSecret": "planted", "tokenURL": url}
    return {"method": "oauth2_client_credentials", "params": params}


def account(url: str) -> str:
    return json.dumps({"client_email": "a@example.com", "private_key": KEY, "token_uri": url})


def make_key() -> str:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


KEY = make_key()

#: Where a URL can be named: the definition, the values of the connection, the inputs, and whether the provider is the
#: stand-in that the operator named.
ENTRIES: dict[str, Callable[[str], Case]] = {
    "base URL": lambda url: (definition(baseURL=url), {}, {}, False),
    "base URL of the connection": lambda url: (definition(baseURL="{{url}}"), {"url": url}, {}, False),
    "host of the connection": lambda url: (
        definition(baseURL="https://{{host}}/v1"),
        {"host": url.partition("://")[2]},
        {},
        False,
    ),
    "endpoint": lambda url: (definition(endpoint=url), {}, {}, True),
    "endpoint after the host": lambda url: (definition(endpoint=f"@{url.partition('://')[2]}"), {}, {}, True),
    "path": lambda url: (definition({"path": url}, endpoint=""), {}, {}, True),
    "input of a path": lambda url: (definition({"path": {**slot("x"), "value": "/{{x}}"}}), {}, {"x": url}, True),
    "redirect": lambda url: (definition({"path": "/redirect"}), {}, {}, True),
    "Link header": lambda url: (definition({"path": "/link", "pagination": {"style": "link"}}), {}, {}, True),
    "next address": lambda url: (
        definition({"pagination": {"style": "next_url", "next": ["next"]}}),
        {},
        {},
        True,
    ),
    "token URL": lambda url: (definition(auth=client_credentials(url)), {}, {}, True),
    "token URL of the connection": lambda url: (
        definition(auth=client_credentials("{{tokenURL}}")),
        {"tokenURL": url},
        {},
        True,
    ),
    "token URL of a service account": lambda url: (
        definition(auth={"method": "google_service_account", "params": {}, "scopes": ["a"]}),
        {"serviceAccountJSON": account(url)},
        {},
        True,
    ),
    "schema reference": lambda url: (definition({"$ref": url, "$schema": url}), {}, {}, True),
    "file": lambda url: (
        definition(
            {
                "method": "POST",
                "headers": {"Content-Type": "application/octet-stream"},
                "bodyTemplate": slot("file", "File"),
            }
        ),
        {},
        {"file": url},
        True,
    ),
}


def case_id(entry: str) -> str:
    numbers = {"endpoint": "T29", "path": "T29", "redirect": "T35", "file": "T38"}
    return f"{numbers.get(entry, 'T38')}-{entry}"


def test_there_are_more_than_two_hundred_forms_and_eight_entries() -> None:
    assert len(set(forms(1))) >= 200
    assert len(ENTRIES) >= 8


async def test_the_canary_would_see_a_connection(tmp_path: Path) -> None:
    async with canary() as seen:
        base = f"http://127.0.0.1:{seen.port}"
        (tmp_path / "demo.json").write_text(json.dumps(definition({"idempotent": False, "method": "POST"})))
        async with Runtime(tmp_path, base_urls={"demo": base}, environ={}) as rt:
            with pytest.raises(ConnectorError):
                await rt.call("demo", "things.list", {})
        assert seen.connections == 1


@pytest.mark.parametrize("entry", [pytest.param(entry, id=case_id(entry)) for entry in ENTRIES])
async def test_no_form_of_an_inside_address_is_ever_connected_to(entry: str, provider: StandIn, tmp_path: Path) -> None:
    async def at_once(_: float) -> None:
        """No waiting between attempts."""

    refused = 0
    async with canary() as seen:
        for url in forms(seen.port):
            source, values, inputs, named = ENTRIES[entry](url)
            (tmp_path / "demo.json").write_text(json.dumps(source), "utf-8")
            provider.target = url
            base_urls = {"demo": f"http://127.0.0.1:{provider.port}"} if named else {}
            secrets = {"demo": values}
            rt = Runtime(tmp_path, secrets=secrets, base_urls=base_urls, environ={}, sleep=at_once)
            async with rt:
                try:
                    async for _ in rt.pages("demo", "things.list", inputs, max_pages=3):
                        pass
                except ConnectorError:
                    refused += 1
        assert seen.connections == 0
    if entry not in ("input of a path", "schema reference", "file", "endpoint after the host"):
        # A form that no reader takes for an address is nothing to refuse; hardly any is.
        assert refused >= 200


async def test_T35_a_redirect_is_told_and_not_followed(provider: StandIn, tmp_path: Path) -> None:
    async with canary() as seen:
        provider.target = f"http://127.0.0.1:{seen.port}/latest/meta-data"
        (tmp_path / "demo.json").write_text(json.dumps(definition({"path": "/redirect"})))
        base_urls = {"demo": f"http://127.0.0.1:{provider.port}"}
        async with Runtime(tmp_path, base_urls=base_urls, environ={}) as rt:
            with pytest.raises(ConnectorError, match="a redirect to .*, which is not followed"):
                await rt.call("demo", "things.list", {})
        assert (seen.connections, provider.asked) == (0, 1)


async def test_T38_a_token_url_inside_is_blocked_before_anything_is_sent(provider: StandIn, tmp_path: Path) -> None:
    async with canary() as seen:
        url = f"https://127.0.0.1:{seen.port}/token"
        (tmp_path / "demo.json").write_text(json.dumps(definition(auth=client_credentials(url))))
        base_urls = {"demo": f"http://127.0.0.1:{provider.port}"}
        async with Runtime(tmp_path, base_urls=base_urls, environ={}) as rt:
            with pytest.raises(BlockedAddress):
                await rt.call("demo", "things.list", {})
        assert (seen.connections, provider.asked) == (0, 0)
