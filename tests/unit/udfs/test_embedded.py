"""One interpreter for all jobs of a TaskManager: each must get the code that it was submitted with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from jobs.cli.project import PROJECT_ROOT as ROOT
from jobs.pipeline.deployment_file import load_deployment
from udfs.flink.embedded import Embedded, code_digest, embedded
from udfs.flink.shards import DeduplicateAndWindow
from udfs.rules import pack_rules, unpack_rules

DEMO = ROOT / "flink-conf" / "deployments" / "demo.yaml"
# A TaskManager's interpreter: it knows PyFlink, and none of our folders until a job puts its own in front.
TASKMANAGER = """
import sys
sys.path[:] = [entry for entry in sys.path if entry not in ("", {root!r})]
from pyflink.fn_execution import pickle

def open_job(folder, payload):
    sys.path.insert(0, folder)
    function = pickle.loads(payload)
    module = function.__class__.open.__globals__["load"](function._digest, "udfs.version")
    return module

"""


def package(folder: Path, version: str) -> str:
    (folder / "udfs").mkdir(parents=True)
    (folder / "udfs" / "__init__.py").touch()
    code = f"VERSION = {version!r}\n\n\ndef version() -> str:\n    return VERSION\n"
    (folder / "udfs" / "version.py").write_text(code)
    return code_digest(folder / "udfs")


def in_taskmanager(script: str) -> str:
    script = TASKMANAGER.format(root=str(ROOT)) + script
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def submitted(digest: str) -> bytes:
    """What travels, as PyFlink pickles it; it must not need our modules to be read."""
    import cloudpickle  # noqa: TID251 - as PyFlink does

    wrapped = embedded(DeduplicateAndWindow, b"", "raw")
    return bytes(cloudpickle.dumps(Embedded(wrapped._operator, b"", "raw", digest)))


def test_a_job_gets_its_own_code_whatever_ran_before_and_the_other_keeps_its_own(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    first, second = submitted(package(old, "1")), submitted(package(new, "2"))
    script = f"""
first = open_job({str(old)!r}, {first!r})
second = open_job({str(new)!r}, {second!r})
again = open_job({str(old)!r}, {first!r})
print(first.version(), second.version(), again.version(), first is again)
"""
    assert in_taskmanager(script) == "1 2 1 False\n"


def test_subtasks_of_one_job_share_its_modules(tmp_path: Path) -> None:
    job = submitted(package(tmp_path / "a", "1"))
    script = f"print(open_job({str(tmp_path / 'a')!r}, {job!r}) is open_job({str(tmp_path / 'a')!r}, {job!r}))"
    assert in_taskmanager(script) == "True\n"


def test_code_that_is_not_there_is_an_error_and_not_another_jobs_code(tmp_path: Path) -> None:
    package(tmp_path / "a", "1")
    script = f"""
try:
    open_job({str(tmp_path / "a")!r}, {submitted("0" * 64)!r})
except ImportError as error:
    print(error)
"""
    assert "the code that the job was submitted with is not on the path" in in_taskmanager(script)


def test_folders_of_jobs_that_ended_do_not_pile_up(tmp_path: Path) -> None:
    job = submitted(package(tmp_path / "a", "1"))
    script = f"""
sys.path[:0] = [{str(tmp_path / "gone")!r}] * 3
open_job({str(tmp_path / "a")!r}, {job!r})
print([entry for entry in sys.path if entry.startswith({str(tmp_path)!r})])
"""
    assert in_taskmanager(script) == f"[{str(tmp_path / 'a')!r}]\n"


def test_a_change_in_any_file_is_another_digest(tmp_path: Path) -> None:
    first = package(tmp_path / "a", "1")
    assert package(tmp_path / "b", "1") == first
    (tmp_path / "b" / "udfs" / "more.py").touch()
    assert code_digest(tmp_path / "b" / "udfs") != first


def test_rules_travel_without_pickle() -> None:
    rules = load_deployment(DEMO).rules(DEMO.parent)
    assert unpack_rules(pack_rules(rules)) == rules
    with pytest.raises(msgspec.DecodeError):
        unpack_rules(pack_rules(rules)[:-1])
