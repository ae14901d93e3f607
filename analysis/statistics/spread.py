"""Whether languages differ more or less among each other after a change than before.

Levene's test takes the two samples as independent and finds too little where they go together;
Pitman's and Morgan's knows the pairs, and is one of normal values.
"""

from math import nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.statistics.correlate import pearson
from analysis.statistics.intervals import of_error, varies

Floats = npt.NDArray[np.float64]


class Distances(NamedTuple):
    """The mean distance from the median after less before, its 95 % interval, F and p."""

    difference: float
    low: float
    high: float
    f: float
    p: float


class Ratio(NamedTuple):
    """The ratio of the standard deviations, after over before, its 95 % interval, r, t, df and p.

    `r` is the correlation of sum and difference, above 0 where the second spread is the larger.
    """

    ratio: float
    low: float
    high: float
    r: float
    t: float
    df: float
    p: float


def levene(old: Floats, new: Floats) -> Distances:
    """Levene's test of equal spread around the medians (Brown and Forsythe 1974).

    It is an analysis of variance of the distances from the median, so the interval is that of a
    difference of two means with a pooled variance. All NaN below two values, and where no distance
    varies.
    """
    n = len(old)
    if n < 2:
        return Distances(nan, nan, nan, nan, nan)
    apart = [np.abs(values - np.median(values)) for values in (old, new)]
    difference = float(apart[1].mean() - apart[0].mean())
    if not any(varies(each, beside=(old, new)) for each in apart):
        return Distances(difference, nan, nan, nan, nan)
    found = stats.levene(old, new, center="median")
    error = sqrt(sum(float(each.var(ddof=1)) for each in apart) / n)
    ends = of_error(difference, error=error, df=2 * n - 2)
    return Distances(difference, ends.low, ends.high, float(found.statistic), float(found.pvalue))


def pitman_morgan(old: Floats, new: Floats) -> Ratio:
    """Pitman's and Morgan's test of equal variances of pairs (1939), with Pitman's interval.

    With F the ratio of variances, r the correlation of the pairs, and K = 1 + 2 (1 - r^2) t^2 /
    (n - 2), the ends of F are F (K -+ sqrt(K^2 - 1)). A ratio needs two spreads, all else three
    pairs that do not all move alike.
    """
    n = len(old)
    both = pearson(old + new, y=new - old)
    if n < 2 or not all(varies(one, beside=(old, new)) for one in (old, new)):
        return Ratio(nan, nan, nan, both.r, nan, nan, both.p)
    ratio = float(new.var(ddof=1) / old.var(ddof=1))
    if both.r != both.r:
        return Ratio(sqrt(ratio), nan, nan, nan, nan, nan, nan)
    left = max(0.0, 1 - float(np.corrcoef(old, new)[0, 1]) ** 2)
    bound = 1 + 2 * left * float(stats.t.ppf(0.975, n - 2)) ** 2 / (n - 2)
    reach = bound + sqrt(bound**2 - 1)
    rest = 1 - both.r**2
    t = both.r * sqrt((n - 2) / rest) if rest > 0 else nan
    return Ratio(
        sqrt(ratio), sqrt(ratio / reach), sqrt(ratio * reach), both.r, t, float(n - 2), both.p
    )
