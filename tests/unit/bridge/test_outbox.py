"""The outbox: nothing is called safe that is not, nothing overtakes, nothing is sent twice without need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.bridge.envelope import Message, shortened
from jobs.bridge.outbox import Outbox, Receipt
from jobs.bridge.producer import OnAck
from jobs.bridge.spool import Spool

DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN)
NO_TOPIC = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)


class ScriptedSender:
    """A `Sender` whose answers the test gives: `answer` settles the oldest records at the next poll."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self._waiting: list[tuple[bytes, OnAck]] = []
        self._answers: list[KafkaError | None] = []
        self.arrived: list[bytes] = []

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    def send(self, topic: str, message: Message, on_ack: OnAck) -> None:
        self.sent.append(message.value)
        self._waiting.append((message.value, on_ack))

    def answer(self, count: int | None = None, error: KafkaError | None = None) -> None:
        self._answers += [error] * (len(self._waiting) if count is None else count)

    def poll(self) -> None:
        answers, self._answers = self._answers, []
        for error in answers:
            if self._waiting:
                value, on_ack = self._waiting.pop(0)
                if error is None:
                    self.arrived.append(value)
                on_ack(error, None)


class Bench:
    def __init__(self, folder: Path, max_in_flight: int = 100, spool_bytes: int = 1 << 30) -> None:
        self.now_s = 0.0
        self.sender = ScriptedSender()
        self.folder, self.spool_bytes, self.max_in_flight = folder, spool_bytes, max_in_flight
        self.start()
        self.receipts: list[Receipt] = []

    def start(self) -> None:
        self.spool = Spool(self.folder, self.spool_bytes)
        self.outbox = Outbox(
            self.sender,
            self.spool,
            max_in_flight=self.max_in_flight,
            max_in_flight_bytes=1 << 30,
            spool_after_s=2,
            clock=lambda: self.now_s,
        )

    def crash(self) -> None:
        """The process ends; what it had with Kafka's client is lost."""
        self.spool.close()
        self.sender = ScriptedSender()
        self.start()

    def put(self, *numbers: int, size: int = 1) -> None:
        for number in numbers:
            receipt = Receipt()
            self.outbox.put("raw", Message(b"k", b"%d " % number + b"x" * size, {}), receipt)
            self.receipts.append(receipt)

    def turn(self, after_s: float = 0.0) -> None:
        self.now_s += after_s
        self.outbox.turn()

    @property
    def safe(self) -> list[bool]:
        return [not receipt.unsafe for receipt in self.receipts]


def numbers(values: list[bytes]) -> list[int]:
    return [int(value.split()[0]) for value in values]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "spool")
    yield made
    made.spool.close()


def test_a_record_is_safe_when_kafka_has_it_and_not_before(bench: Bench) -> None:
    bench.put(0, 1)
    bench.turn()
    assert bench.safe == [False, False]
    bench.sender.answer(1)
    bench.turn()
    assert bench.safe == [True, False]
    assert len(bench.spool) == 0


def test_a_payload_is_safe_when_all_its_records_are(bench: Bench) -> None:
    receipt = Receipt()
    for number in range(3):
        bench.outbox.put("raw", Message(b"k", b"%d" % number, {}), receipt)
    bench.sender.answer(2)
    bench.turn()
    assert receipt.unsafe == 1
    bench.sender.answer()
    bench.turn()
    assert receipt.unsafe == 0


def test_what_waits_too_long_is_spooled_and_safe_and_not_sent_again(bench: Bench) -> None:
    bench.put(0, 1)
    bench.turn(1.9)
    assert bench.safe == [False, False]
    bench.turn(0.2)
    assert (bench.safe, len(bench.spool), bench.outbox.is_spooling) == ([True, True], 2, True)
    bench.sender.answer()
    bench.turn(1)
    assert (numbers(bench.sender.arrived), len(bench.spool)) == ([0, 1], 0)
    bench.turn(1)
    assert not bench.outbox.is_spooling
    assert len(bench.sender.sent) == 2


def test_while_spooling_records_are_safe_by_the_disk_and_leave_in_order(bench: Bench) -> None:
    bench.put(0)
    bench.turn(3)
    bench.put(*range(1, 300))
    bench.turn()
    assert all(bench.safe)
    for _ in range(20):
        bench.sender.answer()
        bench.turn(1)
    bench.put(300)
    bench.sender.answer()
    bench.turn(1)
    assert numbers(bench.sender.arrived) == list(range(301))
    assert (len(bench.spool), bench.outbox.is_spooling, all(bench.safe)) == (0, False, True)


def test_memory_is_bounded_while_kafka_is_away(bench: Bench) -> None:
    for number in range(5_000):
        if bench.outbox.has_room():
            bench.put(number)
        bench.turn(0.01)
        assert bench.sender.in_flight <= bench.max_in_flight
    assert len(bench.spool) > 4_000


