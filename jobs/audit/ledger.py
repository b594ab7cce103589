"""Compare the class of every raw record with what the generator's ledger expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from jobs.audit.classes import ALIGNED, CONTROL, DUPLICATE, INVALID, NAMES, NONE, Classes
from jobs.audit.intake import Intake
from jobs.audit.problems import Problems

_EXPECTED = {"aligned": ALIGNED, "duplicate": DUPLICATE, "invalid": INVALID, "control": CONTROL}
_LATENESS = ("must-window", "either", "must-late")


@dataclass
class Ledger:
    """Rows in the order of their sequence numbers; texts are codes of the name lists."""

    seq: NDArray[Any]
    expect: NDArray[Any]  # as in `classes`
    reason: NDArray[Any]  # code of the reason in the intake, -1 without one
    lateness: NDArray[Any]  # index of _LATENESS
    kind: NDArray[Any]
    kinds: list[str]

    def __len__(self) -> int:
        return len(self.seq)


def read_ledgers(files: Sequence[Path], intake: Intake) -> Ledger:
    """Read the ledgers of one or several runs into the same topic."""
    columns = ["seq", "expect", "reason", "lateness", "kind"]
    table = pa.concat_tables([pq.read_table(f, columns=columns) for f in files]).unify_dictionaries()
    table = table.combine_chunks().sort_by("seq")
    kind, kinds = _codes(table["kind"])
    expect, expectations = _codes(table["expect"])
    reason, reasons = _codes(table["reason"])
    lateness, names = _codes(table["lateness"])
    return Ledger(
        seq=table["seq"].to_numpy(),
        expect=_translate(expect, [_EXPECTED[name] for name in expectations]),
        reason=_translate(reason, [intake.reasons.code(name) for name in reasons]),
        lateness=_translate(lateness, [_LATENESS.index(name) for name in names]),
        kind=kind,
        kinds=kinds,
    )


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[Any], list[str]]:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    return array.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64), array.dictionary.to_pylist()


def _translate(codes: NDArray[Any], table: list[int]) -> NDArray[Any]:
    """Map codes through a table; -1 (no text) stays."""
    translated: NDArray[Any] = np.array([*table, -1], np.int16)[codes]
    return translated


def compare(
    intake: Intake, classes: Classes, ledger: Ledger, first_late: NDArray[Any], problems: Problems
) -> tuple[int, int]:
    """Count records that became something else than expected, and those that never came.

    Parameters
    ----------
    first_late : slots of the readings that are late for the first window definition of their stream.

    Returns
    -------
    (wrong class, missing in the raw topic). What has no class at all is counted as lost elsewhere.
    """
    inside = classes.raw_slot >= 0
    slot, seq = classes.raw_slot[inside], intake.raw["seq"][inside]
    at = np.searchsorted(ledger.seq, seq)
    at = np.minimum(at, max(len(ledger) - 1, 0))
    known = ledger.seq[at] == seq if len(ledger) else np.zeros(len(seq), np.bool_)
    slot, at = slot[known], at[known]
    actual, expected = classes.class_of[slot], ledger.expect[at]
    late = np.zeros(classes.slots.size, np.bool_)
    late[first_late] = True
    is_late, lateness = late[slot], ledger.lateness[at]

    def where(i: int) -> str:
        return f"{classes.slots.name(int(slot[i]))} ({ledger.kinds[ledger.kind[at[i]]]}, seq {ledger.seq[at[i]]})"

    reasons = intake.reasons.all()
    other = np.flatnonzero((actual != expected) & (actual != NONE))
    problems.add(
        "wrong",
        len(other),
        lambda i: f"{where(other[i])}: {NAMES[actual[other[i]]]}, expected {NAMES[expected[other[i]]]}",
    )
    reason = classes.reason_of[slot]
    why = np.flatnonzero((actual == expected) & (expected == INVALID) & (reason != ledger.reason[at]))
    problems.add(
        "wrong",
        len(why),
        lambda i: (
            f"{where(why[i])}: refused as {reasons[reason[why[i]]]}, expected {reasons[ledger.reason[at[why[i]]]]}"
        ),
    )
    aligned = (actual == ALIGNED) & (expected == ALIGNED)
    early = np.flatnonzero(aligned & is_late & (lateness == 0))
    problems.add("wrong", len(early), lambda i: f"{where(early[i])}: late, but its window cannot have been purged yet")
    tardy = np.flatnonzero(aligned & ~is_late & (lateness == 2))
    problems.add("wrong", len(tardy), lambda i: f"{where(tardy[i])}: not late, but its window must have been purged")
    seen, times = np.unique(at, return_counts=True)
    again = seen[times > 1]
    problems.add(
        "wrong", len(again), lambda i: f"seq {ledger.seq[again[i]]} is in the raw topic {times[times > 1][i]} times"
    )
    absent = np.setdiff1d(np.arange(len(ledger)), seen, assume_unique=True)
    problems.add("lost", len(absent), lambda i: f"seq {ledger.seq[absent[i]]} of the ledger is not in the raw topic")
    return len(other) + len(why) + len(early) + len(tardy) + len(again), len(absent)
