"""What the page says agrees with the run; how it is drawn follows from the figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.audit.claimed_time import ClaimedTime
from jobs.broker.topic_records import TopicRecord
from jobs.report.chart import Curve, bucket, draw
from jobs.report.gather import Period
from jobs.report.scales import ticks, time_ticks
from jobs.report.sections import overview, spread, window_summaries
from jobs.report.station_map import Shapes
from jobs.report.timeline import Timeline
from tests.support.audited import Records, audit
from tests.support.generated import NOW_MS, RULES, GeneratedRun
from tests.unit.report.conftest import DEPLOYMENT, gather


def test_figures_are_those_of_the_audit(run: GeneratedRun, outcome: Records, page: Path) -> None:
    judged, shown = audit(run, outcome), overview(gather(outcome))
    assert (shown["readings"], shown["refused"]) == (judged.aligned, judged.invalid)
    text = re.sub(r"<[^>]+>", "", page.read_text())
    identity = f"{judged.raw:,} raw = {judged.aligned:,} aligned + {judged.duplicates:,} duplicates"
    assert identity in text
    assert "Every reading is accounted for once: 0 lost, 0 doubled" in text
    for reason in judged.invalid_by_reason:
        assert reason in text


def test_accounts_that_do_not_close_are_told(run: GeneratedRun, outcome: Records) -> None:
    from jobs.report.page import render

    broken = {sink: rows[1:] if sink == "aligned" else rows for sink, rows in outcome.items()}
    page = render(DEPLOYMENT, gather(broken), [], audit(run, broken), NOW_MS)
    assert "The accounts do not close" in page


def test_a_period_takes_its_event_times_only(outcome: Records) -> None:
    whole = gather(outcome)
    times = sorted(t for series in whole.series.values() for t in series.times_ms)
    middle = times[len(times) // 2]
    before, after = gather(outcome, Period(None, middle)), gather(outcome, Period(middle, None))
    assert 0 < overview(before)["readings"] < len(times)
    assert overview(before)["readings"] + overview(after)["readings"] == len(times)


def test_windows_are_counted_once_whatever_their_revisions(outcome: Records) -> None:
    found = gather(outcome).windows
    for summary in window_summaries(found):
        assert summary.windows <= summary.rows
        assert summary.revised <= summary.windows
    assert any(summary.revised for summary in window_summaries(found))


def test_the_watermark_is_the_slowest_partitions_and_silent_ones_are_left_out() -> None:
    timeline = Timeline(ClaimedTime(RULES), 30_000, 60_000, Period())

    def record(partition: int, event_ms: int, append_ms: int) -> TopicRecord:
        return TopicRecord("raw", partition, 0, append_ms, b"{}", {"event_timestamp": str(event_ms).encode()})

    slow, quick = NOW_MS - 600_000, NOW_MS
    timeline.add([record(0, slow, NOW_MS), record(1, quick, NOW_MS), record(1, quick + 90_000, NOW_MS + 90_000)])
    timeline.add([record(1, NOW_MS + 10**10, NOW_MS + 91_000)])  # implausible: moves nothing
    first, second, third = timeline.moments()
    assert first.watermark_ms == slow - 30_001
    assert second.watermark_ms == third.watermark_ms == quick + 90_000 - 30_001


def test_buckets_keep_mean_and_extremes() -> None:
    points = bucket([0, 1, 2, 3, 1_000], [1.0, 3.0, 5.0, 7.0, 2.0], most=10)
    assert [(p.mean, p.low, p.high) for p in points] == [(4.0, 1.0, 7.0), (2.0, 2.0, 2.0)]


def test_names_of_sensors_are_escaped() -> None:
    curve = Curve("<script>alert(1)</script>", bucket([0.0, 1.0], [1.0, 2.0]))
    assert "<script>" not in draw("t", "m", [curve]).svg


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-7.3, 12.9), (0.0012, 0.0019), (1e6, 9e6)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 6
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)


def test_times_are_labelled_by_the_length_of_the_span() -> None:
    hour = 3_600_000
    assert [label for _, label in time_ticks(0, hour)] == ["00:00", "00:15", "00:30", "00:45", "01:00"]
    assert time_ticks(0, 30 * 24 * hour)[1][1] == "15 Jan"


def test_a_cells_outline_holds_what_is_in_it() -> None:
    ring = Shapes(DEPLOYMENT).ring("g10000:E390:N314")
    west, east = min(lon for lon, _ in ring), max(lon for lon, _ in ring)
    south, north = min(lat for _, lat in ring), max(lat for _, lat in ring)
    lon, lat = Shapes(DEPLOYMENT)._to_degrees.transform(3_905_000, 3_145_000)
    assert west < lon < east and south < lat < north
    assert len(Shapes(DEPLOYMENT).ring("grampian")) == 4
    assert Shapes(DEPLOYMENT).ring("nowhere") == []


def test_durations_are_spread_over_bins() -> None:
    assert [(bar.label, bar.number) for bar in spread([500, 15_000, 20_000])] == [
        ("up to 1 s", 1), ("1 to 10 s", 0), ("10 to 30 s", 2),
    ]  # fmt: skip
    assert spread([]) == []