def test_without_room_on_the_spool_nothing_more_is_taken_until_kafka_is_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "spool", max_in_flight=10, spool_bytes=1_000)
    bench.put(0, size=100)
    bench.turn(3)
    taken = 1
    while bench.outbox.has_room():
        bench.put(taken, size=100)
        taken += 1
        bench.turn(0.1)
        assert taken < 20
    assert bench.outbox.is_full
    assert bench.safe == [True] * (taken - 1) + [False]
    for _ in range(10):
        bench.sender.answer()
        bench.turn(1)
    assert numbers(bench.sender.arrived) == list(range(taken))
    assert (all(bench.safe), bench.outbox.is_full, bench.outbox.has_room()) == (True, False, True)
    bench.spool.close()


def test_a_spool_too_small_for_what_waits_leaves_it_with_the_sender(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "spool", spool_bytes=10)
    bench.put(0, 1)
    bench.turn(3)
    assert (bench.safe, bench.outbox.has_room()) == ([False, False], False)
    bench.sender.answer()
    bench.turn(2)
    bench.turn(2)
    assert (bench.safe, bench.outbox.has_room(), bench.sender.sent) == ([True, True], True, bench.sender.arrived)
    bench.spool.close()


def test_after_a_crash_what_is_on_the_spool_is_sent_first(bench: Bench) -> None:
    bench.put(0, 1, 2)
    bench.turn(3)
    bench.crash()
    bench.put(3)
    for _ in range(4):
        bench.turn(1)
        bench.sender.answer()
    bench.turn(1)
    assert numbers(bench.sender.arrived) == [0, 1, 2, 3]
    assert len(bench.spool) == 0


def test_what_kafka_fails_is_sent_again_in_order(bench: Bench) -> None:
    bench.put(*range(5))
    bench.sender.answer(2)
    bench.sender.answer(3, NO_TOPIC)
    bench.turn()
    assert (bench.safe, bench.outbox.has_room()) == ([True, True, False, False, False], False)
    for _ in range(4):
        bench.turn(1.1)
        bench.sender.answer()
    bench.turn(1.1)
    assert numbers(bench.sender.arrived) == list(range(5))
    assert (all(bench.safe), len(bench.spool), bench.outbox.has_room()) == (True, 0, True)


def test_what_kafka_fails_of_the_spool_is_sent_again_in_order(bench: Bench) -> None:
    bench.put(*range(5))
    bench.turn(3)
    bench.sender.answer(1)
    bench.sender.answer(4, NO_TOPIC)
    bench.turn(0.1)
    for _ in range(4):
        bench.turn(1.1)
        bench.sender.answer()
    bench.turn(1.1)
    assert sorted(set(numbers(bench.sender.arrived))) == list(range(5))
    assert numbers(bench.sender.arrived)[-4:] == [1, 2, 3, 4]
    assert len(bench.spool) == 0


def test_what_kafka_fails_is_sent_again_without_a_spool_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "spool", spool_bytes=10)
    bench.put(0, 1)
    bench.sender.answer(error=DOWN)
    bench.turn()
    bench.turn(1.1)
    bench.sender.answer()
    bench.turn(1.1)
    assert (numbers(bench.sender.arrived), bench.safe) == ([0, 1], [True, True])
    bench.spool.close()


def test_what_is_too_large_for_the_topic_goes_shortened_and_says_so(bench: Bench) -> None:
    bench.put(0, size=5_000)
    bench.sender.answer(error=TOO_LARGE)
    bench.turn()
    bench.sender.answer()
    bench.turn()
    assert (bench.safe, len(bench.sender.arrived[0])) == ([True], 1_024)
    headers = shortened(Message(b"k", b"x" * 5_000, {"content-type": b"application/json"}), "no").headers
    assert headers["bridge_original_bytes"] == b"5000"
    assert headers["content-type"].startswith(b"application/vnd.meridian.unreadable")


def test_at_the_end_all_is_safe_on_the_disk(bench: Bench) -> None:
    bench.put(0, 1)
    assert bench.outbox.secure()
    assert (all(bench.safe), len(bench.spool)) == (True, 2)


@example(["put", "fail", "late", "put", "fail", "late"])  # one on the spool fails while a later one waits with Kafka
@given(st.lists(st.sampled_from(["put", "turn", "late", "answer", "fail", "crash"]), max_size=60))
def test_whatever_happens_what_was_called_safe_arrives(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """The law of the bridge: acknowledged messages are a subset of what Kafka holds."""
    bench = Bench(tmp_path_factory.mktemp("law") / "spool", max_in_flight=5, spool_bytes=2_000)
    arrived: set[int] = set()
    safe: set[int] = set()
    count = 0
    for step in [*steps, *["answer", "late"] * 60]:
        if step == "put" and bench.outbox.has_room():
            bench.put(count)
            count += 1
        elif step == "late":
            bench.turn(2.5)
        elif step == "answer":
            bench.sender.answer()
        elif step == "fail":
            bench.sender.answer(1, NO_TOPIC)
        elif step == "crash":
            arrived |= set(numbers(bench.sender.arrived))
            bench.crash()
        bench.turn(0.1)
        safe |= {number for number, is_safe in enumerate(bench.safe) if is_safe}
    arrived |= set(numbers(bench.sender.arrived))
    assert safe <= arrived
    assert len(bench.spool) == 0
    bench.spool.close()
