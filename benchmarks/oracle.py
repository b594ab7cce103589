"""Reads the raw topic and a variant's output topics, and says whether the variant did its work.

    python -m benchmarks.oracle --bootstrap … --raw bench.whole.raw --work whole --out-prefix bench.whole.plain

Exit codes: 0 correct, 1 not. Only committed records count.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator

from confluent_kafka import Consumer, KafkaError

from benchmarks.broker_io import end_offsets, make_consumer, read_to_end
from benchmarks.settings import Topics, Work
from benchmarks.truth import Folder, Raw, Truth
from benchmarks.verdict import GRACE, Judge, Verdict

_GROUP = "bench-oracle"


def read_truth(bootstrap: str, raw: str) -> Truth:
    """Fold the raw topic; several variants can be judged by one truth."""
    folder = Folder()
    consumer = make_consumer(bootstrap, _GROUP)
    try:
        for batch in read_to_end(consumer, raw, end_offsets(consumer, raw)):
            folder.add(
                Raw(m.partition(), m.offset(), m.timestamp()[1], m.value() or b"")  # type: ignore[arg-type]
                for m in batch
            )
    finally:
        consumer.close()
    return folder.truth()


def judge(
    truth: Truth, bootstrap: str, topics: Topics, work: Work, grace: int = GRACE, late_topic: bool = True
) -> Verdict:
    """Compare a variant's topics with the truth; topics that it does not have are empty."""
    judge = Judge(truth, work, grace, late_topic)
    steps: list[tuple[str, Callable[[list[bytes]], None]]] = [
        (topics.late, judge.add_late),
        (topics.windows, judge.add_windows),
    ]
    if work == "whole":
        steps += [
            (topics.aligned, judge.add_aligned),
            (topics.invalid, judge.add_invalid),
            (topics.accounting, judge.add_accounting),
        ]
    consumer = make_consumer(bootstrap, _GROUP)
    try:
        for topic, add in steps:
            for values in _values(consumer, topic):
                add(values)
    finally:
        consumer.close()
    return judge.verdict()


def _values(consumer: Consumer, topic: str) -> Iterator[list[bytes]]:
    found = consumer.list_topics(topic, timeout=30).topics[topic].error
    if found is not None and found.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return
    for batch in read_to_end(consumer, topic, end_offsets(consumer, topic)):
        yield [value for message in batch if (value := message.value())]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare a variant's topics with what the raw topic says.")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--raw", required=True)
    parser.add_argument("--work", choices=("windows", "whole"), required=True)
    parser.add_argument("--out-prefix", required=True)
    parser.add_argument("--grace", type=int, default=GRACE, help="offsets before which late readings may be let in")
    parser.add_argument("--no-late-topic", action="store_true", help="the variant drops what is late")
    given = parser.parse_args()
    truth = read_truth(given.bootstrap, given.raw)
    topics, late_topic = Topics(given.out_prefix), not given.no_late_topic
    verdict = judge(truth, given.bootstrap, topics, given.work, given.grace, late_topic)
    answer = {"correct": verdict.correct, "problems": verdict.problems, "figures": verdict.figures}
    print(json.dumps({**answer, "samples": verdict.samples}, default=str))
    sys.exit(0 if verdict.correct else 1)


if __name__ == "__main__":
    main()
