"""Interactive `meridian sql`, the SQL gateway as docs/sql.md has it, and clients that lack a jar."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from jobs.cli.project import PROJECT_ROOT, flink_home
from jobs.cli.stack import flink_client_env, load_endpoints
from tests.integration.support import Stack, create_topic, meridian, wait_for, write_deployment

pytestmark = pytest.mark.extended

MERIDIAN = [sys.executable, "-m", "jobs.cli.main"]


@pytest.fixture(scope="module")
def deployment(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = write_deployment(tmp_path_factory.mktemp("clients") / "d.yaml", "sql-clients")
    create_topic(stack, "sql-clients.aligned")
    return file


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(
            [*MERIDIAN, *arguments],
            cwd=PROJECT_ROOT,
            env={**os.environ, "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def type(self, line: str) -> None:
        os.write(self._ours, line.encode() + b"\n")

    def read_until(self, text: str, timeout_s: float) -> str:
        """What is printed from now on until a text comes."""
        seen, deadline = "", time.monotonic() + timeout_s
        while text not in seen:
            ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"not within {timeout_s} s: {text!r} in {seen!r}"
            try:
                seen += os.read(self._ours, 65_536).decode(errors="replace")
            except OSError:  # how a terminal ends
                raise AssertionError(f"exit {self.process.wait(10)} before {text!r}: {seen[-2_000:]}") from None
        return seen

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        os.close(self._ours)


def test_a_person_at_a_terminal_asks_and_leaves(deployment: Path) -> None:
    terminal = Terminal("sql", "--config", str(deployment))
    try:
        terminal.read_until("Flink SQL>", 120)
        terminal.type("SHOW VIEWS;")
        assert "window_results" in terminal.read_until("rows in set", 60)
        terminal.type("SELECT COUNT(*) AS readings FROM aligned;")
        answer = terminal.read_until("1 row in set", 120)
        assert re.search(r"\|\s+readings \|.*\|\s+0 \|", answer, re.DOTALL), answer
        terminal.type("SELECT nonsense FROM aligned;")
        assert "Column 'nonsense' not found" in terminal.read_until("not found in any table", 60)
        terminal.type("QUIT;")
        assert terminal.process.wait(60) == 0
    finally:
        terminal.close()


def test_a_question_of_one_statement_is_answered_in_json(deployment: Path) -> None:
    asked = meridian("sql", "--config", deployment, "-e", "SELECT COUNT(*) AS readings FROM aligned", "--json")
    assert json.loads(asked.stdout) == [{"readings": 0}]


@pytest.mark.parametrize(
    ("folder", "jar", "arguments"),
    [
        ("opt", "flink-sql-gateway", ()),
        ("lib", "flink-sql-connector-kafka", ()),
        ("lib", "flink-sql-connector-kafka", ("-e", "SELECT COUNT(*) FROM aligned")),
    ],
)
def test_a_client_that_lacks_a_jar_says_so_in_one_line(
    folder: str, jar: str, arguments: tuple[str, ...], deployment: Path, stack: Stack
) -> None:
    (link,) = Path(flink_client_env(load_endpoints(stack.folder))[f"FLINK_{folder.upper()}_DIR"]).glob(f"{jar}-*.jar")
    hidden = link.rename(link.with_suffix(".hidden"))
    try:
        result = meridian("sql", "--config", deployment, *arguments, check=False)
    finally:
        hidden.rename(link)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.splitlines()[0] == f"error: the SQL client lacks {jar}"


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the page's requests need curl and jq")
def test_the_gateway_answers_the_requests_of_the_page(deployment: Path, stack: Stack, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = (PROJECT_ROOT / "docs" / "sql.md").read_text(encoding="utf-8").split("## Over REST")[1]
    start, questions = (block.replace("8083", str(port)) for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    environment = flink_client_env(load_endpoints(stack.folder))
    environment["PATH"] = f"{flink_home() / 'bin'}:{environment['PATH']}"
    with (tmp_path / "gateway.log").open("w") as log:
        gateway = subprocess.Popen(["bash", "-c", f"exec {start}"], env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(port), 90, f"the gateway listens; {(tmp_path / 'gateway.log').read_text()[-500:]}")
        script = questions.replace("scripts/meridian", shlex.join(MERIDIAN)).replace("my.yaml", str(deployment))
        asked = ["bash", "-euo", "pipefail", "-c", script]
        result = subprocess.run(asked, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=400, check=False)
    finally:
        gateway.terminate()
        gateway.wait(30)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = result.stdout.splitlines()
    assert {'["aligned"]', '["window_results"]', '["newest_stations"]'} <= set(rows)
    assert "[0]" in rows
    assert rows[-1] == '{"status":"CLOSED"}'


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/v1/info", timeout=5).ok
    except requests.RequestException:
        return False
