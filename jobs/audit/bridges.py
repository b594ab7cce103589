"""What became of every reading that a bridge with load shedding took: in the raw topic, in the cold store, or shed.

Such a bridge numbers its readings: a number is in the header `bridge_sequence` of a raw record, or in the range of a
report of class `shed`, which says how many of its range were let go, and which of them a breaker has put into the cold
store. What has been sent again from there is in the raw topic too; `cold` is the rest. Repeats of either count once. A
run that ended in an orderly way says so in its last report, and then nothing may be missing. Of a run that goes on, or
was killed, what is missing is on its way, or was not acknowledged to its source and came again: it is `unconfirmed`.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.audit.problems import Problems
from jobs.audit.records import Accounting, ShedCount

SEQUENCE_HEADER = "bridge_sequence"

Run = tuple[str, str]  # bridge, run


@dataclass
class BridgeReport:
    """All figures are readings: `received = raw + shed + cold + unconfirmed + lost`."""

    bridge: str
    received: int = 0
    raw: int = 0
    shed: int = 0
    cold: int = 0
    unconfirmed: int = 0
    lost: int = 0
    wrong: int = 0
    shed_by_reason: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Reported(NamedTuple):
    """The numbers from `first` up to `end`, without it."""

    first: int
    end: int
    shed: list[ShedCount]
    diverted: Sequence[tuple[int, int]] = ()

    @property
    def shed_count(self) -> int:
        return sum(entry.count for entry in self.shed)


class BridgeIntake:
    """What was read of bridges so far."""

    def __init__(self) -> None:
        self._numbers: defaultdict[bytes, array[int]] = defaultdict(
            lambda: array("q")
        )  # by `bridge/run` as in the header
        self._reports: defaultdict[Run, dict[int, Reported]] = defaultdict(dict)
        self._ended: set[Run] = set()

    def add_raw(self, sequence: bytes) -> None:
        """Take a header; one that is broken says nothing, and its number will be missing."""
        run, _, number = sequence.rpartition(b"/")
        if run and number.isdigit():
            self._numbers[run].append(int(number))

    def add_report(self, record: Accounting) -> None:
        run = record.bridge, record.run
        reported = Reported(record.first_number, record.end_number, record.shed, record.cold)
        known = self._reports[run].setdefault(record.first_number, reported)
        if known.end < reported.end:
            self._reports[run][record.first_number] = reported
        if record.is_last:
            self._ended.add(run)

    def runs(self) -> Iterator[tuple[Run, NDArray[Any], list[Reported], bool]]:
        """Each run's numbers in the raw topic, its reports, and whether it has ended; in order."""
        numbers = {_run_of(name): np.unique(np.array(found)) for name, found in self._numbers.items()}
        for run in sorted({*numbers, *self._reports}):
            reports = sorted(self._reports.get(run, {}).values())
            yield run, numbers.get(run, np.zeros(0, np.int64)), reports, run in self._ended


def audit_bridges(intake: BridgeIntake, is_whole: bool, problems: Problems) -> list[BridgeReport]:
    """Judge all runs, and add them up by bridge.

    Parameters
    ----------
    is_whole
        All that the bridges have sent can be read: retention has not deleted anything, and no transaction is open.
    """
    found: dict[str, BridgeReport] = {}
    by_reason: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (bridge, run), numbers, reports, has_ended in intake.runs():
        total = found.setdefault(bridge, BridgeReport(bridge))
        for reported in reports:
            by_reason[bridge].update({f"{entry.stream}/{entry.reason}": entry.count for entry in reported.shed})
        shed = sum(reported.shed_count for reported in reports)
        end = max([reported.end for reported in reports] + [int(numbers[-1]) + 1 if len(numbers) else 1])
        diverted = [np.arange(first, stop) for reported in reports for first, stop in reported.diverted]
        in_either = np.union1d(numbers, np.concatenate([numbers[:0], *diverted]))
        missing, wrong = _compare(in_either, reports, end)
        total.received += end - 1
        total.raw += len(numbers)
        total.shed += shed
        total.cold += len(in_either) - len(numbers)
        total.wrong += wrong
        if has_ended and is_whole:
            total.lost += missing
            text = f"bridge {bridge}, run {run}: {missing:,} readings neither in the raw topic nor reported as shed"
            problems.add("lost", int(missing > 0), lambda _, text=text: text)  # type: ignore[misc]
        else:
            total.unconfirmed += missing
        text = f"bridge {bridge}, run {run}: {wrong:,} readings more in the raw topic and in reports than it took"
        problems.add("wrong", int(wrong > 0), lambda _, text=text: text)  # type: ignore[misc]
    for bridge, total in found.items():
        total.shed_by_reason = dict(sorted(by_reason[bridge].items()))
    return list(found.values())


def _compare(numbers: NDArray[Any], reports: list[Reported], end: int) -> tuple[int, int]:
    """How many numbers below `end` are in no place, and how many are claimed by two; what no report covers included."""
    missing = wrong = 0
    at = 1
    for reported in [*reports, Reported(end, end, [])]:
        wrong += max(0, at - reported.first)
        for first, stop, shed in ((at, reported.first, 0), (reported.first, reported.end, reported.shed_count)):
            if first < stop:
                begin, behind = np.searchsorted(numbers, (first, stop))
                unexplained = stop - first - int(behind - begin) - shed
                missing += max(0, unexplained)
                wrong += max(0, -unexplained)
        at = max(at, reported.end)
    return missing, wrong


def _run_of(name: bytes) -> Run:
    bridge, _, run = name.decode(errors="replace").partition("/")
    return bridge, run
