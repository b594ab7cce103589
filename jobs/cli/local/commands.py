"""Command lines of the stack's processes.

Flink's own start scripts start three helper JVMs before the real one. Here the helper that computes memory sizes runs
once, at `meridian up`, and the supervisor starts Java itself: a killed TaskManager is back in half the time, its
process is the supervisor's child, and its log keeps its name.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import yaml

from jobs.cli.console import EXIT_ENVIRONMENT, CliError
from jobs.cli.local.java import Java
from jobs.cli.local.kafka import broker_commands, format_storage
from jobs.cli.local.layout import MEMBER_VARIABLE, StackLayout
from jobs.cli.local.mosquitto import mosquitto_command
from jobs.cli.local.prometheus import prometheus_command
from jobs.cli.local.render import StackInfo, worker_python
from jobs.cli.local.zookeeper import zookeeper_command
from jobs.cli.project import PROJECT_ROOT, flink_home

_RESULT_PREFIX: Final = "BASH_JAVA_UTILS_EXEC_RESULT:"
_KEPT_VARIABLES: Final = ("HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "PROJ_DATA", "PROJ_NETWORK")
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

JOBMANAGER, METRICS, TASKMANAGER = "jobmanager", "metrics", "taskmanager"
MOSQUITTO, PROMETHEUS, EXPORTER, ZOOKEEPER = "mosquitto", "prometheus", "exporter", "zookeeper"


def member_env(layout: StackLayout, java: Java) -> dict[str, str]:
    """Environment of all processes of the stack.

    Built from scratch: what the shell of whoever started the stack exports (PYTHONPATH, JAVA_TOOL_OPTIONS, …) must not
    decide how Python workers behave.
    """
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    path = os.environ.get("PATH", "")
    return kept | {
        "PATH": f"{worker_python(layout).parent}:{path}:{_SYSTEM_PATH}" if path else _SYSTEM_PATH,
        "JAVA_HOME": str(java.home),
        "PYTHONUNBUFFERED": "1",
        MEMBER_VARIABLE: str(layout.root),
        "MERIDIAN_STACK_DIR": str(layout.root),
        **flink_folders(layout),
    }


def flink_folders(layout: StackLayout) -> dict[str, str]:
    """The variables by which Flink finds its folders, in the cluster as in clients."""
    flink = layout.flink
    return {
        "FLINK_CONF_DIR": str(flink / "conf"),
        "FLINK_LIB_DIR": str(flink / "lib"),
        "FLINK_OPT_DIR": str(flink / "opt"),
        "FLINK_PLUGINS_DIR": str(flink / "plugins"),
        "FLINK_LOG_DIR": str(layout.logs),
        "FLINK_PID_DIR": str(flink / "tmp"),
        "FLINK_IDENT_STRING": "meridian",
    }


def flink_classpath(layout: StackLayout) -> str:
    """Like Flink's scripts: by name, the distribution last."""
    jars = sorted((layout.flink / "lib").glob("*.jar"), key=lambda jar: (jar.name.startswith("flink-dist"), jar.name))
    return ":".join(map(str, jars))


def _resource_params(what: str, layout: StackLayout, java: Java) -> tuple[list[str], list[str]]:
    home = flink_home()
    dist = next((home / "lib").glob("flink-dist-*.jar"))
    # fmt: off
    command = [
        str(java.executable), "-XX:TieredStopAtLevel=1", "-cp", f"{home / 'bin' / 'bash-java-utils.jar'}:{dist}",
        "org.apache.flink.runtime.util.bash.BashJavaUtils", what, "--configDir", str(layout.flink / "conf"),
    ]
    # fmt: on
    answer = subprocess.run(command, capture_output=True, text=True, env=member_env(layout, java), check=False)
    results = [
        line.removeprefix(_RESULT_PREFIX) for line in answer.stdout.splitlines() if line.startswith(_RESULT_PREFIX)
    ]
    if answer.returncode or len(results) != 2:
        reason = next((line for line in answer.stderr.splitlines() if "Exception" in line), answer.stderr[-300:])
        raise CliError(f"Flink does not accept flink-conf/config.yaml: {reason.strip()}", EXIT_ENVIRONMENT)
    return results[0].split(), results[1].split()


