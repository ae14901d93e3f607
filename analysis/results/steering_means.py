"""Steering over languages: means, draws, controls, trends, and coefficients chosen beforehand.

Languages are the sample. Draws of the same language are averaged first, then languages give the
mean and its 95 % interval (Student's t); a control is compared with the real vector language by
language.
"""

from math import nan

import numpy as np
import pandas as pd
import statsmodels.api as sm

from analysis.results.answers import SERIES
from analysis.results.steering import OUTCOMES, STEER
from analysis.statistics import intervals
from analysis.statistics.correlate import holm
from analysis.statistics.intervals import student
from analysis.statistics.scores import LEVEL

DOSE = [*SERIES, "intervention", "layer", "coefficient"]


def over_languages(effects: pd.DataFrame) -> pd.DataFrame:
    """One row per dose and outcome: means over languages of level and change, draws averaged.

    A dose is an intervention at a layer and coefficient. `low` and `high` are of the change, in
    its unit (percentage points, or a correlation); `plain` and `level` are shares or correlations.
    An outcome without a value in any language has no row.
    """
    places = [*DOSE, "outcome"]
    long = _long(effects)
    values = ["plain", "level", "change"]
    each = long.groupby([*places, "language"])[values].mean().reset_index()
    seeds = long.groupby(places)["seed"].nunique().rename("seeds").reset_index()
    found = _over(each, places, of="change", beside=["plain", "level"]).merge(seeds, on=places)
    columns = ["languages", "seeds", "plain", "level", "change", "low", "high", "p"]
    return found[[*places, *columns]]


def over_seeds(effects: pd.DataFrame) -> pd.DataFrame:
    """One row per dose and outcome: how the mean over languages varies between draws.

    Only languages that every draw has count. `sd` (ddof 1) is over draws, NaN for one.
    """
    places = [*DOSE, "outcome"]
    long = _long(effects)
    drawn = long.groupby([*places, "language"])["seed"].transform("nunique")
    all_draws = long.groupby(places)["seed"].transform("nunique")
    held = long[drawn == all_draws]
    means = held.groupby([*places, "seed"]).agg(
        change=("change", "mean"), languages=("language", "nunique")
    )
    grouped = means.reset_index().groupby(places, sort=True)
    return grouped.agg(
        seeds=("seed", "size"),
        languages=("languages", "max"),
        mean=("change", "mean"),
        sd=("change", "std"),
        lowest=("change", "min"),
        highest=("change", "max"),
    ).reset_index()


def against_controls(effects: pd.DataFrame) -> pd.DataFrame:
    """Does the real vector do more? One row per control, layer, coefficient and outcome.

    Both at the same language, layer, coefficient and draw; `difference` is the mean over languages
    of the real vector's change less the control's, with Student's interval; `p_holm` corrects its
    p for all comparisons of one series and outcome.
    """
    places = [*DOSE, "outcome"]
    long = _long(effects).drop(columns=["plain", "level"])
    real = long[long["intervention"] == STEER].drop(columns="intervention")
    both = long[long["intervention"] != STEER].merge(
        real.rename(columns={"change": "real"}),
        on=[*SERIES, "layer", "coefficient", "outcome", "language", "seed"],
    )
    both = both.rename(columns={"change": "control"})
    each = both.groupby([*places, "language"])[["real", "control"]].mean()
    each = each.assign(difference=each["real"] - each["control"]).reset_index()
    found = _over(each, places, of="difference", beside=["real", "control"])
    return found.assign(p_holm=found.groupby([*SERIES, "outcome"])["p"].transform(holm))


def trends(effects: pd.DataFrame) -> pd.DataFrame:
    """How the change of accuracy goes with plain accuracy over languages: one row per dose.

    Least squares; `slope` is percentage points of change per percentage point of plain accuracy.
    Chance in the plain answers enters both sides and pulls that slope down, so `slope_split`
    takes plain accuracy from one half of the items and the change from the other. NaN below three
    languages, and where nothing varies; `note` says so.
    """
    values = ["plain_accuracy", "accuracy_change", "plain_development", "held_change"]
    each = effects.groupby([*DOSE, "language"])[values].mean().reset_index()
    rows = []
    for place, group in each.groupby(DOSE, sort=True):
        whole = _slope(group, "plain_accuracy", "accuracy_change")
        split = _slope(group, "plain_development", "held_change")
        rows.append(
            dict(zip(DOSE, place, strict=True))
            | whole
            | {f"{name}_split": split[name] for name in ("slope", "low", "high", "p")}
        )
    columns = [*DOSE, "n", "intercept", "slope", "low", "high", "p"]
    columns += ["slope_split", "low_split", "high_split", "p_split", "note"]
    return pd.DataFrame(rows, columns=columns)


