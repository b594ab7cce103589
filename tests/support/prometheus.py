"""Asking a Prometheus: https://prometheus.io/docs/prometheus/latest/querying/api/."""

from __future__ import annotations

import math
from typing import Any

import requests


class Prometheus:
    """The server of a stack that was started with `--observe`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, **parameters: str) -> Any:
        answer = requests.get(f"{self._url}/api/v1/{path}", params=parameters, timeout=10).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def names(self) -> set[str]:
        """All names of metrics that it holds."""
        return set(self.get("label/__name__/values"))

    def numbers(self, query: str) -> list[float]:
        """The values of an instant query that are numbers."""
        values = [float(sample["value"][1]) for sample in self.get("query", query=query)["result"]]
        return [value for value in values if not math.isnan(value)]

    def firing(self, **labels: str) -> set[str]:
        """Names of the alerts that fire, of those with these labels."""
        found = [alert for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"]
        return {a["labels"]["alertname"] for a in found if labels.items() <= a["labels"].items()}
