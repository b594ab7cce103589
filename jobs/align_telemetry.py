"""Entry script of the align job: `flink run -py jobs/align_telemetry.py -pyfs … -- --config deployment.yaml`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment

from jobs.pipeline.deployment_file import load_deployment
from jobs.pipeline.topology import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="deployment file (YAML)")
    parser.add_argument("--manifest", action="store_true", help="print what the job would say of itself, and stop")
    arguments = parser.parse_args()
    deployment = load_deployment(arguments.config)
    env = StreamExecutionEnvironment.get_execution_environment()
    manifest = build(env, deployment, arguments.config.parent)
    if arguments.manifest:
        print(manifest.dump())
        return
    env.execute(f"meridian-{deployment.name}")


if __name__ == "__main__":
    main()
