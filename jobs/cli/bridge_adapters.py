"""`meridian bridge adapters`: which adapters are installed, and what each maps."""

from __future__ import annotations

import inspect

import click

from jobs.bridge.feed import UnknownAdapter, adapter_class, adapter_names
from jobs.cli.console import EXIT_USAGE, CliError, print_json


@click.command(
    epilog="""\b
Examples:
  meridian bridge adapters
  meridian bridge adapters tasmota
  meridian bridge adapters tasmota --schema > options.schema.json
"""
)
@click.argument("name", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the options of adapter NAME.")
def adapters(name: str | None, schema: bool) -> None:
    """List the adapters, or show what adapter NAME maps and which options it takes."""
    if name is None:
        for known in adapter_names():
            click.echo(f"{known:<20} {_head(known).partition(chr(10))[0]}")
        return
    try:
        found = adapter_class(name)
    except UnknownAdapter as error:
        raise CliError(str(error), EXIT_USAGE) from None
    if schema:
        print_json(found.options_type.model_json_schema())
        return
    click.echo(_head(name))
    click.echo("\nOptions:")
    for option, field in found.options_type.model_fields.items():
        click.echo(f"  {option:<16} {field.description or ''}".rstrip())


def _head(name: str) -> str:
    """The docstring of an adapter's file: its table of what maps to what."""
    try:
        module = inspect.getmodule(adapter_class(name))
    except UnknownAdapter as error:
        return str(error)
    return inspect.cleandoc(module.__doc__ or "") if module else ""
