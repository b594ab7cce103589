"""`scripts/fuzz`: many cases in pieces, each with a seed of its own; what breaks the law is printed."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from random import Random

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.support.fuzzing import Judge, hostile_batch

_BATCH = 200  # records
_PIECE = 50  # batches of one search of hypothesis, which remembers all that it has tried


def fuzz(cases: int, first_seed: int) -> tuple[Counter[str], float]:
    """Judge at least so many records; what became of them, and the CPU seconds of the slowest batch.

    Raises
    ------
    AssertionError, or whatever the stages raise: with the record.
    """
    judge, piece, slowest_s = Judge(), first_seed, [0.0]
    while judge.fates.total() < cases:

        @seed(piece)
        @settings(
            max_examples=_PIECE,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(st.randoms(use_true_random=True))  # its seed only: each choice drawn costs thrice as much
        def search(rng: Random) -> None:
            batch = hostile_batch(rng, _BATCH)
            began = time.process_time()
            judge.judge(batch)
            slowest_s[0] = max(slowest_s[0], time.process_time() - began)

        search()
        piece += 1
    return judge.fates, slowest_s[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    began = time.monotonic()
    fates, slowest_s = fuzz(chosen.cases, chosen.seed)
    for fate, count in fates.most_common():
        print(f"{count:>10,}  {fate}")
    print(
        f"{fates.total():>10,}  cases, seed {chosen.seed}, {time.monotonic() - began:.0f} s: the law holds; "
        f"slowest batch of {_BATCH} {slowest_s:.1f} CPU s"
    )


if __name__ == "__main__":
    main()
