"""The tests of two conditions over the same units: each a row of an answer, with its assumption.

The numbers are those of analysis/statistics, which says where each comes from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan, nan
from typing import Literal, get_args

import numpy as np
import pandas as pd

from analysis.questions.pairs import Floats, Pairs, counted
from analysis.statistics import bootstrap, effects, paired, ranks, spread
from analysis.statistics.effects import Effect
from analysis.statistics.intervals import Tested

Test = Literal[
    "paired t", "wilcoxon", "mcnemar", "bootstrap", "hierarchical bootstrap", "clustered t",
    "equivalence", "levene", "pitman-morgan",
]  # fmt: skip
TESTS: tuple[Test, ...] = get_args(Test)
# These know that a unit is an item of a language; all others take units as independent.
NESTED: tuple[Test, ...] = ("hierarchical bootstrap", "clustered t")
FEWEST_DRAWS = 200
ALONE = "units are independent of each other"
ASSUMES: dict[Test, str] = {
    "paired t": f"{ALONE}, and changes are about normal or many",
    "wilcoxon": f"{ALONE}, and changes lie symmetrically around their middle",
    "mcnemar": f"{ALONE}, and each is right or wrong",
    "bootstrap": f"{ALONE}, and enough that drawing from them is like drawing new ones",
    "hierarchical bootstrap": "languages are independent draws, and so are items, which may be "
    "shared by all languages",
    "clustered t": "languages are independent draws, and so are items, which may be shared by all "
    "languages; means are about normal",
    "equivalence": f"{ALONE}, changes are about normal or many, and the margin was set beforehand",
    "levene": f"{ALONE}, and so are the two conditions: too little is found where they go together",
    "pitman-morgan": f"{ALONE}, and the two values of a unit are jointly normal",
}
Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What a test needs beside the pairs: the margin of equivalence, draws, and their seed."""

    margin: float | None = None
    draws: int = bootstrap.DRAWS
    seed: int = 0


def chosen_tests(test: Test | tuple[Test, ...], *, how: How, unit: tuple[str, ...], language: str
                 ) -> tuple[Test, ...]:  # fmt: skip
    """The tests that are asked for, each once.

    Raises:
        ValueError: none is called so, or one lacks what it needs: a margin, draws, items.
    """
    tests = tuple(dict.fromkeys([test] if isinstance(test, str) else test))
    unknown = [one for one in tests if one not in TESTS]
    if unknown or not tests:
        named = f"no test is called {unknown[0]!r}" if unknown else "no test is named"
        raise ValueError(f"{named}; choose of {', '.join(TESTS)}")
    if ("equivalence" in tests) != (how.margin is not None):
        raise ValueError(
            "equivalence needs a margin, the largest change that counts as none, in units of the "
            "value: margin=0.01" if how.margin is None
            else f"margin={how.margin} is read by the test equivalence alone: add it to test"
        )  # fmt: skip
    if how.margin is not None and not 0 < how.margin < float("inf"):
        raise ValueError(f"margin is {how.margin}; give a finite number above 0")
    if how.draws < FEWEST_DRAWS:
        raise ValueError(f"draws is {how.draws}; an interval takes {FEWEST_DRAWS} or more")
    nested = [one for one in tests if one in NESTED]
    if nested and not (language in unit and len(unit) > 1):
        raise ValueError(
            f"{nested[0]} is over languages and their items, and the unit is ({', '.join(unit)}); "
            f"give both, as unit=({language!r}, 'item')"
        )
    return tests


def tested(pairs: Pairs, *, test: Test, how: How) -> Row:
    """One row of an answer: estimate, interval, p, what they are, and the test's own columns.

    Raises:
        ValueError: the test is not one of such values.
    """
    row = BY_NAME[test](pairs, how)
    notes = [str(row.pop("note", ""))]
    if test not in NESTED and min(pairs.counts.values()) > 1:
        notes.append(
            f"takes items of {pairs.counts['languages']} languages as independent, which parallel "
            "items are not: see clustered t"
        )
    means = {"mean_before": paired.mean(pairs.old), "mean_after": paired.mean(pairs.new)}
    return {
        "n": len(pairs.old), "test": test, "assumes": ASSUMES[test], **means, **row,
        "note": "; ".join(one for one in (*notes, *pairs.left_out) if one),
    }  # fmt: skip


