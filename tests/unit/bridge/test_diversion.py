"""The diversion: what Kafka does not take is safe in the cold store, and trials are of Kafka's own time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from jobs.bridge.breakers.breaker import Cause, State
from jobs.bridge.breakers.config import Breakers, CrsRule
from jobs.bridge.breakers.diversion import Diversion
from jobs.bridge.breakers.positions import PositionGuard
from jobs.bridge.breakers.signs import Answers
from jobs.bridge.envelope import Message
from jobs.bridge.feed import Refusal, Unreadable
from jobs.bridge.lanes import Lane, Lanes, Outgoing
from jobs.bridge.outbox import Receipt
from jobs.bridge.producer import OnAck
from jobs.bridge.spool import Spool
from jobs.cold.layout import cold_files
from jobs.cold.store import ColdStore
from udfs.rules import BoundingBox, PositionRule

NO_TOPIC = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)


class Kafka:
    """A producer whose answers the test gives: after `delay_s`, or never."""

    last_error = None

    def __init__(self, clock: Callable[[], float]) -> None:
        self.arrived: list[bytes] = []
        self.delay_s: float | None = 0.0
        self.error: KafkaError | None = None
        self.times: list[Answers] = []
        self._clock = clock
        self._waiting: list[tuple[float, bytes, OnAck]] = []

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    def send(self, topic: str, message: Message, on_ack: OnAck) -> None:
        self._waiting.append((self._clock(), message.value, on_ack))

    def poll(self, timeout_s: float = 0) -> None:
        while self.delay_s is not None and self._waiting and self._clock() >= self._waiting[0][0] + self.delay_s:
            _, value, on_ack = self._waiting.pop(0)
            if self.error is None:
                self.arrived.append(value)
            on_ack(self.error, None)

    def answers(self) -> list[Answers]:
        answers, self.times = self.times, []
        return answers


class Bench:
    def __init__(self, folder: Path, **cold: str) -> None:
        self.now_s = 0.0
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        self.kafka = Kafka(lambda: self.now_s)
        rules = {"gone_after": "5 s", "open_for": "10 s", "trials": 2, "failures": 3}
        config = Breakers.model_validate({"cold": {"folder": "cold", **cold}, "kafka": rules})
        store = ColdStore(folder / "cold", "b", config.cold, lambda: self.now_s)
        self.diversion = Diversion(config.kafka, store, "raw", self._say, lambda: self.now_s)
        lane = Lane(
            self.kafka,  # type: ignore[arg-type]
            Spool(folder / "spool", 1 << 20),
            max_in_flight=100,
            max_in_flight_bytes=1 << 20,
            spool_after_s=2,
            diversion=self.diversion,
        )
        lane.outbox._clock = lambda: self.now_s
        self.lanes = Lanes(lane)
        self.receipts: list[Receipt] = []

    def _say(self, event: str, **facts: Any) -> None:
        self.events.append({"event": event, **facts})

    def put(self, *numbers: int, topic: str = "raw", is_misplaced: bool = False, size: int = 0) -> None:
        for number in numbers:
            receipt = Receipt()
            message = Message(b"k", b"%d " % number + b"x" * size, {})
            self.lanes.put(Outgoing(topic, message, is_misplaced=is_misplaced), receipt)
            self.receipts.append(receipt)

    def turn(self, after_s: float = 0.1) -> None:
        self.now_s += after_s
        self.lanes.turn()

    @property
    def state(self) -> State:
        return self.diversion.breaker.state

    @property
    def states(self) -> list[str]:
        return [event["state"] for event in self.events if event["event"] == "breaker"]

    @property
    def is_safe(self) -> bool:
        return not any(receipt.unsafe for receipt in self.receipts)

    def cold(self) -> list[int]:
        self.lanes.close()
        files = cold_files(self.folder / "cold")
        return [int(record.message.value.split()[0]) for file in files for record in file.records()]

    @property
    def arrived(self) -> list[int]:
        return [int(value.split()[0]) for value in self.kafka.arrived]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def trip(bench: Bench) -> None:
    """Ten slow answers."""
    bench.kafka.times = [Answers(10, 0.6)]
    bench.turn()
    assert bench.state is State.OPEN


def test_while_kafka_is_gone_first_the_spool_and_then_the_cold_store_takes_what_comes(bench: Bench) -> None:
    bench.kafka.delay_s = None
    for number in range(100):
        bench.put(number)
        bench.turn()
    assert bench.states == ["open"]
    assert bench.events[0]["cause"] == "gone"
    bench.turn(0.1)
    assert bench.is_safe
    bench.kafka.delay_s = 0.0
    for _ in range(40):
        bench.turn()
    spooled = len(bench.arrived)
    assert bench.arrived == list(range(spooled))
    assert 45 <= spooled <= 55, "about the five seconds of gone_after"
    assert bench.diversion.diverted.total() == 100 - spooled
    assert bench.cold() == list(range(spooled, 100))


def test_half_open_one_record_at_a_time_is_tried_and_quick_answers_close_it(bench: Bench) -> None:
    trip(bench)
    bench.kafka.delay_s = 0.2
    bench.put(0)
    bench.turn(10.0)
    assert bench.state is State.HALF_OPEN
    bench.put(1, 2)
    assert bench.kafka.in_flight == 1
    bench.turn(0.2)
    bench.put(3)
    assert bench.state is State.HALF_OPEN
    bench.turn(0.2)
    assert bench.states == ["open", "half_open", "closed"]
    bench.put(4)
    bench.turn(0.2)
    assert bench.is_safe
    assert bench.arrived == [1, 3, 4]
    assert bench.cold() == [0, 2]


def test_a_trial_that_is_answered_slowly_opens_it_again_and_is_not_lost(bench: Bench) -> None:
    trip(bench)
    bench.turn(10.0)
    bench.kafka.delay_s = 1.0
    bench.put(0)
    bench.turn(0.4)
    assert bench.state is State.HALF_OPEN
    bench.turn(0.2)
    assert bench.states == ["open", "half_open", "open"]
    bench.turn(0.5)
    assert (bench.arrived, bench.is_safe, bench.cold()) == ([0], True, [])


def test_trials_wait_until_the_spool_has_been_sent(bench: Bench) -> None:
    bench.kafka.delay_s = None
    bench.put(0)
    bench.turn(3.0)
    bench.turn(2.5)
    bench.turn(10.0)
    assert bench.state is State.HALF_OPEN
    bench.put(1)
    assert bench.lanes.waiting == 1
    bench.kafka.delay_s = 0.0
    for _ in range(10):
        bench.turn()
    bench.put(2)
    bench.turn()
    assert bench.arrived == [0, 2]
    assert bench.cold() == [1]


def test_what_kafka_fails_trips(bench: Bench) -> None:
    bench.kafka.error = NO_TOPIC
    bench.put(0, 1, 2)
    bench.turn()
    assert bench.events[0]["cause"] == "failing"
    bench.kafka.error = None
    for _ in range(5):
        bench.turn(1.1)
    assert (sorted(bench.arrived), bench.is_safe) == ([0, 1, 2], True)


def test_a_status_is_never_diverted(bench: Bench) -> None:
    trip(bench)
    bench.put(7, topic="status")
    bench.turn()
    assert bench.arrived == [7]


def test_a_record_is_safe_only_when_the_disk_has_it(bench: Bench) -> None:
    trip(bench)
    bench.put(1)
    assert not bench.is_safe
    bench.turn()
    assert bench.is_safe


def test_a_full_cold_store_leaves_records_to_the_spool(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_size="1 MB", file_size="1 MB")
    trip(bench)
    bench.kafka.delay_s = None
    for number in range(30):
        bench.put(number, size=60_000)
        bench.turn()
    bench.turn(3.0)
    assert bench.is_safe
    assert [event["event"] for event in bench.events].count("cold_store_full") == 1
    assert 10 < bench.diversion.diverted.total() < 20
    assert bench.diversion.diverted.total() + bench.lanes.waiting == 30
    assert len(bench.cold()) == bench.diversion.diverted.total()


def test_a_misplaced_reading_goes_to_the_cold_store_by_itself(bench: Bench) -> None:
    bench.put(1, is_misplaced=True)
    bench.put(2)
    bench.turn()
    assert (bench.arrived, bench.diversion.diverted, bench.is_safe) == ([2], {Cause.CRS: 1}, True)
    assert bench.cold() == [1]


@given(st.lists(st.sampled_from(["put", "late", "gone", "back", "slow", "fail"]), max_size=50))
def test_whatever_happens_what_was_put_is_in_kafka_or_in_the_cold_store(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("law"))
    count = 0
    for step in [*steps, "back", *["late"] * 20]:
        if step == "put" and bench.lanes.has_room():
            bench.put(count)
            count += 1
        elif step == "late":
            bench.turn(2.5)
        elif step == "slow":
            bench.kafka.times = [Answers(10, 0.6)]
        elif step in ("gone", "back", "fail"):
            bench.kafka.delay_s = None if step == "gone" else 0.0
            bench.kafka.error = NO_TOPIC if step == "fail" else None
        bench.turn()
    assert bench.is_safe
    cold = bench.cold()
    assert len(cold) == bench.diversion.diverted.total()
    assert set(bench.arrived) | set(cold) == set(range(count))
    assert not set(bench.arrived) & set(cold)


ROSE = BoundingBox(-3.0, 56.0, -1.0, 58.0)
GOOD: dict[str, Any] = {"crs": "EPSG:4326", "x": -2.1, "y": 57.1, "region": "north"}
BAD: dict[str, Any] = {**GOOD, "x": 57.1, "y": -2.1}


def guard(changes: list[str], clock: Callable[[], float]) -> PositionGuard:
    rule = CrsRule.model_validate({"failures": 3, "of": 5, "open_for": "10 s"})
    position = PositionRule(regions=(("north", ROSE),))
    return PositionGuard(rule, position, lambda change: changes.append(change.state), clock)


def test_only_a_burst_of_positions_that_fail_is_held_back_and_others_go_on() -> None:
    changes: list[str] = []
    now_s = 0.0
    tried = guard(changes, lambda: now_s)
    assert [tried.diverts(item) for item in (BAD, GOOD, GOOD, BAD, GOOD, GOOD)] == [False] * 6
    assert [tried.diverts(item) for item in (BAD, BAD, GOOD, BAD)] == [False, True, False, True]
    assert changes == ["open"]
    now_s = 10.0
    assert [tried.diverts(item) for item in (BAD, GOOD, GOOD, GOOD, GOOD)] == [True, False, False, False, False]
    assert changes == ["open", "half_open", "closed"]
    assert tried.diverts(BAD) is False


def test_positions_that_fail_still_when_tried_again_are_held_back_further() -> None:
    changes: list[str] = []
    now_s = 0.0
    tried = guard(changes, lambda: now_s)
    for _ in range(3):
        tried.diverts(BAD)
    now_s = 10.0
    assert [tried.diverts(BAD) for _ in range(4)] == [True] * 4
    assert changes == ["open", "half_open", "open"]


def test_what_has_no_position_is_for_the_job_to_refuse() -> None:
    tried = guard([], lambda: 0.0)
    items: list[Any] = [{}, {"crs": 4326, "x": 1, "y": 2}, {"crs": "EPSG:4326", "x": "1", "y": 2}]
    items.append(Unreadable(Refusal.UNEXPECTED_ERROR, "", b""))
    items.append({"crs": "EPSG:4326", "x": 10**400, "y": 2})
    assert [tried.diverts(item) for item in items * 5] == [False] * 25
    assert tried.breaker.is_closed
