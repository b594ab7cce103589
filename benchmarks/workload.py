"""Makes the readings of a benchmark: a seeded stream of stationary sensors, rendered from templates.

    python -m benchmarks.workload --bootstrap 127.0.0.1:9092 --topic bench.whole.raw --work whole --count 1000000

A reading's arrival is regular, one per sensor and step; its event time is the arrival less a delay. Everything about a
row follows from the seed and its number, so partitions can be sent by several processes, and two runs with the same
parameters send the same bytes. What must become of each record is not written down: `benchmarks.oracle` works it out
from the topic itself.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.broker_io import create_topics, finish, make_producer, make_room
from benchmarks.places import CRSS, Site, find_sites
from benchmarks.settings import METRICS, Work

LATE_MS = 2 * 3_600_000
DISORDER_MS = 20_000
_DISORDERED, _DUPLICATES, _INVALID = 0.10, 0.01, 0.001
_BLOCK = 65_536
_VALUES = 4_096  # values rendered per metric and unit
_CHUNK = 5_000  # records between looks at the producer's queue

Longs = npt.NDArray[np.int64]
Header = tuple[str, str | bytes | None]  # as confluent-kafka types it
_CLIMATES = {"air_temperature": (9.0, 5.0), "pm2_5": (40.0, 8.0), "water_level": (1.8, 0.3)}


class Kind(IntEnum):
    """What a row is; the invalid ones are spoilt in one way each."""

    GOOD = 0
    DUPLICATE = 1
    TRUNCATED = 2
    LATITUDE_95 = 3
    UNKNOWN_METRIC = 4
    TEXT_FOR_VALUE = 5


@dataclass(frozen=True)
class Workload:
    """Parameters of one run; `start_ms` is the first arrival, epoch ms."""

    work: Work
    count: int
    start_ms: int
    seed: int = 1
    sensors: int = 1_000
    step_ms: int = 1_000
    partitions: int = 4
    hot_share: float = 0.0  # of the sensors, so of the traffic, that stand in one cell
    hot_regions: int = 4  # that meet in the hot cell; 1 makes their partition hot too
    late_share: float = 0.005
    late_span_ms: int = 0  # late readings are two hours late, and up to this much more

    @property
    def end_ms(self) -> int:
        """The last arrival."""
        return int(arrival_ms(self, np.array([max(self.count - 1, 0)], np.int64))[0])


def ending_at(workload: Workload, now_ms: int) -> Workload:
    """Move a run so that its last reading arrives then."""
    return replace(workload, start_ms=now_ms - (workload.end_ms - workload.start_ms))


class Record(NamedTuple):
    value: bytes
    key: bytes
    partition: int
    headers: list[Header]


class Block(NamedTuple):
    """Consecutive rows. `origin` is the row whose reading is sent: another one only for a duplicate."""

    origin: Longs
    kind: npt.NDArray[np.int8]
    sensor: Longs
    event_ms: Longs
    ingest_ms: Longs
    value: Longs


def arrival_ms(workload: Workload, rows: Longs) -> Longs:
    """Arrivals are spread over a step, sensor by sensor."""
    step, sensor = np.divmod(rows, workload.sensors)
    return workload.start_ms + step * workload.step_ms + sensor * workload.step_ms // workload.sensors


def blocks(workload: Workload) -> Iterator[Block]:
    """The whole run in the order of arrival."""
    for number, first in enumerate(range(0, workload.count, _BLOCK)):
        rng = np.random.default_rng([workload.seed, number])
        yield _block(workload, rng, np.arange(first, min(first + _BLOCK, workload.count), dtype=np.int64))


def _block(workload: Workload, rng: np.random.Generator, rows: Longs) -> Block:
    # Always the same draws, whatever the work, so that both works have the same readings.
    fate, spoil = rng.random(_BLOCK)[: len(rows)], rng.random(_BLOCK)[: len(rows)]
    delay_ms = rng.integers(1, DISORDER_MS + 1, _BLOCK)[: len(rows)]
    value = rng.integers(0, _VALUES, _BLOCK)[: len(rows)]
    how_far = rng.random(_BLOCK)[: len(rows)]
    late_ms = LATE_MS + (how_far * workload.late_span_ms).astype(np.int64)
    late = fate < workload.late_share
    delay_ms = np.where(late, late_ms, np.where(fate < workload.late_share + _DISORDERED, delay_ms, 0))
    kind = np.zeros(len(rows), np.int8)
    index = np.arange(len(rows))
    if workload.work == "whole":
        wrong = spoil < _INVALID
        kind[wrong] = Kind.TRUNCATED + value[wrong] % 4
        # A copy of a good row of the same block, at most as many steps ago as readings are out of order.
        repeats = (spoil >= _INVALID) & (spoil < _INVALID + _DUPLICATES)
        farthest = np.minimum(index, DISORDER_MS // workload.step_ms * workload.sensors)
        source = np.maximum(index - 1 - (how_far * farthest).astype(np.int64), 0)
        repeats &= (index > 0) & (kind[source] == Kind.GOOD) & ~repeats[source]
        kind[repeats] = Kind.DUPLICATE
        index = np.where(repeats, source, index)
    ingest_ms = arrival_ms(workload, rows)
    origin = rows[index]
    return Block(
        origin, kind, origin % workload.sensors, (ingest_ms - delay_ms)[index], ingest_ms, value[index].astype(np.int64)
    )


def sites(workload: Workload) -> list[Site]:
    """The sensors of a run; only *whole* has units that need converting."""
    return find_sites(
        workload.seed, workload.sensors, workload.hot_share, workload.hot_regions, mixed_units=workload.work == "whole"
    )


def partitions_of(workload: Workload, found: Sequence[Site]) -> Longs:
    """The partition of each sensor: that of its region."""
    return np.array([site.region % workload.partitions for site in found], np.int64)


class Renderer:
    """Turns blocks into Kafka records; one template per sensor, one table of values per metric and unit."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._sites = sites(workload)
        rng = np.random.default_rng([workload.seed, _VALUES])
        tables = {pair: _values(*pair, rng) for pair in ((m, u) for m in METRICS for u in METRICS[m].units)}
        self._values = [tables[site.metric, site.unit] for site in self._sites]
        self._templates = [_template(site) for site in self._sites]
        self._keys = [_region_name(site.region) for site in self._sites]
        self._partitions = partitions_of(workload, self._sites)
        self._sensor_headers = [("sensor_id", site.sensor.encode()) for site in self._sites]
        crs_headers = {crs: ("crs_source", crs.encode()) for crs in CRSS}
        self._crs_headers = [crs_headers[site.crs] for site in self._sites]

    def render(self, block: Block, process: int = 0, processes: int = 1) -> Iterator[Record]:
        """The records of the partitions of one process."""
        partition = self._partitions[block.sensor]
        if processes > 1:
            mine = partition % processes == process
            partition, block = partition[mine], Block(*(column[mine] for column in block))
        columns = [column.tolist() for column in (*block, partition)]
        templates, values, keys = self._templates, self._values, self._keys
        sensor_headers, crs_headers = self._sensor_headers, self._crs_headers
        version, content_type = ("payload_version", b"1"), ("content-type", b"application/json")
        for row, kind, sensor, event_ms, ingest_ms, value, target in zip(*columns, strict=True):
            time_text = b"%d" % event_ms
            body = templates[sensor] % (row, values[sensor][value], time_text)
            crs = crs_headers[sensor]
            if kind > Kind.DUPLICATE:
                body = self._spoil(body, Kind(kind), sensor, values[sensor][value])
                if kind == Kind.LATITUDE_95:
                    crs = ("crs_source", b"EPSG:4326")
            yield Record(
                body,
                keys[sensor],
                target,
                [
                    sensor_headers[sensor],
                    ("ingest_timestamp", b"%d" % ingest_ms),
                    ("event_timestamp", time_text),
                    crs,
                    version,
                    content_type,
                ],
            )

    def _spoil(self, body: bytes, kind: Kind, sensor: int, value: bytes) -> bytes:
        site = self._sites[sensor]
        if kind is Kind.TRUNCATED:
            return body[: body.index(b'"crs"')]
        if kind is Kind.LATITUDE_95:
            return body[: body.index(b'"x"')] + b'"x":9.5,"y":95.0,"crs":"EPSG:4326"}'
        if kind is Kind.UNKNOWN_METRIC:
            return body.replace(b'"metric":"' + site.metric.encode(), b'"metric":"phlogiston', 1)
        return body.replace(b'"value":' + value, b'"value":"NaN"', 1)