def _paired_t(pairs: Pairs, _: How) -> Row:
    """Student's paired t-test, with d_z and d_av."""
    found, note = paired.mean_change(pairs.old, pairs.new), _why_not(pairs)
    if len(pairs.old) == 2 and not note:
        note = "no effect size of 2 units"
    return _row_of(
        found, of="mean change", note=note, t=found.t, df=found.df,
        **_sized("d_z", effects.d_z(pairs.old, pairs.new)),
        **_sized("d_av", effects.d_av(pairs.old, pairs.new)),
    )  # fmt: skip


def _wilcoxon(pairs: Pairs, _: How) -> Row:
    """Wilcoxon's signed-rank test, with the pseudomedian."""
    found, note = ranks.signed_ranks(pairs.changes), ""
    if not len(pairs.old):
        note = _why_not(pairs)
    elif isnan(found.p):
        note = "no p and no interval: no unit changed"
    elif isnan(found.middle):
        note = f"no estimate: more than {ranks.MOST} different changes"
    elif isnan(found.low):
        note = "no interval: it takes 6 units"
    return _of(
        found.middle, (found.low, found.high), p=found.p, of="pseudomedian of changes",
        note=note, rank_biserial=found.biserial,
    )  # fmt: skip


def _mcnemar(pairs: Pairs, _: How) -> Row:
    """McNemar's exact test of values that are 0 or 1."""
    values = np.concatenate([pairs.old, pairs.new])
    other = values[(values != 0) & (values != 1)]
    if len(other):
        raise ValueError(
            f"mcnemar compares what is right or wrong, and {pairs.units.value} holds "
            f"{other[0]:g}; give values of 0 and 1, or ask for another test"
        )
    found = paired.difference(pairs.old.astype(bool), pairs.new.astype(bool))
    p = float(paired.mcnemar(pd.Series([found.gained]), pd.Series([found.lost]))[0])
    note = "" if found.gained + found.lost else "no odds: no unit changed"
    if not len(pairs.old):
        p, note = nan, _why_not(pairs)
    return _of(
        found.change / 100, (found.low / 100, found.high / 100), p=p, of="change of the share",
        note=note, gained=found.gained, lost=found.lost,
        **_sized("cohens_g", effects.cohens_g(found.gained, found.lost)),
        **_sized("odds_ratio", effects.odds_ratio(found.gained, found.lost)),
    )  # fmt: skip


def _bootstrap(pairs: Pairs, how: How) -> Row:
    """The bootstrap-t over units."""
    note = _why_not(pairs)
    found = Tested(paired.mean(pairs.changes), nan, nan, nan, nan, nan)
    if not note:
        found = bootstrap.studentised(pairs.changes, draws=how.draws, seed=how.seed)
        if isnan(found.p):
            note = "no p and no interval: too many draws hold equal changes only"
        elif found.p <= 2 / (1 + (1 - bootstrap.FLAT) * how.draws):
            note = f"p is the least that {how.draws} draws can give"
    return _row_of(found, of="mean change", note=note, t=found.t)


def _hierarchical(pairs: Pairs, how: How) -> Row:
    """The hierarchical bootstrap over languages and items."""
    found = bootstrap.hierarchical_bootstrap(_by_language(pairs), draws=how.draws, seed=how.seed)
    note = _why_not(pairs, nested=True)
    if not note and isnan(found.p):
        note = f"no p and no interval: {counted(found.languages, 'language')}, it takes 4"
    return _of(
        found.mean, (found.low, found.high), p=found.p,
        of="mean over languages of the mean change", note=note, **pairs.counts, t=found.t,
        df=found.df, percentile_low=found.percentile_low, percentile_high=found.percentile_high,
    )  # fmt: skip


def _clustered(pairs: Pairs, _: How) -> Row:
    """A t-test whose error is that over languages and over items."""
    found = bootstrap.clustered(pairs.changes, languages=pairs.languages, items=pairs.items)
    note = _why_not(pairs, nested=True)
    if not note and isnan(found.p):
        held = " and ".join(counted(pairs.counts[f"{one}s"], one) for one in ("language", "item"))
        note = f"no p and no interval: {held}, it takes 2 of each that differ"
    return _row_of(
        found, of="mean over languages of the mean change", note=note, **pairs.counts,
        t=found.t, df=found.df,
    )  # fmt: skip


