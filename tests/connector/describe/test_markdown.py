"""A connector as a page of Markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from connector.describe.markdown import to_markdown
from connector.parsing.connectors import parse_connector
from runtime.config.catalog import Catalog

CATALOG = Catalog()

DEFINITION: dict[str, Any] = {
    "handle": "demo",
    "meta": {"short": "Demo", "description": "A *demo* with `code` and | bars."},
    "service": {"baseURL": "https://{{host}}.example", "auth": {"method": "bearer", "params": {"token": "{{t}}"}}},
    "resources": [
        {
            "handle": "things",
            "meta": {"short": "Things", "description": "All ` of them."},
            "endpoint": "/things",
            "operations": {
                "list": {
                    "method": "GET",
                    "deprecated": True,
                    "meta": {"short": "List", "description": "Lists\nall."},
                    "records": [],
                    "pagination": {"style": "link"},
                    "queryParams": {
                        "kind": {"type": "String", "options": ["a`", "b|"], "default": "a`", "description": "Which."},
                        "size": {"type": "Integer", "minimum": 1, "maximum": 9, "required": True},
                        "free": {"type": "Any"},
                    },
                    "fields": [{"name": "tags", "type": "String", "selector": ["tags", 0], "multivalue": True}],
                }
            },
            "webhooks": [
                {"event": "made", "path": "/webhooks/demo/made", "meta": {"short": "Made."}},
                {"event": "gone", "path": "/webhooks/demo/gone"},
            ],
        },
        {"handle": "empty", "endpoint": "/empty", "operations": {}},
    ],
    "operations": [
        {
            "handle": "ask",
            "steps": [{"type": "http", "http": {"method": "GET", "path": "/x"}}],
            "output": [{"name": "a", "type": "Any"}],
        },
        {"handle": "ask-twice", "steps": [{"type": "http", "http": {"method": "GET", "path": "/x"}}] * 2},
    ],
}

PAGE = r"""# Demo

A \*demo\* with `code` and \| bars.

Handle `demo`, base URL `https://{host}.example`.

## Connection

| value | type | secret | required or default | what it is |
|---|---|---|---|---|
| `host` | String |  | required |  |
| `t` | String | yes | required |  |

## Things

All \` of them.

### `things.list`

Deprecated: the provider advises against it.

List

Lists all.

`GET /things`, pages

| input | type | in | required or default | what it is |
|---|---|---|---|---|
| `kind` | String | query | `a'` | Which. One of `a'`, `b¦`. |
| `size` | Integer | query | required | At least 1 and at most 9. |
| `free` | Any | query |  |  |

| field | type | what it is |
|---|---|---|
| `tags` | list of String |  |

### Trigger `things/made`

Made.

Arrives at `/webhooks/demo/made`.

### Trigger `things/gone`

Arrives at `/webhooks/demo/gone`.

## empty

## Actions

### `ask`

1 step

| field | type | what it is |
|---|---|---|
| `a` | Any |  |

### `ask-twice`

2 steps
"""


def test_a_page_says_everything_that_a_caller_needs() -> None:
    connector = parse_connector(DEFINITION)
    # Every connector has one more, for calls that its definition does not know.
    own = {name: each for name, each in connector.custom_operations.items() if name.startswith("ask")}
    assert to_markdown(replace(connector, custom_operations=own)) == PAGE
    assert "### `api-request`" in to_markdown(connector)


def test_a_connector_without_values_has_no_section_for_them() -> None:
    connector = parse_connector({"handle": "demo", "service": {"baseURL": "https://a.example"}})
    page = to_markdown(replace(connector, custom_operations={}))
    assert page == "# demo\n\nHandle `demo`, base URL `https://a.example`.\n"


@pytest.mark.parametrize("handle", CATALOG.handles())
def test_every_row_of_a_shipped_page_has_the_cells_of_its_table(handle: str) -> None:
    connector = CATALOG.get(handle)
    page = to_markdown(connector)
    assert all(f"### `{name}`" in page for name in connector.operations)
    width = 0
    for line in page.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert cells in (0, width) or width == 0, line
        width = cells
