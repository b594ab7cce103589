"""`meridian bridge`: bring MQTT and REST feeds into the raw topic, and see what a sample of one becomes."""

from __future__ import annotations

from typing import Final

import click

from jobs.cli.lazy import LazyGroup

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "adapters": ("jobs.cli.bridge_adapters:adapters", "List the adapters, or show what one of them maps."),
    "check": ("jobs.cli.bridge_check:check", "Show what a sample of a feed becomes."),
    "mqtt": ("jobs.cli.bridge_mqtt:mqtt", "Carry MQTT messages into the raw topic."),
    "rest": ("jobs.cli.bridge_rest:rest", "Poll REST feeds into the raw topic."),
    "backfill": ("jobs.cli.bridge_rest:backfill", "Fetch a range of a feed's past."),
    "push": ("jobs.cli.bridge_rest:push", "Take readings by HTTP POST."),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    epilog="""\b
Examples:
  meridian bridge check sample.json --adapter usgs --config my.yaml
""",
)
def bridge() -> None:
    """Bring MQTT and REST feeds into the raw topic."""
