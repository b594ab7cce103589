"""The closed list of reasons why a row has no value of a metric, the more telling later."""

from __future__ import annotations

from enum import StrEnum


class Gap(StrEnum):
    NO_READING = "no_reading"  # none as far back as the row looks
    TOO_OLD = "too_old"  # the newest one is beyond the tolerance, the largest age or the window
    NO_NEXT_READING = "no_next_reading"  # none after the instant, or none yet to interpolate to
    GAP_TOO_WIDE = "gap_too_wide"  # the neighbours are further apart than allowed, or the next one never came
    NO_DIRECTION = "no_direction"  # directions that cancel out


ORDER = tuple(Gap)
