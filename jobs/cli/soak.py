"""`meridian soak`: one random fault after the other while readings flow, judged by an oracle at the end."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from jobs.cli.bench_support import json_option, need_checkout, out_option, start_stack, write_rows
from jobs.cli.console import EXIT_FAILED, CliError, info, print_json, success
from jobs.cli.stack import load_endpoints


@click.command(
    epilog="""\b
Examples:
  meridian soak --minutes 5
  meridian soak --minutes 60 --seed 7 --out soak.json
"""
)
@click.option("--minutes", default=60.0, show_default=True, type=click.FloatRange(1, 60), help="How long faults last.")
@click.option("--seed", default=1, show_default=True, help="Of the readings and the faults.")
@click.option(
    "--execution-mode",
    default="process",
    show_default=True,
    type=click.Choice(["process", "thread"]),
    help="Where the job's keyed operators run.",
)
@out_option
@json_option
def soak(minutes: float, seed: int, execution_mode: str, out: Path | None, as_json: bool) -> None:
    """Kill, freeze and block the local stack's processes at random while a job works on seeded readings.

    Faults: TaskManagers, Python workers, broker and JobManager killed, broker and TaskManager frozen, checkpoints that
    cannot be written, a kill between checkpoint and commit. Then every record is accounted for by the audit and by an
    oracle that shares no code with the job. Exit code 1 when one is lost, doubled or wrong.
    """
    need_checkout()
    from tests.integration.support import Stack
    from tests.support.faults.report import table
    from tests.support.faults.soak import soak as run

    bootstrap = start_stack("--taskmanagers", "2")
    endpoints = load_endpoints()
    stack = Stack(endpoints.stack_dir, bootstrap, endpoints.rest_url)
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcome = run(stack, Path(folder), minutes, seed, info, execution_mode)
        except AssertionError as failed:
            raise CliError(f"the soak failed: {failed}", EXIT_FAILED, f"again with --seed {seed}") from None
    path = write_rows([asdict(outcome)], "soak", out)
    if as_json:
        print_json(asdict(outcome))
    else:
        click.echo(table([outcome]))
        success(f"written to {path}")
