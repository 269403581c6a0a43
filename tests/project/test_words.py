"""Plain English: the words on the left of the list in CONTRIBUTING.md are in no page, help text or message."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: The left column of the word list, as it would appear in a sentence.
WORDS = re.compile(
    r"\b(stands? twice|unless told|whoever|whichever one|nobody|one that|ones that|(?<!there )is no\b(?! longer)|(?<!there )are no\b(?! longer)|says|tells|told"
    r"|asks|asked|gives|beside|besides|put in line|puts in line|out of the line"
    r"|hastens?|hastened|bury|buries|buried|verbs?|a look)\b",
    re.IGNORECASE,
)


def pages() -> list[Path]:
    """What a person reads first."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def prose(text: str) -> str:
    """A page without its code: fenced blocks, code spans and addresses of links are no sentences."""
    text = re.sub(r"^```.*?^```", lambda found: "\n" * found.group().count("\n"), text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]*`", "`", text)
    text = re.sub(r"\]\([^)\n]*\)", "]", text)
    # The list itself names the words.
    return re.sub(r"^\|.*\|$", "", text, flags=re.MULTILINE) if "## Word list" in text else text


def findings(path: Path, text: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {found.group()!r} in: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        for found in WORDS.finditer(line)
    ]


def findings_in(path: Path, texts: Iterable[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {found.group()!r} in: {text.strip()[:100]}"
        for text in texts
        for found in WORDS.finditer(re.sub(r"`[^`]*`", "`", text))
    ]


def messages(path: Path) -> Iterator[str]:
    """Literals of a module that a person can read (all that have a space and are not docstrings), and help texts."""
    tree = ast.parse(path.read_text("utf-8"))
    docs = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            docs.add(text)
            if any("command" in ast.unparse(each) for each in getattr(node, "decorator_list", ())):
                yield text or ""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and node.value not in docs
        ):
            yield node.value


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_pages_use_plain_words(path: Path) -> None:
    assert findings(path, prose(path.read_text("utf-8"))) == []


@pytest.mark.parametrize("package", ["connector", "runtime"])
def test_messages_and_help_texts_use_plain_words(package: str) -> None:
    assert [line for path in sorted((ROOT / package).rglob("*.py")) for line in findings_in(path, messages(path))] == []
