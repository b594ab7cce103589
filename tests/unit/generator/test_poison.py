"""Every way of spoiling a reading is refused for exactly its reason, and every reason has one."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from jobs.generator import poison
from jobs.generator.draft import Draft
from jobs.generator.network import make_network
from tests.support.generated import KNOBS, NOW_MS, PARTITIONS, RULES, TOPIC
from udfs.align import ENVELOPE_HEADERS, Aligner, RawRecord
from udfs.frame import decode_frame
from udfs.reasons import Reason

NETWORK = make_network(RULES, replace(KNOBS, mobile=0), PARTITIONS, NOW_MS)
ALIGNER = Aligner(RULES, TOPIC)
CLOCKS = (poison.CLOCK_1970, poison.CLOCK_2100)


def draft(template: int, rules=RULES) -> Draft:
    site, series = NETWORK.template_site[template], NETWORK.series[NETWORK.template_series[template]]
    event_ms = NETWORK.start_ms + 1_234
    fields = {
        "event_id": "e-1",
        "sensor_id": "st-1",
        "region": site.region,
        "metric": series.metric,
        "value": round(series.base, series.decimals),
        "unit": series.unit,
        "event_time": event_ms,
        "x": float(site.x),
        "y": float(site.y),
        "crs": site.crs,
        "battery": {"volt": 3.3},
    }
    headers = {
        "sensor_id": b"st-1",
        "ingest_timestamp": b"%d" % NOW_MS,
        "event_timestamp": b"%d" % event_ms,
        "crs_source": site.crs.encode(),
        "payload_version": b"1",
        "content-type": b"application/json",
    }
    box = dict(rules.position.regions)[site.region]
    return Draft(fields, headers, series, site, box, rules, event_ms, NOW_MS)


def fate(spoilt: Draft) -> str:
    headers = tuple(spoilt.headers.get(name) for name in ENVELOPE_HEADERS)
    record = RawRecord(spoilt.serialised(), b"k", 0, 0, NOW_MS, headers)
    [(_, data)] = ALIGNER.align([record])
    readings, invalid = decode_frame(data)
    return "accepted" if len(readings) else orjson.loads(invalid[0][2])["reason"]


def test_an_unspoilt_draft_is_accepted() -> None:
    for template in range(len(NETWORK.template_site)):
        assert fate(draft(template)) == "accepted"


@pytest.mark.parametrize("kind", (*poison.KINDS, *CLOCKS), ids=lambda k: k.name)
def test_each_kind_is_refused_for_its_reason_at_every_kind_of_station(kind: poison.Poison) -> None:
    tried = 0
    for template in range(0, len(NETWORK.template_site), 3):
        spoilt = draft(template)
        if kind.applies(spoilt.series, spoilt.site, RULES):
            kind.spoil(spoilt)
            assert fate(spoilt) == kind.reason
            tried += 1
    assert tried


@pytest.mark.parametrize("body_bytes", (20_001, 1_000_000))
def test_an_oversized_body_has_exactly_its_size_and_is_refused(body_bytes: int) -> None:
    spoilt = draft(0)
    poison.oversized(body_bytes)(spoilt)
    assert len(spoilt.serialised() or b"") == body_bytes
    assert fate(spoilt) == Reason.BODY_TOO_LARGE


def test_every_reason_that_input_can_cause_is_generated() -> None:
    made = {k.reason for k in (*poison.KINDS, *CLOCKS)} | {Reason.BODY_TOO_LARGE, Reason.ID_CONFLICT}
    assert set(Reason) - made == poison.OUT_OF_REACH


def test_kind_names_are_unique() -> None:
    names = [k.name for k in poison.KINDS]
    assert len(set(names)) == len(names)
