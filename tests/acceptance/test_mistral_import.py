"""Mistral's own OpenAPI file imported with no hand edit, its requests judged by that file (`mistral_judge`)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.describe.samples import read_example
from connector.openapi.importer import Imported, from_openapi
from connector.openapi.text import parse_spec
from connector.protocols import Moment
from connector.requests.build import build_request
from tests.acceptance.mistral_judge import BESIDE, VARIABLE, Spec, answer_complaints, complaints, find_spec, load_spec
from tests.doubles.spec_values import inputs_of

MOMENT = Moment(time=1_800_000_000.0, nonce="n-1")
#: Of 154 endpoints so many have to be called right (issue: at least 150), minimal and full.
MINIMAL = 154
FULL = 154
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def spec() -> Spec:
    path = find_spec()
    if path is None:
        pytest.skip(f"Mistral's OpenAPI file is neither at {VARIABLE} nor at {BESIDE}")
    return load_spec(path)


@pytest.fixture(scope="module")
def imported(spec: Spec) -> Imported:
    path = find_spec()
    assert path is not None
    return from_openapi(parse_spec(path.read_bytes(), "openapi.yaml"))


def judged(spec: Spec, imported: Imported, *, full: bool) -> Iterator[tuple[str, list[str]]]:
    sources = {note.message[3:]: note.where for note in imported.report.notes if note.kind == "kept"}
    for operation in imported.connector.operations.values():
        config = operation.service.configure({"token": "test-key"})
        request = build_request(operation, inputs_of(operation, full=full), config)
        signed = config.auth.apply(request, config.values, MOMENT)
        yield sources[operation.id], complaints(spec, sources[operation.id], signed)


@pytest.mark.parametrize(("full", "least"), [(False, MINIMAL), (True, FULL)], ids=["minimal", "full"])
def test_requests_of_the_import_are_valid(spec: Spec, imported: Imported, full: bool, least: int) -> None:
    said: dict[str, list[str]] = {}
    for endpoint, found in judged(spec, imported, full=full):
        said.setdefault(endpoint, []).extend(found)
    wrong = {endpoint: found for endpoint, found in said.items() if found}
    assert len(said) == 154
    assert len(said) - len(wrong) >= least, wrong


def test_recorded_answers_of_the_import_are_valid(spec: Spec, imported: Imported) -> None:
    sources = {note.message[3:]: note.where for note in imported.report.notes if note.kind == "kept"}
    wrong = {}
    for name, example in imported.examples.items():
        for answer in read_example(name, example):
            if found := answer_complaints(spec, sources[name], answer):
                wrong[name] = found
    assert len(wrong) <= 4, wrong


def test_a_file_of_600_kb_is_imported_within_five_seconds(spec: Spec) -> None:
    path = find_spec()
    assert path is not None
    # In a process of its own, since measuring coverage takes longer than the import.
    program = (
        "import pathlib, sys, time; from connector.openapi.importer import from_openapi; from connector.openapi.text import parse_spec\n"
        "started = time.process_time(); from_openapi(parse_spec(pathlib.Path(sys.argv[1]).read_bytes(), 'x')).files()\n"
        "print(time.process_time() - started)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert float(done.stdout) < 5
