"""`meridian sql`: questions to the topics of a deployment, in the stock SQL client or one at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.table import Table

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, info
from jobs.cli.deployment import deployment_option
from jobs.cli.outputs import read_current
from jobs.cli.preconditions import PACKAGES
from jobs.cli.project import PROJECT_ROOT, flink_home
from jobs.cli.stack import Endpoints, flink_client_env, load_endpoints
from jobs.cluster.package import build_package
from jobs.pipeline.config import Deployment
from jobs.pipeline.sql_files import as_script, pipeline_statements, question_statements
from jobs.pipeline.sql_script import Statement

SQL = PROJECT_ROOT / "sql"


@click.command(
    epilog="""\b
Examples:
  meridian sql --config demo.yaml                                  the SQL client, with everything registered
  meridian sql --config demo.yaml -e "SELECT COUNT(*) FROM aligned"
  meridian sql --config demo.yaml -f sql/queries/01_silent_stations.sql --json
  meridian sql --config demo.yaml --streaming -e "SELECT * FROM summaries_hourly"
  meridian sql --config demo.yaml --print-init > init.sql          for `sql-client.sh -i init.sql`
  meridian sql --config demo.yaml --print-init --json              … as a list of statements
"""
)
@deployment_option
@click.option("-e", "--execute", "query", metavar="SQL", help="Run these statements and print the rows.")
@click.option(
    "-f", "--file", "query_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="… of this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; rows of --streaming one a line.")
@click.option("--streaming", is_flag=True, help="Follow the topics instead of reading what is there now.")
@click.option("--print-init", is_flag=True, help="Print the script that registers everything, and stop.")
def sql(
    config_file: Path, query: str | None, query_file: Path | None, as_json: bool, streaming: bool, print_init: bool
) -> None:
    """Ask the topics of a deployment in SQL."""
    deployment = read_current(config_file)
    if query and query_file:
        raise CliError("-e and -f exclude each other", EXIT_USAGE)
    if as_json and not (query or query_file or print_init):
        raise CliError("--json needs a query", EXIT_USAGE, "give one with -e or -f")
    statements = init_statements(deployment, streaming)
    script = as_script(statements)
    if print_init:
        click.echo(json.dumps([statement.text for statement in statements]) if as_json else script)
        return
    endpoints = load_endpoints()
    code = build_package(PROJECT_ROOT, config_file, deployment, PACKAGES).code
    is_interactive = query is None and query_file is None
    require_jars(flink_client_env(endpoints), is_interactive)
    if is_interactive:
        sys.exit(_open_client(endpoints, script, code))
    question = query if query is not None else query_file.read_text(encoding="utf-8") if query_file else ""
    rows = ask(endpoints, [script, question], code)
    if streaming:
        for change in rows:
            click.echo(json.dumps(change, ensure_ascii=False) if as_json else _change_line(change))
    else:
        _show([change["row"] for change in rows], as_json)


def init_statements(deployment: Deployment, streaming: bool) -> list[Statement]:
    """What a session of this deployment begins with; it may hold secrets."""
    return (pipeline_statements if streaming else question_statements)(SQL, deployment)


def require_jars(environment: Mapping[str, str], is_interactive: bool) -> None:
    """Refuse, in one line, to start a client that lacks a jar: it would fail with a class that nobody knows."""
    wanted = [("FLINK_LIB_DIR", "flink-sql-connector-kafka")]
    if is_interactive:
        wanted += [("FLINK_OPT_DIR", "flink-sql-client"), ("FLINK_OPT_DIR", "flink-sql-gateway")]
    missing = [name for folder, name in wanted if not any(Path(environment[folder]).glob(f"{name}-*.jar"))]
    if missing:
        hint = "start the stack anew: `meridian down` and `meridian up`"
        raise CliError(f"the SQL client lacks {', '.join(missing)}", EXIT_ENVIRONMENT, hint)


def ask(endpoints: Endpoints, scripts: Sequence[str], code: Path) -> Iterator[dict[str, Any]]:
    """Run scripts in a session of their own; the rows of the last one, each with its kind, as they come.

    Raises
    ------
    CliError : a statement is refused or fails, in one line.
    """
    address = urlsplit(endpoints.rest_url)
    settings = {
        "execution.target": "remote",
        "rest.address": address.hostname,
        "rest.port": address.port,
        "python.files": code,
    }
    home = flink_home()
    environment = {**flink_client_env(endpoints), "PYTHONPATH": str(PROJECT_ROOT), "FLINK_HOME": str(home)}
    with _files(scripts) as files:
        command = [
            environment["PYFLINK_CLIENT_EXECUTABLE"],
            str(PROJECT_ROOT / "jobs" / "query_sql.py"),
            *(f"--set={key}={value}" for key, value in settings.items()),
            *map(str, files),
        ]
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith('{"kind"'):
                    yield json.loads(line)
            if process.wait() != 0:
                errors.seek(0)
                raise CliError(_reason(errors.read()), EXIT_FAILED)


def _reason(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    told = [line.removeprefix("sql: ") for line in lines if line.startswith("sql: ")]
    return (told or lines[-1:] or ["the query ended without a word"])[-1]


def _open_client(endpoints: Endpoints, script: str, code: Path) -> int:
    info("tables: SHOW TABLES; views: SHOW VIEWS; functions: SHOW USER FUNCTIONS; leave with QUIT")
    with _files([script]) as (init,):
        command = [str(flink_home() / "bin" / "sql-client.sh"), "-i", init.as_uri(), "-pyfs", str(code)]
        return subprocess.run(command, env=flink_client_env(endpoints), check=False).returncode


@contextmanager
def _files(texts: Sequence[str]) -> Iterator[list[Path]]:
    """The texts as files that only this user can read."""
    with tempfile.TemporaryDirectory(prefix="meridian-sql-") as folder:
        files = [Path(folder) / name for name in ("init.sql", "query.sql")[: len(texts)]]
        for file, text in zip(files, texts, strict=True):
            file.touch(mode=0o600)
            file.write_text(text, encoding="utf-8")
        yield files


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        json.dump(rows, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write(os.linesep)
        return
    table = Table(*(rows[0] if rows else ["(no rows)"]))
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _change_line(change: dict[str, Any]) -> str:
    return "  ".join([change["kind"], *(_cell(value) for value in change["row"].values())])
