"""`meridian dashboard`: Grafana's JSON of the dashboard in flink-conf/observe."""

from __future__ import annotations

import json

import click
import yaml

from jobs.cli.local.prometheus import OBSERVE
from jobs.observe.dashboard import grafana


@click.command(epilog="\b\nExample:\n  meridian dashboard > meridian.json   to import, or to provision")
def dashboard() -> None:
    """Print the dashboard as Grafana's JSON; its queries are those that the tests run against a real Prometheus."""
    description = yaml.safe_load((OBSERVE / "dashboards" / "meridian.yaml").read_text(encoding="utf-8"))
    click.echo(json.dumps(grafana(description), indent=2))
