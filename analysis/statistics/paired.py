"""Two conditions on the same languages and items: what changed, and what chance would change.

Languages are the sample of a claim about languages, items that of a claim about one language.
Where nothing varies there is nothing to estimate a spread from, and numbers that need one are NaN.
"""

from collections.abc import Mapping
from math import nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from analysis.statistics.intervals import NO_SPREAD, Tested, of_error, student, varies
from analysis.statistics.ranks import wilcoxon
from analysis.statistics.spread import levene, pitman_morgan

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.integer]

BY_LANGUAGE = [
    "language", "n", "before", "after", "change", "low", "high", "gained", "lost", "p", "p_bh",
]  # fmt: skip


class Difference(NamedTuple):
    """A paired difference of two shares in percentage points, with its 95 % interval."""

    change: float
    low: float
    high: float
    gained: int
    lost: int


class Differences(NamedTuple):
    """The same of C conditions, each [C]."""

    change: Floats
    low: Floats
    high: Floats
    gained: Wholes
    lost: Wholes


class Change(NamedTuple):
    """Two conditions over the same languages: means, their difference, and both spreads.

    Attributes:
        n: languages that have both values.
        before: mean over them, as `after`.
        change: mean of after less before; `low` and `high` are its 95 % interval (Student's t).
        t: its paired t statistic, with `df` degrees of freedom and the two-sided `p`.
        wilcoxon_p: two-sided p of Wilcoxon's signed-rank test, languages that did not change
            left out.
        sd_before: standard deviation over languages (ddof 1), as `sd_after`.
        levene_p: p of Levene's test of equal spread around the medians (Brown and Forsythe 1974).
        pitman_r: correlation of sum and difference, above 0 where the second spread is the larger;
            `pitman_p` is the p of Pitman's and Morgan's test of equal variances (1939).
    """

    n: int
    before: float
    after: float
    change: float
    low: float
    high: float
    t: float
    df: float
    p: float
    wilcoxon_p: float
    sd_before: float
    sd_after: float
    levene_p: float
    pitman_r: float
    pitman_p: float


class Equivalence(NamedTuple):
    """p of two one-sided tests, and the 90 % interval that lies inside the margin where p < .05."""

    p: float
    low_90: float
    high_90: float


class Chance(NamedTuple):
    """Where a value lies among `n` draws of a control, and the one-sided p."""

    n: int
    percentile: float
    p: float


class Chosen(NamedTuple):
    """What the highest scores choose: accuracy, macro F1, and the share of every option."""

    n: int
    accuracy: float
    macro_f1: float
    shares: tuple[float, ...]


def change(before: Floats, after: Floats) -> Change:
    """The change over languages, one value each before and after, in the same order.

    Languages that lack one of the values are left out. Levene's test takes the two samples as
    independent, and finds too little where they go together; Pitman's and Morgan's knows the pairs.
    Equal changes everywhere, and fewer than two languages, have neither p nor interval.
    """
    old, new = _both(before, after)
    changes, told = new - old, mean_change(old, new)
    spreads = pitman_morgan(old, new)
    return Change(
        n=len(old), before=mean(old), after=mean(new), change=told.estimate, low=told.low,
        high=told.high, t=told.t, df=told.df, p=told.p,
        wilcoxon_p=wilcoxon(changes) if varies(changes, beside=(old, new)) else nan,
        sd_before=sd(old), sd_after=sd(new), levene_p=levene(old, new).p,
        pitman_r=spreads.r, pitman_p=spreads.p,
    )  # fmt: skip


def mean_change(before: Floats, after: Floats) -> Tested:
    """The mean change alone, by Student's paired t; as `change`, which computes much beside it."""
    old, new = _both(before, after)
    n, changes = len(old), new - old
    estimate, spread = mean(changes), sd(changes)
    low = high = t = p = nan
    if varies(changes, beside=(old, new)):
        low, high, p = (float(one) for one in student(estimate, sd=spread, n=n))
        t = estimate * sqrt(n) / spread
    return Tested(estimate, low, high, p, t, float(n - 1) if n > 1 else nan)


