"""What providers send, to a real `connector serve`: signed as each documents it, kept once, and the handshakes."""

from __future__ import annotations

import base64
import hmac
import json
import time
import urllib.parse
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.doubles.processes import process

pytestmark = pytest.mark.anyio
SECRETS = {each: f"a-secret-of-{each}-0123456789" for each in ("github", "stripe", "slack", "twilio")}
PUBLIC = "https://hooks.example.com"
TOKEN = "an-admin-token-of-the-tests"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


def digest(handle: str, content: str, algorithm: str = "sha256") -> bytes:
    return hmac.new(SECRETS[handle].encode(), content.encode(), algorithm).digest()


def github(body: str, _: str) -> dict[str, str]:
    """https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries"""
    event = {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
    return {"Content-Type": JSON, "X-Hub-Signature-256": f"sha256={digest('github', body).hex()}", **event}


def stripe(body: str, _: str) -> dict[str, str]:
    """https://docs.stripe.com/webhooks#verify-manually"""
    at = int(time.time())
    return {"Content-Type": JSON, "Stripe-Signature": f"t={at},v1={digest('stripe', f'{at}.{body}').hex()},v0=00"}


def slack(body: str, _: str) -> dict[str, str]:
    """https://api.slack.com/authentication/verifying-requests-from-slack"""
    at = str(int(time.time()))
    signature = f"v0={digest('slack', f'v0:{at}:{body}').hex()}"
    return {"Content-Type": JSON, "X-Slack-Request-Timestamp": at, "X-Slack-Signature": signature}


def twilio(body: str, path: str) -> dict[str, str]:
    """https://www.twilio.com/docs/usage/security#validating-requests: the public address, and the sorted fields."""
    fields = "".join(name + value for name, value in sorted(urllib.parse.parse_qsl(body, keep_blank_values=True)))
    signature = base64.b64encode(digest("twilio", PUBLIC + path + fields, "sha1")).decode()
    return {"Content-Type": FORM, "X-Twilio-Signature": signature, "I-Twilio-Idempotency-Token": "c1d0a9d6"}


ISSUE = {"id": 9007, "number": 7, "title": "Radio silent", "state": "open", "user": {"login": "ann"}}
CUSTOMER = {"id": "cus_1", "object": "customer", "email": "ann@example.com", "name": "Ann"}
MENTION = {"type": "app_mention", "channel": "C1", "user": "U1", "text": "<@U9> ahoy", "ts": "1.0"}
#: Of each provider: its trigger, a message, and some of what is in its event.
MESSAGES: dict[Any, tuple[str, str, dict[str, Any]]] = {
    github: (
        "issues/issues.changed",
        json.dumps({"action": "opened", "issue": ISSUE, "repository": {"full_name": "harbour/logbook"}}),
        {"id": 9007, "action": "opened", "repository": "harbour/logbook"},
    ),
    stripe: (
        "customers/customer.created",
        json.dumps({"id": "evt_1", "type": "customer.created", "created": 1, "data": {"object": CUSTOMER}}),
        {"id": "cus_1", "event_id": "evt_1", "email": "ann@example.com"},
    ),
    slack: (
        "chat/event.received",
        json.dumps({"type": "event_callback", "event_id": "Ev1", "event_time": 1, "event": MENTION}),
        {"id": "Ev1", "type": "app_mention", "channel": "C1"},
    ),
    twilio: (
        "messages/message.received",
        urllib.parse.urlencode({"MessageSid": "SM1", "From": "+491700000001", "Body": "Ahoy & so", "NumMedia": "0"}),
        {"id": "SM1", "body": "Ahoy & so"},
    ),
}


async def test_github_stripe_slack_and_twilio_send_to_a_real_server(tmp_path: Path) -> None:
    environment = {f"CONNECTOR_SECRET__{name.upper()}__WEBHOOKSECRET": secret for name, secret in SECRETS.items()}
    environment |= {"CONNECTOR_PUBLIC_URL": PUBLIC, "CONNECTOR_ADMIN_TOKEN": TOKEN}
    async with (
        process(tmp_path, "--role", "api", environment=environment) as (_, url),
        httpx2.AsyncClient(trust_env=False, timeout=30, base_url=url) as client,
    ):
        hooks = {
            (row["connection"], row["trigger"]): row["url"]
            for row in (await client.get("/api/webhooks", headers=ADMIN)).json()
        }

        async def send(path: str, body: str, headers: dict[str, str]) -> httpx2.Response:
            return await client.post(path, content=body.encode(), headers=headers)

        for sign, (trigger, body, fields) in MESSAGES.items():
            handle = sign.__name__
            address = hooks[handle, trigger]
            assert address.startswith(PUBLIC + "/")
            path = address.removeprefix(PUBLIC)
            forged = await send(path, body + " ", sign(body, path))
            assert (handle, forged.status_code) == (handle, 401)
            answers = [await send(path, body, sign(body, path)) for _ in range(2)]
            assert (handle, [each.status_code for each in answers]) == (handle, [202, 202])
            assert answers[0].json() == answers[1].json()
            event = (await client.get(f"/api/events/{answers[0].json()['event']}", headers=ADMIN)).json()
            # Each has an id of the provider's, by which the second one was known.
            assert (handle, event["type"], "dedupe" in event) == (handle, trigger, False)
            assert {name: event["data"][name] for name in fields} == fields
        assert len((await client.get("/api/events", headers=ADMIN)).json()["events"]) == len(MESSAGES)

        # Slack asks whether the address is ours before it sends anything:
        # https://docs.slack.dev/reference/events/url_verification
        path = hooks["slack", "chat/event.received"].removeprefix(PUBLIC)
        challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
        body = json.dumps({"token": "x", "challenge": challenge, "type": "url_verification"})
        answer = await send(path, body, slack(body, path))
        assert (answer.status_code, answer.text) == (200, challenge)
        assert (await send(path, body, {"Content-Type": JSON})).status_code == 401
        assert len((await client.get("/api/events", headers=ADMIN)).json()["events"]) == len(MESSAGES)
