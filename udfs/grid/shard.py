"""The rows of one grid in one shard of its places: what is kept, when a row is published, revised and closed.

A row of an instant is published when the watermark shows that no reading in time can change it, and at the latest when
the watermark is `max_wait` beyond the instant. It is published again, with the next revision, whenever a reading
changes it, until the watermark passes `GridRule.closes_ms`; a reading all of whose instants are closed is late.
What is final follows from the set of readings taken in, not from their order or from the cuts between frames.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from udfs.grid.agenda import Agenda
from udfs.grid.fate import GRIDDED, LATE, MERGED, Gridded, Row, Run
from udfs.grid.log import Kept, KeptCodec, Published, PublishedCodec, encode
from udfs.grid.row import content_at
from udfs.grid.rules import GridRule
from udfs.grid.series import Point, Series
from udfs.shard_log import NO_WATERMARK, KeyedStore, ShardLog

_CLOSED = "closed"


class GridShard:
    """One grid of one shard, over the shard's keyed store."""

    def __init__(self, rule: GridRule, store: KeyedStore) -> None:
        self._rule = rule
        self._metrics = {m.name: m for m in rule.metrics}
        self._influence_ms = {m.name: rule.influence_ms(m) for m in rule.metrics}
        self._kept: ShardLog[list[Kept]] = ShardLog(store, KeptCodec(), f"grid/{rule.name}", growth=2)
        self._published: ShardLog[dict[str, Published]] = ShardLog(store, PublishedCodec(), f"rows/{rule.name}")
        self._span_ms = max(rule.period_ms, (rule.before_ms + rule.after_ms) // 8)
        self._places: dict[str, dict[str, Series]] = {}
        self._newest_ms = NO_WATERMARK
        self._agenda = Agenda(rule)
        self._purged_ms = NO_WATERMARK  # the last instant that was closed when state was last purged
        self._restore(store)

    def add(self, store: KeyedStore, runs: Sequence[Run], watermark_ms: int) -> Gridded:
        """Take readings in; rows that the watermark has passed are published anew at once where they change."""
        before = self.advance(store, watermark_ms)
        watermark_ms = self._kept.watermark_ms(watermark_ms)
        done = Gridded(before.rows, [], [], Counter(), [], watermark_ms)
        spans: dict[int, list[Kept]] = {}
        touched: dict[tuple[str, int], None] = {}
        in_time: dict[str, int] = {}  # by place the earliest reading that the watermark has not passed
        for run in runs:
            passed = bisect_left(run.points, (watermark_ms + 1,))
            for straggler in zip(run.points[:passed], run.indices, strict=False):
                self._take_straggler(run, *straggler, done, spans, touched)
            points = run.points[passed:]
            if points:
                in_time[run.place] = min(points[0].time_ms, in_time.get(run.place, points[0].time_ms))
                self._take(run.place, run.metrics, points, spans, done.counts)
                self._schedule_after(points[0].time_ms, watermark_ms)
        for place, time_ms in in_time.items():  # what is settled, nothing in time can change
            for instant_ms in self._agenda.waiting(place):
                if instant_ms >= time_ms - self._rule.after_ms:
                    touched[place, instant_ms] = None
        for span, kept in spans.items():
            self._keep(store, span, kept)
        self._publish(store, touched, watermark_ms, done.rows)
        self._save(store, watermark_ms)
        done.late.sort()
        return done._replace(timers_ms=sorted({*before.timers_ms, *self._agenda.take_timers(watermark_ms)}))

    def advance(self, store: KeyedStore, watermark_ms: int) -> Gridded:
        """Publish and forget what is due at a watermark."""
        rows: list[Row] = []
        watermark_ms = self._kept.watermark_ms(watermark_ms)
        while (instant_ms := self._agenda.take_instant(watermark_ms)) is not None:
            self._publish(store, [(place, instant_ms) for place in self._places], watermark_ms, rows)
            if instant_ms + self._rule.period_ms <= self._newest_ms + self._rule.before_ms:
                self._agenda.look_at(instant_ms + self._rule.period_ms)
        self._publish(store, self._agenda.take_due(watermark_ms), watermark_ms, rows)
        self._purge(store, watermark_ms)
        self._save(store, watermark_ms)
        return Gridded(rows, [], [], Counter(), self._agenda.take_timers(watermark_ms), watermark_ms)

    def publish_overdue(self, store: KeyedStore, watermark_ms: int) -> Gridded:
        """Publish what the newest reading says is overdue although the watermark stands still; it stays unsettled."""
        rows: list[Row] = []
        watermark_ms = self._kept.watermark_ms(watermark_ms)
        until_ms = self._newest_ms - self._rule.max_wait_ms
        first_ms = self._agenda.first
        instants = () if first_ms is None else self._rule.instants(first_ms, until_ms)
        pairs = [(place, instant_ms) for instant_ms in instants for place in self._places]
        self._publish(store, pairs, watermark_ms, rows, is_overdue=True)
        self._save(store, watermark_ms)
        return Gridded(rows, [], [], Counter(), self._agenda.take_timers(watermark_ms), watermark_ms)

    @property
    def points(self) -> int:
        """How many readings are kept."""
        return sum(len(s) for of_place in self._places.values() for s in of_place.values())

    def _last_of(self, time_ms: int, name: str) -> int:
        """The last instant that a reading concerns, for one metric."""
        return self._rule.last_instant(time_ms + self._influence_ms[name])

    def _open_from(self, watermark_ms: int) -> int:
        """A time before which all instants are closed; see `GridRule.closes_ms`."""
        closed_ms = watermark_ms - self._rule.after_ms - self._rule.allowed_lateness_ms
        # A longer allowed lateness after an upgrade must not reopen, and so overwrite, what was closed before it.
        return max(closed_ms, self._kept.mark(_CLOSED)) + 1

    def _take_straggler(
        self,
        run: Run,
        point: Point,
        index: int,
        done: Gridded,
        spans: dict[int, list[Kept]],
        touched: dict[tuple[str, int], None],
    ) -> None:
        """Take in what the watermark has passed, for those metrics that still have an open row to be changed."""
        time_ms, watermark_ms = point.time_ms, done.watermark_ms
        open_from_ms = self._open_from(watermark_ms)
        takers = tuple(name for name in run.metrics if self._last_of(time_ms, name) >= open_from_ms)
        if not takers:
            done.late.append(index)
            done.counts[point.origin.source, LATE] += 1
            return
        if self._rule.first_instant(time_ms - self._rule.after_ms) < open_from_ms:
            done.partly_late.append((index, open_from_ms))
        self._touch(run.place, time_ms, watermark_ms, touched)
        self._take(run.place, takers, [point], spans, done.counts)
        self._schedule_after(time_ms, watermark_ms)

    def _take(
        self,
        place: str,
        takers: tuple[str, ...],
        points: list[Point],
        spans: dict[int, list[Kept]],
        counts: Counter[tuple[str, str]],
    ) -> None:
        """Put readings of one origin into their series, and count them and what they change the class of."""
        source = points[0].origin.source
        for name in takers:
            is_counted = name == takers[0]
            copies = points if is_counted else [point._replace(counts=False) for point in points]
            merged, losers = self._insert(place, name, copies)
            if is_counted:
                counts[source, GRIDDED] += len(points) - merged
                if merged:
                    counts[source, MERGED] += merged
            for loser in losers:
                if loser.counts:
                    counts[loser.origin.source, GRIDDED] -= 1
                    counts[loser.origin.source, MERGED] += 1
            for span_ms, of_span in groupby(copies, self._span_of):
                spans.setdefault(span_ms, []).extend([(place, name, point) for point in of_span])

    def _span_of(self, point: Point) -> int:
        return point.time_ms - point.time_ms % self._span_ms

    def _insert(self, place: str, name: str, points: list[Point]) -> tuple[int, list[Point]]:
        of_place = self._places.setdefault(place, {})
        series = of_place.get(name)
        if series is None:
            series = of_place[name] = Series(self._metrics[name].same_reading)
        self._newest_ms = max(self._newest_ms, points[-1].time_ms)
        return series.add(points)

    def _touch(self, place: str, time_ms: int, watermark_ms: int, touched: dict[tuple[str, int], None]) -> None:
        """Note the rows that a reading behind the watermark may change."""
        rule = self._rule
        from_ms = max(time_ms - rule.after_ms, self._open_from(watermark_ms))
        for instant_ms in rule.instants(from_ms, min(time_ms + rule.before_ms, self._passed_ms(watermark_ms))):
            touched[place, instant_ms] = None

    def _schedule_after(self, time_ms: int, watermark_ms: int) -> None:
        """Schedule the first row of a reading that the watermark has not passed; each look schedules the next one."""
        rule = self._rule
        next_ms = rule.first_instant(max(time_ms - rule.begins_ms, self._passed_ms(watermark_ms) + 1))
        if next_ms <= time_ms + rule.before_ms:
            self._agenda.look_at(next_ms)

    def _passed_ms(self, watermark_ms: int) -> int:
        """The last time up to which rows have been looked at."""
        return watermark_ms - min(0, self._rule.after_ms)

    def _publish(
        self,
        store: KeyedStore,
        pairs: Iterable[tuple[str, int]],
        watermark_ms: int,
        rows: list[Row],
        *,
        is_overdue: bool = False,
    ) -> None:
        """Publish those rows of places and instants that are due and have changed."""
        changes: dict[int, list[Published]] = {}
        for place, instant_ms in pairs:
            content = content_at(instant_ms, self._places.get(place, {}), self._rule, watermark_ms)
            if content is None:
                self._agenda.settle(place, instant_ms)
                continue
            is_settled = content.settles_ms <= watermark_ms
            before = self._published_of(store, instant_ms).get(place)
            is_due = is_settled or before or is_overdue or instant_ms + self._rule.max_wait_ms <= watermark_ms
            digest = content.digest(settled=is_settled)
            if is_due and (before is None or before.digest != digest):
                published = Published(place, before.revision + 1 if before else 1, digest, is_settled)
                changes.setdefault(instant_ms, []).append(published)
                timing = "unsettled" if not is_settled else "late" if before and before.settled else "on_time"
                rows.append(Row(place, instant_ms, published.revision, timing, content, watermark_ms))
            if is_settled:
                self._agenda.settle(place, instant_ms)
            else:
                wait_ms = content.settles_ms if is_due else min(content.settles_ms, instant_ms + self._rule.max_wait_ms)
                self._agenda.wait(place, instant_ms, wait_ms)
        for instant_ms, now in changes.items():
            name = str(instant_ms)
            self._published.value(store, name).update((p.place, p) for p in now)
            self._published.append(store, name, encode(now))

    def _published_of(self, store: KeyedStore, instant_ms: int) -> dict[str, Published]:
        name = str(instant_ms)
        return self._published.value(store, name) if name in self._published else {}

    def _keep(self, store: KeyedStore, span_ms: int, kept: list[Kept]) -> None:
        name = str(span_ms)
        if name not in self._kept:
            self._agenda.wake_at(self._forgets_ms(span_ms))
        self._kept.value(store, name).extend(kept)
        self._kept.append(store, name, encode(kept))

    def _forgets_ms(self, span_ms: int) -> int:
        """The watermark from which on no open row looks at the readings of a span."""
        return self._rule.closes_ms(self._rule.last_instant(span_ms + self._span_ms - 1 + self._rule.before_ms))

    def _purge(self, store: KeyedStore, watermark_ms: int) -> None:
        open_from_ms = self._open_from(watermark_ms)
        closed_ms = self._rule.last_instant(open_from_ms - 1)
        if closed_ms == self._purged_ms:
            return
        self._purged_ms = closed_ms
        for name in self._published.names():
            if int(name) < open_from_ms:
                self._published.drop(store, name)
                self._kept.raise_mark(_CLOSED, int(name))
        gone = [int(name) for name in self._kept.names() if self._forgets_ms(int(name)) <= watermark_ms]
        for span_ms in gone:
            self._kept.drop(store, str(span_ms))
        if gone:
            self._forget(max(gone) + self._span_ms)

    def _forget(self, before_ms: int) -> None:
        for place, of_place in list(self._places.items()):
            for metric, series in list(of_place.items()):
                series.forget(before_ms)
                if not len(series):
                    del of_place[metric]
            if not of_place:
                del self._places[place]

    def _save(self, store: KeyedStore, watermark_ms: int) -> None:
        self._kept.keep_watermark(store, watermark_ms)
        self._kept.save(store)
        self._published.save(store)

    def _restore(self, store: KeyedStore) -> None:
        """Build what is in memory from what is kept; Flink restores the timers by itself."""
        watermark_ms = self._kept.watermark_ms(NO_WATERMARK)
        for name in self._kept.names():
            for place, metric, point in self._kept.value(store, name):
                if metric in self._metrics:  # else it has left the configuration
                    self._insert(place, metric, [point])
                    self._schedule_after(point.time_ms, watermark_ms)
        if watermark_ms == NO_WATERMARK:
            return
        for instant_ms in self._rule.instants(self._open_from(watermark_ms), self._passed_ms(watermark_ms)):
            for place in self._places:
                self._agenda.wait(place, instant_ms, watermark_ms)
