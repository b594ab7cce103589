"""What the demos share: steps told, other commands run as a user runs them, topics and job made anew."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click

from jobs.cli.console import CliError
from jobs.cluster.rest import FlinkRest

_START_S = 120


def step(number: str, what: str) -> None:
    click.secho(f"\n[{number}] {what}", bold=True, err=True)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "jobs.cli.main", *arguments]


def run_meridian(*arguments: str, check: bool = True, quiet: bool = False) -> str:
    """Run another command in a process of its own; its standard output."""
    stderr = subprocess.DEVNULL if quiet else None
    result = subprocess.run(command(*arguments), stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)
    if check and result.returncode:
        raise CliError(f"meridian {arguments[0]} failed", result.returncode)
    return result.stdout


def port_options(ports: dict[str, int | None]) -> list[str]:
    chosen = [(f"--{name.replace('_', '-')}", str(port)) for name, port in ports.items() if port]
    return [word for option in chosen for word in option]


def start_afresh(deployment: Path, rest: FlinkRest) -> str:
    """Empty a deployment's topics and run its job on them; the job's id."""
    run_meridian("cancel", "--config", str(deployment), check=False, quiet=True)
    run_meridian("topics", "delete", "--config", str(deployment), "--yes", check=False, quiet=True)
    run_meridian("topics", "create", "--config", str(deployment))
    job_id: str = json.loads(run_meridian("submit", "--config", str(deployment), "--json"))["job_id"]
    rest.wait(lambda: rest.vertices_running(job_id), _START_S, "start of the job")
    return job_id
