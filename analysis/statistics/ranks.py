"""Wilcoxon's signed ranks of paired changes: p, the change that fits best, and its interval."""

from functools import cache
from math import floor, nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.statistics.intervals import NO_SPREAD

Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

# Decimals that two changes must share to be a tie: those of shares differ in their last bits.
TIED = 12
# Up to so many changes all their signs are gone through at once.
SIGNED = 16
# Up to so many the chances of all rank sums are counted out, as in scipy.
EXACT = 50
# Different changes whose means of two are all formed.
MOST = 3000
Z_975 = float(stats.norm.ppf(0.975))


class Ranked(NamedTuple):
    """What the signed ranks of n changes say.

    Attributes:
        p: two-sided p of Wilcoxon's signed-rank test, changes of 0 left out.
        middle: the pseudomedian, the median of all means of two changes (Hodges and Lehmann 1963),
            changes of 0 among them; `low` and `high` are its 95 % interval (Tukey's, from the means
            of two in their order), which takes 6 changes.
        biserial: matched-pairs rank-biserial correlation, the rank sum of rises less that of falls
            over both (Kerby 2014), -1 to 1.
    """

    p: float
    middle: float
    low: float
    high: float
    biserial: float


def signed_ranks(changes: Floats) -> Ranked:
    """The test, the pseudomedian and the effect; of no change but 0 the pseudomedian alone."""
    rounded = np.round(np.asarray(changes, float), TIED)
    moved = rounded[rounded != 0]
    if not len(moved):
        return Ranked(nan, 0.0 if len(rounded) else nan, nan, nan, nan)
    ranks = stats.rankdata(np.abs(moved))
    biserial = float((ranks * np.sign(moved)).sum() / ranks.sum())
    return Ranked(wilcoxon(rounded), *_pseudomedian(rounded), biserial)


def wilcoxon(changes: Floats) -> float:
    """The two-sided p of Wilcoxon's signed-rank test, exact also of few changes with ties."""
    rounded = np.round(changes, TIED)
    moved = rounded[rounded != 0]
    if len(moved) > SIGNED:
        return float(stats.wilcoxon(moved).pvalue)
    ranks = stats.rankdata(np.abs(moved))
    sums = np.zeros(1)
    for rank in ranks:
        sums = np.concatenate([sums, sums + rank])
    middle = ranks.sum() / 2
    seen = abs(float(ranks[moved > 0].sum()) - middle)
    return float((np.abs(sums - middle) >= seen - NO_SPREAD).mean())


def _pseudomedian(changes: Floats) -> tuple[float, float, float]:
    """The median of all means of two changes, and the ends of its interval."""
    values, counts = np.unique(changes, return_counts=True)
    if len(values) > MOST:
        return nan, nan, nan
    first, second = np.triu_indices(len(values))
    means = (values[first] + values[second]) / 2
    times = np.where(first == second, counts[first] * (counts[first] + 1) // 2, 0)
    times = np.where(first == second, times, counts[first] * counts[second])
    order = np.argsort(means)
    reached = np.cumsum(times[order])
    total, outside = int(reached[-1]), _outside(len(changes))

    def at(rank: int) -> float:
        """The mean of two at a rank, from 1."""
        return float(means[order][np.searchsorted(reached, rank)])

    middle = (at((total + 1) // 2) + at((total + 2) // 2)) / 2
    if not outside:
        return middle, nan, nan
    return middle, at(outside), at(total + 1 - outside)


def _outside(n: int) -> int:
    """The rank of the mean of two at which a 95 % interval starts; 0 where none does.

    It is the largest k for which a rank sum of n changes is below k with a chance of at most .025.
    """
    if n > EXACT:
        return floor(n * (n + 1) / 4 - Z_975 * sqrt(n * (n + 1) * (2 * n + 1) / 24))
    below = np.cumsum(_sums(n)) / 2.0**n
    return int(np.searchsorted(below, 0.025, side="right"))


@cache
def _sums(n: int) -> Wholes:
    """In how many of the 2^n ways to sign the ranks 1..n their sum is 0, 1, 2, ..."""
    ways = np.ones(1, np.int64)
    for rank in range(1, n + 1):
        longer = np.zeros(len(ways) + rank, np.int64)
        longer[: len(ways)] += ways
        longer[rank:] += ways
        ways = longer
    return ways
