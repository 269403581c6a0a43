"""How a list is paged, by the usual names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doubles.specifications import OBJECT, answer, call, only

PAGE = {"type": "object", "properties": {"data": {"type": "array", "items": OBJECT}, "total": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("params", "more", "pagination"),
    [
        ({"page": {"type": "integer", "default": 0}}, {}, {"style": "page", "param": "page", "start": 0, "total": ["total"]}),
        ({"page": {"type": "integer"}, "size": {"type": "integer", "default": 5}}, {},
         {"style": "page", "param": "page", "sizeParam": "size", "size": 5, "total": ["total"]}),
        ({"offset": {"type": "integer"}}, {"has_more": {"type": "boolean"}},
         {"style": "offset", "param": "offset", "total": ["total"], "hasMore": ["has_more"]}),
        ({"cursor": {"type": "string"}}, {"meta": {"properties": {"next_cursor": {"type": "string"}}}},
         {"style": "cursor", "param": "cursor", "next": ["meta", "next_cursor"]}),
        ({"cursor": {"type": "string"}}, {key: {"properties": {"next_cursor": {"type": "string"}}} for key in ("other", "meta")},
         {"style": "cursor", "param": "cursor", "next": ["meta", "next_cursor"]}),
        ({"offset": {"type": "integer"}}, {"meta": {"properties": {"total": {"type": "integer"}}}},
         {"style": "offset", "param": "offset", "total": ["total"]}),
        ({"cursor": {"type": "string"}}, {}, None),
        ({"PageNumber": {"type": "integer"}, "page-size": {"type": "integer"}}, {"HasMore": {"type": "boolean"}},
         {"style": "page", "param": "PageNumber", "sizeParam": "page-size", "total": ["total"], "hasMore": ["HasMore"]}),
        ({}, {"next_url": {"type": "string"}}, {"style": "next_url", "next": ["next_url"]}),
        ({}, {}, None),
    ],
)  # fmt: skip
def test_pagination_is_recognised(params: Any, more: Any, pagination: Any) -> None:
    parameters = [{"name": name, "in": "query", "schema": schema} for name, schema in params.items()]
    schema = {"type": "object", "properties": {**PAGE["properties"], **more}}
    imported = call({"parameters": parameters, **answer(schema)}, method="get")
    assert only(imported).get("pagination") == pagination
