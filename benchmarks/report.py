"""What every variant is asked and answers: the same command line, one JSON line at the end."""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import asdict, dataclass


@dataclass
class Result:
    """What a variant says of its own run.

    `began_s` and `ended_s` are wall times of the first record and of the last acknowledgement; `cpu_s` is user and
    system time in between, `cpu_total_s` with start-up.
    """

    variant: str
    work: str
    records: int
    began_s: float
    ended_s: float
    cpu_s: float
    cpu_total_s: float
    max_rss_mb: float

    def line(self) -> str:
        seconds = self.ended_s - self.began_s
        answer = asdict(self) | {"seconds": seconds}
        answer = {name: round(value, 3) if isinstance(value, float) else value for name, value in answer.items()}
        if self.records and seconds > 0:
            answer["readings_per_s"] = round(self.records / seconds)
            answer["cpu_s_per_million"] = round(self.cpu_s / self.records * 1e6, 2)
        return json.dumps(answer)


def parser_of(description: str, works: tuple[str, ...] = ("windows", "whole")) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--raw", required=True, help="the raw topic; it is read to where it ends now")
    parser.add_argument("--work", choices=works, required=True)
    parser.add_argument("--out-prefix", required=True, help="output topics are PREFIX.windows, PREFIX.late_events …")
    parser.add_argument("--group", default="bench", help="consumer group or name of the run")
    return parser


class Stopwatch:
    """Notes the first record and the end of one process."""

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._cpu_before_s = 0.0

    def start(self) -> None:
        """Call with each batch: the first one counts."""
        if self._began_s is None:
            self._began_s = time.time()
            self._cpu_before_s = time.process_time()

    def stop(self, variant: str, work: str, records: int) -> Result:
        ended_s, cpu_s = time.time(), time.process_time()
        began_s = ended_s if self._began_s is None else self._began_s
        rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Result(variant, work, records, began_s, ended_s, cpu_s - self._cpu_before_s, cpu_s, rss_mb)


def together(results: list[Result]) -> Result:
    """One result of several processes that ran side by side."""
    first = results[0]
    return Result(
        first.variant if len(results) == 1 else f"{first.variant} x{len(results)}",
        first.work,
        sum(r.records for r in results),
        min(r.began_s for r in results),
        max(r.ended_s for r in results),
        sum(r.cpu_s for r in results),
        sum(r.cpu_total_s for r in results),
        sum(r.max_rss_mb for r in results),
    )
