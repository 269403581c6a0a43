"""The documentation under test: headings against tables, commands and code by running them, links by following them."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import runpy
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

import connector
import runtime
from connector.answers.kinds import RESPONSE_KINDS
from connector.answers.pagination import PAGINATION_STYLES
from connector.auth.methods import AUTH_METHODS
from connector.errors import ConnectorError
from connector.events.signatures import SIGNATURE_SCHEMES
from connector.openapi.services import handle_of
from connector.parsing.steps import STEP_TYPES
from connector.requests.bodies import BODY_KINDS
from runtime.cli.failures import EXIT_CODES, PROVIDER_FAILED
from runtime.cli.root import cli
from runtime.config.catalog import find_problems_in
from runtime.config.keys import Key
from runtime.config.settings import Limits, Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "tests" / "reliability" / "README.md"])
README = ROOT / "README.md"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROGRAM = re.compile(r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"[EW]_[A-Z_]+\Z")
#: Codes of the command line's own failures, which are no ConnectorError and no problem of a definition.
_COMMAND_LINE_CODES = {"E_USAGE", "E_INTERRUPTED", "E_UNEXPECTED"}


def read_entries() -> dict[str, dict[str, str]]:
    """The reference as text by section and heading."""
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    sections = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        entries = (entry.partition("\n") for entry in re.split(r"^### ", body, flags=re.MULTILINE)[1:])
        sections[title] = {name.strip("`"): words for name, _, words in entries}
    return sections


REFERENCE = read_entries()


def exports(package: ModuleType) -> Iterator[str]:
    """What a package exports, its errors aside."""
    for name in package.__all__:
        value = getattr(package, name)
        if not (isinstance(value, type) and issubclass(value, Exception)):
            yield name


def find_errors(root: type[ConnectorError] = ConnectorError) -> Iterator[type[ConnectorError]]:
    """An error and all below it, those of the product only."""
    if root.__module__ == "connector.errors":
        yield root
    for child in root.__subclasses__():
        yield from find_errors(child)


def find_codes() -> set[str]:
    """The problem codes that stand in the source."""
    constants = {
        node.value
        for package in ("connector", "runtime")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    codes = {text for text in constants if _CODE.match(text)}
    return codes - {error.code for error in find_errors()} - _COMMAND_LINE_CODES


def find_commands(command: click.Command, path: str = "connector") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by the words that call it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, child in command.commands.items():
        yield from find_commands(child, f"{path} {name}")


def plain(name: str) -> str:
    """A method's name as its table has it."""
    return re.sub(r"[-_ ]", "", name).lower()


TABLES: dict[str, Callable[[], set[str]]] = {
    "The language in Python": lambda: set(exports(connector)),
    "The runtime in Python": lambda: set(exports(runtime)) - set(exports(connector)),
    "Commands": lambda: {path for path, _ in find_commands(cli)},
    "Settings": lambda: {each.name for each in dataclasses.fields(Settings)},
    "Limits": lambda: {each.name for each in dataclasses.fields(Limits)},
    "Auth methods": lambda: set(AUTH_METHODS),
    "Body kinds": lambda: set(BODY_KINDS),
    "Pagination styles": lambda: set(PAGINATION_STYLES),
    "Signature schemes": lambda: set(SIGNATURE_SCHEMES),
    "Response kinds": lambda: set(RESPONSE_KINDS),
    "Step types": lambda: {*STEP_TYPES, "API request"},
    "Problem codes": find_codes,
    "Errors": lambda: {error.__name__ for error in find_errors()},
}


@pytest.mark.parametrize("section", TABLES)
def test_the_reference_has_a_heading_for_each_row_and_a_row_for_each_heading(section: str) -> None:
    headings = set(REFERENCE[section])
    if section == "Auth methods":
        headings = {plain(heading) for heading in headings}
    assert headings == TABLES[section]()


def test_every_table_of_the_reference_is_compared() -> None:
    assert {title for title, entries in REFERENCE.items() if entries} == set(TABLES)


@pytest.mark.parametrize("error", list(find_errors()), ids=lambda error: error.__name__)
def test_an_error_names_its_code(error: type[ConnectorError]) -> None:
    assert f"Code `{error.code}`" in REFERENCE["Errors"][error.__name__]


@pytest.mark.parametrize("limit", dataclasses.fields(Limits), ids=lambda limit: limit.name)
def test_a_limit_names_its_default(limit: dataclasses.Field[float]) -> None:
    assert re.search(rf": {limit.default:.0f}\b", REFERENCE["Limits"][limit.name])


