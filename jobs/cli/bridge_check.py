"""`meridian bridge check`: what a sample of a feed becomes, before any of it is sent."""

from __future__ import annotations

import gzip
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.bridge.feed import Adapter, Reading, UnknownAdapter, Unreadable, adapter_names, make_adapter
from jobs.bridge.sample import Outcome, Verdict, check_sample, guess_adapter
from jobs.cli.console import EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success, warn
from jobs.cli.deployment import read_deployment
from udfs.event_time import MICROSECONDS_BELOW, normalise_event_time
from udfs.reasons import Rejected

_ORIGINAL_SHOWN = 100
_WIDTH_OF_PIPES = 200
_LINE_SUFFIXES = (".ndjson", ".jsonl")


@click.command(
    epilog="""\b
Examples:
  meridian bridge check data.json --adapter sensor_community
  meridian bridge check tele.ndjson --adapter tasmota --options tasmota.yaml --context topic=tele/roof/SENSOR
  meridian bridge check iv.json --adapter usgs --config my.yaml --received 2026-05-01T12:00:00Z
  curl -s URL | meridian bridge check - --context url=URL --json

\b
SAMPLE is a payload as the feed sends it, `-` for standard input; `.gz` is read as well. Each line of a .ndjson or
.jsonl file is a payload of its own, as a log of MQTT messages has them; --whole and --lines say otherwise.
With --config the job's own stages judge each reading (all but duplicates and lateness). Exit code 1 when something
is unreadable or would be refused. docs/adapters.md has what each adapter maps, and how to add one.
"""
)
@click.argument("sample", type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True))
@click.option("--adapter", "name", help="An installed adapter, or module:Class; without it the best guess.")
@click.option(
    "--options", "options_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with the adapter's options.",
)  # fmt: skip
@click.option("--context", "pairs", multiple=True, metavar="KEY=VALUE", help="What the transport knows: topic, url, …")
@click.option(
    "--config", "config_file", type=click.Path(dir_okay=False, path_type=Path), help="Deployment file to judge by."
)
@click.option("--received", help="When the sample was received, ISO 8601; default now. Old samples need it.")
@click.option("--lines/--whole", "by_line", default=None, help="Whether each line of SAMPLE is a payload.")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Rows shown of each table.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def check(
    sample: Path,
    name: str | None,
    options_file: Path | None,
    pairs: tuple[str, ...],
    config_file: Path | None,
    received: str | None,
    by_line: bool | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show what SAMPLE of a feed becomes."""
    context = dict(_pair(pair) for pair in pairs)
    context.setdefault("url", "" if str(sample) == "-" else sample.name.removesuffix(".gz"))
    received_ms = time.time_ns() // 1_000_000 if received is None else _epoch_ms(received)
    rules = None if config_file is None else read_deployment(config_file).rules(config_file.parent)
    options = {} if options_file is None else _options(options_file)
    bodies = _bodies(sample, by_line)
    if name is None:
        name = guess_adapter(bodies, options, context, received_ms)
        if name is None:
            names = ", ".join(adapter_names())
            raise CliError("no adapter finds a reading in it", EXIT_FAILED, f"name one with --adapter: {names}")
        info(f"adapter {name}")
    adapter = _adapter(name, options)
    outcomes = check_sample(bodies, adapter, context, received_ms, rules)
    refused = Counter(
        o.verdict.reason for o in outcomes if o.verdict and not o.verdict.accepted and not o.is_unreadable
    )
    unreadable = sum(o.is_unreadable for o in outcomes)
    passed_over = {kind.value: count for kind, count in sorted(adapter.passed_over.items())}
    counts = {"readings": len(outcomes) - unreadable, "unreadable": unreadable, **passed_over, "refused": dict(refused)}
    if as_json:
        print_json({"adapter": name, "counts": counts, "items": [outcome.as_json() for outcome in outcomes]})
    else:
        _show(outcomes, limit)
        for reason, count in refused.most_common():
            warn(f"{count:,} would be refused by this deployment: {reason}")
        others = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in passed_over.items())
        line = f"{counts['readings']:,} readings, {unreadable:,} unreadable{f', {others}' if others else ''}"
        (warn if unreadable else success)(line)
    if unreadable or refused:
        raise SystemExit(EXIT_FAILED)


def _adapter(name: str, options: dict[str, Any]) -> Adapter:
    try:
        return make_adapter(name, options)
    except UnknownAdapter as error:
        raise CliError(str(error), EXIT_USAGE, "docs/adapters.md lists adapters and their options") from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise CliError(f"--context {text!r} is not KEY=VALUE", EXIT_USAGE)
    return key, value


def _epoch_ms(text: str) -> int:
    try:
        return normalise_event_time(text, UTC) // 1_000_000
    except Rejected as rejected:
        raise CliError(f"--received: {rejected.message}", EXIT_USAGE) from None


def _options(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CliError(f"{path}: {error}", EXIT_USAGE) from None
    if not isinstance(found, dict):
        raise CliError(f"{path}: options are a YAML mapping", EXIT_USAGE)
    return found


def _bodies(sample: Path, by_line: bool | None) -> list[bytes]:
    suffixes = sample.suffixes
    try:
        body = sys.stdin.buffer.read() if str(sample) == "-" else sample.read_bytes()
        if suffixes[-1:] == [".gz"]:
            body, suffixes = gzip.decompress(body), suffixes[:-1]
    except (OSError, EOFError) as error:
        raise CliError(f"{sample}: {error}", EXIT_USAGE) from None
    if by_line is None:
        by_line = suffixes[-1:] in ([suffix] for suffix in _LINE_SUFFIXES)
    return [line for line in body.split(b"\n") if line.strip()] if by_line else [body]


def _show(outcomes: list[Outcome], limit: int) -> None:
    readings = [(o.item, o) for o in outcomes if not isinstance(o.item, Unreadable)]
    unreadable = [o.item for o in outcomes if isinstance(o.item, Unreadable)]
    if readings:
        table = Table(box=None, pad_edge=False)
        judged = any(outcome.verdict for _, outcome in readings)
        for column in ("event time", "sensor", "metric", "value", "position", "key", *(["job"] if judged else [])):
            table.add_column(column, overflow="fold", no_wrap=column in ("event time", "value"))
        for reading, outcome in readings[:limit]:
            cells = [_time(reading.get("event_time")), _text(reading.get("sensor_id")), _text(reading.get("metric"))]
            cells += [_joined(reading, "value", "unit"), _joined(reading, "x", "y", "crs"), _text(outcome.key)]
            table.add_row(*cells, *([_verdict(outcome.verdict)] if judged else []))
        _print(table, len(readings) - limit)
    if unreadable:
        table = Table("reason", "message", "original", box=None, pad_edge=False)
        for item in unreadable[:limit]:
            original = item.original[:_ORIGINAL_SHOWN].decode(errors="replace")
            table.add_row(_text(item.reason.value), _text(item.message), _text(original))
        _print(table, len(unreadable) - limit)


def _print(table: Table, hidden: int) -> None:
    if table.row_count:
        # A file or a pipe is not 80 columns wide.
        Console(width=None if sys.stdout.isatty() else _WIDTH_OF_PIPES).print(table)
    if hidden > 0:
        info(f"… and {hidden:,} more")


def _time(raw: object) -> Text:
    if type(raw) is not int:
        return _text(raw)
    try:
        seconds = raw / 1_000 if abs(raw) < MICROSECONDS_BELOW else raw / 1_000_000_000
        return Text(datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    except (OverflowError, ValueError, OSError):
        return _text(raw)


def _joined(reading: Reading, *names: str) -> Text:
    return _text(" ".join(str(reading[name]) for name in names if reading.get(name) is not None))


def _text(value: object) -> Text:
    """As it is: what comes from a feed is no markup, and no control characters for a terminal."""
    shown = "" if value is None else str(value)
    return Text("".join(c if c.isprintable() else "\ufffd" for c in shown))


def _verdict(verdict: Verdict | None) -> Text:
    if verdict is None:
        return Text("")
    if not verdict.accepted:
        return Text(verdict.reason, style="red")
    return _text(f"{verdict.stream}: {verdict.value:g} {verdict.unit}, cell {verdict.cell}")
