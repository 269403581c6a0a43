"""The rooms: imports point down, nothing goes in circles, no folder is crowded, and each module has its test."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("connector", "runtime")
_LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint_imports(folder: Path) -> tuple[int, str]:
    """The exit code and the report of import-linter over a folder."""
    done = subprocess.run([sys.executable, "-c", _LINT], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def modules() -> list[Path]:
    """Every module of both packages, migrations and `__init__` files apart."""
    return [
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name not in {"__init__.py", "__main__.py"} and "migrations" not in path.parts
    ]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their contracts, to be changed."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_point_down() -> None:
    code, report = lint_imports(ROOT)
    assert code == 0, report


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("connector/utils.py", '"""Whatever."""', "connector: imports point down"),
        ("runtime/helpers.py", '"""Whatever."""', "runtime: imports point down"),
        ("connector/messages.py", "from connector import errors", "connector: imports point down"),
        ("connector/urls.py", "from connector.parsing import reader", "connector: imports point down"),
        ("runtime/calls/sender.py", "from runtime.server import app", "runtime: imports point down"),
        (
            "connector/answers/streams.py",
            "from connector.answers import mapping",
            "no circles among the modules of a folder",
        ),
        ("connector/types.py", "import time", "connector is pure"),
        ("runtime/config/vault.py", "import httpx2", "runtime.http alone knows the HTTP library"),
    ],
    ids=[
        "an unlisted module",
        "an unlisted module of runtime",
        "a layer above",
        "a folder above",
        "a folder of runtime above",
        "a circle in a folder",
        "a clock",
        "the HTTP library",
    ],
)
def test_an_import_that_breaks_a_rule_is_found(copy: Path, module: str, line: str, broken: str) -> None:
    with (copy / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    code, report = lint_imports(copy)
    assert code == 1
    assert re.search(rf"{broken}.* BROKEN", report), report


def test_no_folder_holds_more_than_twenty_modules() -> None:
    folders = {path.parent for path in modules()}
    crowded = {str(folder): count for folder in folders if (count := len(list((ROOT / folder).glob("*.py")))) > 20}
    assert crowded == {}


@pytest.mark.parametrize("module", modules(), ids=str)
def test_each_module_has_a_test_file_where_a_newcomer_looks(module: Path) -> None:
    expected = Path("tests", *module.parts[:-1], f"test_{module.name}")
    assert (ROOT / expected).is_file(), f"{module} is tested in {expected}, by the rule in CONTRIBUTING.md"
