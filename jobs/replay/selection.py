"""Which dead letters are meant: by what refused them, by what they say, by when and where they came."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from jobs.replay.content import Content
from jobs.replay.dead_letters import Letter
from udfs.reasons import Reason

_PLACE = re.compile(r"(?:(?P<topic>[\w.-]+)/(?=\d+/))?(?P<partition>\d+)(?:/(?P<first>\d+)(?:-(?P<last>\d+))?)?")


class Span(NamedTuple):
    """Times in [from_ms, to_ms); None: without that limit."""

    from_ms: int | None = None
    to_ms: int | None = None

    def holds(self, time_ms: int | None) -> bool:
        if time_ms is None:
            return self == ALWAYS
        return (self.from_ms is None or self.from_ms <= time_ms) and (self.to_ms is None or time_ms < self.to_ms)


ALWAYS = Span()


class Places(NamedTuple):
    """Offsets of the raw topic, `last` included; None: any."""

    topic: str | None
    partition: int
    first: int | None = None
    last: int | None = None

    @classmethod
    def parse(cls, text: str) -> Places:
        """`PARTITION`, or `[TOPIC/]PARTITION/OFFSET[-LAST]`, as letters and `meridian trace` name places.

        Raises
        ------
        ValueError : it is none.
        """
        match = _PLACE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no place such as 2, 2/1234, 2/1000-1999 or telemetry.raw/2/1234")
        first, last = match["first"], match["last"] or match["first"]
        return cls(match["topic"], int(match["partition"]), int(first) if first else None, int(last) if last else None)

    def hold(self, letter: Letter) -> bool:
        return (
            self.topic in (None, letter.topic)
            and self.partition == letter.partition
            and (self.first is None or self.first <= letter.offset)
            and (self.last is None or letter.offset <= self.last)
        )


@dataclass(frozen=True)
class Selection:
    """All that is given must hold; of each list, one entry. An empty selection takes everything.

    `sensors`, `metrics` and the texts of `fields` are patterns as of a shell (`buoy-*`).
    """

    reasons: Collection[str] = ()
    stages: Collection[str] = ()
    sensors: Collection[str] = ()
    metrics: Collection[str] = ()
    appended: Span = ALWAYS
    event: Span = ALWAYS
    places: Collection[Places] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)

    def takes(self, letter: Letter, content: Content) -> bool:
        """Whether a letter is meant; what its value or headers do not say matches nothing."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.stages or _stage_of(letter.reason) in self.stages)
            and self.appended.holds(letter.append_time_ms)
            and (not self.places or any(places.hold(letter) for places in self.places))
            and _matches(content.sensor_id if self.sensors else None, self.sensors)
            and _matches(content.metric if self.metrics else None, self.metrics)
            and (self.event == ALWAYS or self.event.holds(content.event_time_ms))
            and all(_is_like(content.readable.get(name), wanted) for name, wanted in self.fields.items())
        )


def _stage_of(reason: str) -> str:
    try:
        return Reason(reason).stage.value
    except ValueError:  # of another version of the job
        return ""


def _matches(text: str | None, patterns: Collection[str]) -> bool:
    return not patterns or (text is not None and any(fnmatchcase(text, pattern) for pattern in patterns))


def _is_like(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str) and isinstance(value, str):
        return fnmatchcase(value, wanted)
    return bool(value == wanted)
