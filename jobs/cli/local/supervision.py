"""Keeping the stack's processes alive with supervisord, and ending all of them for certain."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import psutil

from jobs.cli.console import EXIT_ENVIRONMENT, CliError
from jobs.cli.local.layout import MEMBER_VARIABLE, StackLayout

_START_ORDER: Final = {"metrics": 10, "broker": 20, "jobmanager": 30}
"""supervisord starts from the lowest and stops from the highest: the broker outlives its clients."""

HEALTHY: Final = frozenset({"RUNNING", "STARTING"})


@dataclass(frozen=True)
class ProcessState:
    """One process as supervisord sees it."""

    name: str
    state: str
    pid: int | None
    uptime_s: int


def supervisor_config(layout: StackLayout, commands: Mapping[str, list[str]]) -> str:
    """supervisord's configuration file; percent signs are its own interpolation and have to be doubled."""

    def quoted(value: object) -> str:
        return str(value).replace("%", "%%")

    parts = [
        f"""\
; Rendered by `meridian up`; changes here are overwritten.
[unix_http_server]
file={quoted(layout.socket)}
chmod=0700

[supervisord]
logfile={quoted(layout.logs / "supervisord.log")}
logfile_maxbytes=5MB
logfile_backups=1
pidfile={quoted(layout.root / "supervisord.pid")}
directory={quoted(layout.root)}
identifier=meridian

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    ]
    for name, command in commands.items():
        parts.append(
            f"""
[program:{name}]
command={quoted(shlex.join(command))}
priority={_START_ORDER.get(name.rstrip("-0123456789"), 40)}
autorestart=true
startsecs=2
startretries=30
stopsignal=TERM
stopwaitsecs=20
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={quoted(layout.logs / name)}.out
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=1
"""
        )
    return "".join(parts)


class Supervisor:
    """The supervisord of one stack, spoken to over its unix socket."""

    def __init__(self, layout: StackLayout) -> None:
        self._layout = layout

    def is_running(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self._layout.socket))
            except OSError:
                return False
        return True

    def start(self, commands: Mapping[str, list[str]], env: Mapping[str, str]) -> None:
        """Write the configuration and start supervisord, which starts the processes; returns before they are ready."""
        self._layout.supervisor_conf.write_text(supervisor_config(self._layout, commands), encoding="utf-8")
        self._layout.socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._layout.supervisor_conf)]
        with (self._layout.logs / "supervisord.out").open("wb") as output:
            # A session of its own, so that Ctrl-C in the terminal of `up` does not reach the stack.
            code = subprocess.run(
                command, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            ).returncode
        deadline = time.monotonic() + 15
        while code == 0 and not self.is_running():
            if time.monotonic() > deadline:
                code = -1
            time.sleep(0.05)
        if code != 0:
            raise CliError("supervisord did not start", EXIT_ENVIRONMENT, f"see {self._layout.logs}/supervisord.log")

    def states(self) -> list[ProcessState]:
        return [
            ProcessState(
                name=str(entry["name"]),
                state=str(entry["statename"]),
                pid=int(entry["pid"]) or None,
                uptime_s=max(0, int(entry["now"]) - int(entry["start"])) if entry["pid"] else 0,
            )
            for entry in self._call("getAllProcessInfo")
        ]

    def start_missing(self) -> list[str]:
        """Start what has stopped or given up; returns the names."""
        # BACKOFF is a restart on its way: supervisord refuses a second one.
        missing = [state.name for state in self.states() if state.state not in HEALTHY | {"BACKOFF", "STOPPING"}]
        for name in missing:
            self._call("startProcess", name, False)
        return missing

    def shutdown(self, timeout_s: float = 60) -> None:
        """Stop all processes in order and supervisord itself."""
        with suppress(OSError, xmlrpc.client.Error):
            self._call("shutdown")
        deadline = time.monotonic() + timeout_s
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _call(self, method: str, *arguments: object) -> Any:
        from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

        # The address is a formality of the protocol: the transport goes through the socket.
        transport = SupervisorTransport(None, None, f"unix://{self._layout.socket}")
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        return getattr(proxy.supervisor, method)(*arguments)


def members(layout: StackLayout) -> Iterator[psutil.Process]:
    """Processes that carry the mark of this stack, except the ones this command runs in."""
    own = {process.pid for process in psutil.Process().parents()} | {os.getpid()}
    for process in psutil.process_iter():
        if process.pid in own:
            continue
        with suppress(psutil.Error, OSError):
            if process.environ().get(MEMBER_VARIABLE) == str(layout.root):
                yield process


def sweep(layout: StackLayout) -> int:
    """End every process of the stack that is still there, gently first; returns how many there were."""
    left = list(members(layout))
    for process in left:
        with suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=5)
    for process in stubborn:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5)
    return len(left)
