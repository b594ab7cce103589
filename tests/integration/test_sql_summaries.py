"""The SQL summaries on the real cluster, beside the align job's windows on the same readings."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.integration.sql_run import (
    DAY,
    HOUR,
    LATE_FIELDS_OF_EACH_JOB,
    MINUTE,
    PEERS,
    PERIOD,
    RECALIBRATED,
    RECALIBRATED_FROM,
    ZONES,
    SqlRun,
    days_of,
    newest,
)


@pytest.mark.parametrize("sensor", ZONES)
def test_local_days_are_those_of_the_stations_zone(sensor: str, sql_run: SqlRun) -> None:
    rows = {
        (r["window_start_ms"], r["window_end_ms"]): r
        for r in sql_run.summaries["summaries_local_days"]
        if r["key"] == sensor
    }
    assert sorted(rows) == sorted(days_of(sensor))
    for (start_ms, end_ms), row in rows.items():
        assert row["time_zone"] == ZONES[sensor][0]
        assert row["count"] == (end_ms - start_ms) // (HOUR // 2)
        assert row["completeness"] == pytest.approx(1 / 3)  # half-hourly, of a station with a period of 10 minutes


def test_days_of_23_24_and_25_hours_and_of_half_an_hour_more_or_less_occur() -> None:
    hours = {sensor: {(end - start) / HOUR for start, end in days_of(sensor)} for sensor in ZONES}
    assert hours["london"] == hours["new-york"] == hours["azores"] == {23, 24, 25}
    assert hours["lord-howe"] == {23.5, 24, 24.5}
    assert hours["kathmandu"] == {24}
    assert {start % HOUR for start, _ in days_of("kathmandu")} == {15 * MINUTE}


@pytest.mark.parametrize("definition", ["hourly", "sliding"])
def test_final_rows_are_those_of_the_datastream_windows(definition: str, sql_run: SqlRun) -> None:
    peers = {*PEERS, "pacemaker", "barometer", *ZONES}
    revisions = sorted(
        (w for w in sql_run.windows if w["definition"] == definition and w["key"] in peers), key=lambda w: w["revision"]
    )
    windows, summaries = (
        newest(revisions),
        newest([r for r in sql_run.summaries[f"summaries_{definition}"] if r["key"] in peers]),
    )
    assert summaries.keys() == windows.keys()
    for key, window in windows.items():
        for field in (
            "count",
            "mean",
            "min",
            "max",
            "std",
            "expected_count",
            "completeness",
            "sensors",
            "max_event_time_ms",
        ):
            assert summaries[key][field] == pytest.approx(window[field], rel=1e-12, abs=1e-12), (key, field)
    assert len(windows) > 100 and any(w["revision"] > 1 for w in revisions), "a lifeless run"


@pytest.mark.parametrize("definition", ["hourly", "sliding"])
def test_late_readings_are_those_of_the_datastream_job(definition: str, sql_run: SqlRun) -> None:
    def letters(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {
            r["event_id"]: {k: v for k, v in r.items() if k not in LATE_FIELDS_OF_EACH_JOB}
            for r in records
            if r["definition"] == definition
        }

    assert letters(sql_run.late_summaries) == letters(sql_run.late_events)
    assert len(letters(sql_run.late_events)) > 10, "a lifeless run"


def test_a_late_reading_has_one_letter_for_a_definition_however_often_it_comes(sql_run: SqlRun) -> None:
    letters = Counter((r["definition"], r["event_id"]) for r in sql_run.late_summaries)
    assert set(letters.values()) == {1}


def test_late_letters_have_the_fields_of_the_datastream_jobs_in_their_order(sql_run: SqlRun) -> None:
    assert {tuple(letter) for letter in sql_run.late_summaries} == {tuple(letter) for letter in sql_run.late_events}


def test_a_reading_takes_the_calibration_that_held_at_its_time(sql_run: SqlRun) -> None:
    rows = [r for r in sql_run.summaries["summaries_hourly"] if r["key"] == RECALIBRATED]
    means = {r["window_start_ms"]: r["mean"] for r in rows}
    assert means == {
        RECALIBRATED_FROM - 2 * HOUR: 5.0,
        RECALIBRATED_FROM - HOUR: 5.0,
        RECALIBRATED_FROM: 11.0,
        RECALIBRATED_FROM + HOUR: 11.0,
    }


def test_directions_have_a_circular_mean(sql_run: SqlRun) -> None:
    (row,) = [r for r in sql_run.summaries["summaries_hourly"] if r["key"] == "vane"]
    assert min(row["direction_deg"], 360 - row["direction_deg"]) == pytest.approx(0, abs=1e-9)
    assert 0.98 < row["steadiness"] < 1


def test_the_deviation_of_large_numbers_is_exact(sql_run: SqlRun) -> None:
    (row,) = [r for r in sql_run.summaries["summaries_hourly"] if r["key"] == "barometer"]
    assert row["std"] == pytest.approx(0.25, rel=1e-12)
    assert all(r["std"] == 0 for r in sql_run.summaries["summaries_hourly"] if r["key"] == RECALIBRATED)


def test_exceedances_are_counted_against_the_limit(sql_run: SqlRun) -> None:
    for row in newest(sql_run.summaries["summaries_hourly"]).values():
        if row["key"] in ZONES:
            assert row["limit_value"] == 10.55
            assert row["exceedances"] == (row["count"] if row["min"] > 10.55 else 0)
        elif row["metric"] == "pm2_5":
            assert row["limit_value"] == 15.0
            assert row["min"] > 15.0 and row["exceedances"] == row["count"]
        elif row["metric"] != "air_temperature":
            assert row["limit_value"] is None and row["exceedances"] is None


def test_percentiles_lie_between_the_extremes(sql_run: SqlRun) -> None:
    for rows in sql_run.summaries.values():
        assert all(r["min"] <= r["p05"] <= r["p50"] <= r["p95"] <= r["max"] for r in rows)


def test_sessions_end_after_half_an_hour_of_silence(sql_run: SqlRun) -> None:
    sessions = {
        (r["window_start_ms"], r["window_end_ms"])
        for r in sql_run.summaries["summaries_sessions"]
        if r["key"] == RECALIBRATED
    }
    assert sessions == {(RECALIBRATED_FROM - 2 * HOUR, RECALIBRATED_FROM + 2 * HOUR - PERIOD + 30 * MINUTE)}


def test_the_day_so_far_grows_every_hour(sql_run: SqlRun) -> None:
    rows = [r for r in sql_run.summaries["summaries_day_so_far"] if r["key"] == RECALIBRATED]
    ends = {r["window_end_ms"]: r["count"] for r in rows}
    midnight = RECALIBRATED_FROM // DAY * DAY
    assert {r["window_start_ms"] for r in rows} == {midnight}
    assert [ends[midnight + h * HOUR] for h in (11, 12, 13, 14, 24)] == [6, 12, 18, 24, 24]


def test_areas_are_summarised_by_region_watershed_and_cell(sql_run: SqlRun) -> None:
    rows = sql_run.summaries["summaries_areas"]
    by_kind = {kind: sum(r["count"] for r in rows if r["key_kind"] == kind) for kind in ("region", "watershed", "cell")}
    assert len(set(by_kind.values())) == 1
    assert {r["key"] for r in rows if r["key_kind"] == "watershed"} == {"dee"}
