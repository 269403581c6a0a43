"""What the providers send by themselves: each message is signed as its provider documents it, verified and mapped."""

from __future__ import annotations

import base64
import datetime
import hmac
import json
import urllib.parse
from typing import Any

import pytest

from connector.errors import InvalidSignature
from connector.events.mapping import map_event
from connector.headers import Headers
from connector.messages import Request
from runtime import Catalog

CATALOG = Catalog()
SECRET = "canary-of-the-webhooks"
NOW = 1_767_225_600
URL = "https://events.example.com"


def digest(content: str, algorithm: str = "sha256") -> bytes:
    return hmac.new(SECRET.encode(), content.encode(), algorithm).digest()


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def stripe(body: str) -> dict[str, str]:
    """https://docs.stripe.com/webhooks#verify-manually"""
    return {"Stripe-Signature": f"t={NOW},v1={digest(f'{NOW}.{body}').hex()},v0={'0' * 64}"}


def github(body: str) -> dict[str, str]:
    """https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries"""
    event = {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
    return {"X-Hub-Signature-256": f"sha256={digest(body).hex()}", **event}


def slack(body: str) -> dict[str, str]:
    """https://api.slack.com/authentication/verifying-requests-from-slack"""
    return {"X-Slack-Signature": f"v0={digest(f'v0:{NOW}:{body}').hex()}", "X-Slack-Request-Timestamp": str(NOW)}


def shopify(body: str) -> dict[str, str]:
    """https://shopify.dev/docs/apps/build/webhooks/subscribe/https"""
    return {
        "X-Shopify-Hmac-Sha256": encoded(digest(body)),
        "X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    }


def notion(body: str) -> dict[str, str]:
    """https://developers.notion.com/reference/webhooks"""
    return {"X-Notion-Signature": f"sha256={digest(body).hex()}"}


def twilio(body: str) -> dict[str, str]:
    """https://www.twilio.com/docs/usage/security#validating-requests"""
    fields = sorted(urllib.parse.parse_qsl(body, keep_blank_values=True))
    content = f"{URL}/webhooks/twilio/message/received" + "".join(name + value for name, value in fields)
    return {"X-Twilio-Signature": encoded(digest(content, "sha1")), "Content-Type": "application/x-www-form-urlencoded"}


CUSTOMER = {"id": "cus_1", "object": "customer", "email": "ann@example.com", "name": "Ann"}
MESSAGES: list[tuple[Any, str, Any, dict[str, Any]]] = [
    (
        stripe,
        "customers/customer.created",
        {"id": "evt_1", "type": "customer.created", "created": NOW, "livemode": False, "data": {"object": CUSTOMER}},
        {"id": "cus_1", "event_id": "evt_1", "email": "ann@example.com", "livemode": False},
    ),
    (
        github,
        "issues/issues.changed",
        {
            "action": "opened",
            "issue": {"id": 9007, "number": 7, "title": "Radio silent", "state": "open", "user": {"login": "ann"}},
            "repository": {"full_name": "harbour/logbook"},
            "sender": {"login": "ann"},
        },
        {"id": 9007, "number": 7, "action": "opened", "repository": "harbour/logbook", "user": "ann"},
    ),
    (
        slack,
        "chat/event.received",
        {
            "type": "event_callback",
            "team_id": "T1",
            "event_id": "Ev1",
            "event_time": NOW,
            "event": {"type": "app_mention", "channel": "C1", "user": "U1", "text": "<@U9> ahoy", "ts": "1.0"},
        },
        {"id": "Ev1", "type": "app_mention", "channel": "C1", "text": "<@U9> ahoy", "event_time": NOW},
    ),
    (
        shopify,
        "orders/orders.create",
        {
            "id": 450789469,
            "admin_graphql_api_id": "gid://shopify/Order/450789469",
            "name": "#1001",
            "email": "ann@example.com",
            "total_price": "59.80",
            "currency": "EUR",
            "line_items": [{"title": "Long rope"}, {"title": "Short rope"}],
        },
        {"id": 450789469, "name": "#1001", "total_price": 59.8, "line_titles": ["Long rope", "Short rope"]},
    ),
    (
        notion,
        "pages/page.created",
        {
            "id": "367cba44-b6f3-4c92-81e7-6a2e9659efd4",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "type": "page.created",
            "authors": [{"id": "u1", "type": "person"}],
            "entity": {"id": "p1", "type": "page"},
            "data": {"parent": {"id": "d1", "type": "database"}},
        },
        {"id": "p1", "authors": ["u1"], "parent_type": "database", "parent_id": "d1"},
    ),
]


def received(handle: str, event: str, body: str, headers: dict[str, str]) -> tuple[Any, Request]:
    connector = CATALOG.get(handle)
    webhook = next(each for each in connector.webhooks if each.id == event)
    request = Request(
        "POST", URL + webhook.path, headers=Headers({"Content-Type": "application/json", **headers}), body=body.encode()
    )
    return webhook, request


@pytest.mark.parametrize(
    ("sign", "event", "document", "expected"), MESSAGES, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_message_is_verified_and_mapped(sign: Any, event: str, document: Any, expected: dict[str, Any]) -> None:
    body = json.dumps(document)
    webhook, request = received(sign.__name__, event, body, sign(body))
    service = CATALOG.get(sign.__name__).service
    verified = service.signature.verify(request, [SECRET], NOW)
    # Every one of them says by which id repetitions are told.
    assert verified.id or (service.message_id is not None and service.message_id.find_one(document))
    data = map_event(webhook, request, now=datetime.datetime.fromtimestamp(NOW, datetime.UTC)).data
    assert {name: data[name] for name in expected} == expected
    assert set(data) == {each.name for each in webhook.payload}


@pytest.mark.parametrize("sign", [stripe, github, slack, shopify, notion])
def test_T66_a_message_with_one_space_more_is_refused(sign: Any) -> None:
    event, document = next((event, document) for each, event, document, _ in MESSAGES if each is sign)
    body = json.dumps(document)
    _, request = received(sign.__name__, event, body + " ", sign(body))
    with pytest.raises(InvalidSignature):
        CATALOG.get(sign.__name__).service.signature.verify(request, [SECRET], NOW)


@pytest.mark.parametrize("sign", [stripe, slack])
@pytest.mark.parametrize("later", [-301, 301])
def test_T62_a_message_that_is_too_old_or_too_new_is_refused(sign: Any, later: int) -> None:
    event, document = next((event, document) for each, event, document, _ in MESSAGES if each is sign)
    body = json.dumps(document)
    _, request = received(sign.__name__, event, body, sign(body))
    with pytest.raises(InvalidSignature):
        CATALOG.get(sign.__name__).service.signature.verify(request, [SECRET], NOW + later)


def test_a_form_of_twilio_is_verified_by_address_and_sorted_fields() -> None:
    body = urllib.parse.urlencode({"MessageSid": "SM1", "From": "+491700000001", "Body": "Ahoy & so", "NumMedia": "0"})
    _, request = received("twilio", "messages/message.received", body, twilio(body))
    signature = CATALOG.get("twilio").service.signature
    signature.verify(request, [SECRET], NOW)
    _, forged = received("twilio", "messages/message.received", body.replace("Ahoy", "Ahoi"), twilio(body))
    with pytest.raises(InvalidSignature):
        signature.verify(forged, [SECRET], NOW)
