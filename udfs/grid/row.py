"""What a row of a grid says: its values with method, age and support, or the reason of a gap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
import xxhash

from udfs.grid.gaps import Gap
from udfs.grid.methods import Value, value_at
from udfs.grid.rules import GridRule, MetricRule
from udfs.grid.series import NO_FEED, Series


class Content(NamedTuple):
    """The part of a row that a revision changes, and the watermark from which on nothing in time can."""

    values: bytes  # JSON
    is_complete: bool
    settles_ms: int

    def digest(self, *, settled: bool) -> int:
        return xxhash.xxh3_64_intdigest(self.values, settled)


def content_at(instant_ms: int, series: Mapping[str, Series], rule: GridRule, watermark_ms: int) -> Content | None:
    """Work out a place's row; None where the place has no reading near enough to have one.

    The watermark only tells a neighbour that has not come yet from one that never will in time.
    """
    from_ms, to_ms = instant_ms - rule.before_ms, instant_ms + rule.begins_ms
    if not any(s.has(from_ms, to_ms) for s in series.values()):
        return None
    values: dict[str, Any] = {}
    is_complete, settles_ms = True, rule.look_ms(instant_ms)
    for metric in rule.metrics:
        of_metric = series.get(metric.name, _NOTHING)
        value = value_at(instant_ms, of_metric, metric, rule.before_ms)
        if value.gap is Gap.GAP_TOO_WIDE and value.settles_ms > watermark_ms:
            value = value._replace(gap=Gap.NO_NEXT_READING)
        values[metric.name] = _shown(instant_ms, value, metric, of_metric, rule)
        is_complete = is_complete and value.value is not None
        settles_ms = max(settles_ms, value.settles_ms)
    return Content(orjson.dumps(values), is_complete, settles_ms)


def _shown(instant_ms: int, value: Value, metric: MetricRule, series: Series, rule: GridRule) -> dict[str, Any]:
    support = value.support
    past = [p.time_ms for p in support if p.time_ms <= instant_ms]
    ahead = [p.time_ms for p in support if p.time_ms > instant_ms]
    shown: dict[str, Any] = {
        "value": value.value,
        "unit": metric.unit,
        "method": metric.method,
        "reason": value.gap,
        "age_ms": instant_ms - max(past) if past else None,
        "until_next_ms": min(ahead) - instant_ms if ahead else None,
        "readings": len(support),
        "first_event_time_ms": support[0].time_ms if support else None,
        "last_event_time_ms": support[-1].time_ms if support else None,
        "sensors": sorted({p.origin.sensor_id for p in support}),
        "sources": sorted({p.origin.source for p in support}),
    }
    corrections = sorted({p.correction_ms for p in support if p.correction_ms})
    if corrections:
        shown["clock_corrections_ms"] = corrections
    merged = {other for p in support for other in series.stands_for(p)}
    if merged:
        shown["merged"] = [
            {"feed": rule.feeds[p.origin.feed].name, "sensor_id": p.origin.sensor_id, "event_time_ms": p.time_ms}
            for p in sorted(merged)
            if p.origin.feed != NO_FEED
        ]
    return shown


_NOTHING = Series(None)