def _equivalence(pairs: Pairs, how: How) -> Row:
    """Two one-sided tests that the mean change is within the margin."""
    assert how.margin is not None, "chosen_tests saw to it"
    found = paired.mean_change(pairs.old, pairs.new)
    both = paired.equivalence(pairs.old, pairs.new, margin=how.margin)
    return _of(
        found.estimate, (found.low, found.high), p=both.p, of="mean change", note=_why_not(pairs),
        margin=how.margin, low_90=both.low_90, high_90=both.high_90,
    )  # fmt: skip


def _levene(pairs: Pairs, _: How) -> Row:
    """Brown and Forsythe's test of equal spread."""
    found = spread.levene(pairs.old, pairs.new)
    note = _why_not(pairs, few=True)
    if not note and isnan(found.p):
        note = "no p and no interval: all values lie equally far from the median"
    return _of(
        found.difference, (found.low, found.high), p=found.p,
        of="change of the mean distance from the median", note=note, **_sds(pairs), f=found.f,
    )  # fmt: skip


def _pitman_morgan(pairs: Pairs, _: How) -> Row:
    """Pitman's and Morgan's test of equal variances of pairs."""
    found = spread.pitman_morgan(pairs.old, pairs.new)
    note = _why_not(pairs, few=True)
    if not note and isnan(found.ratio):
        note = "no ratio: all values of one condition are the same"
    elif not note and isnan(found.p):
        note = "no p and no interval: it takes 3 units, and changes that differ"
    p = nan if isnan(found.ratio) else found.p
    return _of(
        found.ratio, (found.low, found.high), p=p, note=note,
        of="ratio of standard deviations, after over before", **_sds(pairs), r=found.r,
        t=found.t, df=found.df,
    )  # fmt: skip


BY_NAME: dict[Test, Callable[[Pairs, How], Row]] = {
    "paired t": _paired_t,
    "wilcoxon": _wilcoxon,
    "mcnemar": _mcnemar,
    "bootstrap": _bootstrap,
    "hierarchical bootstrap": _hierarchical,
    "clustered t": _clustered,
    "equivalence": _equivalence,
    "levene": _levene,
    "pitman-morgan": _pitman_morgan,
}


def _of(
    estimate: float, ends: tuple[float, float], *, p: float, of: str, note: str, **own: object
) -> Row:
    """A row of these numbers."""
    low, high = ends
    return {
        "estimate": estimate, "low": low, "high": high, "p": p, "estimated": of, "note": note,
        **own,
    }  # fmt: skip


def _row_of(found: Tested, *, of: str, note: str, **own: object) -> Row:
    """A row of a tested estimate."""
    return _of(found.estimate, (found.low, found.high), p=found.p, of=of, note=note, **own)


def _sized(name: str, effect: Effect) -> Row:
    """The columns of an effect size."""
    return {name: effect.size, f"{name}_low": effect.low, f"{name}_high": effect.high}


def _sds(pairs: Pairs) -> Row:
    """Both standard deviations (ddof 1)."""
    return {"sd_before": paired.sd(pairs.old), "sd_after": paired.sd(pairs.new)}


def _by_language(pairs: Pairs) -> dict[str, Floats] | Floats:
    """Changes as a matrix [language, item], or by language where no item is shared."""
    counts = pairs.counts
    if len(pairs.old) == counts["items"] and counts["languages"] > 1:
        names = np.unique(pairs.languages)
        return {str(name): pairs.changes[pairs.languages == name] for name in names}
    matrix = np.full((counts["languages"], counts["items"]), nan)
    matrix[pairs.languages, pairs.items] = pairs.changes
    return matrix


def _why_not(pairs: Pairs, *, few: bool = False, nested: bool = False) -> str:
    """Why there is no p, or "" where there may be one; `few` where equal changes do not matter."""
    n = len(pairs.old)
    if not n:
        return "no p and no estimate: no unit has both values"
    if n == 1 and not nested:
        return "no p and no interval: 1 unit, it takes 2"
    if few or pairs.vary:
        return ""
    return "no p and no interval: every change is the same"
