"""How much keyed state there is: ids, and partials of open panes.

A pane takes `PANE_BYTES` per key once merged. Meanwhile each frame adds the partials of the keys that it holds, and
they are merged when `CHUNKS` lie side by side: with f of a pane's keys in each frame, a key takes between 1 and
1 + CHUNKS f times as much, and on average 1 + CHUNKS f / 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import NamedTuple

from jobs.pipeline.config import WindowDefinition
from jobs.planning.constants import CHUNKS, FRAME_MS, ID_BYTES, PANE_BYTES
from jobs.planning.figures import show, show_bytes
from jobs.planning.inputs import Inputs
from jobs.planning.sheet import Sheet


class Part(NamedTuple):
    """State of which an entry lives for so long."""

    size_bytes: float
    lifetime_ms: float


def id_bytes(ids: float) -> float:
    return ids * ID_BYTES.value


def pane_bytes(panes: float, share_of_keys: float) -> tuple[float, float, float]:
    """Least, average and most bytes of so many (pane, key) pairs.

    Parameters
    ----------
    share_of_keys : of a pane's keys, those that a frame holds; 0 to 1.
    """
    merged = panes * PANE_BYTES.value
    return merged, merged * (1 + CHUNKS.value * share_of_keys / 2), merged * (1 + CHUNKS.value * share_of_keys)


def open_panes(window: WindowDefinition, out_of_orderness_ms: int, lateness_ms: int) -> tuple[float, float]:
    """How many panes of a key are in state at a time, on average, and how long one stays there (ms)."""
    pane_ms = gcd(window.size, window.slide or window.size)
    lifetime_ms = window.size + out_of_orderness_ms + lateness_ms
    return lifetime_ms / pane_ms, lifetime_ms


def size_state(inputs: Inputs, out_of_orderness_ms: int, sheet: Sheet) -> list[Part]:
    """Add what state there will be, or was measured; its parts."""
    if inputs.state is not None:
        known = inputs.state
        sheet.add("state_size", known.size, "bytes", "given", show_bytes(known.size))
        return [Part(known.size, known.lifetime)]
    ids = inputs.rate * inputs.dedup_ttl / 1_000
    size = sheet.add(
        "ids",
        id_bytes(ids),
        "bytes",
        "readings/s x TTL x bytes an id",
        f"{show(inputs.rate, '')} x {inputs.dedup_ttl / 1_000:,.0f} s x {ID_BYTES.value:g}",
        ID_BYTES,
    )
    parts = [Part(size, inputs.dedup_ttl)]
    parts += [_size_window(window, inputs, out_of_orderness_ms, sheet) for window in inputs.windows]
    total = [part.size_bytes for part in parts]
    sheet.add("state_size", sum(total), "bytes", "ids + windows", " + ".join(map(show_bytes, total)))
    most = size + _most_of_windows(parts[1:], inputs)
    sheet.add("state_at_most", most, "bytes", "the same before panes are merged", show_bytes(most), CHUNKS)
    return parts


def _size_window(window: WindowDefinition, inputs: Inputs, out_of_orderness_ms: int, sheet: Sheet) -> Part:
    panes, lifetime_ms = open_panes(window, out_of_orderness_ms, inputs.allowed_lateness)
    keys = inputs.metrics * (inputs.sensors if window.key == "sensor" else inputs.places)
    _, average, _ = pane_bytes(keys * panes, _share(window, inputs))
    sheet.add(
        f"window_{window.name}",
        average,
        "bytes",
        "keys x panes open x bytes of a merged partial x (1 + partials side by side / 2 x share of keys in a frame)",
        f"{keys:,} x {panes:.3g} x {PANE_BYTES.value:g} x (1 + {CHUNKS.value:g} / 2 x {_share(window, inputs):.2g})",
        PANE_BYTES,
        CHUNKS,
        FRAME_MS,
    )
    return Part(average, lifetime_ms)


def _share(window: WindowDefinition, inputs: Inputs) -> float:
    """A sensor is in a frame when it has reported since the one before; a place has many sensors."""
    per_key = 1.0 if window.key == "sensor" else max(1.0, inputs.sensors / inputs.places)
    return min(1.0, FRAME_MS.value / inputs.period * per_key)


def _most_of_windows(windows: Sequence[Part], inputs: Inputs) -> float:
    shares = [_share(window, inputs) for window in inputs.windows]
    return sum(
        part.size_bytes * (1 + CHUNKS.value * share) / (1 + CHUNKS.value * share / 2)
        for part, share in zip(windows, shares, strict=True)
    )
