"""A catalogue of 1,000 connectors of the size of Mistral's: time and memory, listed, and with every one loaded."""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import Row
from runtime.config.catalog import Catalog, shipped_definitions

COUNT = 1000


def measure_catalogue() -> list[Row]:
    """Copies of the shipped connector under other handles, read by one Catalog."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        start = time.perf_counter()
        catalog = Catalog([folder])
        listed = time.perf_counter() - start
        catalog.get("copy-0")
        start, before = time.perf_counter(), _memory()
        for handle in catalog.handles():
            catalog.get(handle)
        loaded, used = time.perf_counter() - start, _memory() - before
    return [
        Row(f"found {COUNT} connectors, none read", listed * 1e3, "ms"),
        Row(f"read all {COUNT}", loaded, "s"),
        Row("each", loaded / COUNT * 1e3, "ms"),
        Row("memory of all", used, "MB"),
    ]


def _write(folder: Path) -> None:
    source = shipped_definitions() / "mistral-ai"
    service = json.loads((source / "service.json").read_text("utf-8"))
    for number in range(COUNT):
        place = folder / f"copy-{number}"
        place.mkdir()
        (place / "service.json").write_text(json.dumps({**service, "handle": place.name}))
        shutil.copy(source / "resources.json", place)
        shutil.copy(source / "overlay.json", place)


def _memory() -> float:
    """Peak resident megabytes of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
