"""The types of the language: one Convertor per type, in one table.

A convertor returns a value of the declared type without losing anything, or raises ValueError with a sentence that
never repeats the value (it may be secret). Inputs and answers are converted the same way; a failure refuses the call of
an input, while the value of an answer stays raw and is reported (language rules 3 and 12).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connector.messages import is_source

if TYPE_CHECKING:
    from decimal import Decimal

_INTEGER_TEXT = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.0+)?\Z")
_NUMBER_TEXT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_INTEGER_MAX = 2**63 - 1
_INTEGER_MIN = -(2**63)
#: The largest float has fewer bits before its point; Python itself refuses to write numbers of 4,300 digits.
_MAX_BITS = 1023
#: Decimal text this short is never changed by a float; an exponent can still take it out of range.
_SAFE_DIGITS = 15
#: Longer text is not read as a number.
_MAX_NUMBER_TEXT = 400
#: How deep a caller's JSON value may nest.
MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Convertor:
    """One type: its name, its aliases, and how a value becomes one.

    A value of an answer with one of the Python types in `exact` passes unchanged, without a call of `read`;
    `json_schema` describes the type in JSON (where a file is text).
    """

    name: str
    read: Callable[[Any], Any]
    exact: frozenset[type]
    json_schema: Mapping[str, Any]
    aliases: tuple[str, ...] = field(default=())


def to_text(value: Any) -> str:
    """Returns a converted value as text: numbers in decimal digits, booleans as `true`/`false`, containers as JSON.

    Raises ValueError for bytes that are not UTF-8.

    >>> to_text(1e22)
    '10000000000000000000000'
    """
    if type(value) is str:
        return value
    if value is None:
        return ""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, float):
        text = repr(value)
        return format(_decimal(text), "f") if "e" in text else text
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ValueError("the file is not text in UTF-8, and nothing else can stand here") from None
    if not isinstance(value, int):
        raise ValueError("a file that is read while it is sent can only stand in a multipart or a binary body")
    return str(value)


def _decimal(text: str) -> Decimal:
    # 4 ms to import, and few numbers need it.
    from decimal import Decimal

    return Decimal(text)


def read_string(value: Any) -> str:
    """Text as it is; a number as its decimal text."""
    if isinstance(value, str):
        if not value.isascii():
            check_surrogates(value)
        # A member of an Enum of texts is formatted as `Class.NAME`; as plain text it is its value.
        return value if type(value) is str else str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _MAX_BITS:
        return str(int(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return to_text(read_number(value))
    raise ValueError(f"expected text, got {describe(value)}")


def read_integer(value: Any) -> int:
    """A 64-bit integer; `1.0` and clean numeric text count, booleans and fractions do not."""
    number: Any = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str) and _INTEGER_TEXT.match(value):
        number = int(value.partition(".")[0])
    if number is None:
        raise ValueError(f"expected an integer, got {describe(value)}")
    if not _INTEGER_MIN <= number <= _INTEGER_MAX:
        raise ValueError("expected an integer of at most 64 bits")
    return int(number)


def read_number(value: Any) -> int | float:
    """A finite number; clean numeric text counts. What a float would change (2^64 + 1, 20 digits) is refused."""
    if isinstance(value, str) and len(value) <= _MAX_NUMBER_TEXT and _NUMBER_TEXT.match(value):
        value = int(value) if value.lstrip("-").isdigit() else _exact_float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, got {describe(value)}")
    if isinstance(value, int):
        in_range = _INTEGER_MIN <= value <= _INTEGER_MAX
        if not in_range and (value.bit_length() > _MAX_BITS or int(float(value)) != value):
            raise ValueError("the number is too large to be sent without loss")
        return int(value)
    if not math.isfinite(value):
        raise ValueError("NaN and infinity are not JSON numbers")
    return float(value)


def _exact_float(text: str) -> float:
    number = float(text)
    if (len(text) > _SAFE_DIGITS or "e" in text.lower()) and math.isfinite(number):
        exponent = abs(int(text.lower().partition("e")[2] or 0))
        if exponent > _MAX_NUMBER_TEXT or _decimal(text) != _decimal(repr(number)):
            raise ValueError("the number has more digits than a number can hold")
    return number


def read_boolean(value: Any) -> bool:
    """True or false, or those words."""
    if isinstance(value, bool):
        return value
    if value == "true":
        return True
    if value == "false":
        return False
    raise ValueError(f"expected true or false, got {describe(value)}")


def read_array(value: Any) -> list[Any]:
    """A list of JSON values."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"expected a list, got {describe(value)}")
    return list(read_any(value))


