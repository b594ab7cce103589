"""A bridge's own counters as metrics: it hands them over now and then, so that its loop is not in a scrape's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_COUNTERS: Final = {
    "received": ("meridian_bridge_received_messages", "Messages that came"),
    "come_again": ("meridian_bridge_repeated_messages", "Messages that the broker sent again"),
    "acknowledged": ("meridian_bridge_acknowledged_messages", "Messages that are safe, as the sender was told"),
    "unreadable": ("meridian_bridge_unreadable_payloads", "Payloads that no adapter could read"),
    "delivered": ("meridian_bridge_delivered_records", "Records that Kafka has"),
}
_GAUGES: Final = {
    "connected": ("meridian_bridge_connected", "Whether the source is connected: 1 or 0"),
    "in_flight": ("meridian_bridge_in_flight_records", "Records that Kafka has not acknowledged"),
    "spool_records": ("meridian_bridge_spooled_records", "Records that wait on the disk"),
    "spool_bytes": ("meridian_bridge_spool_bytes", "Size of the spool"),
}
_COLD_GAUGES: Final = {
    "cold_records": ("meridian_bridge_cold_records", "Records in the cold store that wait to be sent again"),
    "cold_bytes": ("meridian_bridge_cold_bytes", "Size of the cold store's files that wait to be sent again"),
}
_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}


class BridgeCollector(Collector):
    """The figures of one bridge, as it gave them last.

    Parameters
    ----------
    bridge : its name.
    """

    def __init__(self, bridge: str) -> None:
        self._labels = [bridge]
        self.figures: Mapping[str, Any] = {}
        """What the bridge's journal calls `counters`; replaced as a whole, and never changed."""

    def collect(self) -> Iterator[Metric]:
        figures = self.figures
        for key, (name, text) in _COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=["bridge"])
            counter.add_metric(self._labels, figures.get(key, 0))
            yield counter
        gauges = _GAUGES | (_COLD_GAUGES if "cold_records" in figures else {})
        for key, (name, text) in gauges.items():
            gauge = GaugeMetricFamily(name, text, labels=["bridge"])
            gauge.add_metric(self._labels, float(figures.get(key, 0)))
            yield gauge
        shed = CounterMetricFamily("meridian_bridge_shed_readings", "Readings let go", labels=["bridge", "reason"])
        for reason, count in figures.get("shed", {}).items():
            shed.add_metric([*self._labels, reason], count)
        yield shed
        yield from self._breakers(figures)

    def _breakers(self, figures: Mapping[str, Any]) -> Iterator[Metric]:
        """Nothing of a bridge without breakers."""
        labels = ["bridge", "breaker"]
        state = GaugeMetricFamily(
            "meridian_bridge_breaker_state", "State of a breaker: 0 closed, 1 half open, 2 open", labels=labels
        )
        transitions = CounterMetricFamily(
            "meridian_bridge_breaker_transitions", "Changes of a breaker's state", labels=[*labels, "state", "cause"]
        )
        for name, breaker in figures.get("breakers", {}).items():
            state.add_metric([*self._labels, name], _STATES[breaker["state"]])
            for key, count in breaker["transitions"].items():
                transitions.add_metric([*self._labels, name, *key.split("/")], count)
        diverted = CounterMetricFamily(
            "meridian_bridge_diverted_records", "Records put into the cold store", labels=["bridge", "cause"]
        )
        for cause, count in figures.get("diverted", {}).items():
            diverted.add_metric([*self._labels, cause], count)
        yield from (state, transitions, diverted)
