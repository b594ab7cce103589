"""Lanes: alarms do not wait for routine, routine does not starve, and each lane keeps its order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.bridge.envelope import Message
from jobs.bridge.lanes import Lane, Lanes, Outgoing
from jobs.bridge.outbox import Receipt
from jobs.bridge.producer import OnAck
from jobs.bridge.spool import Spool


class SlowKafka:
    """A `Sender` that acknowledges so many records at each poll, and notes them in a list that both lanes share."""

    last_error = None

    def __init__(self, arrived: list[bytes]) -> None:
        self.arrived = arrived
        self.per_poll = 0
        self._waiting: list[tuple[bytes, OnAck]] = []

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    def send(self, topic: str, message: Message, on_ack: OnAck) -> None:
        self._waiting.append((message.value, on_ack))

    def poll(self, timeout_s: float = 0) -> None:
        for _ in range(min(self.per_poll, len(self._waiting))):
            value, on_ack = self._waiting.pop(0)
            self.arrived.append(value)
            on_ack(None, None)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.now_s = 0.0
        self.arrived: list[bytes] = []
        self.kafka = [SlowKafka(self.arrived), SlowKafka(self.arrived)]
        self.lanes = Lanes(self._lane(folder / "routine", 0), self._lane(folder / "alarms", 1))

    def _lane(self, folder: Path, number: int) -> Lane:
        lane = Lane(
            self.kafka[number],  # type: ignore[arg-type]
            Spool(folder, 1 << 20),
            max_in_flight=4,
            max_in_flight_bytes=1 << 20,
            spool_after_s=2,
        )
        lane.outbox._clock = lambda: self.now_s
        return lane

    def put(self, *names: str) -> Receipt:
        receipt = Receipt()
        for name in names:
            message = Message(b"k", name.encode(), {})
            self.lanes.put(Outgoing("raw", message, is_alarm=name.startswith("a")), receipt)
        return receipt

    def turn(self, per_poll: int, after_s: float = 0.1) -> None:
        self.now_s += after_s
        for kafka in self.kafka:
            kafka.per_poll = per_poll
        self.lanes.turn()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.lanes.close()


def test_an_alarm_overtakes_the_backlog_in_the_client_and_on_the_spool(bench: Bench) -> None:
    bench.put(*(f"r{n}" for n in range(4)))
    bench.turn(0, after_s=3.0)  # Kafka hangs, and routine is spooled
    bench.put(*(f"r{n}" for n in range(4, 100)))
    bench.turn(0)
    assert bench.lanes.backlog == 100
    bench.put("a0", "a1")
    bench.turn(1)
    bench.turn(1)
    assert bench.arrived[:3] == [b"a0", b"r0", b"a1"]


def test_routine_goes_on_under_a_flood_of_alarms_and_each_lane_keeps_its_order(bench: Bench) -> None:
    sent = {"r": 0, "a": 0}
    for _ in range(200):
        while bench.lanes.has_room():
            for kind in "ra":
                bench.put(f"{kind}{sent[kind]}")
                sent[kind] += 1
        bench.turn(1)
    for kind in (b"r", b"a"):
        numbers = [int(value[1:]) for value in bench.arrived if value.startswith(kind)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= 190


def test_a_payload_is_safe_when_its_records_are_in_both_lanes(bench: Bench) -> None:
    receipt = bench.put("r0", "a0")
    bench.kafka[1].per_poll = 1
    bench.lanes.turn()
    assert receipt.unsafe == 1
    bench.turn(1)
    assert (receipt.unsafe, bench.lanes.waiting, bench.lanes.counters.delivered) == (0, 0, 2)


def test_at_the_end_both_lanes_are_safe_on_the_disk(bench: Bench) -> None:
    receipt = bench.put("r0", "a0")
    assert bench.lanes.secure()
    assert (receipt.unsafe, bench.lanes.spool_records, bench.lanes.is_spooling) == (0, 2, True)
