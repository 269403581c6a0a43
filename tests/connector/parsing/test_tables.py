"""Rows that others add to the tables of kinds: what is taken, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import connector
from connector.answers.kinds import RESPONSE_KINDS, ResponseKind
from connector.answers.pagination import PAGINATION_STYLES
from connector.answers.streams import STREAM_KINDS, SseDecoder
from connector.auth.methods import NoAuth, find_auth_method
from connector.errors import InvalidDefinition, unknown_kind
from connector.events.signatures import SIGNATURE_SCHEMES, Hmac
from connector.parsing.connectors import parse_connector
from connector.parsing.tables import TABLES, add_kind
from connector.requests.bodies import BODY_KINDS, JsonBody, TextBody
from connector.strict_json import parse_json
from connector.types import CONVERTORS, Convertor, convert, read_string


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = {name: dict(table.rows) for name, table in TABLES.items()}
    yield
    for name, table in TABLES.items():
        table.rows.clear()
        table.rows.update(before[name])


def money() -> Convertor:
    return Convertor("Money", read_string, frozenset({str}), {"type": "string"}, ("Amount",))


def test_every_table_of_the_language_takes_rows() -> None:
    tables = [table.rows for table in TABLES.values()]
    kinds = (BODY_KINDS, PAGINATION_STYLES, RESPONSE_KINDS, STREAM_KINDS, SIGNATURE_SCHEMES, CONVERTORS)
    assert all(rows in tables for rows in kinds)


def test_a_method_is_found_however_it_is_written() -> None:
    def read(source: Any, read: Any) -> NoAuth:
        return NoAuth()

    add_kind("auth_methods", "ledger_signature", read)
    assert find_auth_method("Ledger-Signature") is read


def test_a_type_is_known_by_its_aliases() -> None:
    connector.add_kind("convertors", "money", money())
    assert convert(5, "Amount") == "5"
    assert convert(5, "MONEY") == "5"


def test_a_body_kind_comes_after_those_that_are_there() -> None:
    class Yaml(TextBody):
        @classmethod
        def accepts(cls, media_type: str) -> bool:
            return True

    add_kind("body_kinds", "yaml", Yaml)
    definition = {
        "handle": "a",
        "service": {"baseURL": "https://a.example", "contentType": "application/yaml"},
        "resources": [
            {
                "handle": "r",
                "endpoint": "/r",
                "operations": {
                    "own": {"method": "POST", "bodyTemplate": "a: 1"},
                    "json": {
                        "method": "POST",
                        "headers": {"Content-Type": "application/json"},
                        "bodyTemplate": {"a": 1},
                    },
                },
            }
        ],
    }
    found = parse_connector(definition)
    assert type(found.operation("r.own").body) is Yaml
    assert type(found.operation("r.json").body) is JsonBody


def test_a_stream_needs_both_of_its_rows() -> None:
    add_kind("response_kinds", "chunks", ResponseKind("application/x-chunks", parse_json))
    add_kind("stream_kinds", "chunks", SseDecoder)
    operation = {"method": "GET", "response": "chunks"}
    resources = [{"handle": "r", "endpoint": "/r", "operations": {"get": operation}}]
    found = parse_connector({"handle": "a", "service": {"baseURL": "https://a.example"}}, resources)
    assert found.operation("r.get").response == "chunks"
    assert dict(found.operation("r.get").headers)["Accept"].literal == "application/x-chunks"


@pytest.mark.parametrize(
    ("table", "name", "row", "said"),
    [
        ("auth_method", "x", len, "there is no table 'auth_method'; did you mean 'auth_methods'?"),
        ("auth_methods", "Api-Token", len, "'apitoken' is in auth_methods already"),
        ("auth_methods", "-", len, "a kind has a name"),
        ("auth_methods", "x", "len", "'x' is not a row of auth_methods: expected a function that reads an auth block"),
        ("body_kinds", "json", JsonBody, "'json' is in body_kinds already"),
        ("body_kinds", "x", len, "expected a class with from_json, accepts, uses and encode"),
        ("body_kinds", "x", Convertor, "expected a class with from_json, accepts, uses and encode"),
        ("pagination_styles", "x", 7, "expected a function that reads a pagination block"),
        ("response_kinds", "x", parse_json, "expected a ResponseKind"),
        ("stream_kinds", "x", parse_json, "expected a class with feed and finish"),
        ("signature_schemes", "x", NoAuth, "expected a class with from_json and verify"),
        ("signature_schemes", "hmac", Hmac, "'hmac' is in signature_schemes already"),
        ("convertors", "x", read_string, "expected a Convertor"),
        ("convertors", "cash", money(), "'cash' is not a row of convertors: the Convertor calls itself 'Money'"),
        ("convertors", "id", Convertor("ID", read_string, frozenset(), {}), "'id' is in convertors already"),
        (
            "convertors",
            "Money",
            Convertor("Money", read_string, frozenset(), {}, ("Int",)),
            "'int' is in convertors already",
        ),
    ],
)
def test_a_row_that_does_not_belong_is_refused_and_nothing_is_added(table: str, name: str, row: Any, said: str) -> None:
    before = {each: dict(found.rows) for each, found in TABLES.items()}
    with pytest.raises(ValueError, match=".") as caught:
        add_kind(table, name, row)
    assert said in str(caught.value)
    assert {each: dict(found.rows) for each, found in TABLES.items()} == before


def unknown(operation: dict[str, Any], **service: Any) -> dict[str, str]:
    resources = [{"handle": "r", "endpoint": "/r", "operations": {"get": {"method": "POST", **operation}}}]
    with pytest.raises(InvalidDefinition) as caught:
        parse_connector({"handle": "a", "service": {"baseURL": "https://a.example", **service}}, resources)
    return {problem.code: problem.hint for problem in caught.value.problems}


PLUGINS = "others come with plug-ins"


@pytest.mark.parametrize(
    ("code", "operation", "service", "known"),
    [
        ("E_AUTH_METHOD", {}, {"auth": {"method": "ledger_signature"}}, "none, apitoken, apikey, bearer, basic"),
        ("E_PAGINATION", {"pagination": {"style": "range"}}, {}, "page, offset, cursor, link, next_url"),
        ("E_RESPONSE_KIND", {"response": "yaml"}, {}, "json, text, xml, binary, sse, ndjson, empty"),
        ("E_BODY_KIND", {"bodyTemplate": "a"}, {"contentType": "application/yaml"}, "graphql, json, form, multipart"),
        ("E_TYPE", {"fields": [{"name": "a", "type": "Money"}]}, {}, "String, Integer, Number, Boolean"),
    ],
)
def test_an_unknown_kind_lists_the_known_ones_and_says_that_a_plugin_may_be_missing(
    code: str, operation: dict[str, Any], service: dict[str, Any], known: str
) -> None:
    hint = unknown(operation, **service)[code]
    assert f"known: {known}" in hint
    assert hint.endswith(PLUGINS)


def test_a_misspelt_kind_is_answered_with_the_nearest_first() -> None:
    assert unknown_kind("jsn", ["json", "text"]) == f"did you mean 'json'? known: json, text; {PLUGINS}"
