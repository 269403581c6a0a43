"""Starting: what importing the language and asking for help cost over an empty interpreter."""

from __future__ import annotations

from benchmarks.measuring import Row, time_processes


def measure_starting() -> list[Row]:
    """Whole processes in turns; the empty interpreter is taken off."""
    times = time_processes(
        {
            "empty interpreter": ["-c", "pass"],
            "import connector": ["-c", "import connector"],
            "and all of its names": ["-c", "from connector import *"],
            "connector --help": ["-m", "runtime", "--help"],
        }
    )
    empty = times.pop("empty interpreter")
    bars = {"import connector": 60.0, "connector --help": 150.0}
    return [
        Row("empty interpreter", empty, "ms"),
        *(Row(f"{name}, over that", time - empty, "ms", None, bars.get(name)) for name, time in times.items()),
    ]
