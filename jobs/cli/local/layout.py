"""Folders of one local stack, and names for them that Flink's shell scripts can live with."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.cli.console import EXIT_ENVIRONMENT, CliError

MEMBER_VARIABLE: Final = "MERIDIAN_STACK_MEMBER"
"""Environment variable of every process of a stack, Python workers included: how `down` finds what is left."""

_SOCKET_PATH_LIMIT: Final = 90
"""Unix socket paths end at 108 bytes, and supervisord binds a longer temporary name first."""

_SHARED_TMP: Final = Path("/tmp")

_MIN_FREE_BYTES: Final = 2 * 1024**3


@dataclass(frozen=True)
class StackLayout:
    """Where the files of the stack in `root` are."""

    root: Path

    @property
    def info_file(self) -> Path:
        return self.root / "stack.json"

    @property
    def lock_file(self) -> Path:
        return self.root / ".lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def kafka(self) -> Path:
        return self.root / "kafka"

    @property
    def kafka_data(self) -> Path:
        return self.root / "kafka" / "data"

    @property
    def mosquitto(self) -> Path:
        return self.root / "mosquitto"

    @property
    def observe(self) -> Path:
        return self.root / "observe"

    @property
    def zookeeper(self) -> Path:
        return self.root / "zookeeper"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def savepoints(self) -> Path:
        return self.root / "savepoints"

    @property
    def secure(self) -> Path:
        return self.root / "secure"

    @property
    def supervisor_conf(self) -> Path:
        return self.root / "supervisord.conf"

    @property
    def runtime(self) -> Path:
        """A short folder without spaces under the system's temporary one, for what does not fit elsewhere.

        Not under TMPDIR where that can be avoided: `down` in another shell has to find the same folder.
        """
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:10]
        base = _SHARED_TMP if os.access(_SHARED_TMP, os.W_OK) else Path(tempfile.gettempdir())
        return base / f"meridian-{os.getuid()}-{digest}"

    @property
    def socket(self) -> Path:
        preferred = self.root / "supervisor.sock"
        return preferred if len(os.fsencode(preferred)) <= _SOCKET_PATH_LIMIT else self.runtime / "supervisor.sock"

    @property
    def flink(self) -> Path:
        """Rendered `conf`, `lib`, `opt`, `plugins` and `tmp` of the cluster, under a name without spaces."""
        return self.plain(self.root) / "flink"

    def plain(self, path: Path) -> Path:
        """A name of `path` without white space: Flink's scripts do not quote FLINK_LIB_DIR nor the interpreter."""
        if not any(character.isspace() for character in str(path)):
            return path
        return self.runtime / hashlib.sha256(str(path).encode()).hexdigest()[:10]

    def create(self, *aliased: Path) -> None:
        """Make the folders, and a link for every folder whose name needs a plain one.

        Raises
        ------
        CliError: the folder cannot be written, belongs to somebody else, or its disk is nearly full.
        """
        try:
            for folder in (self.root, self.logs, self.kafka, self.checkpoints, self.savepoints):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CliError(f"cannot create {self.root}: {error.strerror}", EXIT_ENVIRONMENT, "choose --dir") from None
        needs_runtime = self.socket.parent == self.runtime or any(self.plain(path) != path for path in aliased)
        if needs_runtime:
            self._create_runtime()
        for path in aliased:
            link = self.plain(path)
            if link != path and not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(path)

    def _create_runtime(self) -> None:
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        if self.runtime.is_symlink() or self.runtime.stat().st_uid != os.getuid():
            raise CliError(f"{self.runtime} belongs to another user", EXIT_ENVIRONMENT, "choose another --dir")

    def check_disk(self) -> None:
        """Refuse to start on a nearly full disk: a broker that runs out of space stops in the middle of a write."""
        existing = next(folder for folder in (self.root, *self.root.parents) if folder.exists())
        free = shutil.disk_usage(existing).free
        if free < _MIN_FREE_BYTES:
            raise CliError(
                f"only {free / 1024**3:.1f} GiB free in {existing}, the stack needs {_MIN_FREE_BYTES // 1024**3} GiB",
                EXIT_ENVIRONMENT,
                "free some space, or choose another folder with --dir",
            )

    def remove_runtime(self) -> None:
        """Links and socket only; `up` makes them again."""
        shutil.rmtree(self.runtime, ignore_errors=True)

    def wipe(self) -> None:
        """Delete topics, checkpoints, savepoints and logs; only folders of ours, whatever --dir says."""
        for folder in (
            self.kafka,
            self.mosquitto,
            self.observe,
            self.zookeeper,
            self.secure,
            self.checkpoints,
            self.savepoints,
            self.logs,
            self.root / "flink",
            self.root / "jvm",
        ):
            shutil.rmtree(folder, ignore_errors=True)


def default_root() -> Path:
    """MERIDIAN_STACK_DIR, or a folder of the checkout, so that every directory of a shell sees the same stack."""
    from jobs.cli.project import STATE_DIR

    configured = os.environ.get("MERIDIAN_STACK_DIR")
    return Path(configured).expanduser().absolute() if configured else STATE_DIR / "stack"
