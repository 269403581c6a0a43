"""Finds a provider's own message in the body of a failure, without a definition."""

from __future__ import annotations

import re
from typing import Any

#: Members in which providers write messages, the most specific first; case, `_` and `-` do not matter.
_WORDS = (
    *("message", "errordescription", "detail", "details", "description", "errorsummary", "errormessage"),
    *("errormessages", "faultstring", "fault", "error", "errors", "title", "reason", "value"),
)
_HTML_TITLE = re.compile(r"<title>([^<]*)</title>", re.IGNORECASE)
_MAX_WORDS = 1000
_MAX_WORDS_DEPTH = 8
#: Characters of one text.
_SNIPPET = 200


def provider_message(raw: Any) -> str:
    """Returns the provider's own message in the body of a failure; empty if there is none.

    Looks for `message`, `error_description`, `detail`, `error` and their like, nested ones too, whatever their case;
    for the `{"loc", "msg"}` entries of a validation error; and for texts by the name of an input below `errors`.
    """
    return _words_in(raw, 0)[:_MAX_WORDS]


def _words_in(raw: Any, depth: int) -> str:
    if depth > _MAX_WORDS_DEPTH:
        return ""
    if isinstance(raw, str):
        title = _HTML_TITLE.search(raw)
        return " ".join((title[1] if title else raw).split())[:_SNIPPET]
    if isinstance(raw, list):
        return "; ".join(text for item in raw[:5] if (text := _words_in(item, depth + 1)))
    if not isinstance(raw, dict):
        return ""
    members = {name.lower().replace("_", "").replace("-", ""): value for name, value in raw.items()}
    if isinstance(members.get("msg"), str):
        place = members.get("loc")
        where = ".".join(map(str, place)) + ": " if isinstance(place, list) else ""
        return where + _words_in(members["msg"], depth + 1)
    for name in _WORDS:
        value = members.get(name)
        if name == "errors" and isinstance(value, dict) and all(isinstance(item, list) for item in value.values()):
            # {"errors": {"email": ["is taken"]}}: the names are those of inputs.
            said = ((key, _words_in(item, depth + 1)) for key, item in list(value.items())[:5])
            text = "; ".join(f"{key}: {words}" for key, words in said if words)
        else:
            text = _words_in(value, depth + 1)
        if text:
            return text
    return ""
