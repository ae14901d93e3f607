"""Bootstrap intervals over languages: of a correlation, of the mean of several, of a plain mean.

Languages are drawn, not items and not models, and several correlations over the same languages
share each draw, as they share what is unusual about a language. Draws come from a fixed seed, so
the same rows give the same interval.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import nan

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.statistics.intervals import of_draws

Floats = npt.NDArray[np.float64]

DRAWS = 1000
SEED = 0
FEWEST = 4


def interval_of_mean(groups: Sequence[pd.DataFrame]) -> tuple[float, float]:
    """95 % percentile interval of the mean of Pearson's r over `groups`.

    Each group has language, score and accuracy, one row per language. A correlation of fewer than
    4 languages has none, and neither has a mean that such a one is part of.
    """
    if not groups or any(_hopeless(group) for group in groups):
        return nan, nan
    found = correlations(groups)
    defined = ~np.isnan(found).all(axis=0)
    return of_draws(np.nanmean(found[:, defined], axis=0))


def correlations(groups: Sequence[pd.DataFrame]) -> Floats:
    """Pearson's r [group, draw] over languages drawn once for all groups; undefined ones are NaN.

    A group that lacks a language is resampled over the ones it has.
    """
    languages = sorted({str(code) for group in groups for code in group["language"]})
    places = {code: place for place, code in enumerate(languages)}
    counts = drawn(len(languages))
    found = []
    for group in groups:
        weights = counts[:, [places[str(code)] for code in group["language"]]]
        x, y = group["score"].to_numpy(float), group["accuracy"].to_numpy(float)
        found.append(_weighted(x - x.mean(), y - y.mean(), weights))
    return np.array(found)


def mean_interval(values: Floats) -> tuple[float, float]:
    """95 % percentile interval of a mean over languages; missing below 4, and of equal values."""
    if len(values) < FEWEST:
        return nan, nan
    return of_draws(drawn(len(values)) @ values / len(values))


@lru_cache(maxsize=64)
def drawn(size: int) -> Floats:
    """How often each of `size` things is drawn [draw, thing]."""
    random = np.random.default_rng(SEED)
    return random.multinomial(size, np.full(size, 1 / size), size=DRAWS).astype(float)


def _weighted(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Pearson's r of each draw; NaN where a draw has no spread."""
    total = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        left, right = weights @ x / total, weights @ y / total
        across = weights @ (x * y) / total - left * right
        spread_x = weights @ (x * x) / total - left**2
        spread_y = weights @ (y * y) / total - right**2
        least_x, least_y = 1e-12 * float(x @ x), 1e-12 * float(y @ y)
        flat = (spread_x <= least_x) | (spread_y <= least_y)
        return np.where(flat, np.nan, across / np.sqrt(spread_x * spread_y))


def _hopeless(group: pd.DataFrame) -> bool:
    """Whether a group has too few languages, or no spread, for a correlation."""
    return len(group) < FEWEST or bool((group[["score", "accuracy"]].nunique() < 2).any())
