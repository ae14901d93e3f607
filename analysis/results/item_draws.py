"""95 % intervals of agreement between languages, from items drawn with replacement.

A draw is how often each item counts, the same in all languages, so every statistic of a thousand
draws is a few products of matrices. Ranks are those among all items, as they were; without ties,
and with as many options everywhere, that is Spearman's rho of the draw itself.
"""

from collections.abc import Mapping
from functools import lru_cache
from math import nan

import numpy as np
import numpy.typing as npt

from analysis.results.agreement import Aligned, Reals, rankings, standardised
from analysis.statistics.intervals import of_draws, of_share_draws, wilson
from analysis.statistics.resample import DRAWS, SEED

# Draws of all options of all items in memory at once.
SLICE = 100

# Both ends of every statistic's interval, by its name.
Intervals = Mapping[str, tuple[float, float]]


def overall(aligned: Aligned) -> Intervals:
    """Intervals of the mean accuracy, and of the means over ordered pairs of languages.

    Where all draws agree (every answer right, or none), a share has Wilson's interval of the fewest
    items that it is of in any language, and a correlation or an excess has none.
    """
    right = aligned.correct.sum(axis=1)
    items = len(aligned.items)
    of = {"accuracy": items, "tr_plus": _fewest(right), "tr_minus": _fewest(items - right)}
    return {
        name: of_share_draws(values, n=of[name]) if name in of else of_draws(values)
        for name, values in drawn(aligned).items()
    }


def drawn(aligned: Aligned) -> Mapping[str, Reals]:
    """Every draw's mean accuracy, and its means over ordered pairs of languages [draw].

    Nothing where an item has fewer than two options.
    """
    if (aligned.options < 2).any():
        return {}
    counts = draws(len(aligned.items))
    hit = aligned.correct.astype(float)
    accuracy = _shares(counts, hit, np.ones_like(hit))
    found = {"accuracy": accuracy.mean(axis=1)}
    others = len(hit) - 1
    if others:
        elsewhere = (accuracy.sum(axis=1, keepdims=True) - accuracy) / others
        plus = _shares(counts, hit * (hit.sum(axis=0) - 1) / others, hit)
        wrong = 1 - hit
        minus = _shares(counts, _same_wrong(aligned, wrong) / others, wrong)
        alone = _shares(counts, wrong / (aligned.options - 1), wrong)
        found |= {
            "tr_plus": _mean(plus),
            "tr_minus": _mean(minus),
            "excess_plus": _mean(plus - elsewhere),
            "excess_minus": _mean(minus - alone * (1 - elsewhere)),
            "consistency": _mean_correlation(aligned, counts),
        }
    return found


def with_pivot(pivot: Aligned, one: Aligned) -> Intervals:
    """Intervals of consistency with a pivot and of tr+ from it, each side one language.

    That of tr+ is Wilson's, over the items that the pivot has right.
    """
    if (one.options < 2).any():
        return dict.fromkeys(("consistency_pivot", "transfer_pivot"), (nan, nan))
    counts = draws(len(one.items))
    known = pivot.correct[0]
    low, high = wilson(
        np.array([float(one.correct[0][known].sum())]), n=np.array([float(known.sum())])
    )
    left, right = standardised(rankings(pivot))[0], standardised(rankings(one))[0]
    columns = np.array([left, right, left * left, right * right, left * right])
    options = counts @ one.options
    means = (counts @ _per_item(columns, one).T) / options[:, None]
    across = means[:, 4] - means[:, 0] * means[:, 1]
    spread = (means[:, 2] - means[:, 0] ** 2) * (means[:, 3] - means[:, 1] ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = across / np.sqrt(spread)
    return {
        "consistency_pivot": of_draws(correlation),
        "transfer_pivot": (float(low[0]), float(high[0])),
    }


@lru_cache(maxsize=2)
def draws(items: int) -> Reals:
    """How often each item counts [draw, item]."""
    random = np.random.default_rng(SEED)
    found = np.empty((DRAWS, items))
    for draw in range(DRAWS):
        found[draw] = np.bincount(random.integers(items, size=items), minlength=items)
    return found


def _fewest(counts: npt.NDArray[np.int64]) -> int:
    """The least of the counts that are not 0."""
    return int(counts[counts > 0].min(initial=np.iinfo(np.int64).max)) if counts.any() else 0


def _mean(values: Reals) -> Reals:
    """The mean over languages of what is defined [draw]."""
    there = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Reals = np.where(there, values, 0).sum(axis=1) / there.sum(axis=1)
    return found


def _shares(counts: Reals, part: Reals, whole: Reals) -> Reals:
    """Weighted part of the weighted whole, by draw and language; NaN of nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Reals = (counts @ part.T) / (counts @ whole.T)
    return found


def _same_wrong(aligned: Aligned, wrong: Reals) -> Reals:
    """In how many other languages each item has the same wrong answer [language, item]."""
    found = np.zeros_like(wrong)
    for option in range(aligned.ranks.shape[2]):
        mine = wrong * (aligned.prediction == option)
        found += mine * (mine.sum(axis=0) - mine)
    return found


def _mean_correlation(aligned: Aligned, counts: Reals) -> Reals:
    """The mean correlation over pairs of languages [draw].

    Of K standardised rows it is (|sum of rows|^2 - K) / (K (K - 1)); languages that rank all
    options alike have no correlation and are left out.
    """
    rows = standardised(rankings(aligned))
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) < 2:
        return np.full(len(counts), np.nan)
    rows = rows * np.sqrt(rows.shape[1])
    owner = np.repeat(np.arange(len(aligned.items)), aligned.options)
    found = []
    for start in range(0, len(counts), SLICE):
        some = counts[start : start + SLICE]
        total = some @ aligned.options
        mean = (some @ _per_item(rows, aligned).T) / total[:, None]
        square = (some @ _per_item(rows * rows, aligned).T) / total[:, None]
        scale = 1 / np.sqrt(square - mean**2)
        summed = scale @ rows - (mean * scale).sum(axis=1, keepdims=True)
        length = (some[:, owner] * summed**2).sum(axis=1) / total
        found.append((length - len(rows)) / (len(rows) * (len(rows) - 1)))
    return np.concatenate(found)


def _per_item(rows: Reals, aligned: Aligned) -> Reals:
    """Sums over the options of each item [row, item]."""
    starts = np.cumsum(aligned.options) - aligned.options
    found: Reals = np.add.reduceat(rows, starts, axis=1)
    return found
