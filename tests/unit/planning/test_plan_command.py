"""`meridian plan` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from jobs.cli.plan import plan

DEMO = Path(__file__).resolve().parents[3] / "flink-conf" / "deployments" / "demo.yaml"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(plan, list(map(str, arguments)))


def test_each_line_shows_formula_numbers_and_source() -> None:
    shown = run("--sensors", 1000, "--period", "10 s", "--window", "15 min/5 min").stdout
    for text in ("= sensors x metrics / period", "= 1,000 x 1 / 10 s", "docs/scaling.md", "window 15min-5min"):
        assert text in shown


def test_a_file_is_overridden_by_options_and_checked_by_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text("sensors: 8000\nperiod: 10 s\nstate: {size: 322 MB, lifetime: 10 min}\n")
    unfit = run("--input", file, "--check", DEMO, "--json")
    assert unfit.exit_code == 1
    answer = json.loads(unfit.stdout)
    assert [finding.split(" = ")[0] for finding in answer["findings"]] == ["execution.checkpointing.interval"]
    assert answer["plan"]["rate"]["value"] == 800
    assert run("--input", file, "--sensors", 100, "--json").stdout != unfit.stdout


def test_wrong_input_is_one_line_with_key_and_value(tmp_path: Path) -> None:
    result = run("--sensors", 10, "--period", "10")
    assert result.exit_code == 2
    assert "period = '10': a duration is a whole number and a unit" in result.output
