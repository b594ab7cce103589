"""Times are UTC unless they say otherwise; what is none is refused."""

from __future__ import annotations

import click
import pytest

from jobs.cli.times import UtcDay, UtcTime

DAY_MS = 1_553_731_200_000  # 2019-03-28T00:00:00Z


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2019-03-28", DAY_MS),
        ("2019-03-28T01:00+01:00", DAY_MS),
        ("2019-03-28 00:00:00.250", DAY_MS + 250),
        ("2019-03-28T00:00:00Z", DAY_MS),
    ],
)
def test_a_time_without_offset_is_utc(text: str, ms: int) -> None:
    assert UtcTime().convert(text, None, None) == ms


@pytest.mark.parametrize("text", ["", "yesterday", "28.03.2019", "2019-02-30"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no time such as"):
        UtcTime().convert(text, None, None)


def test_a_day_has_no_time_of_day() -> None:
    assert UtcDay().convert("2019-03-28", None, None) == DAY_MS
    with pytest.raises(click.BadParameter, match="no date such as"):
        UtcDay().convert("2019-03-28T12:00", None, None)
