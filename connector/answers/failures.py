"""Finds a provider's own message in the body of a failure, without a definition."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connector.types import to_text

#: Members in which providers write messages, the most specific first; case, `_` and `-` do not matter.
_WORDS = (
    *("message", "errordescription", "detail", "details", "description", "errorsummary", "errormessage", "errmsg"),
    *("errormsg", "usermessage", "errormessages", "faultstring", "fault", "error", "errors", "title", "reason"),
    *("value", "validationerrors", "statusmessage"),
)
#: Members with what is wrong in detail, next to a message that only reports that something is.
_PARTICULARS = ("errors", "validationerrors", "fielderrors", "invalidparams", "violations", "elements")
#: Members with the provider's code, for failures without words.
_CODES = ("code", "errorcode", "errcode", "errortype", "subcode")
_HTML_TITLE = re.compile(r"<title>([^<]*)</title>", re.IGNORECASE)
_XML_WORDS = re.compile(
    r"<(?:[\w.-]+:)?(?:faultstring|message|text|detail|description|reason)\b[^<>]*>\s*([^<\s][^<]*)<", re.IGNORECASE
)
_MAX_WORDS = 1000
_MAX_WORDS_DEPTH = 8
#: Elements of one list, or members of one object.
_SOME = 5
#: Characters of one text, and of a whole body.
_SNIPPET = 200
_BODY = 300


def provider_message(raw: Any) -> str:
    """Returns the provider's own message in the body of a failure; empty if there is none.

    Looks for `message`, `error_description`, `detail`, `error` and their like, nested ones too, whatever their case;
    for the `{"loc", "msg"}` entries of a validation error; and for texts by the name of an input. Where there are no
    words, the provider's code is returned.
    """
    return (_words_in(raw, 0) or _words_in(raw, 0, codes=True))[:_MAX_WORDS]


def show_body(raw: Any) -> str:
    """Returns the beginning of the body of a failure that has no words; empty for an empty one."""
    return "" if raw in (None, "", {}, []) else " ".join(to_text(raw).split())[:_BODY]


def _words_in(raw: Any, depth: int, *, codes: bool = False) -> str:
    if depth > _MAX_WORDS_DEPTH:
        return ""
    if isinstance(raw, str):
        found = _HTML_TITLE.search(raw) or (_XML_WORDS.search(raw) if raw.lstrip().startswith("<") else None)
        return " ".join((found[1] if found else raw).split())[:_SNIPPET]
    if isinstance(raw, list):
        return "; ".join(text for item in raw[:_SOME] if (text := _words_in(item, depth + 1, codes=codes)))
    if not isinstance(raw, dict):
        return ""
    members = {name.lower().replace("_", "").replace("-", ""): value for name, value in raw.items()}
    if isinstance(members.get("msg"), str):
        place = members.get("loc")
        where = ".".join(map(str, place)) + ": " if isinstance(place, list) else ""
        return where + _words_in(members["msg"], depth + 1)
    for name in _WORDS:
        value = members.get(name)
        text = ""
        if name != "errors" or not _is_by_name(value):
            text = _words_in(value, depth + 1, codes=codes)
        if not text and name == "errors":
            text = _by_name(value, depth + 1)
        if text:
            return text if name in _PARTICULARS else _with_particulars(text, members, depth)
    if codes:
        code = next((members[name] for name in _CODES if isinstance(members.get(name), (str, int))), "")
        field = members.get("field")
        return f"{field}: {code}" if isinstance(field, str) and code else str(code)
    # {"email": ["is taken"]}: the names are those of inputs.
    return _by_name(raw, depth + 1) if _is_by_name(raw) else ""


def _with_particulars(text: str, members: Mapping[str, Any], depth: int) -> str:
    """Returns a message followed by what is wrong in detail, where that is next to it."""
    for name in _PARTICULARS:
        value = members.get(name)
        if isinstance(value, (dict, list)):
            more = _by_name(value, depth + 1) if _is_by_name(value) else _words_in(value, depth + 1)
            more = more or _words_in(value, depth + 1, codes=True)
            if more and more not in text:
                return f"{text}: {more}"
    return text


def _is_by_name(value: Any) -> bool:
    """True for an object whose members are lists of texts by the name of an input."""
    return isinstance(value, dict) and all(isinstance(item, list) for item in value.values())


def _by_name(value: Any, depth: int) -> str:
    """Returns the texts of an object, each after its name."""
    if not isinstance(value, dict):
        return ""
    said = ((key, item) for key, item in list(value.items())[:_SOME] if isinstance(item, (str, list)))
    return "; ".join(f"{key}: {words}" for key, item in said if (words := _words_in(item, depth)))
