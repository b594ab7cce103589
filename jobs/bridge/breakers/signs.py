"""What a bridge can see of a failing downstream, and when it is enough. Pure: figures and time are given."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from jobs.bridge.breakers.breaker import Cause
from jobs.bridge.breakers.config import CrsRule, KafkaRule


class Answers(NamedTuple):
    """Answers of a broker in a short interval: how many, and how long the quickest one took, in seconds."""

    number: int
    quickest_s: float


class Figures(NamedTuple):
    """Where a bridge's way to Kafka stands: counters since the start, and what Kafka has not answered."""

    delivered: int
    failed: int
    unanswered: int


class KafkaSigns:
    """Tells a Kafka that is slow, failing or gone.

    Slow is judged by the time of whole requests on the wire, so that records which wait in this process's own queue, as
    they do behind a spool that is being sent, do not make Kafka look slow.
    """

    def __init__(self, rule: KafkaRule, now_s: float) -> None:
        self._rule = rule
        self._slow = self._failed = 0
        self._seen = Figures(0, 0, 0)
        self._alive_s = now_s

    def answered(self, answers: Answers) -> Cause | None:
        """Take the answers of an interval; SLOW once so many in a row were slow.

        Nothing is known of their order, so an interval with one quick answer ends the row.
        """
        if answers.number:
            self._slow = self._slow + answers.number if answers.quickest_s > self._rule.slow_after / 1000 else 0
        return Cause.SLOW if self._slow >= self._rule.slow_calls else None

    def look(self, figures: Figures, now_s: float) -> Cause | None:
        """Compare with the last look; FAILING or GONE, if so."""
        delivered = figures.delivered > self._seen.delivered
        if delivered or not figures.unanswered:
            self._alive_s = now_s
        self._failed = (0 if delivered else self._failed) + figures.failed - self._seen.failed
        self._seen = figures
        if self._failed >= self._rule.failures:
            return Cause.FAILING
        return Cause.GONE if now_s - self._alive_s >= self._rule.gone_after / 1000 else None

    def forget(self, now_s: float) -> None:
        """Begin anew: what was seen before a change of state says nothing about what comes after it."""
        self._slow = self._failed = 0
        self._alive_s = now_s


class Burst:
    """Tells a burst of failures among the newest verdicts."""

    def __init__(self, rule: CrsRule) -> None:
        self._rule = rule
        self._verdicts: deque[bool] = deque(maxlen=rule.of)
        self._failures = 0

    def add(self, failed: bool) -> None:
        if len(self._verdicts) == self._rule.of:
            self._failures -= self._verdicts[0]
        self._verdicts.append(failed)
        self._failures += failed

    @property
    def is_on(self) -> bool:
        return self._failures >= self._rule.failures

    @property
    def is_over(self) -> bool:
        """Whether as many verdicts as are looked at hold no burst."""
        return len(self._verdicts) == self._rule.of and not self.is_on

    def forget(self) -> None:
        self._verdicts.clear()
        self._failures = 0
