"""Laws of schema evolution: what the check says is what Avro and the job then do."""

from __future__ import annotations

import copy
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from jobs.cli.console import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from jobs.cli.schema import schema as schema_group
from udfs.decode import Decoder
from udfs.reading import Headers
from udfs.reasons import Reason, Rejected
from udfs.rules import LimitRule, StreamRule
from udfs.schema_compatibility import Direction, UnusableSchema, check_for_job, check_versions
from udfs.schemas import reading_schema
from udfs.validate import Validator

RECORD = {"sensor_id": "s", "metric": "m", "value": 4, "unit": "degC", "event_time": 1_700_000_000_000, "x": 1, "y": 2}
HEADERS = Headers(sensor_id="s", crs_source="EPSG:4326", event_timestamp_ms=1_700_000_000_000)


def reading(*fields: dict[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """`reading.avsc` with other fields, and with some fields replaced."""
    replaced = {field["name"] for field in fields} | set(without)
    schema = reading_schema()
    schema["fields"] = [f for f in schema["fields"] if f["name"] not in replaced] + list(fields)
    return schema


def breaks(*schemas: dict[str, Any], direction: Direction = Direction.FULL) -> list[tuple[str, str]]:
    versions = [(f"v{number}", schema) for number, schema in enumerate(schemas, 1)]
    return [(f.versions, f.field) for f in check_versions(versions, direction) if f.breaks]


V1 = reading()
V2 = reading({"name": "battery_v", "type": ["null", "float"], "default": None})
V3 = reading(
    {"name": "battery_v", "type": ["null", "float"], "default": None},
    {"name": "quality_flag", "type": ["null", "string", "long", "double"], "default": None, "aliases": ["quality"]},
    without=("quality",),
)


def test_an_optional_field_never_breaks_a_consumer() -> None:
    assert breaks(V1, V2) == []


def test_three_versions_run_together() -> None:
    assert breaks(V1, V2, V3) == []


def test_a_rename_without_an_alias_is_lost_in_silence_and_told() -> None:
    renamed = copy.deepcopy(V3)
    del renamed["fields"][-1]["aliases"]
    findings = check_versions([("v1", V1), ("v2", renamed)], Direction.BACKWARD)
    assert [(f.breaks, f.field) for f in findings] == [(False, "quality")]
    assert "quality_flag, that needs an alias 'quality'" in findings[0].message


def test_a_field_without_default_breaks_who_reads_older_data() -> None:
    new = reading({"name": "station", "type": "string"})
    assert breaks(V1, new, direction=Direction.BACKWARD) == [("v2 reads v1", "station")]
    assert breaks(V1, new, direction=Direction.FORWARD) == []


@pytest.mark.parametrize(
    ("old", "new", "backward", "forward"),
    [
        ("int", "long", True, False), ("long", "double", True, False), ("float", "double", True, False),
        ("string", "bytes", True, True), ("double", "string", False, False), ("string", "long", False, False),
        (["null", "long"], "long", False, True), ("long", ["null", "long"], True, False),
        (["null", "int"], ["null", "double"], True, False), ("boolean", "int", False, False),
    ],
)  # fmt: skip
def test_types_are_promoted_or_refused(old: Any, new: Any, backward: bool, forward: bool) -> None:
    versions = reading({"name": "n", "type": old}), reading({"name": "n", "type": new})
    assert (breaks(*versions, direction=Direction.BACKWARD) == []) is backward
    assert (breaks(*versions, direction=Direction.FORWARD) == []) is forward


def test_versions_that_are_not_neighbours_are_compared_too() -> None:
    """v2 drops a field, v3 brings it back as something else: each step is fine, the whole is not."""
    first = reading({"name": "n", "type": "long", "default": 0})
    third = reading({"name": "n", "type": "string", "default": ""})
    assert breaks(first, V1) == breaks(V1, third) == []
    assert breaks(first, V1, third) == [("v3 reads v1", "n"), ("v1 reads v3", "n")]


def test_another_record_needs_an_alias() -> None:
    other = {**V1, "name": "Observation"}
    assert breaks(V1, other, direction=Direction.BACKWARD) == [("v2 reads v1", "")]
    assert breaks(V1, {**other, "aliases": ["meridian.Reading"]}, direction=Direction.BACKWARD) == []


@pytest.mark.parametrize("broken", [{}, [], {"type": "record"}, {"type": "string"}, {"type": "duck", "name": "d"}, 5])
def test_what_is_no_record_is_named(broken: Any) -> None:
    with pytest.raises(UnusableSchema, match=r"^v1: "):
        check_versions([("v1", broken)], Direction.FULL)


class TestForTheJob:
    def test_the_projects_own_schema_is_read(self) -> None:
        assert check_for_job("v1", V1) == []

    @pytest.mark.parametrize("name", ["metric", "value", "unit", "x", "y"])
    def test_what_every_reading_needs_must_be_there(self, name: str) -> None:
        assert [(f.breaks, f.field) for f in check_for_job("v", reading(without=(name,)))] == [(True, name)]

    def test_what_a_header_can_hold_is_told(self) -> None:
        [finding] = check_for_job("v", reading(without=("sensor_id",)))
        assert (finding.breaks, finding.field) == (False, "sensor_id")

    def test_a_schema_that_could_exhaust_a_worker_is_unusable(self) -> None:
        recursive = reading({"name": "inner", "type": ["null", "meridian.Reading"], "default": None})
        with pytest.raises(UnusableSchema, match="recursive"):
            check_for_job("v", recursive)

    @given(
        name=st.sampled_from(["value", "x", "unit", "metric", "sensor_id", "event_time", "quality", "z"]),
        kind=st.sampled_from(["int", "long", "float", "double", "string", "boolean", "bytes"]),
    )
    def test_a_type_that_passes_the_check_is_never_a_wrong_type(self, name: str, kind: str) -> None:
        schema = reading({"name": name, "type": kind})
        sample = {"string": "degC", "boolean": True, "bytes": b"b"}.get(kind, 4)
        record = {**RECORD, name: sample}
        if name == "event_time" and kind == "int":
            record[name] = 1_700_000_000
        out = BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(schema)), record)
        decoder = Decoder(LimitRule(), ((1, json.dumps(schema)),))
        fields = decoder.decode(b"\0\0\0\0\1" + out.getvalue(), None)
        passes = not any(f.breaks for f in check_for_job("v", schema))
        try:
            Validator((StreamRule("all", ("*",), "degC"),)).validate(fields, HEADERS)
            reason = None
        except Rejected as rejected:
            reason = rejected.reason
        if passes:
            assert reason is not Reason.WRONG_TYPE
        elif kind != "bytes" and name != "event_time":  # base64 text by then; times are read by the next stage
            assert reason in (Reason.WRONG_TYPE, Reason.HEADER_MISMATCH, Reason.UNKNOWN_UNIT)


