"""`python -m benchmarks`: every measurement, as tables on stdout. Takes about a minute; figures are medians."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable

from benchmarks.calls import measure_calls
from benchmarks.catalogue import measure_catalogue
from benchmarks.language import measure_loading, measure_mapping, measure_rendering
from benchmarks.measuring import Row, show
from benchmarks.starting import measure_starting

SECTIONS: dict[str, tuple[str, Callable[[], list[Row]]]] = {
    "rendering": ("Rendering the published chat body", measure_rendering),
    "mapping": ("Mapping its ten fields", measure_mapping),
    "loading": ("Loading a definition", measure_loading),
    "starting": ("Starting", measure_starting),
    "calls": ("Whole calls", measure_calls),
    "catalogue": ("A catalogue of 1,000 connectors", measure_catalogue),
}


def main() -> None:
    """Measures the sections that are named, or all of them."""
    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in sys.argv[1:] or SECTIONS:
        title, measure = SECTIONS[name]
        show(title, measure())


if __name__ == "__main__":
    main()
