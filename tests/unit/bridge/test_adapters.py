"""What each adapter makes of its feed, field by field."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from jobs.bridge.feed import PassedOver, Refusal, UnknownAdapter, Unreadable, make_adapter
from tests.unit.bridge.samples import RECEIVED_MS, SAMPLES, Sample, items_of, readings_of

NEW_YEAR_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HOUR_MS = 3_600_000


def document_of(name: str) -> Any:
    return orjson.loads(SAMPLES[name].body)


def only_unreadable(sample: Sample, document: Any = None, **options: Any) -> Unreadable:
    [found] = [item for item in items_of(sample, document, **options) if isinstance(item, Unreadable)]
    return found


class TestSensorCommunity:
    sample = SAMPLES["sensor_community"]

    def test_numbers_in_text_times_in_utc(self) -> None:
        assert readings_of(self.sample) == [
            {
                "metric": "pm10", "value": 12.5, "unit": "ug/m3", "event_id": "1001",
                "sensor_id": "sensor.community/11", "event_time": NEW_YEAR_MS - 30_000,
                "x": 13.4, "y": 52.5, "z": 34.0, "crs": "EPSG:4326",
                "sensor_type": "SDS011", "location": 7, "country": "DE", "indoor": 0, "exact_location": 0,
            }
        ]  # fmt: skip

    def test_unavailable_is_a_missing_value_and_housekeeping_no_measurement(self) -> None:
        adapter = self.sample.make()
        list(adapter.readings(self.sample.payload()))
        assert adapter.passed_over == {PassedOver.MISSING_VALUE: 1, PassedOver.NO_MEASUREMENT: 1}

    def test_an_unknown_type_needs_a_unit(self) -> None:
        document = document_of("sensor_community")
        document[0]["sensordatavalues"] = [{"id": 1, "value": "5", "value_type": "radon"}]
        assert only_unreadable(self.sample, document).reason is Refusal.MISSING_FIELD
        [reading] = readings_of(self.sample, document, measures={"radon": {"metric": "radon", "unit": "Bq/m3"}})
        assert (reading["metric"], reading["unit"]) == ("radon", "Bq/m3")

    def test_a_node_without_position_is_in_the_station_table_or_unreadable(self) -> None:
        document = document_of("sensor_community")
        document[0]["location"].update(latitude="", longitude="")
        assert only_unreadable(self.sample, document).reason is Refusal.UNKNOWN_STATION
        [reading] = readings_of(self.sample, document, stations={"11": {"x": 1.5, "y": 50.5, "region": "south"}})
        assert (reading["x"], reading["y"], reading["region"]) == (1.5, 50.5, "south")


class TestUsgs:
    sample = SAMPLES["usgs"]

    def test_a_gauge_with_its_watershed(self) -> None:
        assert readings_of(self.sample) == [
            {
                "sensor_id": "usgs/01234567", "metric": "water_level", "value": 3.13, "unit": "ft",
                "event_time": NEW_YEAR_MS - 900_000, "x": -76.25, "y": 39.5, "crs": "EPSG:4326", "quality": "P e",
                "huc": "02060003", "site_name": "A CREEK AT B", "method_id": 42,
            }
        ]  # fmt: skip

    def test_no_data_value_is_a_missing_value(self) -> None:
        adapter = self.sample.make()
        list(adapter.readings(self.sample.payload()))
        assert adapter.passed_over == {PassedOver.MISSING_VALUE: 1}

    def test_two_sensors_of_one_kind_at_a_site_stay_two(self) -> None:
        document = document_of("usgs")
        values = document["value"]["timeSeries"][0]["values"]
        values[0]["method"][0]["methodDescription"] = "7 ft above bed"
        values.append({**values[0], "method": [{"methodDescription": "1 ft above bed", "methodID": 43}]})
        assert {r["sensor_id"] for r in readings_of(self.sample, document)} == {"usgs/01234567/42", "usgs/01234567/43"}

    def test_an_unknown_parameter_is_passed_on_by_its_code(self) -> None:
        document = document_of("usgs")
        document["value"]["timeSeries"][0]["variable"]["variableCode"][0]["value"] = "00078"
        assert readings_of(self.sample, document)[0]["metric"] == "usgs_00078"

    def test_what_is_unreadable_keeps_all_that_names_it(self) -> None:
        document = document_of("usgs")
        document["value"]["timeSeries"][0]["values"][0]["value"][0]["value"] = "Ice"
        original = orjson.loads(only_unreadable(self.sample, document).original)
        assert original["sourceInfo"]["siteCode"][0]["value"] == "01234567"
        assert [point["value"] for point in original["values"][0]["value"]] == ["Ice"]


class TestNdbc:
    sample = SAMPLES["ndbc"]

    def test_columns_by_name_units_by_the_second_line_oldest_row_first(self) -> None:
        assert [(r["metric"], r["value"], r["unit"], r["event_time"]) for r in readings_of(self.sample)] == [
            ("air_pressure", 1022.5, "hPa", NEW_YEAR_MS - 1_200_000),
            ("water_temperature", 28.0, "degC", NEW_YEAR_MS - 1_200_000),
            ("wind_direction", 150.0, "degT", NEW_YEAR_MS - 600_000),
            ("wind_speed", 7.0, "m/s", NEW_YEAR_MS - 600_000),
            ("air_pressure", 1023.0, "hPa", NEW_YEAR_MS - 600_000),
        ]

    def test_the_station_is_the_urls_file_unless_said(self) -> None:
        assert readings_of(self.sample)[0]["sensor_id"] == "ndbc/41002"
        named = self.sample._replace(context={"station": "41002", "url": "https://example.org/x.txt"})
        assert readings_of(named)[0]["sensor_id"] == "ndbc/41002"

    def test_a_station_without_place_is_one_unreadable_file_not_a_thousand_rows(self) -> None:
        unreadable = only_unreadable(self.sample, stations={})
        assert (unreadable.reason, unreadable.original) == (Refusal.UNKNOWN_STATION, self.sample.body)

    def test_all_stations_in_one_file_have_their_places(self) -> None:
        head = b"#STN LAT LON YYYY MM DD hh mm WVHT\n#text deg deg yr mo day hr mn m\n"
        body = head + b"22101 37.24 126.02 2025 12 31 21 00 1.5\n"
        [reading] = readings_of(self.sample, body)
        assert (reading["sensor_id"], reading["x"], reading["y"]) == ("ndbc/22101", 126.02, 37.24)

    @pytest.mark.parametrize("row", [b"2025 13 31 23 40 1 1.0 1.0 1.0", b"2025 12 31 23 40 1 1.0", b"garbage"])
    def test_a_broken_row_is_unreadable_as_it_is(self, row: bytes) -> None:
        assert only_unreadable(self.sample, self.sample.body + row).original == row


class TestOpenAq:
    sample = SAMPLES["openaq"]

    def test_an_hour_is_named_by_its_start(self) -> None:
        assert readings_of(self.sample) == [
            {
                "sensor_id": "openaq/3920", "metric": "pm2_5", "value": 7.5, "unit": "µg/m³",
                "event_time": NEW_YEAR_MS - 2 * HOUR_MS, "x": -106.5, "y": 35.25, "crs": "EPSG:4326",
                "period": "1hour", "coverage_percent": 100.0,
            }
        ]  # fmt: skip

    def test_the_latest_value_has_the_same_time_as_the_measurement_that_it_repeats(self) -> None:
        latest = {
            "results": [
                {
                    "datetime": {"utc": "2025-12-31T23:00:00Z"}, "value": 7.5, "sensorsId": 3920, "locationsId": 8,
                    "coordinates": {"latitude": 35.25, "longitude": -106.5},
                }
            ]
        }  # fmt: skip
        assert only_unreadable(self.sample, latest).reason is Refusal.MISSING_FIELD  # nobody knows what it measures
        sensors = {"3920": {"metric": "pm2_5", "unit": "ug/m3"}}
        [reading] = readings_of(self.sample, latest, sensors=sensors)
        assert reading["event_time"] == readings_of(self.sample)[0]["event_time"]
        assert (reading["metric"], reading["location"]) == ("pm2_5", 8)

    def test_minus_999_and_null_are_missing_values(self) -> None:
        document = document_of("openaq")
        document["results"] = [{**document["results"][0], "value": value} for value in (-999, None, -9999.0)]
        adapter = self.sample.make()
        assert not list(adapter.readings(self.sample.payload(orjson.dumps(document))))
        assert adapter.passed_over == {PassedOver.MISSING_VALUE: 3}

    def test_an_option_goes_before_what_the_payload_says(self) -> None:
        measures = {"pm25": {"metric": "fine_dust", "unit": "mg/m3"}}
        assert readings_of(self.sample, measures=measures)[0]["unit"] == "mg/m3"


class TestSensorThings:
    sample = SAMPLES["sensorthings"]

    def test_an_expanded_observation_says_it_all(self) -> None:
        assert readings_of(self.sample) == [
            {
                "sensor_id": "sensorthings/thing/3", "metric": "air_temperature", "value": 21.5, "unit": "degC",
                "event_time": NEW_YEAR_MS - HOUR_MS, "x": 8.5, "y": 49.0, "z": 110.0, "crs": "EPSG:4326",
                "event_id": "555", "quality": "good", "datastream": "5",
            }
        ]  # fmt: skip

    def test_over_mqtt_the_options_say_what_the_message_leaves_out(self) -> None:
        message = {"@iot.id": 9, "phenomenonTime": "2025-12-31T23:00:00Z", "result": 3}
        mqtt = self.sample._replace(context={"topic": "v1.1/Datastreams(5)/Observations"})
        options = {
            "datastreams": {"5": {"metric": "pm10", "unit": "ug/m3", "sensor_id": "roof"}},
            "stations": {"5": {"x": 8.5, "y": 49.0}},
        }
        [reading] = readings_of(mqtt, message, **options)
        assert (reading["sensor_id"], reading["metric"], reading["unit"], reading["x"]) == (
            "roof",
            "pm10",
            "ug/m3",
            8.5,
        )

    def test_a_data_array_is_as_many_observations(self) -> None:
        array = {
            "value": [
                {
                    "Datastream@iot.navigationLink": "https://example.org/v1.1/Datastreams(5)",
                    "components": ["id", "phenomenonTime", "result"],
                    "dataArray": [[1, "2025-12-31T23:00:00Z", 1.5], [2, "2025-12-31T23:10:00Z", 2.5], [3]],
                }
            ]
        }
        options = {
            "datastreams": {"5": {"metric": "water_level", "unit": "m"}}, "stations": {"5": {"x": 8.5, "y": 49.0}},
        }  # fmt: skip
        items = items_of(self.sample, array, **options)
        assert [i["event_id"] for i in items if not isinstance(i, Unreadable)] == ["1", "2"]
        assert [i.reason for i in items if isinstance(i, Unreadable)] == [Refusal.WRONG_TYPE]

    def test_a_datastream_with_its_observations(self) -> None:
        [observation] = document_of("sensorthings")["value"]
        datastream = observation.pop("Datastream")
        document = {"value": [{**datastream, "Observations": [observation]}]}
        assert readings_of(self.sample, document) == readings_of(self.sample)


class TestNgsiLd:
    sample = SAMPLES["ngsi_ld"]

    def test_normalised_the_unit_code_and_observed_at_win(self) -> None:
        common = {
            "sensor_id": "urn:ngsi-ld:Device:7", "x": -3.75, "y": 40.5, "crs": "EPSG:4326",
            "entity_type": "AirQualityObserved", "entity_id": "urn:ngsi-ld:AirQualityObserved:a:2025-12-31T23:00:00Z",
        }  # fmt: skip
        assert readings_of(self.sample) == [
            {"metric": "relative_humidity", "value": 0.54, "unit": "1", "event_time": NEW_YEAR_MS - HOUR_MS, **common},
            {"metric": "no2", "value": 22.0, "unit": "GQ", "event_time": NEW_YEAR_MS - HOUR_MS + 300_000, **common},
        ]

    def test_every_representation_says_the_same(self) -> None:
        key_values = {
            "id": "a", "type": "T", "dateObserved": "2025-12-31T23:00:00Z", "pm10": 5,
            "location": {"type": "Point", "coordinates": [1.5, 2.5]},
        }  # fmt: skip
        normalised = {
            "id": "a", "type": "T", "dateObserved": {"type": "DateTime", "value": "2025-12-31T23:00:00Z"},
            "pm10": {"type": "Number", "value": 5, "metadata": {}},
            "location": {"type": "geo:json", "value": {"type": "Point", "coordinates": [1.5, 2.5]}},
        }  # fmt: skip
        feature = {
            "id": "a", "type": "Feature", "geometry": {"type": "Point", "coordinates": [1.5, 2.5]},
            "properties": {
                "type": "T", "dateObserved": "2025-12-31T23:00:00Z/2026-01-01T00:00:00Z", "pm10": {"value": 5},
            },
        }  # fmt: skip
        notification = {"id": "n", "type": "Notification", "data": [key_values]}
        results = [readings_of(self.sample, d) for d in (key_values, normalised, feature, notification, [key_values])]
        assert results[0][0]["value"] == 5.0
        assert all(result == results[0] for result in results)

    def test_a_gas_without_a_unit_is_not_guessed_at(self) -> None:
        document = document_of("ngsi_ld")
        del document["no2"]["unitCode"]
        assert only_unreadable(self.sample, document).reason is Refusal.MISSING_FIELD

    def test_the_waters_temperature_is_not_the_airs(self) -> None:
        document = {**document_of("ngsi_ld"), "type": "WaterQualityObserved", "temperature": {"value": 9.5}}
        assert "water_temperature" in {r["metric"] for r in readings_of(self.sample, document)}

    def test_a_height_is_a_gauges_only_where_there_is_water(self) -> None:
        document = {**document_of("ngsi_ld"), "height": {"value": 3.5}}
        assert len(readings_of(self.sample, document)) == 2
        assert len(readings_of(self.sample, {**document, "type": "WaterObserved"})) == 3


class TestTasmota:
    sample = SAMPLES["tasmota"]

    def test_local_time_the_messages_unit_and_the_station_table(self) -> None:
        common = {
            "sensor_id": "tasmota/roof/AHT1X-0x38", "event_time": NEW_YEAR_MS - HOUR_MS - 60_000,
            "x": 13.5, "y": 52.5, "z": 40.0, "crs": "EPSG:4326", "region": "berlin",
        }  # fmt: skip
        assert readings_of(self.sample) == [
            {"metric": "air_temperature", "value": 75.2, "unit": "F", **common},
            {"metric": "relative_humidity", "value": 61.9, "unit": "%", **common},
        ]

    def test_without_a_zone_a_local_time_is_unreadable(self) -> None:
        assert only_unreadable(self.sample, zone=None).reason is Refusal.NAIVE_TIME

    def test_a_sensor_can_measure_something_else_than_its_kind(self) -> None:
        document = {
            "Time": "2025-12-31T23:59:00",
            "DS18B20": {"Id": "0A", "Temperature": 4.0},
            "SR04": {"Distance": 42.5},
        }
        measures = {
            "DS18B20.Temperature": {"metric": "water_temperature", "unit": "degC"},
            "Distance": {"metric": "distance", "unit": "cm"},
        }
        water, distance = readings_of(self.sample, document, measures=measures)
        assert (water["metric"], water["hardware_id"]) == ("water_temperature", "0A")
        assert (distance["value"], distance["unit"]) == (42.5, "cm")

    def test_the_device_comes_from_the_template_or_the_topic(self) -> None:
        named = self.sample._replace(context={"topic": "a/b/c", "device": "roof"})
        assert readings_of(named)[0]["sensor_id"].startswith("tasmota/roof/")
        assert only_unreadable(self.sample._replace(context={})).reason is Refusal.MISSING_FIELD


class TestThingsStack:
    sample = SAMPLES["things_stack"]

    def test_a_channel_is_a_sensor_and_the_frame_names_the_event(self) -> None:
        common = {
            "sensor_id": "things_stack/app1/dev1/1", "event_time": 1_767_225_571_012_345_678,
            "x": 4.75, "y": 52.25, "z": 10.0, "crs": "EPSG:4326", "dev_eui": "0004A30B001C0530", "f_port": 1,
        }  # fmt: skip
        assert readings_of(self.sample) == [
            {"metric": "air_temperature", "value": 4.5, "unit": "degC", "event_id": "AXA50x/9/temperature_1", **common},
            {
                "metric": "relative_humidity", "value": 81.0, "unit": "%",
                "event_id": "AXA50x/9/relative_humidity_1", **common,
            },
        ]  # fmt: skip

    def test_normalised_measurements_have_times_of_their_own(self) -> None:
        document = document_of("things_stack")
        document["uplink_message"]["normalized_payload"] = [
            {"air": {"temperature": 4.5}, "time": "2025-12-31T23:50:00Z"},
            {"air": {"temperature": 5.5}, "soil": {"moisture": 30}},
        ]
        first, second, soil = readings_of(self.sample, document)
        assert (first["event_time"], first["event_id"]) == (NEW_YEAR_MS - 600_000, "AXA50x/9/air.temperature")
        assert (second["value"], second["event_id"]) == (5.5, "AXA50x/9/1/air.temperature")
        assert (soil["metric"], soil["unit"]) == ("soil_moisture", "%")

    def test_the_first_frame_has_no_counter(self) -> None:
        document = document_of("things_stack")
        del document["uplink_message"]["f_cnt"]
        assert readings_of(self.sample, document)[0]["event_id"] == "AXA50x/0/temperature_1"

    def test_a_join_measures_nothing_and_an_undecoded_uplink_is_unreadable(self) -> None:
        join = {**document_of("things_stack"), "join_accept": {}}
        del join["uplink_message"]
        adapter = self.sample.make()
        assert not list(adapter.readings(self.sample.payload(orjson.dumps(join))))
        assert adapter.passed_over == {PassedOver.NO_MEASUREMENT: 1}
        uplink = document_of("things_stack")
        del uplink["uplink_message"]["decoded_payload"]
        assert "payload formatter" in only_unreadable(self.sample, uplink).message

    def test_a_simulated_uplink_measures_nothing(self) -> None:
        assert readings_of(self.sample, {**document_of("things_stack"), "simulated": True}) == []

    def test_a_position_in_the_payload_beats_the_registered_one(self) -> None:
        document = document_of("things_stack")
        document["uplink_message"]["decoded_payload"]["gps_2"] = {"latitude": 1.5, "longitude": 2.5, "altitude": 3}
        reading = readings_of(self.sample, document)[0]
        assert (reading["x"], reading["y"], reading["z"]) == (2.5, 1.5, 3.0)


class TestChirpStack:
    sample = SAMPLES["chirpstack"]

    def test_cayenne_channels_and_tags(self) -> None:
        event_id = "3ac7e3c4-4401-4b8d-9386-a5c902f9202d"
        common = {
            "event_time": NEW_YEAR_MS - 49_877, "x": 8.25, "y": 47.5, "crs": "EPSG:4326",
            "application": "fields", "device": "probe", "f_port": 5,
        }  # fmt: skip
        assert readings_of(self.sample) == [
            {
                "metric": "air_temperature", "value": 4.25, "unit": "degC", **common,
                "sensor_id": "chirpstack/0101010101010101/1", "event_id": f"{event_id}/temperatureSensor.1",
            },
            {
                "metric": "relative_humidity", "value": 80.0, "unit": "%", **common,
                "sensor_id": "chirpstack/0101010101010101", "event_id": f"{event_id}/humidity",
            },
        ]  # fmt: skip

    def test_a_status_measures_nothing(self) -> None:
        adapter = self.sample.make()
        status = {k: v for k, v in document_of("chirpstack").items() if k in ("deviceInfo", "time")}
        assert not list(adapter.readings(self.sample.payload(orjson.dumps({**status, "margin": 10}))))
        assert adapter.passed_over == {PassedOver.NO_MEASUREMENT: 1}


class TestMeridian:
    sample = SAMPLES["meridian"]

    def test_a_reading_passes_as_it_is(self) -> None:
        assert readings_of(self.sample) == [document_of("meridian")]

    def test_arrays_and_lines_are_as_many(self) -> None:
        body = self.sample.body
        assert readings_of(self.sample, b"[" + body + b"," + body + b"]") == [document_of("meridian")] * 2
        items = items_of(self.sample, body + b"\n" + body[:20] + b"\n\n" + body)
        assert [i.original for i in items if isinstance(i, Unreadable)] == [body[:20]]
        assert len(items) == 3

    def test_the_topic_fills_up_what_the_payload_leaves_out(self) -> None:
        topic = self.sample._replace(context={"region": "po", "sensor_id": "s-9", "metric": "pm10"})
        options = {"units": {"pm10": "ug/m3"}, "stations": {"s-9": {"x": 1.5, "y": 2.5, "region": "elsewhere"}}}
        assert readings_of(topic, b"21.5", **options) == [
            {
                "value": 21.5, "event_time": RECEIVED_MS, "sensor_id": "s-9", "region": "po", "metric": "pm10",
                "unit": "ug/m3", "x": 1.5, "y": 2.5, "crs": "EPSG:4326",
            }
        ]  # fmt: skip
        assert readings_of(topic)[0]["sensor_id"] == "s-1"


class TestOptions:
    def test_an_ending_label_moves_times_to_the_start(self) -> None:
        document = document_of("ngsi_ld")
        [reading] = readings_of(
            SAMPLES["ngsi_ld"],
            {**document, "no2": None, "dateObserved": "2026-01-01T00:00:00"},
            zone="UTC", interval_label="ending", period="1 h",
        )  # fmt: skip
        assert reading["event_time"] == NEW_YEAR_MS - HOUR_MS

    def test_a_field_can_be_passed_over(self) -> None:
        metrics = {r["metric"] for r in readings_of(SAMPLES["ndbc"], measures={"WDIR": None})}
        assert metrics == {"wind_speed", "air_pressure", "water_temperature"}

    def test_a_station_file_is_a_table(self, tmp_path: Any) -> None:
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
    def test_wrong_options_are_named(self, options: dict[str, Any], says: str) -> None:
        with pytest.raises(UnknownAdapter, match="adapter usgs: ") as refused:
            make_adapter("usgs", options)
        assert says in str(refused.value)

    @pytest.mark.parametrize("row", ["a,1,x,,,", ",1,2,,,", "a,1"])
    def test_a_wrong_station_file_is_named_with_its_line(self, tmp_path: Any, row: str) -> None:
        file = tmp_path / "stations.csv"
        file.write_text(f"station,x,y,z,crs,region\n{row}\n")
        with pytest.raises(UnknownAdapter, match="line 2"):
            make_adapter("usgs", {"stations_file": str(file)})


class TestFinding:
    def test_an_unknown_adapter_is_answered_with_the_known_ones(self) -> None:
        with pytest.raises(UnknownAdapter, match="there are: chirpstack, meridian, ndbc"):
            make_adapter("carrier_pigeon")

    def test_a_users_own_module_needs_no_entry_point(self) -> None:
        assert make_adapter("jobs.bridge.adapters.usgs:Usgs").name == "usgs"
        with pytest.raises(UnknownAdapter, match="cannot be loaded"):
            make_adapter("jobs.bridge.adapters.usgs:Nothing")
        with pytest.raises(UnknownAdapter, match="not a subclass"):
            make_adapter("jobs.bridge.feed:Payload")
