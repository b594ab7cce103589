"""The client's command is runnable as it is shown, and its failures are one telling line."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cluster.client import FlinkClient, last_cause, shell_line
from jobs.cluster.package import Package
from jobs.cluster.rest import ClusterError

JOB = "ab" * 16


def client(tmp_path: Path, script: str = "", **environment: str) -> FlinkClient:
    flink = tmp_path / "bin" / "flink"
    flink.parent.mkdir(exist_ok=True)
    flink.write_text(f"#!/bin/sh\n{script}\n")
    flink.chmod(0o755)
    return FlinkClient(tmp_path, {"PATH": "/usr/bin:/bin", **environment})


def test_a_shown_command_does_in_a_plain_shell_what_it_does_here(tmp_path: Path) -> None:
    script = "import os, sys; print(sys.argv[1:], os.environ['FLINK_CONF_DIR'], os.environ['KAFKA'])"
    command = [sys.executable, "-c", script, "a b", "it's $HOME"]
    line = shell_line(command, {"FLINK_CONF_DIR": "/x y/conf", "KAFKA": "$h;`ls`"})
    shown = subprocess.run(["/bin/sh", "-c", line], env={}, capture_output=True, text=True, check=True).stdout
    assert shown == """['a b', "it's $HOME"] /x y/conf $h;`ls`\n"""


def test_what_a_command_needs_is_flinks_variables_and_the_deployments(tmp_path: Path) -> None:
    flinks = {"FLINK_CONF_DIR": "/c", "JAVA_HOME": "/j", "PYFLINK_CLIENT_EXECUTABLE": "/p"}
    needed = client(tmp_path, **flinks, HOME="/root", JAVA_HOME_17="/o", KAFKA_PASSWORD="s3cret").needs({"KAFKA": "k"})
    assert needed == {**flinks, "KAFKA": "k"}


def test_the_command_names_the_distributions_client_and_the_package(tmp_path: Path) -> None:
    command = client(tmp_path).command(Package(Path("/p")), 3, None)
    assert command[:2] == [str(tmp_path / "bin" / "flink"), "run"] and "/p/deployment.yaml" in shlex.join(command)


def test_a_submission_gives_the_id_of_the_job(tmp_path: Path) -> None:
    flink = client(tmp_path, f"echo Job has been submitted with JobID {JOB}")
    assert flink.run(flink.command(Package(Path("/p")), 1, None)) == JOB


@pytest.mark.parametrize("script", ["echo 'Caused by: no slots' >&2; exit 1", "echo 'Caused by: no slots'"])
def test_a_submission_without_a_job_fails_with_its_cause(tmp_path: Path, script: str) -> None:
    flink = client(tmp_path, script)
    with pytest.raises(ClusterError, match="flink run failed: no slots"):
        flink.run(flink.command(Package(Path("/p")), 1, None))


def test_the_last_cause_of_a_trace_is_the_telling_line() -> None:
    trace = "java.lang.A: x\n\tat a.b\nCaused by: B: y\n\tat c.d\nCaused by: C: z\n\t... 12 more\n"
    assert last_cause(trace) == "C: z"
    assert last_cause("Traceback\n  File x\nValueError: bad\n") == "ValueError: bad"
    assert last_cause("") == "no output"
