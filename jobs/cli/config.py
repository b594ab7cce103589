"""`meridian config`: check a deployment file, show what it means, print its JSON Schema."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cli.console import print_json, success
from jobs.cli.deployment import parse_deployment
from jobs.pipeline.config import Deployment


@click.group(
    epilog="""\b
Examples:
  meridian config check flink-conf/deployments/demo.yaml
  meridian config schema > schema.json
"""
)
def config() -> None:
    """Validate and show a deployment configuration."""


@config.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the whole configuration, defaults filled in.")
def check(file: Path, as_json: bool) -> None:
    """Validate FILE; exit 2 with one line per mistake."""
    deployment = parse_deployment(file)
    if as_json:
        shown = deployment.model_dump(mode="json")
        shown["kafka"]["properties"] = dict.fromkeys(shown["kafka"]["properties"], "(not shown)")
        print_json(shown)
        return
    windows = sum(len(s.windows) for s in deployment.streams)
    success(f"{file}: deployment {deployment.name!r}, {len(deployment.streams)} streams, {windows} window definitions")


@config.command()
def schema() -> None:
    """Print the JSON Schema of deployment files, for editors."""
    print_json(Deployment.model_json_schema())
