"""Where the checkout and the engine's files are, whatever the current directory is."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from jobs.cli.console import EXIT_ENVIRONMENT, CliError

PROJECT_ROOT: Final = Path(__file__).resolve().parents[2]
FLINK_CONF: Final = PROJECT_ROOT / "flink-conf"
STATE_DIR: Final = PROJECT_ROOT / ".meridian"


def flink_home() -> Path:
    """The Flink distribution inside the apache-flink package, found without importing pyflink (which takes a second).

    Raises
    ------
    CliError: the package is not installed.
    """
    spec = find_spec("pyflink")
    if spec is None or not spec.submodule_search_locations:
        raise CliError("the apache-flink package is not installed", EXIT_ENVIRONMENT, "run scripts/bootstrap")
    return Path(spec.submodule_search_locations[0])
