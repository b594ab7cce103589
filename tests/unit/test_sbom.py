"""The bill of materials holds what the locks hold, by the rules of CycloneDX."""

from __future__ import annotations

import json

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from jobs.cli.jars import read_lock
from jobs.cli.sbom import REQUIREMENTS, bill_of_materials, pins

LOCK = REQUIREMENTS.read_text(encoding="utf-8")


def test_every_package_of_the_lock_is_pinned_with_digests() -> None:
    found = list(pins(LOCK))
    named = [line for line in LOCK.splitlines() if line and not line[0].isspace() and not line.startswith("#")]
    assert len(found) == len(named) > 100
    assert all(version and digests for _, version, digests in found)


def test_the_bill_is_valid_and_holds_every_package_and_jar() -> None:
    text = bill_of_materials(LOCK, read_lock())
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    purls = {component["purl"] for component in document["components"]}
    assert "pkg:pypi/apache-flink@2.2.1" in purls
    assert "pkg:maven/org.apache.flink/flink-sql-connector-kafka@5.0.0-2.2?type=jar" in purls
    assert len(document["components"]) == len(list(pins(LOCK))) + len(read_lock())
    digests = {h["content"] for c in document["components"] for h in c.get("hashes", [])}
    assert digests == {jar.sha256 for jar in read_lock()}


def test_the_same_locks_have_the_same_serial_number() -> None:
    one, again = (json.loads(bill_of_materials(LOCK, read_lock()))["serialNumber"] for _ in range(2))
    assert one == again != json.loads(bill_of_materials("a==1", []))["serialNumber"]
