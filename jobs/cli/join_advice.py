"""`meridian join clocks` and `meridian join pairs`: what the aligned readings say for a grid file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import yaml

from jobs.broker.snapshot import UnreadableTopic
from jobs.broker.topic_records import topic_records
from jobs.cli.console import EXIT_ENVIRONMENT, CliError, info, print_json
from jobs.cli.join import grid_option, read_grid_file
from jobs.pipeline.durations import parse_duration_ms
from jobs.pipeline.grid_config import GridDeployment
from udfs.grid.clock import estimate
from udfs.grid.gather import AlignedReading
from udfs.grid.pairing import Station, pair_stations

_decoder = msgspec.json.Decoder(AlignedReading)


@click.command(epilog="\b\nExample:\n  meridian join clocks --config demo-grid.yaml --at-least 2000 > corrections.yaml")
@grid_option
@click.option("--at-least", "least_ms", default=0, show_default=True, help="Only clocks that are off by so many ms.")
@click.option("--json", "as_json", is_flag=True, help="Print all that was estimated as JSON.")
def clocks(config_file: Path, least_ms: int, as_json: bool) -> None:
    """Estimate offset and drift of each sensor's clock from all aligned readings; YAML for `clock.corrections`."""
    deployment = read_grid_file(config_file)
    rule = deployment.rules(config_file.parent).clock
    minima: dict[str, dict[int, int]] = defaultdict(dict)
    for reading in _readings(deployment):
        ingest_ms = reading.ingest_time_ms if rule.against == "ingest" else None
        arrival_ms = reading.append_time_ms if ingest_ms is None else ingest_ms
        span_ms, delay_ms = arrival_ms - arrival_ms % rule.bucket_ms, arrival_ms - reading.event_time_ms
        of_sensor = minima[reading.sensor_id]
        of_sensor[span_ms] = min(of_sensor.get(span_ms, delay_ms), delay_ms)
    found = {s: estimate(sorted(spans.items())[-rule.buckets :], rule) for s, spans in sorted(minima.items())}
    if as_json:
        print_json({sensor: e and e._asdict() for sensor, e in found.items()})
        return
    corrections = [
        {"sensor": s, "ahead_ms": round(e.ahead_ms, 1), "drift_ppm": round(e.drift_ppm, 3), "at_ms": e.at_ms}
        for s, e in found.items()
        if e is not None and abs(e.ahead_ms) >= least_ms
    ]
    click.echo(yaml.safe_dump({"clock": {"corrections": corrections}}, sort_keys=False), nl=False)
    info(f"{len(corrections)} of {len(found)} sensors; nothing is corrected unless it stands in the grid file")


def _duration(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    try:
        return parse_duration_ms(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(epilog="\b\nExample:\n  meridian join pairs --config demo-grid.yaml --within 5 --clock-difference '5 s'")
@grid_option
@click.option("--within", "within_m", default=5.0, show_default=True, type=click.FloatRange(0), help="Metres.")
@click.option("--clock-difference", "difference_ms", default="5 s", show_default=True, callback=_duration)
def pairs(config_file: Path, within_m: float, difference_ms: int) -> None:
    """Find ids that are one box, by position and times of all aligned readings; YAML for `pairs` of a grid."""
    deployment = read_grid_file(config_file)
    times: dict[str, list[int]] = defaultdict(list)
    metrics: dict[str, set[str]] = defaultdict(set)
    where: dict[str, tuple[float, float]] = {}
    for reading in _readings(deployment):
        times[reading.sensor_id].append(reading.event_time_ms)
        metrics[reading.sensor_id].add(reading.metric)
        where[reading.sensor_id] = reading.lon_deg, reading.lat_deg
    stations = [Station(s, *where[s], frozenset(metrics[s]), sorted(times[s])) for s in times]
    click.echo(yaml.safe_dump({"pairs": pair_stations(stations, within_m, difference_ms)}, sort_keys=False), nl=False)


def _readings(deployment: GridDeployment) -> Iterator[AlignedReading]:
    try:
        for source in deployment.sources:
            for record in topic_records(deployment, source.topic):
                try:
                    yield _decoder.decode(record.value)
                except msgspec.DecodeError:
                    continue  # the job counts it as unreadable
    except UnreadableTopic as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, "is the stack up, and do the topics exist?") from None
