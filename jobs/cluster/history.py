"""The jobs that were submitted from this checkout: name, package and manifest, for later upgrades and ways back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from jobs.cluster.package import Package


@dataclass(frozen=True)
class Submission:
    """One submitted job; the manifest is that of its package, as text, and None where it could not be had."""

    job_id: str
    name: str
    package_folder: str
    manifest: str | None

    @property
    def package(self) -> Package | None:
        """None: deleted since."""
        package = Package(Path(self.package_folder))
        return package if package.deployment_file.exists() else None


class History:
    """One JSON file a job, in `jobs` beside the packages."""

    def __init__(self, packages: Path) -> None:
        self._folder = packages / "jobs"

    def remember(self, submission: Submission) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(submission), indent=2) + "\n"
        (self._folder / f"{submission.job_id}.json").write_text(text)

    def find(self, job: str) -> Submission | None:
        """The job of that id, or the only one whose id begins so."""
        found = [self._read(path) for path in self._folder.glob(f"{job}*.json")] if job else []
        return found[0] if len(found) == 1 else None

    def of_name(self, name: str) -> list[Submission]:
        return [s for s in map(self._read, self._folder.glob("*.json")) if s.name == name]

    def _read(self, path: Path) -> Submission:
        return Submission(**json.loads(path.read_text()))
