"""Laws of load shedding: limits hold, samples are the same everywhere, alarms pass, and the account closes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.bridge.envelope import Message
from jobs.bridge.feed import Refusal, Unreadable
from jobs.bridge.outbox import Receipt
from jobs.bridge.shedding.account import SEQUENCE_HEADER, Account
from jobs.bridge.shedding.buckets import SensorBuckets
from jobs.bridge.shedding.config import Shedding, misfits
from jobs.bridge.shedding.gate import Gate
from jobs.bridge.shedding.policy import Admitted, Policy, Shed, ShedReason, sampling_hash
from jobs.bridge.shedding.reporter import Reporter
from udfs.rules import StreamRule

STREAMS = (
    StreamRule("rivers", ("water_level",), "m", sampled=True),
    StreamRule("weather", ("air_*",), "degC"),
)


def shedding(**section: Any) -> Shedding:
    return Shedding.model_validate(section)


def policy(**section: Any) -> Policy:
    return Policy(shedding(**section), STREAMS)


def level(number: int = 0, **fields: Any) -> dict[str, Any]:
    reading = {"event_id": f"e{number}", "sensor_id": "s", "metric": "water_level", "value": 1.5, "unit": "m"}
    return {**reading, "event_time": number, **fields}


# --- limits ---

gaps_s = st.lists(st.floats(0.0, 3.0), min_size=1, max_size=200)


@given(gaps_s, st.integers(1, 20), st.floats(0.1, 10.0), st.integers(1, 10))
def test_a_bucket_never_admits_more_than_its_burst_and_its_rate(
    gaps: list[float], count: int, per_s: float, burst: int
) -> None:
    buckets = SensorBuckets(count, per_s, burst, 10)
    now_s, admitted = 100.0, []
    for gap_s in gaps:
        now_s += gap_s
        if buckets.take("s", now_s):
            admitted.append(now_s)
    for first, begin_s in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + count / per_s * (admitted[last] - begin_s) + 1e-6


@given(st.integers(1, 20), st.integers(1, 10))
def test_a_sensor_within_its_rate_is_never_limited(count: int, burst: int) -> None:
    buckets = SensorBuckets(count, 1.0, burst, 10)
    assert all(buckets.take("s", 5.0 + n / count) for n in range(100))


def test_sensors_do_not_limit_one_another_and_a_clock_that_goes_back_grants_nothing() -> None:
    buckets = SensorBuckets(1, 10.0, 1, 10)
    assert [buckets.take(sensor, 50.0) for sensor in "abab"] == [True, True, False, False]
    assert not buckets.take("a", 1.0)
    assert not buckets.take("a", 59.9)
    assert buckets.take("a", 60.0)


def test_no_more_sensors_are_remembered_than_allowed_and_full_buckets_are_forgotten_for_nothing() -> None:
    buckets = SensorBuckets(1, 1.0, 1, 3)
    for n in range(100):
        assert buckets.take(f"s{n}", float(n))
    assert len(buckets) == 3
    assert not buckets.take("s99", 99.5)
    assert buckets.take("s0", 99.5)


# --- samples ---


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.9])
def test_a_sample_has_its_fraction_and_says_so(fraction: float) -> None:
    of = policy(streams=[{"stream": "rivers", "sample": fraction}])
    verdicts = [of.decide(level(n), None, 0.0, False) for n in range(20_000)]
    kept = [verdict for verdict in verdicts if isinstance(verdict, Admitted)]
    assert set(kept) == {Admitted(False, fraction)}
    assert set(verdicts) - set(kept) == {Shed("rivers", ShedReason.SAMPLED_OUT)}
    assert abs(len(kept) - 20_000 * fraction) < 4 * (20_000 * fraction * (1 - fraction)) ** 0.5


def test_a_sample_is_the_same_in_another_process() -> None:
    program = (
        "from jobs.bridge.shedding.policy import sampling_hash\n"
        "make = lambda n: {'sensor_id': f's{n % 7}', 'metric': 'm', 'value': n, 'event_time': n}\n"
        "print([sampling_hash(make(n)) for n in range(50)])"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    mine = [sampling_hash({"sensor_id": f"s{n % 7}", "metric": "m", "value": n, "event_time": n}) for n in range(50)]
    assert json.loads(other) == mine


def test_a_repeat_falls_alike_and_a_smaller_sample_is_part_of_a_larger_one() -> None:
    small, large = (policy(streams=[{"stream": "rivers", "sample": f}]) for f in (0.1, 0.5))
    for n in range(500):
        reading = level(n)
        verdict = small.decide(reading, None, 0.0, False)
        assert small.decide({**reading, "attributes": {"again": True}}, "t", 9.0, False) == verdict
        if isinstance(verdict, Admitted):
            assert isinstance(large.decide(reading, None, 0.0, False), Admitted)


# --- alarms, backlog, order of the rules ---


@pytest.mark.parametrize(
    ("rule", "alarm", "routine"),
    [
        ({"stream": "rivers", "above": 4.0}, level(value=4.1), level(value=4.0)),
        ({"stream": "rivers", "above": 4.0}, level(value=410, unit="cm"), level(value=4.1, unit="cm")),
        ({"stream": "rivers", "below": 0.0}, level(value=-1), level(value=0)),
        ({"metric": "air_*"}, level(metric="air_temperature", unit="degC"), level()),
        ({"quality": ["alarm", 3]}, level(quality=3), level(quality="good")),
        ({"stream": "rivers", "quality": ["alarm"]}, level(quality="alarm"), level()),
    ],
)
def test_what_is_an_alarm(rule: dict[str, Any], alarm: dict[str, Any], routine: dict[str, Any]) -> None:
    of = policy(alarms=[rule])
    assert of.decide(alarm, None, 0.0, False) == Admitted(True, 1.0)
    assert of.decide(routine, None, 0.0, False) == Admitted(False, 1.0)


def test_a_topic_makes_an_alarm_where_there_is_one() -> None:
    of = policy(alarms=[{"topic": "site/*/alarm"}])
    assert of.decide(level(), "site/x/alarm", 0.0, False) == Admitted(True, 1.0)
    assert of.decide(level(), "site/x/level", 0.0, False) == of.decide(level(), None, 0.0, False) == (False, 1.0)


def test_alarms_are_neither_sampled_nor_shed_nor_limited_unless_so_configured() -> None:
    limit = {"count": 1, "per": "1 h"}
    rules = {"stream": "rivers", "sample": 0.000001, "delivery": "best-effort", "limit": limit}
    alarms = [{"stream": "rivers", "above": 4}]
    of = policy(streams=[rules], alarms=alarms)
    assert {of.decide(level(n, value=5), None, 0.0, True) for n in range(100)} == {Admitted(True, 1.0)}
    of = policy(streams=[{**rules, "limit": {**limit, "alarms": True}}], alarms=alarms)
    verdicts = Counter(of.decide(level(n, value=5), None, 0.0, True) for n in range(100))
    assert verdicts == {Admitted(True, 1.0): 1, Shed("rivers", ShedReason.RATE_LIMITED): 99}


def test_a_sample_is_of_what_the_limits_let_through() -> None:
    rules = {"stream": "rivers", "sample": 0.5, "limit": {"count": 100, "per": "1 h"}}
    of = policy(streams=[rules])
    verdicts = Counter(of.decide(level(n), None, 0.0, False) for n in range(1_000))
    assert verdicts[Shed("rivers", ShedReason.RATE_LIMITED)] == 900
    assert verdicts[Admitted(False, 0.5)] + verdicts[Shed("rivers", ShedReason.SAMPLED_OUT)] == 100


@pytest.mark.parametrize(
    "reading",
    [
        {},
        level(metric="unknown"),
        level(unit="degC"),
        level(value="1.5"),
        level(value=True),
        level(sensor_id=None),
        level(metric=["water_level"]),
        level(value=10**400),
    ],
)
def test_what_the_job_would_refuse_is_not_shed(reading: dict[str, Any]) -> None:
    rules = {"stream": "rivers", "sample": 0.000001, "delivery": "best-effort"}
    assert policy(streams=[rules]).decide(reading, None, 0.0, True) == Admitted(False, 1.0)


def test_streams_without_rules_are_not_touched() -> None:
    of = policy(streams=[{"stream": "rivers", "delivery": "best-effort"}])
    weather = level(metric="air_temperature", unit="degC")
    assert of.decide(weather, None, 0.0, True) == Admitted(False, 1.0)


def test_best_effort_is_shed_from_the_upper_mark_until_the_lower_one() -> None:
    waiting = 0
    section = shedding(streams=[{"stream": "rivers", "delivery": "best-effort"}], backlog={"above": 10, "below": 4})
    gate = Gate(Account("b", 0), section, STREAMS, lambda: waiting, lambda: 0.0)
    fates = []
    for waiting in (0, 9, 10, 9, 5, 4, 9, 11):  # noqa: B007 - read by the gate
        fates.append(gate.judge(level()) is None)
    assert fates == [False, False, True, True, True, False, False, True]


# --- the account ---


def ranges(reports: list[Message]) -> list[dict[str, Any]]:
    return [json.loads(report.value) for report in reports]


@given(st.lists(st.sampled_from(["routine", "alarm", "unreadable", "report"]), max_size=200), st.integers(1, 5))
def test_every_number_is_in_the_raw_topic_or_in_one_report(steps: list[str], count: int) -> None:
    section = shedding(
        streams=[{"stream": "rivers", "sample": 0.5, "limit": {"count": count, "per": "10 s"}}],
        alarms=[{"stream": "rivers", "above": 4}],
    )
    now_s = 0.0
    account = Account("b", 0)
    gate = Gate(account, section, STREAMS, lambda: 0, lambda: now_s)
    sent, reports, received = [], [], 0
    for step in [*steps, "report"]:
        now_s += 0.7
        if step == "report":
            reports.append(account.report(0))
            continue
        item = Unreadable(Refusal.MALFORMED, "", b"") if step == "unreadable" else level(received)
        if step == "alarm":
            item["value"] = 9.0  # type: ignore[call-overload]
        received += 1
        passed = gate.judge(item)
        if passed is not None:
            sent.append(int(dict(passed.headers)[SEQUENCE_HEADER].rsplit(b"/", 1)[1]))
        assert passed is not None or step == "routine"
    told = ranges(reports)
    assert [r["first_number"] for r in told] == [1, *(r["end_number"] for r in told[:-1])]
    assert told[-1]["end_number"] == received + 1
    assert len(set(sent)) == len(sent)
    for report in told:
        in_raw = sum(report["first_number"] <= number < report["end_number"] for number in sent)
        shed = sum(entry["count"] for entry in report["shed"])
        assert in_raw + shed == report["end_number"] - report["first_number"]
    assert account.total.total() == received - len(sent)


def test_what_was_shed_is_not_safe_before_its_report_is() -> None:
    now_s = 0.0
    put: list[tuple[Message, Receipt]] = []

    def take(message: Message, receipt: Receipt) -> None:
        receipt.unsafe += 1
        put.append((message, receipt))

    account = Account("b", 0)
    reporter = Reporter(account, take, lambda: now_s)
    message = Receipt()
    account.shed(Shed("rivers", ShedReason.BACKLOG))
    reporter.hold(message)
    reporter.turn()
    assert (message.unsafe, put, reporter.is_done) == (1, [], False)
    now_s = 0.1
    reporter.turn()
    reporter.turn()
    [(report, receipt)] = put
    assert json.loads(report.value)["shed"] == [{"stream": "rivers", "reason": "backlog", "count": 1}]
    assert message.unsafe == 1
    receipt.unsafe -= 1
    reporter.turn()
    assert (message.unsafe, reporter.is_done) == (0, True)


def test_readings_are_reported_now_and_then_though_none_is_shed() -> None:
    now_s = 0.0
    put: list[Message] = []
    account = Account("b", 0)
    reporter = Reporter(account, lambda message, _: put.append(message), lambda: now_s)
    for now_s in (1.0, 9.0, 20.0):  # noqa: B007 - read by the reporter
        reporter.turn()
    account.admit()
    reporter.turn()
    reporter.turn()
    assert [(r["first_number"], r["end_number"]) for r in ranges(put)] == [(1, 2)]


# --- configuration ---


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, "streams, alarms"),
        ({"streams": [{"stream": "rivers"}]}, "limit, a sample or delivery"),
        ({"streams": [{"stream": "rivers", "sample": 0}]}, "greater than or equal to 0.000001"),
        ({"streams": [{"stream": "rivers", "sample": 1}]}, "less than 1"),
        ({"streams": [{"stream": "r", "limit": {"count": 0, "per": "1 s"}}]}, "greater than or equal to 1"),
        ({"streams": [{"stream": "r", "sample": 0.5}] * 2}, "each stream once"),
        ({"alarms": [{}]}, "at least one of stream, metric"),
        ({"alarms": [{"above": 3}]}, "need a stream"),
        ({"alarms": [{"metric": "m"}], "backlog": {"above": 5, "below": 5}}, "less than above (5)"),
    ],
)
def test_a_wrong_section_is_refused_with_what_is_allowed(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        shedding(**section)
    assert said in str(refused.value)


def test_a_section_must_fit_the_deployment() -> None:
    section = shedding(
        streams=[{"stream": "weather", "sample": 0.5}, {"stream": "snow", "sample": 0.5}],
        alarms=[{"stream": "ice", "above": 1}],
    )
    assert misfits(section, STREAMS) == [
        "shedding.streams.1.stream = 'snow': the deployment's streams are rivers, weather",
        "shedding.alarms.0.stream = 'ice': the deployment's streams are rivers, weather",
        "shedding.streams.0.sample = 0.5: the job refuses sampled readings of weather unless its stream says "
        "`sampled: true`",
    ]
    assert misfits(shedding(streams=[{"stream": "rivers", "sample": 0.5}]), STREAMS) == []
