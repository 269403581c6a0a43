"""What inbound messages are made of: MESSAGE_KINDS, one row for each kind of body that a webhook may accept.

A message was verified by then (`signatures`). The document that a kind returns is what payload fields select in.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from connector.messages import Request
from connector.strict_json import parse_json
from connector.xml import parse_xml

#: A form has at most this many fields.
MAX_FIELDS = 1000
Fields = dict[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class MessageKind:
    """One kind of body: the media types that are read so, and how; `is_form` if it consists of named texts."""

    takes: Callable[[str], bool]
    read: Callable[[Request], Any]
    is_form: bool = False


def find_kind(accepted: Collection[str], request: Request) -> str | None:
    """Returns the row of MESSAGE_KINDS for a message, or None if its media type is not accepted.

    A message without a media type is of the first kind that is accepted, or of `none` if it is empty.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not media_type:
        kinds = [name for name in accepted if (name == "none") == (not request.body)]
        return next(iter(kinds or accepted))
    return next((name for name in accepted if MESSAGE_KINDS[name].takes(media_type)), None)


def read_form(pairs: Collection[tuple[str, str]]) -> Fields:
    """The fields of a form by name; a name that is repeated has the list of its values."""
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def decode_members(fields: Fields, names: Collection[str]) -> dict[str, Any]:
    """The fields of a form, of which those with these names hold JSON; raises ValueError for one that does not."""

    def decode(text: str) -> Any:
        return parse_json(text.encode("utf-8", "surrogatepass"))

    return {
        name: value if name not in names else decode(value) if isinstance(value, str) else [*map(decode, value)]
        for name, value in fields.items()
    }


def _raw(request: Request) -> bytes:
    return request.body if isinstance(request.body, bytes) else b""


def _read_json(request: Request) -> Any:
    return parse_json(_raw(request))


def _read_urlencoded(request: Request) -> Fields:
    text = _raw(request).decode()
    return read_form(urllib.parse.parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))


def _read_multipart(request: Request) -> Fields:
    """The parts of a form by name (RFC 7578); of a file, its name."""
    import email.parser  # few webhooks need it
    import email.policy

    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode("latin-1", "replace")
    message: Any = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + _raw(request))
    if not message.is_multipart() or message.defects:
        raise ValueError("it is not multipart/form-data")
    parts: list[Any] = message.get_payload()
    if len(parts) > MAX_FIELDS:
        raise ValueError(f"a form has at most {MAX_FIELDS} fields")
    pairs = []
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str) or part.is_multipart():
            raise ValueError("a part of the form has no name")
        file = part.get_filename()
        pairs.append((name, part.get_payload(decode=True).decode() if file is None else file))
    return read_form(pairs)


def _read_xml(request: Request) -> Any:
    return parse_xml(_raw(request))


def _read_nothing(request: Request) -> dict[str, Any]:
    if request.body:
        raise ValueError("it has no media type")
    return {}


def _one_of(*media_types: str, suffix: str = "") -> Callable[[str], bool]:
    return lambda media_type: media_type in media_types or (suffix != "" and media_type.endswith(suffix))


#: The kinds by the name that `contentType` of a webhook uses.
MESSAGE_KINDS: Mapping[str, MessageKind] = {
    "json": MessageKind(_one_of("application/json", suffix="+json"), _read_json),
    "form": MessageKind(_one_of("application/x-www-form-urlencoded"), _read_urlencoded, is_form=True),
    "multipart": MessageKind(_one_of("multipart/form-data"), _read_multipart, is_form=True),
    "xml": MessageKind(_one_of("application/xml", "text/xml", suffix="+xml"), _read_xml),
    "text": MessageKind(_one_of("text/plain", "text/json"), _read_json),
    "none": MessageKind(_one_of(), _read_nothing),
}
#: The names that definitions of the first edition use.
MEDIA_TYPES = {"application/json": "json", "application/x-www-form-urlencoded": "form"}
