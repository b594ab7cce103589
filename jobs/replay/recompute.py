"""Windows computed again from the aligned readings, by the job's own window code, for the readings that missed them.

A window is a pure function of its readings here: they are sorted first, and the order in which topics give them does
not matter. What the published row holds already is not published again, so a second run finds nothing to do.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import msgspec

from jobs.replay.late import AlignedReading
from jobs.validation.compare import compare
from jobs.validation.explain import Place
from jobs.validation.rows import WINDOW_ROWS, Key, Row, final_rows
from udfs.aggregate import Aggregate
from udfs.frame import Readings, Station, decode_frame, encode_frame
from udfs.frame import Row as FrameRow
from udfs.outputs import Outputs
from udfs.pane import Window
from udfs.rules import Rules, WindowKey
from udfs.shard_log import NO_WATERMARK
from udfs.window import Firing, Windowed, Windows

RECOMPUTED = "recomputed"
_END_MS = 2**62
_KEYS: tuple[WindowKey, ...] = ("sensor", "cell", "region")


@dataclass
class Plan:
    """What is to be published, and why the rest is not; the counts are windows."""

    records: list[tuple[bytes, bytes]] = field(default_factory=list)  # key and value of the windows topic
    late_readings: int = 0  # in the rows to be published, once for each row
    up_to_date: int = 0  # the published row holds them already
    not_closed: int = 0  # the job can still publish them itself
    incomplete: int = 0  # the aligned topic no longer holds all of their readings
    not_aligned: int = 0  # late readings that the aligned topic does not hold at all, or whose definition is gone

    def to_dict(self) -> dict[str, Any]:
        figures = {name: value for name, value in asdict(self).items() if name != "records"}
        return {"published": len(self.records), **figures}


def plan_rows(
    wanted: Mapping[Key, Collection[Place]],
    aligned: Iterable[AlignedReading],
    published: Mapping[Key, Row],
    rules: Rules,
    topic: str,
    watermark_ms: int,
) -> Plan:
    """Compute rows again, and decide which of them are to be published with their next revision.

    Parameters
    ----------
    wanted : the late readings of each row.
    aligned : all aligned readings of these rows, in any order; others do no harm, nor does one that comes twice.
    published : the final rows of the windows topic.
    topic : the raw topic.
    watermark_ms : that the job has passed.
    """
    plan = Plan()
    allowed_ms = {stream.name: stream.allowed_lateness_ms for stream in rules.streams}
    closed = {k: p for k, p in wanted.items() if k[3] - 1 + allowed_ms[k[0]] <= watermark_ms}
    plan.not_closed = len(wanted) - len(closed)
    readings = _by_key(aligned, closed.keys(), rules)
    repeats = {key: _repeats(found, closed[key]) for key, found in readings.items()}
    folded = recompute(_without(readings, repeats), closed.keys(), rules)
    firings: dict[Key, Firing] = {}
    for key, places in closed.items():
        before, window = published.get(key), Window(key[0], key[1], key[2], key[3])
        late = len(places) - len(repeats.get(key, ()))
        if not late:
            plan.up_to_date += 1
        elif key not in folded or folded[key].count != _in_time(before) + late:
            plan.incomplete += 1
        else:
            revision = 1 if before is None else before.revision + 1
            firings[key] = Firing(window, folded[key], RECOMPUTED, revision, late)
    _publish(plan, firings, published, rules, topic)
    return plan


def recompute(readings: Iterable[AlignedReading], keys: Collection[Key], rules: Rules) -> dict[Key, Aggregate]:
    """Fold readings into windows by the job's code, and give those of some keys."""
    frame = _as_frame(readings)
    if not len(frame):
        return {}
    store = _Memory()
    windows = Windows(rules.streams, _KEYS, store)
    windows.add(store, frame, range(len(frame)), NO_WATERMARK)
    firings = windows.advance(store, _END_MS).firings
    found: dict[Key, Aggregate] = {(*f.window, f.aggregate.key, f.aggregate.metric): f.aggregate for f in firings}
    return {key: aggregate for key, aggregate in found.items() if key in keys}


