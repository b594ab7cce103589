"""`meridian up`, `down` and `status`: Kafka and Flink on this machine without containers."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success, warn
from jobs.cli.local.layout import StackLayout, default_root
from jobs.cli.local.ports import HOST
from jobs.cli.local.profiles import PROFILES
from jobs.cli.local.render import StackInfo, worker_python
from jobs.cli.local.secure import SecureFiles, provision, variables
from jobs.cli.local.supervision import Supervisor, sweep

DEFAULTS = {"kafka_port": 9092, "rest_port": 8081, "taskmanagers": 2, "slots": 2, "brokers": 1}


@dataclass(frozen=True)
class Endpoints:
    """Where a running stack is reached."""

    bootstrap_servers: str
    rest_url: str
    metrics_url: str
    stack_dir: Path
    checkpoints_dir: Path
    savepoints_dir: Path
    java_home: Path
    taskmanagers: int
    slots: int
    profile: str | None = None
    mqtt_port: int | None = None
    observe_url: str | None = None


def load_endpoints(stack_dir: Path | str | None = None) -> Endpoints:
    """Endpoints of the stack in `stack_dir` (default: MERIDIAN_STACK_DIR, or the checkout's own).

    Raises
    ------
    CliError: no stack runs there (exit code 3).
    """
    layout = _layout(stack_dir)
    chosen = StackInfo.read(layout)
    if chosen is None or not Supervisor(layout).is_running():
        raise CliError(f"no stack is running in {layout.root}", EXIT_ENVIRONMENT, "start it with `meridian up`")
    plain = layout.plain(layout.root)
    if chosen.secure:  # what talks to this stack, here and in processes that are started, finds its certificates
        for name, value in chosen.secure.rest.variables().items():
            os.environ.setdefault(name, value)
    return Endpoints(
        bootstrap_servers=chosen.bootstrap_servers,
        rest_url=chosen.rest_url,
        metrics_url=chosen.metrics_url,
        stack_dir=layout.root,
        checkpoints_dir=plain / "checkpoints",
        savepoints_dir=plain / "savepoints",
        java_home=Path(chosen.java_home),
        taskmanagers=chosen.taskmanagers,
        slots=chosen.slots,
        profile=chosen.profile,
        mqtt_port=chosen.mqtt_port,
        observe_url=f"http://{HOST}:{chosen.observe_port}" if chosen.observe_port else None,
    )


def flink_client_env(endpoints: Endpoints) -> dict[str, str]:
    """Complete environment for Flink's client scripts (`flink run`, `sql-client.sh`) against this stack.

    What would change their behaviour from outside (another Flink, Hadoop, Python path) is left out.
    """
    from jobs.cli.local.commands import flink_folders

    layout = StackLayout(endpoints.stack_dir)
    unwanted = (
        "FLINK_",
        "HADOOP_",
        "YARN_",
        "HBASE_",
        "PYTHONPATH",
        "PYTHONHOME",
        "JVM_ARGS",
        "_FLINK_HOME_DETERMINED",
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    python = worker_python(layout)
    return (
        env
        | flink_folders(layout)
        | {
            "JAVA_HOME": str(endpoints.java_home),
            "PYFLINK_CLIENT_EXECUTABLE": str(python),
            "PATH": f"{python.parent}:{env.get('PATH') or '/usr/bin:/bin'}",
        }
    )


def _layout(stack_dir: Path | str | None) -> StackLayout:
    return StackLayout(Path(stack_dir).expanduser().absolute() if stack_dir else default_root())


@contextmanager
def _exclusive(layout: StackLayout) -> Iterator[None]:
    """One `up` or `down` at a time per stack."""
    with layout.lock_file.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            info("another `meridian up` or `down` is at work on this stack, waiting …")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


_dir_option = click.option(
    "--dir", "stack_dir", type=click.Path(file_okay=False), metavar="DIR",
    help="Folder of the stack.  [default: MERIDIAN_STACK_DIR or .meridian/stack]",
)  # fmt: skip
_port = click.IntRange(1024, 65535)


@click.command(
    epilog="\b\nExamples:\n  meridian up\n  meridian up --taskmanagers 1 --slots 4\n  meridian up --mqtt --observe\n"
    "  meridian up --kafka-port 19092 --rest-port 18081 --dir /tmp/second-stack"
)
@click.option("--taskmanagers", type=click.IntRange(1, 16), help="TaskManager processes.  [default: 2]")
@click.option("--slots", type=click.IntRange(1, 32), help="Slots of each TaskManager.  [default: 2]")
@click.option(
    "--memory-mb", type=click.IntRange(1024), help="Of each TaskManager, its workers not included.  [default: 2048]"
)
@click.option("--brokers", type=click.IntRange(1, 5), help="Kafka brokers; several replicate.  [default: 1]")
@click.option("--kafka-port", type=_port, help="Port of the (first) broker.  [default: 9092]")
@click.option("--rest-port", type=_port, help="Port of Flink's REST API and web interface.  [default: 8081]")
@click.option("--profile", type=click.Choice(PROFILES), help="Overlay of flink-conf/profiles.  [default: none]")
@click.option(
    "--mqtt-port", "--mqtt", is_flag=False, flag_value=1883, type=_port,
    help="Also run Mosquitto, on port 1883 or the one given.  [default: no]",
)  # fmt: skip
@click.option(
    "--observe-port", "--observe", is_flag=False, flag_value=9090, type=_port,
    help="Also run Prometheus with the project's rules, on port 9090 or the one given.  [default: no]",
)  # fmt: skip
@click.option(
    "--ha-port", "--ha", is_flag=False, flag_value=2181, type=_port,
    help="Also run ZooKeeper, on port 2181 or the one given: jobs outlive a killed JobManager.  [default: no]",
)  # fmt: skip
@click.option(
    "--secure", is_flag=True, default=None, help="TLS, logins and rights; certificates are made.  [default: no]"
)
@click.option("--timeout", "timeout_s", type=click.IntRange(5), default=180, show_default=True, help="Seconds to wait.")
@_dir_option
def up(stack_dir: str | None, timeout_s: int, **chosen: int | str | None) -> None:
    """Start the local stack and wait until it is ready.

    Harmless when it runs already; parts of it that have stopped are started again. Listens on 127.0.0.1 only.
    """
    started_s = time.monotonic()
    layout = _layout(stack_dir)
    wanted = {name: value for name, value in chosen.items() if value is not None}
    layout.check_disk()
    layout.create(layout.root, Path(sys.prefix))
    with _exclusive(layout):
        supervisor = Supervisor(layout)
        running = StackInfo.read(layout) if supervisor.is_running() else None
        if running:
            _refuse_changes(wanted, running)
            was_complete = _repair(running, layout, supervisor, timeout_s)
            success("already running" if was_complete else f"complete again after {time.monotonic() - started_s:.1f} s")
        else:
            running = _start(DEFAULTS | wanted, layout, supervisor, timeout_s)
            success(f"ready in {time.monotonic() - started_s:.1f} s")
    info(f"  broker   {running.bootstrap_servers}")
    info(f"  Flink    {running.rest_url}  ({running.taskmanagers} TaskManagers, {running.slots} slots each)")
    if running.secure:
        info("  secure   for a shell (docs/security.md):")
        for name, value in variables(running.secure).items():
            info(f"           export {name}={value}")
    if running.profile:
        info(f"  profile  {running.profile}")
    if running.ha_port:
        info(f"  HA       ZooKeeper on {HOST}:{running.ha_port}: jobs outlive the JobManager")
    if running.mqtt_port:
        info(f"  MQTT     mqtt://{HOST}:{running.mqtt_port}")
    if running.observe_port:
        info(f"  observe  http://{HOST}:{running.observe_port}  (Prometheus: alerts, rules, queries)")
    info(f"  metrics  {running.metrics_url}")
    info(f"  files    {layout.root}")


def _refuse_changes(wanted: Mapping[str, int | str], running: StackInfo) -> None:
    for name, value in wanted.items():
        current = getattr(running, name) if name != "secure" else running.secure is not None or None
        if value != current:
            option = "--" + name.replace("_", "-")
            has = f"without {option}" if current is None else f"with {option} {current}"
            raise CliError(
                f"the stack is already running {has}, not {value}",
                EXIT_USAGE,
                "run `meridian down` first, or choose another --dir",
            )


def _repair(running: StackInfo, layout: StackLayout, supervisor: Supervisor, timeout_s: int) -> bool:
    """Whether there was nothing to repair."""
    from jobs.cli.local.health import check, wait_until_complete

    stopped = supervisor.start_missing()
    if not stopped and check(running).is_complete(running):
        return True
    info("something is missing; waiting until the supervisor has brought it back …")
    wait_until_complete(running, layout, supervisor, timeout_s)
    return False


def _start(wanted: dict[str, Any], layout: StackLayout, supervisor: Supervisor, timeout_s: int) -> StackInfo:
    from jobs.cli.jars import ensure_jars
    from jobs.cli.local.commands import member_env, stack_commands
    from jobs.cli.local.health import wait_until_complete
    from jobs.cli.local.java import find_java
    from jobs.cli.local.kafka import write_kafka
    from jobs.cli.local.mosquitto import find_mosquitto
    from jobs.cli.local.ports import first_free, require_free
    from jobs.cli.local.prometheus import find_prometheus
    from jobs.cli.local.render import write_flink

    if supervisor.is_running():  # without a readable stack.json: of another version
        supervisor.shutdown()
    if left := sweep(layout):
        warn(f"ended {left} processes of an earlier stack that had lost its supervisor")
    java = find_java()
    ensure_jars()
    require_free(wanted["kafka_port"], "the broker", "--kafka-port")
    require_free(wanted["rest_port"], "Flink's REST API", "--rest-port")
    taken = {wanted["kafka_port"], wanted["rest_port"]}
    if mqtt_port := wanted.get("mqtt_port"):
        find_mosquitto()
        require_free(mqtt_port, "Mosquitto", "--mqtt-port")
        taken.add(mqtt_port)
    if observe_port := wanted.get("observe_port"):
        find_prometheus()
        require_free(observe_port, "Prometheus", "--observe-port")
        taken.add(observe_port)
    if ha_port := wanted.get("ha_port"):
        require_free(ha_port, "ZooKeeper", "--ha-port")
        taken.add(ha_port)
    others: dict[str, Any] = {}
    # Two stacks that start at the same moment find the same ports free, so they begin to count at different ones.
    shift = (wanted["kafka_port"] - DEFAULTS["kafka_port"]) % 1000
    for name, start in (("controller_port", 9093), ("rpc_port", 6123), ("metrics_port", 9249)):
        others[name] = first_free(start + shift, taken)
        taken.add(others[name])
    others["further_ports"] = []
    brokers = wanted.pop("brokers")
    for _ in range(1, brokers):
        kafka_port = first_free(9094 + shift, taken)
        controller_port = first_free(kafka_port + 1, taken)
        others["further_ports"].append([kafka_port, controller_port])
        taken |= {kafka_port, controller_port}
    if wanted.pop("secure", False):
        if brokers > 1:
            raise CliError("--secure goes with one broker", EXIT_USAGE, "leave out --brokers")
        if observe_port:
            hint = "run `meridian exporter --config` and a Prometheus of your own"
            raise CliError("--secure goes without --observe: the exporter has no login", EXIT_USAGE, hint)
        others["internal_port"] = first_free(9093 + shift, taken)
        others["secure_folder"] = str(layout.secure)
        SecureFiles(layout.secure).make()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    chosen = StackInfo(**wanted, **others, java_home=str(java.home), started_at=now)
    info(f"starting with Java {java.version} ({java.origin}) …")
    write_flink(chosen, layout)
    write_kafka(chosen, layout)
    commands = stack_commands(chosen, layout, java)
    chosen.write(layout)
    supervisor.start(commands, member_env(layout, java))
    try:
        wait_until_complete(chosen, layout, supervisor, timeout_s)
        if chosen.secure:
            provision(chosen, chosen.secure)
    except BaseException:
        # Half a stack would hold the ports and look alive to other commands.
        _stop(layout, supervisor)
        raise
    return chosen


def _stop(layout: StackLayout, supervisor: Supervisor) -> bool:
    was_running = supervisor.is_running()
    if was_running:
        supervisor.shutdown()
    swept = sweep(layout)
    for file in (layout.info_file, layout.socket, layout.root / "supervisord.pid"):
        file.unlink(missing_ok=True)
    layout.remove_runtime()
    return was_running or swept > 0


@click.command(
    epilog="\b\nExamples:\n  meridian down\n  meridian down --wipe   topics, checkpoints, savepoints and logs too"
)
@click.option("--wipe", is_flag=True, help="Also delete topics, checkpoints, savepoints and logs.")
@_dir_option
def down(stack_dir: str | None, wipe: bool) -> None:
    """Stop the local stack, Python workers included. Topics and checkpoints stay unless --wipe is given."""
    layout = _layout(stack_dir)
    if not layout.root.is_dir():
        info(f"nothing to stop in {layout.root}")
        return
    with _exclusive(layout):
        stopped = _stop(layout, Supervisor(layout))
        if wipe:
            layout.wipe()
    success(("stopped" if stopped else "was not running") + (", data deleted" if wipe else ""))


@click.command(epilog="\b\nExit codes: 0 complete, 1 something is missing, 3 not running.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_dir_option
def status(stack_dir: str | None, as_json: bool) -> None:
    """Show processes, endpoints, slots and running jobs."""
    from jobs.cli.local.health import check

    layout = _layout(stack_dir)
    supervisor, chosen = Supervisor(layout), StackInfo.read(layout)
    if chosen is None or not supervisor.is_running():
        if as_json:
            print_json({"running": False, "complete": False, "stack_dir": layout.root})
            sys.exit(EXIT_ENVIRONMENT)
        raise CliError(f"no stack is running in {layout.root}", EXIT_ENVIRONMENT, "start it with `meridian up`")
    states, health = supervisor.states(), check(chosen)
    complete = health.is_complete(chosen) and all(state.state == "RUNNING" for state in states)
    if as_json:
        facts = {"running": True, "complete": complete, **asdict(load_endpoints(layout.root))}
        print_json(facts | {"processes": [asdict(state) for state in states], "health": asdict(health)})
    else:
        for state in states:
            uptime = f"{state.uptime_s // 60} min {state.uptime_s % 60} s" if state.pid else ""
            click.echo(f"{state.name:<16} {state.state:<9} {state.pid or '':<8} {uptime}")
        click.echo(f"{'broker':<16} {chosen.bootstrap_servers}  {'answers' if health.broker_ready else 'no answer'}")
        slots = f"{health.taskmanagers} TaskManagers, {health.slots_free} of {health.slots_total} slots free"
        click.echo(f"{'Flink':<16} {chosen.rest_url}  {slots}, {health.jobs_running} jobs running")
        click.echo(f"{'metrics':<16} {chosen.metrics_url}")
    sys.exit(0 if complete else EXIT_FAILED)
