"""`meridian generate`: produce a seeded network's readings, with faults where wanted."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jobs.broker.markers import UndeliveredRecords
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_USAGE, CliError, info, print_json, success
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.generator.knobs import Knobs
from jobs.pipeline.durations import parse_duration_ms

_KNOBS = Knobs()
_SHARE = click.FloatRange(0, 1)


class Duration(click.ParamType[int]):
    """`30 s`, `5 min`, `2 h`: written as in a deployment file; the blank may be left out."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_duration_ms(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[int]):
    """An ISO 8601 time (UTC unless it says otherwise), or how long ago: `-2 h`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            if re.match(r"^-\s*\d", value):
                return time.time_ns() // 1_000_000 - parse_duration_ms(value[1:].strip())
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither an ISO 8601 time nor a duration such as '-2 h'", param, ctx)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)


def _share(name: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    flag = "--" + name.replace("_", "-")
    return click.option(flag, name, type=_SHARE, default=getattr(_KNOBS, name), show_default=True, help=text)


@click.command(
    epilog="""\b
Examples:
  meridian generate --config demo.yaml --readings 1000000 --ledger run.parquet
  meridian generate --config demo.yaml --duration 3min --rate 5000     a lively hour in three minutes
  meridian generate --config demo.yaml --start 2024-01-01 --span 24h --seed 7
  meridian generate --config demo.yaml --poison 0 --wrong-clocks 0 --stragglers 0 --no-end-markers
"""
)
@deployment_option
@click.option("--readings", type=click.IntRange(1), help="Readings taken; repeats come on top.  [default: 100000]")
@click.option("--duration", type=Duration(), help="Send for so long instead; needs --rate.")
@click.option("--rate", type=click.FloatRange(0), default=0.0, help="Records per second; 0: as fast as possible.")
@click.option(
    "--seed", type=click.IntRange(0), default=_KNOBS.seed, show_default=True, help="Same seed, same readings."
)
@click.option("--ledger", "ledger_file", type=click.Path(dir_okay=False, path_type=Path), help="Parquet file to write.")
@click.option("--start", "start_ms", type=Moment(), help="First event time: ISO 8601 or '-2 h'.")
@click.option("--span", "span_ms", type=Duration(), default="1 h", show_default=True, help="Event time covered.")
@click.option("--stations", type=click.IntRange(1), help="Stations; default: as many as report at their periods.")
@click.option("--processes", type=click.IntRange(1, 16), default=1, show_default=True, help="Producing processes.")
@click.option("--end-markers/--no-end-markers", default=True, show_default=True, help="Close all windows at the end.")
@_share("mobile", "Stations that move.")
@_share("foreign", "Stations of producers that send no headers.")
@_share("without_id", "Stations that send no event id.")
@_share("avro", "Stations that send Avro.")
@_share("duplicates", "Readings sent again.")
@_share("conflicts", "Readings followed by another content under the same id.")
@_share("disorder", "Readings delayed within the out-of-orderness.")
@_share("stragglers", "Readings delayed beyond it, up to half of the span.")
@_share("outages", "Stations that fall silent once and then flush their buffer.")
@click.option("--outage", "outage_ms", type=Duration(), default="15 min", show_default=True, help="Longest outage.")
@_share("wrong_clocks", "Stations whose clock is slow, fast, in 1970 or in 2100.")
@_share("poison", "Readings spoilt, in every way there is a reason for.")
@click.option(
    "--oversized", type=click.IntRange(0), default=_KNOBS.oversized, show_default=True, help="Bodies too large."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def generate(
    config_file: Path,
    readings: int | None,
    duration: int | None,
    rate: float,
    ledger_file: Path | None,
    processes: int,
    end_markers: bool,
    as_json: bool,
    **knobs: Any,
) -> None:
    """Produce sensor readings into the raw topic, with faults where wanted.

    The ledger says for every record what must become of it; `meridian audit --ledger` compares.
    """
    from jobs.generator import produce

    deployment = read_deployment(config_file)
    if duration is not None:
        if not rate or readings is not None:
            raise CliError("--duration needs --rate, and excludes --readings", EXIT_USAGE)
        readings = max(1, int(rate * duration / 1000))
    try:
        settings = Knobs(readings=readings or _KNOBS.readings, **knobs)
        rules = deployment.rules(config_file.parent)
        plan = produce.prepare(deployment, rules, settings, rate=rate, processes=processes)
        with _Show(settings.readings) as show:
            summary = produce.run(plan, ledger_file, end_markers, show)
    except ValueError as error:
        raise CliError(str(error), EXIT_USAGE) from None
    except UndeliveredRecords as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, "is the stack up, and do the topics exist?") from None
    if as_json:
        print_json({**asdict(summary), "rate": round(summary.rate), "ledger": ledger_file and str(ledger_file)})
        return
    shown = ", ".join(f"{count:,} {name}" for name, count in summary.expected.items() if count)
    begin, end = (datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in (summary.start_ms, summary.end_ms))
    info(f"event time {begin} to {end}, {summary.stations:,} stations")
    info(f"expected: {shown}; of the aligned {summary.lateness['must-window']:,} must not be late")
    state = "interrupted after" if summary.interrupted else "sent"
    success(f"{state} {summary.records:,} records in {summary.seconds:.1f} s ({summary.rate:,.0f}/s)")


class _Show:
    """A bar on a terminal; elsewhere a line every ten seconds."""

    def __init__(self, total: int) -> None:
        self._bar: Progress | None = None
        self._next_line = time.monotonic() + 10
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("generating"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("generating", total=total)

    def __enter__(self) -> _Show:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, sent: int, total: int) -> None:
        if self._bar:
            self._bar.update(self._task, completed=sent)
        elif time.monotonic() >= self._next_line:
            self._next_line += 10
            info(f"{sent:,} of about {total:,} records sent")
