"""A bridge's own counters as metrics. docs/metrics.md lists them by kind of bridge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jobs.bridge.page import Figures


class _Family(NamedTuple):
    make: type[CounterMetricFamily] | type[GaugeMetricFamily]
    name: str
    text: str
    labels: tuple[str, ...] = ()
    """Besides `bridge`."""


_C, _G = CounterMetricFamily, GaugeMetricFamily
_FEED: Final = ("feed",)
FAMILIES: Final = {
    "received": _Family(_C, "received_messages", "Messages that came"),
    "come_again": _Family(_C, "repeated_messages", "Messages that the broker sent again"),
    "acknowledged": _Family(_C, "acknowledged_messages", "Messages that are safe, as the sender was told"),
    "unreadable": _Family(_C, "unreadable_payloads", "Payloads that no adapter could read"),
    "delivered": _Family(_C, "delivered_records", "Records that Kafka has"),
    "shed": _Family(_C, "shed_readings", "Readings let go", ("reason",)),
    "requests": _Family(_C, "requests", "HTTP requests by the status of their answer", ("feed", "status")),
    "retries": _Family(_C, "retries", "Requests made again", _FEED),
    "failed_polls": _Family(_C, "failed_polls", "Polls that the source failed", _FEED),
    "readings": _Family(_C, "readings", "Readings that Kafka has", _FEED),
    "repeated_readings": _Family(_C, "repeated_readings", "Readings not sent since they had been", _FEED),
    "gaps": _Family(_C, "gaps", "Gaps found in series", _FEED),
    "missing": _Family(_C, "missing_readings", "Readings that gaps lack", _FEED),
    "filled": _Family(_C, "filled_readings", "Readings that came late into gaps", _FEED),
    "silent": _Family(_G, "silent_series", "Series that have stopped", _FEED),
    "cursor_s": _Family(_G, "cursor_timestamp_seconds", "Up to where the source was asked", _FEED),
    "newest_s": _Family(_G, "newest_event_timestamp_seconds", "Newest event time that has come", _FEED),
    "polled_s": _Family(_G, "last_poll_timestamp_seconds", "When a page was last committed", _FEED),
    "backfill_done": _Family(_G, "backfill_done_ratio", "Part of a backfill that is done", _FEED),
    "connected": _Family(_G, "connected", "Whether the source is connected: 1 or 0"),
    "in_flight": _Family(_G, "in_flight_records", "Records that Kafka has not acknowledged"),
    "spool_records": _Family(_G, "spooled_records", "Records that wait on the disk"),
    "spool_bytes": _Family(_G, "spool_bytes", "Size of the spool"),
    "waiting_bytes": _Family(_G, "waiting_bytes", "Bodies that wait for Kafka"),
    "cold_records": _Family(_G, "cold_records", "Records in the cold store that wait to be sent again"),
    "cold_bytes": _Family(_G, "cold_bytes", "Size of the cold store's files that wait to be sent again"),
    "diverted": _Family(_C, "diverted_records", "Records put into the cold store", ("cause",)),
    "breaker_state": _Family(_G, "breaker_state", "State of a breaker: 0 closed, 1 half open, 2 open", ("breaker",)),
    "breaker_transitions": _Family(
        _C, "breaker_transitions", "Changes of a breaker's state", ("breaker", "state", "cause")
    ),
    "kafka_away": _Family(_G, "kafka_away", "Whether Kafka took nothing just now: 1 or 0"),
}
"""By the key of a bridge's figures; a bridge shows those that it has."""
_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}


class BridgeCollector(Collector):
    """The figures of one bridge, asked for at each scrape.

    Parameters
    ----------
    bridge : its name.
    figures
        A number for each key; where there are labels besides `bridge`, numbers by their values: a text, or a tuple.
    """

    def __init__(self, bridge: str, figures: Figures) -> None:
        self._bridge, self._figures = bridge, figures

    def collect(self) -> Iterator[Metric]:
        figures = _with_breakers(self._figures())
        for key, family in FAMILIES.items():
            if key in figures:
                metric = family.make(f"meridian_bridge_{family.name}", family.text, labels=["bridge", *family.labels])
                for labels, value in _by_labels(figures[key]):
                    metric.add_metric([self._bridge, *labels], float(value))
                yield metric


def _with_breakers(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of what a bridge says of its breakers, a figure for each family."""
    breakers: Mapping[str, Any] = figures.get("breakers", {})
    if not breakers:
        return figures
    transitions = {(name, *to.split("/")): n for name, b in breakers.items() for to, n in b["transitions"].items()}
    states = {name: _STATES[breaker["state"]] for name, breaker in breakers.items()}
    return {**figures, "breaker_state": states, "breaker_transitions": transitions}


def _by_labels(figure: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(figure, Mapping):
        yield (), figure
        return
    for labels, value in figure.items():
        yield (labels if isinstance(labels, tuple) else (labels,)), value
