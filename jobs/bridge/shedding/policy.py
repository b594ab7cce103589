"""Decides of each reading whether it goes on, and by which lane. Pure: time and backlog are given.

In this order: what is an alarm; a best-effort stream while the backlog is above its mark; the sensor's limit; the
sample. So a sample is one of what the limits let through, and its estimates are of that.
"""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import xxhash

from jobs.bridge.feed import Reading
from jobs.bridge.shedding.buckets import SensorBuckets
from jobs.bridge.shedding.config import AlarmRule, Shedding, StreamShedding
from udfs.reasons import Rejected
from udfs.rules import StreamRule
from udfs.validate import Validator

_NUL = "\0"
_HASHES = 1 << 64


class ShedReason(StrEnum):
    """Why a reading was let go; a closed list."""

    BACKLOG = "backlog"
    RATE_LIMITED = "rate_limited"
    SAMPLED_OUT = "sampled_out"


class Admitted(NamedTuple):
    """It goes on; `fraction` of those like it do."""

    is_alarm: bool
    fraction: float


class Shed(NamedTuple):
    stream: str
    reason: ShedReason


Verdict = Admitted | Shed

_ROUTINE = Admitted(False, 1.0)
_ALARM = Admitted(True, 1.0)


class _StreamRules:
    """A stream's rules, with what they remember."""

    def __init__(self, rule: StreamShedding, max_sensors: int) -> None:
        limit = rule.limit
        self.is_best_effort = rule.delivery == "best-effort"
        self.limits_alarms = limit is not None and limit.alarms
        self.buckets: SensorBuckets | None = None
        if limit is not None:
            self.buckets = SensorBuckets(limit.count, limit.per / 1000, limit.burst_readings, max_sensors)
        self.admitted = Admitted(False, 1.0 if rule.sample is None else rule.sample)
        self.threshold = int(self.admitted.fraction * _HASHES)


class Policy:
    """Belongs to one thread.

    Parameters
    ----------
    streams
        Of the deployment: they say which stream takes a metric, and the unit of thresholds.
    """

    def __init__(self, shedding: Shedding, streams: tuple[StreamRule, ...]) -> None:
        self._validator = Validator(streams)
        self._alarms = shedding.alarms
        self._rules = {rule.stream: _StreamRules(rule, shedding.max_sensors) for rule in shedding.streams}

    def decide(self, reading: Reading, topic: str | None, now_s: float, is_backed_up: bool) -> Verdict:
        """Judge one reading; it never raises.

        Parameters
        ----------
        topic
            By which it came; None where the transport has none.
        now_s
            Monotonic seconds.
        is_backed_up
            Whether the backlog is above its mark.

        Returns
        -------
            What the job would refuse anyway is never shed, so that it becomes a dead letter.
        """
        get = reading.get
        sensor, metric, unit = get("sensor_id"), get("metric"), get("unit")
        value: Any = get("value")
        if not (type(sensor) is type(metric) is type(unit) is str and type(value) in (float, int)):
            return _ROUTINE
        try:
            stream, scale, offset, _, _ = self._validator.plan(metric, unit)
            measured = value * scale + offset
        except (Rejected, OverflowError):
            return _ROUTINE
        is_alarm = any(_is_alarm(rule, stream.name, metric, measured, get("quality"), topic) for rule in self._alarms)
        rules = self._rules.get(stream.name)
        if rules is None:
            return _ALARM if is_alarm else _ROUTINE
        if rules.is_best_effort and is_backed_up and not is_alarm:
            return Shed(stream.name, ShedReason.BACKLOG)
        buckets = rules.buckets if rules.limits_alarms or not is_alarm else None
        if buckets is not None and not buckets.take(sensor, now_s):
            return Shed(stream.name, ShedReason.RATE_LIMITED)
        if is_alarm:
            return _ALARM
        if rules.admitted.fraction < 1.0 and sampling_hash(reading) >= rules.threshold:
            return Shed(stream.name, ShedReason.SAMPLED_OUT)
        return rules.admitted


def sampling_hash(reading: Reading) -> int:
    """Give the 64 bits by which a reading with a sensor, a metric and a value is in a sample or not.

    They are of its id, or of its time and value where it has none, so they are the same for a repeat, after a restart
    and in a replay; and what is in a sample is also in every larger one.
    """
    event_id = reading.get("event_id")
    if type(event_id) is not str or not event_id:
        event_id = f"{reading.get('event_time')}{_NUL}{float(reading['value'])!r}"
    text = f"{reading['sensor_id']}{_NUL}{reading['metric']}{_NUL}{event_id}"
    return xxhash.xxh3_64_intdigest(text.encode(errors="replace"))


def _is_alarm(rule: AlarmRule, stream: str, metric: str, value: float, quality: Any, topic: str | None) -> bool:
    return (
        (rule.stream is None or rule.stream == stream)
        and (rule.metric is None or fnmatchcase(metric, rule.metric))
        and (rule.quality is None or quality in rule.quality)
        and (rule.above is None or value > rule.above)
        and (rule.below is None or value < rule.below)
        and (rule.topic is None or (topic is not None and fnmatchcase(topic, rule.topic)))
    )
