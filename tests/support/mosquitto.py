"""A real Mosquitto for tests, run as the local stack runs it."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

from jobs.cli.console import CliError
from jobs.cli.local.mosquitto import find_mosquitto, mosquitto_command
from jobs.cli.local.ports import HOST, first_free


def _is_missing() -> bool:
    try:
        find_mosquitto()
    except CliError:
        return True
    return False


needs_mosquitto = pytest.mark.skipif(_is_missing(), reason="no Mosquitto; `scripts/bootstrap --mqtt` brings it")


def find_passwd() -> str:
    """The program that writes password files: the system's, or the one that was unpacked beside the broker."""
    return shutil.which("mosquitto_passwd") or str(find_mosquitto().with_name("mosquitto_passwd"))


class Mosquitto:
    """A broker in a folder of its own, which it keeps over restarts."""

    def __init__(self, folder: Path, further: Iterable[str] = (), without: Collection[str] = ()) -> None:
        self.port = first_free(36_883, set())
        self._command = mosquitto_command(self.port, folder, further)
        config = folder / "mosquitto.conf"
        lines = config.read_text().splitlines(keepends=True)
        config.write_text("".join(line for line in lines if line.strip() not in without))
        self._log = (folder / "mosquitto.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
                return self
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"Mosquitto does not start: see {self._log.name}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """In an orderly way: it saves its sessions."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
        self._process = None

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
