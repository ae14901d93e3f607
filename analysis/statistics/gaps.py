"""Two shares of different items: their difference, its interval, its tests, layer after layer.

Sources: the one-sided z-test with pooled variance is that of the DALI paper's code; the interval is
Newcombe's (1998, method 10), which stays within -1 and 1 and has a width where a share is 0 or 1.
Where one of the groups has no item, nothing is defined.
"""

from functools import lru_cache
from math import nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.statistics import intervals
from analysis.statistics.intervals import NO_SPREAD, wilson

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DRAWS = 2000
AT_ONCE = 4_000_000


class Gap(NamedTuple):
    """Shares of two groups, first less second, with its 95 % interval; each an array by layer."""

    first: Floats
    second: Floats
    gap: Floats
    low: Floats
    high: Floats


class Permuted(NamedTuple):
    """One-sided p by layer [L], and that of the largest gap among all layers."""

    p: Floats
    largest: float


def gap(hits: Bools, *, first: Bools, second: Bools) -> Gap:
    """The share of hits [I, L] among the items of each group [I], and their difference."""
    shares, lows, highs = [], [], []
    for group in (first, second):
        n = np.full(hits.shape[1], float(group.sum()))
        sums = hits[group].sum(axis=0).astype(float)
        shares.append(np.divide(sums, n, out=np.full(len(n), nan), where=n > 0))
        low, high = wilson(sums, n=n)
        lows.append(low)
        highs.append(high)
    difference = shares[0] - shares[1]
    below = np.sqrt((shares[0] - lows[0]) ** 2 + (highs[1] - shares[1]) ** 2)
    above = np.sqrt((highs[0] - shares[0]) ** 2 + (shares[1] - lows[1]) ** 2)
    return Gap(shares[0], shares[1], difference, difference - below, difference + above)


def z_test(first: int, first_n: int, second: int, second_n: int) -> float:
    """One-sided p of a larger first share, two proportions with pooled variance.

    NaN where a group is empty, and where all items or none are hits.
    """
    if not first_n or not second_n:
        return nan
    pooled = (first + second) / (first_n + second_n)
    error = np.sqrt(pooled * (1 - pooled) * (1 / first_n + 1 / second_n))
    if not error:
        return nan
    return float(stats.norm.sf((first / first_n - second / second_n) / error))


def permutation(
    hits: Bools, *, first: Bools, second: Bools, draws: int = DRAWS, seed: int = 0
) -> Permuted:
    """The gap against those of groups drawn anew from the same items.

    p is (1 + draws with at least that gap) / (1 + draws); that of the largest gap compares it with
    every draw's largest, which corrects for having looked at all layers. Where all items are hits,
    or none is, there is no p.
    """
    either = first | second
    if not first.any() or not second.any():
        return Permuted(np.full(hits.shape[1], nan), nan)
    values, size = hits[either].astype(np.float32), int(first.sum())
    total, n = values.sum(axis=0), int(either.sum())
    seen = hits[first].mean(axis=0) - hits[second].mean(axis=0)
    random = np.random.default_rng(seed)
    as_large, largest, done = np.zeros(len(total)), 0, 0
    while done < draws:
        count = min(draws - done, max(1, AT_ONCE // n))
        drawn = random.random((count, n)).argpartition(size - 1, axis=1)[:, :size]
        chosen = np.zeros((count, n), np.float32)
        np.put_along_axis(chosen, drawn, 1.0, axis=1)
        sums = (chosen @ values).astype(float)
        gaps = sums / size - (total - sums) / (n - size)
        as_large += (gaps >= seen - NO_SPREAD).sum(axis=0)
        largest += int((gaps.max(axis=1) >= seen.max() - NO_SPREAD).sum())
        done += count
    varies = (total > 0) & (total < n)
    p = np.where(varies, (1 + as_large) / (1 + draws), nan)
    return Permuted(p, (1 + largest) / (1 + draws) if varies.any() else nan)


@lru_cache(maxsize=16)
def weights(size: int, *, draws: int = 1000, seed: int = 0) -> Floats:
    """How often each of `size` items is drawn in each resampling [draw, item]."""
    random = np.random.default_rng(seed)
    return random.multinomial(size, np.full(size, 1 / size), size=draws).astype(float)


def ratio_interval(sums: Floats, counts: Floats, drawn: Floats) -> tuple[Floats, Floats]:
    """95 % percentile ends of sum(sums) / sum(counts) over resampled items, one per column.

    `sums` are [item, column], `counts` the same or one column for all, `drawn` the `weights`.
    Missing where all draws agree.
    """
    return of_draws(ratios(sums, counts, drawn))


def ratios(sums: Floats, counts: Floats, drawn: Floats) -> Floats:
    """sum(sums) / sum(counts) of every resampling [draw, column]; NaN where nothing is counted."""
    above, below = drawn @ sums, drawn @ counts
    found: Floats = np.divide(above, below, out=np.full(above.shape, nan), where=below > 0)
    return found


def tally(
    values: npt.NDArray[np.generic], codes: npt.NDArray[np.integer], size: int
) -> tuple[Floats, Floats]:
    """Sums of values [row, column] and counts of rows [item] by the item's number."""
    sums = np.zeros((size, values.shape[1]))
    np.add.at(sums, codes, values.astype(float))
    return sums, np.bincount(codes, minlength=size).astype(float)


def of_draws(drawn: Floats) -> tuple[Floats, Floats]:
    """The 95 % percentile ends of each column of draws; missing where all agree."""
    ends = np.array([intervals.of_draws(column) for column in drawn.T]).reshape(-1, 2)
    return ends[:, 0], ends[:, 1]


def sign_flips(differences: Floats, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Two-sided p of sums of differences [item, column] against those with random signs by item.

    For differences of one language it is McNemar's test by simulation; an item that is there in
    several languages turns its sign in all of them at once. NaN where nothing differs.
    """
    moved = (differences != 0).any(axis=1)
    values = differences[moved]
    if not len(values):
        return np.full(differences.shape[1], nan)
    random = np.random.default_rng(seed)
    seen, as_large = np.abs(values.sum(axis=0)), np.zeros(values.shape[1])
    signs = 2.0 * random.integers(2, size=(draws, len(values))) - 1
    as_large = (np.abs(signs @ values) >= seen - NO_SPREAD).sum(axis=0)
    found: Floats = (1 + as_large) / (1 + draws)
    return np.where((values != 0).any(axis=0), found, nan)