def _publish(plan: Plan, firings: Mapping[Key, Firing], published: Mapping[Key, Row], rules: Rules, topic: str) -> None:
    outputs = Outputs(rules, topic)
    outputs.windowed(Windowed(list(firings.values()), [], [], []))
    made = [(key, value) for _, key, values in outputs.take() for value in values]
    rows = final_rows((msgspec.json.decode(value) for _, value in made), WINDOW_ROWS, -_END_MS, _END_MS)
    pairs = compare({key: row for key, row in published.items() if key in rows}, rows, WINDOW_ROWS)
    unlike = {pair.key for pair in pairs if pair.live is None or pair.differs}
    for key, record in zip(rows, made, strict=True):
        if key in unlike:
            plan.records.append(record)
            plan.late_readings += firings[key].late_readings
        else:
            plan.up_to_date += 1


def _by_key(
    aligned: Iterable[AlignedReading], keys: Collection[Key], rules: Rules
) -> dict[Key, dict[Place, AlignedReading]]:
    found: defaultdict[Key, dict[Place, AlignedReading]] = defaultdict(dict)
    for reading in aligned:
        for key in reading.keys(rules):
            if key in keys:
                found[key][reading.place] = reading
    return found


def _repeats(readings: Mapping[Place, AlignedReading], late: Collection[Place]) -> set[Place]:
    """Late readings whose ids were forgotten and that another reading has: streaming could not tell, we can."""
    ids = {(r.sensor_id, r.event_id) for r in readings.values() if not r.beyond_dedup_horizon}
    marked = sorted(p for p in late if p in readings and readings[p].beyond_dedup_horizon)
    found = set()
    for place in marked:
        name = (readings[place].sensor_id, readings[place].event_id)
        if name in ids:
            found.add(place)
        ids.add(name)
    return found


def _without(
    readings: Mapping[Key, Mapping[Place, AlignedReading]], repeats: Mapping[Key, Collection[Place]]
) -> list[AlignedReading]:
    """Each reading once; a repeat is one in all of its windows."""
    dropped = {place for places in repeats.values() for place in places}
    found = {p: r for of_key in readings.values() for p, r in of_key.items() if p not in dropped}
    return list(found.values())


def _in_time(before: Row | None) -> int:
    """How many readings the job itself has put into a row."""
    if before is None or before.is_provisional:
        return 0
    return int(before.values[WINDOW_ROWS.values.index("count")]) - before.late_readings


class _Site(NamedTuple):
    stream: str
    sensor_id: str
    metric: str
    region: str
    cell: str
    lon_deg: float
    lat_deg: float
    x: float
    y: float


_site_of = operator.attrgetter(*_Site._fields)


def _as_frame(readings: Iterable[AlignedReading]) -> Readings:
    """Readings as the job's windows take them, in one order whatever the order they came in."""
    stations: dict[_Site, Station] = {}
    rows = []
    for r in sorted(readings, key=lambda r: (r.event_time_ms, r.event_id, r.sensor_id, r.place)):
        site = _Site(*_site_of(r))
        station = stations.get(site)
        if station is None:
            station = stations[site] = Station(*site, b"", b"")
        rows.append(
            FrameRow(
                station, r.event_id, r.event_time_ms, r.value, 0, 0, r.partition, r.offset, 0, b"", b"",
                r.sampling_fraction,
            )
        )  # fmt: skip
    frame, _ = decode_frame(encode_frame(rows))
    return frame


class _Memory(dict[str, bytes]):
    """State of one shard that nobody restores."""

    def put(self, key: str, value: bytes) -> None:
        self[key] = value

    def remove(self, key: str) -> None:
        del self[key]
