"""A secured stack, from outside: each role can do its work and nothing else, and no secret is where others may look.

A stack of its own (`meridian up --secure`), one job, a minute and a half.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml

from jobs.broker.acls import Role
from jobs.cli.local.ports import first_free
from jobs.cli.local.secure import SecureFiles, variables
from jobs.cli.project import FLINK_CONF, STATE_DIR
from jobs.cluster.rest import ClusterError, FlinkRest
from tests.integration.support import meridian, wait_for

READINGS = 20_000
CONFIG = FLINK_CONF / "deployments" / "secure.yaml"


@dataclass
class Secured:
    """A running stack, its secrets, and the argument lists of all processes that came by while it ran."""

    folder: Path
    files: SecureFiles
    url: str
    seen: set[str] = field(default_factory=set, repr=False)

    def as_role(self, role: Role, *arguments: str | Path, check: bool = True) -> Any:
        os.environ["MERIDIAN_KAFKA_LOGIN"] = str(self.files.login(role))
        return meridian(*arguments, "--config", CONFIG, check=check)

    def refused(self, role: Role, *arguments: str | Path) -> str:
        """What the command says that a role may not run: one line, and perhaps a hint."""
        result = self.as_role(role, *arguments, check=False)
        assert result.returncode == 3, result
        # Lines with a % are librdkafka's own.
        lines = [line for line in result.stderr.splitlines() if not line.startswith(("hint:", "%"))]
        assert len(lines) == 1, lines
        return lines[0]

    def secrets(self) -> dict[str, bytes]:
        """By name. Of keys, their second line, which no two keys share."""
        found = {"store password": self.files.store_password.encode()}
        for role in Role:
            found[f"login of {role}"] = self.files.login(role).read_text().rpartition("password=")[2].strip().encode()
        for name in (self.files.broker, Path(self.files.rest.key)):
            found[name.name] = name.read_bytes().splitlines()[1]
        return found

    @property
    def rest(self) -> FlinkRest:
        return FlinkRest(self.url)


@contextmanager
def watched(seen: set[str]) -> Iterator[None]:
    """Note the arguments of all processes that come by."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            for process in psutil.process_iter():
                try:
                    seen.add("\0".join(process.cmdline()))
                except psutil.Error:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    kafka, rest = first_free(31092, set()), first_free(30081, set())
    files = SecureFiles(folder / "secure")
    stack = Secured(folder, files, f"https://127.0.0.1:{rest}")
    with pytest.MonkeyPatch.context() as environment, watched(stack.seen):
        environment.setenv("MERIDIAN_STACK_DIR", str(folder))
        environment.setenv("MERIDIAN_KAFKA", f"127.0.0.1:{kafka}")
        for name, value in variables(files).items():
            environment.setenv(name, value)
        try:
            ports = ["--kafka-port", str(kafka), "--rest-port", str(rest)]
            meridian("up", "--secure", *ports, "--taskmanagers", "1")
            stack.as_role(Role.ADMIN, "acls", "--apply")
            yield stack
        finally:
            meridian("down", "--wipe", check=False)


