"""Runs SQL scripts on a cluster and prints each row as a line of JSON: what `meridian sql -e` starts."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment

from jobs.pipeline.sql_errors import telling_line
from jobs.pipeline.sql_rows import json_value
from jobs.pipeline.sql_script import Statement, read_script
from jobs.pipeline.sql_session import SqlProblem, SqlSession

RUNTIME_MODE = "execution.runtime-mode"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", metavar="KEY=VALUE", dest="settings", action="append", default=[])
    parser.add_argument("scripts", type=Path, nargs="+", help="definitions and, last, what is asked")
    arguments = parser.parse_args()
    statements = [statement for script in arguments.scripts for statement in read_script(script)]
    configuration = Configuration()
    for setting in arguments.settings:
        configuration.set_string(*setting.split("=", 1))
    for statement in statements:  # the mode is fixed when the environment is made
        if statement.setting is not None and statement.setting[0] == RUNTIME_MODE:
            configuration.set_string(*statement.setting)
    settings = EnvironmentSettings.new_instance().with_configuration(configuration).build()
    session = SqlSession(TableEnvironment.create(settings))
    try:
        for statement in statements:
            print_rows(session, statement, is_asked=statement.file == arguments.scripts[-1].name)
    except SqlProblem as problem:
        sys.exit(f"sql: {problem}")
    except Exception as error:  # of a running query: whatever a connector or a function raised
        sys.exit(f"sql: {telling_line(str(error))}")


def print_rows(session: SqlSession, statement: Statement, *, is_asked: bool) -> None:
    """A line for each row, with its kind (`+I`, `-U`, `+U`, `-D`); an insert is waited for and has none."""
    result = session.run(statement)
    if result is None or not is_asked:
        return
    if statement.text.upper().startswith("INSERT"):
        result.wait()
        return
    names = result.get_table_schema().get_field_names()
    with result.collect() as rows:
        for row in rows:
            values = {name: json_value(value) for name, value in zip(names, row, strict=True)}
            line = {"kind": str(row.get_row_kind()), "row": values, "statement": statement.where}
            print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
