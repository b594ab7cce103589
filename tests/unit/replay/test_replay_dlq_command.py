"""What is wrong with a command line is said before any topic is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.cli.replay_dlq import replay_dlq

DEMO = Path(__file__).parents[3] / "flink-conf" / "deployments" / "demo.yaml"


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(replay_dlq, [*arguments, "--config", str(DEMO)])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("send", "--reason", "rainy"), "rainy"),
        (("send", "--at", "here"), "is no place"),
        (("send", "--from", "yesterday"), "is no time"),
        (("late", "--definition", "weather/7min"), "there is no weather/7min"),
        (("history", "here"), "is no place"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: tuple[str, ...], says: str) -> None:
    code, output = run(*arguments)
    assert code == 2 and says in output


def test_wrong_edits_are_refused_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "edits.yaml"
    file.write_text("rules:\n- sett: {unit: degC}\n- zone: Europe/Atlantis\n")
    code, output = run("send", "--edit", str(file))
    assert code == 2 and "rules.0.sett" in output and "rules.1.zone" in output


def test_help_lists_all_commands() -> None:
    output = CliRunner().invoke(replay_dlq, ["--help"]).output
    assert all(name in output for name in ("list", "send", "history", "late"))