def _region_name(region: int) -> bytes:
    return b"region-%02d" % region


def _template(site: Site) -> bytes:
    """A body with places for row number, value and event time."""
    return (
        f'{{"event_id":"{site.sensor}-%x","sensor_id":"{site.sensor}","region":"{_region_name(site.region).decode()}",'
        f'"metric":"{site.metric}","value":%s,"unit":"{site.unit}","event_time":%s,'
        f'"x":{site.x},"y":{site.y},"crs":"{site.crs}"}}'
    ).encode()


def _values(metric: str, unit: str, rng: np.random.Generator) -> list[bytes]:
    """Likely values of a metric, as texts in the unit sent."""
    mean, spread = _CLIMATES[metric]
    scale, offset = METRICS[metric].units[unit]
    decimals = 2 + max(0, round(float(np.log10(scale))))
    canonical = mean + spread * rng.standard_normal(_VALUES).clip(-4.0, 4.0)
    return [f"{(value - offset) / scale:.{decimals}f}".encode() for value in canonical]


def send(workload: Workload, bootstrap: str, topic: str, process: int = 0, processes: int = 1) -> dict[str, float]:
    """Send the partitions of one process.

    Returns
    -------
        How many records of each kind, and `seconds` until the broker has all of them.
    """
    renderer = Renderer(workload)
    # Idempotence keeps the order of a partition when a batch has to be sent again.
    producer = make_producer(bootstrap, **{"enable.idempotence": True})
    produce = producer.produce
    began = time.monotonic()
    sent = 0
    for block in blocks(workload):
        for record in renderer.render(block, process, processes):
            produce(topic, record.value, record.key, record.partition, headers=record.headers)
            sent += 1
            if sent % _CHUNK == 0:
                make_room(producer)
    finish(producer, topic)
    return {"sent": sent, "seconds": time.monotonic() - began}


