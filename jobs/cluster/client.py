"""Flink's command line client: submitting a package, and asking a package for its manifest."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.cluster.package import Package
from jobs.cluster.rest import ClusterError
from jobs.pipeline.manifest import Manifest

_NEEDED = re.compile("FLINK_|PYFLINK_|JAVA_HOME$")


@dataclass(frozen=True)
class FlinkClient:
    """The client of the distribution in `home`, run in a whole `environment`."""

    home: Path
    environment: Mapping[str, str]

    def command(self, package: Package, parallelism: int, savepoint: str | None) -> list[str]:
        return [str(self.home / "bin" / "flink"), *package.arguments(parallelism, savepoint)]

    def needs(self, further: Mapping[str, str]) -> dict[str, str]:
        """What a shell has to set for the command, with `further` variables of the deployment."""
        return {name: value for name, value in self.environment.items() if _NEEDED.match(name)} | dict(further)

    def run(self, command: list[str]) -> str:
        """Run `flink run --detached`; the id of the job.

        Raises
        ------
        ClusterError : the submission failed; the cluster may have the job all the same.
        """
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        output = result.stdout + result.stderr
        submitted = re.search(r"JobID ([0-9a-f]{32})", output)
        if result.returncode != 0 or submitted is None:
            raise ClusterError(f"flink run failed: {last_cause(output)}")
        return submitted[1]

    def plan(self, package: Package) -> Manifest:
        """Ask the package's own code, in a process of its own: its plan decides the uids.

        Raises
        ------
        ClusterError : the package cannot be planned.
        """
        python = self.environment["PYFLINK_CLIENT_EXECUTABLE"]
        command = [python, str(package.entry), "--config", str(package.deployment_file), "--manifest"]
        # With FLINK_HOME set, PyFlink leaves the folders of the stack alone and so finds the connectors there.
        environment = {**self.environment, "PYTHONPATH": str(package.code), "FLINK_HOME": str(self.home)}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ClusterError(f"the new version cannot be planned: {last_cause(result.stderr)}")
        return Manifest.parse(result.stdout.strip().splitlines()[-1])


def shell_line(command: list[str], variables: Mapping[str, str]) -> str:
    """A command with its environment as a person pastes it into a shell."""
    settings = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return " ".join([*settings, shlex.join(command)])


def last_cause(output: str) -> str:
    """The most telling line of a Java or Python stack trace."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith(("\tat ", "\t..."))]
    causes = [line for line in lines if line.startswith(("Caused by:", "jobs.", "ValueError"))] or lines[-1:]
    return causes[-1].removeprefix("Caused by: ")[:500] if causes else "no output"
