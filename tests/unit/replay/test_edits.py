"""A file of edits is refused with its keys named, applied as a whole, and changes nothing that it does not name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jobs.pipeline.deployment_file import InvalidDeployment
from jobs.replay.content import Content
from jobs.replay.dead_letters import Letter, NotReplayable, RawRecord, decode_letter
from jobs.replay.edit import edit_record
from jobs.replay.edits import Edits, load_edits
from jobs.replay.forecast import Forecast
from jobs.replay.selection import Places, Selection, Span
from tests.support.generated import NOW_MS, RULES, TOPIC
from udfs.dead_letter import Source, dead_letter
from udfs.decode import Decoder
from udfs.reasons import Reason

DECODER = Decoder(RULES.limits, RULES.schemas)
TIME_MS = NOW_MS - 60_000
GOOD: dict[str, Any] = {
    "sensor_id": "buoy-7", "region": "grampian", "metric": "air_temperature", "value": 9.5, "unit": "degC",
    "event_time": TIME_MS, "x": -2.1, "y": 57.1, "crs": "EPSG:4326",
}  # fmt: skip


def record_of(value: dict[str, Any] | bytes, **headers: str) -> RawRecord:
    envelope = {
        "sensor_id": "buoy-7", "event_timestamp": str(TIME_MS), "crs_source": "EPSG:4326",
        "content-type": "application/json",
    } | headers  # fmt: skip
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    return RawRecord(b"grampian", data, [(n, v.encode()) for n, v in envelope.items() if v])


def letter_of(record: RawRecord, reason: Reason = Reason.UNKNOWN_UNIT, partition: int = 2, offset: int = 9) -> Letter:
    source = Source(TOPIC, partition, offset, NOW_MS)
    return decode_letter(
        dead_letter(reason, "why", source, record.value, payload_limit=9_999, job_version="1", key=record.key,
                    headers=dict(record.headers))
    )  # fmt: skip


def edits_of(*rules: dict[str, Any]) -> Edits:
    return Edits.model_validate({"rules": list(rules)})


def edited(
    value: dict[str, Any] | bytes, *rules: dict[str, Any], reason: Reason = Reason.UNKNOWN_UNIT, **headers: str
) -> RawRecord:
    record = record_of(value, **headers)
    return edit_record(record, letter_of(record, reason), edits_of(*rules), DECODER)


def becomes(record: RawRecord) -> str:
    return Forecast(RULES, TOPIC).of(record, letter_of(record), NOW_MS).reason


def fields_of(record: RawRecord) -> Any:
    return orjson.loads(record.value or b"")


@pytest.mark.parametrize(
    ("refused", "headers", "reason", "rule"),
    [
        ({"unit": "Fahr", "value": 49.1}, {}, "unknown_unit", {"convert": {"unit": {"values": {"Fahr": "degF"}}}}),
        ({"unit": "Fahr"}, {}, "unknown_unit", {"set": {"unit": "degC"}}),
        ({"metric": "ta"}, {}, "unknown_metric", {"set": {"metric": "air_temperature"}}),
        ({"value": 9_500}, {}, "value_out_of_range", {"convert": {"value": {"scale": 0.001}}}),
        ({"value": "9,5"}, {}, "wrong_type", {"convert": {"value": {"values": {"9,5": 9.5}}}}),
        ({"crs": "EPSG:99999"}, {"crs_source": "EPSG:99999"}, "unknown_crs", {"set": {"crs": "EPSG:4326"}}),
        ({"x": 57.1, "y": -2.1}, {}, "axis_order_swapped", {"swap_xy": True}),
        ({"event_time": "2026-09-21T14:12:20"}, {"event_timestamp": ""}, "naive_time", {"zone": "Europe/London"}),
        ({}, {"sensor_id": "buoy-8"}, "header_mismatch", {"headers": {"sensor_id": None}}),
        ({}, {"content-type": "application/xml"}, "unsupported_content_type", {"headers": {"content-type": None}}),
        ({}, {"content-type": "application/xml"}, "unsupported_content_type",
         {"headers": {"content-type": "application/json"}, "set": {"quality": "mended"}}),
    ],
)  # fmt: skip
def test_what_a_rule_mends_is_accepted_by_the_jobs_own_stages(
    refused: dict[str, Any], headers: dict[str, str], reason: str, rule: dict[str, Any]
) -> None:
    before = record_of(GOOD | refused, **headers)
    assert becomes(before) == reason
    after = edited(GOOD | refused, rule, **headers)
    assert becomes(after) == "accepted"
    assert after.key == before.key


def test_a_name_is_mended_and_a_field_removed() -> None:
    sent = {("reading" if name == "value" else name): value for name, value in GOOD.items()} | {"spare": 1}
    after = edited(sent, {"rename": {"reading": "value"}, "remove": "spare"})
    assert fields_of(after) == GOOD and becomes(after) == "accepted"


def test_texts_are_replaced_before_the_value_is_decoded() -> None:
    broken = orjson.dumps({**GOOD, "value": 1.5, "quality": None}).replace(b'"quality":null', b'"quality":NaN')
    assert becomes(record_of(broken)) == "malformed_json"
    after = edited(broken, {"replace": {"NaN": "null"}}, reason=Reason.MALFORMED_JSON)
    assert fields_of(after) == {**GOOD, "value": 1.5, "quality": None} and becomes(after) == "accepted"


def test_another_shape_becomes_a_reading_by_a_mapping_and_its_headers_follow() -> None:
    sent = {"dev": 7, "at": "2026-09-21 15:12", "t": "95", "pos": {"lon": -2.1, "lat": 57.1}}
    mapping = {
        "time": {"columns": ["at"], "format": "%Y-%m-%d %H:%M", "zone": "Europe/London"},
        "metrics": [{"column": "t", "metric": "air_temperature", "unit": "degC", "scale": 0.1}],
        "sensor_id": {"column": "dev", "prefix": "buoy-"}, "region": "grampian",
        "x": {"column": "pos.lon"}, "y": {"column": "pos.lat"},
    }  # fmt: skip
    after = edited(sent, {"mapping": mapping}, reason=Reason.MISSING_FIELD, sensor_id="dev7", event_timestamp="5")
    assert fields_of(after)["value"] == 9.5 and becomes(after) == "accepted"
    headers = dict(after.headers)
    assert headers["sensor_id"] == b"buoy-7"
    assert int(headers["event_timestamp"] or 0) == fields_of(after)["event_time"] == NOW_MS - 80_000


def test_the_headers_that_repeat_a_field_follow_it_and_no_others() -> None:
    after = edited(GOOD, {"set": {"sensor_id": "buoy-9", "crs": "EPSG:4258", "event_time": TIME_MS + 1}})
    assert dict(after.headers) == {
        "sensor_id": b"buoy-9", "crs_source": b"EPSG:4258", "event_timestamp": b"%d" % (TIME_MS + 1),
        "content-type": b"application/json",
    }  # fmt: skip
    kept = edited(GOOD, {"set": {"quality": "x"}}, sensor_id="other")
    assert dict(kept.headers)["sensor_id"] == b"other"  # a mismatch that nobody has mended stays one
    none = edited(GOOD, {"set": {"sensor_id": "buoy-9"}}, sensor_id="")
    assert "sensor_id" not in dict(none.headers)


def test_a_zone_reads_local_times_and_leaves_others_at_their_instant() -> None:
    summer = edited(GOOD | {"event_time": "2026-07-01T12:00:00"}, {"zone": "Europe/London"})
    assert fields_of(summer)["event_time"] == 1_782_903_600_000
    assert fields_of(edited(GOOD, {"zone": "Asia/Tokyo"}))["event_time"] == TIME_MS
    fine = edited(GOOD | {"event_time": "2026-07-01T12:00:00.0000005"}, {"zone": "UTC"})
    assert fields_of(fine)["event_time"] == 1_782_907_200_000_000_500


def test_rules_are_taken_in_order_and_only_where_they_apply() -> None:
    first = {"when": {"reason": "unknown_unit", "sensor": "buoy-*"}, "set": {"value": 1.0}}
    second = {
        "when": {"metric": ["air_*"], "fields": {"unit": "deg?"}},
        "convert": {"value": {"scale": 10, "offset": 1}},
    }
    other = {"when": {"stage": "transform_crs"}, "set": {"value": 99.0}}
    assert fields_of(edited(GOOD, first, second, other))["value"] == 11.0


@given(st.binary(max_size=60))
def test_where_no_rule_applies_a_record_stays_as_it_is_byte_by_byte(value: bytes) -> None:
    assert edited(value, {"when": {"reason": "too_old"}, "set": {"unit": "degC"}}) == record_of(value)
    only_headers = edited(value, {"headers": {"x": "1"}})
    assert only_headers.value == value and dict(only_headers.headers)["x"] == b"1"


@pytest.mark.parametrize(
    ("value", "rule", "why"),
    [
        (b"{", {"set": {"unit": "degC"}}, "cannot be decoded .malformed_json"),
        (GOOD, {"rename": {"nothing": "value"}}, "rule 1: there is no field 'nothing'"),
        (GOOD, {"convert": {"unit": {"scale": 2}}}, "rule 1: unit is 'degC', not a number"),
        (GOOD | {"event_time": "noon"}, {"zone": "UTC"}, "rule 1: "),
        ({"t": 1}, {"mapping": {"time": {"columns": ["at"]}, "metrics": [{"column": "t", "metric": "m", "unit": "1"}],
                                "sensor_id": "s", "x": 1.0, "y": 2.0}}, "rule 1: line 1: no column 'at'"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_applied_says_which_and_why(value: Any, rule: dict[str, Any], why: str) -> None:
    with pytest.raises(NotReplayable, match=f"telemetry.raw/2/9: .*{why}"):
        edited(value, rule)


MAPPING: dict[str, Any] = {
    "time": {"columns": ["t"]}, "sensor_id": "s", "x": 1.0, "y": 2.0,
    "metrics": [{"column": "v", "metric": "m", "unit": "1"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"rules": []}, "rules"),
        ({"rules": [{"sett": {"a": 1}}]}, "rules.0.sett"),
        ({"rules": [{"when": {"reason": "rainy"}, "set": {"a": 1}}]}, "rules.0.when.reason.0"),
        ({"rules": [{"when": {"sensor": "a"}}]}, "nothing is edited"),
        ({"rules": [{"zone": "Europe/Atlantis"}]}, "tz database"),
        ({"rules": [{"convert": {"value": {}}}]}, "values, scale or offset"),
        ({"rules": [{"headers": {"replay_of": "x"}}]}, "set by the replay"),
        ({"rules": [{"mapping": {**MAPPING, "metrics": MAPPING["metrics"] * 2}}]}, "exactly one metric"),
        ({"rules": [{"mapping": {**MAPPING, "sort": True}}]}, "sort: only for files"),
        (["no mapping"], "at the top level"),
    ],
)
def test_a_file_of_edits_that_is_wrong_is_refused_by_its_keys(tmp_path: Path, document: Any, says: str) -> None:
    file = tmp_path / "edits.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(InvalidDeployment, match=says):
        load_edits(file)


def test_a_good_file_of_edits_is_read(tmp_path: Path) -> None:
    file = tmp_path / "edits.yaml"
    file.write_text(yaml.safe_dump({"rules": [{"when": {"reason": "unknown_unit"}, "set": {"unit": "degC"}}]}))
    assert load_edits(file) == edits_of({"when": {"reason": ["unknown_unit"]}, "set": {"unit": "degC"}})


@pytest.mark.parametrize(
    ("selection", "takes"),
    [
        (Selection(), True),
        (Selection(reasons=["unknown_unit"]), True),
        (Selection(reasons=["too_old"]), False),
        (Selection(stages=["validate"]), True),
        (Selection(stages=["decode"]), False),
        (Selection(sensors=["x", "buoy-*"]), True),
        (Selection(sensors=["buoy"]), False),
        (Selection(metrics=["air_*"]), True),
        (Selection(appended=Span(NOW_MS, NOW_MS + 1)), True),
        (Selection(appended=Span(None, NOW_MS)), False),
        (Selection(event=Span(TIME_MS, None)), True),
        (Selection(event=Span(TIME_MS + 1, None)), False),
        (Selection(places=[Places.parse("1"), Places.parse("2/5-9")]), True),
        (Selection(places=[Places.parse(f"{TOPIC}/2/9")]), True),
        (Selection(places=[Places.parse("other/2/9")]), False),
        (Selection(places=[Places.parse("2/10-20")]), False),
        (Selection(fields={"region": "gram*", "value": 9.5}), True),
        (Selection(fields={"nothing": "*"}), False),
    ],
)
def test_a_letter_is_chosen_by_all_that_is_given(selection: Selection, takes: bool) -> None:
    record = record_of(GOOD)
    assert selection.takes(letter_of(record), Content(record, DECODER)) is takes


def test_what_cannot_be_decoded_is_chosen_by_its_headers() -> None:
    record = record_of(b"{")
    letter, content = letter_of(record, Reason.MALFORMED_JSON), Content(record, DECODER)
    assert Selection(sensors=["buoy-7"], event=Span(TIME_MS, TIME_MS + 1)).takes(letter, content)
    assert not Selection(metrics=["*"]).takes(letter, content)
    silent = RawRecord(None, b"{", [])
    assert not Selection(event=Span(0, None)).takes(letter, Content(silent, DECODER))


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("2", Places(None, 2)),
        ("0/0", Places(None, 0, 0, 0)),
        ("2/5-9", Places(None, 2, 5, 9)),
        ("raw-1.x/2/9", Places("raw-1.x", 2, 9, 9)),
        ("1/2/3-4", Places("1", 2, 3, 4)),
    ],
)
def test_a_place_is_read_as_letters_name_it(text: str, places: Places) -> None:
    assert Places.parse(text) == places


@pytest.mark.parametrize("text", ["", "x/y", "2/", "2/9-", "-1", "a/2", "a/b/2/9"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no place"):
        Places.parse(text)
