"""Mosquitto as an optional part of the local stack: found, not installed, and run with flink-conf/mosquitto.conf."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from jobs.cli.console import EXIT_ENVIRONMENT, CliError
from jobs.cli.local.ports import HOST
from jobs.cli.project import FLINK_CONF, STATE_DIR

MOSQUITTO_VARIABLE: Final = "MERIDIAN_MOSQUITTO"
_FOLDERS: Final = f"/usr/local/sbin:/usr/sbin:/opt/homebrew/sbin:{STATE_DIR / 'mosquitto'}"
_REPLACED: Final = ("listener", "persistence_location")


def find_mosquitto() -> Path:
    """The broker's executable: of the environment variable MERIDIAN_MOSQUITTO, the system, or `scripts/bootstrap`.

    Raises
    ------
    CliError: there is none; the hint says how to get it, also without root.
    """
    configured = os.environ.get(MOSQUITTO_VARIABLE)
    wanted = configured or "mosquitto"
    found = shutil.which(wanted) or shutil.which(wanted, path=_FOLDERS)
    if found is None:
        raise CliError(
            f"{wanted} not found",
            EXIT_ENVIRONMENT,
            f"run `scripts/bootstrap --mqtt`, or set {MOSQUITTO_VARIABLE} to its path",
        )
    return Path(found)


def mosquitto_config(port: int, data: Path, further: Iterable[str] = ()) -> str:
    """The project's settings with the port and the folder of one stack.

    Parameters
    ----------
    further : lines that belong to the listener, such as `certfile …`.
    """
    base = (FLINK_CONF / "mosquitto.conf").read_text(encoding="utf-8")
    # Started by root, it would become the user `mosquitto`, who cannot write here.
    user = ["user root"] if os.geteuid() == 0 else []
    kept = [line for line in base.splitlines() if line and not line.startswith(("#", *_REPLACED))]
    lines = [*kept, *user, f"persistence_location {data}/", f"listener {port} {HOST}", *further]
    return "\n".join(lines) + "\n"


def mosquitto_command(port: int, folder: Path, further: Iterable[str] = ()) -> list[str]:
    """Write the configuration into a folder and give the command line; the broker logs to standard error."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    config = folder / "mosquitto.conf"
    config.write_text(mosquitto_config(port, data, further), encoding="utf-8")
    return [str(find_mosquitto()), "-c", str(config)]
