"""Citations under test: a rule or a hazard that code and tests name is on its page, and a hazard's tests are real."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
LANGUAGE = (ROOT / "docs" / "language.md").read_text("utf-8")
HAZARDS = (ROOT / "docs" / "hazards.md").read_text("utf-8")
SOURCES = sorted(
    path
    for folder in ("connector", "runtime", "tests", "benchmarks", "examples", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md"} or path.parent.name == "suite"
)
_RULES = re.compile(r"\b[Rr]ules? (\d+(?:(?:, | and | to )\d+)*)")
#: `T13`, or a range of one letter: `T13 to T26`, in the name of a test `K1_to_K10`. Not a time (`T09:00`).
_CODES = re.compile(r"(?<![A-Za-z0-9{}])([TKFPCWSLI])(\d{1,2})(?:(?: to |_to_)\1(\d{1,2}))?(?![A-Za-z0-9:])")
#: Letters that are in use for other things as well are a citation only after this word or in the name of a test.
_CITED = re.compile(r"\bhazards?\s+(?:(?:and|to|,|\s)*[TKFPCWSLI]\d{1,2}\b)+|\btest_(?:(?:to|[TKFPCWSLI]\d{1,2})_)+")
_ANCHOR = re.compile(r'<a id="([a-z]+-?\d+)"></a>')
_ROW = re.compile(r'^\| <a id="\w+"></a>(\w+) \| .* \| (`[^|]*`) \|$', re.MULTILINE)


def codes_in(text: str) -> Iterator[str]:
    """Every text that looks like the code of a hazard, ranges written out."""
    for letter, first, last in _CODES.findall(text):
        for number in range(int(first), int(last or first) + 1):
            yield f"{letter}{number:0{len(first)}}"


def rules_in(text: str) -> set[int]:
    """The numbers of the rules that a text cites."""
    return {int(number) for cited in _RULES.findall(text) for number in re.findall(r"\d+", cited)}


def cited_hazards(text: str) -> set[str]:
    """The codes that a text surely cites as hazards."""
    named = {code for found in _CITED.finditer(text) for code in codes_in(found[0])}
    return named | {code for code in codes_in(text) if re.fullmatch(r"T\d\d|K\d{1,2}", code)}


@functools.cache
def read(path: Path) -> str:
    """The text of a file, read once."""
    return path.read_text("utf-8")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_rule_and_hazard_that_is_cited_is_on_its_page(path: Path) -> None:
    known = set(_ANCHOR.findall(LANGUAGE + HAZARDS))
    cited = {f"rule-{number}" for number in rules_in(read(path))} | {code.lower() for code in cited_hazards(read(path))}
    assert cited - known == set()


def test_citations_are_found() -> None:
    assert rules_in("(rules 2 to 4; T47), Rule 7 and rules 1, 2 and 18") == {1, 2, 4, 7, 18}
    assert cited_hazards("(hazards F5,\n    F6), C1 controls, T53 to T55, 2026-01-02T09:00") == {
        "F5", "F6", "T53", "T54", "T55",
    }  # fmt: skip
    assert cited_hazards("def test_K9_to_K11_S2_a_kill() -> None:") == {"K9", "K10", "K11", "S2"}


def test_no_code_of_a_hazard_is_on_the_page_twice_or_under_another_anchor() -> None:
    anchors = re.findall(r'<a id="(\w+)"></a>(\w+) \|', HAZARDS)
    assert [code for anchor, code in anchors if anchor != code.lower()] == []
    assert len(set(anchors)) == len(anchors)


@pytest.mark.parametrize(("code", "files"), _ROW.findall(HAZARDS), ids=lambda value: "" if "`" in value else value)
def test_the_tests_that_a_hazard_names_cite_it(code: str, files: str) -> None:
    named = re.findall(r"`([^`]+)`", files)
    cites = {file: (TESTS / file).is_file() and code in codes_in(read(TESTS / file)) for file in named}
    assert [file for file, cited in cites.items() if not cited] == []


def test_every_hazard_names_its_tests() -> None:
    """All but the invariants, which every test of a fault holds."""
    listed = {code for _, code in re.findall(r'<a id="(\w+)"></a>(\w+) \|', HAZARDS) if code[0] != "I"}
    assert listed == {code for code, _ in _ROW.findall(HAZARDS)}
