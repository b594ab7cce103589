"""Names of time zones in the files that people write."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator


def known_zone(name: str) -> str:
    """The name, if the tz database has it."""
    if name not in available_timezones():
        raise ValueError("a name of the tz database, such as UTC or Europe/London")
    return name


ZoneName = Annotated[str, AfterValidator(known_zone)]
