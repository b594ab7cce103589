"""What must hold before a job is submitted: each check says in plain lines what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from confluent_kafka import KafkaException, TopicPartition
from find_libpython import find_libpython

from jobs.broker.clients import make_consumer
from jobs.broker.topics import Difference, TopicProblem, TopicSpec, describe_topics
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_USAGE, CliError, info, warn
from jobs.cli.deployment import job_name
from jobs.cli.project import STATE_DIR
from jobs.cli.stack import Endpoints
from jobs.cluster.history import History
from jobs.cluster.rest import ClusterError, FlinkRest
from jobs.cluster.restore_points import (
    NoRestorePoint,
    RestorePoint,
    job_of,
    latest,
    local_folder,
    points_of,
    read_point,
    root_of,
)
from jobs.pipeline.config import Deployment
from jobs.pipeline.grid_manifest import GridManifest, grid_obstacles, grids_that_end
from jobs.pipeline.manifest import PARAMETER, Manifest, cut_windows, mixed_windows, obstacles

PACKAGES = STATE_DIR / "packages"
HISTORY = History(PACKAGES)
_T = TypeVar("_T")


def ask(call: Callable[[], _T], hint: str | None = None) -> _T:
    """Ask the cluster; no answer is an environment error."""
    try:
        return call()
    except ClusterError as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, hint) from None


def refuse_unfit_surroundings(deployment: Deployment, config_file: Path) -> None:
    """Missing topics and libraries, and settings with which the job would fail or go wrong."""
    if deployment.execution_mode == "thread" and find_libpython() is None:
        message = "execution_mode: thread needs Python as a shared library, and find_libpython finds none"
        raise CliError(message, EXIT_ENVIRONMENT, "install libpython3.11 wherever a TaskManager runs")
    try:
        described = describe_topics(deployment)
    except TopicProblem as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, "start the stack with `meridian up`") from None
    lines = [line for row in described for line in unfit(*row, config_file)]
    if lines:
        raise CliError("\n  ".join(["the topics are not what the job needs:", *lines]), EXIT_ENVIRONMENT)


def unfit(spec: TopicSpec, partitions: int | None, differences: tuple[Difference, ...], config_file: Path) -> list[str]:
    """One line for each thing that is wrong with a topic, with what mends it."""
    if partitions is None:
        return [f"{spec.name}: does not exist; meridian topics create --config {config_file}"]
    remedies = {"partitions": f"write `partitions: {partitions}` under topics.{spec.role} in {config_file}"}
    mend = f"meridian topics mend --config {config_file}"
    return [f"{spec.name}: {d}; {remedies.get(d.setting, mend)}" for d in differences if d.is_fatal]


def refuse_second_job(rest: FlinkRest, deployment: Deployment) -> None:
    """Two jobs with one transactional prefix would fence each other and lose output."""
    hint = "replace it with `meridian upgrade`, or end it with `meridian cancel`"
    refuse_running(rest, job_name(deployment), hint)


def refuse_running(rest: FlinkRest, name: str, hint: str) -> None:
    job = ask(lambda: rest.running(name), "start the stack with `meridian up`")
    if job is not None:
        raise CliError(f"{name} runs already as job {job.id} ({job.state})", EXIT_USAGE, hint)


def refuse_doubled_output(rest: FlinkRest, endpoints: Endpoints, deployment: Deployment) -> None:
    """A job without state reads the raw topic from its start, and would publish everything once more."""
    name = deployment.topics.aligned.name
    consumer = make_consumer(deployment)
    try:
        partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
        offsets = [consumer.get_watermark_offsets(TopicPartition(name, p), timeout=10) for p in partitions]
    except KafkaException as error:
        raise CliError(f"{name}: {error.args[0].str()}", EXIT_ENVIRONMENT) from None
    finally:
        consumer.close()
    if any(high > 0 for _, high in offsets):
        newest = latest(known_points(rest, endpoints, job_name(deployment), None))
        start = newest.path if newest else "<checkpoints>/<job id>/chk-<n>"
        raise CliError(
            f"{name} holds results of an earlier job, which this one would publish again",
            EXIT_USAGE,
            f"go on with --from-savepoint {start}, or give --repeat",
        )


def find_point(path: str) -> RestorePoint:
    """The restore point at a path; on another file system all that can be known of it is its job."""
    folder = local_folder(path)
    if folder is None:
        return RestorePoint(path, job_of(path), 0, 0)
    try:
        return read_point(folder)
    except NoRestorePoint as problem:
        raise CliError(str(problem), EXIT_USAGE) from None


def refuse_older(rest: FlinkRest, endpoints: Endpoints, name: str, point: RestorePoint) -> None:
    """Results that were committed after a restore point would be published once more."""
    known = known_points(rest, endpoints, name, point)
    point = next((other for other in known if other.path == point.path), point)
    newest = latest(other for other in known if other.is_later_than(point))
    if newest is not None:
        raise CliError(
            f"{point.path} is older than {newest.path}: what was committed in between would be published twice",
            EXIT_USAGE,
            "start from the newer one, or give --repeat",
        )
    if not known:
        warn(f"nothing is known of the checkpoints beside {point.path}: make sure that it is the newest")


def known_points(rest: FlinkRest, endpoints: Endpoints, name: str, point: RestorePoint | None) -> list[RestorePoint]:
    """All restore points of the jobs of a name and of the job that made `point`.

    They are looked for in the stack's folders, beside `point`, and in what the cluster says of jobs it remembers.
    """
    job = point.job if point else ""
    alive = [j.id for j in ask(rest.jobs) if j.name == name or (job and j.id.startswith(job))]
    jobs = {*alive, *(s.job_id for s in HISTORY.of_name(name)), *([job] if job else [])}
    folder = local_folder(point.path) if point else None
    roots = {endpoints.checkpoints_dir, endpoints.savepoints_dir, *([root_of(folder)] if folder else [])}
    found = [point for job_id in jobs for point in points_of(job_id, roots)]
    for job_id in alive:
        found += ask(partial(rest.restore_points, job_id))
    return found


def refuse_unfit_state(rest: FlinkRest, point: RestorePoint, new: Manifest, drained: bool) -> None:
    """State of a job whose manifest says that this code would lose, misread or mix it."""
    old = _manifest_behind(rest, point, Manifest.parse)
    if old is not None:
        refuse_incompatible(old, new, drained)


def refuse_unfit_grid_state(rest: FlinkRest, point: RestorePoint, new: GridManifest) -> None:
    """State of a grid job whose manifest says that this one would lose, misread or mix it."""
    old = _manifest_behind(rest, point, GridManifest.parse)
    if old is None:
        return
    if found := grid_obstacles(old, new):
        hint = "give a changed grid or source a new name; CHANGELOG.md marks changes of the code"
        raise CliError("\n  ".join(["state cannot be carried over:", *found]), EXIT_USAGE, hint)
    for line in grids_that_end(old, new):
        info(line)


def _manifest_behind(rest: FlinkRest, point: RestorePoint, parse: Callable[[str], _T]) -> _T | None:
    """What the job that made a savepoint said of itself; None: nobody knows, and that is said."""
    text = manifest_text(rest, point.job)
    if text is None:
        warn(f"no manifest is known of the job that made {point.path}: its state is not compared with this code")
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise CliError(f"{point.path}: {error}", EXIT_USAGE) from None


def manifest_text(rest: FlinkRest, job: str) -> str | None:
    """The manifest of the job of that id, or whose id begins so: from its submission here, or from the cluster."""
    submission = HISTORY.find(job)
    if submission is not None and submission.manifest:
        return submission.manifest
    ids = [j.id for j in ask(rest.jobs) if j.id.startswith(job)] if job else []
    return ask(lambda: rest.user_config(ids[0])).get(PARAMETER) if len(ids) == 1 else None


def refuse_incompatible(old: Manifest, new: Manifest, drained: bool) -> None:
    found, mixed = obstacles(old, new), [] if drained else mixed_windows(old, new)
    if found or mixed:
        advice = "give what changes a new window name, or close all windows first and insist with --drained"
        raise CliError(
            "\n  ".join(["state cannot be carried over:", *found, *mixed]),
            EXIT_USAGE,
            f"{advice} (OPERATIONS.md, Upgrade)" if mixed else "CHANGELOG.md marks such changes",
        )
    for line in cut_windows(old, new):
        info(line)
