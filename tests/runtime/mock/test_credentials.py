"""Which credential the mock demands, and in which form."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from connector.headers import Headers
from connector.messages import Request, Response
from connector.protocols import Moment
from connector.templates import Values
from runtime.mock.provider import MAX_BODY, MockProvider
from tests.doubles.mistral import HOME, TOKEN, TYPED, demo, get

pytestmark = pytest.mark.anyio


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@dataclass(frozen=True)
class QueryKey:
    """An auth method that this module has never heard of: a key in the query."""

    credentials: frozenset[str] = frozenset({"key"})

    def apply(self, request: Request, values: Values, moment: Moment) -> Request:
        return replace(request, url=f"{request.url}?api_key={values['key']}")


@dataclass(frozen=True)
class Signed:
    """An auth method that needs a real key."""

    credentials: frozenset[str] = frozenset()

    def apply(self, request: Request, values: Values, moment: Moment) -> Request:
        raise ValueError("this is not a key")


PAIR = {"username": "{{user}}", "password": "{{password}}"}


HEADER = {"value": "{{header}}", "placeholders": [{"name": "header", "type": "String", "required": True}]}


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Authorization": ""}, {"Authorization": "some-key"}, {"Authorization": "Bearer"},
        {"Authorization": "Bearer "}, {"Authorization": "Bearer  "}, {"Authorization": ": x"}, {"X-API-Key": "key"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_credential_that_is_missing_or_malformed_is_401_with_a_challenge(
    provider: MockProvider, headers: dict[str, str]
) -> None:
    response = provider.answer(get(f"{HOME}/models", headers))
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="mistral-ai"')
    assert "Authorization: Bearer <credential>" in json.loads(response.body)["detail"]


@pytest.mark.parametrize("value", ["Bearer x", "bearer x", "Bot a.b-c_d", "AWS4 Credential=a, Signature=b"])
def test_any_well_formed_credential_passes(provider: MockProvider, value: str) -> None:
    assert provider.answer(get(f"{HOME}/models", {"authorization": value})).status == 200


@pytest.mark.parametrize(
    ("auth", "good", "bad", "challenge"),
    [
        (
            {"method": "basic", "params": PAIR},
            [basic("a:b"), basic("a:"), basic(":")],
            ["", "Bearer x", "Basic", "Basic !!", basic("ab"), "Basic é", basic("a:b").replace("Basic", "Bearer")],
            'Basic realm="demo"',
        ),
        (
            {"method": "api_token", "params": {"token": "{{t}}", "headerName": "X-Key"}},
            ["x", "Bearer x"], ["", " "], 'ApiKey realm="demo", header="X-Key"',
        ),
        ({"method": "apikey", "params": {"apikey": "{{t}}"}}, ["x"], [""], 'ApiKey realm="demo", header="X-API-Key"'),
        (
            {"method": "api_token", "params": {"token": "Klaviyo-API-Key {{t}}"}},
            ["Klaviyo-API-Key x"], ["x"], 'Klaviyo-API-Key realm="demo"',
        ),
    ],
    ids=["basic", "own-header", "apikey", "own-scheme"],
)  # fmt: skip
def test_a_credential_has_the_form_of_its_method(auth: Any, good: list[str], bad: list[str], challenge: str) -> None:
    provider = MockProvider([demo({"read": {"method": "GET"}}, auth=auth)], {})
    header = {"own-header": "X-Key", "apikey": "X-API-Key"}
    name = next((each for each in header.values() if each in challenge), "Authorization")

    def ask(value: str) -> Response:
        return provider.answer(get("https://demo.example/api/things", {name: value}))

    assert [200] * len(good) == [ask(value).status for value in good]
    assert [(401, challenge)] * len(bad) == [(each.status, each.headers["WWW-Authenticate"]) for each in map(ask, bad)]


def test_every_one_of_several_tokens_is_asked_for() -> None:
    tokens = {"a": {"token": "{{a}}", "headerName": "X-A"}, "b": {"token": "{{b}}", "headerName": "X-B"}}
    provider = MockProvider([demo({"read": {"method": "GET"}}, auth={"method": "api_token", "params": tokens})], {})
    headers = [{"X-A": "1", "X-B": "2"}, {"X-A": "1"}, {"X-B": "2"}]
    asked = [provider.answer(get("https://demo.example/api/things", each)).status for each in headers]
    assert asked == [200, 401, 401]


def test_a_header_whose_name_only_the_connection_knows_is_not_asked_for() -> None:
    auth = {"method": "api_token", "params": {"token": "{{t}}", "headerName": HEADER}}
    provider = MockProvider([demo({"read": {"method": "GET"}}, auth=auth)], {})
    assert provider.answer(get("https://demo.example/api/things", {})).status == 200


def test_an_operation_that_sets_the_header_of_the_credential_itself_is_not_asked_for_one() -> None:
    read = {"method": "GET", "headers": {"Authorization": "none"}}
    auth = {"method": "bearer", "params": {"token": "{{t}}"}}
    provider = MockProvider([demo({"read": read}, auth=auth)], {})
    assert provider.answer(get("https://demo.example/api/things", {"Authorization": "none"})).status == 200


def test_one_of_several_methods_is_enough() -> None:
    connector = demo(
        {"read": {"method": "GET"}},
        auth={"method": "bearer", "params": {"token": "{{t}}"}},
        options=[{"method": "apikey", "params": {"apikey": "{{k}}"}}],
    )
    provider = MockProvider([connector], {})
    headers = [{"Authorization": "Bearer x"}, {"X-API-Key": "x"}, {}, {"Authorization": "x"}]
    asked = [provider.answer(get("https://demo.example/api/things", each)).status for each in headers]
    assert asked == [200, 200, 401, 401]


@pytest.mark.parametrize(
    ("auth", "good", "bad"),
    [
        (QueryKey(), ("?api_key=x", {}), [("", {}), ("?api_key=", {}), ("?key=x", {})]),
        (Signed(), ("", TOKEN), [("", {}), ("", {"Authorization": "x"})]),
    ],
    ids=["in-the-query", "unable-to-work-with-samples"],
)
def test_where_a_method_puts_its_secret_is_learned_from_the_method(auth: Any, good: Any, bad: list[Any]) -> None:
    connector = demo({"read": {"method": "GET"}}, auth={"method": "bearer", "params": {"token": "{{key}}"}})
    service = replace(connector.service, auth=auth)
    operation = replace(connector.operation("things.read"), service=service)
    provider = MockProvider([replace(connector, service=service, operations={operation.id: operation})], {})

    def ask(query: str, headers: Mapping[str, str]) -> int:
        return provider.answer(get(f"https://demo.example/api/things{query}", headers)).status

    assert ask(*good) == 200
    assert [401] * len(bad) == [ask(*each) for each in bad]


def test_a_request_is_judged_by_path_then_method_then_credential_then_size_then_type_then_values(
    provider: MockProvider,
) -> None:
    headers: dict[str, str] = {}
    url, method, body = f"{HOME}/chat/nothing", "PUT", b"x" * (MAX_BODY + 1)
    seen = []
    for step in range(7):
        seen.append(provider.answer(Request(method, url, headers=Headers(headers), body=body)).status)
        if step == 0:
            url = f"{HOME}/chat/completions"
        elif step == 1:
            method = "POST"
        elif step == 2:
            headers = dict(TOKEN)
        elif step == 3:
            body = b"x"
        elif step == 4:
            headers = dict(TYPED)
        elif step == 5:
            body = b"{}"
    assert seen == [404, 405, 401, 413, 415, 400, 422]
