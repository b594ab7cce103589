"""Runs baselines and product alternately on the same topic, and judges each run by the oracle.

The machine may be shared: what counts are the ratios between neighbours of one run, and CPU seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import oracle
from benchmarks.broker_io import delete_topics
from benchmarks.settings import Topics, Work
from benchmarks.workload import Workload, ending_at, send_all

BASELINE = "plain-loop"
_TIMEOUT_S = 3_600
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Variant:
    """One way to do a work: a module of this package with the common command line."""

    name: str
    module: str
    works: tuple[Work, ...] = ("windows", "whole")
    arguments: tuple[str, ...] = ()
    python: str = sys.executable
    is_peer: bool = False  # lives in an environment of its own
    late_topic: bool = True


VARIANTS = (
    Variant(BASELINE, "benchmarks.plain_loop"),
    Variant("plain-loop x2", "benchmarks.plain_loop", arguments=("--processes", "2")),
    Variant("meridian", "benchmarks.meridian_job"),
    Variant("meridian-process", "benchmarks.meridian_job", arguments=("--execution-mode", "process")),
    Variant("textbook-pyflink", "benchmarks.textbook_pyflink", works=("windows",)),
    Variant("bytewax", "benchmarks.bytewax_flow", is_peer=True),
    Variant("bytewax-operators", "benchmarks.bytewax_flow", works=("whole",), arguments=("--operators",), is_peer=True),
    Variant("quixstreams", "benchmarks.quixstreams_app", works=("windows",), is_peer=True),
    Variant("spark", "benchmarks.spark_job", works=("windows",), is_peer=True, late_topic=False),
)


@dataclass(frozen=True)
class Run:
    """One run of a variant as it spoke of itself, and what the oracle says."""

    variant: str
    work: Work
    readings_per_s: float
    cpu_s_per_million: float
    peak_rss_mb: float
    correct: bool
    problems: dict[str, int]


class VariantFailed(RuntimeError):  # noqa: N818
    """A variant ended without a result."""


def prepare(work: Work, records: int, bootstrap: str, sensors: int, say: Callable[[str], None]) -> str:
    """Fill a fresh raw topic; its name."""
    topic = f"bench.{work}.raw"
    delete_topics(bootstrap, [topic])
    workload = ending_at(Workload(work, records, 0, sensors=sensors), time.time_ns() // 1_000_000)
    say(f"{work}: {records:,} readings of {sensors:,} sensors into {topic}")
    send_all(workload, bootstrap, topic, processes=2)
    return topic


def alternate(
    work: Work, variants: list[Variant], rounds: int, bootstrap: str, topic: str, say: Callable[[str], None]
) -> Iterator[Run]:
    """Run each variant once a round, in an order that turns, so that no one always comes after the same neighbour."""
    say(f"{work}: the oracle reads {topic}")
    truth = oracle.read_truth(bootstrap, topic)
    for number in range(rounds):
        for variant in variants[number % len(variants) :] + variants[: number % len(variants)]:
            topics = Topics(f"bench.{work}.{variant.name.replace(' ', '-')}")
            delete_topics(bootstrap, topics.all)
            say(f"{work}: {variant.name}, round {number + 1} of {rounds}")
            answer = run_variant(variant, work, bootstrap, topic, topics.prefix)
            verdict = oracle.judge(truth, bootstrap, topics, work, late_topic=variant.late_topic)
            delete_topics(bootstrap, topics.all)
            yield Run(
                variant.name,
                work,
                answer["readings_per_s"],
                answer["cpu_s_per_million"],
                answer["max_rss_mb"],
                verdict.correct,
                verdict.problems,
            )


def summarise(runs: list[Run]) -> list[dict[str, Any]]:
    """One object per work and variant: medians over the rounds, and ratios to the plain loop of the same work."""
    rows = []
    for work, variant in dict.fromkeys((run.work, run.variant) for run in runs):
        mine = [run for run in runs if (run.work, run.variant) == (work, variant)]
        base = [run for run in runs if (run.work, run.variant) == (work, BASELINE)]
        rate, cpu_s = (median(getattr(r, name) for r in mine) for name in ("readings_per_s", "cpu_s_per_million"))
        row = {
            "work": work,
            "variant": variant,
            "readings_per_s": round(rate),
            "cpu_s_per_million": round(cpu_s, 2),
            "peak_rss_mb": round(max(r.peak_rss_mb for r in mine)),
            "ratio_to_plain_loop": round(rate / median(r.readings_per_s for r in base), 3) if base else None,
            "cpu_ratio_to_plain_loop": round(cpu_s / median(r.cpu_s_per_million for r in base), 2) if base else None,
            "correct": all(r.correct for r in mine),
            "rounds": len(mine),
        }
        rows.append(row)
    return rows


def run_variant(variant: Variant, work: Work, bootstrap: str, topic: str, prefix: str) -> dict[str, Any]:
    """Run a variant over a topic; what it says of itself."""
    command = [variant.python, "-m", variant.module, "--bootstrap", bootstrap, "--raw", topic, "--work", work]
    command += ["--out-prefix", prefix, "--group", prefix, *variant.arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, cwd=_ROOT)
    if done.returncode:
        raise VariantFailed(f"{variant.name} ended with {done.returncode}: {(done.stdout + done.stderr)[-1_500:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])  # type: ignore[no-any-return]
