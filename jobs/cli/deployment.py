"""The deployment file as commands take it: the option, reading it, and the name of its job."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.broker.clients import kafka_settings
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_USAGE, CliError
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import InvalidDeployment, load_deployment
from jobs.pipeline.kafka_security import LOGIN_VARIABLE, LoginProblem

deployment_option = click.option(
    "--config", "config_file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Deployment file."
)


def parse_deployment(path: Path) -> Deployment:
    """Read and validate a deployment file, to be looked at: its login need not be here."""
    try:
        return load_deployment(path)
    except InvalidDeployment as error:
        raise CliError(str(error), EXIT_USAGE) from None


def read_deployment(path: Path) -> Deployment:
    """Read and validate a deployment file, and see whether its login, if it has one, can be used here.

    Raises
    ------
    CliError : it is wrong, or its login file cannot be read.
    """
    deployment = parse_deployment(path)
    try:
        kafka_settings(deployment.kafka)
    except LoginProblem as problem:
        hint = f"{LOGIN_VARIABLE} names another one (docs/security.md)"
        raise CliError(str(problem), EXIT_ENVIRONMENT, hint) from None
    return deployment


def job_name(deployment: Deployment) -> str:
    return f"meridian-{deployment.name}"
