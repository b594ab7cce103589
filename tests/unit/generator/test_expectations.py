"""The ledger's promises, held against the reference job: classes, reasons and lateness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.generator.ledger import SCHEMA
from tests.support.audited import audit
from tests.support.generated import KNOBS, RULES, generate, process
from udfs.rules import DAY_MS


@pytest.mark.parametrize(("seed", "batch"), [(1, 1), (2, 7), (3, 100), (4, 600)], ids=lambda v: str(v))
def test_the_ledger_is_right_whatever_the_batches(tmp_path: Path, seed: int, batch: int) -> None:
    run = generate(tmp_path / "l.parquet", knobs=replace(KNOBS, seed=seed, readings=2_500))
    report = audit(run, process(run, batch=batch).records)
    assert report.problems == [] and report.ok
    assert report.raw == len(run.messages) - report.control
    assert report.duplicates and report.late and report.invalid_by_reason["id_conflict"]
    assert report.open == 0


def test_with_one_partition_and_a_watermark_per_event_lateness_is_certain(tmp_path: Path) -> None:
    knobs = replace(KNOBS, readings=2_000, stragglers=0.05)
    run = generate(tmp_path / "l.parquet", knobs=knobs, partitions=1, exact=True)
    lateness = pq.read_table(run.ledger_file, columns=["lateness"])["lateness"].to_pylist()
    assert "either" not in lateness and "must-late" in lateness
    report = audit(run, process(run, partitions=1, batch=1).records, partitions=1)
    assert report.problems == [] and report.ok and report.late


def test_the_ledger_has_one_row_per_record_in_sending_order(tmp_path: Path) -> None:
    run = generate(tmp_path / "l.parquet")
    table = pq.read_table(run.ledger_file)
    assert table.schema.names == SCHEMA.names
    assert table["seq"].to_pylist() == list(range(len(run.messages)))
    assert table["partition"].to_pylist() == [m.partition for m in run.messages]
    expect, original = table["expect"].to_pylist(), table["original_seq"].to_pylist()
    assert all(o is not None for e, o in zip(expect, original, strict=True) if e == "duplicate")
    assert expect.count("control") == 3


def test_the_default_span_ends_long_enough_ago_for_a_marker_to_close_everything(tmp_path: Path) -> None:
    run = generate(tmp_path / "l.parquet", knobs=replace(KNOBS, readings=500))
    job = process(run)
    latest_ms = max(w.size_ms for s in RULES.streams for w in s.windows) + run.network.end_ms
    assert job.watermark_ms >= latest_ms + max(s.allowed_lateness_ms for s in RULES.streams)


def test_a_run_of_old_event_times_is_still_accepted(tmp_path: Path) -> None:
    knobs = replace(KNOBS, readings=500, start_ms=1_790_000_000_000 - 3 * DAY_MS)
    run = generate(tmp_path / "l.parquet", knobs=knobs)
    assert audit(run, process(run).records).ok