def mean(values: Floats) -> float:
    """The mean, NaN of none."""
    return float(values.mean()) if len(values) else nan


def sd(values: Floats) -> float:
    """The standard deviation (ddof 1), NaN below two."""
    return float(values.std(ddof=1)) if len(values) > 1 else nan


def equivalence(before: Floats, after: Floats, *, margin: float) -> Equivalence:
    """Is the mean change between -margin and margin? By two one-sided t-tests (Schuirmann 1987).

    p is the larger of the two: of a change of -margin or less, and of one of margin or more. All
    NaN where `change` has no p.
    """
    old, new = _both(before, after)
    changes = new - old
    if not varies(changes, beside=(old, new)):
        return Equivalence(nan, nan, nan)
    error, free = float(changes.std(ddof=1)) / sqrt(len(old)), len(old) - 1
    ends = of_error(float(changes.mean()), error=error, df=free, level=0.90)
    return Equivalence(float(ttost_paired(new, old, -margin, margin)[0]), ends.low, ends.high)


def by_language(before: Mapping[str, Bools], after: Mapping[str, Bools]) -> pd.DataFrame:
    """One row per language that both have: shares of right items and what moved, item by item.

    `change` is in percentage points with the interval of `difference`; `p` is McNemar's exact one,
    `p_bh` the same adjusted for the number of languages (Benjamini and Hochberg 1995). A language
    without items has no row.

    Raises:
        ValueError: a language has other numbers of items before and after.
    """
    rows = []
    for language in sorted(before.keys() & after.keys()):
        old, new = (np.asarray(one[language], bool) for one in (before, after))
        if len(old) != len(new):
            raise ValueError(
                f"{language} has {len(old)} items before and {len(new)} after; "
                "give the same items in the same order"
            )
        if len(old):
            shares = {"n": len(old), "before": float(old.mean()), "after": float(new.mean())}
            rows.append({"language": language} | shares | difference(old, new)._asdict())
    found = pd.DataFrame(rows, columns=BY_LANGUAGE[:-2])
    found["p"] = mcnemar(found["gained"], found["lost"])
    return found.assign(p_bh=benjamini_hochberg(found["p"]))


def difference(before: Bools, after: Bools) -> Difference:
    """The change of a share over the same items, in percentage points.

    The interval is that of `counted`. Without items everything is NaN.
    """
    found = differences(before, after[None])
    change, low, high = (float(one[0]) for one in found[:3])
    return Difference(change, low, high, int(found.gained[0]), int(found.lost[0]))


def differences(before: Bools, after: Bools) -> Differences:
    """The same for C conditions after [C, I] against one before [I], all at once."""
    n = len(before)
    gained, lost = (after & ~before).sum(axis=1), (before & ~after).sum(axis=1)
    if not n:
        nothing = np.full(len(after), nan)
        return Differences(nothing, nothing, nothing, gained, lost)
    low, high = counted(gained, lost, n=n)
    return Differences(100 * (gained - lost) / n, 100 * low, 100 * high, gained, lost)


def counted(
    gained: npt.ArrayLike, lost: npt.ArrayLike, *, n: npt.ArrayLike, of: npt.ArrayLike = 1
) -> tuple[Floats, Floats]:
    """Both ends of changes of a share, 0 to 1, of how many of n items were gained and lost.

    The interval is that of Agresti and Min (2005): Wald's, after half an item is added to each of
    the four outcomes. It is of 95 %, and of 1 - 0.05 / of where a change was chosen among several.
    """
    more, fewer, items, chosen = (np.asarray(one, float) for one in (gained, lost, n, of))
    middle = (more - fewer) / (items + 2)
    spread = (more + fewer + 1) - (more - fewer) ** 2 / (items + 2)
    half = stats.norm.isf(0.025 / chosen) * np.sqrt(np.maximum(0.0, spread)) / (items + 2)
    return np.maximum(-1.0, middle - half), np.minimum(1.0, middle + half)


