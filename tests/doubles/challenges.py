"""Webhooks whose provider sends a challenge first."""

from __future__ import annotations

from typing import Any

META = {"query": "hub.challenge", "token": "hub.verify_token"}
TWITTER = {"query": "crc_token", "answer": {"response_token": "sha256={{hmac}}"}, "encoding": "base64"}


def definition(challenge: Any, **more: Any) -> dict[str, Any]:
    webhook = {"event": "came", "path": "/webhooks/demo/came", "challenge": challenge, **more}
    resource = {"handle": "things", "endpoint": "/things", "webhooks": [webhook]}
    return {"handle": "demo", "service": {"baseURL": "https://demo.example"}, "resources": [resource]}
