"""`meridian join`: the job that puts several streams of aligned readings on one time grid."""

from __future__ import annotations

from pathlib import Path

import click
from confluent_kafka.admin import AdminClient

from jobs.broker.clients import kafka_settings
from jobs.broker.grid_topics import grid_topic_specs
from jobs.broker.snapshot import UnreadableTopic
from jobs.broker.topic_records import topic_records
from jobs.broker.topics import TopicState, create_topics
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_USAGE, CliError, info, print_json, success
from jobs.cli.lazy import LazyGroup
from jobs.cli.lifecycle import cancel_beside
from jobs.cli.preconditions import (
    HISTORY,
    PACKAGES,
    find_point,
    refuse_older,
    refuse_running,
    refuse_unfit_grid_state,
)
from jobs.cli.project import PROJECT_ROOT
from jobs.cli.stack import load_endpoints
from jobs.cli.submit import flink_client, public_variables, run
from jobs.cli.topics import create_missing, tell_created
from jobs.cluster.client import shell_line
from jobs.cluster.history import Submission
from jobs.cluster.package import Package, build_package
from jobs.cluster.rest import FlinkRest
from jobs.cluster.restore_points import plain_path
from jobs.pipeline.deployment_file import InvalidDeployment
from jobs.pipeline.grid_config import GridDeployment
from jobs.pipeline.grid_file import load_grid_deployment
from jobs.pipeline.grid_manifest import grid_manifest_of

COMMANDS = {
    "audit": ("jobs.cli.join_audit:audit", "Check that every aligned reading is accounted for in each grid."),
    "clocks": ("jobs.cli.join_advice:clocks", "Say how far the sensors' clocks are off."),
    "validate-day": ("jobs.cli.join_validate:validate_day", "Compute a day again in batch, and compare every row."),
    "reprocess": ("jobs.cli.join_reprocess:reprocess", "Run the grid job over history, into topics of its own."),
    "pairs": ("jobs.cli.join_advice:pairs", "Find sensor ids that are one box."),
}

grid_option = click.option(
    "--config", "config_file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Grid file."
)


class _Group(LazyGroup):
    """Commands of this module and, imported when they are used, those of others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*self.commands, *super().list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.commands.get(cmd_name) or super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            lines = {name: command.get_short_help_str(90) for name, command in self.commands.items()}
            lines |= {name: line for name, (_, line) in COMMANDS.items()}
            formatter.write_dl(sorted(lines.items()))


@click.group(
    cls=_Group,
    table=COMMANDS,
    epilog="""\b
Examples:
  meridian join check flink-conf/deployments/demo-grid.yaml
  meridian join submit --config flink-conf/deployments/demo-grid.yaml
  meridian join audit --config demo-grid.yaml      aligned = gridded + merged + late + outside
  meridian join cancel --config demo-grid.yaml --savepoint