def mcnemar(gained: pd.Series, lost: pd.Series) -> Floats:
    """McNemar's exact two-sided p of every pair of counts; 1 where nothing moved."""
    one, other = gained.to_numpy(float), lost.to_numpy(float)
    tail = stats.binom.cdf(np.minimum(one, other), one + other, 0.5)
    found: Floats = np.minimum(1.0, 2 * tail)
    return found


def benjamini_hochberg(p: pd.Series) -> pd.Series:
    """The p-values there are, adjusted to the share of false finds (Benjamini, Hochberg 1995)."""
    known = p.dropna()
    if known.empty:
        return p
    return pd.Series(multipletests(known, method="fdr_bh")[1], known.index).reindex(p.index)


def among_draws(real: float, draws: Floats) -> Chance:
    """The share of a control's draws below the real value, ties counted half, and the p.

    p is that of a randomisation test, (1 + draws at least as high) / (1 + draws), never 0 (Phipson
    and Smyth 2010). Draws that are NaN are left out; without any there is neither.
    """
    known = np.asarray(draws, float)
    known = known[~np.isnan(known)]
    n = len(known)
    if not n or np.isnan(real):
        return Chance(n, nan, nan)
    tied = np.abs(known - real) <= NO_SPREAD * max(1.0, abs(real))
    below, as_high = (known < real) & ~tied, (known > real) | tied
    share = (int(below.sum()) + int(tied.sum()) / 2) / n
    return Chance(n, share, (1 + int(as_high.sum())) / (1 + n))


def chosen(scores: Floats, gold: Wholes) -> Chosen:
    """What the highest score of every item [I, J] chooses; the first of several equal ones.

    An option that an item lacks is NaN. Macro F1 is over the options that are right or chosen
    somewhere.

    Raises:
        ValueError: an item has no score, or an infinite one.
    """
    from sklearn.metrics import f1_score

    values = _checked(scores)
    if not len(values):
        return Chosen(0, nan, nan, (nan,) * values.shape[1])
    taken = np.nanargmax(values, axis=1)
    counts = np.bincount(taken, minlength=values.shape[1])
    return Chosen(
        n=len(values),
        accuracy=float((taken == gold).mean()),
        macro_f1=float(f1_score(gold, taken, average="macro")),
        shares=tuple(float(count) for count in counts / len(values)),
    )


def prior_corrected(scores: Floats, gold: Wholes, *, fit: Floats | None = None) -> Chosen:
    """What is chosen once the prior of every option is taken off its log score [I, J].

    An option's prior is its mean log-probability among the options over the items of `fit`, by
    default the items themselves, whose right answers are not looked at (Batch Calibration, Zhou et
    al. 2024). It supposes that the options are right about equally often, as in XNLI. Scores need
    not be normalised: what is common to the options of an item moves none past another.

    Raises:
        ValueError: as of `chosen`, or `fit` lacks an option that is to be corrected.
    """
    values = _checked(scores)
    own = values if fit is None else _checked(fit)
    if not len(values):
        return chosen(values, gold)
    known = ~np.isnan(own)
    lacking = ~np.isnan(values).all(axis=0)
    if own.shape[1] != values.shape[1] or (lacking & ~known.any(axis=0)).any():
        raise ValueError(
            f"the prior of {values.shape[1]} options was to be fitted on items that score "
            f"{int(known.any(axis=0).sum())}; give items with the same options"
        )
    shares = special.log_softmax(np.where(known, own, -np.inf), axis=1)
    prior = np.where(known, shares, 0.0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    return chosen(values - prior, gold)


def _both(before: Floats, after: Floats) -> tuple[Floats, Floats]:
    """The values of the languages that have both."""
    old, new = np.asarray(before, float), np.asarray(after, float)
    kept = ~np.isnan(old + new)
    return old[kept], new[kept]


def _checked(scores: Floats) -> Floats:
    """Scores of items [I, J], each of which has one at least."""
    values = np.asarray(scores, float)
    bad = np.isinf(values).any(axis=1) | np.isnan(values).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {len(values)} items have no score or an infinite one; "
            "give finite log scores, NaN for an option that an item lacks"
        )
    return values
