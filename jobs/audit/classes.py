"""The class of every raw offset: aligned, duplicate, invalid, shed or control, and never two of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.audit.intake import Columns, Intake
from jobs.audit.problems import Problems

NONE, ALIGNED, DUPLICATE, INVALID, CONTROL, SHED = range(6)
NAMES = ("none", "aligned", "duplicate", "invalid", "control", "shed")


class Slots:
    """Raw (partition, offset) pairs as dense numbers.

    Parameters
    ----------
    ranges : partition -> (first offset, offset after the last) of the audited snapshot.
    """

    def __init__(self, ranges: dict[int, tuple[int, int]]) -> None:
        width = max(ranges, default=-1) + 1
        self._low = np.zeros(width, np.int64)
        self._high = np.zeros(width, np.int64)
        for partition, (low, high) in ranges.items():
            self._low[partition], self._high[partition] = low, high
        sizes = self._high - self._low
        self._start = np.concatenate(([0], np.cumsum(sizes)))
        self.size = int(self._start[-1])

    def of(self, partition: NDArray[Any], offset: NDArray[Any]) -> NDArray[Any]:
        """The slot of each pair, -1 for what lies outside the snapshot."""
        known = (partition >= 0) & (partition < len(self._low))
        at = np.where(known, partition, 0)
        if not len(self._low):
            return np.full(len(partition), -1, np.int64)
        known &= (offset >= self._low[at]) & (offset < self._high[at])
        return np.where(known, self._start[at] + offset - self._low[at], -1)

    def of_columns(self, columns: Columns) -> NDArray[Any]:
        return self.of(columns["partition"].astype(np.int64), columns["offset"])

    def name(self, slot: int) -> str:
        partition = int(np.searchsorted(self._start, slot, side="right")) - 1
        return f"partition {partition}, offset {slot - int(self._start[partition]) + int(self._low[partition])}"


@dataclass
class Classes:
    """Judgement of the raw topic: `class_of`, `reason_of` are by slot, `aligned_slot` by aligned record (-1: skip)."""

    slots: Slots
    class_of: NDArray[Any]
    reason_of: NDArray[Any]
    raw_slot: NDArray[Any]
    aligned_slot: NDArray[Any]
    counts: dict[str, int]
    invalid_by_reason: dict[str, int]
    lost: int
    doubled: int
    wrong: int
    notes: dict[str, int] = field(default_factory=dict)


def classify(intake: Intake, ranges: dict[int, tuple[int, int]], problems: Problems) -> Classes:
    """Give every raw offset its class and count what has none, two, or one it cannot have."""
    slots = Slots(ranges)
    size = slots.size
    raw_slot = slots.of_columns(intake.raw)
    inside = raw_slot >= 0
    exists, control = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    exists[raw_slot[inside]] = True
    control[raw_slot[inside]] = intake.raw["control"][inside] != 0
    digest = np.zeros(size, np.uint64)
    digest[raw_slot[inside]] = intake.raw["digest"][inside]

    aligned_slot, repeats = _aligned_slots(intake, slots)
    duplicate_slot, rereads = _duplicate_slots(intake, slots)
    invalid_slot = slots.of_columns(intake.invalid)
    shed_slot = slots.of_columns(intake.shed)
    by_class = {
        ALIGNED: _count(aligned_slot, size),
        DUPLICATE: _count(duplicate_slot, size),
        INVALID: _count(invalid_slot, size),
        SHED: _count(shed_slot, size),
    }
    total = np.sum(list(by_class.values()), axis=0)
    reading = exists & ~control
    class_of = np.zeros(size, np.int8)
    for number, count in by_class.items():
        class_of[count > 0] = number
    class_of[control] = CONTROL
    reason_of = np.full(size, -1, np.int16)
    found = invalid_slot >= 0
    reason_of[invalid_slot[found]] = intake.invalid["reason"][found]

    def classes_at(slot: int) -> str:
        return " and ".join(
            f"{NAMES[c]} ×{n[slot]}" if n[slot] > 1 else NAMES[c] for c, n in by_class.items() if n[slot]
        )

    missing = np.flatnonzero(reading & (total == 0))
    problems.add("lost", len(missing), lambda i: f"{slots.name(int(missing[i]))}: in no class")
    twice = np.flatnonzero(reading & (total > 1))
    problems.add("doubled", len(twice), lambda i: f"{slots.name(int(twice[i]))}: {classes_at(int(twice[i]))}")
    stray = np.flatnonzero(~reading & (total > 0))
    problems.add(
        "wrong",
        len(stray),
        lambda i: f"{slots.name(int(stray[i]))}: {classes_at(int(stray[i]))}, but no reading is there",
    )
    wrong = len(stray) + _check_probes(intake, slots, exists, control, problems)
    wrong += _check_duplicates(intake, slots, aligned_slot, by_class[ALIGNED], problems)
    wrong += _check_digests(intake, slots, digest, exists, problems)
    doubled = int((total[twice] - 1).sum()) + _count_ids_twice(intake, slots, aligned_slot, problems)
    reasons = np.bincount(intake.invalid["reason"][found], minlength=1)
    names = intake.reasons.all()
    return Classes(
        slots=slots,
        class_of=class_of,
        reason_of=reason_of,
        raw_slot=raw_slot,
        aligned_slot=aligned_slot,
        counts={
            "raw": int(reading.sum()),
            "aligned": int(by_class[ALIGNED].sum()),
            "duplicates": int(by_class[DUPLICATE].sum()),
            "invalid": int(by_class[INVALID].sum()),
            "shed": int(by_class[SHED].sum()),
            "control": int(control.sum()),
        },
        invalid_by_reason={names[i]: int(n) for i, n in enumerate(reasons) if n},
        lost=len(missing),
        doubled=doubled,
        wrong=wrong,
        notes={"repeats": repeats, "rereads": rereads},
    )


def _check_probes(
    intake: Intake, slots: Slots, exists: NDArray[np.bool_], control: NDArray[np.bool_], problems: Problems
) -> int:
    """A probe's account must name a control record, once; probes need none, since they are no readings."""
    times = _count(slots.of_columns(intake.probes), slots.size)
    wrong = np.flatnonzero((times > 1) | ((times > 0) & exists & ~control))
    problems.add("wrong", len(wrong), lambda i: f"{slots.name(int(wrong[i]))}: ×{times[wrong[i]]} accounted as a probe")
    return len(wrong)