@pytest.mark.parametrize(
    ("path", "command"), list(find_commands(cli)), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_command_names_its_options(path: str, command: click.Command) -> None:
    everywhere = {"--definitions", "--json", "--inputs", "--help"}
    options = {param.opts[-1] for param in command.params if isinstance(param, click.Option)} - everywhere
    words = REFERENCE["Commands"][path]
    described = {option for option in options if option in words or _short_of(command, option) in words}
    assert described == options


def _short_of(command: click.Command, option: str) -> str:
    return next(f"`{param.opts[0]} " for param in command.params if option in param.opts)


def test_the_reference_has_every_exit_code() -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert listed == {0, PROVIDER_FAILED, *EXIT_CODES.values()}


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make, and those it names."""
    text = page.read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([\w-]+)"></a>', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    prose = _FENCE.sub("", page.read_text("utf-8"))
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose) if "://" not in link]
    targets = {link: ((page.parent / link.partition("#")[0]) if not link.startswith("#") else page) for link in links}
    dead = [link for link, target in targets.items() if not target.exists()]
    lost = [link for link, target in targets.items() if "#" in link and link.partition("#")[2] not in anchors(target)]
    assert dead + lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_one_sentence_stands_on_one_line(page: Path) -> None:
    prose = _FENCE.sub("", page.read_text("utf-8"))
    crowded = [
        line for line in prose.splitlines() if not line.startswith("|") and re.search(r"[a-z`)][.?!] [A-Z]", line)
    ]
    assert crowded == []


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language on a page."""
    return [code for name, code in _FENCE.findall(page.read_text("utf-8")) if name == language]


def commands(page: Path) -> list[str]:
    """The lines of a page that call `connector`."""
    return [line for code in blocks(page, "sh") for line in code.splitlines() if line.startswith("connector ")]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment that says nothing about connectors."""
    for name in [name for name in os.environ if name.startswith("CONNECTOR_")]:
        monkeypatch.delenv(name)
    # What a page stores is encrypted.
    monkeypatch.setenv("CONNECTOR_KEY", Key.generate().to_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_opens_with_two_commands_of_one_line() -> None:
    first, second = blocks(README, "sh")[:2]
    lines = [line for line in README.read_text("utf-8").splitlines() if line.startswith("python3 -m venv ")]
    assert [first.rstrip("\n"), second.rstrip("\n")] == lines


def test_the_first_command_ends_with_mapped_fields(workplace: Path) -> None:
    words = shlex.split(blocks(README, "sh")[0].rpartition("&& ")[2])
    assert words[0] == ".venv/bin/connector"
    result = CliRunner().invoke(cli, words[1:])
    assert (result.exit_code, "choices_message_content" in result.stdout) == (0, True), result.stderr


def test_the_second_command_installs_an_extra_that_exists() -> None:
    extra = re.search(r"'\.\[(\w+)\]'", blocks(README, "sh")[1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert extra is not None
    assert all("==" in tool for tool in project["optional-dependencies"][extra[1]])


@pytest.mark.parametrize(
    ("page", "line"),
    [(page, line) for page in PAGES for line in commands(page)],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_command_on_a_page_works(page: Path, line: str, workplace: Path) -> None:
    for definition in blocks(page, "json"):
        folder = workplace / "my-connectors"
        folder.mkdir(exist_ok=True)
        (folder / f"{json.loads(definition)['handle']}.json").write_text(definition, "utf-8")
    for specification in blocks(page, "yaml"):
        name = handle_of(yaml.safe_load(specification)["info"]["title"])
        (workplace / f"{name}.yaml").write_text(specification, "utf-8")
    for before in commands(page)[: commands(page).index(line)]:
        if before.startswith("connector import "):
            CliRunner().invoke(cli, shlex.split(before)[1:])
    words = shlex.split(line)[1:]
    assert words[0] != "call" or "--mock" in words, "a page calls nothing over the network"
    result = CliRunner().invoke(cli, words)
    assert (result.exit_code, bool(result.stdout or result.stderr)) == (0, True), result.stderr


def programs(page: Path) -> list[tuple[str, str]]:
    """The Python blocks of a page, each with what the text block right below it says it prints."""
    return re.findall(_PROGRAM, page.read_text("utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if programs(page)], ids=lambda page: page.name)
def test_python_on_a_page_runs_and_prints_what_it_says(
    page: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of one page are one program: a later one uses what an earlier one made."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for code, expected in programs(page):
        exec(compile(code, str(page), "exec"), names)
        printed = capsys.readouterr().out
        assert printed == expected if expected else printed.startswith("200 ["), code


def test_the_example_program_runs(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "embedding.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "https://demo.petshop.example/v1/pets/7"
    assert printed[-1] == "pets.create: kind: expected one of cat, dog, parrot"


def test_the_example_definition_has_no_problems() -> None:
    assert find_problems_in(ROOT / "examples" / "definitions") == []


@pytest.mark.parametrize(
    ("page", "definition"),
    [(page, text) for page in PAGES for text in blocks(page, "json") if '"service"' in text],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_definition_on_a_page_has_no_problems(page: Path, definition: str, tmp_path: Path) -> None:
    path = tmp_path / f"{json.loads(definition)['handle']}.json"
    path.write_text(definition, "utf-8")
    assert find_problems_in(path) == [], page.name


def test_the_table_of_connectors_has_a_row_for_each_that_is_shipped() -> None:
    text = (ROOT / "docs" / "connectors.md").read_text("utf-8")
    listed = re.findall(r"^\| `([\w.-]+)` \|", text, re.MULTILINE)
    assert listed == sorted(folder.name for folder in (ROOT / "definitions").iterdir() if folder.is_dir())


def test_the_files_that_contributing_names_are_there() -> None:
    table = [line for line in (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines() if line.startswith("| a")]
    named = [path for line in table for path in re.findall(r"`([\w./]+)[^`]*`", line.rpartition(" | ")[2])]
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert len(named) >= len(table)
