"""flink-conf/kubernetes: valid by the operator's own schema, and the settings of flink-conf/config.yaml."""

from __future__ import annotations

import zipfile
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from jobs.cli.jars import jar_paths
from jobs.cli.local.profiles import base_config
from jobs.cli.project import FLINK_CONF
from tests.unit.manifests.test_compose import SERVICES

MANIFESTS = FLINK_CONF / "kubernetes"
JOB: dict[str, Any] = yaml.safe_load((MANIFESTS / "flinkdeployment.yaml").read_text())
CONFIG: dict[str, str] = JOB["spec"]["flinkConfiguration"]
SCHEMA_OF = "META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml"
LATER_FLINK = ["v2_0", "v2_1", "v2_2"]
"""Versions that operators newer than the published schema know; `v1beta1` has only grown since."""

# Keys of config.yaml that the operator or the manifest says elsewhere.
SAID_ELSEWHERE = {
    "jobmanager.rpc.address": "set for each pod",
    "jobmanager.rpc.port": "the default",
    "jobmanager.bind-host": "pods reach each other",
    "taskmanager.host": "set for each pod",
    "taskmanager.bind-host": "pods reach each other",
    "rest.address": "set for each pod",
    "rest.bind-address": "pods reach each other",
    "rest.port": "the default",
    "jobmanager.memory.process.size": "jobManager.resource",
    "taskmanager.memory.process.size": "taskManager.resource",
    "parallelism.default": "job.parallelism",
}
DIFFERS = {
    "execution.checkpointing.dir": "storage of all pods",
    "execution.checkpointing.savepoint-dir": "storage of all pods",
    "web.access-control-allow-origin": "the service's name",
}
ONLY_HERE = ("high-availability.", "kubernetes.", "job.autoscaler.")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    with zipfile.ZipFile(jar_paths("schemas")[0]) as archive:
        definition = yaml.load(archive.read(SCHEMA_OF), yaml.CSafeLoader)
    version = next(v for v in definition["spec"]["versions"] if v["name"] == JOB["apiVersion"].partition("/")[2])
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    schema["properties"]["spec"]["properties"]["flinkVersion"]["enum"] += LATER_FLINK
    return closed(schema)


def closed(schema: Any) -> Any:
    """The same with unknown keys refused, which an API server would drop without a word."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type", "object") == "object":
        parts.setdefault("additionalProperties", False)
    return parts


def problems(document: Any, schema: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(document)]


def test_the_manifest_is_valid_by_the_operators_schema(schema: dict[str, Any]) -> None:
    assert problems(JOB, schema) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "job", "upgradeMode"), "sometimes"),
        (("spec", "job", "paralellism"), 2),
        (("spec", "taskManager", "resource", "cpu"), "two"),
        (("spec", "flinkConfiguration", "rest.port"), 8081),
    ],
)
def test_the_check_finds_mistakes(schema: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    document = yaml.safe_load((MANIFESTS / "flinkdeployment.yaml").read_text())
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert problems(document, schema)


def test_every_setting_of_config_yaml_is_here_as_it_is_or_has_a_reason() -> None:
    base = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in base_config().items()}
    assert base.keys() - CONFIG.keys() == SAID_ELSEWHERE.keys()
    assert {key for key in base.keys() & CONFIG.keys() if CONFIG[key] != base[key]} == DIFFERS.keys()
    assert all(key.startswith(ONLY_HERE) for key in CONFIG.keys() - base.keys())


def test_memory_is_that_of_config_yaml_and_leaves_room_for_python_workers() -> None:
    base, spec = base_config(), JOB["spec"]
    assert spec["jobManager"]["resource"]["memory"] == base["jobmanager.memory.process.size"]
    assert spec["taskManager"]["resource"]["memory"] == base["taskmanager.memory.process.size"]
    flink_mib = int(base["taskmanager.memory.process.size"].removesuffix("m"))
    limit_mib = float(CONFIG["kubernetes.taskmanager.memory.limit-factor"]) * flink_mib
    assert limit_mib >= flink_mib + base["taskmanager.numberOfTaskSlots"] * 1.4 * 1024


def test_upgrades_go_by_savepoint_state_outlives_pods_and_the_autoscaler_is_on() -> None:
    mounts = {m["mountPath"] for m in JOB["spec"]["podTemplate"]["spec"]["containers"][0]["volumeMounts"]}
    assert JOB["spec"]["job"]["upgradeMode"] == "savepoint"
    assert CONFIG["job.autoscaler.enabled"] == "true" and CONFIG["high-availability.type"] == "kubernetes"
    for key in ("execution.checkpointing.dir", "execution.checkpointing.savepoint-dir", "high-availability.storageDir"):
        assert CONFIG[key].startswith("file:///state/") and "/state" in mounts


def test_secrets_are_references() -> None:
    for variable in JOB["spec"]["podTemplate"]["spec"]["containers"][0]["env"]:
        assert variable.keys() == {"name", "valueFrom"} and "secretKeyRef" in variable["valueFrom"]


def test_the_job_starts_as_under_compose() -> None:
    """Same image, same interpreter, same entry script; only the deployment file lies elsewhere."""
    command, args = SERVICES["submit"]["command"], JOB["spec"]["job"]["args"]
    begin = command.index("--pyClientExecutable")
    assert [word.removeprefix("/opt/meridian/") for word in args[:-1]] == [
        word.removeprefix("/opt/meridian/") for word in command[begin:-1]
    ]
    assert JOB["spec"]["image"] == SERVICES["submit"]["image"]


def test_what_is_around_it_is_named_as_it_is_mounted() -> None:
    claim, policy = yaml.safe_load_all((MANIFESTS / "surroundings.yaml").read_text())
    volumes = {v["name"]: v for v in JOB["spec"]["podTemplate"]["spec"]["volumes"]}
    assert claim["kind"] == "PersistentVolumeClaim" and claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert policy["kind"] == "NetworkPolicy" and policy["spec"]["policyTypes"] == ["Ingress"]
    assert policy["spec"]["podSelector"]["matchLabels"] == {"app": JOB["metadata"]["name"]}
