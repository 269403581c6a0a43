"""The conversion `quote`: a value that cannot leave its place in a query or a document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from connector.conversions.row import Apply, Conversion
from connector.conversions.texts import on_text

_LUCENE = re.compile(r'([+\-!(){}\[\]^"~*?:\\/&|])')
_WORDS = re.compile(r"\b(AND|OR|NOT)\b")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SOQL = str.maketrans(
    {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
)
_JQL = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _lucene(text: str) -> str:
    # < and > cannot be escaped at all, so they become spaces; the words are no operators in lower case.
    return _WORDS.sub(lambda found: found[0].lower(), _LUCENE.sub(r"\\\1", text.replace("<", " ").replace(">", " ")))


def _html(text: str) -> str:
    import html

    return html.escape(text)


def _xml(text: str) -> str:
    if _CONTROLS.search(text):
        raise ValueError("the text holds a control character, which XML cannot carry")
    return _html(text).replace("&#x27;", "&apos;")


#: The languages, each with how a text is written in it. Those with quotation marks around the value bring them along.
QUOTES: Mapping[str, Callable[[str], str]] = {
    "soql": lambda text: f"'{text.translate(_SOQL)}'",
    "odata": lambda text: "'" + text.replace("'", "''") + "'",
    "jql": lambda text: f'"{text.translate(_JQL)}"',
    "lucene": _lucene,
    "sql_like": lambda text: re.sub(r"([\\%_])", r"\\\1", text),
    "graphql": json.dumps,
    "html": _html,
    "xml": _xml,
}


def _quote(language: str) -> Apply:
    return on_text(QUOTES[language])


QUOTING: Mapping[str, Conversion] = {
    "quote": Conversion(
        accepts="text",
        returns="text",
        compile=_quote,
        description=(
            "Writes the text as a value of a language, so that it cannot be read as anything else there. `soql`, "
            "`odata`, `jql` and `graphql` put it in quotation marks."
        ),
        example=("soql", "O'Neil", "'O\\'Neil'"),
        argument={"type": "string", "enum": list(QUOTES)},
    ),
}
