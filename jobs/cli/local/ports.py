"""Ports on the loopback interface: who has one, and which one is free."""

from __future__ import annotations

import socket

import psutil

from jobs.cli.console import EXIT_ENVIRONMENT, CliError

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on the port, as Java does it: connections in TIME_WAIT do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def owner(port: int) -> str | None:
    """`name (pid)` of the process that listens on the port, None where the system does not tell."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.pid and tuple(connection.laddr)[1:] == (port,):
            try:
                return f"{psutil.Process(connection.pid).name()} ({connection.pid})"
            except psutil.NoSuchProcess:
                return None
    return None


def require_free(port: int, purpose: str, option: str) -> None:
    """Raise the error that says which port is taken, by whom, and what to change."""
    if is_free(port):
        return
    taken_by = owner(port)
    raise CliError(
        f"port {port} for {purpose} is taken" + (f" by {taken_by}" if taken_by else ""),
        EXIT_ENVIRONMENT,
        f"stop that process, or choose another port with {option}",
    )


def first_free(start: int, avoid: set[int]) -> int:
    """First free port from `start` on.

    Counted upwards from a fixed port rather than given by the system, because those come from the range that outgoing
    connections use, and a restarted process would not find its own port free again.
    """
    for port in range(start, start + 500):
        if port not in avoid and is_free(port):
            return port
    raise CliError(f"no free port between {start} and {start + 500}", EXIT_ENVIRONMENT)
