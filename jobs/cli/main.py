"""Entry point of `meridian`: a table of commands that are imported only when they are used.

A command is added by one line in `COMMANDS`. A line whose module is not installed is left out of `--help`.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import click

from jobs.cli.console import EXIT_FAILED, CliError, debug_enabled, enable_debug
from jobs.cli.lazy import LazyGroup

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": ("jobs.cli.stack:up", "Start the local stack: Kafka broker, Flink JobManager and TaskManagers."),
    "down": ("jobs.cli.stack:down", "Stop the local stack and leave no process behind."),
    "status": ("jobs.cli.stack:status", "Show what runs, where it listens and whether it is well."),
    "jars": ("jobs.cli.jars:jars", "Fetch and verify the jars of flink-conf/jars.lock."),
    "topics": ("jobs.cli.topics:topics", "Create and inspect the topics of a deployment."),
    "acls": ("jobs.cli.acls:acls", "Show or set the least rights of each role on the broker."),
    "submit": ("jobs.cli.submit:submit", "Submit a job to the cluster."),
    "savepoint": ("jobs.cli.lifecycle:savepoint", "Take a savepoint of a running job."),
    "cancel": ("jobs.cli.lifecycle:cancel", "Cancel a running job."),
    "upgrade": ("jobs.cli.lifecycle:upgrade", "Stop a job with a savepoint and start its new version from it."),
    "scale": ("jobs.cli.scale:scale", "Change the parallelism of a running job, through a savepoint."),
    "autoscale": ("jobs.cli.autoscale:autoscale", "Scale a running job by its lag and its streams' latency."),
    "plan": ("jobs.cli.plan:plan", "Size a deployment before it runs, with the arithmetic, or check one."),
    "doctor": ("jobs.cli.doctor:doctor", "Say what is wrong with a running deployment, and what to change."),
    "generate": ("jobs.cli.generate:generate", "Produce sensor readings, with faults where wanted."),
    "replay": ("jobs.cli.replay:replay", "Send a file of readings into the raw topic."),
    "replay-dlq": ("jobs.cli.replay_dlq:replay_dlq", "Put right what was refused or late: edit, send, recompute."),
    "cold": ("jobs.cli.cold:cold", "See what breakers of bridges have diverted, and send it again."),
    "bridge": ("jobs.cli.bridge:bridge", "Bring MQTT and REST feeds into the raw topic."),
    "reprocess": ("jobs.cli.reprocess:reprocess", "Run the align job again over history, into versioned topics."),
    "outputs": ("jobs.cli.outputs:outputs", "See, switch and drop the versions of what the job publishes."),
    "export": ("jobs.cli.export:export", "Write topics to Parquet, NetCDF or CSV files."),
    "summaries": ("jobs.cli.summaries:summaries", "Publish summaries of the aligned readings by a SQL job."),
    "join": ("jobs.cli.join:join", "Put several streams on one time grid: a row per place and instant."),
    "sql": ("jobs.cli.sql:sql", "Ask the topics in SQL: the SQL client, or one query."),
    "validate-day": ("jobs.cli.validate_day:validate_day", "Compute a day again in batch, and compare every window."),
    "audit": ("jobs.cli.audit:audit", "Check that every reading is accounted for exactly once."),
    "report": ("jobs.cli.report:report", "Write one HTML page of a run or a period."),
    "trace": ("jobs.cli.trace:trace", "Follow one reading through every stage."),
    "watch": ("jobs.cli.watch:watch", "Show what a running job is doing, live."),
    "dashboard": ("jobs.cli.dashboard:dashboard", "Print the dashboard for Grafana."),
    "exporter": ("jobs.cli.exporter:exporter", "Show offsets and open transactions of all topics to Prometheus."),
    "probe": ("jobs.cli.probe:probe", "Send a probe every so often, and measure its way through every stage."),
    "bench": ("jobs.cli.bench:bench", "Measure against a plain loop doing the same work."),
    "soak": ("jobs.cli.soak:soak", "Let random faults happen to a job for an hour, and judge what it published."),
    "demo": ("jobs.cli.demo:demo", "Run a lively hour through the whole job, and audit it."),
    "sbom": ("jobs.cli.sbom:sbom", "Print what this release is made of, as CycloneDX JSON."),
    "config": ("jobs.cli.config:config", "Validate and show a deployment configuration."),
    "schema": ("jobs.cli.schema:schema", "Check schemas before they are deployed, and register them."),
    "completion": ("jobs.cli.completion:completion", "Print the completion script of a shell."),
}

EPILOG: Final = """\b
Examples:
  meridian up                          start broker and cluster on this machine
  meridian status --json               the same facts for a script
  meridian up --taskmanagers 1 --slots 4 --kafka-port 19092 --rest-port 18081
  meridian down --wipe                 stop, and delete topics and checkpoints
  eval "$(meridian completion bash)"   complete commands and options

\b
Exit codes:
  0  done
  1  a check or an expectation failed
  2  wrong usage or configuration
  3  stack or environment not available

\b
Environment:
  MERIDIAN_STACK_DIR   folder of the local stack (default .meridian/stack of the checkout)
  MERIDIAN_DEBUG=1     like --debug
"""


def _version() -> str:
    try:
        return version("meridian")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _set_debug(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        enable_debug()


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set_debug, is_eager=True, help="Show tracebacks of errors."
)
@click.version_option(version=_version(), prog_name="meridian")
def cli() -> None:
    """Align environmental sensor telemetry in time and in space, on Kafka and Apache Flink."""


def main() -> None:
    """Run the command line and turn whatever escapes it into one line and an exit code."""
    try:
        cli.main(prog_name="meridian")
    except BrokenPipeError:
        # The reader of a pipe (head, less) went away: no failure of ours, and Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if debug_enabled():
            raise
        CliError(
            f"unexpected {type(error).__name__}: {error}", EXIT_FAILED, "run it again as `meridian --debug …`"
        ).show()
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
