"""The shipped connector of Mistral and requests to it, for tests of the mock; and small connectors of the tests' own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connector import parse_connector
from connector.headers import Headers
from connector.messages import Request, Response
from connector.model.definition import Connector
from runtime.config.catalog import Catalog
from runtime.mock.provider import MockProvider
from tests.doubles.processes import ROOT

HOME = "https://api.mistral.ai/v1"
TOKEN = {"Authorization": "Bearer some-key"}
TYPED = {**TOKEN, "Content-Type": "application/json"}
FOLDER = ROOT / "definitions" / "mistral-ai"
MISTRAL = Catalog().get("mistral-ai")
EXAMPLES = {
    file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted((FOLDER / "examples").glob("*.json"))
}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.7, "max_tokens": 9}
FORM = "application/x-www-form-urlencoded"


def get(url: str, headers: Mapping[str, str] = TOKEN) -> Request:
    return Request("GET", url, headers=Headers(headers))


def post(body: Any, headers: Mapping[str, str] = TYPED, url: str = f"{HOME}/chat/completions") -> Request:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request("POST", url, headers=Headers(headers), body=content)


def send(provider: MockProvider, body: Any, kind: str = "application/json") -> list[tuple[list[Any], str]]:
    """The complaints about a body; none if it is content."""
    content = body.encode() if isinstance(body, str) and kind != "application/json" else body
    response = provider.answer(post(content, {"Content-Type": kind}, "https://demo.example/api/things"))
    return [] if response.status == 200 else complaints(response)


def demo(
    operations: Mapping[str, Any],
    *,
    base: Any = "https://demo.example/api",
    auth: Any = None,
    options: Any = (),
    **resource: Any,
) -> Connector:
    """A connector `demo` with one resource `things`."""
    service = {"baseURL": base, **({"auth": auth, "authOptions": list(options)} if auth else {})}
    things = {"handle": "things", "endpoint": "/things", "fields": [], "operations": operations, **resource}
    return parse_connector({"handle": "demo", "service": service, "resources": [things]})


def changed(**members: Any) -> dict[str, Any]:
    return {**CHAT, **members}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in CHAT.items() if name not in names}


def complaints(response: Response) -> list[tuple[list[Any], str]]:
    """Where and of which type each complaint of a 422 is."""
    assert response.status == 422, response.body
    return [(each["loc"], each["type"]) for each in json.loads(response.body)["detail"]]


def messages(message: Any) -> dict[str, Any]:
    return changed(messages=[message])


def declared(**types: Any) -> list[dict[str, Any]]:
    """Placeholders from name=type or name={type, …}; `a_` at the front of a name makes it optional."""
    return [
        {"name": name, "required": not name.startswith("a_"), **(each if isinstance(each, dict) else {"type": each})}
        for name, each in types.items()
    ]
