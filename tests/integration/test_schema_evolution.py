"""v1, v2 and v3 of a schema: old and new producers and jobs run together, through two upgrades and a registry's outage.

| | `battery` | `firmware` | `note` |
|---|---|---|---|
| v1 | int | – | text, with a default |
| v2 | double (promoted) | optional (added) | as v1 |
| v3 | `battery_v`, by an alias | optional | – (removed) |

The rule is BACKWARD: jobs are upgraded before producers. What a producer sends too early is refused with the field's
name, and sent again once the job reads it.
"""

from __future__ import annotations

import json
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from tests.integration.support import (
    Record,
    Stack,
    audit,
    committed,
    failures,
    meridian,
    produce,
    running_job,
    wait_for,
    wait_until_running,
    write_deployment,
)
from tests.support.registry_stand_in import RegistryStandIn
from udfs.dead_letter import REPLAY_OF
from udfs.protobuf_encoding import encode_confluent_message
from udfs.schemas import reading_schema

pytestmark = pytest.mark.extended

NAME = "evolution"
SUBJECT = f"{NAME}.raw-value"
READINGS = 20  # of each producer in each phase
SCHEMAS = Path(__file__).resolve().parents[2] / "udfs" / "schemas"


def version(*fields: dict[str, Any]) -> dict[str, Any]:
    schema = reading_schema()
    schema["fields"] += list(fields)
    return schema


NOTE = {"name": "note", "type": "string", "default": "none"}
FIRMWARE = {"name": "firmware", "type": ["null", "string"], "default": None}
VERSIONS = {
    "v1": version({"name": "battery", "type": "int", "default": -1}, NOTE),
    "v2": version({"name": "battery", "type": "double", "default": -1.0}, FIRMWARE, NOTE),
    "v3": version({"name": "battery_v", "type": "double", "default": -1.0, "aliases": ["battery"]}, FIRMWARE),
}
SENT = {
    "v1": {"battery": 3, "note": "roof"},
    "v2": {"battery": 3.5, "firmware": "2.0", "note": "roof"},
    "v3": {"battery_v": 3.75, "firmware": "3.0"},
}
# What each job makes of what each producer sent.
ALIGNED = {
    ("job-v1", "v1"): {"battery": 3, "note": "roof"},
    ("job-v2", "v1"): {"battery": 3.0, "note": "roof"},
    ("job-v2", "v2"): {"battery": 3.5, "firmware": "2.0", "note": "roof"},
    ("job-v2", "v3"): {"battery": -1.0, "battery_v": 3.75, "firmware": "3.0", "note": "none"},
    ("job-v2", "protobuf"): {"firmware": "p"},
    ("job-v3", "v1"): {"battery_v": 3.0, "note": "roof"},
    ("job-v3", "v2"): {"battery_v": 3.5, "firmware": "2.0", "note": "roof"},
    ("job-v3", "v3"): {"battery_v": 3.75, "firmware": "3.0"},
    ("job-v3", "protobuf"): {"firmware": "p"},
}


class Producers:
    """Producers of all versions, with the official client and ids from the registry."""

    def __init__(self, stack: Stack, registry: RegistryStandIn) -> None:
        self._stack = stack
        self._client = SchemaRegistryClient({"url": registry.url})
        self._ids: dict[str, int] = {}
        self._sent = 0
        self._begin_ms = time.time_ns() // 1_000_000 - 600_000
        self.readings: dict[str, str] = {}  # event id: who sent it

    def register(self, name: str) -> None:
        schema = Schema(json.dumps(VERSIONS[name]), "AVRO")
        self._ids[name] = self._client.register_schema(SUBJECT, schema)

    def register_protobuf(self) -> None:
        schema = Schema((SCHEMAS / "reading.proto").read_text(), "PROTOBUF")
        self._ids["protobuf"] = self._client.register_schema("other.raw-value", schema)

    def register_unseen(self) -> int:
        """The first version's fields under an id that no job has asked for."""
        schema = Schema(json.dumps(VERSIONS["v1"] | {"doc": "as of another producer"}), "AVRO")
        return self._client.register_schema("another.raw-value", schema)

    def send(self, *names: str, schema_id: int | None = None) -> int:
        """Send some readings of each version in turn; how many."""
        records = []
        for _ in range(READINGS):
            for name in names:
                self._sent += 1
                time_ms = self._begin_ms + 1_000 * self._sent
                event_id = f"{name}-{time_ms}"
                self.readings[event_id] = name
                fields = {
                    "event_id": event_id, "sensor_id": f"station-{name}", "region": "grampian",
                    "metric": "air_temperature", "value": self._sent / 4, "unit": "degC", "event_time": time_ms,
                    "x": -2.1, "y": 57.15, "crs": "EPSG:4326",
                }  # fmt: skip
                records.append(self._record(name, fields, time_ms, schema_id))
        produce(self._stack, f"{NAME}.raw", records)
        return len(records)

    def _record(self, name: str, fields: dict[str, Any], time_ms: int, schema_id: int | None) -> Record:
        schema_id = schema_id or self._ids[name]
        if name == "protobuf":
            kind, value = "protobuf", encode_confluent_message(schema_id, {**fields, "firmware": "p"})
        else:
            out = BytesIO()
            schema = fastavro.parse_schema(json.loads(json.dumps(VERSIONS[name])))
            fastavro.schemaless_writer(out, schema, {**fields, **SENT[name]})
            kind, value = "avro", b"\0" + schema_id.to_bytes(4, "big") + out.getvalue()
        headers = {"event_timestamp": str(time_ms), "content-type": f"application/vnd.confluent.{kind}"}
        return Record(value, b"grampian", self._sent % 4, tuple(headers.items()))


