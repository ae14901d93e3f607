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

from analysis.statistics.correlate import pearson
from analysis.statistics.intervals import NO_SPREAD, of_draws, student
from analysis.statistics.resample import FEWEST

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.integer]

BY_LANGUAGE = [
    "language", "n", "before", "after", "change", "low", "high", "gained", "lost", "p", "p_bh",
]  # fmt: skip
DRAWS = 2000
AT_ONCE = 2_000_000
# Decimals that two changes must share to be a tie: those of shares differ in their last bits.
TIED = 12
# Up to so many changes all their signs are gone through at once.
SIGNED = 16


class Difference(NamedTuple):
    """A paired difference of two shares in percentage points, with its 95 % interval."""

    change: float
    low: float
    high: float
    gained: int
    lost: int


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


class Mean(NamedTuple):
    """A mean over languages and their items with its 95 % interval, and how many languages."""

    languages: int
    mean: float
    low: float
    high: float


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
    n = len(old)
    sds = [float(values.std(ddof=1)) if n > 1 else nan for values in (old, new)]
    means = [float(values.mean()) if n else nan for values in (old, new)]
    changes = new - old
    mean = float(changes.mean()) if n else nan
    low = high = t = p = wilcoxon = nan
    if _varies(changes, beside=(old, new)):
        sd = float(changes.std(ddof=1))
        low, high, p = (float(one) for one in student(mean, sd=sd, n=n))
        t = mean * sqrt(n) / sd
        wilcoxon = _wilcoxon(np.round(changes, TIED))
    both = pearson(old + new, y=changes)
    return Change(
        n=n, before=means[0], after=means[1], change=mean, low=low, high=high, t=t,
        df=float(n - 1) if n > 1 else nan, p=p, wilcoxon_p=wilcoxon,
        sd_before=sds[0], sd_after=sds[1], levene_p=_levene(old, new),
        pitman_r=both.r, pitman_p=both.p,
    )  # fmt: skip


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
    n = len(before)
    if not n:
        return Difference(nan, nan, nan, 0, 0)
    gained, lost = int((~before & after).sum()), int((before & ~after).sum())
    low, high = (100 * float(end) for end in counted(gained, lost, n=n))
    return Difference(100 * (gained - lost) / n, low, high, gained, lost)


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


def hierarchical_bootstrap(
    changes_by_language: Mapping[str, Floats] | Floats, *, draws: int = DRAWS, seed: int = 0
) -> Mean:
    """The mean over languages of each one's mean over items, languages and items drawn anew.

    A matrix [language, item] holds parallel items, NaN where one is missing: the items that are
    drawn are the same in every language, so that a hard item is hard everywhere at once (Owen 2007,
    "The pigeonhole bootstrap"). Arrays by language are items of their own, and drawn apart.

    The interval is the 95 % percentile one. It is missing below 4 languages, as for every mean
    over languages here, and where all draws agree.
    """
    random = np.random.default_rng(seed)
    if isinstance(changes_by_language, Mapping):
        apart = [np.asarray(one, float) for one in changes_by_language.values()]
        apart = [kept for one in apart if len(kept := one[~np.isnan(one)])]
        each = np.array([one.mean() for one in apart])
        drawn = _drawn_apart(apart, random, draws) if len(each) >= FEWEST else np.empty(0)
    else:
        matrix = np.asarray(changes_by_language, float)
        matrix = matrix[~np.isnan(matrix).all(axis=1)] if matrix.size else np.empty((0, 0))
        each = np.nanmean(matrix, axis=1) if len(matrix) else np.empty(0)
        drawn = _drawn_jointly(matrix, random, draws) if len(each) >= FEWEST else np.empty(0)
    mean = float(each.mean()) if len(each) else nan
    return Mean(len(each), mean, *of_draws(drawn))


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


def _varies(values: Floats, *, beside: tuple[Floats, ...]) -> bool:
    """Whether values differ by more than the rounding of what they were computed from."""
    if len(values) < 2:
        return False
    size = max(1.0, *(float(np.abs(one).max()) for one in beside))
    return bool(np.ptp(values) > NO_SPREAD * size)


def _wilcoxon(changes: Floats) -> float:
    """The two-sided p of Wilcoxon's signed-rank test, exact also of few changes with ties."""
    moved = changes[changes != 0]
    if len(moved) > SIGNED:
        return float(stats.wilcoxon(moved).pvalue)
    ranks = stats.rankdata(np.abs(moved))
    sums = np.zeros(1)
    for rank in ranks:
        sums = np.concatenate([sums, sums + rank])
    middle = ranks.sum() / 2
    seen = abs(float(ranks[moved > 0].sum()) - middle)
    return float((np.abs(sums - middle) >= seen - NO_SPREAD).mean())


def _levene(old: Floats, new: Floats) -> float:
    """The p of Levene's test around the medians; NaN where no distance from them varies."""
    if len(old) < 2:
        return nan
    apart = [np.abs(values - np.median(values)) for values in (old, new)]
    if not any(_varies(each, beside=(old, new)) for each in apart):
        return nan
    return float(stats.levene(old, new, center="median").pvalue)


def _drawn_jointly(matrix: Floats, random: np.random.Generator, draws: int) -> Floats:
    """The mean of every draw, the same items in all languages; NaN where none of them has any."""
    held = ~np.isnan(matrix)
    values, present = np.where(held, matrix, 0.0).T, held.T.astype(float)
    languages = random.multinomial(len(matrix), _even(len(matrix)), size=draws)
    found = []
    for part in _parts(draws, of=len(values)):
        items = random.multinomial(len(values), _even(len(values)), size=part.stop - part.start)
        counts = items @ present
        means = np.divide(items @ values, counts, out=np.zeros_like(counts), where=counts > 0)
        weights = languages[part] * (counts > 0)
        total = weights.sum(axis=1)
        sums = (weights * means).sum(axis=1)
        found.append(np.where(total > 0, sums / np.maximum(1, total), nan))
    return np.concatenate(found)


def _drawn_apart(apart: list[Floats], random: np.random.Generator, draws: int) -> Floats:
    """The mean of every draw, each language's items drawn for every time it is drawn itself."""
    languages = random.multinomial(len(apart), _even(len(apart)), size=draws)
    sums = np.zeros(draws)
    for place, values in enumerate(apart):
        times = np.repeat(np.arange(draws), languages[:, place])
        for part in _parts(len(times), of=len(values)):
            own = times[part]
            items = random.integers(len(values), size=(len(own), len(values)))
            sums += np.bincount(own, weights=values[items].mean(axis=1), minlength=draws)
    return sums / len(apart)


def _parts(draws: int, *, of: int) -> list[slice]:
    """All draws in parts of which each takes bounded memory."""
    size = max(1, AT_ONCE // max(1, of))
    return [slice(start, min(draws, start + size)) for start in range(0, draws, size)]


def _even(n: int) -> Floats:
    """The same probability for each of n things."""
    return np.full(n, 1 / n)


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
