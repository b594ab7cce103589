"""Accounts for every offset of a raw topic in bounded memory: what the oracle, which holds every reading, cannot do.

What must become of a record follows from the workload's seed and the record's number, and the n-th record sent to a
partition has the offset n. So the fates of 36 million records are an array of as many bytes, and windows are a matrix
of counts by pane and sensor. Values and positions are the oracle's business (`benchmarks.oracle`), on fewer readings.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.broker_io import end_offsets, make_consumer, read_to_end
from benchmarks.settings import OUT_OF_ORDERNESS_MS, Topics, WindowDefinition
from benchmarks.truth import Class
from benchmarks.verdict import Verdict
from benchmarks.workload import Kind, Workload, blocks, partitions_of, sites

_GROUP = "bench-tally"
_FATES = np.full(len(Kind), Class.INVALID, np.uint8)
_FATES[Kind.GOOD], _FATES[Kind.DUPLICATE] = Class.ALIGNED, Class.DUPLICATE
_SHOWN = 3

Longs = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


class Aligned(msgspec.Struct):
    """What is read of an aligned record."""

    partition: int
    offset: int
    event_time_ms: int
    beyond_dedup_horizon: bool = False


class Classed(msgspec.Struct):
    """What is read of a record of the other topics of single readings."""

    partition: int
    offset: int
    definition: str = ""
    missed_windows: list[int] = []
    class_: str = msgspec.field(default="", name="class")


class Result(msgspec.Struct):
    """What is read of a window result."""

    definition: str
    key: str
    metric: str
    window_start_ms: int
    count: int
    revision: int


_aligned = msgspec.json.Decoder(list[Aligned])
_classed = msgspec.json.Decoder(list[Classed])
_results = msgspec.json.Decoder(list[Result])


@dataclass
class Expected:
    """The fate and sensor of every record by slot (partition after partition, in the order of offsets)."""

    ends: list[int]  # the number of records of each partition
    fate: Bytes
    sensor: Counts
    pane_ms: int
    first_pane_ms: int
    readings: Counts  # to be aligned, by pane and sensor
    watermark_ms: int  # when everything has been read

    @property
    def starts(self) -> Longs:
        """The first slot of each partition."""
        return np.concatenate(([0], np.cumsum(self.ends)[:-1])).astype(np.int64)

    def pane(self, time_ms: int) -> int:
        return (time_ms - self.first_pane_ms) // self.pane_ms


def expect(workload: Workload, definitions: Sequence[WindowDefinition]) -> Expected:
    """Work out the fates of a run's records from its parameters alone."""
    pane_ms = gcd(*(d.size_ms for d in definitions), *(d.slide_ms for d in definitions)) or workload.step_ms * 1_000
    partition_of = partitions_of(workload, sites(workload))
    fates: list[list[Bytes]] = [[] for _ in range(workload.partitions)]
    sensors: list[list[Counts]] = [[] for _ in range(workload.partitions)]
    latest_ms = np.full(workload.partitions, -(2**62), np.int64)
    panes: dict[int, Counts] = {}
    for block in blocks(workload):
        partition, fate = partition_of[block.sensor], _FATES[block.kind]
        for number in range(workload.partitions):
            mine = partition == number
            fates[number].append(fate[mine])
            sensors[number].append(block.sensor[mine].astype(np.int32))
        np.maximum.at(latest_ms, partition, block.event_ms)
        aligned = fate == Class.ALIGNED
        pane, sensor = block.event_ms[aligned] // pane_ms, block.sensor[aligned]
        for number in np.unique(pane).tolist():
            counts = panes.setdefault(number, np.zeros(workload.sensors, np.int32))
            counts += np.bincount(sensor[pane == number], minlength=workload.sensors).astype(np.int32)
    first, last = min(panes), max(panes)
    readings = np.zeros((last - first + 1, workload.sensors), np.int32)
    for number, counts in panes.items():
        readings[number - first] = counts
    ends = [sum(map(len, parts)) for parts in fates]
    watermark_ms = int(latest_ms[np.array(ends) > 0].min()) - OUT_OF_ORDERNESS_MS - 1
    slots = [np.concatenate([part for parts in column for part in parts]) for column in (fates, sensors)]
    return Expected(ends, slots[0], slots[1], pane_ms, first * pane_ms, readings, watermark_ms)


class Seen(NamedTuple):
    """How often each slot was aligned; slots and event times of those beyond the dedup horizon; records of nothing."""

    times: Bytes
    beyond: list[tuple[int, int]]
    strays: int

    def plus(self, other: Seen) -> Seen:
        return Seen(self.times + other.times, self.beyond + other.beyond, self.strays + other.strays)


