"""What a definition is once it is read, and how a connection's values are checked against it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from connector.errors import UnknownOperation
from connector.model.definition import Field, Webhook
from connector.parsing.connectors import parse_connector
from connector.selectors import Selector
from connector.types import CONVERTORS
from tests.doubles.tenants import connector

# Values


def test_definitions_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        connector().handle = "other"  # type: ignore[misc]


def test_an_operation_is_found_by_its_id_or_the_nearest_is_named() -> None:
    assert connector().operation("things.list").name == "list"
    with pytest.raises(UnknownOperation) as caught:
        connector().operation("things.lits")
    assert caught.value.hint == "did you mean 'things.list'?"


def test_an_operation_lists_records_if_it_says_so_or_is_named_list() -> None:
    whole = connector()
    listing = whole.operation("things.list")
    assert (listing.lists, dataclasses.replace(listing, id="things.read").lists) == (True, False)
    declared = dataclasses.replace(listing, id="things.search", records=Selector.from_json(["data"]))
    assert declared.lists


def test_a_trigger_is_named_by_its_resource_and_event() -> None:
    assert (
        Webhook(connector="demo", resource="batch-jobs", event="batch_job.succeeded", path="/webhooks/x").id
        == "batch-jobs/batch_job.succeeded"
    )


def test_a_field_chooses_its_finder_once() -> None:
    [one, every] = (
        parse_connector(
            {"handle": "demo", "service": {"baseURL": "https://demo.example"}},
            [
                {
                    "handle": "a",
                    "endpoint": "/a",
                    "fields": [
                        {"name": "one", "type": "Int", "selector": ["a", 0]},
                        {"name": "every", "type": "Int", "selector": ["a", 0], "multivalue": True},
                    ],
                }
            ],
        )
        .resources["a"]
        .fields
    )
    assert (one.type, one.plan[2]({"a": [1, 2]}), every.plan[2]({"a": [1, 2]})) == ("Integer", 1, [1, 2])
    assert isinstance(one, Field)


# A connection's values


TEXTS = [{"type": "text", "text": "Hel"}, {"type": "image"}, "l", {"type": "text", "text": "o"}, {"text": 5}, 7]


@pytest.mark.parametrize(
    ("content", "text"),
    [("Hello", "Hello"), (TEXTS, "Hello"), ([], ""), (None, None), (5, 5), ({"text": "a"}, {"text": "a"})],
)
def test_a_field_may_put_the_texts_of_a_list_together(content: Any, text: Any) -> None:
    join = Selector.from_json(["text"])
    one = Field("a", CONVERTORS["any"], Selector.from_json(["content"]), join=join)
    assert one.plan[2]({"content": content}) == text
    many = Field("a", CONVERTORS["any"], Selector.from_json(["rows", 0, "content"]), multivalue=True, join=join)
    assert many.plan[2]({"rows": [{"content": content}, {"content": "b"}]}) == [text, "b"]
