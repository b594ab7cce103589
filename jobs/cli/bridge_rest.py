"""`meridian bridge rest`, `backfill` and `push`: REST feeds into the raw topic."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path

import click
from confluent_kafka import KafkaException

from jobs.bridge.journal import Journal
from jobs.bridge.rest.config import PushBridge, RestBridge
from jobs.bridge.rest.cursors import CursorsUnusable, ensure_cursors_topic
from jobs.bridge.rest.run import Run
from jobs.bridge.rest.span import Span
from jobs.bridge.rest.writer import Replaced, Stopped
from jobs.broker.clients import make_admin
from jobs.cli.bridge_file import COLD_HINT, read_bridge
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, print_json, success
from jobs.cli.generate import Moment
from jobs.pipeline.config import Deployment

_config_option = click.option(
    "--config", "config_file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Bridge file."
)
_check_option = click.option("--check", is_flag=True, help="Only say whether the file is right.")


@click.command(
    epilog="""\b
Examples:
  meridian bridge rest --config flink-conf/bridges/rest.yaml --check
  meridian bridge rest --config flink-conf/bridges/rest.yaml 2>bridge.jsonl

\b
Exit codes: 0 ended by SIGTERM or Ctrl-C; 1 another process has taken all feeds over; 2 wrong configuration;
3 Kafka does not answer, or a topic is missing.
"""
)
@_config_option
@_check_option
def rest(config_file: Path, check: bool) -> None:
    """Poll REST feeds into the raw topic; each page is committed together with the cursor behind it.

    Says what it does as JSON lines on stderr. Runs until SIGTERM or Ctrl-C.
    """
    from jobs.bridge.rest.poller import run_bridge

    config, deployment = read_bridge(config_file, RestBridge)
    if check:
        success(f"{config_file}: bridge {config.name!r}, {len(config.feeds)} feeds")
        return
    run = _start(config, config_file, deployment)
    replaced = run_bridge(run)
    if not run.stop.is_set():
        raise CliError(
            f"another process has taken over {', '.join(sorted(replaced))}",
            EXIT_FAILED,
            "run one bridge of a name at a time",
        )


@click.command(
    epilog="""\b
Examples:
  meridian bridge backfill --config flink-conf/bridges/rest.yaml --feed rivers --from 2026-01-01 --to 2026-02-01

\b
The same command goes on where it was; once it has reached its end there is nothing left to do. It makes way for
the live polls of `meridian bridge rest`.
"""
)
@_config_option
@click.option("--feed", "feed_name", required=True, help="Feed of the bridge file; its URL must hold {from}.")
@click.option("--from", "from_ms", required=True, type=Moment(), help="First event time, such as 2026-01-01 (UTC).")
@click.option("--to", "to_ms", required=True, type=Moment(), help="End of the range, which is not part of it.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def backfill(config_file: Path, feed_name: str, from_ms: int, to_ms: int, as_json: bool) -> None:
    """Fetch a range of a feed's past, at the pace that the feed's `backfill` allows.

    Says what it does as JSON lines on stderr.
    """
    from jobs.bridge.rest.backfill import BackfillFailed, run_backfill

    config, deployment = read_bridge(config_file, RestBridge)
    feed = next((feed for feed in config.feeds if feed.name == feed_name), None)
    if feed is None:
        known = ", ".join(feed.name for feed in config.feeds)
        raise CliError(f"--feed {feed_name!r}: there are {known}", EXIT_USAGE)
    if not feed.is_ranged:
        raise CliError(f"--feed {feed_name}: this source cannot be asked for a range", EXIT_USAGE)
    if not from_ms < to_ms <= datetime.now(UTC).timestamp() * 1000:
        raise CliError("--from and --to: a range of the past", EXIT_USAGE)
    run = _start(config, config_file, deployment)
    try:
        summary = run_backfill(run, feed, Span(from_ms, to_ms))
    except Stopped:
        raise CliError("interrupted", EXIT_FAILED, "the same command goes on from here") from None
    except BackfillFailed as failed:
        raise CliError(f"the source fails: {failed}", EXIT_FAILED, "the same command goes on from here") from None
    except (CursorsUnusable, Replaced) as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT) from None
    if as_json:
        print_json(summary._asdict())
    success(
        f"{feed_name}: {summary.readings:,} readings, {summary.unreadable:,} unreadable, {summary.missing:,} missing"
    )


@click.command(
    epilog="""\b
Examples:
  meridian bridge push --config flink-conf/bridges/push.yaml
  curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/x-ndjson" --data-binary @readings.ndjson \\
      http://127.0.0.1:8480/v1/feeds/readings

\b
Exit codes: 0 ended by SIGTERM or Ctrl-C, with every request answered; 2 wrong configuration; 3 Kafka does not answer, a
topic is missing, or the port is taken.
"""
)
@_config_option
@_check_option
def push(config_file: Path, check: bool) -> None:
    """Take readings by HTTP POST; 200 is answered once Kafka has all of them.

    Says what it does as JSON lines on stderr. Runs until SIGTERM or Ctrl-C.
    """
    from jobs.bridge.rest.push.server import serve
    from jobs.bridge.rest.push.tokens import BadTokens
    from jobs.cold.store import ColdUnusable

    config, deployment = read_bridge(config_file, PushBridge)
    if check:
        success(f"{config_file}: bridge {config.name!r}, {len(config.feeds)} feeds")
        return
    _need_raw_topic(deployment, config.deployment)
    try:
        serve(config, config_file.parent, deployment, Journal(config.name))
    except BadTokens as problem:
        raise CliError(str(problem), EXIT_USAGE, "write one line `name token` for each client") from None
    except ColdUnusable as problem:
        raise CliError(f"breakers.cold: {problem}", EXIT_ENVIRONMENT, COLD_HINT) from None
    except OSError as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, "give another listen.port, or stop what has it") from None


def _start(config: RestBridge, config_file: Path, deployment: Deployment) -> Run:
    """Check what the run needs, and let signals end it."""
    run = Run(config, config_file.parent, deployment.kafka, deployment.topics.raw.name, Journal(config.name))
    _need_raw_topic(deployment, config.deployment)
    try:
        ensure_cursors_topic(run)
    except CursorsUnusable as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT) from None
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: run.stop.set())
    return run


def _need_raw_topic(deployment: Deployment, deployment_file: Path) -> None:
    try:
        topics = make_admin(deployment).list_topics(timeout=15).topics
    except KafkaException as error:
        raise CliError(f"no answer from Kafka: {error.args[0].str()}", EXIT_ENVIRONMENT, "is it up?") from None
    raw = deployment.topics.raw.name
    if raw not in topics:
        hint = f"meridian topics create --config {deployment_file}"
        raise CliError(f"there is no topic {raw}", EXIT_ENVIRONMENT, hint)