""",
)
def join() -> None:
    """Put several streams on one time grid; see docs/grid.md."""


def read_grid_file(path: Path) -> GridDeployment:
    try:
        return load_grid_deployment(path)
    except InvalidDeployment as error:
        raise CliError(str(error), EXIT_USAGE) from None


def job_name(deployment: GridDeployment) -> str:
    return f"meridian-{deployment.name}"


@join.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def check(file: Path) -> None:
    """Validate FILE; exit 2 with one line per mistake."""
    deployment = read_grid_file(file)
    metrics = sum(len(g.metrics) for g in deployment.grids)
    success(f"{file}: {len(deployment.sources)} sources, {len(deployment.grids)} grids, {metrics} metrics")


@join.command()
def schema() -> None:
    """Print the JSON Schema of grid files, for editors."""
    print_json(GridDeployment.model_json_schema())


@join.command()
@grid_option
def topics(config_file: Path) -> None:
    """Create the missing topics of the grid job."""
    tell_created(_create(read_grid_file(config_file)))


@join.command()
@grid_option
@click.option("--from-savepoint", metavar="PATH", help="Start from this savepoint or retained checkpoint.")
@click.option("--repeat", is_flag=True, help="Publish again what the topics hold since that savepoint, or at all.")
@click.option("--print-only", is_flag=True, help="Print the command, but do not run it.")
@click.option("--json", "as_json", is_flag=True, help="Print job id and command as JSON.")
def submit(config_file: Path, from_savepoint: str | None, repeat: bool, print_only: bool, as_json: bool) -> None:
    """Submit the grid job; without a savepoint it reads its sources from their start."""
    deployment = read_grid_file(config_file)
    endpoints = load_endpoints()
    client, rest = flink_client(endpoints), FlinkRest(endpoints.rest_url)
    package = build_package(PROJECT_ROOT, config_file, deployment, PACKAGES)
    path = plain_path(from_savepoint) if from_savepoint else None
    command = join_command(client.home, config_file, deployment, package, path)
    if not as_json:
        info(f"+ {shell_line(command, client.needs(public_variables(config_file)))}")
    job_id = None
    if not print_only:
        name = job_name(deployment)
        refuse_running(rest, name, "end it with `meridian join cancel`")
        if path:
            point = find_point(path)
            refuse_unfit_grid_state(rest, point, grid_manifest_of(deployment))
            if not repeat:
                refuse_older(rest, endpoints, name, point)
        _create(deployment)
        if not path and not repeat:
            refuse_doubled_rows(
                deployment, "start it --from-savepoint, or with topics of other names, or with --repeat"
            )
        job_id = run(client, command)
        HISTORY.remember(Submission(job_id, name, str(package.folder), grid_manifest_of(deployment).dump()))
        success(f"submitted {name} as job {job_id}; web interface: {endpoints.rest_url}")
    if as_json:
        print_json({"job_id": job_id, "command": command})


def submit_grid_job(config_file: Path, deployment: GridDeployment, savepoint: str | None) -> str:
    """Run the command that `submit` shows, for a job that nothing else speaks against; its id."""
    client = flink_client(load_endpoints())
    package = build_package(PROJECT_ROOT, config_file, deployment, PACKAGES)
    return run(client, join_command(client.home, config_file, deployment, package, savepoint))


def join_command(
    home: Path, config_file: Path, deployment: GridDeployment, package: Package, savepoint: str | None
) -> list[str]:
    """The `flink run` command of a grid job; layers are found beside its grid file."""
    return [
        str(home / "bin" / "flink"), "run", "--detached",
        *(["-s", savepoint] if savepoint else []),
        "--parallelism", str(deployment.parallelism),
        "--python", str(PROJECT_ROOT / "jobs" / "join_sources.py"),
        "--pyFiles", str(package.code),
        "--config", str(config_file.resolve()),
    ]  # fmt: skip


@join.command()
@grid_option
@click.option("--savepoint", "with_savepoint", is_flag=True, help="Stop with a savepoint, to be started again from it.")
def cancel(config_file: Path, with_savepoint: bool) -> None:
    """End the running grid job; what it has published stays."""
    cancel_beside(job_name(read_grid_file(config_file)), with_savepoint)


def refuse_doubled_rows(deployment: GridDeployment, hint: str) -> None:
    """Rows begun anew would come with revision 1 behind higher ones, and the accounts would hold everything twice."""
    topic = deployment.topics.grid_accounting.name
    try:
        held = next(topic_records(deployment, topic), None)
    except UnreadableTopic as problem:
        if problem.is_missing:
            return
        raise CliError(str(problem), EXIT_ENVIRONMENT) from None
    if held is not None:
        raise CliError(f"{topic} holds what an earlier job has published", EXIT_USAGE, hint)


def _create(deployment: GridDeployment) -> list[TopicState]:
    admin = AdminClient(kafka_settings(deployment.kafka))
    return create_missing(lambda: create_topics(deployment, admin, grid_topic_specs(deployment)))
