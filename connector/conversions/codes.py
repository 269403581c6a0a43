"""Conversions to and from encodings."""

from __future__ import annotations

import base64
import binascii
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

from connector.conversions.row import Apply, Conversion, finish, plain, read_text
from connector.conversions.texts import on_text
from connector.strict_json import parse_json

_HASHES = ("md5", "sha1", "sha256", "sha384", "sha512")
#: Rows and fields of a CSV text in all.
_MAX_CELLS = 1_000_000


def _to_json(value: Any) -> str:
    return json.dumps(finish(value), ensure_ascii=False, separators=(",", ":"))


def _from_base64(value: Any) -> str:
    text = "".join(read_text(value).split()).translate(str.maketrans("-_", "+/"))
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True).decode()
    except UnicodeDecodeError:
        raise ValueError("the bytes are not text in UTF-8") from None
    except ValueError:
        raise ValueError("expected base64") from None


def _hash(name: str) -> Apply:
    import hashlib

    return on_text(lambda text: hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest())


def _to_csv(argument: Mapping[str, Any] | None) -> Apply:
    import csv
    import io

    delimiter, header = (argument or {}).get("delimiter", ","), (argument or {}).get("header", True)

    def cell(value: Any) -> str:
        if isinstance(value, (list, dict)):
            return _to_json(value)
        return "" if value is None else read_text(value)

    def write(value: Any, _: Mapping[str, Any]) -> str:
        rows = value if type(value) is list else [value]
        out = io.StringIO()
        writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
        if any(isinstance(each, dict) for each in rows):
            if not all(isinstance(each, dict) for each in rows):
                raise ValueError("expected a list of objects, or of lists")
            names = list(dict.fromkeys(name for each in rows for name in each))
            table = [[each.get(name) for name in names] for each in rows]
            rows = [names, *table] if header else table
        writer.writerows([cell(each) for each in (row if isinstance(row, list) else [row])] for row in rows)
        return out.getvalue()

    return write


def _from_csv(argument: Mapping[str, Any] | None) -> Apply:
    import csv
    import io

    delimiter, header = (argument or {}).get("delimiter", ","), (argument or {}).get("header", True)

    def read(text: str) -> list[Any]:
        if text.count(delimiter) + text.count("\n") > _MAX_CELLS:
            raise ValueError(f"the text has more than {_MAX_CELLS} fields")
        try:
            rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
        except csv.Error as error:
            raise ValueError(f"expected CSV: {error}") from None
        if not header or not rows:
            return list(rows)
        names, *others = rows
        if len(set(names)) != len(names):
            raise ValueError("a name is duplicated in the first row")
        if any(len(row) > len(names) for row in others):
            raise ValueError("a row has more fields than the first one")
        return [dict(zip(names, [*row, *[None] * (len(names) - len(row))], strict=True)) for row in others]

    return on_text(read)


_CSV = {
    "type": "object",
    "properties": {"header": {"type": "boolean"}, "delimiter": {"type": "string", "minLength": 1, "maxLength": 1}},
    "additionalProperties": False,
}

CODES: Mapping[str, Conversion] = {
    "json": Conversion(
        accepts="any",
        returns="text",
        compile=plain(_to_json),
        description="Writes the value as JSON text.",
        example=(None, {"a": [1]}, '{"a":[1]}'),
    ),
    "from_json": Conversion(
        accepts="text",
        returns="any",
        compile=plain(lambda value: parse_json(read_text(value).encode("utf-8", "surrogatepass"))),
        description="Reads JSON text, as strictly as answers are read.",
        example=(None, '{"a":[1]}', {"a": [1]}),
    ),
    "base64": Conversion(
        accepts="text",
        returns="text",
        compile=plain(lambda value: base64.b64encode(read_text(value).encode()).decode()),
        description="Encodes the text in base64 (RFC 4648, section 4).",
        example=(None, "hé", "aMOp"),
    ),
    "from_base64": Conversion(
        accepts="text",
        returns="text",
        compile=plain(_from_base64),
        description="Decodes base64, of either alphabet, padded or not, to text.",
        example=(None, "aMOp", "hé"),
    ),
    "base64url": Conversion(
        accepts="text",
        returns="text",
        compile=plain(lambda value: base64.urlsafe_b64encode(read_text(value).encode()).decode().rstrip("=")),
        description="Encodes the text in the base64 of URLs, unpadded (RFC 4648, section 5).",
        example=(None, "a?>", "YT8-"),
    ),
    "hex": Conversion(
        accepts="text",
        returns="text",
        compile=plain(lambda value: read_text(value).encode().hex()),
        description="Writes the bytes of the text in hexadecimal digits.",
        example=(None, "hé", "68c3a9"),
    ),
    "hash": Conversion(
        accepts="text",
        returns="text",
        compile=_hash,
        description="The hash of the text, in hexadecimal digits. It is not made for passwords.",
        example=("sha256", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        argument={"type": "string", "enum": list(_HASHES)},
    ),
    "url_encode": Conversion(
        accepts="text",
        returns="text",
        compile=plain(lambda value: urllib.parse.quote(read_text(value), safe="")),
        description="Percent-encodes the text (RFC 3986, section 2.1).",
        example=(None, "a b/é", "a%20b%2F%C3%A9"),
    ),
    "csv": Conversion(
        accepts="any",
        returns="text",
        compile=_to_csv,
        description=(
            "Writes a list of objects or lists as CSV (RFC 4180), with the names of members first unless `header` "
            "is false."
        ),
        example=({"delimiter": ";"}, [{"a": 1, "b": "x;y"}], 'a;b\r\n1;"x;y"\r\n'),
        argument=_CSV,
        optional=True,
    ),
    "from_csv": Conversion(
        accepts="text",
        returns="list",
        compile=_from_csv,
        description=(
            "Reads CSV (RFC 4180) into objects, by the names in its first row, or into lists if `header` is false."
        ),
        example=({"delimiter": ";"}, "a;b\n1;x\n", [{"a": "1", "b": "x"}]),
        argument=_CSV,
        optional=True,
    ),
}
