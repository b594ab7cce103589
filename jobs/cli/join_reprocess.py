"""`meridian join reprocess`: the grid job over history, into topics of its own."""

from __future__ import annotations

import re
from pathlib import Path

import click

from jobs.broker.snapshot import UnreadableTopic
from jobs.broker.topics import TopicProblem
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_USAGE, CliError, print_json, success
from jobs.cli.join import grid_option, job_name, read_grid_file, refuse_doubled_rows
from jobs.cli.join_history import find_history, start_bounded
from jobs.cli.preconditions import refuse_running
from jobs.cli.reprocess import HINT, wait_for_end
from jobs.cli.stack import load_endpoints
from jobs.cli.times import UtcTime
from jobs.cluster.rest import FlinkRest
from jobs.reprocess.grid import grid_rerun_document, grid_topics, with_grid_topics
from jobs.reprocess.run import EmptySpan, read_document


def _suffix(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,15}", value):
        raise click.BadParameter(f"{value!r} is no name of up to 16 lower-case letters, digits, _ and -, such as v2")
    return value


@click.command(
    epilog="""\b
Examples:
  meridian join reprocess --config my-grid.yaml --suffix v2                             all that the sources hold now
  meridian join reprocess --config my-grid.yaml --suffix v2 --from 2019-03-28 --to 2019-04-04

\b
--from and --to are when Kafka got a record. Nothing is late in a bounded run; the running job is left alone. The run's
own grid file, my-grid.v2.yaml, stays beside yours.
"""
)
@grid_option
@click.option(
    "--suffix",
    required=True,
    metavar="NAME",
    callback=_suffix,
    help="The run's topics are yours with .NAME behind them.",
)
@click.option("--from", "from_ms", type=UtcTime(), help="Aligned records from here on.  [default: the oldest]")
@click.option("--to", "to_ms", type=UtcTime(), help="Aligned records before this.  [default: now]")
@click.option("--timeout", "timeout_s", type=click.IntRange(1), default=86_400, help="Seconds to wait for the end.")
@click.option("--json", "as_json", is_flag=True, help="Print file, job and topics as JSON.")
def reprocess(
    config_file: Path, suffix: str, from_ms: int | None, to_ms: int | None, timeout_s: int, as_json: bool
) -> None:
    """Run the grid job again over what its sources hold, into topics with a suffix, and wait for the end."""
    deployment = read_grid_file(config_file)
    topics = grid_topics(deployment, f".{suffix}")
    refuse_doubled_rows(with_grid_topics(deployment, topics), "take another --suffix")
    name = f"{deployment.name}-{suffix}"
    refuse_running(FlinkRest(load_endpoints().rest_url), f"meridian-{name}", "it is a run of that suffix: wait for it")
    file = config_file.with_name(f"{config_file.stem}.{suffix}{config_file.suffix}")
    try:
        history = find_history(deployment, deployment.rules(config_file.parent), from_ms, to_ms)
        document = grid_rerun_document(read_document(config_file), deployment, name, topics, history)
        comment = f"A bounded run of {config_file.name}, written by `meridian join reprocess`."
        job_id = start_bounded(file, document, comment)
        wait_for_end(job_id, timeout_s)
    except (UnreadableTopic, TopicProblem) as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, HINT) from None
    except EmptySpan as error:
        raise CliError(str(error), EXIT_USAGE) from None
    if as_json:
        print_json({"file": file, "job_id": job_id, "topics": topics})
    success(f"{job_name(read_grid_file(file))} is done; its rows are in {topics['grid']}")
