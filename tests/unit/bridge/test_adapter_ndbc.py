"""What the adapter `ndbc` makes of NDBC real-time text, field by field."""

from __future__ import annotations

import pytest

from jobs.bridge.feed import Refusal
from tests.unit.bridge.samples import NEW_YEAR_MS, SAMPLES, only_unreadable, readings_of

SAMPLE = SAMPLES["ndbc"]


def test_columns_by_name_units_by_the_second_line_oldest_row_first() -> None:
    assert [(r["metric"], r["value"], r["unit"], r["event_time"]) for r in readings_of(SAMPLE)] == [
        ("air_pressure", 1022.5, "hPa", NEW_YEAR_MS - 1_200_000),
        ("water_temperature", 28.0, "degC", NEW_YEAR_MS - 1_200_000),
        ("wind_direction", 150.0, "degT", NEW_YEAR_MS - 600_000),
        ("wind_speed", 7.0, "m/s", NEW_YEAR_MS - 600_000),
        ("air_pressure", 1023.0, "hPa", NEW_YEAR_MS - 600_000),
    ]


def test_the_station_is_the_urls_file_unless_said() -> None:
    assert readings_of(SAMPLE)[0]["sensor_id"] == "ndbc/41002"
    named = SAMPLE._replace(context={"station": "41002", "url": "https://example.org/x.txt"})
    assert readings_of(named)[0]["sensor_id"] == "ndbc/41002"


def test_a_station_without_place_is_one_unreadable_file_not_a_thousand_rows() -> None:
    unreadable = only_unreadable(SAMPLE, stations={})
    assert (unreadable.reason, unreadable.original) == (Refusal.UNKNOWN_STATION, SAMPLE.body)


def test_all_stations_in_one_file_have_their_places() -> None:
    head = b"#STN LAT LON YYYY MM DD hh mm WVHT\n#text deg deg yr mo day hr mn m\n"
    body = head + b"22101 37.24 126.02 2025 12 31 21 00 1.5\n"
    [reading] = readings_of(SAMPLE, body)
    assert (reading["sensor_id"], reading["x"], reading["y"]) == ("ndbc/22101", 126.02, 37.24)


@pytest.mark.parametrize("row", [b"2025 13 31 23 40 1 1.0 1.0 1.0", b"2025 12 31 23 40 1 1.0", b"garbage"])
def test_a_broken_row_is_unreadable_as_it_is(row: bytes) -> None:
    assert only_unreadable(SAMPLE, SAMPLE.body + row).original == row
