"""`meridian bridge`: bring MQTT and REST feeds into the raw topic, and see what a sample of one becomes."""

from __future__ import annotations

import click

from jobs.cli.bridge_adapters import adapters
from jobs.cli.bridge_check import check
from jobs.cli.bridge_mqtt import mqtt
from jobs.cli.bridge_rest import backfill, push, rest


@click.group(
    epilog="""\b
Examples:
  meridian bridge check sample.json --adapter usgs --config my.yaml
"""
)
def bridge() -> None:
    """Bring MQTT and REST feeds into the raw topic."""


bridge.add_command(adapters)
bridge.add_command(check)
bridge.add_command(mqtt)
bridge.add_command(rest)
bridge.add_command(backfill)
bridge.add_command(push)
