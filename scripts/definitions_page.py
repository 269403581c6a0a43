"""Writes docs/definitions.md from the JSON Schema of definitions; with `--check` it only compares.

The words about each member are those of `connector/schemas/definition.schema.json`, which editors show as well. What is
written here is the order of the page and the sentences between its parts.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "connector" / "schemas" / "definition.schema.json"
PAGE = ROOT / "docs" / "definitions.md"

INTRODUCTION = """\
# Definitions

A definition describes the API of one provider: where it is, how to authenticate, which calls it has, and which values to pick from the answers.
It is JSON, either one file or a folder with several ([rule 22](language.md#rule-22)).
This page explains every member that may be written in it.

The smallest definition that is useful looks like this:

```json
{
  "handle": "petshop",
  "service": {"baseURL": "https://petshop.example/v1"},
  "resources": [{
    "handle": "pets",
    "endpoint": "/pets",
    "fields": [{"name": "id", "type": "Integer"}, {"name": "owner", "type": "String", "selector": ["owner", "name"]}],
    "operations": {
      "read": {
        "method": "GET",
        "path": {"value": "/{{petId}}", "placeholders": [{"name": "petId", "type": "Integer", "description": "Which pet."}]}
      }
    }
  }]
}
```

The connector `petshop` has one resource, `pets`, with one operation, `pets.read`.
Its path is a template: `{{petId}}` is replaced by a value, so the operation has the input `petId`.
A call with `petId` = `7` sends `GET https://petshop.example/v1/pets/7`, and its result has the fields `id` and `owner`.

After the name of each member, in parentheses, is its type and whether it is required.
The example after "For instance" shows the member as it is written inside its object.
Where names of kinds are listed, an installed [plug-in](add-a-kind.md) can add more.
The [rules of the language](language.md) explain how the members work together.

The page is generated from the JSON Schema that comes with the package, so an editor can show the same explanations while you type: `connector schema` prints the path of the schema, and `connector schema --vscode` the lines for the settings of VS Code.
A document may also name its schema itself, with the member `$schema`.
An editor marks the names of types, methods and kinds that it does not know; the runtime accepts more: any case where upper and lower case make no difference, and the names that plug-ins add.
"""

#: The parts of the page in the order of reading: a heading, what to know first, and the schemas in it.
PARTS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("The connector", "This is the outermost object of a definition.", ["Connector", "Meta"]),
    ("The service", "The service is the provider as a whole.", ["ServiceBlock", "Probe"]),
    (
        "Authentication",
        "The credentials themselves are never part of a definition: it names them as placeholders, and each connection has its own.\nThe params of each method are listed under [Auth methods](reference.md#auth-methods).",
        ["Auth", "Credential", "TokenExchange", "Refresh"],
    ),
    ("Resources of the provider", "A resource groups the operations on one kind of thing.", ["Resources", "Resource"]),
    (
        "Calls",
        "An operation specifies what to send and how to read the answer.",
        ["Operations", "Operation", "QueryParams", "QueryParam", "Headers", "HeaderValue"],
    ),
    (
        "Bodies and answers",
        "[Rule 23](language.md#rule-23) explains conditions and lists in JSON bodies.\nThe kinds are explained under [Body kinds](reference.md#body-kinds), [Response kinds](reference.md#response-kinds) and [Pagination styles](reference.md#pagination-styles).",
        ["BodyTemplate", "FormStyle", "Response", "Ignored", "Pagination", "ListEnd", "Idempotent"],
    ),
    (
        "Values from answers",
        "A field names a value of an answer.\n[Rule 10](language.md#rule-10) explains selectors in full.",
        ["Fields", "Field", "Selector", "Pick"],
    ),
    (
        "Conversions of values",
        "A conversion changes a value on its way from an answer, or into a request.\nNumbers are exact decimals, and times without a zone are in UTC unless a `zone` is named; [rule 28](language.md#rule-28) explains both.",
        ["Conversions", "Conversion", "ConversionName"],
    ),
    (
        "Templates and inputs",
        "Every text that may contain `{{name}}` is a template, and its names are inputs.\nThe rules for templates and values are [rules 1 to 6](language.md#templates-and-values).",
        ["Template", "PlaceholderList", "Placeholder", "Type", "Default", "Options", "ValueSchema"],
    ),
    (
        "Limits and failures",
        "These members may be written in the service and in an operation.",
        ["RateLimit", "Retry", "ErrorMap", "LimitSign", "Sign"],
    ),
    (
        "Events",
        "Webhooks describe what can happen at the provider.\nThe recipes of well-known providers are listed under [Signature schemes](reference.md#signature-schemes) and [Handshakes](reference.md#handshakes), and what subscribers receive under [Events](events.md).",
        ["Webhook", "MessageKind", "MessageForm", "Signature", "Challenge"],
    ),
    ("Polls", "A poll makes events for providers that send none.", ["Poll", "State"]),
    (
        "Operations of several steps",
        "[Custom operations](custom-operations.md) shows how to write one.",
        ["CustomOperations", "Custom", "Input", "InputMeta", "Step", "StepOperation", "MimeBuild"],
    ),
    ("Names", "This is what names may consist of.", ["Handle", "OperationName", "PlaceholderName", "WireName"]),
    (
        "Other files",
        "A connector may be spread over several files, and automations have files of their own.",
        ["ResourcesFile", "OperationsFile", "Overlay", "Automation", "AutomationStep", "Mapping", "Conditions"],
    ),
)

_WORDS = {"string": "text", "array": "list", "boolean": "true or false"}
_SENTENCE = re.compile(r"(?<=[a-z`)\"][.?!]) (?=[A-Z`])")
#: So many members in common with another object are named once instead of being explained again.
_MANY = 4
_WIDTH = 100

Schema = Mapping[str, Any]


def members_of(schema: Schema) -> dict[str, Schema]:
    """The members of an object, also where the object is only one of the forms of a value."""
    for place in (schema, schema.get("then", {}), schema.get("else", {})):
        if "properties" in place:
            return dict(place["properties"])
    return {}


def make_page(definitions: Mapping[str, Schema]) -> str:
    """The page as Markdown, one sentence on a line."""
    contents, parts = ["", "## Contents", ""], []
    shown: dict[str, dict[str, Schema]] = {}
    for heading, introduction, names in PARTS:
        links = ", ".join(_link(definitions, name) for name in names)
        contents.append(f"- [{heading}](#{_anchor(heading)}): {links}")
        parts += ["", f"## {heading}", "", introduction]
        for name in names:
            parts += _show(definitions, name, shown)
            shown[name] = members_of(definitions[name])
    return INTRODUCTION + "\n".join([*contents, *parts]) + "\n"


def _show(definitions: Mapping[str, Schema], name: str, shown: Mapping[str, dict[str, Schema]]) -> Iterator[str]:
    schema = definitions[name]
    yield from ("", f"### {schema['title']}", "", *_sentences(schema["description"]))
    members = members_of(schema)
    if members:
        yield from ("", "For example:", "", *(f"    {line}" for line in _lay_out(schema["examples"][0])))
    else:
        if "enum" in schema:
            yield from ("", *_names(schema, ""))
        examples = ", or ".join(f"`{json.dumps(each, ensure_ascii=False)}`" for each in schema["examples"])
        yield from ("", f"For example {examples}.")
        return
    yield ""
    for other, theirs in shown.items():
        same = [member for member, each in members.items() if theirs.get(member) == each]
        if len(same) >= _MANY:
            listed = ", ".join(f"`{member}`" for member in same)
            yield from (f"As in {_link(definitions, other)}: {listed}.", "")
            members = {member: each for member, each in members.items() if member not in same}
    required = schema.get("required", ())
    for member, each in members.items():
        kind = _kind(definitions, each) + (", required" if member in required else "")
        first, *others = _sentences(each["description"])
        yield f"- **`{member}`** ({kind}): {first}"
        yield from (f"  {sentence}" for sentence in others)
        if "enum" in each and "enumDescriptions" not in each:
            yield f"  It is one of {', '.join(f'`{name}`' for name in each['enum'])}."
        if "default" in each:
            yield f"  The default is `{json.dumps(each['default'], ensure_ascii=False)}`."
        written = [f"`{json.dumps({member: example}, ensure_ascii=False)[1:-1]}`" for example in each["examples"]]
        yield f"  For instance {', or '.join(written)}."
        yield from _names(each, "  ")


def _names(schema: Schema, indent: str) -> Iterator[str]:
    for name, description in zip(schema.get("enum", ()), schema.get("enumDescriptions", ()), strict=False):
        first, *others = _sentences(description)
        yield f"{indent}- `{name}`: {first}"
        yield from (f"{indent}  {sentence}" for sentence in others)


def _kind(definitions: Mapping[str, Schema], schema: Schema) -> str:
    """The type of a value in words, with links."""
    if "$ref" in schema:
        return _link(definitions, schema)
    if "allOf" in schema:
        return _kind(definitions, schema["allOf"][0])
    types = schema.get("type", "string" if "enum" in schema else "object")
    words: list[str] = []
    for each in [types] if isinstance(types, str) else types:
        if each == "array":
            words.append(_list(definitions, schema.get("items", {})))
        elif each == "object":
            words += _object(definitions, schema)
        else:
            words.append(_WORDS.get(each, each))
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _list(definitions: Mapping[str, Schema], items: Schema) -> str:
    types = items.get("type")
    if isinstance(types, str):
        return f"list of {_WORDS.get(types, types)}s"
    return "list" if types or not items else f"list of {_kind(definitions, items)}"


def _object(definitions: Mapping[str, Schema], schema: Schema) -> Iterator[str]:
    own = schema.get("then", {})
    members = (schema.get("else", {}) if "else" in schema else schema).get("additionalProperties", {})
    if "$ref" in own:
        yield _link(definitions, own)
    if "$ref" in members:
        yield f"object of {_link(definitions, members)}"
    elif "$ref" not in own:
        yield "object"


def _link(definitions: Mapping[str, Schema], reference: Schema | str) -> str:
    name = reference if isinstance(reference, str) else reference["$ref"].rpartition("/")[2]
    title = definitions[name]["title"]
    return f"[{title[0].lower()}{title[1:]}](#{_anchor(title)})"


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _sentences(text: str) -> list[str]:
    return _SENTENCE.split(text)


def _lay_out(value: Any, indent: str = "") -> list[str]:
    """JSON on as few lines as its width allows."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _WIDTH or not isinstance(value, (dict, list)):
        return [line]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    items = value.items() if isinstance(value, dict) else [(None, each) for each in value]
    lines = []
    for key, each in items:
        first, *others = _lay_out(each, indent + "  ")
        lines += [f"  {first}" if key is None else f"  {json.dumps(key)}: {first}", *(f"  {other}" for other in others)]
        lines[-1] += ","
    lines[-1] = lines[-1].removesuffix(",")
    return [opening, *lines, closing]


def main(arguments: Sequence[str]) -> int:
    """Writes the page, or with `--check` compares; returns the exit code."""
    page = make_page(json.loads(SCHEMA.read_text("utf-8"))["$defs"])
    if "--check" not in arguments:
        PAGE.write_text(page, "utf-8")
    elif not PAGE.is_file() or PAGE.read_text("utf-8") != page:
        print("docs/definitions.md differs from the schema; run: python scripts/definitions_page.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