def _flink_java(layout: StackLayout, java: Java, name: str, jvm: Sequence[str], main: str) -> list[str]:
    config = yaml.safe_load((layout.flink / "conf" / "config.yaml").read_text(encoding="utf-8"))
    role = name.rstrip("-0123456789")  # jobmanager, taskmanager
    options = [word for key in ("all", role) for word in str(config.get(f"env.java.opts.{key}", "")).split()]
    log4j = layout.flink / "conf" / "log4j-console.properties"
    security = ["-Djava.security.manager=allow"] if java.version > 17 else []
    # fmt: off
    return [
        str(java.executable), *jvm, "-XX:+IgnoreUnrecognizedVMOptions", *options, *security,
        f"-Djava.io.tmpdir={layout.flink / 'tmp'}",
        f"-Dlog.file={layout.logs / name}.log", "-Dconsole.log.level=OFF",
        f"-Dlog4j.configuration=file:{log4j}", f"-Dlog4j.configurationFile=file:{log4j}",
        "-classpath", flink_classpath(layout), main, "--configDir", str(layout.flink / "conf"),
    ]
    # fmt: on


def stack_commands(info: StackInfo, layout: StackLayout, java: Java) -> dict[str, list[str]]:
    """Command line per process name. Runs Java a few times, side by side: sizes of both Flink roles, broker storage."""
    with ThreadPoolExecutor() as pool:
        formatting = pool.submit(format_storage, info, layout, java, member_env(layout, java))
        jm_future = pool.submit(_resource_params, "GET_JM_RESOURCE_PARAMS", layout, java)
        tm_future = pool.submit(_resource_params, "GET_TM_RESOURCE_PARAMS", layout, java)
        formatting.result()
        (jm_jvm, jm_dynamic), (tm_jvm, tm_dynamic) = jm_future.result(), tm_future.result()
    entrypoint = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    runner = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    gateway = str(PROJECT_ROOT / "jobs" / "cli" / "local" / "metrics_gateway.py")
    commands = {
        METRICS: [str(worker_python(layout)), gateway, "--port", str(info.metrics_port)],
        **broker_commands(info, layout, java),
        JOBMANAGER: [
            *_flink_java(layout, java, JOBMANAGER, jm_jvm, entrypoint),
            *(*jm_dynamic, "-D", f"metrics.reporter.push.jobName={JOBMANAGER}"),
        ],
    }
    if info.ha_port:
        log4j, log_file = layout.flink / "conf" / "log4j-console.properties", layout.logs / f"{ZOOKEEPER}.log"
        commands[ZOOKEEPER] = zookeeper_command(
            info.ha_port, layout.zookeeper, java.executable, flink_classpath(layout), log4j, log_file
        )
    if info.mqtt_port:
        commands[MOSQUITTO] = mosquitto_command(info.mqtt_port, layout.mosquitto)
    if info.observe_port:
        commands[PROMETHEUS] = prometheus_command(info.observe_port, info.metrics_port, layout.observe)
        exporter = (str(worker_python(layout)), "-m", "jobs.cli.main", "exporter", "--kafka", info.bootstrap_servers)
        commands[EXPORTER] = [*exporter, "--metrics-port", "0"]
    for number in range(1, info.taskmanagers + 1):
        name = f"{TASKMANAGER}-{number}"
        # A stable id: a restarted TaskManager replaces its predecessor at once, without waiting for heartbeats.
        own = ("-D", f"taskmanager.resource-id={name}", "-D", f"metrics.reporter.push.jobName={name}")
        commands[name] = [*_flink_java(layout, java, name, tm_jvm, runner), *tm_dynamic, *own]
    return commands
