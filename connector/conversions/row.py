"""What one row of CONVERSIONS is, and the kinds of values between which pipelines are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from connector.types import describe, to_text

#: What a conversion accepts and returns. `any` fits everywhere.
Kind = Literal["text", "number", "boolean", "list", "object", "any"]
#: Converts one value. The mapping holds other values by name, which only a template uses. Raises ValueError.
Apply = Callable[[Any, Mapping[str, Any]], Any]
#: The largest text that a conversion makes, in characters.
MAX_TEXT = 10_000_000
#: Decimals with a larger exponent are refused, since written out they would fill the memory.
_MAX_EXPONENT = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """One row: what it accepts and returns, and how the function for an argument is made, once, at load.

    `compile` receives the argument of the step (None where the step is only a name) and raises ValueError with a
    sentence. A row that accepts a scalar converts each element of a list. `argument` is the JSON Schema of the
    argument, None if there is none; it is `optional` if the step may be only a name all the same. `takes_null` is True
    for a row that null does not pass through. `returns_for` returns the kind of the result where that depends on the
    argument. The example is an argument, an input and its output.
    """

    accepts: Kind
    returns: Kind
    compile: Callable[[Any], Apply]
    description: str
    example: tuple[Any, Any, Any]
    argument: Mapping[str, Any] | None = field(default=None, compare=False)
    optional: bool = False
    takes_null: bool = False
    returns_for: Callable[[Any], Kind] | None = None

    @property
    def is_scalar(self) -> bool:
        """True if a list is converted element by element."""
        return self.accepts in ("text", "number", "boolean")


def plain(function: Callable[[Any], Any]) -> Callable[[Any], Apply]:
    """Makes a `compile` of a function of one value, for rows without an argument."""
    return lambda _: lambda value, _names: function(value)


def read_text(value: Any) -> str:
    """A value as text, as `to_text` writes it; raises ValueError for lists and objects."""
    if type(value) is str:
        return value
    if isinstance(value, Decimal):
        return number_text(value)
    if value is None or isinstance(value, (list, dict)):
        raise ValueError(f"expected text, got {describe(value)}")
    return to_text(value)


def read_list(value: Any) -> list[Any]:
    """A list as it is; raises ValueError for anything else."""
    if type(value) is not list:
        raise ValueError(f"expected a list, got {describe(value)}")
    return value


def read_decimal(value: Any) -> Decimal:
    """A number or clean numeric text as a decimal, without the detour of a float; raises ValueError."""
    if type(value) is Decimal:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"expected a number, got {describe(value)}")
    try:
        # The shortest text of a float is the number that was written.
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except ArithmeticError:
        raise ValueError(f"expected a number, got {describe(value)}") from None
    if not number.is_finite() or abs(number.adjusted()) > _MAX_EXPONENT or "_" in str(value):
        raise ValueError("expected a finite number of a usual size")
    return number


def number_text(number: Decimal) -> str:
    """A decimal in plain digits, without an exponent."""
    return format(number, "f")


def finish(value: Any) -> Any:
    """The value at the end of a pipeline: decimals become JSON numbers, or text where no float holds them."""
    if type(value) is list:
        return [finish(each) for each in value]
    if type(value) is dict:
        return {name: finish(each) for name, each in value.items()}
    if type(value) is not Decimal:
        return value
    if value == value.to_integral_value():
        return int(value)
    text = number_text(value)
    # As many digits as a float certainly keeps.
    return float(value) if Decimal(repr(float(value))) == value else text
