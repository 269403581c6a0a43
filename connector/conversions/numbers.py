"""Conversions of numbers. They calculate with decimals, so `0.1` plus `0.2` is `0.3`."""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from connector.conversions.row import Apply, Conversion, read_decimal

#: Digits that a calculation keeps; a result that needs more is refused, as it would not be exact.
_DIGITS = 100
_EXACT = decimal.Context(
    prec=_DIGITS, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.Overflow, decimal.DivisionByZero]
)
_DIGITS_ONLY = re.compile(r"[0-9]+\Z")
_ROUNDINGS = {
    "half_up": decimal.ROUND_HALF_UP,
    "half_even": decimal.ROUND_HALF_EVEN,
    "up": decimal.ROUND_UP,
    "down": decimal.ROUND_DOWN,
    "ceiling": decimal.ROUND_CEILING,
    "floor": decimal.ROUND_FLOOR,
}
_NUMBER = {"type": ["number", "string"]}
_SIGN = {"type": "string", "minLength": 1, "maxLength": 1}


def on_number(function: Callable[[Decimal], Any]) -> Apply:
    """A conversion of the value as a decimal."""
    return lambda value, _: function(read_decimal(value))


def calculate(function: Callable[..., Decimal], *numbers: Decimal) -> Decimal:
    """The exact result of a calculation; raises ValueError if it would have too many digits."""
    try:
        return function(*numbers)
    except ArithmeticError:
        raise ValueError(f"the result has more than {_DIGITS} digits") from None


def _number(argument: Mapping[str, str] | None) -> Apply:
    point, group = (argument or {}).get("decimal", "."), (argument or {}).get("group", "")
    if point == group:
        raise ValueError("'decimal' and 'group' are the same")

    def read(value: Any, _: Mapping[str, Any]) -> Decimal:
        if type(value) is not str:
            return read_decimal(value)
        text = value.strip().replace("\N{MINUS SIGN}", "-")
        sign, digits = ("-", text[1:]) if text[:1] == "-" else ("", text.removeprefix("+"))
        whole, mark, fraction = digits.partition(point)
        if group:
            # Groups other than of three digits are no groups: 1,23 is not 123.
            first, *groups = whole.split(group)
            if any(len(each) != 3 for each in groups) or (groups and not 1 <= len(first) <= 3):
                raise ValueError("expected groups of three digits")
            whole = first + "".join(groups)
        if not _DIGITS_ONLY.match(whole) or (mark and not _DIGITS_ONLY.match(fraction)):
            raise ValueError("expected a number" + (f" with {point!r} before its decimals" if argument else ""))
        return read_decimal(f"{sign}{whole}.{fraction or 0}" if mark else sign + whole)

    return read


def _round(argument: Any) -> Apply:
    digits = argument if isinstance(argument, int) else (argument or {}).get("digits", 0)
    mode = "half_up" if not isinstance(argument, Mapping) else argument.get("mode", "half_up")
    step, rounding = Decimal(1).scaleb(-digits), _ROUNDINGS[mode]
    # Only here a digit may get lost.
    context = decimal.Context(prec=1000)
    return on_number(lambda number: number.quantize(step, rounding=rounding, context=context))


def _add(argument: Any) -> Apply:
    other = read_decimal(argument)
    return on_number(lambda number: calculate(_EXACT.add, number, other))


def _multiply(argument: Any) -> Apply:
    other = read_decimal(argument)
    return on_number(lambda number: calculate(_EXACT.multiply, number, other))


def _format(argument: Mapping[str, Any] | None) -> Apply:
    wanted = argument or {}
    decimals, point, group = wanted.get("decimals"), wanted.get("decimal", "."), wanted.get("group", "")
    step = None if decimals is None else Decimal(1).scaleb(-decimals)
    context = decimal.Context(prec=1000)

    def write(number: Decimal) -> str:
        if step is not None:
            number = number.quantize(step, rounding=decimal.ROUND_HALF_UP, context=context)
        whole, mark, fraction = format(number, ",f").partition(".")
        return whole.replace(",", group) + (point + fraction if mark else "")

    return on_number(write)


def add_all(values: Any, _: Mapping[str, Any]) -> Decimal:
    """The exact sum of the numbers in a list; null elements are left out."""
    total = Decimal(0)
    for each in values:
        if each is not None:
            total = calculate(_EXACT.add, total, read_decimal(each))
    return total


NUMBERS: Mapping[str, Conversion] = {
    "number": Conversion(
        accepts="text",
        returns="number",
        compile=_number,
        description=(
            "Reads a number as people write it: `decimal` is the mark before the decimals, `group` the one "
            "between groups of three digits."
        ),
        example=({"decimal": ",", "group": "."}, "1.234,50", 1234.5),
        argument={
            "type": "object",
            "properties": {"decimal": _SIGN, "group": {"type": "string", "maxLength": 1}},
            "additionalProperties": False,
        },
        optional=True,
    ),
    "round": Conversion(
        accepts="number",
        returns="number",
        compile=_round,
        description=(
            "Rounds to so many digits after the point (0 by default). The `mode` is `half_up`, as at school, by "
            "default."
        ),
        example=(2, 2.345, 2.35),
        argument={
            "type": ["integer", "object"],
            "minimum": -100,
            "maximum": 100,
            "properties": {
                "digits": {"type": "integer", "minimum": -100, "maximum": 100},
                "mode": {"type": "string", "enum": list(_ROUNDINGS)},
            },
            "additionalProperties": False,
        },
        optional=True,
    ),
    "add": Conversion(
        accepts="number",
        returns="number",
        compile=_add,
        description="Adds a number; a negative one subtracts.",
        example=(0.2, 0.1, 0.3),
        argument=_NUMBER,
    ),
    "multiply": Conversion(
        accepts="number",
        returns="number",
        compile=_multiply,
        description="Multiplies by a number; `0.01` makes units of cents.",
        example=(0.01, 1999, 19.99),
        argument=_NUMBER,
    ),
    "abs": Conversion(
        accepts="number",
        returns="number",
        compile=lambda _: on_number(Decimal.copy_abs),
        description="Removes the sign.",
        example=(None, -1.5, 1.5),
    ),
    "format": Conversion(
        accepts="number",
        returns="text",
        compile=_format,
        description=(
            "Writes a number as people do: `decimals` is how many digits follow the `decimal` mark, `group` the "
            "mark between groups of three digits."
        ),
        example=({"decimals": 2, "decimal": ",", "group": "."}, 1234.5, "1.234,50"),
        argument={
            "type": "object",
            "properties": {
                "decimals": {"type": "integer", "minimum": 0, "maximum": 100},
                "decimal": _SIGN,
                "group": {"type": "string", "maxLength": 1},
            },
            "additionalProperties": False,
        },
        optional=True,
    ),
}
