"""The steady clock that due times are measured with."""

from __future__ import annotations

import time

import pytest

from runtime.journal.clock import SteadyClock


def test_C1_a_step_of_the_wall_clock_does_not_move_the_steady_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteadyClock()
    before = clock()
    assert abs(before - time.time()) < 60
    monkeypatch.setattr(time, "time", lambda: before - 3600)
    assert before <= clock() < before + 60
