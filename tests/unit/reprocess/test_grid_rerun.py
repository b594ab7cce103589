"""Another run of the grid job over history is the same in all that decides rows, and can call nothing late."""

from __future__ import annotations

from pathlib import Path

import yaml

from jobs.pipeline.grid_file import load_grid_deployment
from jobs.reprocess.deployment import Span
from jobs.reprocess.grid import History, grid_rerun_document, grid_topics

LEVEL = {"metric": "level", "unit": "m", "method": "linear", "max_gap": "1 h"}
DOCUMENT = {
    "name": "small",
    "kafka": {"bootstrap_servers": "${MERIDIAN_KAFKA:-127.0.0.1:9092}", "properties": {"client.id": "${SITE}"}},
    "sources": [{"name": "s", "topic": "t", "out_of_orderness": "30 s"}],
    "grids": [
        {"name": "g", "period": "5 min", "stalled_after": "1 min", "allowed_lateness": "2 h", "metrics": [LEVEL]}
    ],
}


def test_a_bounded_run_has_topics_of_its_own_an_end_and_a_watermark_that_passes_nothing(tmp_path: Path) -> None:
    file, again = tmp_path / "a.yaml", tmp_path / "b.yaml"
    file.write_text(yaml.safe_dump(DOCUMENT))
    before = load_grid_deployment(file, {"SITE": "secret"})
    history = {"s": History(Span({0: 5}, {0: 50}), 5_400_000)}
    document = grid_rerun_document(DOCUMENT, before, "small-again", grid_topics(before, ".again"), history)
    again.write_text(yaml.safe_dump(document))
    assert "secret" not in again.read_text()
    after = load_grid_deployment(again, {"SITE": "secret"})
    (source,), (old,), (new,) = after.sources, before.rules().grids, after.rules().grids
    assert (source.start, source.stop, source.out_of_orderness) == ({0: 5}, {0: 50}, 5_400_000)
    assert (after.topics.grid.name, after.kafka, after.shards) == ("telemetry.grid.again", before.kafka, before.shards)
    assert (new.allowed_lateness_ms, new.stalled_after_ms, after.alignment) == (0, None, None)
    assert (new.metrics, new.period_ms, new.keep_ms, new.max_wait_ms) == (
        old.metrics, old.period_ms, old.keep_ms, old.max_wait_ms,
    )  # fmt: skip
