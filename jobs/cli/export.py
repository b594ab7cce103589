"""`meridian export`: topics as Parquet, NetCDF or CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

import click

from jobs.broker.snapshot import CLOCKS_MS, UnreadableTopic, read_topic
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, print_json, success
from jobs.cli.deployment import deployment_option
from jobs.cli.outputs import read_current
from jobs.cli.times import UtcTime
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import InvalidDeployment

if TYPE_CHECKING:
    from jobs.export.batches import ZoneOf
    from jobs.export.tables import Table
    from jobs.export.write import Format

_STATION = "station"


@click.command(
    epilog="""\b
Examples:
  meridian export aligned -o week.parquet --config my.yaml --from 2019-03-28 --to 2019-04-04
  meridian export windows -o rivers.nc --config my.yaml --stream rivers --window 15min
  meridian export aligned -o readings.csv.gz --config my.yaml --metric pm2_5 --time-zone Europe/London
  meridian export my-table.yaml -o out.parquet --config my.yaml      a topic of yours; see docs/export.md

\b
The file's name says the format: .parquet or .geoparquet, .nc, .csv or .csv.gz. It appears when it is whole. Times are
UTC; of windows only the last revision is written. What is in the topic now is read, committed records only.
"""
)
@click.argument("table_name", metavar="TABLE")
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write."
)
@deployment_option
@click.option("--from", "from_ms", type=UtcTime(), help="Event times from here on (of windows: their starts).")
@click.option("--to", "to_ms", type=UtcTime(), help="Event times before this one.")
@click.option("--stream", "streams", multiple=True, help="Only this stream; may be repeated, as the next ones.")
@click.option("--metric", "metrics", multiple=True, help="Only this metric.")
@click.option("--sensor", "sensors", multiple=True, help="Only this sensor; of windows: this key.")
@click.option("--window", "windows", multiple=True, help="Only windows of this definition.")
@click.option(
    "--time-zone", metavar="ZONE",
    help=f"CSV: local times beside UTC, in this zone, or in that of each station (`{_STATION}`: reference.stations).",
)  # fmt: skip
@click.option("--batch", "rows", type=click.IntRange(1), default=50_000, show_default=True, help="Rows in memory.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def export(
    table_name: str,
    output: Path,
    config_file: Path,
    from_ms: int | None,
    to_ms: int | None,
    streams: tuple[str, ...],
    metrics: tuple[str, ...],
    sensors: tuple[str, ...],
    windows: tuple[str, ...],
    time_zone: str | None,
    rows: int,
    as_json: bool,
) -> None:
    """Write a TABLE (aligned, windows, or a file that declares one) to a file."""
    from jobs.export.batches import UnfitValue
    from jobs.export.netcdf import UnfitForNetcdf
    from jobs.export.select import Selection, UnreadableRecord
    from jobs.export.write import write_file

    deployment = read_current(config_file)
    table = _table(table_name, deployment)
    kind = _format(output, time_zone)
    series = table.measures.series if table.measures else "sensor_id"
    wanted = {"stream": streams, "metric": metrics, series: sensors, "definition": windows}
    unknown = [name for name, values in wanted.items() if values and name not in table.columns]
    if unknown:
        raise CliError(f"{table_name} has no {', '.join(unknown)} to choose by", EXIT_USAGE)
    selection = Selection(from_ms, to_ms, {name: frozenset(values) for name, values in wanted.items() if values})
    # A record is written after its event time, but for what a clock may be ahead.
    since_ms = None if from_ms is None else from_ms - deployment.time.max_future - CLOCKS_MS
    values = (message.value() for message in read_topic(deployment, table.topic, since_ms))
    try:
        zone_of = None if time_zone is None else _zone_of(time_zone, deployment, series)
        written = write_file(output, values, table, selection, kind, rows, zone_of)
    except UnreadableTopic as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, "is the stack up, and do the topics exist?") from None
    except UnfitForNetcdf as error:
        raise CliError(str(error), EXIT_USAGE, "choose with --stream, --metric, --window, --from or --to") from None
    except (UnreadableRecord, UnfitValue) as error:
        raise CliError(f"{table.topic}: {error}", EXIT_FAILED) from None
    if as_json:
        print_json({"file": output, "topic": table.topic, "read": written.read, "rows": written.rows})
    success(f"{written.rows:,} rows of {written.read:,} records of {table.topic} in {output}")


def _format(output: Path, time_zone: str | None) -> Format:
    from jobs.export.write import format_of

    kind = format_of(output)
    if kind is None:
        raise CliError(f"{output.name}: the name must end in .parquet, .geoparquet, .nc, .csv or .csv.gz", EXIT_USAGE)
    if not output.parent.is_dir():
        raise CliError(f"{output.parent}: no such folder", EXIT_USAGE)
    if time_zone is not None and kind != "csv":
        raise CliError("--time-zone: local times are for CSV; other formats hold UTC", EXIT_USAGE)
    return kind


def _table(name: str, deployment: Deployment) -> Table:
    from jobs.export.tables import aligned_table, load_table, windows_table

    if name == "aligned":
        return aligned_table(deployment.topics.aligned.name)
    if name == "windows":
        return windows_table(deployment.topics.windows.name)
    if not Path(name).is_file():
        raise CliError(f"{name}: neither aligned, nor windows, nor a file that declares a table", EXIT_USAGE)
    try:
        return load_table(Path(name))
    except InvalidDeployment as error:
        raise CliError(str(error), EXIT_USAGE) from None


def _zone_of(time_zone: str, deployment: Deployment, series: str) -> ZoneOf:
    """One zone for all records, or that of each record's station."""
    from jobs.export.select import Record

    if time_zone != _STATION:
        if time_zone not in available_timezones():
            raise CliError(f"--time-zone {time_zone}: no name of the tz database, nor `{_STATION}`", EXIT_USAGE)
        return lambda _: time_zone
    zones = dict(_station_zones(deployment))

    def zone(record: Record) -> str | None:
        return zones.get(str(record.get(series)))

    return zone


def _station_zones(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Sensor and zone of every station version, the newest of a sensor last."""
    from jobs.export.select import read_records
    from jobs.pipeline.sql_deployment import summary_topics

    known = available_timezones()
    topic = summary_topics(deployment)["stations"]
    for station in read_records(message.value() for message in read_topic(deployment, topic)):
        if station.get("time_zone") in known:
            yield str(station.get("sensor_id")), str(station["time_zone"])
