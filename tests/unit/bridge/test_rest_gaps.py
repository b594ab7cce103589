"""Gap detection: what ought to have come, whatever the order in which it comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobs.bridge.rest.gaps import Gap, GapDetector, GapReport

S = ("s", "pm10")
MINUTE = 60_000


def poll(
    detector: GapDetector, minutes: list[float], until: float, begin: float = 0, series: tuple[str, str] = S
) -> GapReport:
    for minute in minutes:
        detector.came(series, int(minute * MINUTE))
    return detector.close(int(begin * MINUTE), int(until * MINUTE))


def test_a_series_on_time_has_no_gaps() -> None:
    detector = GapDetector(MINUTE)
    assert poll(detector, [0, 1, 2, 3], 3.5) == GapReport()
    assert poll(detector, [4, 5.4, 6], 6.5) == GapReport()


def test_missing_readings_are_counted() -> None:
    report = poll(GapDetector(MINUTE), [0, 1, 5, 6], 6.5)
    assert report.found == [Gap(S, 1 * MINUTE, 5 * MINUTE)]
    assert report.missing == 3


def test_a_gap_between_two_polls_is_found() -> None:
    detector = GapDetector(MINUTE)
    poll(detector, [0, 1], 1.2)
    assert poll(detector, [4, 5], 5.2).missing == 2


def test_late_inserts_fill_a_gap() -> None:
    detector = GapDetector(MINUTE)
    poll(detector, [0, 4], 4.2)
    report = poll(detector, [0, 2, 4, 5], 5.2)
    assert (report.found, report.filled) == ([], 1)
    report = poll(detector, [1, 2, 3, 4, 5], 5.3)
    assert (report.missing, report.filled) == (0, 2)
    assert poll(detector, [1, 2, 3, 4, 5, 6], 6.2) == GapReport()


def test_gaps_before_the_overlap_are_forgotten() -> None:
    detector = GapDetector(MINUTE)
    poll(detector, [0, 4], 4.2)
    poll(detector, [100], 100.2, begin=50)
    assert poll(detector, [2], 100.3, begin=50).filled == 0


def test_silence_is_said_once_and_counted_on() -> None:
    detector = GapDetector(MINUTE)
    poll(detector, [0], 0.5)
    report = poll(detector, [], 10)
    assert (report.fell_silent, report.silent) == ([(S, 0)], 1)
    report = poll(detector, [], 11)
    assert (report.fell_silent, report.silent) == ([], 1)
    assert poll(detector, [12], 12.1).silent == 0


def test_no_more_series_than_allowed_are_followed() -> None:
    detector = GapDetector(MINUTE, max_series=2)
    for name in "abc":
        detector.came((name, "x"), 0)
    detector.close(0, 1)
    detector.came(("d", "x"), 0)
    assert detector.unwatched == 2


@given(st.sets(st.integers(0, 200), min_size=2), st.randoms())
def test_found_missing_less_filled_is_what_is_missing(present: set[int], random: object) -> None:
    """However the readings are dealt out to polls, what is open in the end are the true gaps."""
    order = sorted(present)
    random.shuffle(order)  # type: ignore[attr-defined]
    first, *rest = [min(present)], *[order[i : i + 7] for i in range(0, len(order), 7)]
    detector = GapDetector(1_000)
    found = filled = 0
    for batch in [first, *rest]:
        for second in batch:
            detector.came(S, second * 1_000)
        report = detector.close(0, 0)
        found += report.missing
        filled += report.filled
    assert found - filled == max(present) - min(present) + 1 - len(present)