class TestCommand:
    def run(self, folder: Path, *schemas: Any, arguments: tuple[str, ...] = ()) -> Any:
        files = []
        for number, schema in enumerate(schemas, 1):
            files.append(folder / f"v{number}.avsc")
            files[-1].write_text(json.dumps(schema))
        return CliRunner().invoke(schema_group, ["check", *map(str, files), *arguments])

    def test_good_versions_end_well(self, tmp_path: Path) -> None:
        result = self.run(tmp_path, V1, V2, V3)
        assert result.exit_code == EXIT_OK, result.output

    def test_a_change_that_breaks_is_named_with_its_field(self, tmp_path: Path) -> None:
        result = self.run(tmp_path, V1, reading({"name": "value", "type": "string"}))
        assert result.exit_code == EXIT_FAILED
        assert "value: string cannot be read from double" in result.stdout
        assert "the job reads" in result.stdout

    def test_a_deployments_schemas_are_its_versions(self, tmp_path: Path) -> None:
        (tmp_path / "a.avsc").write_text(json.dumps(V1))
        (tmp_path / "my.yaml").write_text(
            "name: a\nstreams: [{name: s, metrics: [m], unit: degC}]\navro: {schemas: [{id: 1, file: a.avsc}]}\n"
        )
        result = self.run(tmp_path, arguments=("--config", str(tmp_path / "my.yaml"), "--json"))
        assert json.loads(result.stdout) == {"compatible": True, "findings": []}

    def test_wrong_usage(self, tmp_path: Path) -> None:
        assert self.run(tmp_path).exit_code == EXIT_USAGE
        (tmp_path / "x.avsc").write_text("{")
        assert CliRunner().invoke(schema_group, ["check", str(tmp_path / "x.avsc")]).exit_code == EXIT_USAGE
