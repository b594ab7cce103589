"""A generated run and what the reference job made of it, shared by the tests of generator and audit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jobs.broker.markers import end_marker
from jobs.generator.knobs import Knobs
from jobs.generator.lateness import LatenessOracle
from jobs.generator.ledger import Ledger
from jobs.generator.network import Network, make_network
from jobs.generator.render import SEQ_HEADER, Renderer
from jobs.generator.schedule import Block, Schedule
from tests.support.reference_job import RawMessage, ReferenceJob
from udfs.rules import BoundingBox, CellRule, LimitRule, PositionRule, Rules, StreamRule, WindowDefinition

TOPIC = "telemetry.raw"
NOW_MS = 1_790_000_000_000
PARTITIONS = 3
MINUTE = 60_000
RULES = Rules(
    streams=(
        StreamRule(
            "weather", ("air_temperature",), "degC", -60.0, 60.0, period_ms=10_000, allowed_lateness_ms=2 * MINUTE,
            windows=(
                WindowDefinition("5min", "sensor", 5 * MINUTE, 5 * MINUTE),
                WindowDefinition("by-cell", "cell", 15 * MINUTE, 5 * MINUTE),
            ),
        ),
        StreamRule(
            "air", ("pm*",), "ug/m3", 0.0, 2000.0, period_ms=10_000,
            windows=(WindowDefinition("5min", "sensor", 5 * MINUTE, 5 * MINUTE, early_every_ms=MINUTE),),
        ),
        StreamRule(
            "rivers", ("water_level",), "m", -20.0, 100.0, period_ms=10_000,
            windows=(WindowDefinition("by-region", "region", 15 * MINUTE, 15 * MINUTE, offset_ms=MINUTE),),
        ),
    ),
    position=PositionRule(
        "EPSG:3035",
        regions=(("grampian", BoundingBox(-5.0, 56.0, -1.0, 58.5)), ("rhine", BoundingBox(3.0, 50.0, 10.0, 54.0))),
    ),
    cell=CellRule("grid", 10_000.0),
    limits=LimitRule(max_body_bytes=20_000),
)  # fmt: skip
KNOBS = Knobs(
    readings=6_000, stations=40, stragglers=0.02, duplicates=0.03, conflicts=0.005, poison=0.03, oversized=1, avro=0.1
)


@dataclass(frozen=True)
class GeneratedRun:
    network: Network
    blocks: tuple[Block, ...]
    messages: tuple[RawMessage, ...]  # end markers included
    ledger_file: Path


def plan(rules: Rules = RULES, knobs: Knobs = KNOBS, partitions: int = PARTITIONS) -> tuple[Network, Schedule]:
    network = make_network(rules, knobs, partitions, NOW_MS)
    return network, Schedule(network, knobs, rules)


def generate(
    ledger_file: Path, rules: Rules = RULES, knobs: Knobs = KNOBS, partitions: int = PARTITIONS, *, exact: bool = False
) -> GeneratedRun:
    network, schedule = plan(rules, knobs, partitions)
    renderer = Renderer(network, schedule.kinds, rules)
    oracle = LatenessOracle(network, rules, partitions, exact=exact, fresh=True)
    ledger = Ledger(network, schedule.kinds, ledger_file)
    offsets = [0] * partitions
    messages: list[RawMessage] = []
    blocks = tuple(schedule)
    for block in blocks:
        ledger.add(block, oracle.judge(block))
        for value, key, partition, headers in renderer.render(block, np.arange(len(block.rows)), NOW_MS):
            messages.append(RawMessage(value, key, partition, offsets[partition], NOW_MS, headers))
            offsets[partition] += 1
    value, headers = end_marker(NOW_MS)
    ledger.add_controls(len(messages), partitions, NOW_MS)
    for partition in range(partitions):
        numbered = [*headers, (SEQ_HEADER, b"%d" % len(messages))]
        messages.append(RawMessage(value, b"", partition, offsets[partition], NOW_MS, numbered))
    ledger.close()
    return GeneratedRun(network, blocks, tuple(messages), ledger_file)


def process(run: GeneratedRun, rules: Rules = RULES, partitions: int = PARTITIONS, batch: int = 200) -> ReferenceJob:
    job = ReferenceJob(rules, TOPIC, partitions)
    job.run(run.messages, batch)
    return job


HEALTHY = replace(
    KNOBS, stragglers=0, duplicates=0, conflicts=0, poison=0, oversized=0, wrong_clocks=0, outages=0, disorder=0
)  # fmt: skip
