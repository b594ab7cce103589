"""What the SQL files say twice agrees, with each other and with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs import __version__
from jobs.broker.summary_topics import summary_topic_specs
from jobs.cli.project import PROJECT_ROOT
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import load_deployment
from jobs.pipeline.sql_deployment import sink_statements, source_statements, summary_topics
from jobs.pipeline.sql_files import as_script, insert_statements, pipeline_statements, question_statements
from jobs.pipeline.sql_script import read_script, split_statements

SQL = PROJECT_ROOT / "sql"
TABLE = re.compile(r"CREATE TABLE (\w+)")


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.delenv("MERIDIAN_KAFKA", raising=False)
    return load_deployment(PROJECT_ROOT / "flink-conf" / "deployments" / "demo.yaml")


def text_of(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


def options(text: str) -> dict[str, dict[str, str]]:
    """The options of each CREATE TABLE … WITH and ALTER TABLE … SET, later ones on top; LIKE takes the other's."""
    found: dict[str, dict[str, str]] = {}
    for statement in split_statements(text):
        match = re.match(r"(?:CREATE|ALTER) TABLE (\w+)", statement.text)
        if match is None or " MODIFY " in statement.text:
            continue
        like = re.search(r"LIKE (\w+)", statement.text)
        pairs = re.findall(r"'([\w.-]+)' = '([^']*)'", statement.text)
        found[match[1]] = {**found.get(match[1], {}), **(found[like[1]] if like else {}), **dict(pairs)}
    return found


def test_the_files_hold_the_values_of_the_demo(demo: Deployment) -> None:
    """So the stock client and `meridian` see the same tables there."""
    files = "".join(text_of(name) for name in ("10_sources.sql", "11_logs.sql", "30_summaries.sql"))
    altered = files + "".join(f"{s};\n" for s in [*source_statements(demo), *sink_statements(demo)])
    before, after = options(files), options(altered)
    assert {t: o for t, o in after.items() if o != before[t]} == {}


def test_every_kafka_table_gets_the_deployments_servers(demo: Deployment) -> None:
    tables = set(TABLE.findall("".join(text_of(f) for f in ("10_sources.sql", "11_logs.sql", "30_summaries.sql"))))
    altered = {s.split()[2] for s in [*source_statements(demo), *sink_statements(demo)] if "bootstrap.servers" in s}
    assert altered == tables


def test_transactional_ids_differ(demo: Deployment) -> None:
    ids = re.findall(r"'sink.transactional-id-prefix' = '([^']+)'", "\n".join(sink_statements(demo)))
    assert len(ids) == len(set(ids)) == 8


def test_the_allowed_lateness_is_the_engines() -> None:
    hours = re.search(r"'table.exec.emit.allow-lateness' = '(\d+) h'", text_of("01_settings.sql"))
    milliseconds = re.search(r"allowed_lateness_ms AS CAST\((\d+) AS BIGINT\)", text_of("10_sources.sql"))
    assert hours and milliseconds
    assert int(hours[1]) * 3_600_000 == int(milliseconds[1])


def test_the_two_summaries_views_differ_in_their_windows_only() -> None:
    views = {s.text.split()[2]: s.text for s in read_script(SQL / "20_views.sql")}
    bodies = [
        re.sub(r"FROM \(\s*SELECT \* FROM \w+_sums.*?\)\s*\)", "FROM (…))", views[name], flags=re.DOTALL).split(
            " AS", 1
        )[1]
        for name in ("revised_summaries", "final_summaries")
    ]
    assert bodies[0] == bodies[1]


def test_late_summaries_name_the_jobs_version() -> None:
    assert set(re.findall(r"'([\d.]+)' AS job_version", text_of("20_views.sql"))) == {__version__}


def test_every_insert_has_a_sink_and_every_sink_an_insert() -> None:
    inserted = [re.match(r"INSERT INTO (\w+)", i) for s in insert_statements(SQL) for i in s.inserts]
    assert sorted(m[1] for m in inserted if m) == sorted(TABLE.findall(text_of("30_summaries.sql")))


def test_every_file_belongs_to_a_session(demo: Deployment) -> None:
    used = {s.file for s in [*question_statements(SQL, demo), *pipeline_statements(SQL, demo), *insert_statements(SQL)]}
    assert used - {"deployment"} == {file.name for file in SQL.glob("*.sql")}


def test_a_script_is_read_as_it_was_written(demo: Deployment) -> None:
    statements = pipeline_statements(SQL, demo)
    assert [s.text for s in split_statements(as_script(statements))] == [s.text for s in statements]


def test_reference_topics_keep_versions_as_long_as_readings(demo: Deployment) -> None:
    specs = {spec.role: spec for spec in summary_topic_specs(demo)}
    assert specs.keys() == summary_topics(demo).keys()
    for role in ("stations", "limits"):
        assert specs[role].partitions == 1
        assert specs[role].configs["min.compaction.lag.ms"] == str(demo.topics.aligned.retention)
    assert specs["summaries_hourly"].configs["cleanup.policy"] == "compact,delete"


def test_quotes_in_a_servers_name_stay_inside_their_literal(demo: Deployment, tmp_path: Path) -> None:
    kafka = demo.kafka.model_copy(update={"properties": {"client.id": "user='o''brien'"}})
    statement = source_statements(demo.model_copy(update={"kafka": kafka}))[-1]
    assert "'properties.client.id' = 'user=''o''''brien'''" in statement
    assert len(list(split_statements(statement))) == 1


@pytest.mark.parametrize("query", sorted((SQL / "queries").glob("*.sql")), ids=lambda path: path.stem)
def test_a_query_is_on_the_page(query: Path) -> None:
    """The page shows each file as it is."""
    page = (PROJECT_ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
    assert query.read_text(encoding="utf-8").strip() in page
