"""A provider and runtimes for the tests of hosts: connections are told apart, and a host's processes are programs."""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHOP = {
    "handle": "shop",
    "service": {"baseURL": "https://shop.example/v1", "auth": {"method": "none"}},
    "resources": [
        {
            "handle": "things",
            "endpoint": "/things",
            "fields": [{"name": "id", "type": "String"}],
            "operations": {"list": {"method": "GET", "isList": True}, "create": {"method": "POST"}},
            "webhooks": [
                {
                    "event": "made",
                    "path": "/webhooks/shop/made",
                    "after": ["things.create"],
                    "payload": [{"name": "id", "type": "String"}],
                }
            ],
        }
    ],
}


def write_shop(folder: Path, definition: dict[str, Any] = SHOP) -> Path:
    """Writes the definition of the shop; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{definition['handle']}.json").write_text(json.dumps(definition), "utf-8")
    return folder


class Provider:
    """A provider that keeps connections open, and notes over which one each request came."""

    def __init__(self) -> None:
        self.url = ""
        #: Of each request: the port of the client, and its header fields in lower case.
        self.requests: list[tuple[int, dict[str, str]]] = []

    @property
    def ports(self) -> list[int]:
        return [port for port, _ in self.requests]


@contextlib.contextmanager
def providing() -> Iterator[Provider]:
    """The provider, listening on a free port of the loopback."""
    provider = Provider()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fields = {name.lower(): value for name, value in self.headers.items()}
            provider.requests.append((self.client_address[1], fields))
            body = json.dumps([{"id": "t-1"}] if self.command == "GET" else {"id": "t-1"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - theirs

        def log_message(self, *_: Any) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as listening:
        provider.url = f"http://127.0.0.1:{listening.server_port}/v1"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield provider
        finally:
            listening.shutdown()
            thread.join()
