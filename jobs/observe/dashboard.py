"""Grafana's JSON of the dashboard that flink-conf/observe/dashboards describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

QUANTILES: Final = (0.5, 0.99, 0.999)
_COLUMNS, _WIDTH, _HEIGHT = 4, 6, 8  # of a grid that is 24 wide
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


def queries(panel: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(PromQL, legend) of each line of a panel."""
    if "expr" in panel:
        return [(panel["expr"], panel["legend"])]
    return [(f"histogram_quantile({q:g}, {panel['quantiles']})", f"p{q * 100:g}") for q in QUANTILES]


def panels(description: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for row in description["rows"]:
        yield from row["panels"]


def grafana(description: Mapping[str, Any]) -> dict[str, Any]:
    """The dashboard, for Grafana 9 and newer: to import, or for its folder of provisioned ones.

    Parameters
    ----------
    description
        `title`, `uid` and `rows` of `panels`: `title`, `unit` (Grafana's), and either `expr` with `legend`, or
        `quantiles`: the rates of a histogram's buckets by `le`.
    """
    drawn: list[dict[str, Any]] = []
    y = 0
    for row in description["rows"]:
        drawn.append(_placed({"type": "row", "title": row["title"]}, len(drawn), 0, y, 24, 1))
        y += 1
        for index, panel in enumerate(row["panels"]):
            x, line = index % _COLUMNS * _WIDTH, index // _COLUMNS * _HEIGHT
            drawn.append(_placed(_graph(panel), len(drawn), x, y + line, _WIDTH, _HEIGHT))
        y += -(-len(row["panels"]) // _COLUMNS) * _HEIGHT
    return {
        "title": description["title"],
        "uid": description["uid"],
        "schemaVersion": 38,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
                {
                    "name": "job",
                    "type": "query",
                    "label": "Job",
                    "datasource": _SOURCE,
                    "query": "label_values(flink_jobmanager_job_numRestarts, job_name)",
                    "refresh": 2,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": drawn,
    }


def _graph(panel: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel["title"],
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
            for number, (expr, legend) in enumerate(queries(panel))
        ],
    }


def _placed(panel: dict[str, Any], number: int, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {"id": number + 1, "gridPos": {"x": x, "y": y, "w": width, "h": height}, **panel}
