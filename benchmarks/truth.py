"""What must become of each raw record, folded from the raw topic alone; shares no code with the job or the baselines.

Kept as columns, about a hundred bytes a record. Within a partition the order is that of the offsets, so what is a
duplicate is certain; what is late depends on how evenly a variant reads the partitions, so the truth only says which
readings may be late and which are so late that they must be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import xxhash
from pyproj import Transformer

from benchmarks.settings import (
    CELL_M,
    FLOOR_MS,
    MAX_FUTURE_MS,
    METRICS,
    OUT_OF_ORDERNESS_MS,
    TARGET_CRS,
    WindowDefinition,
)

_SURELY_LATE_MS = 30 * 60_000
_NEVER = np.iinfo(np.int64).min // 2
_TIME = re.compile(rb'"event_time":(\d{13})')
_KNOWN_CRS = ("EPSG:27700", "EPSG:25832", "EPSG:4326")

Flags = npt.NDArray[np.bool_]


class Class(IntEnum):
    """The fate of a raw record."""

    ALIGNED = 0
    DUPLICATE = 1
    INVALID = 2
    CONTROL = 3


class Raw(NamedTuple):
    """One record of the raw topic."""

    partition: int
    offset: int
    append_ms: int
    value: bytes


class _Row(NamedTuple):
    partition: int
    offset: int
    claimed_ms: int
    value: float
    series: int
    site: int
    id_digest: int
    fate: int
    reason: str


@dataclass
class Truth:
    """`rows` has one line per raw record, in the order of partition and offset."""

    rows: pd.DataFrame
    series: dict[tuple[str, str], int]
    sites: pd.DataFrame  # lon_deg, lat_deg, x, y, cell by number
    watermark_ms: int  # where it ends when everything has been read

    def counts(self) -> dict[str, int]:
        found = self.rows["fate"].value_counts()
        return {fate.name.lower(): int(found.get(fate, 0)) for fate in Class}

    def late(self, definition: WindowDefinition) -> tuple[Flags, Flags]:
        """Which aligned readings may be late for all windows of a definition, and which certainly are.

        A watermark is never ahead of what the reading's own partition has shown, so a reading that is in time by
        that is in time. One that is half an hour later than late is late, once watermarks have begun to move.
        """
        event_ms = self.rows["claimed_ms"].to_numpy()
        slide_ms = definition.slide_ms
        last_end_ms = event_ms - event_ms % slide_ms + definition.size_ms
        behind_ms = self.rows["own_watermark_ms"].to_numpy() - (last_end_ms - 1 + definition.allowed_lateness_ms)
        aligned = (self.rows["fate"] == Class.ALIGNED).to_numpy()
        return aligned & (behind_ms >= 0), aligned & (behind_ms >= _SURELY_LATE_MS)

    def windows(self, definition: WindowDefinition, windowed: Flags) -> pd.DataFrame:
        """Fold readings into final windows, by panes of one slide: series, start_ms, count, mean, min, max, std."""
        readings = self.rows.loc[windowed, ["series", "claimed_ms", "value"]]
        # Sums of squares are taken about a typical value of the series, or they would cancel.
        centre = readings.groupby("series")["value"].first()
        about = readings["value"] - centre.loc[readings["series"]].to_numpy()
        pane_ms = readings["claimed_ms"] - readings["claimed_ms"] % definition.slide_ms
        frame = pd.DataFrame(
            {"series": readings["series"], "start_ms": pane_ms, "value": readings["value"], "about": about}
        )
        frame["square"] = frame["about"] ** 2
        panes = _combine(frame, ("value", "value", "about", "square"), "size")
        back = [panes.assign(start_ms=panes["start_ms"] - n * definition.slide_ms) for n in range(_panes(definition))]
        whole = _combine(pd.concat(back), ("min", "max", "about", "square"), "count")
        mean = whole["about"] / whole["count"]
        whole["mean"] = mean + centre.loc[whole["series"]].to_numpy()
        whole["std"] = np.sqrt((whole["square"] / whole["count"] - mean**2).clip(lower=0.0))
        whole["due"] = whole["start_ms"] + definition.size_ms - 1 <= self.watermark_ms
        return whole.drop(columns=["about", "square"])


def _panes(definition: WindowDefinition) -> int:
    count, rest = divmod(definition.size_ms, definition.slide_ms)
    if rest:
        raise ValueError(f"{definition.name}: the size is no multiple of the slide")
    return count


def _combine(frame: pd.DataFrame, columns: Sequence[str], count: str) -> pd.DataFrame:
    lowest, highest, about, square = columns
    number = (lowest, "size") if count == "size" else (count, "sum")
    groups = frame.groupby(["series", "start_ms"], sort=False)
    return groups.agg(
        count=number, min=(lowest, "min"), max=(highest, "max"), about=(about, "sum"), square=(square, "sum")
    ).reset_index()


class Folder:
    """Collects raw records batch by batch; `truth` ends it."""

    def __init__(self) -> None:
        self._frames: list[pd.DataFrame] = []
        self._series: dict[tuple[str, str], int] = {}
        self._sites: dict[tuple[str, float, float], int] = {}

    def add(self, records: Iterable[Raw]) -> None:
        rows = [self._read(record) for record in records]
        if rows:
            frame = pd.DataFrame(rows, columns=_Row._fields).astype(
                {"partition": "int16", "series": "int32", "site": "int32", "id_digest": "uint64", "fate": "int8"}
            )
            self._frames.append(frame.astype({"reason": "category"}))

    def truth(self) -> Truth:
        frames = self._frames or [pd.DataFrame([], columns=_Row._fields)]
        reasons = pd.api.types.union_categoricals([f["reason"].astype("category") for f in frames])
        rows = pd.concat([frame.drop(columns="reason") for frame in frames], ignore_index=True)
        rows["reason"] = reasons
        self._frames = []
        rows = rows.sort_values(["partition", "offset"], ignore_index=True)
        valid = rows["fate"] == Class.ALIGNED
        repeats = rows.loc[valid, "id_digest"].duplicated()
        rows.loc[repeats.index[repeats], "fate"] = Class.DUPLICATE
        rows["own_watermark_ms"] = rows.groupby("partition")["claimed_ms"].cummax() - OUT_OF_ORDERNESS_MS - 1
        last = rows.groupby("partition")["own_watermark_ms"].max()
        return Truth(rows, self._series, _locate(list(self._sites)), int(last.min()) if len(last) else _NEVER)

    def _read(self, record: Raw) -> _Row:
        partition, offset, append_ms, value = record
        try:
            reading = orjson.loads(value)
        except orjson.JSONDecodeError:
            found = _TIME.search(value)
            return _refused(record, int(found[1]) if found else _NEVER, "malformed_json")
        if "control" in reading:
            return _Row(partition, offset, reading["event_time"], 0.0, -1, -1, 0, Class.CONTROL, "")
        claimed_ms = reading["event_time"]
        if claimed_ms > append_ms + MAX_FUTURE_MS:
            return _refused(record, _NEVER, "in_future")
        if claimed_ms < FLOOR_MS:
            return _refused(record, _NEVER, "before_floor")
        reason = _fault(reading)
        if reason:
            return _refused(record, claimed_ms, reason)
        metric = METRICS[reading["metric"]]
        scale, shift = metric.units[reading["unit"]]
        canonical = reading["value"] * scale + shift
        if not metric.lowest <= canonical <= metric.highest:
            return _refused(record, claimed_ms, "value_out_of_range")
        sensor = reading["sensor_id"]
        series = self._series.setdefault((sensor, reading["metric"]), len(self._series))
        site = self._sites.setdefault((reading["crs"], reading["x"], reading["y"]), len(self._sites))
        digest = id_digest(sensor, reading["event_id"])
        return _Row(partition, offset, claimed_ms, canonical, series, site, digest, Class.ALIGNED, "")


def id_digest(sensor_id: str, event_id: str) -> int:
    return xxhash.xxh3_64_intdigest(f"{sensor_id}\0{event_id}".encode())


def _refused(record: Raw, claimed_ms: int, reason: str) -> _Row:
    return _Row(record.partition, record.offset, claimed_ms, 0.0, -1, -1, 0, Class.INVALID, reason)


def _fault(reading: dict[str, Any]) -> str:
    """Why a parsed reading must be refused, of the ways in which the workload spoils readings; "" for none."""
    if reading["metric"] not in METRICS:
        return "unknown_metric"
    if type(reading["value"]) not in (int, float):
        return "wrong_type"
    if reading["crs"] not in _KNOWN_CRS:
        return "unknown_crs"
    if reading["crs"] == "EPSG:4326" and not (abs(reading["x"]) <= 180 and abs(reading["y"]) <= 90):
        return "position_out_of_range"
    return ""


@lru_cache
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def _locate(sites: list[tuple[str, float, float]]) -> pd.DataFrame:
    lines = []
    for crs, x, y in sites:
        lon_deg, lat_deg = (x, y) if crs == "EPSG:4326" else _transformer(crs, "EPSG:4326").transform(x, y)
        to_x, to_y = _transformer(crs, TARGET_CRS).transform(x, y)
        lines.append((lon_deg, lat_deg, to_x, to_y, f"g{CELL_M}:E{int(to_x // CELL_M)}:N{int(to_y // CELL_M)}"))
    return pd.DataFrame(lines, columns=["lon_deg", "lat_deg", "x", "y", "cell"])
