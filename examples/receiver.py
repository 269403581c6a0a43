"""A receiver of events, with nothing but Python and the library of Standard Webhooks (pip install standardwebhooks).

    WEBHOOK_SECRET=whsec_… python examples/receiver.py 9000

Every request is verified before it is believed; an event that comes again, which it may, is answered and ignored.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError


class Receiver(BaseHTTPRequestHandler):
    """Prints each event once."""

    protocol_version = "HTTP/1.1"
    seen: set[str] = set()  # noqa: RUF012 - of all requests; a real program keeps it with what it does

    def do_POST(self) -> None:
        """Verifies a request, does its work once, and answers as soon as that is safe."""
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            Webhook(os.environ["WEBHOOK_SECRET"]).verify(body, dict(self.headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            self.answer(401)
            return
        event = json.loads(body)
        if event["id"] not in self.seen:
            self.seen.add(event["id"])
            print(event["type"], event.get("subject", ""), json.dumps(event["data"]), flush=True)
        self.answer(204)

    def answer(self, status: int) -> None:
        """Answers without a body."""
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Leaves stdout to the events."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(server.server_port, flush=True)
    server.serve_forever()
