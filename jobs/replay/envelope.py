"""From readings to the raw envelope: headers, and a key that keeps neighbours together."""

from __future__ import annotations

from typing import Any

import orjson

from jobs.generator.network import partition_of
from udfs.cell import CellAssigner
from udfs.crs import Locator
from udfs.reading import Position
from udfs.rules import Rules

Envelope = tuple[bytes, bytes, int, list[tuple[str, str | bytes | None]]]  # value, key, partition, headers


class Wrapper:
    """Wraps readings; a place is located once."""

    def __init__(self, rules: Rules, partitions: int) -> None:
        self._by_region = rules.cell.scheme == "region"
        self._locator = Locator(rules.position, CellAssigner(rules.cell).cell)
        self._partitions = partitions

    def wrap(self, reading: dict[str, Any], now_ms: int) -> Envelope:
        key = self._key(reading)
        headers: list[tuple[str, str | bytes | None]] = [
            ("sensor_id", reading["sensor_id"].encode()),
            ("ingest_timestamp", b"%d" % now_ms),
            ("event_timestamp", b"%d" % reading["event_time"]),
            ("crs_source", reading["crs"].encode()),
            ("payload_version", b"1"),
            ("content-type", b"application/json"),
        ]
        return orjson.dumps(reading), key, partition_of(key, self._partitions), headers

    def _key(self, reading: dict[str, Any]) -> bytes:
        region = reading.get("region", "")
        if self._by_region:
            return str(region).encode()
        place = self._locator.locate_many([(reading["crs"], reading["x"], reading["y"], region)])[0]
        # What has no cell will be refused by the job; it still needs a partition.
        return (place.cell if isinstance(place, Position) else region or "nowhere").encode()
