"""Means over languages with a standard error that knows what languages share.

Languages asked the same items are not independent of each other, and neither are numbers of pairs
of languages that have one in common. An error over languages alone is then too small.
"""

from math import nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.statistics.intervals import NO_SPREAD
from analysis.statistics.resample import FEWEST

Floats = npt.NDArray[np.float64]

LANGUAGES = "t over languages"
ITEMS = "t over items"
BOTH = "t over languages and items"
PAIRS = "t over languages (jackknife)"


class Mean(NamedTuple):
    """A mean over languages with its standard error.

    Attributes:
        n: how many languages it is of.
        mean: NaN without any.
        error: NaN where nothing varies, or one value is all there is.
        df: degrees of freedom of Student's t.
        test: what the error is over.
    """

    n: int
    mean: float
    error: float
    df: float
    test: str


def over_languages(values: Floats) -> Mean:
    """The mean of one value per language, languages independent; NaN ones are left out."""
    known = values[~np.isnan(values)]
    n = len(known)
    mean = float(known.mean()) if n else nan
    sd = float(known.std(ddof=1)) if n > 1 else nan
    return Mean(n, mean, _error(sd**2 / n if n else nan, known), float(n - 1), LANGUAGES)


def over_items(grid: Floats) -> Mean:
    """The mean over languages of each one's mean over items [L, I], NaN where one is missing.

    The variance is clustered by language and by item (Cameron, Gelbach and Miller 2011, for means
    that of Owen's pigeonhole model, 2007): that of languages plus that of items less that of single
    answers, and never below either of the two. Its degrees of freedom are Satterthwaite's. Below 4
    languages nothing can be said of others: the error is over items, of these languages alone.
    """
    held = ~np.isnan(grid)
    counts = held.sum(axis=1)
    grid, held, counts = grid[counts > 0], held[counts > 0], counts[counts > 0]
    n = len(grid)
    if not n:
        return Mean(0, nan, nan, nan, ITEMS)
    values = np.where(held, grid, 0.0)
    means = values.sum(axis=1) / counts
    mean = float(means.mean())
    # What every answer adds to the error of the mean, around its language's mean or around all.
    centre = means[:, None] if n < FEWEST else mean
    parts = np.where(held, (values - centre) / (n * counts[:, None]), 0.0)
    items = int(held.any(axis=0).sum())
    of_items = _clustered(parts.sum(axis=0), items)
    if n < FEWEST:
        return Mean(n, mean, _error(of_items, grid), float(items - 1), ITEMS)
    of_languages = _clustered(parts.sum(axis=1), n)
    of_both = of_languages + of_items - _clustered(parts.ravel(), int(counts.sum()))
    variance = max(of_languages, of_items, of_both)
    error = _error(variance, grid)
    if items < 2 or error != error:
        return Mean(n, mean, error, float(n - 1), BOTH)
    below = of_languages**2 / (n - 1) + of_items**2 / (items - 1)
    return Mean(n, mean, error, max(float(n - 1), variance**2 / below), BOTH)


def over_pairs(matrix: Floats) -> Mean:
    """The mean of all pairs of different languages [L, L], NaN where one is undefined.

    A language is in many pairs, so the error is that of leaving out one language after the other
    (the jackknife of a U-statistic, Arvesen 1969). It is missing below 3 languages.
    """
    found = np.where(np.eye(len(matrix), dtype=bool), nan, matrix)
    there = ~np.isnan(found)
    kept = there.any(axis=0) | there.any(axis=1)
    found, there = found[np.ix_(kept, kept)], there[np.ix_(kept, kept)]
    n, pairs = len(found), int(there.sum())
    if not pairs:
        return Mean(0, nan, nan, nan, PAIRS)
    values = np.where(there, found, 0.0)
    mean = float(values.sum() / pairs)
    left = pairs - there.sum(axis=0) - there.sum(axis=1)
    if n < 3 or (left <= 0).any():
        return Mean(n, mean, nan, nan, PAIRS)
    without = (values.sum() - values.sum(axis=0) - values.sum(axis=1)) / left
    variance = float((n - 1) / n * ((without - without.mean()) ** 2).sum())
    return Mean(n, mean, _error(variance, found), float(n - 1), PAIRS)


def _clustered(sums: Floats, n: int) -> float:
    """The variance of a sum of n independent parts of mean 0."""
    return float((sums**2).sum()) * n / (n - 1) if n > 1 else nan


def _error(variance: float, values: Floats) -> float:
    """The root of a variance, missing where it is but rounding."""
    size = max(1.0, float(np.nanmax(np.abs(values), initial=0.0)))
    return sqrt(variance) if variance > (NO_SPREAD * size) ** 2 else nan
