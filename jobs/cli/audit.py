"""`meridian audit`: check that every reading is accounted for exactly once."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from jobs.broker.markers import UndeliveredRecords, send_end_markers
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, CliError, info, print_json
from jobs.cli.deployment import deployment_option, read_deployment

_MARKER_PAUSE_S = 3.0


@click.command(
    epilog="""\b
Examples:
  meridian audit --config demo.yaml                                  what is in the topics now
  meridian audit --config demo.yaml --ledger run.parquet --wait 120  let the job catch up first
  meridian audit --config demo.yaml --close --wait 60 --json         close all windows, then look

\b
Exit codes: 0 nothing lost, doubled or in a wrong class; 1 otherwise; 3 the topics cannot be read.
"""
)
@deployment_option
@click.option(
    "--ledger",
    "ledger_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ledger of `meridian generate`; repeat it for several runs into the same topic.",
)
@click.option("--close", "close_windows", is_flag=True, help="Send end markers first, so that all old windows close.")
@click.option("--wait", "wait_s", type=click.FloatRange(0), default=0.0, help="Seconds to let the job catch up.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def audit(config_file: Path, ledger_files: tuple[Path, ...], close_windows: bool, wait_s: float, as_json: bool) -> None:
    """Check every raw offset's class and every window against the topics, read_committed."""
    from jobs.audit.topics import AuditImpossible, Auditor

    deployment = read_deployment(config_file)
    shown: list[str] = []

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)
            shown.append(text)

    try:
        if close_windows:
            # Twice: with periodic watermarks the first round may still be waiting for the next record to pass it on.
            send_end_markers(deployment)
            time.sleep(_MARKER_PAUSE_S)
            send_end_markers(deployment)
        auditor = Auditor(deployment, deployment.rules(config_file.parent), progress)
        try:
            report = auditor.run(ledger_files, wait_s)
        finally:
            auditor.close()
    except (AuditImpossible, UndeliveredRecords) as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, "is the stack up, and do the topics exist?") from None
    if shown:
        click.echo("\r\x1b[K", nl=False, err=True)
    if as_json:
        print_json(report.to_dict())
    else:
        show(report)
    if not report.ok:
        raise SystemExit(EXIT_FAILED)


def show(report: object) -> None:
    """Print the report as tables."""
    from jobs.audit.report import Report

    assert isinstance(report, Report)
    console = Console()
    if not console.is_terminal:
        console.width = 120
    classes = Table("raw", "aligned", "duplicates", "invalid", "shed", "control", title="every raw record, by class")
    figures = (report.raw, report.aligned, report.duplicates, report.invalid, report.shed, report.control)
    classes.add_row(*(f"{n:,}" for n in figures))
    console.print(classes)
    windows = Table("stream/window", title="every aligned reading, by window definition", box=SIMPLE_HEAD)
    for name in ("aligned", "windowed", "late", "open", "lost", "windows", "wrong", "partly late", "recomputed"):
        windows.add_column(name, justify="right")
    for d in report.definitions:
        row = (
            d.aligned,
            d.windowed,
            d.late,
            d.open,
            d.lost,
            d.windows,
            d.wrong_windows,
            d.partly_late_pairs,
            d.recomputed,
        )
        windows.add_row(f"{d.stream}/{d.definition}", *(f"{n:,}" for n in row))
    console.print(windows)
    if report.bridges:
        bridges = Table("bridge", title="every reading that a bridge took, where it sheds load", box=SIMPLE_HEAD)
        for name in ("received", "raw", "shed", "cold", "unconfirmed", "lost", "wrong"):
            bridges.add_column(name, justify="right")
        for b in report.bridges:
            figures = (b.received, b.raw, b.shed, b.cold, b.unconfirmed, b.lost, b.wrong)
            bridges.add_row(b.bridge, *(f"{n:,}" for n in figures))
        console.print(bridges)
        for b in report.bridges:
            reasons = ", ".join(f"{name} {count:,}" for name, count in b.shed_by_reason.items())
            console.print(f"shed by {b.bridge}: {reasons or 'nothing'}", highlight=False)
    if report.invalid_by_reason:
        reasons = ", ".join(f"{name} {count:,}" for name, count in report.invalid_by_reason.items())
        console.print(f"invalid: {reasons}", highlight=False)
    for line in report.problems:
        console.print(line, style="yellow", markup=False, highlight=False)
    verdict = f"{report.lost:,} lost, {report.doubled:,} doubled, {report.wrong_class:,} in a wrong class"
    if report.ledger_rows:
        verdict += f"; compared with {report.ledger_rows:,} ledger rows"
    console.print(verdict, style="bold green" if report.ok else "bold red", highlight=False)
    if report.open:
        info(f"{report.open:,} readings are in windows that are not due yet; --close sends end markers")
    if report.open_transactions:
        info(f"{report.open_transactions} partitions hold an open transaction: the next checkpoint will add records")
