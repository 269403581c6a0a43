"""How times are taken: alternating rounds, medians, ratios within one run. What is measured is the other modules'."""

from __future__ import annotations

import contextlib
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Rounds of each measurement; candidates take turns within a round, so that a slow spell meets all of them.
ROUNDS = 9
#: The share of the processors that the host of a rented machine may take during a spell, and how often a spell is made
#: to get there.
STOLEN, TRIES = 0.02, 6


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, its figure, and how it stands to its floor and to its bar."""

    name: str
    figure: float
    unit: str
    ratio: float | None = None
    bar: float | None = None

    def cells(self) -> list[str]:
        """The row as text."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}×"
        verdict = ""
        if self.bar is not None:
            compared = self.figure if self.ratio is None else self.ratio
            verdict = f"{'≤' if compared <= self.bar else 'MISSED'} {self.bar:g}{'' if self.ratio is None else '×'}"
        return [self.name, f"{self.figure:,.2f} {self.unit}" if self.unit else "", ratio, verdict]


class Host:
    """Whether the host of a rented machine takes its processors for others, from when this is made."""

    def __init__(self) -> None:
        self._before = self._read()

    @staticmethod
    def _read() -> tuple[int, int]:
        """The time of all processors, and how much of it the host took, in ticks; 0 where the system does not say."""
        with contextlib.suppress(OSError):
            fields = [int(each) for each in Path("/proc/stat").read_text("ascii").partition("\n")[0].split()[1:9]]
            return sum(fields), fields[7]
        return 0, 0

    def disturbs(self) -> bool:
        """True if it took more than a spell allows."""
        (time_before, stolen_before), (time_after, stolen_after) = self._before, self._read()
        return stolen_after - stolen_before > STOLEN * (time_after - time_before)


def time_flush(folder: Path) -> float:
    """Milliseconds until 4 KiB that were written are on the disk of a folder: what every commit waits for."""
    with (folder / "flushed").open("ab") as file:
        file.write(bytes(4096))
        file.flush()
        start = time.perf_counter()
        os.fdatasync(file.fileno())
        return (time.perf_counter() - start) * 1e3


def time_each(candidates: Mapping[str, Callable[[], object]], *, number: int) -> dict[str, float]:
    """Median microseconds of one call of each candidate."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, call in candidates.items():
                start = time.perf_counter()
                for _ in range(number):
                    call()
                taken[name].append((time.perf_counter() - start) / number * 1e6)
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in taken.items()}


def time_processes(commands: Mapping[str, Sequence[str]], *, rounds: int = 15) -> dict[str, float]:
    """Median milliseconds of wall time of each command, run in turns after one warm-up each.

    Byte code is cached, as after any first run of an installed package, whatever the environment says.
    """
    taken: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as cache:
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ["PYTHONPYCACHEPREFIX"] = cache
        for turn in range(rounds + 1):
            for name, arguments in commands.items():
                start = time.perf_counter()
                command = [sys.executable, *arguments]
                subprocess.run(command, check=True, capture_output=True, env=environ)  # noqa: S603 - our own
                if turn:
                    taken[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(times) for name, times in taken.items()}


def show(title: str, rows: Sequence[Row]) -> None:
    """Prints one table."""
    print(f"\n{title}")
    table = [["", "median", "ratio", "bar"], *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(4)]
    for line in table:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
