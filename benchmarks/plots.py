"""Pictures of results: rate and memory over the time of a run, checkpoints, and the points of a scaling series."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only, no display

from matplotlib import pyplot

from benchmarks.meridian_job import Checkpoint, Sample

_SIZE, _DPI = (8.0, 3.5), 120


def rates(samples: Sequence[Sample], over_s: float = 10.0) -> list[tuple[float, float]]:
    """Seconds since the first sample, and readings/s over the last so many: bundles end several seconds apart."""
    began_s = samples[0].at_s
    times_s = [sample.at_s for sample in samples]
    points = []
    for after in samples:
        number = bisect_right(times_s, after.at_s - over_s) - 1
        if number >= 0:
            before = samples[number]
            rate = (after.accounted - before.accounted) / (after.at_s - before.at_s)
            points.append((after.at_s - began_s, rate))
    return points


def plot_run(samples: Sequence[Sample], checkpoints: Iterable[Checkpoint], stem: Path) -> list[Path]:
    """Draw STEM-rate.png (with the checkpoints), STEM-memory.png and STEM-checkpoints.png."""
    began_s = samples[0].at_s
    taken = [c for c in checkpoints if c.trigger_ms / 1_000 >= began_s]
    points = rates(samples)
    files = []

    figure, axes = pyplot.subplots(figsize=_SIZE, layout="constrained")
    axes.plot([s for s, _ in points], [rate for _, rate in points], linewidth=1, label="readings/s")
    for number, checkpoint in enumerate(taken):
        at_s = checkpoint.trigger_ms / 1_000 - began_s
        label = None if number else "checkpoint"
        axes.axvspan(at_s, at_s + checkpoint.duration_ms / 1_000, color="0.85", linewidth=0, label=label)
    axes.set(xlabel="s", ylabel="readings/s", title="Rate", ylim=(0, None))
    axes.legend(loc="lower right")
    files.append(_save(figure, stem, "rate"))

    figure, axes = pyplot.subplots(figsize=_SIZE, layout="constrained")
    axes.plot([s.at_s - began_s for s in samples], [s.rss_mb for s in samples], linewidth=1)
    axes.set(xlabel="s", ylabel="MB", title="Resident memory of all Flink processes", ylim=(0, None))
    files.append(_save(figure, stem, "memory"))

    if taken:
        figure, axes = pyplot.subplots(figsize=_SIZE, layout="constrained")
        times_s = [c.trigger_ms / 1_000 - began_s for c in taken]
        axes.plot(times_s, [c.state_bytes / 1e6 for c in taken], marker=".", label="state")
        axes.plot(times_s, [c.written_bytes / 1e6 for c in taken], marker=".", label="written")
        axes.set(xlabel="s", ylabel="MB", title="Checkpoints", ylim=(0, None))
        axes.legend(loc="upper left")
        files.append(_save(figure, stem, "checkpoints"))
    return files


def plot_scaling(rows: Sequence[dict[str, Any]], stem: Path) -> list[Path]:
    """Draw STEM-scaling.png: for each series, cost and rate of its points as ratios to the first."""
    names = list(dict.fromkeys(row["series"] for row in rows))
    figure, grid = pyplot.subplots(
        1, len(names), figsize=(3.2 * len(names), 3.5), layout="constrained", sharey=True, squeeze=False
    )
    for axes, name in zip(grid[0], names, strict=True):
        mine = [row for row in rows if row["series"] == name]
        places = range(len(mine))
        axes.bar([p - 0.2 for p in places], [row["cost_ratio"] for row in mine], 0.4, label="CPU-s per reading")
        axes.bar([p + 0.2 for p in places], [row["rate_ratio"] for row in mine], 0.4, label="readings/s")
        axes.set_xticks(list(places), [row["variant"] for row in mine], rotation=20, ha="right", fontsize=8)
        axes.set_title(name)
        if mine[0]["goal"] is not None:
            axes.axhline(mine[0]["goal"], color="0.4", linestyle="--", linewidth=1)
    grid[0][0].set_ylabel("ratio to the first point")
    grid[0][-1].legend(fontsize=8)
    return [_save(figure, stem, "scaling")]


def _save(figure: Any, stem: Path, what: str) -> Path:
    path = stem.with_name(f"{stem.name}-{what}.png")
    figure.savefig(path, dpi=_DPI)
    pyplot.close(figure)
    return path
