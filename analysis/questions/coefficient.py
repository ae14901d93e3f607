"""One correlation, or the difference of two, as a row of an answer with its interval and p."""

from collections.abc import Mapping, Sequence
from math import nan, sqrt
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from scipy import stats

from analysis.questions.observed import Columns, complete, one_of
from analysis.statistics import association
from analysis.statistics.association import METHODS, Method, Sample, Statistic
from analysis.statistics.correlate import EXACT_UP_TO, fisher, undefined
from analysis.statistics.dependent import apart, difference
from analysis.statistics.intervals import NONE, Ends

Interval = Literal["analytic", "bootstrap"]
P = Literal["auto", "analytic", "exact", "permutation"]
INTERVALS: tuple[Interval, ...] = get_args(Interval)
TESTS: tuple[P, ...] = get_args(P)
NAMES = {"pearson": "Pearson's r", "spearman": "Spearman's rho", "kendall": "Kendall's tau-b"}
# What the interval on Fisher's scale is called, and how many units it costs.
FISHER = {"pearson": ("Fisher", 3), "spearman": ("Bonett-Wright", 3), "kendall": ("Fieller", 4)}
# Without ties the exact distribution of tau is known for any n; normal is as good above this.
EXACT_TAU = 33
# Kendall's tau compares every unit with every other, in each draw anew.
MOST_TAU = 1000
FEWEST_GROUPS = 4
# Drawn from 11 normal units, 95 % intervals hold r in 92 to 94 % of samples, and tau in 98 %.
FEW = 20
LINE = 1 - 1e-12


class Asked(NamedTuple):
    """What holds for every row of an answer; `of` is what one unit is called."""

    method: Method
    interval: Interval
    p: P
    given: tuple[str, ...]
    cluster: str | None
    seed: int
    draws: int
    of: str

    @property
    def name(self) -> str:
        """The coefficient in words."""
        name = NAMES[self.method]
        return f"partial {name} given {', '.join(self.given)}" if self.given else name

    @property
    def resampled(self) -> str:
        """What is drawn, or left out in turn."""
        return self.cluster or self.of

    def interval_name(self, analytic: str) -> str:
        """The interval in words."""
        if self.interval == "bootstrap":
            kind = "symmetric bootstrap-t" if self.cluster else "BCa bootstrap"
            return f"{kind} over each {self.resampled}, {self.draws} draws"
        return analytic


class Tested(NamedTuple):
    """A p-value with its statistic, what it is called, what it assumes, and why it is missing."""

    p: float
    test: str
    assumes: str
    t: float = nan
    df: float = nan
    note: str = ""


def refuse(asked: Asked) -> None:
    """Refuse what is not possible.

    Raises:
        ValueError: it is not.
    """
    one_of(asked.method, METHODS, what="method")
    one_of(asked.interval, INTERVALS, what="interval")
    one_of(asked.p, TESTS, what="p")
    if asked.draws < 99:
        raise ValueError(f"draws is {asked.draws}: at least 99 are needed, and 9999 are better")
    if asked.given and asked.method == "kendall":
        raise ValueError(
            "the distribution of a partial tau is not known: choose pearson or spearman, or leave "
            "given out"
        )
    if asked.p == "exact" and (asked.given or asked.cluster):
        raise ValueError(
            "p='exact' is of a plain correlation between independent units: choose permutation or "
            "auto, or leave given and cluster out"
        )


def correlation(rows: pd.DataFrame, names: Sequence[str], asked: Asked) -> dict[str, object]:
    """One row of `correlate`: the first two columns, the others taken out of both."""
    held = complete(rows, names, cluster=asked.cluster)
    sample = Sample(held.values, asked.method, held.groups)
    value, ends, notes = nan, NONE, [_too_little(held, names, asked)]
    tested = Tested(nan, asked.name, _independent(asked))
    if not notes[0]:
        value = association.estimate(sample)
        if value != value:
            notes = ["undefined: what is given leaves nothing to correlate"]
        else:
            _refuse_size(sample, asked)
            tested = _tested(sample, value, asked)
            ends, why = _ends(sample, value, asked)
            notes += [why, tested.note]
    analytic = f"jackknife over each {asked.cluster}" if asked.cluster else FISHER[asked.method][0]
    return _row(value, ends, tested, held, notes, asked, analytic=analytic)


