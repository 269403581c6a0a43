"""A connection's values checked against its service: texts, base URL, credentials."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from connector.errors import MissingCredentials
from connector.model.definition import Operation
from connector.model.service import Service, missing_value, render_base
from connector.templates import Placeholder, Template, Unrenderable
from tests.doubles.tenants import connector

TOKEN = {"method": "bearer", "params": {"token": "{{apiToken}}"}}


def refused(service: Service, values: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(MissingCredentials) as caught:
        service.configure(values, **more)
    return [(each.name, each.message) for each in caught.value.errors]


def test_values_are_texts_with_defaults_and_the_base_url_is_rendered() -> None:
    params = {"version": {"type": "Integer", "default": "3"}, "flag": {"type": "Boolean"}, "none": {"type": "String"}}
    config = connector(params=params).service.configure({"shop": "acme", "flag": True, "none": None, "other": 1})
    assert config.values == {"shop": "acme", "version": "3", "flag": "true"}
    assert (config.base, config.origin, config.missing) == (
        "https://acme.example/v1",
        "https://acme.example",
        frozenset(),
    )


def test_what_is_missing_is_only_noted() -> None:
    config = connector(auth=TOKEN).service.configure({})
    assert (config.base, config.origin, config.missing) == (None, "", {"shop", "apiToken"})


def test_a_credential_is_known_in_every_form_it_can_take() -> None:
    config = connector(auth=TOKEN).service.configure({"shop": "acme", "apiToken": 'a b"c'})
    assert config.secrets == {'a b"c', "a%20b%22c", "a+b%22c", 'a b\\"c'}


@pytest.mark.parametrize(
    "token", ["tok\n", "é", "x" * 1_000_000, "", " tok", "tok "], ids=lambda token: f"T28 {token[:5]!r}"
)
def test_a_credential_that_no_header_carries_is_refused_and_never_shown(token: str) -> None:
    [(name, message)] = refused(connector(auth=TOKEN).service, {"shop": "acme", "apiToken": token})
    assert name == "apiToken"
    assert not token.strip() or token.strip() not in message


@pytest.mark.parametrize(
    "shop",
    ["evil.example/", "a@b", "a#", "a?", "a\\", "a:443", "..", ".", "", "a..b", "-a", "é", "a b", "a\n"],
    ids=lambda shop: f"T30 {shop!r}",
)
def test_a_value_in_the_host_cannot_lead_elsewhere(shop: str) -> None:
    assert [name for name, _ in refused(connector().service, {"shop": shop})] == ["shop"]


def test_a_value_in_the_path_of_a_base_url_is_one_segment() -> None:
    service = connector(baseURL="https://demo.example/{{account}}/v1").service
    assert service.configure({"account": "a/b"}).base == "https://demo.example/a%2Fb/v1"
    assert [name for name, _ in refused(service, {"account": ".."})] == ["account"]


def test_a_base_url_may_be_a_value_as_a_whole() -> None:
    service = connector(baseURL="{{url}}/api").service
    assert service.configure({"url": "https://demo.example/x/"}).base == "https://demo.example/x/api"
    assert [name for name, _ in refused(service, {"url": "https://a@evil.example"})] == ["baseURL"]


def test_every_value_that_cannot_be_used_is_told_at_once() -> None:
    params = {"level": {"type": "Integer", "options": ["1", "2"]}, "count": {"type": "Integer"}}
    found = refused(connector(params=params).service, {"shop": "a b", "level": 3, "count": "x"})
    assert [name for name, _ in found] == ["level", "count", "shop"]
    assert found[0][1] == "level: expected one of 1, 2"


def test_the_operator_may_name_another_base_url() -> None:
    config = connector().service.configure({}, base_url="http://127.0.0.1:9000/v1/")
    assert (config.base, config.origin) == ("http://127.0.0.1:9000/v1", "http://127.0.0.1:9000")
    assert [name for name, _ in refused(connector().service, {}, base_url="ftp://x")] == ["baseURL"]


def test_a_base_url_is_not_rendered_in_part() -> None:
    template = Template.from_text("https://{{a}}.{{b}}")
    assert render_base(template, {"a": "x"}) is None
    assert render_base(template, {"a": "x", "b": "y"}) == "https://x.y"
    with pytest.raises(Unrenderable) as caught:
        render_base(template, {"a": "x", "b": "y/"})
    assert caught.value.name == "b"


def test_missing_values_are_named_in_order() -> None:
    service = dataclasses.replace(connector(auth=TOKEN).service, connector="mistral-ai")
    error = missing_value(service, {"shop", "apiToken"})
    assert [each.message for each in error.errors] == [
        "apiToken of the connection is not set",
        "shop of the connection is not set",
    ]
    assert error.operation == "mistral-ai"


def test_a_service_without_auth_has_no_credentials() -> None:
    service = Service(
        connector="demo", base=Template(("https://demo.example",)), placeholders={"a": Placeholder("a", None)}
    )  # type: ignore[arg-type]
    assert service.credentials == frozenset()
    assert Operation(id="a.b", service=service, method="GET", path=None).name == "b"  # type: ignore[arg-type]
