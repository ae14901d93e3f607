"""Two scores and one accuracy: which score correlates with it more, and partial correlation.

Two correlations with the same accuracies over the same languages are not independent, so their
difference is tested as what it is. Languages are taken as independent.
"""

from math import nan, sqrt, tanh
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.statistics.correlate import Z_95, Correlation, missing, pearson

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


def difference(first: Floats, *, second: Floats, y: Floats) -> Difference:
    """Compare two correlations that share y.

    The test is Williams' (recommended by Steiger 1980, equation 7), with n - 3 degrees of freedom;
    the interval is Zou's (2007).
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
    low, high = _zou(one, other, between=c)
    return Difference(n, a, b, c, a - b, low, high, t, p, "")


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
    half, centre = Z_95 / sqrt(n - 4), float(np.arctanh(r))
    return Correlation(n=n, r=r, low=tanh(centre - half), high=tanh(centre + half), p=p, note="")


def _williams(a: float, b: float, c: float, *, n: int) -> float:
    """Williams' t for r(1, y) = a against r(2, y) = b, where r(1, 2) = c."""
    determinant = 1 - a**2 - b**2 - c**2 + 2 * a * b * c
    mean = (a + b) / 2
    below = 2 * (n - 1) / (n - 3) * determinant + mean**2 * (1 - c) ** 3
    return (a - b) * sqrt((n - 1) * (1 + c) / below)


def _zou(one: Correlation, other: Correlation, *, between: float) -> tuple[float, float]:
    """Zou's interval of r(1, y) - r(2, y), from the two intervals and the correlation of the r."""
    a, b, c = one.r, other.r, between
    shared = (c - a * b / 2) * (1 - a**2 - b**2 - c**2) + c**3
    shared /= (1 - a**2) * (1 - b**2)
    below = (a - one.low) ** 2 + (other.high - b) ** 2
    below -= 2 * shared * (a - one.low) * (other.high - b)
    above = (one.high - a) ** 2 + (b - other.low) ** 2
    above -= 2 * shared * (one.high - a) * (b - other.low)
    return a - b - sqrt(max(0.0, below)), a - b + sqrt(max(0.0, above))
