"""A group of commands that are imported only when they are used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import click

Commands = Mapping[str, tuple[str, str]]
"""name: ("module:function", one line for --help, here so that --help imports no command)"""


class LazyGroup(click.Group):
    """A table of commands. A line whose module is not installed is left out of `--help`."""

    def __init__(self, *args: Any, table: Commands, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (target, _) in self._table.items() if _is_installed(target.partition(":")[0])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return None
        module, _, function = self._table[cmd_name][0].partition(":")
        if not _is_installed(module):
            return None
        command = getattr(importlib.import_module(module), function)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{function} is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._table[name][1]) for name in self.list_commands(ctx)])


def _is_installed(module: str) -> bool:
    """A command may be listed before its module exists, or be left out of a slimmer package."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
