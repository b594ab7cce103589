"""Which windows late readings have missed.

A dead letter of a late reading, or a note that it was partly late, is the job's word that the windows it names are
purged: whoever holds a window's key has passed its end by the allowed lateness, keeps that over restarts, and publishes
nothing of it any more. So the next revision is free (`recompute`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from jobs.validation.explain import Place, row_keys
from jobs.validation.rows import Key
from udfs.rules import Rules
from udfs.shard_log import NO_WATERMARK


class Miss(msgspec.Struct, gc=False):
    """Which windows a reading has missed: of a letter, or of a note in the accounting topic."""

    partition: int = -1
    offset: int = -1
    kind: str = msgspec.field(name="class", default="late")  # letters have no class
    stream: str = ""
    definition: str = ""
    missed_windows: list[int] = []
    watermark_ms: int = NO_WATERMARK


class AlignedReading(msgspec.Struct, gc=False):
    """An aligned record, as far as windows need it."""

    partition: int
    offset: int
    stream: str
    metric: str
    sensor_id: str
    region: str
    cell: str
    event_id: str
    event_time_ms: int
    value: float
    lon_deg: float
    lat_deg: float
    x: float
    y: float
    sampling_fraction: float = 1.0
    beyond_dedup_horizon: bool = False

    @property
    def place(self) -> Place:
        return self.partition, self.offset

    def keys(self, rules: Rules) -> Iterator[Key]:
        """The keys of all windows that hold it."""
        for stream in rules.streams:
            if stream.name == self.stream:
                yield from row_keys(msgspec.structs.asdict(self), stream)


decode_miss = msgspec.json.Decoder(Miss).decode
decode_aligned = msgspec.json.Decoder(AlignedReading).decode


@dataclass(frozen=True)
class Choice:
    """Which windows: of one `stream/definition`, and whose start is in [from_ms, to_ms); None: without that limit."""

    definition: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None

    def takes(self, stream: str, definition: str, start_ms: int) -> bool:
        return (
            self.definition in (None, f"{stream}/{definition}")
            and (self.from_ms is None or self.from_ms <= start_ms)
            and (self.to_ms is None or start_ms < self.to_ms)
        )


class Missed:
    """Who has missed which windows; `watermark_ms` is the latest that the job is known to have passed."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self.places: defaultdict[tuple[str, str, int], set[Place]] = defaultdict(set)
        self.watermark_ms = NO_WATERMARK

    def add(self, misses: Iterable[Miss]) -> None:
        for miss in misses:
            if miss.kind not in ("late", "partly_late"):
                continue
            self.watermark_ms = max(self.watermark_ms, miss.watermark_ms)
            for start_ms in miss.missed_windows:
                if self._choice.takes(miss.stream, miss.definition, start_ms):
                    self.places[miss.stream, miss.definition, start_ms].add((miss.partition, miss.offset))

    @property
    def earliest_ms(self) -> int:
        """The start of the first window; there has to be one."""
        return min(start_ms for _, _, start_ms in self.places)

    @property
    def readings(self) -> int:
        return len(set().union(*self.places.values()))

    def by_key(self, aligned: Iterable[AlignedReading], rules: Rules) -> dict[Key, set[Place]]:
        """The late readings by the rows that lack them; only the aligned topic knows cell and region."""
        late = set().union(*self.places.values())
        found: defaultdict[Key, set[Place]] = defaultdict(set)
        for reading in aligned:
            if reading.place in late:
                for key in reading.keys(rules):
                    if reading.place in self.places.get((key[0], key[1], key[2]), ()):
                        found[key].add(reading.place)
        return dict(found)
