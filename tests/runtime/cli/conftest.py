"""Every command of these tests runs in a folder of its own, without the settings of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("CONNECTOR_"):
            monkeypatch.delenv(name)
    # What fails is not tried again, so that nothing waits.
    monkeypatch.setenv("CONNECTOR_LIMIT_RETRYING", "0.000001")
