"""A probe passes the job beside the readings and enters nothing of theirs."""

from __future__ import annotations

import orjson

from tests.support.generated import RULES
from udfs.align import ENVELOPE_HEADERS, Aligner, RawRecord
from udfs.frame import decode_frame
from udfs.outputs import Outputs
from udfs.probe import Probe, read_probe
from udfs.rules import Rules

PROBE = Probe("p-1", 1_700_000_000_000)


def _record(value: bytes) -> RawRecord:
    sent = PROBE.headers()
    return RawRecord(value, None, 3, 7, 1_700_000_000_250, tuple(sent.get(name) for name in ENVELOPE_HEADERS))


def _aligned(records: list[RawRecord], rules: Rules = RULES) -> list[tuple[int, bytes]]:
    return Aligner(rules, "raw").align(records)


def test_a_probe_leaves_as_one_accounting_record_and_no_reading() -> None:
    [(shard, frame)] = _aligned([_record(PROBE.value())])
    readings, invalid = decode_frame(frame)
    assert (shard, len(readings), invalid) == (3 % RULES.shards, 0, [])
    outputs = Outputs(RULES, "raw")
    outputs.probes(readings.probes)
    [(sink, _, [published])] = outputs.take()
    record = orjson.loads(published)
    assert sink == "accounting"
    assert (record["class"], record["control"], record["probe"]) == ("control", "probe", "p-1")
    assert (record["partition"], record["offset"]) == (3, 7)
    assert (record["sent_at_ms"], record["append_time_ms"]) == (1_700_000_000_000, 1_700_000_000_250)
    assert record["append_time_ms"] < record["aligned_at_ms"] <= record["deduplicated_at_ms"]


def test_probes_of_one_batch_are_not_those_of_the_next() -> None:
    aligner = Aligner(RULES, "raw")
    assert len(aligner.align([_record(PROBE.value())])) == 1
    assert aligner.align([_record(b'{"control":"end-marker"}')]) == []


def test_what_is_no_well_formed_probe_passes_silently_like_any_control_record() -> None:
    for value in (b"", b"[]", b"{", b'{"control":"probe","probe":1,"sent_at_ms":2}', b'"' + b"x" * 2_000 + b'"'):
        assert _aligned([_record(value)]) == []
        assert read_probe(value) is None


def test_a_probe_moves_no_watermark() -> None:
    assert PROBE.headers()["event_timestamp"] == b"0"


def test_a_probe_is_read_as_it_was_sent() -> None:
    sent = Probe("p-2", 1_700_000_000_001, "probe-3")
    assert read_probe(sent.value()) == sent
    assert read_probe(sent._replace(key="k" * 65).value()) is None
