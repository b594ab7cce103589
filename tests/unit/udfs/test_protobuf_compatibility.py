"""Laws of Protobuf evolution: who reads whom, field by field."""

from __future__ import annotations

import pytest

from jobs.schemas.protoc import compile_texts
from udfs.protobuf_schema import protobuf_schema
from udfs.schema_compatibility import Compatibility, check_for_job, check_versions
from udfs.schema_finding import Finding
from udfs.writer_schema import SchemaFormat, UnusableSchema, WriterSchema

READING = "string metric = 1; double value = 2; string unit = 3; double x = 4; double y = 5;"


def proto(fields: str, syntax: str = "proto3", more: str = "") -> WriterSchema:
    text = f'syntax = "{syntax}"; message R {{ {fields} }} {more}'
    return protobuf_schema(compile_texts({"r.proto": text}, "r.proto"))


def findings(*versions: WriterSchema, level: Compatibility = Compatibility.BACKWARD) -> list[Finding]:
    return check_versions([(f"v{number}", version) for number, version in enumerate(versions, 1)], level)


@pytest.mark.parametrize(
    ("old", "new", "breaks"),
    [
        ("int32 a = 1;", "int64 a = 1;", False),
        ("bool a = 1;", "uint32 a = 1;", False),
        ("string a = 1;", "bytes a = 1;", False),
        ("sint32 a = 1;", "sint64 a = 1;", False),
        ("fixed32 a = 1;", "sfixed32 a = 1;", False),
        ("int32 a = 1;", "sint32 a = 1;", True),
        ("float a = 1;", "double a = 1;", True),
        ("int64 a = 1;", "double a = 1;", True),
        ("string a = 1;", "int32 a = 1;", True),
        ("int32 a = 1;", "repeated int32 a = 1;", True),
        ("string a = 1;", "repeated string a = 1;", False),
        ("int32 a = 1;", "int32 a = 2;", True),
        ("int32 a = 1; int32 b = 2;", "oneof o { int32 a = 1; int32 b = 2; }", True),
        ("int32 a = 1;", "oneof o { int32 a = 1; int32 b = 2; }", False),
        ("int32 a = 1;", "optional int32 a = 1;", False),
        ("int32 a = 1;", "int32 a = 1; int32 b = 2;", False),
        ("int32 a = 1; int32 b = 2;", "int32 a = 1; reserved 2;", False),
        ("M a = 1; message M {}", "N a = 1; message M {} message N {}", True),
        ("message M {}", "", True),
    ],
)
def test_each_change_breaks_or_does_not(old: str, new: str, breaks: bool) -> None:
    assert any(finding.breaks for finding in findings(proto(old), proto(new))) is breaks


def test_a_required_field_must_be_written() -> None:
    old, new = proto("optional int32 a = 1;", "proto2"), proto("required int32 a = 1; required int32 b = 2;", "proto2")
    assert [f.field for f in findings(old, new) if f.breaks] == ["a", "b"]
    assert not [f for f in findings(old, new, level=Compatibility.FORWARD) if f.breaks]


def test_a_renamed_field_is_read_and_told() -> None:
    [finding] = findings(proto("int32 a = 1;"), proto("int32 b = 1;"))
    assert (finding.breaks, finding.field) == (False, "b") and "alias" in finding.message


def test_a_cut_number_is_told() -> None:
    [finding] = findings(proto("int64 a = 1;"), proto("int32 a = 1;"))
    assert not finding.breaks and "is cut" in finding.message


def test_transitive_compares_versions_that_are_no_neighbours() -> None:
    versions = proto("int32 a = 1;"), proto(""), proto("string a = 1;")
    assert not findings(*versions)
    assert [f.versions for f in findings(*versions, level=Compatibility.BACKWARD_TRANSITIVE)] == ["v3 reads v1"]


def test_formats_are_not_mixed() -> None:
    avro = WriterSchema(SchemaFormat.AVRO, '{"type":"record","name":"R","fields":[]}')
    with pytest.raises(UnusableSchema, match="one format"):
        findings(avro, proto(""))


def test_the_job_reads_what_has_its_fields() -> None:
    assert not [f for f in check_for_job("v1", proto(READING)) if f.breaks]
    missing = check_for_job("v1", proto(READING.replace("double x = 4;", "")))
    assert [f.field for f in missing if f.breaks] == ["x"]
    [changed] = [f for f in check_for_job("v1", proto(READING.replace("double value", "string value"))) if f.breaks]
    assert (changed.field, changed.message) == ("value", "Protobuf string cannot be read as double")
