"""When each record is sent and what it is: the whole plan of a run as blocks of arrays, in sending order.

Planning is vectorised and cheap, so every producing process makes the whole plan and renders its own partitions. The
plan depends on the knobs and the network only, never on the speed of sending.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.generator import poison
from jobs.generator.knobs import Knobs
from jobs.generator.network import Clock, Network
from udfs.reasons import Reason
from udfs.rules import Rules

_BLOCK_READINGS = 100_000

# Kinds of records. Poison kinds follow, in the order of `Kinds.poisons`.
GOOD, RESENT, RESERIALISED, CONFLICT, FIRST_POISON = 0, 1, 2, 3, 4
NO_CLAIM = -(2**62)  # of a record that moves no watermark


@dataclass
class Rows:
    """Records as columns; `number` is the reading, shared by a record and its repeats."""

    number: NDArray[Any]
    arrival_ms: NDArray[Any]
    event_ms: NDArray[Any]
    series: NDArray[Any]
    template: NDArray[Any]
    kind: NDArray[Any]
    value: NDArray[Any]
    repeated: NDArray[Any]  # the original of records still to come

    def take(self, index: NDArray[Any]) -> Rows:
        return Rows(*(getattr(self, f.name)[index] for f in fields(Rows)))

    @staticmethod
    def join(parts: list[Rows]) -> Rows:
        return Rows(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Rows)))

    def __len__(self) -> int:
        return len(self.number)


@dataclass
class Block:
    """A stretch of the plan: rows in sending order from sequence number `first_seq` on."""

    first_seq: int
    rows: Rows
    partition: NDArray[Any]
    original_seq: NDArray[Any]  # -1: the row repeats nothing
    claimed_ms: NDArray[Any]  # event time by which the row may move its partition's watermark, or NO_CLAIM


class Kinds:
    """The poison kinds of a deployment and which of them fit which template."""

    def __init__(self, network: Network, rules: Rules) -> None:
        self.mixed = poison.KINDS
        self.clocks = (poison.CLOCK_FAST, poison.CLOCK_1970, poison.CLOCK_2100)
        limit = rules.limits.max_body_bytes
        sizes = [limit + 1, max(limit + 1, 10_000_000)]
        self.oversized = tuple(
            poison.Poison(f"body-{size}", Reason.BODY_TOO_LARGE, poison.oversized(size)) for size in sizes
        )
        self.poisons = (*self.mixed, *self.clocks, *self.oversized)
        series = [network.series[i] for i in network.template_series]
        self.fits = np.array(
            [
                [k.applies(s, site, rules) for s, site in zip(series, network.template_site, strict=True)]
                if k.applies is not poison._always
                else [True] * len(series)
                for k in self.mixed
            ]
        )
        shifts = [0] * FIRST_POISON + [k.shift_ms for k in self.poisons]
        moves = [True] * FIRST_POISON + [k.moves_watermark for k in self.poisons]
        self.shift_ms, self.moves = np.array(shifts, np.int64), np.array(moves, np.bool_)
        first_clock = FIRST_POISON + len(self.mixed)
        self.of_clock = {
            Clock.FAST: first_clock,
            Clock.YEAR_1970: first_clock + 1,
            Clock.YEAR_2100: first_clock + 2,
        }
        self.first_oversized = first_clock + len(self.clocks)


class Schedule:
    """Plans a run; iterate it once."""

    def __init__(self, network: Network, knobs: Knobs, rules: Rules, first_seq: int = 0) -> None:
        self.network, self.knobs, self.kinds = network, knobs, Kinds(network, rules)
        self._ooo_ms = rules.time.out_of_orderness_ms
        self._next_seq = first_seq
        stations = [network.stations[i] for i in network.station_of]
        self._skew_ms = np.array([s.skew_ms for s in stations], np.int64)
        self._outage = np.array([s.outage_ms for s in stations], np.int64).reshape(-1, 2)
        self._clock_kind = np.array([self.kinds.of_clock.get(s.clock, GOOD) for s in stations], np.int16)
        self._with_id = np.array([s.with_id for s in stations], np.bool_)
        self._quantum_ms = np.array([1000 if s.time_format == "s" else 1 for s in stations], np.int64)
        self._base = np.array([s.base for s in network.series])
        self._swing = np.array([s.swing for s in network.series])
        self._noise = np.array([s.noise for s in network.series])
        self._low = np.array([s.low for s in network.series])
        self._high = np.array([s.high for s in network.series])
        self._lon_ms = np.array([t.sites[0].lon_deg / 360.0 * 86_400_000 for t in stations])
        self._poison_turn = 0
        self._pending: dict[int, int] = {}  # reading with repeats to come -> sequence number of its first record

    def __iter__(self) -> Iterator[Block]:
        network, knobs = self.network, self.knobs
        blocks = max(1, round(knobs.readings / _BLOCK_READINGS))
        carried: list[Rows] = []
        left, number = knobs.readings, 0
        begin_ms, step_ms = float(network.start_ms), (network.end_ms - network.start_ms) / blocks
        index = 0
        while left > 0:
            rng = np.random.default_rng([knobs.seed, 2, index])
            taken = self._readings(begin_ms, begin_ms + step_ms, number, rng)
            if len(taken) > left:
                taken = taken.take(np.arange(left))
            left -= len(taken)
            number += len(taken)
            begin_ms += step_ms
            index += 1
            if index == 1:
                carried.append(self._oversized(taken))
            carried.append(self._with_repeats(taken, rng))
            rows = Rows.join(carried)
            due = rows.arrival_ms < begin_ms if left > 0 else np.ones(len(rows), np.bool_)
            carried = [rows.take(np.flatnonzero(~due))]
            rows = rows.take(np.flatnonzero(due))
            if len(rows):
                yield self._block(rows.take(np.argsort(rows.arrival_ms, kind="stable")))

    def _readings(self, from_ms: float, to_ms: float, number: int, rng: np.random.Generator) -> Rows:
        """All readings taken in [from, to), by true time."""
        net = self.network
        offset = net.start_ms + net.phase_ms
        first = np.maximum(0, np.ceil((from_ms - offset) / net.period_ms)).astype(np.int64)
        beyond = np.maximum(0, np.ceil((to_ms - offset) / net.period_ms)).astype(np.int64)
        counts = np.maximum(beyond - first, 0)
        series = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        within = np.arange(len(series)) - np.repeat(np.cumsum(counts) - counts, counts)
        true_ms = (offset[series] + (first[series] + within) * net.period_ms[series]).astype(np.int64)
        true_ms -= true_ms % self._quantum_ms[series]
        order = np.argsort(true_ms, kind="stable")
        series, true_ms = series[order], true_ms[order]
        arrival_ms = true_ms + self._delay_ms(len(series), rng)
        silent_from, silent_to = self._outage[series, 0], self._outage[series, 1]
        silent = (true_ms >= silent_from) & (true_ms < silent_to)
        arrival_ms = np.where(silent, silent_to + (true_ms - silent_from) // 1000, arrival_ms)
        day = (true_ms + self._lon_ms[series]) % 86_400_000 / 86_400_000
        value = self._base[series] - self._swing[series] * np.cos(2 * np.pi * (day - 1 / 12))
        value += rng.normal(0.0, 1.0, len(series)) * self._noise[series]
        value = np.clip(value, self._low[series], self._high[series])
        template = net.template_at(series, true_ms)
        kind = self._clock_kind[series].copy()
        self._spoil(kind, template, rng)
        return Rows(
            number=number + np.arange(len(series), dtype=np.int64),
            arrival_ms=arrival_ms,
            event_ms=true_ms + self._skew_ms[series],
            series=series,
            template=template,
            kind=kind,
            value=value,
            repeated=np.zeros(len(series), np.bool_),
        )

    def _delay_ms(self, count: int, rng: np.random.Generator) -> NDArray[Any]:
        knobs = self.knobs
        delay = rng.exponential(300.0, count)
        draw = rng.random(count)
        within = 1 - draw < knobs.disorder
        delay[within] += rng.uniform(0.0, 0.9 * self._ooo_ms, int(within.sum()))
        beyond = draw < knobs.stragglers
        longest = max(2 * self._ooo_ms + 1_000, knobs.span_ms // 2)
        delay[beyond] += rng.uniform(self._ooo_ms, longest, int(beyond.sum()))
        return delay.astype(np.int64)

    def _spoil(self, kind: NDArray[Any], template: NDArray[Any], rng: np.random.Generator) -> None:
        rows = np.flatnonzero((kind == GOOD) & (rng.random(len(kind)) < self.knobs.poison))
        fits, count = self.kinds.fits, len(self.kinds.mixed)
        turn = (self._poison_turn + np.arange(len(rows))) % count
        self._poison_turn += len(rows)
        for _ in range(count):
            wrong = np.flatnonzero(~fits[turn, template[rows]])
            if not len(wrong):
                break
            turn[wrong] = (turn[wrong] + 1) % count
        kind[rows] = FIRST_POISON + turn

    def _oversized(self, taken: Rows) -> Rows:
        """A few of the first readings once more, too large; they are readings of their own."""
        count = min(self.knobs.oversized, len(taken))
        rows = taken.take(np.linspace(0, len(taken) - 1, count).astype(np.int64))
        rows.number = -1 - np.arange(count, dtype=np.int64)
        rows.kind = (self.kinds.first_oversized + np.arange(count) % len(self.kinds.oversized)).astype(np.int16)
        return rows

    def _with_repeats(self, taken: Rows, rng: np.random.Generator) -> Rows:
        """Add what is sent again: always later than its original, and by the same place to the same partition."""
        good = taken.kind == GOOD
        parts: list[Rows] = []
        draw = rng.random(len(taken))
        for first_kind, rows in (
            (RESENT, np.flatnonzero(good & (draw < self.knobs.duplicates))),
            (CONFLICT, np.flatnonzero(good & self._with_id[taken.series] & (1 - draw < self.knobs.conflicts))),
        ):
            copy = taken.take(rows)
            copy.arrival_ms = copy.arrival_ms + 1 + rng.exponential(30_000.0, len(rows)).astype(np.int64)
            copy.kind = np.full(len(rows), first_kind, np.int16)
            if first_kind == RESENT:
                copy.kind[rng.random(len(rows)) < 0.3] = RESERIALISED
            parts.append(copy)
            taken.repeated[rows] = True
        return Rows.join([taken, *parts])

    def _block(self, rows: Rows) -> Block:
        first_seq = self._next_seq
        self._next_seq += len(rows)
        original = np.full(len(rows), -1, np.int64)
        repeats = (rows.kind == RESENT) | (rows.kind == RESERIALISED) | (rows.kind == CONFLICT)
        first = np.flatnonzero(rows.repeated)
        self._pending.update(zip(rows.number[first].tolist(), (first_seq + first).tolist(), strict=True))
        index = np.flatnonzero(repeats)
        original[index] = [self._pending[n] for n in rows.number[index].tolist()]
        claimed = np.where(self.kinds.moves[rows.kind], rows.event_ms + self.kinds.shift_ms[rows.kind], NO_CLAIM)
        return Block(first_seq, rows, self.network.template_partition[rows.template], original, claimed)
