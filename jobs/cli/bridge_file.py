"""A bridge's file as commands take it, with the deployment that it names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_USAGE, CliError
from jobs.cli.deployment import read_deployment
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import InvalidDeployment, load_model

if TYPE_CHECKING:
    from jobs.bridge.breakers.config import Breakers
    from jobs.bridge.breakers.diversion import Diversion
    from jobs.bridge.journal import Journal
    from jobs.bridge.mqtt.config import MqttBridge
    from jobs.bridge.rest.config import PushBridge, RestBridge

B = TypeVar("B", "MqttBridge", "RestBridge", "PushBridge")


def open_diversion(breakers: Breakers, bridge: str, folder: Path, raw_topic: str, journal: Journal) -> Diversion:
    """The diversion of a bridge whose file is in `folder`."""
    from jobs.bridge.breakers.diversion import Diversion
    from jobs.cold.store import ColdStore, ColdUnusable

    try:
        store = ColdStore(folder / os.path.expanduser(breakers.cold.folder), bridge, breakers.cold)
    except ColdUnusable as unusable:
        raise CliError(f"breakers.cold: {unusable}", EXIT_ENVIRONMENT, "give a folder that can be written") from None
    return Diversion(breakers.kafka, store, raw_topic, journal.event)


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
