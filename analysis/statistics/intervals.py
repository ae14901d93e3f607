"""95 % intervals, each kind once: of a share, of drawn values, of a mean.

An interval without width claims what no number of items can show: where nothing varies, a share has
Wilson's interval, and any other number has none.
"""

from math import nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

Floats = npt.NDArray[np.float64]

# Relative to the numbers themselves: far above their rounding, far below any real spread.
NO_SPREAD = 1e-12


class Ends(NamedTuple):
    """The lower and the upper end, NaN where there is no interval."""

    low: float
    high: float


NONE = Ends(nan, nan)


class Tested(NamedTuple):
    """An estimate with its 95 % interval, the two-sided p of 0, Student's t and its df."""

    estimate: float
    low: float
    high: float
    p: float
    t: float
    df: float


def wilson(hits: Floats, *, n: Floats) -> tuple[Floats, Floats]:
    """Wilson's score intervals of shares, both ends; missing where nothing was counted.

    `hits` and `n` need not be whole: the n of a share over groups is an effective one.
    """
    counted = np.asarray(n, float) > 0
    low, high = proportion_confint(
        np.where(counted, hits, 0.0), np.where(counted, n, 1.0), alpha=0.05, method="wilson"
    )
    return np.where(counted, low, nan), np.where(counted, high, nan)


def exact(hits: int, *, n: int) -> Ends:
    """The exact interval of one share of at least one thing (Clopper and Pearson 1934)."""
    low, high = proportion_confint(hits, n, alpha=0.05, method="beta")
    return Ends(float(low), float(high))


def of_groups(sums: Floats, counts: Floats) -> Ends:
    """Wilson's interval of sum(sums) / sum(counts), one entry per group of values from 0 to 1.

    Values of one group, such as the texts written for one prompt, are alike: n is that of the
    independent values with the same variance (the effective sample size of Franco et al. 2019,
    doi 10.1093/jssam/smy019), and the number of groups where nothing varies. With one value of 0 or
    1 in each group it is Wilson's interval itself.
    """
    total = float(counts.sum())
    if not total:
        return NONE
    share = min(1.0, max(0.0, float(sums.sum()) / total))
    n = float((counts > 0).sum())
    variance = float(((sums - share * counts) ** 2).sum()) / total**2
    if variance > NO_SPREAD * share * (1 - share) > 0:
        n = min(total, share * (1 - share) / variance)
    return _of_share(share, n=n)


def _of_share(share: float, *, n: float) -> Ends:
    """Wilson's interval of one share."""
    low, high = wilson(np.array([share * n]), n=np.array([n]))
    return Ends(float(low[0]), float(high[0]))


def of_draws(draws: Floats) -> Ends:
    """The 2.5th and 97.5th percentile of the draws that are defined; missing where all agree."""
    known = draws[np.isfinite(draws)]
    if not len(known):
        return NONE
    low, high = (float(end) for end in np.percentile(known, [2.5, 97.5]))
    return NONE if high - low <= NO_SPREAD * max(1.0, abs(high)) else Ends(low, high)


def bca(draws: Floats, *, estimate: float, left_out: Floats) -> Ends:
    """The bias-corrected and accelerated interval of resampled values (Efron 1987).

    Args:
        draws: the statistic of every resample; undefined ones do not count.
        estimate: that of the sample itself.
        left_out: that of the sample without each unit in turn.

    Returns:
        The two ends; missing where all draws agree, or where all lie on one side of the estimate.
    """
    known, jackknife = draws[np.isfinite(draws)], left_out[np.isfinite(left_out)]
    if of_draws(known) == NONE or not len(jackknife):
        return NONE
    share = float(np.mean(known < estimate) + np.mean(known <= estimate)) / 2
    if not 0 < share < 1:
        return NONE
    moved = jackknife.mean() - jackknife
    spread = float((moved**2).sum()) ** 1.5
    acceleration = float((moved**3).sum()) / (6 * spread) if spread else 0.0
    bias = float(stats.norm.ppf(share))
    reach = bias + stats.norm.ppf([0.025, 0.975])
    levels = 100 * stats.norm.cdf(bias + reach / (1 - acceleration * reach))
    low, high = (float(end) for end in np.percentile(known, levels))
    return Ends(low, high)


def critical(draws: Floats) -> float:
    """The size that 95 % of the draws that are defined do not exceed; missing of few."""
    known = np.abs(draws[np.isfinite(draws)])
    return float(np.percentile(known, 95)) if 2 * len(known) > len(draws) else nan


def of_share_draws(draws: Floats, *, n: float) -> Ends:
    """As `of_draws`, of a share over `n` items: Wilson's where every draw agrees."""
    known = draws[np.isfinite(draws)]
    ends = of_draws(known)
    if ends.low == ends.low or not len(known) or n < 1:
        return ends
    return _of_share(min(1.0, max(0.0, float(known[0]))), n=n)


def student(
    means: npt.ArrayLike, *, sd: npt.ArrayLike, n: npt.ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Student's intervals of means, both ends, and the two-sided p of a mean of 0.

    All are missing below two values, and where the values are all alike.
    """
    centre, spread, count = (np.asarray(one, float) for one in (means, sd, n))
    error = spread / np.sqrt(count)
    known = (count > 1) & (spread > NO_SPREAD * np.maximum(1.0, np.abs(centre)))
    return from_errors(centre, error=np.where(known, error, nan), df=np.maximum(count - 1, 1))


def from_errors(
    means: npt.ArrayLike, *, error: npt.ArrayLike, df: npt.ArrayLike, of: npt.ArrayLike = 1
) -> tuple[Floats, Floats, Floats]:
    """Student's intervals of numbers with standard errors, both ends, and the p of 0.

    With `of` above 1 each number was chosen among that many: intervals are of 1 - 0.05 / of, and p
    is `of` times as large (Bonferroni), so that they hold whichever was chosen. NaN errors have
    neither.
    """
    centre, errors, free, chosen = (np.asarray(one, float) for one in (means, error, df, of))
    half = stats.t.isf(0.025 / chosen, free) * errors
    p = np.minimum(1.0, chosen * 2 * stats.t.sf(np.abs(centre / errors), free))
    return centre - half, centre + half, p


def of_error(estimate: float, *, error: float, df: float, level: float = 0.95) -> Tested:
    """Student's interval and p of an estimate whose standard error is known to `df` degrees.

    All but the estimate is missing where there is no error, or one of 0.
    """
    if not error > NO_SPREAD * max(1.0, abs(estimate)) or not df > 0:
        return Tested(estimate, nan, nan, nan, nan, df)
    half = float(stats.t.ppf((1 + level) / 2, df)) * error
    t = estimate / error
    p = float(2 * stats.t.sf(abs(t), df))
    return Tested(estimate, estimate - half, estimate + half, p, t, df)


def varies(values: Floats, *, beside: tuple[Floats, ...]) -> bool:
    """Whether values differ by more than the rounding of what they were computed from."""
    if len(values) < 2:
        return False
    size = max(1.0, *(float(np.abs(one).max()) for one in beside))
    return bool(np.ptp(values) > NO_SPREAD * size)
