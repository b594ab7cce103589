"""A recomputed row is the row that would have been, had nothing been late; and then there is nothing more to do."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.replay.late import AlignedReading, Choice, Missed, decode_aligned, decode_miss
from jobs.replay.recompute import Plan, plan_rows, recompute
from jobs.validation.compare import compare
from jobs.validation.explain import Evidence, Reading, Reason, explain
from jobs.validation.rows import WINDOW_ROWS, Key, Row, final_rows
from tests.support.audited import Records, audit
from tests.support.generated import KNOBS, RULES, TOPIC, GeneratedRun, generate, process
from udfs.outputs import Outputs
from udfs.pane import Window
from udfs.window import Firing, Windowed

ALL = Choice()
FOREVER = (-(2**62), 2**62)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> GeneratedRun:
    knobs = replace(KNOBS, stragglers=0.1)
    return generate(tmp_path_factory.mktemp("late") / "ledger.parquet", knobs=knobs)


@pytest.fixture(scope="module")
def faultless(run: GeneratedRun) -> Records:
    return process(run).records


@pytest.fixture(scope="module")
def batch(run: GeneratedRun) -> Records:
    """The same readings behind a watermark that makes none late."""
    patient = replace(RULES, time=replace(RULES.time, out_of_orderness_ms=RULES.streams[0].max_age_ms))
    job = process(run, patient)
    job._advance(2**62)
    assert "late_events" not in job.records
    return job.records


@pytest.fixture
def records(faultless: Records) -> Records:
    return {sink: list(rows) for sink, rows in faultless.items()}


def values(records: Records, sink: str) -> list[bytes]:
    return [value for _, value in records.get(sink, ())]


def rows(records: Records) -> dict[Key, Row]:
    return final_rows(map(orjson.loads, values(records, "windows")), WINDOW_ROWS, *FOREVER)


def misses(records: Records) -> list[Any]:
    return list(map(decode_miss, [*values(records, "late_events"), *values(records, "accounting")]))


def plan(records: Records, choice: Choice = ALL, aligned: Iterable[AlignedReading] | None = None) -> Plan:
    missed = Missed(choice)
    missed.add(misses(records))
    readings = [decode_aligned(v) for v in values(records, "aligned")] if aligned is None else list(aligned)
    wanted = missed.by_key(readings, RULES)
    return plan_rows(wanted, readings, rows(records), RULES, TOPIC, missed.watermark_ms)


def publish(records: Records, made: Plan) -> None:
    records["windows"].extend(made.records)


def test_after_recomputing_every_final_row_is_that_of_a_batch_run(records: Records, batch: Records) -> None:
    made = plan(records)
    assert made.late_readings and not (made.not_closed or made.incomplete or made.not_aligned)
    publish(records, made)
    found, computed = rows(records), rows(batch)
    assert found.keys() == computed.keys()
    assert not [p.key for p in compare(found, computed, WINDOW_ROWS) if p.differs]


def test_the_next_revision_is_published_under_the_key_of_the_row(records: Records) -> None:
    highest: dict[bytes, int] = {}
    for key, value in records["windows"]:
        highest[key] = max(orjson.loads(value)["revision"], highest.get(key, 0))
    made = plan(records)
    assert {key in highest for key, _ in made.records} == {True, False}  # some windows had no row at all
    for key, value in made.records:
        row = orjson.loads(value)
        assert (row["timing"], row["revision"]) == ("recomputed", highest.get(key, 0) + 1)
        assert 0 < row["late_readings"] <= row["count"]
        assert orjson.loads(key)[:4] == [row[n] for n in WINDOW_ROWS.key[:4]]


def test_a_second_run_finds_nothing_to_do(records: Records) -> None:
    first = plan(records)
    publish(records, first)
    second = plan(records)
    assert second.records == [] and second.up_to_date == len(first.records)


def test_the_audit_closes_and_late_readings_stay_late(run: GeneratedRun, records: Records) -> None:
    before = audit(run, records)
    publish(records, plan(records))
    after = audit(run, records)
    assert after.ok, after.problems
    assert (after.late, after.windowed, after.aligned) == (before.late, before.windowed, before.aligned)
    assert after.late and sum(d.recomputed for d in after.definitions) == len(plan(records).records) + _recomputed(
        records
    )


def _recomputed(records: Records) -> int:
    return sum(row.late_readings > 0 for row in rows(records).values())


def test_the_audit_finds_a_recomputed_row_that_is_wrong(run: GeneratedRun, records: Records) -> None:
    made = plan(records)
    key, value = made.records[0]
    row = orjson.loads(value)
    for fields in (
        {"count": row["count"] - 1},
        {"mean": row["mean"] + 1.0},
        {"late_readings": row["late_readings"] + 1},
    ):
        wrong = {**records, "windows": [*records["windows"], (key, orjson.dumps({**row, **fields})), *made.records[1:]]}
        assert not audit(run, wrong).ok, fields


def test_readings_that_come_after_a_recomputation_are_put_in_by_the_next(run: GeneratedRun, records: Records) -> None:
    letters = records["late_events"]
    index = next(i for i, (_, v) in enumerate(letters) if orjson.loads(v)["definition"] == "5min")
    later = letters.pop(index)
    place = tuple(orjson.loads(later[1])[n] for n in ("partition", "offset"))
    aligned = [r for r in map(decode_aligned, values(records, "aligned")) if r.place != place]
    publish(records, plan(records, aligned=aligned))
    letters.append(later)
    report = audit(run, records)
    assert report.ok, report.problems
    made = plan(records)
    assert {orjson.loads(v)["timing"] for _, v in made.records} == {"recomputed"} and len(made.records) >= 1
    publish(records, made)
    assert audit(run, records).ok and plan(records).records == []


def test_what_the_aligned_topic_no_longer_holds_is_not_recomputed(records: Records) -> None:
    whole = plan(records)
    readings = [decode_aligned(v) for v in values(records, "aligned")]
    late = {(m.partition, m.offset) for m in misses(records) if m.kind == "late"}
    in_time = [r for r in readings if r.place not in late]
    gone = {r.place for r in in_time[: len(in_time) // 2]}
    short = plan(records, aligned=[r for r in readings if r.place not in gone])
    assert short.incomplete and len(short.records) + short.incomplete == len(whole.records)
    kept = dict(whole.records)
    for key, value in short.records:
        assert orjson.loads(value)["count"] == orjson.loads(kept[key])["count"]


def test_a_window_that_the_job_can_still_publish_is_left_to_it(records: Records) -> None:
    missed = Missed(ALL)
    missed.add(misses(records))
    readings = [decode_aligned(v) for v in values(records, "aligned")]
    wanted = missed.by_key(readings, RULES)
    assert plan_rows(wanted, readings, rows(records), RULES, TOPIC, missed.watermark_ms).not_closed == 0
    early_ms = min(key[3] for key in wanted) - 2
    made = plan_rows(wanted, readings, rows(records), RULES, TOPIC, early_ms)
    assert (made.not_closed, made.records) == (len(wanted), [])


def test_definition_and_time_choose_windows(records: Records) -> None:
    keys = [orjson.loads(key) for key, _ in plan(records).records]
    chosen = plan(records, Choice("weather/5min"))
    assert {tuple(orjson.loads(k)[:2]) for k, _ in chosen.records} == {("weather", "5min")}
    middle = sorted(key[2] for key in keys)[len(keys) // 2]
    before, after = plan(records, Choice(to_ms=middle)), plan(records, Choice(from_ms=middle))
    assert len(before.records) + len(after.records) == len(keys) and before.records and after.records


def test_a_repeat_whose_id_streaming_had_forgotten_is_not_put_in(records: Records) -> None:
    letters = [orjson.loads(v) for v in values(records, "late_events")]
    letter = next(x for x in letters if x["definition"] == "5min")
    readings = [decode_aligned(v) for v in values(records, "aligned")]
    original = next(r for r in readings if r.place == (letter["partition"], letter["offset"]))
    repeat = msgspec.structs.replace(original, partition=99, beyond_dedup_horizon=True)
    records["late_events"].append((b"", orjson.dumps({**letter, "partition": 99})))
    made, without = plan(records, aligned=[*readings, repeat]), plan(records, aligned=readings)

    def content(p: Plan) -> list[dict[str, Any]]:
        return [{**orjson.loads(v), "emitted_at_ms": 0} for _, v in p.records]

    assert content(made) == content(without)


readings_of_a_day = st.lists(
    st.tuples(
        st.integers(0, 3_600_000), st.sampled_from(("s1", "s2")), st.floats(-50, 50), st.sampled_from((1.0, 0.25))
    ),
    min_size=1, max_size=40,
)  # fmt: skip


def made_of(parts: list[tuple[int, str, float, float]]) -> list[AlignedReading]:
    return [
        AlignedReading(
            0, i, "weather", "air_temperature", sensor, "grampian", f"c{i % 2}", f"e{i}", time_ms, value,
            -2.0 + i / 100, 57.0, 1.0 * i, 2.0, fraction,
        )
        for i, (time_ms, sensor, value, fraction) in enumerate(parts)
    ]  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(readings_of_a_day, st.randoms(use_true_random=False))
def test_the_order_of_readings_does_not_change_a_bit_of_a_row(
    parts: list[tuple[int, str, float, float]], shuffler: random.Random
) -> None:
    readings = made_of(parts)
    keys = {key for reading in readings for key in reading.keys(RULES)}
    expected = recompute(readings, keys, RULES)
    assert expected.keys() == keys
    shuffler.shuffle(readings)
    assert recompute(readings, keys, RULES) == expected
    for key, aggregate in expected.items():
        held = [r for r in readings if key in set(r.keys(RULES))]
        assert aggregate.count == len(held)
        assert (aggregate.min, aggregate.max) == (min(r.value for r in held), max(r.value for r in held))
        assert aggregate.mean == pytest.approx(sum(r.value for r in held) / len(held), rel=1e-12, abs=1e-9)


def rows_of(readings: list[AlignedReading]) -> dict[Key, Row]:
    """What the job publishes of readings that are all in time."""
    keys = {key for reading in readings for key in reading.keys(RULES)}
    outputs = Outputs(RULES, TOPIC)
    firings = [Firing(Window(*key[:4]), made, "on_time", 1) for key, made in recompute(readings, keys, RULES).items()]
    outputs.windowed(Windowed(firings, [], [], []))
    return final_rows((orjson.loads(v) for _, _, values in outputs.take() for v in values), WINDOW_ROWS, *FOREVER)


@settings(deadline=None, max_examples=60)
@given(readings_of_a_day, st.data())
def test_whatever_was_late_in_whatever_order_the_rows_become_those_of_a_batch_run(
    parts: list[tuple[int, str, float, float]], data: st.DataObject
) -> None:
    readings = made_of(parts)
    late = data.draw(st.lists(st.sampled_from(readings), unique_by=lambda r: r.place, max_size=len(readings)))
    published = rows_of([r for r in readings if r not in late])
    for part in (late[: len(late) // 2], late):  # in two steps: the second finds rows that hold the first
        wanted: dict[Key, set[tuple[int, int]]] = {}
        for reading in part:
            for key in reading.keys(RULES):
                wanted.setdefault(key, set()).add(reading.place)
        aligned = [r for r in readings if r not in late or r in part]
        made = plan_rows(wanted, data.draw(st.permutations(aligned)), published, RULES, TOPIC, 2**62)
        assert made.incomplete == made.not_closed == 0
        published |= final_rows((orjson.loads(v) for _, v in made.records), WINDOW_ROWS, *FOREVER)
    batch = rows_of(readings)
    assert published.keys() == batch.keys()
    assert not [pair for pair in compare(published, batch, WINDOW_ROWS) if pair.differs]


def test_a_day_says_which_rows_were_recomputed_and_which_late_readings_came_after_it() -> None:
    key = ("weather", "5min", 0, 300_000, "s1", "air_temperature")
    readings = [Reading((0, i), i * 1_000, f"e{i}", float(i)) for i in range(4)]

    def row(count: int, **fields: Any) -> dict[str, Any]:
        held = readings[:count]
        total = {"count": count, "mean": sum(r.value for r in held) / count, "min": 0.0, "max": held[-1].value}
        ends = {
            "first": 0.0,
            "first_event_time_ms": 0,
            "last": held[-1].value,
            "last_event_time_ms": 1_000 * (count - 1),
        }
        rest = {"revision": 1, "timing": "on_time", **fields}
        return {
            **dict(zip(WINDOW_ROWS.key, key, strict=True)),
            **dict.fromkeys(WINDOW_ROWS.values),
            **total,
            **ends,
            **rest,
        }

    def judge(live: list[dict[str, Any]], late: set[int]) -> tuple[Reason, int]:
        [pair] = compare(*(final_rows(r, WINDOW_ROWS, 0, 1) for r in (live, [row(4)])), WINDOW_ROWS)
        evidence = Evidence({key: readings}, {}, {((0, i), "weather", "5min") for i in late}, set(), 2**62)
        verdict = explain(pair, evidence)
        return verdict.reason, verdict.late

    first = row(2)
    whole = row(4, revision=2, timing="recomputed", late_readings=2)
    part = row(3, revision=2, timing="recomputed", late_readings=1)
    assert judge([first, whole], {2, 3}) == (Reason.RECOMPUTED, 0)
    assert judge([first, part], {2, 3}) == (Reason.LATE, 1)
    assert judge([first, {**whole, "mean": 9.0}], {2, 3}) == (Reason.OTHER, 0)
    assert judge([first, {**part, "count": 2}], {2, 3})[0] in (Reason.LOST, Reason.OTHER)
