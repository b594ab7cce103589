"""ZooKeeper as an optional part of the local stack, for a JobManager that goes on with its jobs when it was killed.

Flink's distribution holds the server beside its client, so nothing has to be fetched. One server is enough to try high
availability out; production runs three, or Flink on Kubernetes, which needs none.

Source: https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/deployment/ha/zookeeper_ha/
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from jobs.cli.local.ports import HOST

_MAIN: Final = "org.apache.flink.shaded.zookeeper3.org.apache.zookeeper.server.ZooKeeperServerMain"


def zookeeper_command(port: int, folder: Path, java: Path, classpath: str, log4j: Path, log_file: Path) -> list[str]:
    """Write the server's configuration into a folder and give the command line.

    Parameters
    ----------
    folder
        Also of its data: which jobs run, and where their checkpoints are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "dataDir": folder / "data",
        "clientPort": port,
        "clientPortAddress": HOST,
        "tickTime": 2_000,
        "maxClientCnxns": 0,
        "admin.enableServer": "false",  # an HTTP server on all interfaces
    }
    config = folder / "zoo.cfg"
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
    # fmt: off
    return [
        str(java), "-Xmx128m", "-Dconsole.log.level=OFF", f"-Dlog.file={log_file}",
        f"-Dlog4j.configurationFile=file:{log4j}", "-classpath", classpath, _MAIN, str(config),
    ]
    # fmt: on


def ha_config(port: int, storage: str) -> dict[str, str]:
    """Flink's settings for it.

    Parameters
    ----------
    storage
        URI of a folder for what is too large for ZooKeeper.
    """
    return {
        "high-availability.type": "zookeeper",
        "high-availability.zookeeper.quorum": f"{HOST}:{port}",
        "high-availability.storageDir": storage,
        "high-availability.cluster-id": "/meridian",
    }
