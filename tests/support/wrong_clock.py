"""A wall clock that a test sets wrong for the processes that it starts; their monotonic time goes on as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

_SITECUSTOMIZE = """
import os, time
from pathlib import Path

_offset_file, _true_ns = Path(os.environ["TEST_CLOCK_OFFSET_MS"]), time.time_ns
time.time_ns = lambda: _true_ns() + int(_offset_file.read_text()) * 1_000_000
time.time = lambda: time.time_ns() / 1e9
"""


class WrongClock:
    """Right at first. Python imports `sitecustomize` at its start, so the program under test is as it is."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._offset_file = folder / "offset_ms"
        self.is_off_by(0)
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(_SITECUSTOMIZE)
        monkeypatch.setenv("TEST_CLOCK_OFFSET_MS", str(self._offset_file))
        monkeypatch.setenv("PYTHONPATH", str(site))

    def is_off_by(self, offset_ms: int) -> None:
        """Ahead where it is positive; at once, and in one step."""
        new = self._offset_file.with_suffix(".new")
        new.write_text(str(offset_ms))
        new.replace(self._offset_file)
