"""A bridge's file as commands take it, with the deployment that it names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jobs.cli.console import EXIT_USAGE, CliError
from jobs.cli.deployment import read_deployment
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import InvalidDeployment, load_model

if TYPE_CHECKING:
    from jobs.bridge.mqtt.config import MqttBridge
    from jobs.bridge.rest.config import PushBridge, RestBridge

COLD_HINT = "give a folder that can be written"

B = TypeVar("B", "MqttBridge", "RestBridge", "PushBridge")


def read_bridge(path: Path, kind: type[B]) -> tuple[B, Deployment]:
    try:
        config = load_model(path, kind, os.environ, "docs/bridges.md")
    except InvalidDeployment as invalid:
        raise CliError(str(invalid), EXIT_USAGE) from None
    deployment = read_deployment(path.parent / os.path.expanduser(config.deployment))
    shedding = getattr(config, "shedding", None)
    if shedding is not None:
        from jobs.bridge.shedding.config import misfits

        if lines := misfits(shedding, deployment.stream_rules):
            raise CliError("\n".join(f"{path}: {line}" for line in lines), EXIT_USAGE)
    return config, deployment
