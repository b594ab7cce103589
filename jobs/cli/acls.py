"""`meridian acls`: the least that each role must be allowed on the broker, shown or set."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from jobs.broker.acls import Role, apply_acls, bindings, principals, wanted_rights
from jobs.broker.clients import make_admin
from jobs.cli.console import print_json, success
from jobs.cli.deployment import deployment_option, parse_deployment, read_deployment
from jobs.cli.topics import broker


@click.command(
    epilog="\b\nExamples:\n  meridian acls --config CONFIG\n"
    "  MERIDIAN_KAFKA_LOGIN=admin.properties meridian acls --config CONFIG --apply\n"
    "  meridian acls --config CONFIG --principal producer User:gateway --apply"
)
@deployment_option
@click.option(
    "--principal", "chosen", multiple=True, type=(click.Choice([str(role) for role in Role]), str),
    metavar="ROLE PRINCIPAL", help="Who has a role.  [default: User:meridian-ROLE]",
)  # fmt: skip
@click.option("--apply", "wants_apply", is_flag=True, help="Set them; rights that are there already stay.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def acls(config_file: Path, chosen: tuple[tuple[str, str], ...], wants_apply: bool, as_json: bool) -> None:
    """Show or set the rights of producer, job, reader and admin for a deployment (docs/security.md)."""
    deployment = read_deployment(config_file) if wants_apply else parse_deployment(config_file)
    rights, who = wanted_rights(deployment), principals({Role(role): name for role, name in chosen})
    if wants_apply:
        with broker():
            apply_acls(make_admin(deployment), bindings(rights, who))
    if as_json:
        print_json([{**right._asdict(), "principal": who[right.role]} for right in rights])
        return
    table = Table("principal", "resource", "name", "operations", "for")
    for right in rights:
        name = right.name + ("*" if right.is_prefix else "")
        table.add_row(who[right.role], right.resource, name, ", ".join(right.operations), right.why)
    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    if wants_apply:
        success(f"{sum(len(right.operations) for right in rights)} rights set")
