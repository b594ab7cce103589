"""What instrumentation costs is a ratio of medians, to the side without."""

from __future__ import annotations

from benchmarks.overhead import WITH, WITHOUT, Drained, summarise
from benchmarks.point import Measured
from benchmarks.verdict import Verdict


def drained(side: str, cpu_s_per_million: float) -> Drained:
    return Drained(side, Measured(10.0, 50_000.0, cpu_s_per_million, 900.0, [], [], 0, 0, Verdict()))


def test_the_ratio_is_that_of_the_medians() -> None:
    runs = [drained(WITHOUT, c) for c in (20.0, 21.0, 90.0)] + [drained(WITH, c) for c in (21.42, 5.0, 30.0)]
    without, with_all = summarise(runs)
    assert (without["cpu_ratio"], with_all["cpu_ratio"]) == (1.0, 1.02)
    assert with_all["each_cpu_s_per_million"] == [21.42, 5.0, 30.0]
    assert with_all["meets_goal"] and not summarise([*runs, drained(WITH, 40.0), drained(WITH, 40.0)])[1]["meets_goal"]
