"""The deployment file as commands take it: the option, reading it, and the name of its job."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cli.console import EXIT_USAGE, CliError
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import InvalidDeployment, load_deployment

deployment_option = click.option(
    "--config", "config_file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Deployment file."
)


def read_deployment(path: Path) -> Deployment:
    try:
        return load_deployment(path)
    except InvalidDeployment as error:
        raise CliError(str(error), EXIT_USAGE) from None


def job_name(deployment: Deployment) -> str:
    return f"meridian-{deployment.name}"