class Tally:
    """Takes the records of a run's topics; `verdict` ends it.

    Parameters
    ----------
    by_sensor, by_place
        Window definitions; of windows by cell or region only the readings of all places together are compared.
    """

    def __init__(
        self, expected: Expected, by_sensor: Sequence[WindowDefinition], by_place: Sequence[WindowDefinition] = ()
    ) -> None:
        self._expected = expected
        self._by_sensor, self._by_place = by_sensor, by_place
        definitions = (*by_sensor, *by_place)
        self._starts = expected.starts
        size = len(expected.fate)
        self._seen = {Class.DUPLICATE: np.zeros(size, np.uint8), Class.INVALID: np.zeros(size, np.uint8)}
        self._aligned = Seen(np.zeros(size, np.uint8), [], 0)
        self._late = {d.name: np.zeros(size, np.uint8) for d in definitions}
        # Readings that a window does not hold although its panes do: (definition, start) -> by sensor.
        self._missed: dict[tuple[str, int], Counts] = {}
        self._results: list[Result] = []
        self._verdict = Verdict()

    def add_aligned(self, seen: Seen) -> None:
        self._aligned = self._aligned.plus(seen)
        self._verdict.note("aligned_of_nothing", (), seen.strays)

    def add_invalid(self, values: Sequence[bytes]) -> None:
        self._mark(Class.INVALID, _classed.decode(_array(values)))

    def add_accounting(self, values: Sequence[bytes]) -> None:
        records = _classed.decode(_array(values))
        self._mark(Class.DUPLICATE, [r for r in records if r.class_ == "duplicate"])
        self._miss([r for r in records if r.class_ == "partly_late"])

    def add_late(self, values: Sequence[bytes]) -> None:
        records = [r for r in _classed.decode(_array(values)) if r.definition in self._late]
        self._miss(records)
        for record in records:
            self._late[record.definition][self._slot(record)] += 1

    def add_windows(self, values: Sequence[bytes]) -> None:
        self._results += [r for r in _results.decode(_array(values)) if r.definition in self._late]

    def verdict(self) -> Verdict:
        verdict, fate = self._verdict, self._expected.fate
        passed = self._pass_beyond()
        counts = {Class.ALIGNED: self._aligned.times, **self._seen}
        total = np.sum(list(counts.values()), axis=0)
        self._note("lost", total == 0)
        self._note("doubled", total > 1)
        for found, times in counts.items():
            self._note(f"wrongly_{found.name.lower()}", (times > 0) & (total == 1) & (fate != found) & ~passed)
            verdict.figures[found.name.lower()] = int((times > 0).sum())
        verdict.figures["raw"] = len(fate)
        for definition in (*self._by_sensor, *self._by_place):
            late = self._late[definition.name]
            verdict.figures[f"late {definition.name}"] = int((late > 0).sum())
            self._note(f"late_doubled {definition.name}", late > 1)
            self._compare_windows(definition)
        return verdict

    def _pass_beyond(self) -> Flags:
        """Repeats of readings older than the dedup TTL cannot be known as such: they pass, and say so."""
        passed = np.zeros(len(self._expected.fate), np.bool_)
        for slot, time_ms in self._aligned.beyond:
            if self._expected.fate[slot] == Class.DUPLICATE:
                passed[slot] = True
                self._expected.readings[self._expected.pane(time_ms), self._expected.sensor[slot]] += 1
        self._verdict.figures["repeats beyond the dedup horizon"] = int(passed.sum())
        return passed

    def _compare_windows(self, definition: WindowDefinition) -> None:
        name, expected = definition.name, self._expected
        panes = definition.size_ms // expected.pane_ms
        # The matrix begins with the first window that holds a reading.
        first_ms = expected.first_pane_ms - (panes - 1) * expected.pane_ms
        padded = np.pad(expected.readings, ((panes - 1, panes - 1), (0, 0)))
        wanted = np.lib.stride_tricks.sliding_window_view(padded, panes, axis=0).sum(axis=-1)
        for (of, start_ms), missed in self._missed.items():
            if of == name:
                wanted[(start_ms - first_ms) // expected.pane_ms] -= missed
        starts_ms = first_ms + np.arange(len(wanted), dtype=np.int64) * expected.pane_ms
        wanted[starts_ms % definition.slide_ms != 0] = 0
        if definition in self._by_place:
            wanted = wanted.sum(axis=1, keepdims=True)
        due = (starts_ms + definition.size_ms - 1 <= expected.watermark_ms)[:, None]
        found = self._final(definition, first_ms, wanted.shape)
        for problem, wrong in (
            ("windows_missing", due & (wanted > 0) & (found == 0)),
            ("windows_unexpected", (found > 0) & ((wanted == 0) | ~due)),
            ("windows_wrong", due & (wanted > 0) & (found > 0) & (found != wanted)),
        ):
            where = np.argwhere(wrong)[:_SHOWN].tolist()
            lines = [f"{int(starts_ms[i])}, sensor {j}: {found[i, j]} and not {wanted[i, j]}" for i, j in where]
            self._verdict.note(f"{problem} {name}", lines, int(wrong.sum()))

    def _final(self, definition: WindowDefinition, first_ms: int, shape: tuple[int, ...]) -> Counts:
        """The count of each window's last revision, by start and sensor (or of all places together)."""
        name, found = definition.name, np.zeros(shape, np.int32)
        final: dict[tuple[int, str, str], tuple[int, int]] = {}
        results = [r for r in self._results if r.definition == name]
        for result in results:
            window = (result.window_start_ms, result.key, result.metric)
            final[window] = max(final.get(window, (0, 0)), (result.revision, result.count))
        rows = {(r.window_start_ms, r.key, r.metric, r.revision) for r in results}
        strays = 0
        for (start_ms, key, _), (_, count) in final.items():
            pane, off = divmod(start_ms - first_ms, self._expected.pane_ms)
            sensor = 0 if definition in self._by_place else int(key[1:])
            if off or not 0 <= pane < shape[0] or not 0 <= sensor < shape[1]:
                strays += 1
            else:
                found[pane, sensor] += count
        self._verdict.note(f"windows_of_nothing {name}", (), strays)
        self._verdict.note(f"windows_doubled {name}", (), len(results) - len(rows))
        self._verdict.figures |= {f"windows {name}": len(final), f"window rows {name}": len(results)}
        return found

    def _mark(self, fate: Class, records: Iterable[Classed]) -> None:
        for record in records:
            self._seen[fate][self._slot(record)] += 1

    def _miss(self, records: Iterable[Classed]) -> None:
        sensors = self._expected.readings.shape[1]
        for record in records:
            sensor = self._expected.sensor[self._slot(record)]
            for start_ms in record.missed_windows:
                key = (record.definition, start_ms)
                missed = self._missed.setdefault(key, np.zeros(sensors, np.int32))
                missed[sensor] += 1

    def _slot(self, record: Classed) -> int:
        return int(self._starts[record.partition]) + record.offset

    def _note(self, problem: str, wrong: Flags) -> None:
        lines = []
        for slot in np.flatnonzero(wrong)[:_SHOWN].tolist():
            partition = int(np.searchsorted(self._starts, slot, side="right")) - 1
            expected = Class(int(self._expected.fate[slot])).name.lower()
            lines.append(f"partition {partition}, offset {slot - int(self._starts[partition])}, to be {expected}")
        self._verdict.note(problem, lines, int(wrong.sum()))


def see_aligned(values: Iterable[Sequence[bytes]], ends: Sequence[int]) -> Seen:
    """Mark the slots of batches of aligned records."""
    limits = np.array(ends, np.int64)
    starts = np.concatenate(([0], np.cumsum(limits)[:-1])).astype(np.int64)
    times = np.zeros(int(limits.sum()), np.uint8)
    beyond: list[tuple[int, int]] = []
    strays = 0
    for batch in values:
        records = _aligned.decode(_array(batch))
        partition = np.array([r.partition for r in records], np.int64)
        offset = np.array([r.offset for r in records], np.int64)
        known = (partition < len(limits)) & (offset < limits[np.minimum(partition, len(limits) - 1)])
        strays += int((~known).sum())
        np.add.at(times, starts[partition[known]] + offset[known], 1)
        beyond += [(int(starts[r.partition]) + r.offset, r.event_time_ms) for r in records if r.beyond_dedup_horizon]
    return Seen(times, beyond, strays)


def tally(
    workload: Workload,
    bootstrap: str,
    raw: str,
    topics: Topics,
    by_sensor: Sequence[WindowDefinition],
    by_place: Sequence[WindowDefinition] = (),
    processes: int = 2,
) -> Verdict:
    """Judge a run by its committed records; the aligned topic is read by several processes."""
    expected = expect(workload, (*by_sensor, *by_place))
    found = Tally(expected, by_sensor, by_place)
    consumer = make_consumer(bootstrap, _GROUP)
    try:
        ends = end_offsets(consumer, raw)
        if any(ends.get(p, 0) < end for p, end in enumerate(expected.ends)):  # probes may come behind
            raise ValueError(f"{raw} does not hold the workload: {ends} records instead of {expected.ends}")
        for topic, add in (
            (topics.invalid, found.add_invalid),
            (topics.accounting, found.add_accounting),
            (topics.late, found.add_late),
            (topics.windows, found.add_windows),
        ):
            for values in _values(consumer, topic):
                add(values)
    finally:
        consumer.close()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        parts = [(bootstrap, topics.aligned, expected.ends, number, processes) for number in range(processes)]
        for seen in pool.starmap(_see, parts):
            found.add_aligned(seen)
    return found.verdict()


def _see(bootstrap: str, topic: str, ends: Sequence[int], process: int, processes: int) -> Seen:
    consumer = make_consumer(bootstrap, _GROUP)
    try:
        return see_aligned(_values(consumer, topic, process, processes), ends)
    finally:
        consumer.close()


def _values(consumer: object, topic: str, process: int = 0, processes: int = 1) -> Iterator[list[bytes]]:
    ends = {p: end for p, end in end_offsets(consumer, topic).items() if p % processes == process}  # type: ignore[arg-type]
    for batch in read_to_end(consumer, topic, ends):  # type: ignore[arg-type]
        yield [value for message in batch if (value := message.value())]


def _array(values: Sequence[bytes]) -> bytes:
    """One JSON array: decoding it costs less than decoding its elements one by one."""
    return b"[" + b",".join(values) + b"]"
