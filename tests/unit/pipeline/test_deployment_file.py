"""A bad deployment file is refused with lines that name the key, the value and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import InvalidDeployment, load_deployment, variables
from udfs.schemas import reading_schema

DEMO = Path(__file__).resolve().parents[3] / "flink-conf" / "deployments" / "demo.yaml"
STREAM = {"name": "air", "metrics": ["air_*"], "unit": "degC", "windows": [{"name": "5min", "size": "5 min"}]}
SMALLEST: dict[str, Any] = {"name": "small", "streams": [STREAM]}


def load(tmp_path: Path, document: Any, **environment: str) -> Deployment:
    path = tmp_path / "deployment.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return load_deployment(path, environment)


def test_the_demo_is_valid_and_the_smallest_deployment_has_defaults_for_the_rest(tmp_path: Path) -> None:
    assert load_deployment(DEMO, {}).name == "demo"
    rules = load(tmp_path, SMALLEST).rules()
    assert rules.streams[0].windows[0].slide_ms == rules.streams[0].windows[0].size_ms == 300_000
    assert (rules.dedup.ttl_ms, rules.time.max_future_ms, rules.shards) == (86_400_000, 60_000, 32)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"colour": "blue"}, "colour = 'blue': unknown key"),
        ({"time": {"out_of_orderness": 30}}, "time.out_of_orderness = 30: a duration is a whole number and a unit"),
        ({"time": {"out_of_orderness": "-5 s"}}, "time.out_of_orderness = '-5 s'"),
        ({"position": {"target_crs": "EPSG:0"}}, "position.target_crs = 'EPSG:0'"),
        ({"position": {"regions": {"r": [10, 60, 5, 50]}}}, "position.regions: r: [west, south, east, north]"),
        ({"cell": {"scheme": "grid", "grid_m": 0}}, "cell.grid_m = 0"),
        ({"cell": {"scheme": "hexes"}}, "cell.scheme = 'hexes': Input should be 'region', 'grid' or 'h3'"),
        ({"dedup": {"ttl": "1 h", "bucket": "2 h"}}, "dedup: bucket: from '1 s' up to the ttl"),
        ({"streams": []}, "streams: List should have at least 1 item"),
        ({"streams": [STREAM, STREAM]}, "streams: each name once"),
        ({"streams": [STREAM, {**STREAM, "name": "b", "metrics": ["air_x"]}]}, "b never gets 'air_x', air takes it"),
        ({"streams": [{**STREAM, "unit": "furlongz"}]}, "streams.0.unit = 'furlongz'"),
        ({"streams": [{**STREAM, "time_zone": "Europe/Atlantis"}]}, "streams.0.time_zone = 'Europe/Atlantis'"),
        ({"streams": [{**STREAM, "valid": [5, 1]}]}, "valid: [lowest, highest]"),
        ({"streams": [{**STREAM, "delivery": "maybe"}]}, "streams.0.delivery = 'maybe'"),
        (
            {"streams": [{**STREAM, "windows": [{"name": "w", "size": "5 min", "slide": "10 min"}]}]},
            "slide: above 0 and up to 5 min",
        ),
        ({"topics": {"raw": {"name": "same"}, "aligned": {"name": "same"}}}, "topics: each stream of records"),
        ({"parallelism": 64}, "parallelism: up to the number of shards (32)"),
        ({"schemas": {"files": [{"id": 1, "file": "absent.avsc"}]}}, "absent.avsc: No such file"),
        ({"schemas": {"files": [{"file": "a.avsc", "id": 1}, {"file": "b.avsc", "id": 1}]}}, "files: each id once"),
        ({"schemas": {"files": [{"file": "a.json"}]}}, "a.json: a schema file ends in .avsc, .proto, .binpb or .desc"),
        ({"schemas": {"registry": {"url": "registry:8081"}}}, "schemas.registry.url = 'registry:8081'"),
        ({"schemas": {"registry": {"url": "http://u:p@r"}}}, "schemas.registry.url"),
        ({"schemas": {"registry": {"url": "http://r", "username": "u"}}}, "with one of password and password_file"),
        ({"schemas": {"when_unreachable": "shrug"}}, "when_unreachable = 'shrug': Input should be 'wait' or 'refuse'"),
        ({"schemas": {"wait_at_most": "1 h"}}, "schemas.wait_at_most = '1 h'"),
        ({"name": "Demo Nr 1"}, "name = 'Demo Nr 1'"),
        ({"streams": [{**STREAM, "interval_label": "ending"}]}, "streams.0.interval_label = 'ending': unknown key"),
    ],
)
def test_each_mistake_is_named_with_its_key(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidDeployment) as refused:
        load(tmp_path, SMALLEST | change)
    assert expected in str(refused.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidDeployment) as refused:
        load(tmp_path, SMALLEST | {"colour": 1, "cell": {"grid_m": -1}})
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "- a list", "a: [", "just text"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidDeployment):
        load(tmp_path, text)


def test_values_come_from_the_environment_and_an_unset_one_is_named(tmp_path: Path) -> None:
    document = SMALLEST | {"kafka": {"properties": {"client.rack": "${RACK}"}}}
    assert load(tmp_path, document, RACK="s3cret").kafka.properties["client.rack"] == "s3cret"
    with pytest.raises(InvalidDeployment, match="RACK"):
        load(tmp_path, document)


def test_what_goes_to_kafka_clients_or_is_named_like_a_secret_is_one(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    kafka = {
        "bootstrap_servers": "${HOST}:${PORT:-9092}",
        "properties": {"client.rack": "${RACK}", "client.id": "${USER_ID}"},
    }
    path.write_text(yaml.safe_dump(SMALLEST | {"kafka": kafka, "attribute_headers": ["${API_TOKEN}", "plain"]}))
    assert variables(path) == {"HOST": False, "PORT": False, "RACK": True, "USER_ID": True, "API_TOKEN": True}


def test_the_published_schema_accepts_the_demo_and_refuses_unknown_keys() -> None:
    schema = Deployment.model_json_schema()
    document = yaml.safe_load(DEMO.read_text())
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | {"colour": "blue"}, schema)


def test_an_error_shows_what_was_written_and_not_the_secret_it_stands_for(tmp_path: Path) -> None:
    document = SMALLEST | {"kafka": {"sasl_password": "${KAFKA_PASSWORD}"}}
    with pytest.raises(InvalidDeployment) as refused:
        load(tmp_path, document, KAFKA_PASSWORD="s3cret")
    assert "s3cret" not in str(refused.value) and "${KAFKA_PASSWORD}" in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        {"streams": [{**STREAM, "period": "0 s"}]},
        {"streams": [{**STREAM, "valid": [float("nan"), 5]}]},
        {"cell": {"grid_m": float("inf")}},
        {"kafka": {"transaction_timeout": "2 h"}},
        {"attribute_headers": ["a'b"]},
        {"attribute_headers": ["a", "a"]},
    ],
)
def test_what_would_fail_in_the_workers_is_refused_here(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeployment):
        load(tmp_path, SMALLEST | change)


def test_schemas_are_read_beside_the_file_and_the_registrys_password_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "own.avsc").write_text(json.dumps(reading_schema()))
    schemas = {
        "files": [{"id": 7, "file": "own.avsc"}],
        "reader": "own.avsc",
        "registry": {"url": "https://a/,https://b", "username": "u", "password": "${REGISTRY_PASSWORD}"},
        "when_unreachable": "refuse",
    }
    deployment = load(tmp_path, SMALLEST | {"schemas": schemas}, REGISTRY_PASSWORD="s3cret")
    rule = deployment.rules(tmp_path).schemas
    assert rule.known[0][0] == 7 and rule.reader and rule.lookup.when_unreachable == "refuse"
    settings = deployment.schemas.settings()
    assert settings is not None and settings.urls == ("https://a", "https://b") and settings.password == "s3cret"
    assert "s3cret" not in repr(deployment) + repr(settings)


def test_a_file_of_0_1_with_its_avro_section_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "own.avsc").write_text(json.dumps(reading_schema()))
    old = SMALLEST | {"avro": {"schemas": [{"id": 7, "file": "own.avsc"}]}}
    assert load(tmp_path, old).rules(tmp_path).schemas.known[0][0] == 7


def test_a_broken_schema_file_is_refused_here(tmp_path: Path) -> None:
    (tmp_path / "broken.avsc").write_text("{")
    with pytest.raises(InvalidDeployment):
        load(tmp_path, SMALLEST | {"schemas": {"files": [{"id": 1, "file": "broken.avsc"}]}})
