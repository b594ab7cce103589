"""The files of `sql/` and the deployment's statements in the order in which they are run."""

from __future__ import annotations

from pathlib import Path

from jobs.pipeline.config import Deployment
from jobs.pipeline.sql_deployment import sink_statements, source_statements
from jobs.pipeline.sql_script import Statement, read_script

_TABLES = ("01_settings.sql", "02_functions.sql", "10_sources.sql", "11_logs.sql")
_INTERACTIVE = "15_interactive.sql"  # before the views: in batch mode a view of an unbounded table is refused
_RESULTS = "18_results.sql"
_PIPELINE = ("19_repeats.sql", "20_views.sql", "30_summaries.sql")
_INSERTS = "40_inserts.sql"


def question_statements(folder: Path, deployment: Deployment) -> list[Statement]:
    """A session in which queries read what is there now, and end."""
    return [
        *_files(folder, *_TABLES),
        *_generated(source_statements(deployment)),
        *_files(folder, _INTERACTIVE, _RESULTS),
    ]


def pipeline_statements(folder: Path, deployment: Deployment) -> list[Statement]:
    """A session that follows the topics, with all that the summaries are made of."""
    return [
        *_files(folder, *_TABLES),
        *_generated(source_statements(deployment)),
        *_files(folder, _RESULTS, *_PIPELINE),
        *_generated(sink_statements(deployment)),
    ]


def insert_statements(folder: Path) -> list[Statement]:
    return _files(folder, _INSERTS)


def as_script(statements: list[Statement]) -> str:
    """For the stock client's `-i`."""
    return "".join(f"{statement.text};\n\n" for statement in statements)


def _files(folder: Path, *names: str) -> list[Statement]:
    return [statement for name in names for statement in read_script(folder / name)]


def _generated(texts: list[str]) -> list[Statement]:
    return [Statement(text, "deployment", number) for number, text in enumerate(texts, start=1)]
