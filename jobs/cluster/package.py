"""The package that is submitted: code, entry script and deployment, kept so that an upgrade can go back to it."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from jobs.pipeline.config import Deployment
from jobs.pipeline.grid_config import GridDeployment

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same code gives the same zip, byte for byte
_ENTRY = "jobs/align_telemetry.py"
_SHIPPED = {".py", ".avsc", ".binpb", ".geojson"}
_NOT_SHIPPED = {"__pycache__", "cli"}


@dataclass(frozen=True)
class Package:
    """A folder with all that `flink run` needs."""

    folder: Path

    @property
    def code(self) -> Path:
        return self.folder / "code.zip"

    @property
    def entry(self) -> Path:
        return self.folder / "align_telemetry.py"

    @property
    def deployment_file(self) -> Path:
        return self.folder / "deployment.yaml"

    def arguments(self, parallelism: int, savepoint: str | None) -> list[str]:
        """Arguments of `flink`, ready to be shown and run."""
        restore = ["-s", savepoint] if savepoint else []
        return [
            "run",
            "--detached",
            *restore,
            "--parallelism",
            str(parallelism),
            "--python",
            str(self.entry),
            "--pyFiles",
            str(self.code),
            "--config",
            str(self.deployment_file),
        ]


def build_package(root: Path, deployment_file: Path, deployment: Deployment | GridDeployment, folder: Path) -> Package:
    """Pack the checkout at `root` and a validated deployment into `folder/<digest>`; done once per content."""
    files = sorted(
        path
        for top in ("jobs", "udfs")
        for path in (root / top).rglob("*")
        if path.suffix in _SHIPPED and not _NOT_SHIPPED & set(path.relative_to(root).parts)
    )
    digest = hashlib.sha256(deployment_file.read_bytes())
    schemas = deployment.schemas.packaged(deployment_file.parent) if isinstance(deployment, Deployment) else {}
    for name, schema in sorted(schemas.items()):
        digest.update(name.encode() + b"\0" + schema)
    for path in files:
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    package = Package(folder / f"{deployment.name}-{digest.hexdigest()[:16]}")
    if package.deployment_file.exists():
        return package
    package.folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(package.code, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            info = zipfile.ZipInfo(str(path.relative_to(root)), _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, path.read_bytes())
    shutil.copy(root / _ENTRY, package.entry)
    for name, schema in schemas.items():
        (package.folder / name).write_bytes(schema)
    # Last, since its presence marks a whole package.
    shutil.copy(deployment_file, package.deployment_file)
    return package
