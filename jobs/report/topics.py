"""Reads a deployment's topics for a page, committed records only."""

from __future__ import annotations

from collections.abc import Callable

from jobs.audit.claimed_time import ClaimedTime
from jobs.broker.topic_records import topic_records
from jobs.pipeline.config import Deployment
from jobs.report.gather import Gathered, Period
from jobs.report.timeline import Moment, Timeline
from udfs.rules import Rules


def read_topics(
    deployment: Deployment, rules: Rules, period: Period, since_ms: int | None, progress: Callable[[str], None]
) -> tuple[Gathered, list[Moment]]:
    """What the topics hold of a period.

    Parameters
    ----------
    since_ms : what Kafka got before is left out without looking at it, epoch ms by the records' stamps.

    Raises
    ------
    UnreadableTopic : there is no such topic, or no broker.
    """
    topics = deployment.topics
    gathered = Gathered(period)
    time = deployment.time
    timeline = Timeline(ClaimedTime(rules), time.out_of_orderness, time.idle_after, period)
    for topic, add in (
        (topics.raw, timeline.add),
        (topics.aligned, gathered.add_aligned),
        (topics.windows, gathered.add_windows),
        (topics.invalid_events, gathered.add_invalid),
        (topics.late_events, gathered.add_late),
    ):
        progress(f"reading {topic.name}")
        add(topic_records(deployment, topic.name, since_ms))
    return gathered, timeline.moments()
