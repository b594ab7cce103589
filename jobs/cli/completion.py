"""`meridian completion`: the script that a shell evaluates once to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash:  eval "$(meridian completion bash)"
    zsh:   eval "$(meridian completion zsh)"
    fish:  meridian completion fish | source
    """
    from jobs.cli.main import cli

    completer = get_completion_class(shell)
    assert completer is not None, f"click has no completion for {shell}"
    click.echo(completer(cli, {}, "meridian", "_MERIDIAN_COMPLETE").source())
