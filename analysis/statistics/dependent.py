"""Two correlations over the same languages: which one is larger, and partial correlation.

They are not independent, whether both are with the same accuracies or each is with its own, so
their difference is tested as what it is. Languages are taken as independent.
"""

from math import nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.statistics.correlate import Correlation, fisher, missing, pearson
from analysis.statistics.intervals import Ends

Floats = npt.NDArray[np.float64]


class Difference(NamedTuple):
    """r(first, y) - r(second, y), its 95 % interval, Williams' t, p, n; `note` if missing."""

    n: int
    first: float
    second: float
    between: float
    difference: float
    low: float
    high: float
    t: float
    p: float
    note: str


class Apart(NamedTuple):
    """r(first, y) - r(second, y2), its 95 % interval, Steiger's z, p, n; `note` if missing."""

    n: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    z: float
    p: float
    note: str


def difference(first: Floats, *, second: Floats, y: Floats) -> Difference:
    """Compare two correlations that share y.

    The test is Williams' (recommended by Steiger 1980, equation 7), with n - 3 degrees of freedom;
    the interval is Zou's (2007). Of ranks the test rejects too often: see `association.between`.
    """
    one, other, between = pearson(first, y=y), pearson(second, y=y), pearson(first, y=second)
    n = len(y)
    a, b, c = one.r, other.r, between.r
    reasons = [found.note for found in (one, other, between) if found.r != found.r]
    if n < 4:
        reasons = [f"undefined: {n} languages, at least 4 are needed"]
    elif not reasons and max(abs(a), abs(b), abs(c)) > 1 - 1e-9:
        reasons = ["undefined: two of the three go together perfectly"]
    if reasons:
        return Difference(n, a, b, c, a - b, nan, nan, nan, nan, reasons[0])
    t = _williams(a, b, c, n=n)
    p = float(2 * stats.t.sf(abs(t), n - 3))
    shared = (c - a * b / 2) * (1 - a**2 - b**2 - c**2) + c**3
    low, high = zou(one, other, shared=shared / ((1 - a**2) * (1 - b**2)))
    return Difference(n, a, b, c, a - b, low, high, t, p, "")


def apart(first: Floats, *, y: Floats, second: Floats, y2: Floats) -> Apart:
    """Compare two correlations that share no column.

    The test is Steiger's (1980, equation 15: Fisher's z, the covariance at the mean of both r); the
    interval is Zou's (2007). Of ranks the test rejects too often: see `association.between`.
    """
    one, other = pearson(first, y=y), pearson(second, y=y2)
    crossed = [pearson(a, y=b) for a in (first, y) for b in (second, y2)]
    n = len(y)
    reasons = [found.note for found in (one, other, *crossed) if found.r != found.r]
    if n < 4:
        reasons = [f"undefined: {n} languages, at least 4 are needed"]
    elif not reasons and max(abs(found.r) for found in (one, other, *crossed)) > 1 - 1e-9:
        reasons = ["undefined: two of the four go together perfectly"]
    if reasons:
        return Apart(n, one.r, other.r, one.r - other.r, nan, nan, nan, nan, reasons[0])
    between = [found.r for found in crossed]
    mean = (one.r + other.r) / 2
    shared = _correlation_of_two(mean, mean, *between)
    z = float(np.arctanh(one.r) - np.arctanh(other.r)) * sqrt((n - 3) / (2 - 2 * shared))
    p = float(2 * stats.norm.sf(abs(z)))
    low, high = zou(one, other, shared=_correlation_of_two(one.r, other.r, *between))
    return Apart(n, one.r, other.r, one.r - other.r, low, high, z, p, "")


def partial(x: Floats, *, y: Floats, given: Floats) -> Correlation:
    """Pearson's r of x and y, what each has of `given` taken out; Fisher's interval, n - 4."""
    n = len(x)
    parts = [pearson(x, y=y), pearson(x, y=given), pearson(y, y=given)]
    if float(np.ptp(given)) == 0:
        return missing(n, f"undefined: the covariate is the same in all {n} languages")
    for found in parts:
        if found.r != found.r:
            return found
    a, b, c = (found.r for found in parts)
    left = (1 - b**2) * (1 - c**2)
    if n < 4 or left < 1e-12:
        return missing(n, "undefined: the covariate leaves nothing to correlate")
    r = max(-1.0, min(1.0, (a - b * c) / sqrt(left)))
    if abs(r) > 1 - 1e-12:
        return Correlation(n=n, r=r, low=r, high=r, p=0.0, note="the rest lies on one line")
    p = float(2 * stats.t.sf(abs(r) * sqrt((n - 3) / (1 - r**2)), n - 3))
    if n < 5:
        note = "no interval: at least 5 languages are needed"
        return Correlation(n=n, r=r, low=nan, high=nan, p=p, note=note)
    low, high = fisher(r, free=n - 4)
    return Correlation(n=n, r=r, low=low, high=high, p=p, note="")


def _williams(a: float, b: float, c: float, *, n: int) -> float:
    """Williams' t for r(1, y) = a against r(2, y) = b, where r(1, 2) = c."""
    determinant = 1 - a**2 - b**2 - c**2 + 2 * a * b * c
    mean = (a + b) / 2
    below = 2 * (n - 1) / (n - 3) * determinant + mean**2 * (1 - c) ** 3
    return (a - b) * sqrt((n - 1) * (1 + c) / below)


def _correlation_of_two(a: float, b: float, jh: float, jm: float, kh: float, km: float) -> float:
    """The correlation between r(j, k) = a and r(h, m) = b (Pearson and Filon 1898)."""
    shared = (jh - a * kh) * (km - kh * b) + (jm - jh * b) * (kh - a * jh)
    shared += (jh - jm * b) * (km - a * jm) + (jm - a * km) * (kh - km * b)
    return shared / 2 / ((1 - a**2) * (1 - b**2))


def zou(one: Correlation, other: Correlation, *, shared: float) -> Ends:
    """Zou's interval of a difference, from the two intervals and the correlation of the two r."""
    a, b = one.r, other.r
    below = (a - one.low) ** 2 + (other.high - b) ** 2
    below -= 2 * shared * (a - one.low) * (other.high - b)
    above = (one.high - a) ** 2 + (b - other.low) ** 2
    above -= 2 * shared * (one.high - a) * (b - other.low)
    return Ends(a - b - sqrt(max(0.0, below)), a - b + sqrt(max(0.0, above)))
