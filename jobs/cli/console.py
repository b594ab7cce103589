"""What every command says and how it fails: one place, so that output and exit codes stay the same everywhere."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any, Final

import click

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
"""A check or an expectation failed: the command ran, and its answer is no."""
EXIT_USAGE: Final = 2
"""Wrong usage or configuration: running it again unchanged cannot help."""
EXIT_ENVIRONMENT: Final = 3
"""The stack or the machine is not available (not up, port taken, disk full, download failed)."""


class CliError(click.ClickException):
    """An expected failure, shown as one line and, where there is something to do about it, a second one with the hint.

    Parameters
    ----------
    message: what went wrong, in one line, without a trailing full stop.
    exit_code: one of the EXIT_ codes above.
    hint: what the user can do, as an imperative.
    """

    def __init__(self, message: str, exit_code: int = EXIT_FAILED, hint: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares a class attribute
        self.hint = hint

    def show(self, file: Any = None) -> None:
        if debug_enabled():
            traceback.print_exception(self)
        click.secho(f"error: {self.message}", fg="red", err=True)
        if self.hint:
            click.echo(f"hint:  {self.hint}", err=True)


def debug_enabled() -> bool:
    """Whether tracebacks are wanted; an environment variable so that child commands inherit it."""
    return os.environ.get("MERIDIAN_DEBUG", "") not in ("", "0")


def enable_debug() -> None:
    os.environ["MERIDIAN_DEBUG"] = "1"


def info(message: str) -> None:
    """Progress goes to stderr: stdout belongs to results, so that `--json` output can be piped."""
    click.echo(message, err=True)


def success(message: str) -> None:
    click.secho(message, fg="green", err=True)


def warn(message: str) -> None:
    click.secho(f"warning: {message}", fg="yellow", err=True)


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, sort_keys=True, default=str)
    sys.stdout.write("\n")
