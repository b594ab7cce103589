"""Compares what a variant published with the truth: nothing lost, nothing twice, nothing wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from benchmarks.settings import WINDOWS, WindowDefinition, Work
from benchmarks.truth import Class, Truth, id_digest

_OFFSET_BITS = 44
_SAMPLES = 3  # described per problem
_RELATIVE, _ABSOLUTE = 1e-9, 1e-9  # of values and means
_STD_TOLERANCE = 1e-6
_DEGREES, _METRES = 1e-7, 0.01
GRACE = 100_000  # offsets of a partition in which watermarks may not have begun to move

Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass
class Verdict:
    """`problems` counts records by what is wrong with them; `figures` says how much was looked at."""

    problems: dict[str, int] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)

    @property
    def correct(self) -> bool:
        return not self.problems

    def note(self, problem: str, lines: Iterable[Any], count: int) -> None:
        """Count a problem; the first lines of each are kept for a person."""
        if count:
            before = self.problems.get(problem, 0)
            self.problems[problem] = before + count
            self.samples += [f"{problem}: {line}" for line in islice(lines, max(0, _SAMPLES - before))]


class Judge:
    """Takes a variant's records topic by topic; `verdict` ends it.

    Parameters
    ----------
    grace
        Records at the start of a partition in which a reading that should be late may still be in time: a variant
        that makes watermarks now and then has none yet.
    late_topic
        False for a variant that drops late readings without saying which: windows that any of them may be in are
        then not looked at.
    """

    def __init__(self, truth: Truth, work: Work, grace: int = GRACE, late_topic: bool = True) -> None:
        self._truth = truth
        self._definitions = WINDOWS[work]
        self._is_whole = work == "whole"
        self._grace = grace
        self._has_late_topic = late_topic
        rows = truth.rows
        self._fate = rows["fate"].to_numpy()
        self._keys = rows["partition"].to_numpy(np.int64) << _OFFSET_BITS | rows["offset"].to_numpy(np.int64)
        self._reason = rows["reason"].astype(object).to_numpy()
        self._digests: tuple[Longs, npt.NDArray[np.uint64]] | None = None
        self._aligned = np.zeros(len(rows), np.int32)
        self._invalid = np.zeros(len(rows), np.int32)
        self._duplicates = np.zeros(len(rows), np.int32)
        self._has_accounting = False
        self._late = {d.name: np.zeros(len(rows), np.int32) for d in self._definitions}
        self._windows: list[pd.DataFrame] = []
        self._verdict = Verdict()

    def add_aligned(self, values: Iterable[bytes]) -> None:
        names = ["partition", "offset", "event_time_ms", "value", "lon_deg", "lat_deg", "x", "y", "cell"]
        records = [orjson.loads(value) for value in values]
        if not records:
            return
        frame = pd.DataFrame([[r[name] for name in names] for r in records], columns=names)
        frame["series"] = [self._series(r["sensor_id"], r["metric"]) for r in records]
        index, frame = self._found("aligned", frame)
        np.add.at(self._aligned, index, 1)
        rows = self._truth.rows.iloc[index]
        sites = self._truth.sites.iloc[rows["site"].clip(lower=0).to_numpy()]
        right = (frame["event_time_ms"].to_numpy() == rows["claimed_ms"].to_numpy()) & (
            frame["series"].to_numpy() == rows["series"].to_numpy()
        )
        right &= np.isclose(frame["value"], rows["value"], rtol=_RELATIVE, atol=_ABSOLUTE)
        for name, tolerance in (("lon_deg", _DEGREES), ("lat_deg", _DEGREES), ("x", _METRES), ("y", _METRES)):
            right &= np.isclose(frame[name], sites[name], rtol=0.0, atol=tolerance)
        right &= frame["cell"].to_numpy() == sites["cell"].to_numpy()
        wrong = frame[~right & (rows["fate"].to_numpy() == Class.ALIGNED)]
        self._verdict.note("aligned_wrong", wrong.to_dict("records"), len(wrong))

    def add_invalid(self, values: Iterable[bytes]) -> None:
        frame = pd.DataFrame(
            [(r["partition"], r["offset"], r["reason"]) for r in map(orjson.loads, values)],
            columns=["partition", "offset", "reason"],
        )
        index, frame = self._found("invalid", frame)
        np.add.at(self._invalid, index, 1)
        other = (self._fate[index] == Class.INVALID) & (frame["reason"].to_numpy() != self._reason[index])
        self._verdict.note("invalid_for_another_reason", frame[other].to_dict("records"), int(other.sum()))

    def add_accounting(self, values: Iterable[bytes]) -> None:
        """Duplicates that name what they repeat; a variant may leave this topic out."""
        records = [r for r in map(orjson.loads, values) if r["class"] == "duplicate"]
        self._has_accounting = self._has_accounting or bool(records)
        names = ["partition", "offset", "repeats_partition", "repeats_offset"]
        frame = pd.DataFrame([[r[name] for name in names] for r in records], columns=names)
        index, frame = self._found("duplicates", frame)
        np.add.at(self._duplicates, index, 1)
        first, is_known = self._find(
            frame["repeats_partition"].to_numpy(np.int64), frame["repeats_offset"].to_numpy(np.int64)
        )
        digest = self._truth.rows["id_digest"].to_numpy()
        right = is_known & (digest[first] == digest[index]) & (self._fate[first] == Class.ALIGNED)
        self._verdict.note("duplicates_of_nothing", frame[~right].to_dict("records"), int((~right).sum()))

    def add_late(self, values: Iterable[bytes]) -> None:
        """Late readings are known by partition and offset, or where a variant cannot say, by sensor and event id."""
        records = [orjson.loads(value) for value in values]
        if not records:
            return
        if all("offset" in r for r in records):
            partition, offset = (np.array([r[n] for r in records], np.int64) for n in ("partition", "offset"))
            index, known = self._find(partition, offset)
        else:
            index, known = self._find_ids([(r["sensor_id"], r["event_id"]) for r in records])
        known &= self._fate[index] == Class.ALIGNED
        names = np.array([r.get("definition", self._definitions[0].name) for r in records], dtype=object)
        for name, late in self._late.items():
            np.add.at(late, index[known & (names == name)], 1)
        known &= np.isin(names.astype(str), list(self._late))
        strays = np.flatnonzero(~known)
        self._verdict.note("late_of_nothing", (records[i] for i in strays), len(strays))

    def add_windows(self, values: Iterable[bytes]) -> None:
        numbers = ["window_start_ms", "window_end_ms", "count", "mean", "min", "max", "std"]
        lines = [
            (*map(r.get, numbers), r.get("revision", 1), self._series(r["key"], r["metric"]))
            for r in map(orjson.loads, values)
        ]
        if lines:
            frame = pd.DataFrame(lines, columns=["start_ms", "end_ms", *numbers[2:], "revision", "series"])
            frame["size_ms"] = frame.pop("end_ms") - frame["start_ms"]
            self._windows.append(frame)

    def verdict(self) -> Verdict:
        verdict = self._verdict
        verdict.figures |= self._truth.counts()
        if self._is_whole:
            self._compare("aligned", self._aligned, Class.ALIGNED)
            self._compare("invalid", self._invalid, Class.INVALID)
            if self._has_accounting:
                self._compare("duplicates", self._duplicates, Class.DUPLICATE)
        windows = (
            pd.concat(self._windows) if self._windows else pd.DataFrame({"size_ms": [], "revision": [], "series": []})
        )
        for definition in self._definitions:
            if self._has_late_topic:
                self._compare_late(definition)
            self._compare_windows(definition, windows[windows["size_ms"] == definition.size_ms])
        sizes = [definition.size_ms for definition in self._definitions]
        strays = windows[~windows["size_ms"].isin(sizes)]
        verdict.note("windows_of_no_definition", self._described(strays), len(strays))
        return verdict

    def _series(self, sensor: str, metric: str) -> int:
        return self._truth.series.get((sensor, metric), -1)

    def _find(self, partition: Longs, offset: Longs) -> tuple[Longs, Flags]:
        """Line numbers in the truth, and whether there is such a line (else the number is any)."""
        if not len(self._keys):
            return np.zeros(len(partition), np.int64), np.zeros(len(partition), np.bool_)
        wanted = partition << _OFFSET_BITS | offset
        index = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
        return index, self._keys[index] == wanted

    def _find_ids(self, ids: list[tuple[str, str]]) -> tuple[Longs, Flags]:
        if self._digests is None:
            lines = np.flatnonzero(self._fate == Class.ALIGNED)
            digests = self._truth.rows["id_digest"].to_numpy()[lines]
            order = np.argsort(digests)
            self._digests = lines[order], digests[order]
        lines, digests = self._digests
        if not len(lines):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.bool_)
        wanted = np.array([id_digest(*pair) for pair in ids], np.uint64)
        place = np.searchsorted(digests, wanted).clip(max=len(digests) - 1)
        return lines[place], digests[place] == wanted

    def _found(self, topic: str, frame: pd.DataFrame) -> tuple[Longs, pd.DataFrame]:
        """Look up a frame's records by partition and offset, and drop those that are of no raw record."""
        index, known = self._find(frame["partition"].to_numpy(np.int64), frame["offset"].to_numpy(np.int64))
        strays = frame[~known]
        self._verdict.note(f"{topic}_of_nothing", strays.to_dict("records"), len(strays))
        return index[known], frame[known]

    def _compare(self, topic: str, seen: npt.NDArray[np.int32], fate: Class) -> None:
        expected = self._fate == fate
        self._note_rows(f"{topic}_missing", expected & (seen == 0))
        self._note_rows(f"{topic}_doubled", expected & (seen > 1))
        self._note_rows(f"{topic}_unexpected", ~expected & (seen > 0))

    def _note_rows(self, problem: str, mask: Flags) -> None:
        rows = self._truth.rows.loc[np.flatnonzero(mask)[:_SAMPLES], ["partition", "offset", "claimed_ms"]]
        self._verdict.note(problem, rows.to_dict("records"), int(mask.sum()))

    def _compare_late(self, definition: WindowDefinition) -> None:
        late = self._late[definition.name]
        may_be, must_be = self._truth.late(definition)
        offset = self._truth.rows["offset"] - self._truth.rows.groupby("partition")["offset"].transform("min")
        begun = offset.to_numpy() >= self._grace
        self._note_rows(f"late_doubled {definition.name}", late > 1)
        self._note_rows(f"late_but_in_time {definition.name}", (late > 0) & ~may_be)
        self._note_rows(f"in_time_but_late {definition.name}", (late == 0) & must_be & begun)
        self._verdict.figures[f"late {definition.name}"] = int((late > 0).sum())
        self._verdict.figures[f"late_but_let_in {definition.name}"] = int(((late == 0) & must_be).sum())

    def _compare_windows(self, definition: WindowDefinition, published: pd.DataFrame) -> None:
        name, verdict = definition.name, self._verdict
        windowed = (self._fate == Class.ALIGNED) & (self._late[name] == 0)
        expected = self._truth.windows(definition, windowed)
        identity = ["series", "start_ms"]
        if published.empty:
            published = pd.DataFrame(columns=[*expected.columns.drop("due"), "revision"])
        if not self._has_late_topic:
            doubtful = self._truth.windows(definition, self._truth.late(definition)[0])
            expected, published = _without(expected, doubtful), _without(published, doubtful)
            verdict.figures[f"windows_not_looked_at {name}"] = len(doubtful)
        twice = published.duplicated([*identity, "revision"])
        verdict.note(f"windows_doubled {name}", self._described(published[twice]), int(twice.sum()))
        final = published.sort_values("revision").drop_duplicates(identity, keep="last")
        both = expected.merge(final, on=identity, how="outer", suffixes=("", "_published"), indicator=True)
        missing = both[(both["_merge"] == "left_only") & (both["due"] == True)]  # noqa: E712 - it may be NaN
        verdict.note(f"windows_missing {name}", self._described(missing), len(missing))
        extra = both[both["_merge"] == "right_only"]
        verdict.note(f"windows_unexpected {name}", self._described(extra), len(extra))
        both = both[both["_merge"] == "both"]
        right = (both["count"] == both["count_published"]).to_numpy(np.bool_)
        for column in ("mean", "min", "max"):
            right &= _close(both[column], both[f"{column}_published"], _RELATIVE, _ABSOLUTE)
        right &= _close(both["std"], both["std_published"], _STD_TOLERANCE, _STD_TOLERANCE)
        verdict.note(f"windows_wrong {name}", self._described(both[~right]), int((~right).sum()))
        verdict.figures[f"windows {name}"] = len(final)
        verdict.figures[f"window_rows {name}"] = len(published)

    def _described(self, windows: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Windows for a person: the series by its names, without what is not there."""
        names = {number: " ".join(series) for series, number in self._truth.series.items()}
        for line in windows.head(_SAMPLES).drop(columns="_merge", errors="ignore").to_dict("records"):
            series = names.get(line.pop("series"), "unknown series")
            yield {"series": series, **{name: value for name, value in line.items() if value == value}}


def _without(windows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    identity = ["series", "start_ms"]
    return windows[~windows.set_index(identity).index.isin(others.set_index(identity).index)]


def _close(wanted: Any, given: Any, relative: float, absolute: float) -> Flags:
    close: Flags = np.isclose(wanted.to_numpy(np.float64), given.to_numpy(np.float64), rtol=relative, atol=absolute)
    return close
