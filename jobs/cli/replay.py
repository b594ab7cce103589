"""`meridian replay`: send a user's own file as readings."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import click
import orjson
from confluent_kafka import KafkaException

from jobs.broker.clients import make_producer
from jobs.broker.markers import UndeliveredRecords, send_end_markers
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success, warn
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.pipeline.config import Deployment
from jobs.replay.convert import Converter
from jobs.replay.envelope import Wrapper
from jobs.replay.mapping import InvalidMapping, load_mapping
from jobs.replay.source import BadRow, read_rows
from udfs.event_time import check_event_time
from udfs.reading import Headers
from udfs.reasons import Rejected
from udfs.rules import Rules
from udfs.validate import Validator

_DRY_RUN_READINGS = 5
_CHUNK = 1_000
_QUEUE_HIGH = 200_000


@click.command(
    epilog="""\b
Examples:
  meridian replay week.csv.gz --mapping docs/mappings/sensor_community_dht22.yaml --config my.yaml --dry-run
  meridian replay 41002.txt.gz --mapping docs/mappings/ndbc_41002.yaml --config my.yaml --rate 500 --end-markers

\b
Old data needs a deployment that believes it: time.floor and each stream's max_age. Rows that the mapping cannot
read are counted and shown with their line numbers; exit code 1 when there are any.
"""
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--mapping", "mapping_file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Which column is which field; see docs/mappings.",
)  # fmt: skip
@deployment_option
@click.option("--rate", type=click.FloatRange(0), default=0.0, help="Readings per second; 0: as fast as possible.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many readings.")
@click.option(
    "--dry-run", is_flag=True, help=f"Send nothing; print the first {_DRY_RUN_READINGS} readings as JSON lines."
)
@click.option("--end-markers", is_flag=True, help="Close all windows at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def replay(
    file: Path,
    mapping_file: Path,
    config_file: Path,
    rate: float,
    limit: int | None,
    dry_run: bool,
    end_markers: bool,
    as_json: bool,
) -> None:
    """Send the readings of a CSV, NDJSON, Parquet or Avro FILE into the raw topic."""
    deployment = read_deployment(config_file)
    try:
        mapping = load_mapping(mapping_file)
    except InvalidMapping as error:
        raise CliError(str(error), EXIT_USAGE) from None
    rules = deployment.rules(config_file.parent)
    converter = Converter(mapping)
    foresight = _Foresight(rules)
    readings = islice(converter.readings(read_rows(file, mapping, mapping_file.parent)), limit)
    started = time.monotonic()
    try:
        if dry_run:
            for number, reading in enumerate(foresight.watch(readings)):
                if number < _DRY_RUN_READINGS:
                    sys.stdout.write(orjson.dumps(reading).decode() + "\n")
        else:
            _send(deployment, rules, foresight.watch(readings), rate)
            if end_markers:
                send_end_markers(deployment)
    except (BadRow, OSError, UnicodeDecodeError) as error:
        raise CliError(f"{file}: {error}", EXIT_USAGE) from None
    except UndeliveredRecords as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, "is the stack up, and do the topics exist?") from None
    tally = converter.tally
    for problem in tally.problems:
        warn(f"{file.name}, {problem}")
    for what, count in foresight.refused.most_common():
        warn(f"{count:,} readings will be refused by this deployment: {what}")
    if as_json and not dry_run:
        print_json({**asdict(tally), "sent": foresight.seen, "will_be_refused": dict(foresight.refused)})
    seconds = time.monotonic() - started
    verb = "would send" if dry_run else "sent"
    line = f"{verb} {foresight.seen:,} readings of {tally.rows:,} rows in {seconds:.1f} s; "
    success(line + f"{tally.missing_values:,} missing values, {tally.bad_rows:,} bad rows")
    if tally.bad_rows:
        raise SystemExit(EXIT_FAILED)


class _Foresight:
    """Says before the job does which readings a deployment refuses for their metric, unit, value or time."""

    def __init__(self, rules: Rules) -> None:
        self._time = rules.time
        self._validator = Validator(rules.streams)
        self._now_ms = time.time_ns() // 1_000_000
        self.refused: Counter[str] = Counter()
        self.seen = 0

    def watch(self, readings: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        headers = Headers()
        for reading in readings:
            self.seen += 1
            try:
                stream = self._validator.validate(reading, headers).stream
                check_event_time(reading["event_time"], self._now_ms, stream.max_age_ms, self._time)
            except Rejected as rejected:
                of_metric = rejected.reason in ("unknown_metric", "unknown_unit", "incompatible_unit")
                self.refused[f"{rejected.reason}{f' ({rejected.message})' if of_metric else ''}"] += 1
            yield reading


def _send(deployment: Deployment, rules: Rules, readings: Iterator[dict[str, Any]], rate: float) -> None:
    producer = make_producer(deployment)
    topic = deployment.topics.raw.name
    try:
        found = producer.list_topics(topic, timeout=10).topics[topic]
    except KafkaException as error:
        raise UndeliveredRecords(f"{topic}: {error.args[0].str()}") from None
    if found.error is not None:
        raise UndeliveredRecords(f"topic {topic}: {found.error.str()}; `meridian topics create` makes it")
    wrapper = Wrapper(rules, len(found.partitions))
    failures: list[str] = []

    def failed(error: Any, _message: Any) -> None:
        failures.append(error.str())

    begin, next_line = time.monotonic(), time.monotonic() + 10
    chunk = _CHUNK if not rate else max(1, min(_CHUNK, int(rate / 20)))
    for number, reading in enumerate(readings):
        if number % chunk == 0:
            while (left := begin + number / rate - time.monotonic() if rate else 0.0) > 0:
                producer.poll(min(left, 0.2))
            while len(producer) > _QUEUE_HIGH and not failures:
                producer.poll(0.05)
            producer.poll(0)
            if failures:
                break
            if time.monotonic() > next_line:
                next_line += 10
                info(f"{number:,} readings sent")
        value, key, partition, headers = wrapper.wrap(reading, time.time_ns() // 1_000_000)
        producer.produce(topic, value, key, partition, failed, headers=headers)
    left_over = producer.flush(60)
    if failures or left_over:
        raise UndeliveredRecords(f"{topic}: {failures[0] if failures else f'{left_over} readings not acknowledged'}")
