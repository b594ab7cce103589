"""Entry script of the summaries: `flink run -py jobs/summarise_sql.py -pyfs … --sql sql --config deployment.yaml`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import Schema, StreamTableEnvironment

from jobs.pipeline.deployment_file import load_deployment
from jobs.pipeline.sql_files import insert_statements, pipeline_statements
from jobs.pipeline.sql_session import SqlProblem, SqlSession

_STATE_TTL = "table.exec.state.ttl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="deployment file (YAML)")
    parser.add_argument("--sql", type=Path, required=True, help="folder of the SQL files")
    arguments = parser.parse_args()
    deployment = load_deployment(arguments.config)
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(deployment.parallelism)
    tables = StreamTableEnvironment.create(env)
    session = SqlSession(tables)
    try:
        for statement in pipeline_statements(arguments.sql, deployment):
            session.run(statement)
        plan_apart(tables, "unique_aligned", deployment.dedup.ttl)
        plan_apart(tables, "readings")  # once for both statement sets: the joins are most of the work
        for statement in insert_statements(arguments.sql):
            session.run(statement)
    except SqlProblem as problem:
        raise SystemExit(f"jobs.summarise_sql: {problem}") from None
    env.execute(f"meridian-{deployment.name}-summaries")


def plan_apart(tables: StreamTableEnvironment, view: str, state_ttl_ms: int = 0) -> None:
    """Plan a view under a state TTL of its own; all that is planned later takes the rows of this one plan."""
    settings = tables.get_config()
    settings.set(_STATE_TTL, f"{state_ttl_ms} ms")
    rows = tables.to_data_stream(tables.from_path(view))
    settings.set(_STATE_TTL, "0 ms")
    watermarks_of_the_stream = Schema.new_builder().watermark("event_time", "SOURCE_WATERMARK()").build()
    tables.create_temporary_view(view, rows, watermarks_of_the_stream)  # hides the one of SQL


if __name__ == "__main__":
    main()
