"""Sampled readings: what those that were kept say of all.

Where a bridge samples a stream, it keeps each reading with the probability that the header `sampling_fraction` says, by
a hash of the reading's id and so independently of the others (Poisson sampling). A reading without the header was kept
for certain. A window adds up six numbers of its readings, from which the totals follow, whatever fractions are mixed:

- the number of readings is estimated without bias by the sum of 1/f (Horvitz & Thompson 1952);
- the mean by the mean weighted with 1/f (Hájek 1971), which for one fraction is the plain mean of what came;
- its variance by linearisation (Särndal, Swensson & Wretman 1992, 5.6), which for one fraction is the textbook's
  (1 - f) s²/n, finite-population correction included; with Student's t of m - 1 degrees of freedom for the interval,
  m being the number of readings with f < 1.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from udfs.reasons import Reason, Rejected

SAMPLING_HEADER = "sampling_fraction"
SMALLEST_FRACTION = 1e-9  # the squares of what is smaller would leave no digits
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_DECIMAL = re.compile(rb"[0-9]{0,20}\.?[0-9]{1,20}(e-?[0-9]{1,2})?")
_Z = 1.959963984540054  # the normal distribution's 0.975 quantile
_T = (  # Student's t, the 0.975 quantiles of 1 to 30 degrees of freedom
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)  # fmt: skip


class Sample(NamedTuple):
    """What a window keeps of its readings beside their plain aggregates; `f` is a reading's fraction."""

    sampled: float  # how many have f < 1
    weight: float  # the sum of 1/f
    mean: float  # weighted by 1/f
    spread: float  # the sum of (1 - f)/f²: the estimated variance of `weight`
    spread_mean: float  # the mean weighted by (1 - f)/f²
    spread_m2: float  # the sum of squared deviations from it, weighted alike


class Estimate(NamedTuple):
    """Of all readings of a window; bounds are of the 95 % confidence interval."""

    fraction: float  # came / estimated
    readings: float
    readings_low: float
    readings_high: float
    mean: float
    mean_low: float | None  # None: fewer than two sampled readings say nothing of the spread
    mean_high: float | None


def read_fraction(raw: bytes | None) -> float | None:
    """Read the header `sampling_fraction`.

    Parameters
    ----------
    raw
        A decimal number from 1e-9 to 1, in ASCII.

    Returns
    -------
        The fraction; None for a reading that was kept for certain: no header, or 1.

    Raises
    ------
    Rejected
        BROKEN_HEADER.
    """
    if raw is None:
        return None
    fraction = float(raw) if _DECIMAL.fullmatch(raw) else math.nan
    if not SMALLEST_FRACTION <= fraction <= 1.0:
        text = f"header sampling_fraction is no number from {SMALLEST_FRACTION} to 1: {raw[:32]!r}"
        raise Rejected(Reason.BROKEN_HEADER, text)
    return None if fraction == 1.0 else fraction


def fold_samples(fractions: Floats, values: Floats, starts: Integers, counts: Integers) -> Floats:
    """Add up readings by group; `starts` and `counts` are the groups' places. A row per field of `Sample`."""
    weight = 1.0 / fractions
    spread = (1.0 - fractions) * weight**2
    found = np.empty((len(Sample._fields), len(starts)))
    found[0] = np.add.reduceat(fractions < 1.0, starts, dtype=np.float64)
    found[1], found[2] = _weighted_mean(weight, values, starts, counts)
    found[3], found[4] = _weighted_mean(spread, values, starts, counts)
    found[5] = np.add.reduceat(spread * (values - np.repeat(found[4], counts)) ** 2, starts)
    return found


def certain(counts: Integers, means: Floats) -> Floats:
    """The same of readings that all were kept for certain, by what is known of them."""
    nothing = np.zeros(len(counts))
    return np.stack((nothing, counts.astype(np.float64), means, nothing, means, nothing))


def merge_samples(parts: Floats, starts: Integers, sizes: Integers) -> Floats:
    """Add up by group what `fold_samples` gave."""
    sampled, weight, mean, spread, spread_mean, spread_m2 = parts
    found = np.empty((len(parts), len(starts)))
    found[0] = np.add.reduceat(sampled, starts)
    found[1], found[2] = _weighted_mean(weight, mean, starts, sizes)
    found[3], found[4] = _weighted_mean(spread, spread_mean, starts, sizes)
    found[5] = np.add.reduceat(spread_m2 + spread * (spread_mean - np.repeat(found[4], sizes)) ** 2, starts)
    return found


def estimate(count: int, sample: Sample) -> Estimate:
    """Extrapolate from `count` readings that came."""
    half = _Z * math.sqrt(sample.spread)
    low = high = None
    if sample.sampled >= 2:
        m2 = sample.spread_m2 + sample.spread * (sample.spread_mean - sample.mean) ** 2
        error = math.sqrt(m2 * sample.sampled / (sample.sampled - 1)) / sample.weight
        reach = student_t(int(sample.sampled) - 1) * error
        low, high = sample.mean - reach, sample.mean + reach
    return Estimate(
        float(f"{count / sample.weight:.9g}"),
        sample.weight,
        max(float(count), sample.weight - half),
        sample.weight + half,
        sample.mean,
        low,
        high,
    )


def student_t(freedom: int) -> float:
    """The 0.975 quantile of Student's t; beyond 30 degrees of freedom by Cornish & Fisher.

    Source: Abramowitz & Stegun 26.7.5.
    """
    if freedom <= len(_T):
        return _T[freedom - 1]
    z = _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _weighted_mean(weight: Floats, values: Floats, starts: Integers, counts: Integers) -> tuple[Floats, Floats]:
    """Total weight and mean by group, as differences from the first value: accurate where values are all alike."""
    total = np.add.reduceat(weight, starts)
    typical = values[starts]
    away = np.add.reduceat(weight * (values - np.repeat(typical, counts)), starts)
    return total, typical + np.divide(away, total, out=np.zeros(len(starts)), where=total > 0.0)
