"""A push endpoint whose Kafka is gone: batches are answered once the cold store has them."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import orjson

from jobs.bridge.breakers.diversion import open_diversion
from jobs.bridge.journal import Journal
from jobs.bridge.rest.config import PushBridge
from jobs.bridge.rest.push.batch import Batch, Outcome
from jobs.bridge.rest.push.sender import PushSender
from jobs.cold.layout import cold_files
from jobs.pipeline.config import Deployment

DEPLOYMENT = Deployment.model_validate(
    {
        "name": "d",
        "kafka": {"bootstrap_servers": "127.0.0.1:9"},  # the port of `discard`, where nothing listens
        "streams": [{"name": "weather", "metrics": ["*"], "unit": "degC"}],
    }
)
CONFIG = PushBridge.model_validate(
    {
        "name": "p",
        "deployment": "d.yaml",
        "auth": {"kind": "none"},
        "limits": {"ack_timeout": "1 s"},
        "breakers": {"cold": {"folder": "cold"}, "kafka": {"gone_after": "500 ms"}},
        "shedding": {"alarms": [{"stream": "weather", "above": 50.0}]},
        "feeds": [{"name": "readings", "adapter": "meridian"}],
    }
)


def send(sender: PushSender, *event_ids: str) -> Outcome:
    over, found = threading.Event(), []

    def done(outcome: Outcome) -> None:
        found.append(outcome)
        over.set()

    fields = {"sensor_id": "s", "metric": "air_temperature", "value": 1.5, "unit": "degC", "event_time": 1_796_052_600}
    body = orjson.dumps([{"event_id": event_id, **fields} for event_id in event_ids])
    sender.submit(Batch("readings", [body], {}, time.time_ns() // 1_000_000, done))
    assert over.wait(30)
    return found[0]


def test_a_batch_is_over_once_the_cold_store_has_it_and_the_account_says_so(tmp_path: Path) -> None:
    assert CONFIG.breakers is not None
    lines = io.StringIO()
    journal = Journal("p", lines)
    diversion = open_diversion(CONFIG.breakers, "p", tmp_path, DEPLOYMENT.topics.raw.name, journal.event)
    sender = PushSender(CONFIG, DEPLOYMENT, journal, diversion)
    sender.start()
    try:
        first = send(sender, "a", "b")
        assert (first.failed, diversion.breaker.is_closed) == (2, False)
        assert not sender.is_away
        second = send(sender, "c", "d", "e")
        assert (second.failed, second.readings) == (0, 3)
    finally:
        sender.stop()
    records = [record for file in cold_files(tmp_path / "cold") for record in file.records()]
    raw = [record for record in records if record.topic == DEPLOYMENT.topics.raw.name]
    assert [orjson.loads(record.message.value)["event_id"] for record in raw] == ["c", "d", "e"]
    [report] = [orjson.loads(r.message.value) for r in records if r.topic == DEPLOYMENT.topics.accounting.name]
    assert (report["end_number"], report["cold"]) == (6, [[3, 6]])
    assert orjson.loads(lines.getvalue().splitlines()[0])["cause"] in ("gone", "failing")