@pytest.fixture(scope="module")
def job(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A job of the deployment that has worked and committed."""
    secured.as_role(Role.ADMIN, "topics", "create")
    job_id = json.loads(secured.as_role(Role.READER, "submit", "--json").stdout)["job_id"]
    ledger = tmp_path_factory.mktemp("ledger")
    secured.as_role(Role.PRODUCER, "generate", "--readings", str(READINGS), "--ledger", ledger / "ledger.parquet")
    yield job_id
    secured.as_role(Role.READER, "cancel", check=False)


def test_each_role_does_its_work_with_its_own_rights(secured: Secured, job: str) -> None:
    report = json.loads(secured.as_role(Role.READER, "audit", "--wait", "120", "--json").stdout)
    assert report["raw"] >= READINGS
    assert (report["lost"], report["doubled"], report["wrong_class"]) == (0, 0, 0)


def test_who_lacks_a_right_is_refused_in_one_line(secured: Secured, job: str) -> None:
    assert "uthorization failed" in secured.refused(Role.PRODUCER, "acls", "--apply")
    assert "uthorization failed" in secured.refused(Role.READER, "topics", "delete", "--yes")
    assert "uthorization failed" in secured.refused(Role.READER, "generate", "--readings", "10")
    assert "secure.aligned" in secured.refused(Role.PRODUCER, "audit")


def test_no_secret_is_where_others_may_look(secured: Secured, job: str) -> None:
    savepoint = secured.as_role(Role.READER, "savepoint").stdout.strip()
    wait_for(lambda: secured.rest.completed_checkpoints(job) > 1, 60, "a checkpoint")
    places = {
        "processes": [text.encode() for text in secured.seen],
        "REST": list(answers(secured, job)),
        "files of the stack": contents(secured.folder, secured.files.folder, secured.folder / "flink" / "conf"),
        "packages": contents(STATE_DIR / "packages"),
        "savepoint": contents(Path(savepoint.removeprefix("file://").removeprefix("file:"))),
    }
    for place, texts in places.items():
        held = b"\n".join(texts)
        # What the search does find: a reference, and what each place is full of.
        expected = {"processes": b"--config", "packages": b"login_file"}.get(place, b"secure")
        assert expected in held, f"nothing was searched in {place}"
        found = [name for name, secret in secured.secrets().items() if secret in held]
        assert not found, f"{found} in {place}"
    reference = str(secured.files.login(Role.JOB)).encode()
    assert reference in b"\n".join(places["files of the stack"]), "no reference travels"


def contents(folder: Path, *left_out: Path) -> list[bytes]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and not any(path.is_relative_to(other) for other in left_out):
            try:
                found.append(path.read_bytes())
            except OSError:  # a file of a process at work
                continue
    return found


def answers(secured: Secured, job: str) -> Iterator[bytes]:
    """All that the REST API says of cluster, job and TaskManagers, logs included."""
    rest, tls = secured.rest, secured.files.rest.options()
    vertices = [vertex["id"] for vertex in rest.get(f"/jobs/{job}")["vertices"]]
    managers = [manager["id"] for manager in rest.get("/taskmanagers")["taskmanagers"]]
    logs = [f"/jobmanager/logs/{log['name']}" for log in rest.get("/jobmanager/logs")["logs"]]
    of_job = ("", "/config", "/plan", "/exceptions", "/checkpoints", "/checkpoints/config", "/accumulators", "/metrics")
    paths: Iterable[str] = (
        *("/config", "/overview", "/jobmanager/config", "/jobmanager/environment", "/jobmanager/log", "/jobs/overview"),
        *(f"/jobs/{job}{path}" for path in (*of_job, "/jobmanager/config", "/jobmanager/environment")),
        *(f"/jobs/{job}/vertices/{vertex}{path}" for vertex in vertices for path in ("", "/accumulators")),
        *(f"/taskmanagers/{manager}{path}" for manager in managers for path in ("", "/log", "/logs", "/thread-dump")),
        *logs,
    )
    for path in paths:
        answer = requests.get(f"{secured.url}{path}", timeout=30, **tls)
        if answer.ok:
            yield answer.content


def test_a_client_without_certificate_learns_nothing_from_flink(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in secured.files.rest.variables():
        monkeypatch.delenv(name)
    with pytest.raises(ClusterError, match="TLS"):
        secured.rest.jobs()
    monkeypatch.setenv("MERIDIAN_FLINK_CA", str(secured.files.authority))
    with pytest.raises(ClusterError):
        secured.rest.jobs()


def test_flink_takes_no_jars_and_has_no_button_that_cancels(secured: Secured) -> None:
    tls = secured.files.rest.options()
    features = secured.rest.get("/config")["features"]
    assert (features["web-submit"], features["web-cancel"]) == (False, False)
    assert requests.get(f"{secured.url}/jars", timeout=30, **tls).status_code == 404
    jar = {"jarfile": ("x.jar", b"PK", "application/x-java-archive")}
    assert not requests.post(f"{secured.url}/jars/upload", files=jar, timeout=30, **tls).ok


def test_other_sites_may_not_read_answers(secured: Secured) -> None:
    headers = {"Origin": "https://elsewhere.example"}
    answer = requests.get(f"{secured.url}/overview", headers=headers, timeout=30, **secured.files.rest.options())
    assert answer.headers.get("Access-Control-Allow-Origin") not in ("*", headers["Origin"])


def test_a_wrong_password_is_said(secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = tmp_path / "login.properties"
    login.write_text("username=meridian-reader\npassword=no\n")
    monkeypatch.setenv("MERIDIAN_KAFKA_LOGIN", str(login))
    result = meridian("topics", "list", "--config", CONFIG, check=False)
    assert result.returncode == 3
    assert "uthentication" in result.stderr and len(result.stderr.splitlines()) <= 2, result.stderr


def test_the_deployment_holds_no_secret_itself() -> None:
    security = yaml.safe_load(CONFIG.read_text())["kafka"]["security"]
    assert security.keys() == {"ca_file", "mechanism", "login_file"}