def read_object(value: Any) -> dict[str, Any]:
    """An object of JSON values."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, got {describe(value)}")
    return dict(read_any(value))


def read_any(value: Any, depth: int = 0) -> Any:
    """Any JSON value, checked to its leaves: finite, 64 bits, no lone surrogate, text keys."""
    if isinstance(value, str):
        return read_string(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return read_number(value)
    if depth >= MAX_DEPTH:
        raise ValueError(f"the value nests deeper than {MAX_DEPTH}")
    if isinstance(value, (list, tuple)):
        return [read_any(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("expected text as the keys of an object")
        return {read_string(key): read_any(item, depth + 1) for key, item in value.items()}
    raise ValueError(f"expected a JSON value, got {describe(value)}")


def read_date(value: Any) -> Any:
    """A date as the provider writes it (text or a timestamp); a Python date or datetime becomes ISO 8601 text."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return read_number(value)
    return read_string(value)


def read_file(value: Any) -> Any:
    """The content of a file: text, bytes, or a source that is read while it is sent."""
    if isinstance(value, bytes) or is_source(value):
        return value
    return read_string(value)


_ALL = frozenset({str, int, float, bool, list, dict})

#: The types, keyed by the name in lower case; aliases lead to the same convertor. A new type is one function, one row.
CONVERTORS: dict[str, Convertor] = {
    name.lower(): row
    for row in (
        Convertor("String", read_string, frozenset({str}), {"type": "string"}, ("ID",)),
        Convertor("Integer", read_integer, frozenset({int}), {"type": "integer"}, ("Int",)),
        Convertor("Number", read_number, frozenset({int, float}), {"type": "number"}, ("Float",)),
        Convertor("Boolean", read_boolean, frozenset({bool}), {"type": "boolean"}, ("Bool",)),
        Convertor("Array", read_array, frozenset({list}), {"type": "array"}),
        Convertor("Object", read_object, frozenset({dict}), {"type": "object"}),
        Convertor("Any", read_any, _ALL, {}, ("JSON",)),
        Convertor("Date", read_date, frozenset({str, int, float}), {"type": "string", "format": "date"}),
        Convertor("DateTime", read_date, frozenset({str, int, float}), {"type": "string", "format": "date-time"}),
        Convertor("File", read_file, frozenset({str}), {"type": "string"}),
    )
    for name in (row.name, *row.aliases)
}


def find_convertor(type_name: str) -> Convertor | None:
    """Returns the convertor of a type as a definition names it (any case, aliases), or None."""
    return CONVERTORS.get(type_name.lower())


def convert(value: Any, type_name: str) -> Any:
    """Returns the value as the named type.

    Raises ValueError if it cannot be converted without loss, KeyError if there is no such type.

    >>> convert("1024", "Integer")
    1024
    """
    return CONVERTORS[type_name.lower()].read(value)


def read_default(value: Any, convertor: Convertor) -> Any:
    """Returns a declared default as a value of its type; arrays and objects may be written as JSON text.

    Raises ValueError as `convert` does.
    """
    if isinstance(value, str) and convertor.name in {"Array", "Object"}:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"expected JSON text of an {convertor.name}") from None
    return convertor.read(value)


def check_surrogates(text: str) -> None:
    """Raises ValueError when the text holds half of a UTF-16 pair, which no encoding can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds an unpaired surrogate, which cannot be encoded") from None


def describe(value: Any) -> str:
    """Returns the kind of a value in the words of JSON, without the value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "other text" if value else "empty text"
    if isinstance(value, (int, float)):
        return "another number"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, Mapping):
        return "an object"
    return f"a Python {type(value).__name__}"


#: Offset, first bytes and media type of files (WHATWG, "MIME Sniffing", sections 6 and 7).
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBPVP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"%PDF-", "application/pdf"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (8, b"WAVE", "audio/wave"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS\x00", "application/ogg"),
)


def find_media_type(content: bytes) -> str:
    """Returns the media type that the first bytes of a file show, else `application/octet-stream`."""
    found = (name for place, start, name in _SIGNATURES if content.startswith(start, place))
    return next(found, "application/octet-stream")


def encode_base64(content: bytes) -> str:
    """Returns bytes in base64 (RFC 4648, section 4)."""
    import base64  # few operations need it

    return base64.b64encode(content).decode()


def encode_data_url(content: bytes) -> str:
    """Returns a `data:` URL (RFC 2397) with the media type that the content shows."""
    return f"data:{find_media_type(content)};base64,{encode_base64(content)}"


#: The encodings by their name in a placeholder.
FILE_ENCODINGS: Mapping[str, Callable[[bytes], str]] = {"base64": encode_base64, "data_url": encode_data_url}