def send_all(workload: Workload, bootstrap: str, topic: str, processes: int = 1) -> dict[str, float]:
    """Create the topic if need be and send the run, by several processes when asked."""
    create_topics(bootstrap, [topic], workload.partitions, {"message.timestamp.type": "LogAppendTime"})
    if processes == 1:
        return send(workload, bootstrap, topic)
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        parts = pool.starmap(send, [(workload, bootstrap, topic, number, processes) for number in range(processes)])
    return {"sent": sum(part["sent"] for part in parts), "seconds": time.monotonic() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description="Send the readings of a benchmark into a topic.")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--work", choices=("windows", "whole"), required=True)
    parser.add_argument("--count", type=int, required=True, help="records, duplicates and invalid ones included")
    parser.add_argument("--start", type=int, help="first arrival, epoch ms (default: so that the last one is now)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sensors", type=int, default=1_000)
    parser.add_argument("--step-ms", type=int, default=1_000, help="event time between readings of a sensor")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--hot-share", type=float, default=0.0, help="share of the traffic in one cell")
    parser.add_argument("--hot-regions", type=int, default=4, help="regions that meet in the hot cell")
    parser.add_argument("--processes", type=int, default=1)
    given = vars(parser.parse_args())
    bootstrap, topic, processes, start_ms = (given.pop(name) for name in ("bootstrap", "topic", "processes", "start"))
    workload = Workload(**given, start_ms=start_ms or 0)
    if start_ms is None:
        workload = ending_at(workload, time.time_ns() // 1_000_000)
    result = send_all(workload, bootstrap, topic, processes)
    print(json.dumps({**asdict(workload), "end_ms": workload.end_ms, **result}))


if __name__ == "__main__":
    main()
