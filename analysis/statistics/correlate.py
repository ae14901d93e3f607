"""Pearson's and Spearman's correlation with 95 % intervals, and every one that a study asks for.

An undefined number comes with its reason: too few languages, or a constant column, give a result
whose `note` says so. Languages are taken as independent, which related languages are not: the
intervals are too narrow rather than too wide.
"""

from functools import cache
from itertools import permutations
from math import inf, nan, sqrt, tanh
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.statistics.resample import interval_of_mean
from analysis.statistics.scores import SERIES

Floats = npt.NDArray[np.float64]

FEWEST = 3
EXACT_UP_TO = 8
Z_95 = float(stats.norm.ppf(0.975))
SUBJECT = [*SERIES, "layer_pool"]
TASK = ["benchmark", "prompt", "metric"]


class Correlation(NamedTuple):
    """A coefficient, its 95 % interval, two-sided p and n; `note` says why a number is missing."""

    n: int
    r: float
    low: float
    high: float
    p: float
    note: str


def pearson(x: Floats, *, y: Floats) -> Correlation:
    """Pearson's r; the interval is Fisher's, tanh(atanh(r) -+ 1.96 / sqrt(n - 3))."""
    undefined = _undefined(x, y)
    if undefined is not None:
        return undefined
    found = stats.pearsonr(x, y)
    r = float(found.statistic)
    return _with_interval(r, n=len(x), p=float(found.pvalue), variance=1.0)


def spearman(x: Floats, *, y: Floats) -> Correlation:
    """Spearman's rho; interval with the standard error of Bonett and Wright (2000).

    That error on Fisher's scale is sqrt((1 + rho^2 / 2) / (n - 3)). p is exact, over all orders,
    up to 8 languages, and from Student's t above.
    """
    undefined = _undefined(x, y)
    if undefined is not None:
        return undefined
    found = stats.spearmanr(x, y)
    rho = float(found.statistic)
    p = _exact_p(x, y) if len(x) <= EXACT_UP_TO else float(found.pvalue)
    return _with_interval(rho, n=len(x), p=p, variance=1 + rho**2 / 2)


def correlations(scores: pd.DataFrame, *, accuracies: pd.DataFrame) -> pd.DataFrame:
    """Every correlation over languages of a score with an accuracy, the pivot left out.

    One row per model, data set, pairs, pivot, switches, measure, pooling, layer pool, benchmark,
    prompt and metric. Scores over an incomplete set of layers are left out. `boot_low` and
    `boot_high` are the percentiles of r over resampled languages.
    """
    complete = scores[scores["complete"]]
    joined = points(complete, accuracies=accuracies)
    found = []
    for names, group in joined.groupby([*SUBJECT, *TASK], sort=True):
        x, y = group["score"].to_numpy(float), group["accuracy"].to_numpy(float)
        straight, ranked = pearson(x, y=y), spearman(x, y=y)
        low, high = interval_of_mean([group])
        found.append(
            dict(zip([*SUBJECT, *TASK], names, strict=True))
            | straight._asdict()
            | {f"spearman_{name}": value for name, value in ranked._asdict().items()}
            | {"boot_low": low, "boot_high": high}
        )
    columns = [*SUBJECT, *TASK, *Correlation._fields]
    columns += [f"spearman_{name}" for name in Correlation._fields]
    columns += ["boot_low", "boot_high"]
    return pd.DataFrame(found, columns=columns).drop(columns="spearman_n")


def points(scores: pd.DataFrame, *, accuracies: pd.DataFrame) -> pd.DataFrame:
    """Score and accuracy side by side, one row per language; the pivot is no point."""
    columns = ["model", "revision", "language", *TASK, "accuracy", "main"]
    joined = scores.merge(accuracies[columns], on=["model", "revision", "language"])
    return joined[joined["language"] != joined["pivot"]]


def holm(p: pd.Series) -> pd.Series:
    """The p-values there are, adjusted for their number by Holm's step-down method (1979)."""
    known = p.dropna()
    if known.empty:
        return p
    return pd.Series(multipletests(known, method="holm")[1], known.index).reindex(p.index)


def p_in_words(p: float) -> str:
    """A p-value as text; there is none where nothing varies, or where too few values do."""
    if p != p:
        return "p not defined"
    return "p < .001" if p < 0.001 else f"p = {p:.3f}"


def _with_interval(r: float, *, n: int, p: float, variance: float) -> Correlation:
    """The interval on Fisher's scale, where it is defined."""
    if n == FEWEST:
        note = "no interval: Fisher's needs at least 4 languages"
        return Correlation(n=n, r=r, low=nan, high=nan, p=p, note=note)
    if abs(r) > 1 - 1e-12:
        note = "the points lie on one line: the interval is a point"
        return Correlation(n=n, r=r, low=r, high=r, p=p, note=note)
    half = Z_95 * sqrt(variance / (n - 3))
    centre = float(np.arctanh(r))
    return Correlation(n=n, r=r, low=tanh(centre - half), high=tanh(centre + half), p=p, note="")


def _undefined(x: Floats, y: Floats) -> Correlation | None:
    """Why there is no correlation, or None where there is one."""
    n = len(x)
    if n < FEWEST:
        named = "1 language" if n == 1 else f"{n} languages"
        return missing(n, f"undefined: {named}, at least {FEWEST} are needed")
    for values, name in ((x, "score"), (y, "accuracy")):
        spread = float(np.ptp(values))
        if not spread > 1e-12 * max(1.0, float(np.abs(values).max(initial=-inf))):
            return missing(n, f"undefined: the {name} is the same in all {n} languages")
    return None


def missing(n: int, note: str) -> Correlation:
    """A correlation that does not exist, with its reason."""
    return Correlation(n=n, r=nan, low=nan, high=nan, p=nan, note=note)


def _exact_p(x: Floats, y: Floats) -> float:
    """Share of all orders of y whose |rho| is at least the one seen (midranks for ties)."""
    first, second = stats.rankdata(x), stats.rankdata(y)
    first, second = first - first.mean(), second - second.mean()
    products = np.abs(second[_orders(len(x))] @ first)
    return float(np.mean(products >= abs(float(first @ second)) - 1e-9))


@cache
def _orders(n: int) -> npt.NDArray[np.int64]:
    """All orders of n things, one per row."""
    return np.array(list(permutations(range(n))))