def compared(
    rows: pd.DataFrame, first: str, second: str, y: str, y2: str | None, asked: Asked
) -> dict[str, object]:
    """One row of `compare_correlations`."""
    names = [first, second, y, *([y2] if y2 else [])]
    held = complete(rows, names, cluster=asked.cluster)
    reason = _too_little(held, names, asked)
    if not reason and held.n < FEWEST_GROUPS:
        reason = f"undefined: {held.n} {asked.of}s, at least {FEWEST_GROUPS} are needed"
    row: dict[str, object] = {"first_r": nan, "second_r": nan}
    value, ends, notes = nan, NONE, [reason]
    tested = Tested(nan, f"two of {asked.name}", _independent(asked))
    if not reason:
        sample = Sample(held.values, asked.method, held.groups)
        _refuse_size(sample, asked)
        one, other = (association.estimate(sample, each) for each in (_first, _second(y2)))

        def apart_by(every: association.Floats) -> association.Floats:
            return _first(every) - _second(y2)(every)

        value, row = one - other, {"first_r": one, "second_r": other}
        ends, tested = _difference(sample, _second(y2), asked)
        notes.append(tested.note)
        if asked.interval == "bootstrap":
            ends, why = _resampled(sample, apart_by, asked, bounded=False)
            notes.append(why)
    normal = asked.method == "pearson" and asked.cluster is None
    analytic = "Zou" if normal else f"Zou, jackknife over each {asked.resampled}"
    return row | _row(value, ends, tested, held, notes, asked, analytic=analytic)


def _first(every: association.Floats) -> association.Floats:
    """The correlation of the first column with y, the third."""
    return every[:, 0, 2]


def _second(y2: str | None) -> Statistic:
    """The correlation of the second column with y, or with a column of its own, the last."""
    return lambda every: every[:, 1, -1 if y2 else 2]


def _difference(sample: Sample, second: Statistic, asked: Asked) -> tuple[Ends, Tested]:
    """The test of two correlations, and Zou's interval of their difference.

    Williams' or Steiger's of Pearson's r over independent units, else the jackknife's.
    """
    name, alone = NAMES[asked.method], _independent(asked)
    if asked.method != "pearson" or asked.cluster is not None:
        left = association.between(sample, _first, second)
        tested = _left_out(left, f"two of {name} on Fisher's scale", asked)
        return Ends(left.low, left.high), tested
    assumes = f"{alone}, and all columns are jointly normal"
    one, other, y, *others = sample.columns
    if others:
        four = apart(one, y=y, second=other, y2=others[0])
        tested = Tested(four.p, f"Steiger's z of two of {name}", assumes, four.z, note=four.note)
        return Ends(four.low, four.high), tested
    three = difference(one, second=other, y=y)
    df = len(y) - 3
    tested = Tested(three.p, f"Williams' t of two of {name}", assumes, three.t, df, three.note)
    return Ends(three.low, three.high), tested


def _row(
    value: float,
    ends: Ends,
    tested: Tested,
    held: Columns,
    notes: Sequence[str],
    asked: Asked,
    *,
    analytic: str,
) -> dict[str, object]:
    """What every row has."""
    return {
        "estimate": value, "low": ends.low, "high": ends.high, "p": tested.p, "n": held.n,
        "test": tested.test, "assumes": tested.assumes, "t": tested.t, "df": tested.df,
        "interval": asked.interval_name(analytic), "clusters": len(set(held.groups.tolist())),
        "note": "; ".join(dict.fromkeys(filter(None, [*notes, held.left_out]))),
    }  # fmt: skip


def _too_little(held: Columns, names: Sequence[str], asked: Asked) -> str:
    """Why nothing can be said; empty where something can."""
    if reason := undefined(dict(zip(names, held.values, strict=True)), of=asked.of):
        return reason
    count = len(set(held.groups.tolist()))
    if asked.cluster is not None and count < FEWEST_GROUPS:
        return f"undefined: {count} values of {asked.cluster}, at least {FEWEST_GROUPS} are needed"
    return ""


def _refuse_size(sample: Sample, asked: Asked) -> None:
    """Refuse to compare all pairs of very many units again and again."""
    n = sample.columns.shape[1]
    plain = asked.interval == "analytic" and asked.p != "permutation"
    anew = not plain or asked.cluster is not None
    if asked.method == "kendall" and anew and n > MOST_TAU:
        raise ValueError(
            f"Kendall's tau of {n} {asked.of}s would be computed anew for every draw, and "
            f"{MOST_TAU} are the most: choose spearman, or analytic interval and p without cluster"
        )


def _independent(asked: Asked) -> str:
    """The assumption of every test."""
    if asked.cluster is None:
        return f"each {asked.of} is independent of the others"
    return f"each {asked.cluster} is independent of the others, within one all may be alike"


