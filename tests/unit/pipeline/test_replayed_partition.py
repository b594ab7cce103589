"""A partition that is read again from its first offset changes nothing that was published."""

from __future__ import annotations

from pathlib import Path

import orjson

from tests.support.generated import PARTITIONS, RULES, TOPIC, generate
from tests.support.reference_job import ReferenceJob


def test_a_partition_read_again_from_its_start_gives_the_same_final_windows(tmp_path: Path) -> None:
    messages = generate(tmp_path / "ledger.parquet").messages
    job = ReferenceJob(RULES, TOPIC, PARTITIONS)
    job.run(messages)
    aligned, windows = list(job.records["aligned"]), _final(job.records["windows"])
    seen = len(job.records["accounting"])
    assert aligned
    assert windows

    again = [m for m in messages if m.partition == 0]
    job.run(again)
    assert job.records["aligned"] == aligned
    assert _final(job.records["windows"]) == windows
    repeats = [orjson.loads(value) for _, value in job.records["accounting"][seen:]]
    itself = [r for r in repeats if (r["partition"], r["offset"]) == (r["repeats_partition"], r["repeats_offset"])]
    assert all(r["class"] == "duplicate" for r in repeats)
    assert len(itself) > 0.8 * len(again)


def _final(records: list[tuple[bytes, bytes]]) -> dict[bytes, dict[str, object]]:
    """The last record of each key, as compaction leaves it, without when it was published."""
    return {key: {**orjson.loads(value), "emitted_at_ms": 0} for key, value in records}
