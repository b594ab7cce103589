"""`meridian join` lists all of its commands, and refuses a bad file before it asks any cluster."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from jobs.cli.main import cli

EXAMPLE = Path(__file__).resolve().parents[3] / "flink-conf" / "deployments" / "demo-grid.yaml"


def test_help_has_every_command_with_a_line() -> None:
    shown = CliRunner().invoke(cli, ["join", "--help"]).output
    for name in (
        "audit",
        "cancel",
        "check",
        "clocks",
        "pairs",
        "reprocess",
        "schema",
        "submit",
        "topics",
        "validate-day",
    ):
        assert f"\n  {name} " in shown


def test_a_bad_file_ends_with_2_and_the_key(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(EXAMPLE.read_text().replace("period: 15 min", "period: soon"))
    for command in (["check", str(bad)], ["submit", "--config", str(bad)]):
        result = CliRunner().invoke(cli, ["join", *command])
        assert result.exit_code == 2
        assert "grids.1.period = 'soon'" in result.output + result.stderr


def test_a_suffix_that_is_no_part_of_a_topics_name_is_refused() -> None:
    result = CliRunner().invoke(cli, ["join", "reprocess", "--config", str(EXAMPLE), "--suffix", "V 2"])
    assert result.exit_code == 2 and "'V 2' is no name" in result.output + result.stderr


def test_the_schema_names_the_methods() -> None:
    assert "circular_linear" in CliRunner().invoke(cli, ["join", "schema"]).output