def deployment(folder: Path, reader: str, registry: RegistryStandIn) -> Path:
    (folder / f"{reader}.avsc").write_text(json.dumps(VERSIONS[reader]))
    schemas = {
        "reader": f"{reader}.avsc",
        "registry": {"url": registry.url, "timeout": "1 s", "cache": str(folder / "cache")},
        "when_unreachable": "refuse",
        "ask_again_after": "1 s",
    }
    return write_deployment(folder / f"{reader}.yaml", NAME, schemas=schemas)


def check(deployment_file: Path, version_file: Path, *arguments: str) -> tuple[int, str]:
    result = meridian(
        "schema", "check", version_file, "--config", deployment_file, "--subject", SUBJECT, *arguments, check=False
    )
    return result.returncode, result.stdout + result.stderr


def upgrade(stack: Stack, deployment_file: Path) -> str:
    job_id = str(json.loads(meridian("upgrade", "--config", deployment_file, "--json").stdout)["job_id"])
    assert stack.rest.get(f"/jobs/{job_id}/checkpoints")["latest"]["restored"]["is_savepoint"]
    wait_until_running(stack, job_id)
    return job_id


def send_again(deployment_file: Path, reason: str) -> int:
    answer = meridian("replay-dlq", "send", "--config", deployment_file, "--reason", reason, "--json")
    return int(json.loads(answer.stdout)["sent"])


@pytest.fixture
def registry() -> Any:
    with RegistryStandIn() as stand_in:
        stand_in.store.level = "BACKWARD_TRANSITIVE"
        yield stand_in


def test_three_versions_of_producers_and_jobs_run_together(
    stack: Stack, tmp_path: Path, registry: RegistryStandIn
) -> None:
    files = {name: deployment(tmp_path, name, registry) for name in VERSIONS}
    producers = Producers(stack, registry)
    expected: dict[str, str] = {}  # event id: the job that aligned it

    def aligned() -> dict[str, Any]:
        return {reading["event_id"]: reading for reading in committed(stack, f"{NAME}.aligned")}

    def letters() -> list[dict[str, Any]]:
        return committed(stack, f"{NAME}.invalid_events")

    def sent_through(job: str, *names: str) -> None:
        before = set(producers.readings)
        producers.send(*names)
        expected.update(dict.fromkeys(producers.readings.keys() - before, job))
        wait_for(lambda: expected.keys() <= aligned().keys(), 90, f"{job} aligns {names}")

    producers.register("v1")
    with running_job(files["v1"]) as job_id:
        wait_until_running(stack, job_id)
        sent_through("job-v1", "v1")

        # The check names what a FULL rule forbids, and lets pass what BACKWARD allows.
        code, said = check(files["v1"], tmp_path / "v2.avsc", "--level", "full")
        assert code == 1 and "battery: int cannot be read from double" in said
        code, said = check(files["v2"], tmp_path / "v2.avsc")
        assert code == 0 and "backward_transitive" in said, said

        # A producer that is upgraded too early is refused by name, and nothing of it is lost.
        producers.register("v2")
        early = producers.send("v2")
        wait_for(lambda: len(letters()) >= early, 90, "refused")
        assert {letter["reason"] for letter in letters()} == {"unusable_schema"}
        assert all("field battery: double cannot be read as int" in letter["message"] for letter in letters())

        upgrade(stack, files["v2"])
        assert send_again(files["v2"], "unusable_schema") == early
        expected.update({event_id: "job-v2" for event_id, name in producers.readings.items() if name == "v2"})
        producers.register("v3")
        producers.register_protobuf()
        sent_through("job-v2", "v1", "v2", "v3", "protobuf")

        code, said = check(files["v3"], tmp_path / "v3.avsc")
        assert code == 0, said

        # The new job's workers start without the registry: they know what their machine has known, refuse what it has
        # not, and do not fail. What they refused is sent again when the registry is back.
        lookups = [r for r in registry.requests if r.startswith("GET /schemas/ids/")]
        assert len(lookups) <= 2 * 4, "at most one request for each of two workers and four ids"
        unseen = producers.register_unseen()
        registry.stop()
        last = upgrade(stack, files["v3"])
        sent_through("job-v3", "v1", "v2", "v3", "protobuf")
        before = set(producers.readings)
        unknown = producers.send("v1", schema_id=unseen)
        wait_for(lambda: len(letters()) >= early + unknown, 90, "refused without the registry")
        assert sum(letter["reason"] == "schema_unreachable" for letter in letters()) == unknown
        registry.start()
        assert send_again(files["v3"], "schema_unreachable") == unknown
        expected.update(dict.fromkeys(producers.readings.keys() - before, "job-v3"))
        wait_for(lambda: expected.keys() <= aligned().keys(), 90, "aligned, the registry is back")
        assert failures(stack, last) == []

        verdict = audit(files["v3"])
        assert (verdict["lost"], verdict["doubled"]) == (0, 0)
        assert verdict["aligned"] == len(expected) and verdict["invalid"] == early + unknown
        assert verdict["raw"] == verdict["aligned"] + verdict["invalid"]
    published = aligned()
    for event_id, job in expected.items():
        reading = published[event_id]
        name = producers.readings[event_id]
        attributes = {key: value for key, value in reading["attributes"].items() if key != REPLAY_OF}
        assert attributes == ALIGNED[job, name], (job, name)
        assert (reading["sensor_id"], reading["unit"]) == (f"station-{name}", "degC")
