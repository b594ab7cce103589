"""What becomes of a cold record that is sent now, and which files are sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.bridge.envelope import Message
from jobs.bridge.feed import Refusal, Unreadable
from jobs.cold.fate import Fate, FateTeller
from jobs.cold.layout import cold_files
from jobs.cold.record import ColdRecord
from jobs.cold.reingest import make_plan
from jobs.pipeline.config import Deployment
from tests.support.cold import HOUR_MS, NOW_MS, ages, cold, kept, wrap

DEPLOYMENT = Deployment.model_validate(
    {
        "name": "d",
        "streams": [{"name": "weather", "metrics": ["air_temperature"], "unit": "degC", "max_age": "30 d"}],
        "position": {"regions": {"north": [-3, 56, -1, 58]}},
    }
)
RULES = DEPLOYMENT.rules()


@pytest.mark.parametrize(
    ("record", "fate"),
    [
        (cold(HOUR_MS), Fate.DEDUPLICATED),
        (cold(23 * HOUR_MS), Fate.DEDUPLICATED),
        (cold(24 * HOUR_MS), Fate.BEYOND_HORIZON),
        (cold(24 * HOUR_MS - 59_999), Fate.BEYOND_HORIZON),
        (cold(24 * HOUR_MS - 60_000), Fate.DEDUPLICATED),
        (cold(30 * 24 * HOUR_MS), Fate.BEYOND_HORIZON),
        (cold(30 * 24 * HOUR_MS + 1), Fate.TOO_OLD),
        (cold(HOUR_MS, "crs", x=57.1, y=-2.1), Fate.MISPLACED),
        (cold(HOUR_MS, "crs"), Fate.DEDUPLICATED),
        (cold(HOUR_MS, "gone", x=57.1, y=-2.1), Fate.DEDUPLICATED),
        (cold(HOUR_MS, "gone", metric="unknown"), Fate.DEDUPLICATED),
        (cold(HOUR_MS, "crs", metric="unknown"), Fate.DEDUPLICATED),
    ],
    ids=lambda value: "" if isinstance(value, ColdRecord) else str(value),
)
def test_a_record_is_judged_by_what_waiting_has_made_of_it(record: ColdRecord, fate: Fate) -> None:
    assert FateTeller(RULES, NOW_MS).of(record) is fate


def test_what_is_no_reading_is_sent_to_become_a_dead_letter() -> None:
    message = wrap(Unreadable(Refusal.UNEXPECTED_ERROR, "", b"{"), NOW_MS)
    assert FateTeller(RULES, NOW_MS).of(ColdRecord("telemetry.raw", message, "gone", NOW_MS)) is Fate.BEYOND_HORIZON


def test_a_file_with_a_reading_that_is_too_old_is_left_unless_dead_letters_are_wanted(tmp_path: Path) -> None:
    folder = kept(tmp_path, ages(HOUR_MS), ages(HOUR_MS, 31 * 24 * HOUR_MS))
    plan = make_plan(folder, DEPLOYMENT, RULES, sends_refused=False)
    assert plan.outcome.fates == {Fate.DEDUPLICATED: 1}
    [problem] = plan.outcome.problems
    assert "the job would refuse 1 too_old of 2" in problem
    plan = make_plan(folder, DEPLOYMENT, RULES, sends_refused=True)
    assert (len(plan.files), plan.outcome.fates, plan.outcome.problems) == (
        2,
        {Fate.DEDUPLICATED: 2, Fate.TOO_OLD: 1},
        [],
    )


def test_only_what_dedup_does_not_remember_is_looked_for_in_the_raw_topic(tmp_path: Path) -> None:
    young, old = ages(HOUR_MS, 25 * HOUR_MS)
    plan = make_plan(kept(tmp_path, [young, old]), DEPLOYMENT, RULES, sends_refused=False)
    assert plan.beyond_horizon == {old.identity}


def test_files_of_another_deployment_and_files_that_were_changed_are_left(tmp_path: Path) -> None:
    foreign = [record._replace(topic="other.raw") for record in ages(HOUR_MS)]
    folder = kept(tmp_path, foreign, ages(HOUR_MS), ages(HOUR_MS))
    changed = cold_files(folder)[1].data
    changed.write_bytes(b"")
    plan = make_plan(folder, DEPLOYMENT, RULES, sends_refused=False)
    assert len(plan.files) == 1
    assert sorted("other.raw" in problem for problem in plan.outcome.problems) == [False, True]


def test_a_message_that_came_with_the_value_alone_is_judged_by_its_value() -> None:
    value = json.dumps({"sensor_id": "s1", "metric": "air_temperature", "value": 1, "unit": "degC"}).encode()
    record = ColdRecord("telemetry.raw", Message(b"", value, {}), "gone", NOW_MS)
    assert FateTeller(RULES, NOW_MS).of(record) is Fate.BEYOND_HORIZON
