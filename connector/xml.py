"""XML: checks templates, escapes values, and reads answers to a plain tree that selectors can walk.

Documents with a DTD are refused, so there are no entities to expand and nothing to fetch; depth is bounded. expat is
imported when it is first needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: An answer that nests deeper is refused.
MAX_DEPTH = 200
#: A document of more elements and attributes is refused.
MAX_VALUES = 1_000_000
#: Characters that are not allowed in XML, not even as references (XML 1.0, section 2.2).
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# Line ends and tabs as references, since a parser would change them in an attribute, and a CR in a text as well.
_REFERENCES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
)
_TEXT = "#text"


def escape_value(value: str) -> str:
    """Returns a value as text of an element or a quoted attribute; raises ValueError for characters XML cannot hold."""
    if _FORBIDDEN.search(value):
        raise ValueError("the text holds a control character, which XML cannot carry")
    return value.translate(_REFERENCES)


def count_marks(text: str, mark: str) -> int:
    """Returns how often a character is in texts and attribute values of an XML document; CDATA sections do not count.

    Raises ValueError for text that is not an XML document, has a DTD, or declares another encoding than UTF-8.
    """
    from xml.parsers import expat

    found = 0
    in_cdata = False

    def count(data: str) -> None:
        nonlocal found
        found += 0 if in_cdata else data.count(mark)

    def switch(*, to: bool) -> None:
        nonlocal in_cdata
        in_cdata = to

    def declare(_version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in {"utf-8", "utf8"}:
            raise ValueError("the document declares an encoding other than UTF-8")

    parser = expat.ParserCreate()
    parser.XmlDeclHandler = declare
    parser.StartDoctypeDeclHandler = _refuse_dtd
    parser.StartElementHandler = lambda _name, attributes: count("".join(attributes.values()))
    parser.CharacterDataHandler = count
    parser.StartCdataSectionHandler = lambda: switch(to=True)
    parser.EndCdataSectionHandler = lambda: switch(to=False)
    try:
        parser.Parse(text, True)  # noqa: FBT003 - expat takes no names
    except expat.ExpatError as error:
        raise ValueError(f"it is not XML ({expat.ErrorString(error.code)} in line {error.lineno})") from None
    return found


def parse_xml(body: bytes) -> Any:
    """Returns an XML document as a plain tree, by the name of its root: `{"order": {"@id": "7", "line": ["a", "b"]}}`.

    An element with neither attributes nor children is its text; any other is an object: attributes as `@name`, children
    by name (a list if a name is repeated), and its text as `#text`. Namespace prefixes and declarations are left out.
    Raises ValueError with the reason.
    """
    from xml.parsers import expat

    # An element has two, one of which is closed.
    if body.count(b"<") > 2 * MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES} values")
    root: dict[str, Any] = {}
    count = 0
    open_elements: list[tuple[dict[str, Any], list[str]]] = [(root, [])]

    def start(_name: str, attributes: Mapping[str, str]) -> None:
        nonlocal count
        count += 1 + len(attributes)
        if count > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES} values")
        if len(open_elements) > MAX_DEPTH:
            raise ValueError("it nests too deeply")
        members = {f"@{_local(key)}": value for key, value in attributes.items() if not _is_declaration(key)}
        open_elements.append((members, []))

    def add_text(data: str) -> None:
        open_elements[-1][1].append(data)

    def end(name: str) -> None:
        members, texts = open_elements.pop()
        text = "".join(texts)
        if members and text.strip():
            members[_TEXT] = text.strip()
        _add(open_elements[-1][0], _local(name), members or text)

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_dtd
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = add_text
    try:
        parser.Parse(body, True)  # noqa: FBT003 - expat takes no names
    except (expat.ExpatError, LookupError) as error:
        reason = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else "unknown encoding"
        raise ValueError(f"it is not XML ({reason})") from None
    return root


def show_xml(tree: Mapping[str, Any]) -> str:
    """Returns a tree as `parse_xml` returns it as a document; its one member is the root."""
    return "".join(_show(name, value) for name, value in tree.items())


def _show(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_show(name, item) for item in value)
    if not isinstance(value, Mapping):
        return f"<{name}>{escape_value(str(value))}</{name}>"
    attributes = "".join(f' {key[1:]}="{escape_value(str(each))}"' for key, each in value.items() if key[0] == "@")
    children = "".join(_show(key, each) for key, each in value.items() if key[0] not in "@#")
    return f"<{name}{attributes}>{escape_value(str(value.get(_TEXT, '')))}{children}</{name}>"


def _refuse_dtd(*_: object) -> None:
    raise ValueError("it has a document type declaration, which is not accepted")


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _is_declaration(name: str) -> bool:
    return name == "xmlns" or name.startswith("xmlns:")


def _add(members: dict[str, Any], name: str, value: Any) -> None:
    if name not in members:
        members[name] = value
    elif isinstance(members[name], list):
        members[name].append(value)
    else:
        members[name] = [members[name], value]
