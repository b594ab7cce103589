"""The bridges' demo in small: Mosquitto, a REST service and HTTP push feed the whole job, and a reading is followed."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.support import ROOT, Stack, committed, members, meridian
from tests.support.mosquitto import needs_mosquitto

pytestmark = pytest.mark.extended

FIELD = ROOT / "flink-conf" / "deployments" / "field.yaml"


@needs_mosquitto
def test_the_accounts_close_and_each_reading_can_be_followed(stack: Stack) -> None:
    result = meridian("demo", "bridges", "--readings", "5000", "--rate", "250", timeout_s=540)
    closed = next(line for line in result.stderr.splitlines() if line.startswith("closed: "))
    found = re.search(r"= ([\d,]+) sent = ([\d,]+) distinct.* = ([\d,]+) aligned \+ ([\d,]+) invalid", closed)
    sent, distinct, aligned, invalid = (int(text.replace(",", "")) for text in found.groups())  # type: ignore[union-attr]
    assert sent == distinct == aligned + invalid
    assert aligned > 4_000 and invalid > 0
    assert not members(stack, "jobs.cli.main bridge") and not members(stack, "mosquitto")
    assert not stack.rest.running("meridian-field")

    rows = [row for row in committed(stack, "field.aligned") if row["stream"] == "rivers"]
    [journey] = json.loads(meridian("trace", rows[0]["event_id"], "--config", FIELD, "--json").stdout)
    names = [stage["name"] for stage in journey]
    assert names[:4] == ["device", "bridge received", "kafka appended", "aligned"]
    assert Counter(names[4:]) in (Counter(window=1), Counter(late=1))
    assert journey[1]["where"].endswith("/nwis/iv/")
    times = [stage["time_ms"] for stage in journey[:4]]
    assert times == sorted(times)

    unknown = meridian("trace", "no-such-event", "--config", FIELD, check=False)
    assert unknown.returncode == 1 and "nothing in field.raw" in unknown.stderr


def test_a_topic_that_is_not_there_is_named(stack: Stack, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    text = FIELD.read_text().replace("field.raw", "no.such.topic")
    other.write_text(text)
    result = meridian("trace", "0" * 31 + "1", "--config", other, check=False)
    assert result.returncode == 3 and "topic no.such.topic" in result.stderr