def choices(effects: pd.DataFrame) -> pd.DataFrame:
    """The coefficient with the best accuracy on one half of the items, and its effect on the other.

    One row per language, layer and draw of the real vector. Coefficient 0 is a candidate; of equal
    ones the smallest size is taken, then the positive one. `best_change` is what choosing and
    reporting on the same items would have claimed.
    """
    places = [*SERIES, "language", "layer", "seed"]
    held = effects[effects["intervention"] == STEER]
    none = held[places].drop_duplicates().assign(coefficient=0.0, held_p=1.0)
    zeros = ["development_change", "held_change", "held_low", "held_high", "accuracy_change"]
    both = pd.concat([held, none.assign(**dict.fromkeys(zeros, 0.0))], ignore_index=True)
    both = both.assign(size=both["coefficient"].abs(), negative=both["coefficient"] < 0)
    ordered = both.sort_values(
        ["development_change", "size", "negative"], ascending=[False, True, True], kind="stable"
    )
    first = ordered.drop_duplicates(places).sort_values(places)
    best = both.groupby(places)["accuracy_change"].max().rename("best_change")
    count = held.groupby(places).size().rename("candidates")
    found = first.merge(best.reset_index(), on=places).merge(count.reset_index(), on=places)
    columns = [*places, "candidates", "coefficient", "development_change", "held_change"]
    return found[[*columns, "held_low", "held_high", "held_p", "best_change"]].reset_index(
        drop=True
    )


def chosen_means(found: pd.DataFrame) -> pd.DataFrame:
    """Choices over languages, draws averaged: one row per series and layer.

    `better` and `worse` count languages and draws whose effect on the held half is significant by
    McNemar's test, uncorrected.
    """
    places = [*SERIES, "layer"]
    clear = found["held_p"] < LEVEL
    marked = found.assign(
        better=clear & (found["held_change"] > 0), worse=clear & (found["held_change"] < 0)
    )
    counts = marked.groupby(places).agg(
        chosen=("coefficient", "median"),
        better=("better", "sum"),
        worse=("worse", "sum"),
        of=("better", "size"),
    )
    names = ["best_change", "development_change", "held_change"]
    each = found.groupby([*places, "language"])[names].mean().reset_index()
    means = _over(each, places, of="held_change", beside=names[:2])
    return means.merge(counts.reset_index(), on=places)


def _over(each: pd.DataFrame, places: list[str], *, of: str, beside: list[str]) -> pd.DataFrame:
    """Means over languages by place, with Student's interval and two-sided p of one of them."""
    grouped = each.groupby(places, sort=True)
    found = grouped[[*beside, of]].mean()
    found.insert(0, "languages", grouped.size())
    low, high, p = student(found[of], sd=grouped[of].std(), n=found["languages"])
    return found.assign(low=low, high=high, p=p).reset_index()


def _long(effects: pd.DataFrame) -> pd.DataFrame:
    """One row per steered cell and outcome that has a value: plain, level and change."""
    parts = [
        effects[[*DOSE, "language", "seed"]].assign(
            outcome=outcome,
            plain=effects[f"plain_{outcome}"].astype(float),
            level=effects[outcome].astype(float),
            change=effects[f"{outcome}_change"].astype(float),
        )
        for outcome in OUTCOMES
    ]
    long = pd.concat(parts, ignore_index=True)
    return long[long["change"].notna()]


def _slope(each: pd.DataFrame, x: str, y: str) -> dict[str, float | str]:
    """A least-squares line over languages; `note` says why something of it is missing."""
    held = each[[x, y]].dropna()
    n = len(held)
    found: dict[str, float | str] = {"n": n}
    found |= dict.fromkeys(("intercept", "slope", "low", "high", "p"), nan)
    if n < 3:
        return found | {"note": f"{n} languages, at least 3 are needed"}
    if not _varies(held[x]):
        return found | {"note": f"plain accuracy is the same in all {n} languages"}
    if not _varies(held[y]):
        note = f"no interval: the change is the same in all {n} languages"
        return found | {"intercept": float(held[y].mean()), "slope": 0.0, "note": note}
    fit = sm.OLS(held[y].to_numpy(), sm.add_constant(100 * held[x].to_numpy())).fit()
    if np.abs(fit.resid).max() < intervals.NO_SPREAD * max(1.0, held[y].abs().max()):
        line = {"intercept": float(fit.params[0]), "slope": float(fit.params[1])}
        return found | line | {"note": "no interval: the points lie on one line"}
    low, high = fit.conf_int()[1]
    return {
        "n": n,
        "intercept": float(fit.params[0]),
        "slope": float(fit.params[1]),
        "low": float(low),
        "high": float(high),
        "p": float(fit.pvalues[1]),
        "note": "",
    }


def _varies(values: pd.Series) -> bool:
    """Whether values differ by more than their rounding."""
    spread = float(values.max() - values.min())
    return spread > intervals.NO_SPREAD * max(1.0, float(values.abs().max()))
