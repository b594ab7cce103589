"""Entry script of the grid job: `flink run -py jobs/join_sources.py -pyfs … -- --config grid.yaml`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment

from jobs.pipeline.grid_file import load_grid_deployment
from jobs.pipeline.grid_topology import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="grid file (YAML)")
    arguments = parser.parse_args()
    deployment = load_grid_deployment(arguments.config)
    env = StreamExecutionEnvironment.get_execution_environment()
    build(env, deployment, arguments.config.parent)
    env.execute(f"meridian-{deployment.name}")


if __name__ == "__main__":
    main()
