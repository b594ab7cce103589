"""Options that all adapters of stations share, and how an adapter is found."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.bridge.feed import UnknownAdapter, make_adapter
from tests.unit.bridge.samples import HOUR_MS, NEW_YEAR_MS, SAMPLES, document_of, readings_of


def test_an_ending_label_moves_times_to_the_start() -> None:
    document = document_of("ngsi_ld")
    [reading] = readings_of(
        SAMPLES["ngsi_ld"],
        {**document, "no2": None, "dateObserved": "2026-01-01T00:00:00"},
        zone="UTC", interval_label="ending", period="1 h",
    )  # fmt: skip
    assert reading["event_time"] == NEW_YEAR_MS - HOUR_MS


def test_a_field_can_be_passed_over() -> None:
    metrics = {r["metric"] for r in readings_of(SAMPLES["ndbc"], measures={"WDIR": None})}
    assert metrics == {"wind_speed", "air_pressure", "water_temperature"}


def test_a_station_file_is_a_table(tmp_path: Any) -> None:
    file = tmp_path / "stations.csv"
    file.write_text("station,x,y,z,crs,region\n41002,500000,3500000,,EPSG:32618,gulf\n")
    reading = readings_of(SAMPLES["ndbc"], stations={}, stations_file=str(file))[0]
    assert (reading["crs"], reading["region"]) == ("EPSG:32618", "gulf")
    assert "z" not in reading


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"zones": "UTC"}, "zones: unknown option; there are: interval_label, measures"),
        ({"zone": "Middle/Earth"}, "zone: a name of the tz database"),
        ({"interval_label": "ending"}, "period: exactly with"),
        ({"measures": {"P1": {"metric": "a", "unit": "ducks"}}}, "measures.P1.unit: a unit such as"),
        ({"stations": {"a": {"x": 1}}}, "stations.a.y: Field required"),
        ({"stations_file": "/no/such/file.csv"}, "No such file"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UnknownAdapter, match="adapter usgs: ") as refused:
        make_adapter("usgs", options)
    assert says in str(refused.value)


@pytest.mark.parametrize("row", ["a,1,x,,,", ",1,2,,,", "a,1"])
def test_a_wrong_station_file_is_named_with_its_line(tmp_path: Any, row: str) -> None:
    file = tmp_path / "stations.csv"
    file.write_text(f"station,x,y,z,crs,region\n{row}\n")
    with pytest.raises(UnknownAdapter, match="line 2"):
        make_adapter("usgs", {"stations_file": str(file)})


def test_an_unknown_adapter_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownAdapter, match="there are: chirpstack, meridian, ndbc"):
        make_adapter("carrier_pigeon")


def test_a_users_own_module_needs_no_entry_point() -> None:
    assert make_adapter("jobs.bridge.adapters.usgs:Usgs").name == "usgs"
    with pytest.raises(UnknownAdapter, match="cannot be loaded"):
        make_adapter("jobs.bridge.adapters.usgs:Nothing")
    with pytest.raises(UnknownAdapter, match="not a subclass"):
        make_adapter("jobs.bridge.feed:Payload")
