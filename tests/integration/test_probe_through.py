"""Probes by a push endpoint and by an MQTT bridge: measured through all of it, and in no result."""

from __future__ import annotations

import subprocess
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from jobs.cli.local.ports import first_free
from tests.integration.support import (
    Stack,
    audit,
    committed,
    envelope,
    meridian_running,
    produce,
    running_job,
    wait_for,
    wait_until_running,
    write_deployment,
)
from tests.support.bridges import BridgeProcess, bridge, committed_records
from tests.support.bridges import write_bridge as write_file
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.mqtt_bridge import write_bridge as write_mqtt
from tests.support.prometheus import Prometheus
from tests.support.rest_place import TOKEN

pytestmark = [pytest.mark.extended, needs_mosquitto]
NAME = "probed"


def probing(*options: str | Path) -> AbstractContextManager[subprocess.Popen[str]]:
    return meridian_running("probe", *options, stderr=subprocess.PIPE, text=True)


def push_file(folder: Path) -> Path:
    (folder / "tokens").write_text(f"probe {TOKEN}\n")
    document = {
        "name": "by-push",
        "deployment": str(folder / "probed.yaml"),
        "listen": {"port": first_free(38_480, set())},
        "auth": {"kind": "tokens", "file": "tokens"},
        "feeds": [{"name": "probes", "adapter": "probe"}, {"name": "readings", "adapter": "meridian"}],
    }
    return write_file(folder / "push.yaml", document)


def mqtt_file(folder: Path, port: int) -> Path:
    taken = [{"template": "meridian/probes", "adapter": "probe"}]
    return write_mqtt(folder, folder / "probed.yaml", port, name="by-mqtt", subscriptions=taken)


def test_probes_come_through_bridges_and_enter_no_result(stack: Stack, prometheus: Prometheus, tmp_path: Path) -> None:
    deployment = write_deployment(tmp_path / "probed.yaml", NAME)
    token, wrong = tmp_path / "token", tmp_path / "wrong"
    token.write_text(TOKEN + "\n")
    wrong.write_text("another-token-than-theirs")
    common = ("--config", deployment, "--every", "2s")
    with running_job(deployment) as job_id, Mosquitto(tmp_path) as broker, ExitStack() as processes:
        wait_until_running(stack, job_id)
        push, mqtt = push_file(tmp_path), mqtt_file(tmp_path, broker.port)
        endpoint: BridgeProcess = processes.enter_context(bridge("push", "--config", push))
        carrier: BridgeProcess = processes.enter_context(bridge("mqtt", "--config", mqtt))
        endpoint.wait_for("listening")
        carrier.wait_for("started")
        produce(stack, f"{NAME}.raw", [envelope("s", time.time_ns() // 1_000_000)])
        with (
            probing(*common, "--through", push, "--token-file", token),
            probing(*common, "--through", mqtt),
            probing(*common, "--through", push, "--token-file", wrong) as refused,
        ):
            for through in ("by-push", "by-mqtt"):
                came = f'meridian_probe_stage_seconds_count{{stage="total", through="{through}"}} >= 2'
                wait_for(lambda came=came: prometheus.numbers(came), 60, f"probes came through {through}")
                seconds, count = (
                    prometheus.numbers(f'meridian_probe_stage_seconds_{part}{{stage="bridge", through="{through}"}}')[0]
                    for part in ("sum", "count")
                )
                assert 0 < seconds / count < 5
        assert refused.stderr is not None and "status 401" in refused.stderr.read()
        assert (endpoint.end(), carrier.end()) == (0, 0)
        verdict = audit(deployment)
        raw = committed_records(stack.bootstrap_servers, f"{NAME}.raw")
        by_bridge = [r for r in raw if r.headers.get("bridge_adapter") == b"probe"]
        accounts = [r for r in committed(stack, f"{NAME}.accounting") if r["class"] == "control"]
        assert len(accounts) == len(by_bridge) >= 4
        assert all(r.key is not None and r.key.startswith(b"probe-") for r in by_bridge)
        assert verdict["control"] >= len(by_bridge) + 4
        assert [r["sensor_id"] for r in committed(stack, f"{NAME}.aligned")] == ["s"]
