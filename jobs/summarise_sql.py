"""Entry script of the summaries: `flink run -py jobs/summarise_sql.py -pyfs … --sql sql --config deployment.yaml`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from jobs.pipeline.deployment_file import load_deployment
from jobs.pipeline.sql_files import insert_statements, pipeline_statements
from jobs.pipeline.sql_session import SqlProblem, SqlSession


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="deployment file (YAML)")
    parser.add_argument("--sql", type=Path, required=True, help="folder of the SQL files")
    arguments = parser.parse_args()
    deployment = load_deployment(arguments.config)
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(deployment.parallelism)
    session = SqlSession(StreamTableEnvironment.create(env))
    try:
        for statement in [*pipeline_statements(arguments.sql, deployment), *insert_statements(arguments.sql)]:
            session.run(statement)
    except SqlProblem as problem:
        raise SystemExit(f"jobs.summarise_sql: {problem}") from None
    env.execute(f"meridian-{deployment.name}-summaries")


if __name__ == "__main__":
    main()
