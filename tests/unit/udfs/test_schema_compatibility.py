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

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_OK, EXIT_USAGE
from jobs.cli.schema import schema as schema_group
from tests.support.registry_stand_in import RegistryStandIn
from udfs.decode import Decoder
from udfs.reading import Headers
from udfs.reasons import Reason, Rejected
from udfs.rules import LimitRule, SchemaRule, StreamRule
from udfs.schema_compatibility import Compatibility, check_for_job, check_versions
from udfs.schema_finding import Finding
from udfs.schemas import reading_schema
from udfs.validate import Validator
from udfs.writer_schema import SchemaFormat, UnusableSchema, WriterSchema

RECORD = {"sensor_id": "s", "metric": "m", "value": 4, "unit": "degC", "event_time": 1_700_000_000_000, "x": 1, "y": 2}
HEADERS = Headers(sensor_id="s", crs_source="EPSG:4326", event_timestamp_ms=1_700_000_000_000)


def reading(*fields: dict[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """`reading.avsc` with other fields, and with some fields replaced."""
    replaced = {field["name"] for field in fields} | set(without)
    schema = reading_schema()
    schema["fields"] = [f for f in schema["fields"] if f["name"] not in replaced] + list(fields)
    return schema


def avro(schema: Any) -> WriterSchema:
    return WriterSchema(SchemaFormat.AVRO, json.dumps(schema))


def findings(*schemas: Any, level: Compatibility = Compatibility.FULL_TRANSITIVE) -> list[Finding]:
    return check_versions([(f"v{number}", avro(schema)) for number, schema in enumerate(schemas, 1)], level)


def breaks(*schemas: Any, level: Compatibility = Compatibility.FULL_TRANSITIVE) -> list[tuple[str, str]]:
    return [(f.versions, f.field) for f in findings(*schemas, level=level) if f.breaks]


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
    [finding] = findings(V1, renamed, level=Compatibility.BACKWARD)
    assert (finding.breaks, finding.field) == (False, "quality")
    assert "quality_flag, that needs an alias 'quality'" in finding.message


def test_a_field_without_default_breaks_who_reads_older_data() -> None:
    new = reading({"name": "station", "type": "string"})
    assert breaks(V1, new, level=Compatibility.BACKWARD) == [("v2 reads v1", "station")]
    assert breaks(V1, new, level=Compatibility.FORWARD) == []


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
    assert (breaks(*versions, level=Compatibility.BACKWARD) == []) is backward
    assert (breaks(*versions, level=Compatibility.FORWARD) == []) is forward


def test_versions_that_are_not_neighbours_are_compared_too() -> None:
    """v2 drops a field, v3 brings it back as something else: each step is fine, the whole is not."""
    first = reading({"name": "n", "type": "long", "default": 0})
    third = reading({"name": "n", "type": "string", "default": ""})
    assert breaks(first, V1) == breaks(V1, third) == []
    assert breaks(first, V1, third) == [("v3 reads v1", "n"), ("v1 reads v3", "n")]
    assert breaks(first, V1, third, level=Compatibility.FULL) == []
    assert breaks(first, third, level=Compatibility.NONE) == []


def test_another_record_needs_an_alias() -> None:
    other = {**V1, "name": "Observation"}
    assert breaks(V1, other, level=Compatibility.BACKWARD) == [("v2 reads v1", "")]
    assert breaks(V1, {**other, "aliases": ["meridian.Reading"]}, level=Compatibility.BACKWARD) == []


@pytest.mark.parametrize("broken", [{}, [], {"type": "record"}, {"type": "string"}, {"type": "duck", "name": "d"}, 5])
def test_what_is_no_record_is_named(broken: Any) -> None:
    with pytest.raises(UnusableSchema, match=r"^v1: "):
        findings(broken)


class TestForTheJob:
    def test_the_projects_own_schema_is_read(self) -> None:
        assert check_for_job("v1", avro(V1)) == []

    @pytest.mark.parametrize("name", ["metric", "value", "unit", "x", "y"])
    def test_what_every_reading_needs_must_be_there(self, name: str) -> None:
        assert [(f.breaks, f.field) for f in check_for_job("v", avro(reading(without=(name,))))] == [(True, name)]

    def test_what_a_header_can_hold_is_told(self) -> None:
        [finding] = check_for_job("v", avro(reading(without=("sensor_id",))))
        assert (finding.breaks, finding.field) == (False, "sensor_id")

    def test_a_schema_that_could_exhaust_a_worker_is_unusable(self) -> None:
        recursive = reading({"name": "inner", "type": ["null", "meridian.Reading"], "default": None})
        with pytest.raises(UnusableSchema, match="recursive"):
            check_for_job("v", avro(recursive))

    @given(
        name=st.sampled_from(["value", "x", "unit", "metric", "sensor_id", "event_time", "quality", "z"]),
        kind=st.sampled_from(["int", "long", "float", "double", "string", "boolean", "bytes"]),
    )
    def test_a_type_that_passes_the_check_is_never_a_wrong_type(self, name: str, kind: str) -> None:
        schema = reading({"name": name, "type": kind})
        sample = {"string": "degC", "boolean": True, "bytes": b"degC"}.get(kind, 4)
        record = {**RECORD, name: sample}
        if name == "event_time" and kind == "int":
            record[name] = 1_700_000_000
        out = BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(schema)), record)
        rules = SchemaRule(((1, avro(schema)),))
        if any(f.breaks for f in check_for_job("v", avro(schema))):
            with pytest.raises(UnusableSchema, match=name):
                Decoder(LimitRule(), rules)
            return
        fields = Decoder(LimitRule(), rules).decode(b"\0\0\0\0\1" + out.getvalue(), None)
        try:
            Validator((StreamRule("all", ("*",), "degC"),)).validate(fields, HEADERS)
        except Rejected as rejected:
            assert rejected.reason is not Reason.WRONG_TYPE


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
        assert "value: string cannot be read from double" in result.stdout, result.output
        assert "the job reads" in result.stdout

    def test_a_deployments_schemas_are_its_versions(self, tmp_path: Path) -> None:
        (tmp_path / "a.avsc").write_text(json.dumps(V1))
        (tmp_path / "my.yaml").write_text(
            "name: a\nstreams: [{name: s, metrics: [m], unit: degC}]\nschemas: {files: [{id: 1, file: a.avsc}]}\n"
        )
        result = self.run(tmp_path, arguments=("--config", str(tmp_path / "my.yaml"), "--json"))
        assert json.loads(result.stdout) == {"compatible": True, "findings": []}

    def test_a_type_that_the_deployments_reader_has_otherwise_is_named_beside_what_the_versions_say(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "reader.avsc").write_text(json.dumps(reading({"name": "n", "type": "int", "default": 0})))
        (tmp_path / "my.yaml").write_text(
            "name: a\nstreams: [{name: s, metrics: [m], unit: degC}]\nschemas: {reader: reader.avsc}\n"
        )
        versions = [reading({"name": "n", "type": kind, "default": 0}) for kind in ("int", "double")]
        result = self.run(tmp_path, *versions, arguments=("--config", str(tmp_path / "my.yaml")))
        assert result.exit_code == EXIT_FAILED and "n: int cannot be read from double" in result.output
        assert "the job reads" in result.output and "n: double cannot be read as int" in result.output

    def test_the_versions_of_a_subject_come_first_and_its_rule_holds(self, tmp_path: Path) -> None:
        with RegistryStandIn() as registry:
            registry.store.level = "BACKWARD"
            registry.store.register("t-value", {"schema": json.dumps(V1)})
            (tmp_path / "my.yaml").write_text(
                "name: a\nstreams: [{name: s, metrics: [m], unit: degC}]\n"
                f"schemas: {{registry: {{url: '{registry.url}'}}}}\n"
            )
            against = ("--config", str(tmp_path / "my.yaml"), "--subject", "t-value")
            good = self.run(tmp_path, V2, arguments=against)
            assert good.exit_code == EXIT_OK and "t-value version 1" in good.output, good.output
            bad = self.run(tmp_path, reading({"name": "value", "type": "string"}), arguments=against)
            assert bad.exit_code == EXIT_FAILED and "value: string cannot be read from double" in bad.output
            assert "v1.avsc: the registry would refuse it" in bad.output
            arguments = ["register", str(tmp_path / "v1.avsc"), *against]
            refused = CliRunner().invoke(schema_group, arguments)
            assert refused.exit_code == EXIT_FAILED and "409" in str(refused.output)
            (tmp_path / "v1.avsc").write_text(json.dumps(V2))
            assert CliRunner().invoke(schema_group, arguments).stdout == "2\n"
            registry.stop()
            assert self.run(tmp_path, V2, arguments=against).exit_code == EXIT_ENVIRONMENT

    def test_protobuf_files_are_compiled_and_compared(self, tmp_path: Path) -> None:
        text = "string metric = 1; {} value = 2; string unit = 3; double x = 4; double y = 5;"
        for name, kind in (("v1", "double"), ("v2", "string")):
            message = f'syntax = "proto3"; message R {{ {text.format(kind)} }}'
            (tmp_path / f"{name}.proto").write_text(message)
        files = [str(tmp_path / "v1.proto"), str(tmp_path / "v2.proto")]
        assert CliRunner().invoke(schema_group, ["check", files[0]]).exit_code == EXIT_OK
        result = CliRunner().invoke(schema_group, ["check", *files, "--level", "backward"])
        assert result.exit_code == EXIT_FAILED and "value: string cannot be read from double" in result.output, (
            result.output
        )

    def test_wrong_usage(self, tmp_path: Path) -> None:
        assert self.run(tmp_path).exit_code == EXIT_USAGE
        (tmp_path / "x.avsc").write_text("{")
        assert CliRunner().invoke(schema_group, ["check", str(tmp_path / "x.avsc")]).exit_code == EXIT_USAGE
