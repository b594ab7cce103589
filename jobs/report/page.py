"""Fills the template: everything is in the one file, and the page may load nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from jobs.audit.report import Report
from jobs.pipeline.config import Deployment
from jobs.planning.figures import show_ms
from jobs.report.gather import Gathered
from jobs.report.scales import moment
from jobs.report.sections import (
    bars,
    overview,
    percentiles,
    revision_bars,
    series_charts,
    spread,
    timeline_charts,
    window_summaries,
)
from jobs.report.station_map import Shapes, draw_map
from jobs.report.timeline import Moment

_HERE = Path(__file__).parent
_SENSORS, _METRICS = 3, 6  # of the charts of series
_CELLS = 12  # in the table beside the map


def render(
    deployment: Deployment, gathered: Gathered, moments: list[Moment], audit: Report | None, made_at_ms: int
) -> str:
    """The whole page.

    Parameters
    ----------
    audit : of all that the topics hold, whatever the period; None: it was left out.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["duration"] = show_ms
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment.get_template("page.html").render(
        name=deployment.name,
        topic=deployment.topics.raw.name,
        made_at=moment(made_at_ms),
        period=_period(gathered),
        figures=overview(gathered),
        map=draw_map(gathered.stations, gathered.cells, Shapes(deployment)),
        cells=bars(gathered.cells.most_common(_CELLS)),
        series=series_charts(gathered.series, _SENSORS, _METRICS),
        delay=spread(gathered.delay_ms),
        delay_percentiles=percentiles(gathered.delay_ms),
        lateness=spread(gathered.lateness_ms),
        lateness_percentiles=percentiles(gathered.lateness_ms),
        late_by_window=bars((f"{s}/{d}", n) for (s, d), n in gathered.late.most_common()),
        refused=bars(gathered.refused.most_common()),
        timeline=timeline_charts(moments),
        windows=window_summaries(gathered.windows),
        revisions=revision_bars(gathered.windows),
        unreadable=gathered.unreadable,
        audit=audit,
        identity=_identity(audit),
        style=_inline("page.css"),
        script=_inline("page.js"),
    )


def _period(gathered: Gathered) -> str:
    period = gathered.period
    if period == (None, None):
        return "all that the topics hold"
    begin = "the first record" if period.from_ms is None else moment(period.from_ms)
    end = "now" if period.to_ms is None else moment(period.to_ms)
    return f"event times from {begin} to {end} UTC"


def _identity(audit: Report | None) -> dict[str, Any]:
    """The sum that has to close, and whether it does."""
    if audit is None:
        return {}
    right = {n: getattr(audit, n) for n in ("aligned", "duplicates", "invalid", "shed")}
    return {"raw": audit.raw, "parts": right, "closes": audit.ok}


def _inline(name: str) -> Markup:
    """A file of ours, not escaped."""
    return Markup((_HERE / name).read_text(encoding="utf-8"))