def unclassified(intake: Intake, ranges: dict[int, tuple[int, int]]) -> int:
    """How many raw readings have no class yet: cheap, for waiting."""
    slots = Slots(ranges)
    waiting = np.zeros(slots.size, np.bool_)
    raw_slot = slots.of_columns(intake.raw)
    waiting[raw_slot[(raw_slot >= 0) & (intake.raw["control"] == 0)]] = True
    for columns in (intake.aligned, intake.duplicates, intake.invalid, intake.shed):
        slot = slots.of_columns(columns)
        waiting[slot[slot >= 0]] = False
    return int(waiting.sum())


def _count(slot: NDArray[Any], size: int) -> NDArray[Any]:
    return np.bincount(slot[slot >= 0], minlength=size)


def _aligned_slots(intake: Intake, slots: Slots) -> tuple[NDArray[Any], int]:
    """Slots of aligned records; of streams that may repeat themselves, only the first record of a slot counts."""
    slot = slots.of_columns(intake.aligned)
    may_repeat = np.array([s.delivery != "exactly-once" for s in intake.rules.streams] + [False])
    index = np.flatnonzero(may_repeat[intake.aligned["stream"]] & (slot >= 0))
    _, first = np.unique(slot[index], return_index=True)
    again = np.ones(len(index), np.bool_)
    again[first] = False
    slot[index[again]] = -1
    return slot, int(again.sum())


def _duplicate_slots(intake: Intake, slots: Slots) -> tuple[NDArray[Any], int]:
    """Slots of duplicates; one that repeats itself was read again after a restart from older offsets."""
    columns = intake.duplicates
    slot = slots.of_columns(columns)
    itself = (columns["partition"] == columns["first_partition"]) & (columns["offset"] == columns["first_offset"])
    itself &= slot >= 0
    slot[itself] = -1
    return slot, int(itself.sum())


def _check_duplicates(
    intake: Intake, slots: Slots, aligned_slot: NDArray[Any], aligned: NDArray[Any], problems: Problems
) -> int:
    columns = intake.duplicates
    slot = slots.of_columns(columns)
    first = slots.of(columns["first_partition"].astype(np.int64), columns["first_offset"])
    identity = np.zeros(slots.size, np.uint64)
    known = aligned_slot >= 0
    identity[aligned_slot[known]] = intake.aligned["identity"][known]
    # An original before the snapshot's first offset was deleted by retention: nothing can be said of it.
    judged = (slot >= 0) & (first >= 0)
    bad = np.flatnonzero(judged & ((aligned[first] == 0) | (identity[first] != columns["identity"])))
    problems.add(
        "wrong",
        len(bad),
        lambda i: (
            f"{slots.name(int(slot[bad[i]]))}: a duplicate of {slots.name(int(first[bad[i]]))}, "
            f"which is {'another reading' if aligned[first[bad[i]]] else 'not aligned'}"
        ),
    )
    return len(bad)


def _check_digests(intake: Intake, slots: Slots, digest: NDArray[Any], exists: NDArray[Any], problems: Problems) -> int:
    wrong = 0
    for columns, name in ((intake.invalid, "invalid_events"), (intake.late, "late_events")):
        slot = slots.of_columns(columns)
        index = np.flatnonzero(slot >= 0)
        at = slot[index]
        bad = at[exists[at] & (digest[at] != columns["digest"][index])]
        problems.add(
            "wrong",
            len(bad),
            partial(_digest_problem, slots, bad, name),
        )
        wrong += len(bad)
    return wrong


def _digest_problem(slots: Slots, bad: NDArray[Any], name: str, i: int) -> str:
    return f"{slots.name(int(bad[i]))}: payload_sha256 in {name} is not the raw value's"


def _count_ids_twice(intake: Intake, slots: Slots, aligned_slot: NDArray[Any], problems: Problems) -> int:
    """An event id is aligned once per sensor and bucket of event time, unless it came beyond the dedup horizon."""
    index = np.flatnonzero((aligned_slot >= 0) & (intake.aligned["beyond"] == 0))
    # The same slot twice is counted by its class already.
    _, first = np.unique(aligned_slot[index], return_index=True)
    index = index[first]
    bucket = (intake.aligned["event_ms"][index] // intake.rules.dedup.bucket_ms).astype(np.uint64)
    identity = intake.aligned["identity"][index] ^ bucket * np.uint64(0x9E3779B97F4A7C15)
    order = np.argsort(identity, kind="stable")
    same = np.flatnonzero(identity[order][1:] == identity[order][:-1])
    repeated = aligned_slot[index[order[same + 1]]]
    problems.add(
        "doubled",
        len(repeated),
        lambda i: f"{slots.name(int(repeated[i]))}: its (sensor_id, event_id) is aligned at another offset, too",
    )
    return len(repeated)
