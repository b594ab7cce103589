"""What fault scenarios found, as JSON and as a table.

    python -m tests.support.faults.report REPORT.json …        the table of docs/faults.md

Recovery is the time from a fault (an outage: from its end) until results of records that were sent after it are
committed in every partition; it holds the wait for a checkpoint, every 10 s.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import quantiles


@dataclass
class Outcome:
    """One run of one scenario."""

    scenario: str
    seed: int
    faults: int = 0
    records: int = 0
    restarts: int = 0
    lost: int | None = None
    """None: the run ended before it could be judged."""
    doubled: int | None = None
    wrong: int | None = None
    recovery_s: list[float] = field(default_factory=list)
    passed: bool = False


noted: list[Outcome] = []
"""The runs of this session, for the table at its end. Not in conftest.py, of which pytest makes a module of its own."""


def write(outcomes: Sequence[Outcome], file: Path) -> None:
    file.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")


def read(files: Iterable[Path]) -> list[Outcome]:
    return [Outcome(**found) for file in files for found in json.loads(file.read_text())]


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each scenario, over all of its runs, and one for all of them, in Markdown."""
    lines = [
        "| scenario | runs | faults | records | lost | doubled | wrong | recovery p50 | p95 | max |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(outcome.scenario for outcome in outcomes):
        lines.append(_line(name, [outcome for outcome in outcomes if outcome.scenario == name]))
    return "\n".join([*lines, _line("**all**", outcomes)])


def _line(name: str, runs: Sequence[Outcome]) -> str:
    columns = [[getattr(run, what) for run in runs] for what in ("faults", "records", "lost", "doubled", "wrong")]
    counts = ["?" if None in column else f"{sum(column):,}" for column in columns]
    times = sorted(seconds for run in runs for seconds in run.recovery_s)
    shown = [f"{seconds:.0f} s" for seconds in (_at(times, 50), _at(times, 95), times[-1])] if times else ["–"] * 3
    failed = sum(not run.passed for run in runs)
    title = f"{name} ({failed} FAILED)" if failed else name
    return f"| {' | '.join([title, str(len(runs)), *counts, *shown])} |"


def _at(times: Sequence[float], percent: int) -> float:
    return times[0] if len(times) == 1 else quantiles(times, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    print(table(read(map(Path, sys.argv[1:]))))
