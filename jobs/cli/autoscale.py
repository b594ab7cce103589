"""`meridian autoscale`: looks at a running job every so often, and scales it when the policy says so."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from jobs.cli.console import EXIT_USAGE, CliError, warn
from jobs.cli.deployment import deployment_option, job_name, read_deployment
from jobs.cli.project import STATE_DIR
from jobs.cli.scale import find_running, refuse_unfit_parallelism, rescale
from jobs.cluster.rest import ClusterError

if TYPE_CHECKING:
    from jobs.pipeline.config import Deployment
    from jobs.scaling.figures import Figures
    from jobs.scaling.policy import Decision, Memory, Rules

_MEMORIES: Final = STATE_DIR / "autoscale"


@click.command(
    epilog="""\b
Examples:
  meridian autoscale --config my.yaml --max 4
  meridian autoscale --config my.yaml --once --dry-run --json     what would be done now, and why
  * * * * *  meridian autoscale --config my.yaml --once           by cron

\b
Up by one step when a stream's median passes 60 % of its `sla` or the backlog grows, for a minute;
down by one when all is calm for ten. A rescale that fails ends the command (exit 1).
What it does when, with a worked table: docs/scaling-out.md
"""
)
@deployment_option
@click.option("--min", "least", default=1, show_default=True, type=click.IntRange(1), help="Fewest subtasks.")
@click.option("--max", "most", type=click.IntRange(1), help="Most subtasks.  [default: as many as there can be]")
@click.option(
    "--interval", "interval_s", default=30.0, show_default=True, type=click.FloatRange(1, 120), help="Seconds."
)
@click.option("--sample", "sample_s", default=5.0, show_default=True, type=click.FloatRange(0.5, 60), help="Seconds.")
@click.option("--once", is_flag=True, help="Look once; what was seen is kept for the next time.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--timeout", "timeout_s", default=120, show_default=True, help="Seconds for a scaled job to run.")
@click.option("--json", "as_json", is_flag=True, help="Print each look as a line of JSON.")
def autoscale(
    config_file: Path,
    least: int,
    most: int | None,
    interval_s: float,
    sample_s: float,
    once: bool,
    dry_run: bool,
    timeout_s: int,
    as_json: bool,
) -> None:
    """Scale a running job by its lag and by its streams' latency against their SLA."""
    from jobs.scaling.policy import decide

    deployment = read_deployment(config_file)
    rules = _rules(deployment, config_file, least, most)
    kept = _MEMORIES / f"{job_name(deployment)}.json"
    memory = _read(kept)
    while True:
        began_s = time.monotonic()
        figures = _look(deployment, sample_s)
        if figures is not None:
            memory, decision = decide(memory, figures, rules)
            _show(figures, decision, rules.slas_ms, dry_run, as_json)
            if decision.target is not None and not dry_run:
                running = find_running(config_file)
                refuse_unfit_parallelism(decision.target, running.room)
                rescale(running, decision.target, config_file, timeout_s)
            if not dry_run:
                _write(kept, memory)
        if once:
            return
        time.sleep(max(0.0, interval_s - (time.monotonic() - began_s)))


def _rules(deployment: Deployment, config_file: Path, least: int, most: int | None) -> Rules:
    from jobs.scaling.policy import Rules

    even = find_running(config_file).room.even
    choices = tuple(n for n in even if least <= n <= (most or even[-1]))
    if not choices:
        allowed = ", ".join(map(str, even))
        raise CliError(f"--min {least} --max {most}: no parallelism is between them; there are {allowed}", EXIT_USAGE)
    return Rules({s.name: s.sla for s in deployment.streams if s.sla is not None}, choices)


def _look(deployment: Deployment, sample_s: float) -> Figures | None:
    """None: the cluster is away just now."""
    from jobs.cli.stack import load_endpoints
    from jobs.cluster.rest import FlinkRest
    from jobs.scaling.reader import look

    name = job_name(deployment)
    try:
        figures = look(FlinkRest(load_endpoints().rest_url), name, deployment, sample_s)
    except ClusterError as error:
        warn(f"no look: {error}")
        return None
    if figures is None:
        raise CliError(f"no job {name} is running", EXIT_USAGE, "start it with `meridian submit`")
    return figures


def _show(figures: Figures, decision: Decision, slas_ms: Mapping[str, int], dry_run: bool, as_json: bool) -> None:
    if as_json:
        found: dict[str, Any] = {**figures._asdict(), "slas_ms": dict(slas_ms), **decision._asdict()}
        click.echo(json.dumps({**found, "dry_run": dry_run}))
        return
    verb = "would scale" if dry_run else "scales"
    does = "stays" if decision.target is None else f"{verb} to {decision.target}"
    click.echo(
        f"{datetime.fromtimestamp(figures.at_ms / 1000, UTC):%H:%M:%S}  {_line(figures)}: {does}; {decision.reason}"
    )


def _line(figures: Figures) -> str:
    shown = [f"{figures.parallelism} subtasks"]
    if figures.arriving_per_s is not None:
        shown.append(f"{figures.arriving_per_s:,.0f} records/s")
    if figures.pending is not None:
        shown.append(f"{figures.pending:,} wait")
    if figures.busy_ms_per_s is not None:
        shown.append(f"busy {figures.busy_ms_per_s / 1_000:.0%}")
    shown += [f"{stream} p50 {p50_ms:,.0f} ms" for stream, p50_ms in sorted(figures.p50_ms.items())]
    return ", ".join(shown)


def _read(file: Path) -> Memory:
    """What the last look left behind; nothing where there is none, or one of another version."""
    import msgspec

    from jobs.scaling.policy import Memory

    try:
        return msgspec.json.decode(file.read_bytes(), type=Memory)
    except (OSError, msgspec.MsgspecError):
        return Memory()


def _write(file: Path, memory: Memory) -> None:
    import msgspec

    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part")
    partial.write_bytes(msgspec.json.encode(memory))
    partial.replace(file)
