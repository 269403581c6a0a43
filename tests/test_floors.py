"""The import floors: that they hold, that they bite, and that the design page draws the same ones."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
_LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint_imports(folder: Path) -> tuple[int, str]:
    """The exit code and the report of import-linter over a folder."""
    done = subprocess.run([sys.executable, "-c", _LINT], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their contracts, to be changed."""
    for package in ("connector", "runtime"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_keep_to_the_floors() -> None:
    code, report = lint_imports(ROOT)
    assert code == 0, report


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("connector/utils.py", '"""Whatever."""', "connector: imports point down"),
        ("runtime/helpers.py", '"""Whatever."""', "runtime: imports point down"),
        ("connector/messages.py", "from connector import errors", "connector: imports point down"),
        ("connector/urls.py", "from connector import parsing", "connector: imports point down"),
        ("connector/convertors.py", "import time", "connector is pure"),
        ("runtime/vault.py", "import httpx2", "runtime.client and runtime.network alone know the HTTP library"),
    ],
    ids=["an unlisted module", "one of runtime", "a neighbour", "a floor above", "a clock", "the HTTP library"],
)
def test_a_broken_floor_is_seen(copy: Path, module: str, line: str, broken: str) -> None:
    with (copy / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    code, report = lint_imports(copy)
    assert code == 1
    assert re.search(rf"{broken}.* BROKEN", report), report


@pytest.mark.parametrize("package", ["connector", "runtime"])
def test_the_design_page_draws_these_floors(package: str) -> None:
    layers = next(each["layers"] for each in SETTINGS["contracts"] if each.get("containers") == [package])
    page = (ROOT / "docs" / "design.md").read_text("utf-8")
    picture = page.partition(f"### The floors of `{package}`\n")[2].partition("\n#")[0]
    floors = [re.findall(r"\w+", layer) for layer in layers]
    known = {name for floor in floors for name in floor}
    # The words that describe a floor stand from column 52 on.
    drawn = [
        name for line in picture.splitlines() if line.startswith("    ") for name in re.findall(r"\w+", line[4:52])
    ]
    assert [name for name in drawn if name not in {"__init__", "py"}] == [name for floor in floors for name in floor]
    packages = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert known == {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"} | packages
