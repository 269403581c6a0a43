"""`python -m benchmarks`: every measurement, as tables on stdout. Takes a few minutes; figures are medians."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable

from benchmarks.calls import measure_calls
from benchmarks.catalogue import measure_catalogue
from benchmarks.deliveries import measure_deliveries
from benchmarks.flows import measure_events, measure_files
from benchmarks.ingest import measure_ingest
from benchmarks.journal import measure_cluster, measure_journal
from benchmarks.language import measure_loading, measure_mapping, measure_rendering
from benchmarks.measuring import Row, show
from benchmarks.paging import measure_paging
from benchmarks.polls import measure_polls
from benchmarks.starting import measure_starting

SECTIONS: dict[str, tuple[str, Callable[[], list[Row]]]] = {
    "rendering": ("Rendering the published chat body", measure_rendering),
    "mapping": ("Mapping its ten fields", measure_mapping),
    "loading": ("Loading a definition", measure_loading),
    "starting": ("Starting", measure_starting),
    "calls": ("Whole calls", measure_calls),
    "paging": ("5,000 records over 51 pages", measure_paging),
    "events": ("10,000 server-sent events", measure_events),
    "files": ("1 GB down and up", measure_files),
    "ingest": ("Messages of providers, 50 connections", measure_ingest),
    "deliveries": ("Deliveries to a subscriber", measure_deliveries),
    "polls": ("A thousand polls", measure_polls),
    "journal": ("Keeping events and handing out work", measure_journal),
    "cluster": ("The same on PostgreSQL, on the same cores", measure_cluster),
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
