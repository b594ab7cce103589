"""`meridian plan`: numbers for a deployment from what is known of its sensors, with their arithmetic."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml
from rich.console import Console
from rich.text import Text

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, print_json, success
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.cli.local.profiles import base_config, flatten

if TYPE_CHECKING:
    from jobs.pipeline.config import Deployment
    from jobs.planning.disorder import DisorderSample
    from jobs.planning.inputs import Inputs
    from jobs.planning.sheet import Sheet

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  meridian plan --sensors 10000 --period '10 s' --window '5 min' --window '15 min/5 min' --lateness '2 min'
  meridian plan --input fleet.yaml --json
  meridian plan --input fleet.yaml --check my.yaml --engine flink-conf/config.yaml
  meridian plan disorder --config my.yaml --last 200000

\b
Exit codes: 0 done, and with --check all fits; 1 something does not; 2 wrong input.
All keys of an input file, and what each figure is made of: docs/planning.md
""",
)
@click.pass_context
@click.option("--input", "input_file", type=_FILE, help="YAML file of inputs; options go before it.")
@click.option("--sensors", type=int, help="How many report.")
@click.option("--period", help="Between two readings of a metric of a sensor, as '10 s'.")
@click.option("--metrics", type=int, help="Of each sensor.")
@click.option("--payload", help="Size of a raw record, as '400 B'.")
@click.option("--window", "windows", multiple=True, help="SIZE or SIZE/SLIDE of a window by sensor; repeat it.")
@click.option("--lateness", "allowed_lateness", help="Allowed lateness.")
@click.option("--ttl", "dedup_ttl", help="How long ids are remembered.")
@click.option("--anomaly", help="How long what is looked for lasts.")
@click.option("--check", "deployment_file", type=_FILE, help="Deployment to hold against the plan.")
@click.option("--engine", "engine_file", type=_FILE, help="Flink configuration to check.  [default: flink-conf's]")
@click.option("--json", "as_json", is_flag=True, help="Print plan and findings as JSON.")
def plan(
    ctx: click.Context,
    /,
    input_file: Path | None,
    windows: tuple[str, ...],
    deployment_file: Path | None,
    engine_file: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Work out partitions, memory, state, checkpoints and times, line by line."""
    if ctx.invoked_subcommand is not None:
        return
    from jobs.planning.check import check
    from jobs.planning.plan import make_plan

    deployment = None if deployment_file is None else read_deployment(deployment_file)
    options = {name: value for name, value in given.items() if value is not None}
    if windows:
        options["windows"] = [_window(text) for text in windows]
    inputs = _read_inputs(input_file, options, deployment)
    sheet = make_plan(inputs)
    findings = [] if deployment is None else check(inputs, sheet, deployment, _read_engine(engine_file))
    if as_json:
        print_json({"plan": {line.key: line.to_dict() for line in sheet}, "notes": sheet.notes, "findings": findings})
    else:
        _show(sheet)
        for finding in findings:
            click.echo(f"{deployment_file}: {finding}")
        if deployment is not None and not findings:
            success(f"{deployment_file} fits the plan")
    if findings:
        raise SystemExit(EXIT_FAILED)


@plan.command(epilog="\b\nExample:\n  meridian plan disorder --config my.yaml --last 200000")
@deployment_option
@click.option("--last", "most", type=click.IntRange(100), default=1_000_000, show_default=True, help="Records to read.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def disorder(config_file: Path, most: int, as_json: bool) -> None:
    """Measure how far out of order the newest records of the raw topic are, and what out-of-orderness they need."""
    from jobs.planning.constants import DISORDER_FACTOR
    from jobs.planning.times import round_up_ms

    sample = _sample(config_file, most)
    if not len(sample):
        raise CliError("the raw topic holds no reading with a plausible time", EXIT_FAILED)
    found = sample.quantiles()
    advised_ms = round_up_ms(DISORDER_FACTOR.value * found.p99_ms)
    if as_json:
        print_json({**found._asdict(), "out_of_orderness_ms": advised_ms})
        return
    click.echo(f"readings          {found.readings:,}, {found.in_order / found.readings:.1%} of them in order")
    for name, value in (("p50", found.p50_ms), ("p99", found.p99_ms), ("p99.9", found.p999_ms), ("max", found.max_ms)):
        click.echo(f"{name:<17} {value:,} ms behind the newest before it in its partition")
    click.echo(
        f"out_of_orderness  {advised_ms:,} ms: {DISORDER_FACTOR.value:g} x p99, rounded up; "
        f"the maximum is {found.max_ms:,} ms"
    )


def _sample(config_file: Path, most: int) -> DisorderSample:
    from jobs.audit.claimed_time import NO_TIME, ClaimedTime
    from jobs.broker.snapshot import UnreadableTopic, spans_now
    from jobs.broker.topic_records import topic_records
    from jobs.planning.disorder import DisorderSample

    deployment = read_deployment(config_file)
    claimed, sample = ClaimedTime(deployment.rules(config_file.parent)), DisorderSample()
    topic = deployment.topics.raw.name
    try:
        each = -(-most // max(1, len(spans_now(deployment, topic))))
        for record in topic_records(deployment, topic, newest=each):
            event_ms = claimed.of(record.headers, record.value, record.timestamp_ms)
            if event_ms != NO_TIME:
                sample.add(record.partition, event_ms)
    except UnreadableTopic as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, "start the stack with `meridian up`") from None
    return sample


def _read_inputs(path: Path | None, options: Mapping[str, Any], deployment: Deployment | None) -> Inputs:
    """Options before the file, the file before what the deployment says."""
    from jobs.pipeline.deployment_file import InvalidDeployment, read_yaml, validate_document
    from jobs.planning.inputs import Inputs, defaults_of

    try:
        document = {} if path is None else read_yaml(path)
        if isinstance(document, dict):
            document = {**(defaults_of(deployment) if deployment else {}), **document, **options}
        return validate_document(path or Path("plan"), document, Inputs, os.environ, "docs/planning.md")
    except InvalidDeployment as error:
        hint = None if path else "give at least --sensors and --period, or --input FILE"
        raise CliError(str(error), EXIT_USAGE, hint) from None


def _read_engine(path: Path | None) -> dict[str, Any]:
    if path is None:
        return base_config()
    try:
        return flatten(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, AttributeError) as error:
        raise CliError(f"{path}: {error}", EXIT_USAGE) from None


def _window(text: str) -> dict[str, str]:
    size, _, slide = text.partition("/")
    name = text.replace(" ", "").replace("/", "-").lower()
    return {"name": name, "size": size.strip(), **({"slide": slide.strip()} if slide else {})}


def _show(sheet: Sheet) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 200
    for line in sheet:
        console.print(Text(f"{line.name:<24}{line.result}", style="bold"))
        console.print(Text(f"    = {line.formula}"))
        console.print(Text(f"    = {line.numbers}"))
        for constant in line.constants:
            console.print(Text(f"      {constant}", style="dim"))
    for note in sheet.notes:
        console.print(Text(f"note: {note}", style="yellow"))
