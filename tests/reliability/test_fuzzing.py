"""The short form of `tests/soak/fuzz_api.py`: requests that the description of the interface allows, and others."""

from __future__ import annotations

from tests.soak.fuzz_api import fuzz


def test_no_request_that_the_description_leads_to_is_answered_with_a_failure_of_ours() -> None:
    cases, report = fuzz(3)
    assert cases > 50, report
