"""Picture of latency distributions: quantiles on a scale that gives each further nine the same room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only, no display

from matplotlib import pyplot

_SIZE, _DPI = (8.0, 4.0), 120
_TICKS = (0.0, 0.9, 0.99, 0.999, 0.9999)


def plot_distributions(rows: Sequence[dict[str, Any]], stem: Path) -> list[Path]:
    """Draw STEM-distribution.png, a line per row that has percentiles; nothing when there are none.

    Parameters
    ----------
    rows
        As `benchmarks.latency.run` gives them.
    """
    drawn = [row for row in rows if row["curve"]]
    if not drawn:
        return []
    figure, axes = pyplot.subplots(figsize=_SIZE, layout="constrained")
    for row in drawn:
        beyond = [1.0 / (1.0 - quantile) for quantile, _ in row["curve"]]
        label = f"{row['rate']:,}/s, {row['delivery']}, profile {row['profile'] or 'none'}"
        axes.plot(beyond, [ms for _, ms in row["curve"]], linewidth=1, label=label)
    axes.set_xscale("log")
    axes.set_xticks([1.0 / (1.0 - q) for q in _TICKS], [f"{100 * q:g} %" for q in _TICKS])
    axes.set(xlabel="of the readings", ylabel="ms", title="From due to visible", ylim=(0, None))
    axes.minorticks_off()
    axes.grid(color="0.9")
    axes.legend(loc="upper left")
    stem.parent.mkdir(parents=True, exist_ok=True)
    path = stem.with_name(f"{stem.name}-distribution.png")
    figure.savefig(path, dpi=_DPI)
    pyplot.close(figure)
    return [path]
