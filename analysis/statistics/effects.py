"""Effect sizes of paired changes: how large a change is beside the spread, or beside chance.

A 95 % interval stands where there is one that covers.
"""

from math import exp, nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.statistics.intervals import exact, varies

Floats = npt.NDArray[np.float64]


class Effect(NamedTuple):
    """An effect size with the ends of its 95 % interval, NaN where there is none."""

    size: float
    low: float
    high: float


NO_EFFECT = Effect(nan, nan, nan)


def d_z(old: Floats, new: Floats) -> Effect:
    """Cohen's d_z: the mean change over the standard deviation of the changes.

    The size has Hedges' correction for n - 1 degrees of freedom; the interval is the exact one of
    normal changes, from the noncentral t distribution (Cumming 2012, chapter 11). It takes three
    pairs that do not all move alike.
    """
    n, changes = len(old), new - old
    if n < 3 or not varies(changes, beside=(old, new)):
        return NO_EFFECT
    size = float(changes.mean() / changes.std(ddof=1))
    low, high = _noncentral(size * sqrt(n), df=n - 1)
    return Effect(size * _hedges(n - 1), low / sqrt(n), high / sqrt(n))


def d_av(old: Floats, new: Floats) -> Effect:
    """Cohen's d_av: the mean change over the spread of either condition, sqrt((s1^2 + s2^2) / 2).

    Unlike d_z it does not grow with the correlation of the pairs, so it compares with studies of
    other designs. Its degrees of freedom for Hedges' correction are 2 (n - 1) / (1 + r^2)
    (Cousineau 2020); the interval is that of Algina and Keselman (2003). As `d_z` otherwise.
    """
    n, changes = len(old), new - old
    if n < 3 or not varies(changes, beside=(old, new)):
        return NO_EFFECT
    spread = sqrt(float(old.var(ddof=1) + new.var(ddof=1)) / 2)
    size, ratio = float(changes.mean()) / spread, float(changes.std(ddof=1)) / spread
    low, high = _noncentral(float(changes.mean() / changes.std(ddof=1)) * sqrt(n), df=n - 1)
    flat = not (varies(old, beside=(old, new)) and varies(new, beside=(old, new)))
    r = 0.0 if flat else float(np.corrcoef(old, new)[0, 1])
    scale = ratio / sqrt(n)
    return Effect(size * _hedges(2 * (n - 1) / (1 + r**2)), low * scale, high * scale)


def cohens_g(gained: int, lost: int) -> Effect:
    """Cohen's g: the share of gains among the items that moved, less a half, -.5 to .5.

    The interval is the exact one of a share (Clopper and Pearson 1934). NaN where nothing moved.
    """
    if not gained + lost:
        return NO_EFFECT
    low, high = exact(gained, n=gained + lost)
    return Effect(gained / (gained + lost) - 0.5, low - 0.5, high - 0.5)


def odds_ratio(gained: int, lost: int) -> Effect:
    """The conditional odds ratio of paired shares, gains over losses, with its exact interval.

    It is the odds of `cohens_g`'s share (Breslow and Day 1980, section 5.2); infinite without
    losses. NaN where nothing moved.
    """
    if not gained + lost:
        return NO_EFFECT
    low, high = exact(gained, n=gained + lost)
    return Effect(_odds(gained / (gained + lost)), _odds(low), _odds(high))


def _odds(share: float) -> float:
    """The odds of a share."""
    return share / (1 - share) if share < 1 else float("inf")


def _hedges(df: float) -> float:
    """Hedges' exact factor (1981), by which a standardised mean is too large."""
    return exp(float(special.gammaln(df / 2) - special.gammaln((df - 1) / 2))) / sqrt(df / 2)


def _noncentral(t: float, *, df: float) -> tuple[float, float]:
    """The 95 % interval of the noncentrality of a t statistic."""
    low, high = (float(special.nctdtrinc(df, p, t)) for p in (0.975, 0.025))
    return low, high
