"""Pearson's and Spearman's correlation with 95 % intervals, and every one that a study asks for.

An undefined number comes with its reason: too few languages, or a constant column, give a result
whose `note` says so. Languages are taken as independent, which related languages are not: the
intervals are too narrow rather than too wide.
"""

from collections.abc import Mapping
from functools import cache
from itertools import permutations
from math import inf, nan, sqrt, tanh
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.statistics.intervals import Ends
from analysis.statistics.resample import interval_of_mean
from analysis.statistics.scores import SERIES

Floats = npt.NDArray[np.float64]

FEWEST = 3
EXACT_UP_TO = 8
# Of two orders with the same correlation rounding may make one the smaller.
ROUNDING = 1e-9
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
    nothing = _undefined(x, y)
    if nothing is not None:
        return nothing
    found = stats.pearsonr(x, y)
    r = float(found.statistic)
    return _with_interval(r, n=len(x), p=float(found.pvalue), variance=1.0)


def spearman(x: Floats, *, y: Floats) -> Correlation:
    """Spearman's rho; interval with the standard error of Bonett and Wright (2000).

    That error on Fisher's scale is sqrt((1 + rho^2 / 2) / (n - 3)). p is exact, over all orders,
    up to 8 languages, and from Student's t above.
    """
    nothing = _undefined(x, y)
    if nothing is not None:
        return nothing
    found = stats.spearmanr(x, y)
    rho = float(found.statistic)
    p = float(found.pvalue)
    if len(x) <= EXACT_UP_TO:
        p = exact_p(stats.rankdata(x), stats.rankdata(y))
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
    low, high = fisher(r, free=n - 3, variance=variance)
    return Correlation(n=n, r=r, low=low, high=high, p=p, note="")


def fisher(r: float, *, free: float, variance: float = 1.0) -> Ends:
    """The 95 % interval of a coefficient whose Fisher's z has the variance `variance / free`.

    Of Pearson's r that is 1 / (n - 3) (Fisher 1921), of Spearman's rho (1 + rho^2 / 2) / (n - 3)
    (Bonett and Wright 2000), of Kendall's tau .437 / (n - 4) (Fieller, Hartley and Pearson 1957).
    A covariate that is taken out costs one more.
    """
    half, centre = Z_95 * sqrt(variance / free), float(np.arctanh(r))
    return Ends(tanh(centre - half), tanh(centre + half))


def _undefined(x: Floats, y: Floats) -> Correlation | None:
    """Why there is no correlation, or None where there is one."""
    note = undefined({"the score": x, "the accuracy": y}, of="language")
    return missing(len(x), note) if note else None


def undefined(columns: Mapping[str, Floats], *, of: str) -> str:
    """Why these columns by name have no correlation, empty where they have one; `of` is a unit."""
    n = len(next(iter(columns.values())))
    if n < FEWEST:
        named = f"1 {of}" if n == 1 else f"{n} {of}s"
        return f"undefined: {named}, at least {FEWEST} are needed"
    for name, values in columns.items():
        spread = float(np.ptp(values))
        if not spread > 1e-12 * max(1.0, float(np.abs(values).max(initial=-inf))):
            return f"undefined: {name} is the same in all {n} {of}s"
    return ""


def missing(n: int, note: str) -> Correlation:
    """A correlation that does not exist, with its reason."""
    return Correlation(n=n, r=nan, low=nan, high=nan, p=nan, note=note)


def exact_p(x: Floats, y: Floats) -> float:
    """Share of all orders of y whose |correlation| with x is at least the one seen.

    Of ranks (midranks for ties) that is the exact p of Spearman's rho. Few values alone.
    """
    first, second = x - x.mean(), y - y.mean()
    products = np.abs(second[orders(len(x))] @ first)
    seen, scale = abs(float(first @ second)), float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.mean(products >= seen - ROUNDING * scale))


@cache
def orders(n: int) -> npt.NDArray[np.int64]:
    """All orders of n things, one per row."""
    return np.array(list(permutations(range(n))))
