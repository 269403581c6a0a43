"""Conversions that choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.conversions.row import Apply, Conversion, plain, read_text
from connector.strict_json import same_json
from connector.types import describe


def _default(argument: Any) -> Apply:
    return lambda value, _: argument if value is None else value


def _lookup(argument: Mapping[str, Any]) -> Apply:
    table, has_else, other = argument["map"], "else" in argument, argument.get("else")

    def find(value: Any, _: Mapping[str, Any]) -> Any:
        key = value if type(value) is str else read_text(value)
        if key in table:
            return table[key]
        if not has_else:
            raise ValueError("the value is not in the table, and there is no 'else'")
        return other

    return find


def _equals(argument: Any) -> Apply:
    return lambda value, _: same_json(value, argument)


def _not(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {describe(value)}")
    return not value


CHOICES: Mapping[str, Conversion] = {
    "default": Conversion(
        accepts="any",
        returns="any",
        compile=_default,
        description="Replaces null by the argument.",
        example=("none", None, "none"),
        argument={},
        takes_null=True,
    ),
    "lookup": Conversion(
        accepts="text",
        returns="any",
        compile=_lookup,
        description=(
            "Replaces a value by what a table has for it, or else by `else`; without `else` an unknown value is a "
            "failure."
        ),
        example=({"map": {"lead": "New"}, "else": "Other"}, "lead", "New"),
        argument={
            "type": "object",
            "properties": {"map": {"type": "object", "minProperties": 1}, "else": {}},
            "required": ["map"],
            "additionalProperties": False,
        },
    ),
    "equals": Conversion(
        accepts="any",
        returns="boolean",
        compile=_equals,
        description="True if the value is the argument.",
        example=("open", "open", True),
        argument={},
    ),
    "not": Conversion(
        accepts="boolean",
        returns="boolean",
        compile=plain(_not),
        description="Makes false of true, and true of false.",
        example=(None, True, False),
    ),
}