def _tested(sample: Sample, value: float, asked: Asked) -> Tested:
    """p by the test that was asked for, or that fits."""
    n, of, how = sample.columns.shape[1], asked.of, asked.p
    swapped = f"without a relation each {of} could have the value of any other"
    if asked.cluster is not None:
        if how != "permutation":
            return _left_out(association.jackknife(sample), asked.name, asked)
        p = association.permuted(sample, draws=asked.draws, seed=asked.seed, within=True)
        swapped += f" of its {asked.cluster}"
        note = f"p is of the correlation within each {asked.cluster}"
        return Tested(
            p, f"{asked.name}, permutation within each {asked.cluster}", swapped, note=note
        )
    if how == "permutation":
        p = association.permuted(sample, draws=asked.draws, seed=asked.seed)
        return Tested(p, f"{asked.name}, permutation, {asked.draws} draws", swapped)
    tied = any(len(np.unique(column)) < n for column in sample.columns)
    tau = asked.method == "kendall" and not tied
    if how == "exact" and n > EXACT_UP_TO and not tau:
        raise ValueError(
            f"p='exact' goes over all orders of at most {EXACT_UP_TO} {of}s, and there are {n}: "
            "choose permutation or auto"
        )
    possible = not asked.given and (n <= EXACT_UP_TO or (tau and n <= EXACT_TAU))
    if how == "exact" or (how == "auto" and possible):
        if n > EXACT_UP_TO:
            p = float(stats.kendalltau(*sample.columns, method="exact").pvalue)
        else:
            p = association.exact(sample)
        return Tested(p, f"{asked.name}, exact over all orders", swapped)
    return _analytic(sample, value, asked)


def _left_out(left: association.Tested, name: str, asked: Asked) -> Tested:
    """The jackknife's test."""
    of = asked.resampled
    why = f"no p: the correlation is not defined, or is 1, without some {of}"
    note = "" if left.p == left.p else why
    test = f"{name}, jackknife over each {of}"
    return Tested(left.p, test, _independent(asked), left.t, left.df, note)


def _analytic(sample: Sample, value: float, asked: Asked) -> Tested:
    """Student's t of r and rho, the normal approximation of tau."""
    n, alone = sample.columns.shape[1], _independent(asked)
    if asked.method == "kendall":
        p = float(stats.kendalltau(*sample.columns, method="asymptotic").pvalue)
        return Tested(p, f"{asked.name}, normal approximation", f"{alone}, and there are enough")
    df, test = n - 2 - len(asked.given), f"{asked.name}, Student's t"
    normal = "both columns are jointly normal" if asked.method == "pearson" else "there are enough"
    if df < 1:
        return Tested(nan, test, alone, note=f"no p: {n} {asked.of}s are too few")
    t = float(np.copysign(np.inf, value))
    if abs(value) < LINE:
        t = value * sqrt(df / (1 - value**2))
    return Tested(float(2 * stats.t.sf(abs(t), df)), test, f"{alone}, and {normal}", t, df)


def _ends(sample: Sample, value: float, asked: Asked) -> tuple[Ends, str]:
    """The interval, and why there is none or how good it is."""
    if abs(value) > LINE:
        return NONE, "no interval: the points lie on one line"
    if asked.interval == "bootstrap":
        return _resampled(sample, association.partial, asked)
    if asked.cluster is not None:
        left = association.jackknife(sample)
        why = f"no interval: the correlation is not defined, or is 1, without some {asked.cluster}"
        return Ends(left.low, left.high), "" if left.low == left.low else why
    free = sample.columns.shape[1] - FISHER[asked.method][1] - len(asked.given)
    if free < 1:
        needed = sample.columns.shape[1] - free + 1
        return NONE, f"no interval: at least {needed} {asked.of}s are needed"
    variance: Mapping[Method, float] = {"spearman": 1 + value**2 / 2, "kendall": 0.437}
    return fisher(value, free=free, variance=variance.get(asked.method, 1.0)), ""


def _resampled(
    sample: Sample, statistic: Statistic, asked: Asked, *, bounded: bool = True
) -> tuple[Ends, str]:
    """The bootstrap's interval, and what is to be said of it."""
    of = asked.resampled
    if sample.size < FEWEST_GROUPS:
        return NONE, f"no interval: at least {FEWEST_GROUPS} of {of} are needed to draw from"
    if asked.cluster is not None:
        ends = association.studentised(
            sample, statistic, draws=asked.draws, seed=asked.seed, bounded=bounded
        )
    else:
        ends = association.bootstrap(sample, statistic, draws=asked.draws, seed=asked.seed)
    if not np.isfinite(ends).all():
        return NONE, "no interval: the draws differ too little, or most of them have no value"
    few = asked.cluster is None and sample.size < FEW
    return ends, f"an interval drawn from {sample.size} {of}s is rough" if few else ""
