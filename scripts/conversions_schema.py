"""Writes the parts of the JSON Schema on conversions from their table; `--check` only compares.

Run it after a change of a row, and then `scripts/definitions_page.py`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from connector.conversions.pipeline import CONVERSIONS
from connector.conversions.row import Conversion

#: What an editor needs of the schema of an argument; options are checked by the table when a definition is loaded.
_SHOWN = ("type", "enum", "minimum", "maximum", "minLength", "minItems", "items")
SCHEMA = Path(__file__).parents[1] / "connector" / "schemas" / "definition.schema.json"
_PARTS = re.compile(r'    "Conversion": \{\n.*?(?=    "Webhook": \{\n)', re.DOTALL)


def make_parts() -> dict[str, dict[str, Any]]:
    """The parts of the schema, as JSON."""
    rows = {name: row for name, row in CONVERSIONS.items() if row.argument is not None}
    alone = {name: row for name, row in CONVERSIONS.items() if row.argument is None or row.optional}
    return {
        "Conversion": {
            "title": "Conversion",
            "description": "One step of a conversion: a name, or an object with the name and an argument. Null passes through all steps but `default`, and a step for single values converts each element of a list.",
            "type": ["string", "object"],
            "if": {"type": "string"},
            "then": {"$ref": "#/$defs/ConversionName"},
            "else": {
                "properties": {name: _member(row) for name, row in rows.items()},
            },
            "examples": ["trim", {"round": 2}],
        },
        "ConversionName": {
            "title": "Conversion name",
            "description": "A conversion that needs no argument.",
            "type": "string",
            "enum": list(alone),
            "enumDescriptions": [row.description for row in alone.values()],
            "x-open": True,
            "examples": ["trim"],
        },
    }


def _member(row: Conversion) -> dict[str, Any]:
    argument, given, made = row.example
    return {
        "description": f"{row.description} {_show(argument)} makes {_show(made)} of {_show(given)}.",
        **{key: each for key, each in (row.argument or {}).items() if key in _SHOWN},
        "examples": [argument],
    }


def _show(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def write_parts(parts: dict[str, dict[str, Any]]) -> str:
    """The parts as text, each short member on one line."""

    def write(value: Any, indent: str) -> str:
        line = json.dumps(value, ensure_ascii=False)
        if not isinstance(value, dict) or len(indent) + len(line) < 110:
            return line
        inside = ",\n".join(f"{indent}  {json.dumps(key)}: {write(each, indent + '  ')}" for key, each in value.items())
        return f"{{\n{inside}\n{indent}}}"

    return "".join(f"    {json.dumps(name)}: {write(part, '    ')},\n" for name, part in parts.items())


def main() -> int:
    """Writes or compares the parts; returns 1 if it differs under `--check`."""
    text = SCHEMA.read_text("utf-8")
    new = _PARTS.sub(lambda _: write_parts(make_parts()), text, count=1)
    if "--check" in sys.argv[1:]:
        if new != text:
            message = (
                "the conversions in the JSON Schema differ from their table; run: python scripts/conversions_schema.py"
            )
            print(message, file=sys.stderr)
            return 1
        return 0
    SCHEMA.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
